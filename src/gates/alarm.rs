//! Alarms of CloudWatch: all must be quiet. One that does not know, is not there, or has not looked yet at anything that
//! happened since the gate was first asked, is not quiet.

use std::time::Duration;

use jiff::Timestamp;

use super::{GateContext, Reading, Verdict, seconds, unmeasured};
use crate::clock;
use crate::runbook::model::AlarmGate;
use crate::systems::aws::Access;
use crate::systems::aws::cloudwatch::{self, Alarm, AlarmState};

const THRESHOLD: &str = "OK";

pub async fn measure(gate: &AlarmGate, context: &GateContext<'_>) -> Reading {
    let aws = match context.world.aws_at("cloudwatch", &gate.aws, Access::ReadOnly).await {
        Ok(aws) => aws,
        Err(error) => return unmeasured(&error, THRESHOLD),
    };
    match cloudwatch::alarms(&aws, &gate.names).await {
        Ok(found) => judged(gate, &found, clock::now(), context.since),
        Err(error) => unmeasured(&error, THRESHOLD),
    }
}

pub fn threshold(_gate: &AlarmGate) -> String {
    THRESHOLD.to_owned()
}

pub fn describe(gate: &AlarmGate) -> Vec<String> {
    vec![cloudwatch::describe_alarms(&gate.names).to_string()]
}

/// The worst alarm decides.
fn judged(gate: &AlarmGate, found: &[Alarm], now: Timestamp, since: Option<Timestamp>) -> Reading {
    let readings = gate.names.iter().map(|name| match found.iter().find(|alarm| alarm.name == *name) {
        Some(alarm) => of_alarm(gate, alarm, now, since),
        None => Reading::error(format!("there is no alarm `{name}` in this account and region"), THRESHOLD),
    });
    let rank = |reading: &Reading| match reading.verdict {
        Verdict::Fail => 0,
        Verdict::Error => 1,
        Verdict::NoData => 2,
        Verdict::Pass => 3,
    };
    readings.min_by_key(rank).unwrap_or_else(|| Reading::no_data("no alarm is named", THRESHOLD))
}

fn of_alarm(gate: &AlarmGate, alarm: &Alarm, now: Timestamp, since: Option<Timestamp>) -> Reading {
    let name = &alarm.name;
    if alarm.state == AlarmState::Alarm {
        return Reading::known(false, "ALARM", THRESHOLD).detail(format!("{name}: {}", alarm.reason));
    }
    if let Some(trouble) = &alarm.trouble {
        return Reading::no_data(format!("{name}: {trouble}: {}", alarm.reason), THRESHOLD);
    }
    if let Some(left) = too_early(alarm, now, since) {
        let why = format!("{name} has to look at {} more of what happens since this was first asked", span(left));
        return Reading { early: true, ..Reading::no_data(why, THRESHOLD) };
    }
    match &alarm.state {
        AlarmState::Ok => quiet(gate, alarm, now),
        AlarmState::Insufficient => Reading::no_data(format!("{name}: INSUFFICIENT_DATA: {}", alarm.reason), THRESHOLD),
        AlarmState::Other(word) => Reading::error(format!("{name} has the state `{word}`"), THRESHOLD),
        AlarmState::Alarm => Reading::known(false, "ALARM", THRESHOLD),
    }
}

fn quiet(gate: &AlarmGate, alarm: &Alarm, now: Timestamp) -> Reading {
    let (name, age) = (&alarm.name, alarm.updated.map(|updated| passed(updated, now)));
    match (gate.max_age, age) {
        (Some(limit), None) => Reading::no_data(format!("{name} does not say since when, {limit} at most"), THRESHOLD),
        (Some(limit), Some(age)) if age > limit.0 => {
            Reading::no_data(format!("{name} said OK {} ago, more than {limit}", span(age)), THRESHOLD)
        }
        _ => {
            let silent = if alarm.quiet_without_data { "; also when there are no data" } else { "" };
            let age = age.map(|age| format!(" for {}", span(age))).unwrap_or_default();
            Reading::known(true, "OK", THRESHOLD).detail(format!("{name}{age}{silent}"))
        }
    }
}

/// How much is left until everything that the alarm looks at lies after the gate was first asked.
fn too_early(alarm: &Alarm, now: Timestamp, since: Option<Timestamp>) -> Option<Duration> {
    let left = alarm.looks_back?.checked_sub(passed(since?, now))?;
    (!left.is_zero()).then_some(left)
}

fn passed(begun: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(begun)).unwrap_or_default()
}

fn span(length: Duration) -> String {
    seconds(length.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::units::Span;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn gate(max_age: Option<Span>) -> AlarmGate {
        let shape = serde_json::json!({ "names": ["a", "b"], "max-age": max_age });
        serde_json::from_value(shape).unwrap()
    }

    fn alarm(name: &str, state: AlarmState) -> Alarm {
        Alarm {
            name: name.into(),
            state,
            reason: "because".into(),
            updated: Some(at(-600)),
            trouble: None,
            looks_back: Some(Duration::from_secs(180)),
            quiet_without_data: false,
        }
    }

    fn verdict(found: &[Alarm]) -> Verdict {
        judged(&gate(None), found, at(0), None).verdict
    }

    #[test]
    fn all_must_be_quiet_and_there() {
        let ok = alarm("a", AlarmState::Ok);
        assert_eq!(verdict(&[ok.clone(), alarm("b", AlarmState::Ok)]), Verdict::Pass);
        assert_eq!(verdict(&[ok.clone(), alarm("b", AlarmState::Alarm)]), Verdict::Fail);
        assert_eq!(verdict(&[ok.clone(), alarm("b", AlarmState::Insufficient)]), Verdict::NoData);
        assert_eq!(verdict(&[ok.clone(), alarm("b", AlarmState::Other("NEW".into()))]), Verdict::Error);
        assert_eq!(verdict(std::slice::from_ref(&ok)), Verdict::Error, "a name with a typing error is not quiet");
        assert_eq!(verdict(&[alarm("b", AlarmState::Alarm)]), Verdict::Fail, "what rings, rings");
        let half = Alarm { trouble: Some("PARTIAL_DATA".into()), ..alarm("b", AlarmState::Ok) };
        assert_eq!(verdict(&[ok, half]), Verdict::NoData);
    }

    #[test]
    fn it_must_have_looked_at_what_happened_since() {
        let both = [alarm("a", AlarmState::Ok), alarm("b", AlarmState::Ok)];
        let asked = |since: i64, found: &[Alarm]| judged(&gate(None), found, at(0), Some(at(since)));
        let early = asked(-60, &both);
        assert_eq!((early.verdict, early.early), (Verdict::NoData, true));
        assert!(early.detail.unwrap().contains("look at 120 s more"));
        assert_eq!(asked(-180, &both).verdict, Verdict::Pass);
        assert_eq!(asked(-60, &[both[0].clone(), alarm("b", AlarmState::Alarm)]).verdict, Verdict::Fail);
        let late = asked(-200, &[both[0].clone(), alarm("b", AlarmState::Insufficient)]);
        assert_eq!((late.verdict, late.early), (Verdict::NoData, false));
    }

    #[test]
    fn an_old_word_counts_unless_the_gate_says_otherwise() {
        let both = [alarm("a", AlarmState::Ok), alarm("b", AlarmState::Ok)];
        let aged = |secs| judged(&gate(Some(Span::secs(secs))), &both, at(0), None).verdict;
        assert_eq!(aged(600), Verdict::Pass);
        assert_eq!(aged(599), Verdict::NoData);
    }
}
