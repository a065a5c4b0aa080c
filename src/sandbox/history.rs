//! Whether accepted writes of two databases can be explained by one database at a time taking writes.
//!
//! A write took effect at some moment between `sent` and `acked`; when exactly, nobody outside knows. So a history is
//! judged in favour of the accused: it is an overlap only if no choice of these moments gets along with the switches
//! that were meant to happen.

use std::time::Duration;

pub use crate::systems::pair::Side;

/// A write that a database accepted. Times are since the start of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Who accepted it.
    pub side: Side,
    /// Not accepted before.
    pub sent: Duration,
    /// Not accepted after; [`Duration::MAX`] where only its presence is known.
    pub acked: Duration,
    /// Its name in the table `probe`.
    pub token: String,
}

/// A point by which the database that takes writes must have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The write that can't be explained without it.
    pub forced_by: Accepted,
}

/// Two databases took writes at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The write after whose acknowledgement the other side should have taken none. None when the history itself
    /// should have begun on the other side.
    pub before: Option<Accepted>,
    /// The write of the other side that was sent later, and accepted nevertheless.
    pub after: Accepted,
}

/// The fewest switches that explain the writes, when the first side to take writes is `begins`.
pub fn switches(writes: &[Accepted], begins: Side) -> Vec<Switch> {
    let mut in_order: Vec<&Accepted> = writes.iter().collect();
    in_order.sort_by_key(|write| write.acked);
    let (mut on, mut since, mut found) = (begins, None, Vec::new());
    for write in in_order {
        // A write of the other side that was sent before this turn began may belong to the turn before. Each turn
        // is made as long as the first write that it can't explain allows, so later turns are as few as can be.
        if write.side != on && since.is_none_or(|since| write.sent > since) {
            (on, since) = (write.side, Some(write.acked));
            found.push(Switch { forced_by: write.clone() });
        }
    }
    found
}

/// The first contradiction to "the writes begin at `begins` and change sides at most `switches_meant` times".
pub fn overlap(writes: &[Accepted], begins: Side, switches_meant: usize) -> Option<Overlap> {
    let mut found = switches(writes, begins);
    (found.len() > switches_meant).then(|| {
        let after = found.swap_remove(switches_meant).forced_by;
        let before = switches_meant.checked_sub(1).map(|last| found[last].forced_by.clone());
        Overlap { before, after }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(side: Side, sent: u64, acked: u64) -> Accepted {
        Accepted {
            side,
            sent: Duration::from_millis(sent),
            acked: Duration::from_millis(acked),
            token: format!("{}-{sent}", side.word()),
        }
    }
    use Side::{Source, Target};

    #[test]
    fn one_clean_switch_is_no_overlap() {
        let history = [write(Source, 0, 2), write(Source, 3, 5), write(Target, 6, 8), write(Target, 9, 10)];
        assert_eq!(overlap(&history, Source, 1), None);
        assert!(overlap(&history, Source, 0).is_some());
    }

    #[test]
    fn a_source_write_sent_after_a_targets_acknowledgement_is_an_overlap() {
        let history = [write(Source, 0, 2), write(Target, 3, 5), write(Source, 6, 8)];
        let expected = Overlap { before: Some(write(Target, 3, 5)), after: write(Source, 6, 8) };
        assert_eq!(overlap(&history, Source, 1), Some(expected));
        assert_eq!(overlap(&history, Source, 2), None, "a rollback lies between");
    }

    #[test]
    fn a_slow_answer_is_no_overlap() {
        // Sent before the target's write was acknowledged: it may have been committed before the switch.
        let history = [write(Source, 0, 20), write(Target, 5, 8), write(Source, 7, 30)];
        assert_eq!(overlap(&history, Source, 1), None);
    }

    #[test]
    fn a_target_that_takes_writes_too_early_is_an_overlap() {
        let history = [write(Target, 0, 1), write(Source, 2, 3), write(Target, 4, 5), write(Source, 6, 7)];
        assert!(overlap(&history, Source, 1).is_some());
        assert_eq!(switches(&history, Source).len(), 4);
    }

    #[test]
    fn presence_alone_accuses_nobody_by_its_end() {
        let mut late = write(Source, 1, 0);
        late.acked = Duration::MAX;
        assert_eq!(overlap(&[write(Source, 0, 1), write(Target, 5, 6), late], Source, 1), None);
    }

    /// The greedy count against trying every assignment of moments, on many small histories.
    #[test]
    fn the_count_is_the_least_possible() {
        let mut seed = 7_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..300 {
            let writes: Vec<Accepted> = (0..5)
                .map(|_| {
                    // Sent at even and acknowledged at odd moments, so that there are no ties to argue about.
                    let sent = 2 * next(5);
                    write(if next(2) == 0 { Source } else { Target }, sent, sent + 1 + 2 * next(2))
                })
                .collect();
            assert_eq!(switches(&writes, Source).len(), least(&writes), "{writes:?}");
        }
    }

    /// Fewest changes of side over all patterns of who takes writes in each millisecond.
    fn least(writes: &[Accepted]) -> usize {
        let steps = 12_u32;
        let side = |pattern: u32, step: u32| if pattern >> step & 1 == 0 { Source } else { Target };
        let explains = |pattern: u32, write: &Accepted| {
            let (sent, acked) = (write.sent.as_millis(), write.acked.as_millis());
            (0..steps)
                .any(|step| u128::from(step) >= sent && u128::from(step) <= acked && side(pattern, step) == write.side)
        };
        let changes = |pattern: u32| {
            let first = usize::from(side(pattern, 0) != Source);
            first + (1..steps).filter(|step| side(pattern, *step) != side(pattern, step - 1)).count()
        };
        (0..1_u32 << steps)
            .filter(|pattern| writes.iter().all(|write| explains(*pattern, write)))
            .map(changes)
            .min()
            .unwrap()
    }
}
