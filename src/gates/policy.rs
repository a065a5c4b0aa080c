//! What readings mean, over time. Pure: the same readings at the same times always lead to the same progress, live and
//! after a resume. A verdict is never changed afterwards, and a gate that was stopped early did not pass.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Reading, Verdict};
use crate::runbook::model::GateRules;

/// Readings that take this long still belong together.
const SLOW_MEASUREMENT: Duration = Duration::from_secs(60);

/// What has been seen of a gate so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GateState {
    /// Since when it has passed without a break.
    pub passing_since: Option<Timestamp>,
    /// When it was last seen to pass.
    #[serde(default)]
    pub last_pass: Option<Timestamp>,
    /// Passes in a row.
    pub successes: u32,
    /// Failed readings in all; a pass does not forgive them.
    pub failures: u32,
}

/// Where a gate stands after a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// It has passed for as long and as often as it must.
    Open,
    /// Go on asking.
    Waiting {
        /// Since when it has passed without a break, if it does.
        since: Option<Timestamp>,
        /// Passes in a row.
        successes: u32,
    },
    /// It failed more often than it may: `on-fail` takes effect.
    Failed,
    /// Nothing is known: `on-no-data` takes effect.
    NoData,
    /// It could not be measured: the run holds.
    Error,
}

impl GateState {
    /// Takes one reading in. `now` is the time at which the reading is judged.
    pub fn step(&mut self, rules: &GateRules, reading: &Reading, now: Timestamp) -> Progress {
        match reading.verdict {
            Verdict::Pass => self.passed(rules, reading, now),
            Verdict::Fail => self.failed(rules),
            Verdict::NoData if reading.early => {
                self.restart();
                self.waiting()
            }
            Verdict::NoData => self.broken(Progress::NoData),
            Verdict::Error => self.broken(Progress::Error),
        }
    }

    fn passed(&mut self, rules: &GateRules, reading: &Reading, now: Timestamp) -> Progress {
        // Readings that are too far apart (a crash, a stopped process) leave a time of which nothing is known.
        let gap = self.last_pass.map_or(Duration::ZERO, |last| held(last, reading.at));
        if gap > 2 * rules.interval.0 + SLOW_MEASUREMENT {
            self.restart();
        }
        self.last_pass = Some(reading.at);
        let since = *self.passing_since.get_or_insert(reading.at);
        self.successes = self.successes.saturating_add(1);
        let enough = self.successes >= rules.consecutive_successes.max(1);
        if enough && held(since, now.min(reading.at)) >= rules.held_for.0 {
            return Progress::Open;
        }
        self.waiting()
    }

    fn failed(&mut self, rules: &GateRules) -> Progress {
        self.failures = self.failures.saturating_add(1);
        if self.failures > rules.failure_limit {
            return self.broken(Progress::Failed);
        }
        self.restart();
        self.waiting()
    }

    const fn broken(&mut self, progress: Progress) -> Progress {
        self.restart();
        progress
    }

    const fn restart(&mut self) {
        self.passing_since = None;
        self.last_pass = None;
        self.successes = 0;
    }

    const fn waiting(&self) -> Progress {
        Progress::Waiting { since: self.passing_since, successes: self.successes }
    }
}

/// Time between two moments; none when the clock was set back.
fn held(since: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(since)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::runbook::units::Span;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn reading(verdict: Verdict, secs: i64) -> Reading {
        Reading { at: at(secs), ..Reading::new(verdict, "", "") }
    }

    fn rules(held_for: u64, consecutive_successes: u32, failure_limit: u32) -> GateRules {
        GateRules { held_for: Span::secs(held_for), consecutive_successes, failure_limit, ..GateRules::default() }
    }

    fn last(rules: &GateRules, readings: &[(Verdict, i64)]) -> Progress {
        let mut state = GateState::default();
        let step = |&(verdict, secs): &(Verdict, i64)| state.step(rules, &reading(verdict, secs), at(secs));
        readings.iter().map(step).last().unwrap()
    }

    use Verdict::{Error, Fail, NoData, Pass};

    #[test]
    fn one_pass_opens_a_gate_without_rules() {
        assert_eq!(last(&GateRules::default(), &[(Pass, 0)]), Progress::Open);
    }

    #[test]
    fn each_verdict_has_its_progress() {
        let rules = rules(0, 1, 0);
        assert_eq!(last(&rules, &[(Fail, 0)]), Progress::Failed);
        assert_eq!(last(&rules, &[(NoData, 0)]), Progress::NoData);
        assert_eq!(last(&rules, &[(Error, 0)]), Progress::Error);
    }

    #[test]
    fn it_must_be_held_without_a_break() {
        let rules = rules(10, 1, 5);
        assert_eq!(last(&rules, &[(Pass, 0), (Pass, 9)]), Progress::Waiting { since: Some(at(0)), successes: 2 });
        assert_eq!(last(&rules, &[(Pass, 0), (Pass, 5), (Pass, 10)]), Progress::Open);
        for breaker in [Fail, NoData, Error] {
            let broken = [(Pass, 0), (breaker, 5), (Pass, 10), (Pass, 15)];
            assert_eq!(last(&rules, &broken), Progress::Waiting { since: Some(at(10)), successes: 2 }, "{breaker:?}");
            assert_eq!(last(&rules, &[(Pass, 0), (breaker, 5), (Pass, 10), (Pass, 20)]), Progress::Open);
        }
    }

    #[test]
    fn too_early_to_know_is_asked_again_and_is_no_pass() {
        let rules = rules(0, 2, 0);
        let mut state = GateState::default();
        state.step(&rules, &reading(Pass, 0), at(0));
        let early = Reading { early: true, ..reading(NoData, 1) };
        assert_eq!(state.step(&rules, &early, at(1)), Progress::Waiting { since: None, successes: 0 });
        let error = Reading { early: true, ..reading(Error, 2) };
        assert_eq!(state.step(&rules, &error, at(2)), Progress::Error, "an error is one however early");
    }

    #[test]
    fn a_pass_alone_is_not_held() {
        assert!(matches!(last(&rules(10, 1, 0), &[(Pass, 0)]), Progress::Waiting { .. }));
    }

    #[test]
    fn it_must_pass_often_enough_in_a_row() {
        let rules = rules(0, 3, 9);
        assert!(matches!(last(&rules, &[(Pass, 0), (Pass, 1)]), Progress::Waiting { successes: 2, .. }));
        assert_eq!(last(&rules, &[(Pass, 0), (Pass, 1), (Pass, 2)]), Progress::Open);
        for breaker in [Fail, NoData, Error] {
            let broken = [(Pass, 0), (Pass, 1), (breaker, 2), (Pass, 3)];
            assert!(matches!(last(&rules, &broken), Progress::Waiting { successes: 1, .. }), "{breaker:?}");
        }
    }

    #[test]
    fn failures_are_let_pass_up_to_the_limit() {
        let rules = rules(0, 2, 2);
        assert!(matches!(last(&rules, &[(Fail, 0), (Fail, 1)]), Progress::Waiting { .. }));
        assert_eq!(last(&rules, &[(Fail, 0), (Fail, 1), (Fail, 2)]), Progress::Failed);
        let between = [(Fail, 0), (Pass, 1), (Fail, 2), (Pass, 3), (Fail, 4)];
        assert_eq!(last(&rules, &between), Progress::Failed, "a pass forgives nothing");
        assert_eq!(
            last(&rules, &[(NoData, 0), (Error, 1), (Fail, 2)]),
            Progress::Waiting { since: None, successes: 0 }
        );
    }

    #[test]
    fn a_time_without_readings_is_a_break() {
        let after = last(&rules(10, 1, 0), &[(Pass, 0), (Pass, 5), (Pass, 3600)]);
        assert_eq!(after, Progress::Waiting { since: Some(at(3600)), successes: 1 });
        assert_eq!(last(&rules(10, 1, 0), &[(Pass, 0), (Pass, 3600), (Pass, 3610)]), Progress::Open);
    }

    #[test]
    fn a_clock_that_was_set_back_opens_nothing() {
        assert!(matches!(last(&rules(10, 1, 0), &[(Pass, 100), (Pass, 0)]), Progress::Waiting { .. }));
    }

    #[test]
    fn the_time_of_judging_does_not_stretch_a_reading() {
        let mut state = GateState::default();
        state.step(&rules(10, 1, 0), &reading(Pass, 0), at(0));
        let late = state.step(&rules(10, 1, 0), &reading(Pass, 1), at(60));
        assert!(matches!(late, Progress::Waiting { .. }));
    }

    fn verdicts() -> impl Strategy<Value = Vec<Verdict>> {
        proptest::collection::vec(prop_oneof![Just(Pass), Just(Fail), Just(NoData), Just(Error)], 1..40)
    }

    proptest! {
        #[test]
        fn open_means_held_and_often_enough(
            verdicts in verdicts(), held_for in 0..8_u64, often in 0..5_u32, limit in 0..5_u32,
        ) {
            let rules = rules(held_for, often, limit);
            let mut state = GateState::default();
            for (secs, &verdict) in verdicts.iter().enumerate() {
                let secs_i64 = i64::try_from(secs).unwrap();
                let progress = state.step(&rules, &reading(verdict, secs_i64), at(secs_i64));
                let row = verdicts[..=secs].iter().rev().take_while(|verdict| **verdict == Pass).count();
                let held = row > 0 && u64::try_from(row - 1).unwrap() >= held_for;
                let open = held && row >= usize::try_from(often).unwrap();
                prop_assert_eq!(progress == Progress::Open, open);
                let failures = verdicts[..=secs].iter().filter(|verdict| **verdict == Fail).count();
                let over = verdict == Fail && failures > usize::try_from(limit).unwrap();
                prop_assert_eq!(progress == Progress::Failed, over);
            }
        }
    }
}
