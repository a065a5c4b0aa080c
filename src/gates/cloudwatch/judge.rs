//! What an answer of CloudWatch means. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::super::{Reading, figure, seconds};
use super::wanted::Subject;
use crate::runbook::model::{CloudwatchGate, Measures};
use crate::runbook::units::Limit;
use crate::systems::aws::cloudwatch::{Series, Whole};

/// When it is judged, and from when on it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub now: Timestamp,
    pub since: Option<Timestamp>,
}

type Points = BTreeMap<Timestamp, f64>;

/// One subject's reading.
pub(super) fn judged(
    gate: &CloudwatchGate,
    subject: &Subject,
    answer: &[Series],
    moment: Moment,
    threshold: &str,
) -> Reading {
    let ids: Vec<&String> = [&subject.value].into_iter().chain(&subject.requests).collect();
    let of_subject: Vec<&Series> = answer.iter().filter(|series| ids.contains(&&series.id)).collect();
    if let Some(reading) = unusable(&of_subject, threshold) {
        return reading;
    }
    let counted = |series: &Series| counting(gate, series, moment);
    let requests = subject
        .requests
        .as_ref()
        .map(|id| of_subject.iter().find(|series| series.id == *id).map(|series| counted(series)).unwrap_or_default());
    // Metric math can give several series; each must be as wanted.
    let values = of_subject.iter().filter(|series| series.id == subject.value);
    let mut readings: Vec<Reading> =
        values.map(|series| of_series(gate, subject, &counted(series), requests.as_ref(), moment, threshold)).collect();
    if readings.is_empty() {
        readings.push(of_series(gate, subject, &Points::new(), requests.as_ref(), moment, threshold));
    }
    super::worst(readings.into_iter()).unwrap_or_else(|| Reading::no_data("nothing was asked for", threshold))
}

/// An answer that is not whole says nothing.
fn unusable(series: &[&Series], threshold: &str) -> Option<Reading> {
    let told = |series: &Series, word: &str| {
        let messages = series.messages.iter().map(|message| format!(": {message}")).collect::<String>();
        format!("CloudWatch answers {word} for {}{messages}", series.label)
    };
    let failed = series.iter().find_map(|series| match &series.whole {
        Whole::Failed(word) => Some(Reading::error(told(series, word), threshold)),
        _ => None,
    });
    let partial = || {
        let partial = series.iter().find(|series| series.whole == Whole::Partial)?;
        Some(Reading::no_data(told(partial, "PartialData"), threshold))
    };
    failed.or_else(partial)
}

/// The datapoints that are complete and lie after the gate was first asked.
fn counting(gate: &CloudwatchGate, series: &Series, moment: Moment) -> Points {
    let complete = |at: Timestamp| at + gate.period.0 + gate.delay() <= moment.now;
    let after = |at: Timestamp| moment.since.is_none_or(|since| at >= since);
    series.points.iter().filter(|(at, _)| complete(**at) && after(**at)).map(|(at, value)| (*at, *value)).collect()
}

fn of_series(
    gate: &CloudwatchGate,
    subject: &Subject,
    values: &Points,
    requests: Option<&Points>,
    moment: Moment,
    threshold: &str,
) -> Reading {
    let newest = match (subject.measures, requests) {
        // What went wrong is not reported when nothing did; then the requests tell that somebody looked.
        (Measures::Rate, Some(requests)) => requests.keys().max(),
        (Measures::Count, Some(requests)) => values.keys().chain(requests.keys()).max(),
        _ => values.keys().max(),
    };
    let Some(newest) = newest.copied() else { return silence(gate, subject, moment, threshold) };
    let age = since(newest + gate.period.0, moment.now);
    if age > gate.max_age() {
        let why = format!("the newest datapoint of {} ended {} ago", subject.name, seconds(age.as_secs_f64()));
        return Reading::no_data(why, threshold);
    }
    let at = |points: &Points| points.get(&newest).copied();
    let sample = Sample { value: at(values), requests: requests.map(|requests| at(requests).unwrap_or(0.0)) };
    let reading = of_sample(gate, subject, sample, threshold);
    let when = format!("{} to {} UTC", clock_time(newest), clock_time(newest + gate.period.0));
    let detail = reading.detail.clone().map(|detail| format!("{detail}, ")).unwrap_or_default();
    reading.detail(format!("{}, {detail}{when}", subject.name))
}

/// Nothing was reported. Soon after the gate was first asked that is as it must be.
fn silence(gate: &CloudwatchGate, subject: &Subject, moment: Moment, threshold: &str) -> Reading {
    let patience = gate.max_age() + gate.period.0;
    let early = moment.since.is_some_and(|begun| since(begun, moment.now) < patience);
    let why = if early {
        format!("{} has no complete datapoint yet that began after this was first asked", subject.name)
    } else {
        format!("{} has no datapoint of the last {}", subject.name, seconds(gate.max_age().as_secs_f64()))
    };
    Reading { early, ..Reading::no_data(why, threshold) }
}

/// One datapoint, with the requests of its time.
#[derive(Clone, Copy)]
struct Sample {
    value: Option<f64>,
    requests: Option<f64>,
}

fn of_sample(gate: &CloudwatchGate, subject: &Subject, sample: Sample, threshold: &str) -> Reading {
    let requests = sample.requests.unwrap_or(0.0);
    let value = match (subject.measures, sample.value) {
        (Measures::Rate, events) => events.unwrap_or(0.0) * 100.0 / requests,
        (Measures::Count, events) => events.unwrap_or(0.0),
        (_, Some(value)) => value,
        (_, None) => f64::NAN,
    };
    // Something bad that happened too often is known, however few requests there were.
    let known = subject.measures == Measures::Count && !within(gate, value);
    if sample.requests.is_some() && !known && requests < least(gate) {
        let why = format!("{} requests, fewer than `min-requests` ({})", figure(requests), gate.min_requests);
        return Reading::no_data(why, threshold);
    }
    if !value.is_finite() {
        return Reading::no_data(format!("the value is {value}"), threshold);
    }
    let reading = Reading::known(within(gate, value), words(subject.measures, value), threshold).number(value);
    match sample.requests {
        Some(requests) => reading.detail(format!("{} requests", figure(requests))),
        None => reading,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of requests is far below 2^52")]
fn least(gate: &CloudwatchGate) -> f64 {
    gate.min_requests.max(1) as f64
}

fn within(gate: &CloudwatchGate, value: f64) -> bool {
    gate.min.map(Limit::base).is_none_or(|min| value >= min) && gate.max.map(Limit::base).is_none_or(|max| value <= max)
}

fn words(measures: Measures, value: f64) -> String {
    match measures {
        Measures::Rate => format!("{}%", figure(value)),
        Measures::Time if value < 1.0 => format!("{} ms", figure(value * 1000.0)),
        Measures::Time => seconds(value),
        Measures::Count | Measures::Number => figure(value),
    }
}

fn since(begun: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(begun)).unwrap_or_default()
}

fn clock_time(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::Verdict;
    use super::super::tests::gate;
    use super::*;

    const NOW: i64 = 1_800_000_000 + 605;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(NOW - 5 + secs).unwrap()
    }

    fn series(id: &str, points: &[(i64, f64)]) -> Series {
        Series {
            id: id.into(),
            label: id.into(),
            points: points.iter().map(|(secs, value)| (at(*secs), *value)).collect(),
            whole: Whole::Complete,
            messages: Vec::new(),
        }
    }

    fn subject(measures: Measures) -> Subject {
        let requests = (measures != Measures::Number).then(|| "r".to_owned());
        Subject { name: "web.to".into(), measures, value: "v".into(), requests }
    }

    fn read(measures: Measures, limits: &serde_json::Value, answer: &[Series], since: Option<i64>) -> Reading {
        let mut shape = json!({ "min-requests": 100 });
        shape.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        let moment = Moment { now: at(5), since: since.map(at) };
        judged(&gate(shape), &subject(measures), answer, moment, "")
    }

    #[test]
    fn errors_that_are_not_reported_did_not_happen_if_there_was_traffic() {
        let rate = |answer: &[Series]| read(Measures::Rate, &json!({ "max": "1%" }), answer, None);
        let calm = rate(&[series("r", &[(-120, 500.0)])]);
        assert_eq!((calm.verdict, calm.number), (Verdict::Pass, Some(0.0)), "{calm:?}");
        let bad = rate(&[series("r", &[(-120, 500.0)]), series("v", &[(-120, 10.0)])]);
        assert_eq!((bad.verdict, bad.value.as_str()), (Verdict::Fail, "2%"));
        assert_eq!(bad.detail.unwrap(), "web.to, 500 requests, 08:08:00 to 08:09:00 UTC");
        assert_eq!(rate(&[]).verdict, Verdict::NoData, "silence is no pass");
        assert_eq!(rate(&[series("v", &[(-120, 3.0)])]).verdict, Verdict::NoData, "nor is it a failure");
        let few = rate(&[series("r", &[(-120, 99.0)]), series("v", &[(-120, 99.0)])]);
        assert_eq!(few.verdict, Verdict::NoData, "{few:?}");
    }

    #[test]
    fn only_complete_datapoints_count() {
        let rate = |points: &[(i64, f64)]| {
            read(Measures::Rate, &json!({ "max": "1%" }), &[series("r", points), series("v", &[(-60, 500.0)])], None)
        };
        assert_eq!(rate(&[(-120, 500.0), (-60, 500.0), (0, 500.0)]).verdict, Verdict::Pass, "the last two can change");
        assert_eq!(rate(&[(-60, 500.0), (0, 500.0)]).verdict, Verdict::NoData);
        let stale = rate(&[(-360, 500.0)]);
        assert!(stale.detail.as_deref().unwrap().contains("ended"), "{stale:?}");
        assert_eq!((stale.verdict, stale.early), (Verdict::NoData, false));
    }

    #[test]
    fn what_was_before_the_gate_was_asked_does_not_count() {
        let answer = [series("r", &[(-180, 500.0), (-120, 500.0)])];
        let rate = |since| read(Measures::Rate, &json!({ "max": "1%" }), &answer, Some(since));
        assert_eq!(rate(-120).verdict, Verdict::Pass);
        let early = rate(-119);
        assert_eq!((early.verdict, early.early), (Verdict::NoData, true), "{early:?}");
        let late = read(Measures::Rate, &json!({ "max": "1%" }), &[], Some(-296));
        assert_eq!((late.verdict, late.early), (Verdict::NoData, false), "patience has an end: {late:?}");
    }

    #[test]
    fn a_count_that_is_too_high_fails_without_requests() {
        let count = |answer: &[Series]| read(Measures::Count, &json!({ "max": "0" }), answer, None).verdict;
        assert_eq!(count(&[series("v", &[(-120, 7.0)])]), Verdict::Fail, "all answers are 503: nobody was asked");
        assert_eq!(count(&[series("v", &[(-180, 7.0)]), series("r", &[(-120, 200.0)])]), Verdict::Pass);
        assert_eq!(count(&[series("r", &[(-120, 20.0)])]), Verdict::NoData);
    }

    #[test]
    fn times_and_numbers() {
        let time = |value: f64| {
            let answer = [series("v", &[(-120, value)]), series("r", &[(-120, 200.0)])];
            read(Measures::Time, &json!({ "max": "250ms" }), &answer, None)
        };
        assert_eq!((time(0.182).verdict, time(0.182).value.as_str()), (Verdict::Pass, "182 ms"));
        assert_eq!(time(0.251).verdict, Verdict::Fail);
        let hosts = |answer: &[Series]| read(Measures::Number, &json!({ "min": "2" }), answer, None).verdict;
        assert_eq!(hosts(&[series("v", &[(-120, 2.0)])]), Verdict::Pass);
        assert_eq!(hosts(&[series("v", &[(-180, 3.0), (-120, 1.0)])]), Verdict::Fail, "the newest counts");
        assert_eq!(hosts(&[series("v", &[(-120, f64::NAN)])]), Verdict::NoData);
        let several = [series("v", &[(-120, 3.0)]), Series { label: "b".into(), ..series("v", &[(-120, 1.0)]) }];
        assert_eq!(hosts(&several), Verdict::Fail, "each series of an expression");
    }

    #[test]
    fn half_an_answer_is_none() {
        let whole = series("r", &[(-120, 500.0)]);
        let rate = |state: Whole, messages: &[&str]| {
            let messages = messages.iter().map(|text| (*text).to_owned()).collect();
            let odd = Series { whole: state, messages, ..series("v", &[]) };
            read(Measures::Rate, &json!({ "max": "1%" }), &[whole.clone(), odd], None)
        };
        assert_eq!(rate(Whole::Partial, &[]).verdict, Verdict::NoData);
        let refused = rate(Whole::Failed("Forbidden".into()), &["no permission"]);
        assert_eq!(refused.verdict, Verdict::Error);
        assert_eq!(refused.detail.unwrap(), "CloudWatch answers Forbidden for v: no permission");
    }
}
