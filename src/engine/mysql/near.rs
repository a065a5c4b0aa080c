//! Whether the side that follows is near enough for a window. Pure. A token that was written now must come through; how often
//! it is looked for is decided here too, because each look costs a server that is busy following. And the moment must be a
//! good one: what the side that follows is behind when writes stop, they wait for.

use std::time::Duration;

/// How long a token may take through a stream that works.
pub(super) const PROOF: Duration = Duration::from_secs(10);
/// The state of the stream, which costs more than the token, is looked at this often.
pub(super) const STATE: Duration = Duration::from_millis(200);

/// A token that came through in this time found nothing in its way.
const NEAR: Duration = Duration::from_millis(25);
/// For so long a better moment is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tokens meanwhile.
const BETWEEN: Duration = Duration::from_millis(50);

const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(100);

/// What a look leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// It is there.
    Take,
    /// Look again after this.
    Wait(Duration),
    /// It has not come in time: the side that follows is too far behind, or nothing comes at all.
    TooFar,
}

/// `age`: how long ago the token was written. A stream that is near has it within milliseconds; the longer it takes, the
/// less a few milliseconds matter.
pub(super) fn judge(seen: bool, age: Duration) -> Moment {
    let left = PROOF.saturating_sub(age);
    if seen {
        return Moment::Take;
    }
    if left.is_zero() { Moment::TooFar } else { Moment::Wait((age / 8).clamp(SHORTEST, LONGEST).min(left)) }
}

/// `travel`: how long a token took just now; `waited`: for how long a good moment has been waited for; `budget`: the
/// window's, of which seven tenths are there until the commit point.
pub(super) fn moment(travel: Duration, waited: Duration, budget: Duration) -> Moment {
    if travel <= NEAR {
        Moment::Take
    } else if waited < PATIENCE {
        Moment::Wait(BETWEEN)
    } else if travel > budget * 7 / 10 {
        Moment::TooFar
    } else {
        Moment::Take
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_there_is_taken_however_late() {
        assert_eq!(judge(true, ms(0)), Moment::Take);
        assert_eq!(judge(true, ms(10_500)), Moment::Take);
    }

    #[test]
    fn what_does_not_come_is_given_up_at_the_limit_and_not_before() {
        assert_eq!(judge(false, ms(9_999)), Moment::Wait(ms(1)));
        assert_eq!(judge(false, PROOF), Moment::TooFar);
        assert_eq!(judge(false, ms(60_000)), Moment::TooFar);
    }

    #[test]
    fn a_better_moment_is_waited_for_and_one_that_is_bearable_taken_in_the_end() {
        let budget = ms(2_000);
        assert_eq!(moment(ms(3), ms(0), budget), Moment::Take);
        assert_eq!(moment(ms(480), ms(0), budget), Moment::Wait(BETWEEN));
        assert_eq!(moment(ms(480), ms(4_999), budget), Moment::Wait(BETWEEN));
        assert_eq!(moment(ms(480), PATIENCE, budget), Moment::Take);
        assert_eq!(moment(ms(1_401), ms(4_000), budget), Moment::Wait(BETWEEN));
        assert_eq!(moment(ms(1_401), PATIENCE, budget), Moment::TooFar, "it would be left before its commit point");
    }

    #[test]
    fn a_long_wait_takes_few_looks() {
        assert_eq!(judge(false, ms(1)), Moment::Wait(SHORTEST));
        assert_eq!(judge(false, ms(400)), Moment::Wait(ms(50)));
        let (mut age, mut looks) = (Duration::ZERO, 0);
        while let Moment::Wait(rest) = judge(false, age) {
            age += rest;
            looks += 1;
        }
        assert!((100..200).contains(&looks), "{looks} looks within {PROOF:?}");
    }
}
