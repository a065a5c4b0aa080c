//! A metric of CloudWatch at its newest complete datapoint. What CloudWatch says of a time before the gate was first
//! asked is not about what the run has done since; silence, lateness and half an answer are no data.

mod judge;
mod wanted;

use std::time::Duration;

use jiff::Timestamp;

use super::{GateContext, Reading, Verdict, limits, unmeasured};
use crate::clock;
use crate::runbook::model::CloudwatchGate;
use crate::systems::Result;
use crate::systems::aws::Access;
use crate::systems::aws::cloudwatch::{self, Range};
use crate::systems::world::World;

pub async fn measure(gate: &CloudwatchGate, context: &GateContext<'_>) -> Reading {
    let threshold = threshold(gate);
    let wanted = match wanted::of(gate, context.world) {
        Ok(wanted) => wanted,
        Err(error) => return unmeasured(&error, &threshold),
    };
    let now = clock::now();
    match ask(gate, &wanted, range(gate, now), context.world).await {
        Ok(answer) => {
            let moment = judge::Moment { now, since: context.since };
            judge::judged(gate, &wanted.subject, &answer, moment, &threshold)
        }
        Err(error) => unmeasured(&error, &threshold),
    }
}

pub fn threshold(gate: &CloudwatchGate) -> String {
    limits(gate.min, gate.max)
}

pub fn describe(gate: &CloudwatchGate, world: &World) -> Vec<String> {
    let wanted = wanted::of(gate, world).map(|wanted| cloudwatch::describe(&wanted.queries, gate.period.0).to_string());
    wanted.into_iter().collect()
}

async fn ask(
    gate: &CloudwatchGate,
    wanted: &wanted::Wanted,
    range: Range,
    world: &World,
) -> Result<Vec<cloudwatch::Series>> {
    let mut place = gate.aws.clone();
    if let Some((name, _)) = gate.balancer() {
        place.fill(&world.place(name)?);
    }
    let aws = world.aws_at("cloudwatch", &place, Access::ReadOnly).await?;
    cloudwatch::metric_data(&aws, &wanted.queries, range).await
}

/// Whole periods, as many as may count; the last has ended long enough ago to be complete.
fn range(gate: &CloudwatchGate, now: Timestamp) -> Range {
    let period = gate.period.0;
    let to = floor(now - gate.delay(), period);
    Range { from: floor(now - gate.max_age(), period) - 2 * period, to, period }
}

/// The last beginning of a period.
fn floor(at: Timestamp, period: Duration) -> Timestamp {
    let length = i64::try_from(period.as_secs()).unwrap_or(i64::MAX).max(1);
    Timestamp::from_second(at.as_second() - at.as_second().rem_euclid(length)).unwrap_or(at)
}

/// What is known to be wrong goes before what can't be known.
fn worst(readings: impl Iterator<Item = Reading>) -> Option<Reading> {
    let rank = |reading: &Reading| match reading.verdict {
        Verdict::Fail => 0,
        Verdict::Error => 1,
        Verdict::NoData => 2,
        Verdict::Pass => 3,
    };
    readings.min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn gate(shape: serde_json::Value) -> CloudwatchGate {
        serde_json::from_value(shape).unwrap()
    }

    #[test]
    fn the_range_is_whole_periods_that_have_ended() {
        let at = |secs: i64| Timestamp::from_second(1_800_000_000 + secs).unwrap();
        let gate = gate(serde_json::json!({ "metric": "elb-5xx", "max": "5" }));
        assert_eq!((gate.delay().as_secs(), gate.max_age().as_secs()), (60, 240));
        let range = range(&gate, at(125));
        assert_eq!((range.from, range.to), (at(-240), at(60)), "the minute at 60 may still change at 125");
    }

    #[test]
    fn the_worst_of_several_load_balancers_decides() {
        let reading = |verdict| Reading::new(verdict, "", "");
        let worst_of = |verdicts: &[Verdict]| worst(verdicts.iter().map(|verdict| reading(*verdict))).unwrap().verdict;
        assert_eq!(worst_of(&[Verdict::Pass, Verdict::Error, Verdict::Fail]), Verdict::Fail);
        assert_eq!(worst_of(&[Verdict::Pass, Verdict::NoData]), Verdict::NoData);
    }
}
