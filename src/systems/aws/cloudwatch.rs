//! CloudWatch: metric data and alarms. Both calls only read.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types as sdk;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Aws, Call, Service};
use crate::systems::Result;

/// Alarms that one call may name.
const ALARMS_A_CALL: usize = 100;
/// Pages of one answer; more than this is not an answer to a question of ours.
const PAGES: usize = 50;

/// A metric as CloudWatch knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Such as `AWS/ApplicationELB`.
    pub namespace: String,
    /// Such as `RequestCount`.
    pub name: String,
    /// All of them: a metric with others is another metric.
    pub dimensions: BTreeMap<String, String>,
    /// Such as `Sum` or `p99`.
    pub statistic: String,
}

/// What one row of a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A metric.
    Metric(Metric),
    /// Metric math over the other rows.
    Expression(String),
}

/// One row of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its name in expressions and in the answer.
    pub id: String,
    /// What it asks for.
    pub ask: Ask,
    /// Whether its data is wanted, not only used in an expression.
    pub wanted: bool,
}

/// From when until when, in steps of how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first moment.
    pub from: Timestamp,
    /// The moment after the last.
    pub to: Timestamp,
    /// The length of one datapoint.
    pub period: Duration,
}

/// How whole a series is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whole {
    /// All of it.
    Complete,
    /// Some datapoints are missing.
    Partial,
    /// It could not be read: CloudWatch's word for why.
    Failed(String),
}

/// A series of an answer; its datapoints begin at their timestamps.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The row that it answers.
    pub id: String,
    /// CloudWatch's name for it.
    pub label: String,
    /// By time, the oldest first.
    pub points: BTreeMap<Timestamp, f64>,
    /// How whole it is.
    pub whole: Whole,
    /// What CloudWatch says beside it.
    pub messages: Vec<String>,
}

/// The call that [`metric_data`] makes, for the plan.
#[must_use]
pub fn describe(queries: &[Query], period: Duration) -> Call {
    let rows: Vec<Value> = queries.iter().map(|query| row(query, period)).collect();
    Call::new(Service::Cloudwatch, "GetMetricData", json!({ "MetricDataQueries": rows }))
}

fn row(query: &Query, period: Duration) -> Value {
    match &query.ask {
        Ask::Expression(text) => json!({ "Id": query.id, "Expression": text }),
        Ask::Metric(metric) => {
            let stat = json!({ "Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": metric.dimensions,
                               "Stat": metric.statistic, "Period": period.as_secs() });
            json!({ "Id": query.id, "MetricStat": stat })
        }
    }
}

/// The datapoints of a range, all pages of them.
pub async fn metric_data(aws: &Aws, queries: &[Query], range: Range) -> Result<Vec<Series>> {
    let client = aws.cloudwatch();
    let rows: Vec<sdk::MetricDataQuery> = queries.iter().map(|query| sent(query, range.period)).collect();
    let mut all: Vec<Series> = Vec::new();
    let mut token = None;
    for _ in 0..PAGES {
        let send = || {
            let call = client.get_metric_data().set_metric_data_queries(Some(rows.clone()));
            let call = call.start_time(moment(range.from)).end_time(moment(range.to));
            call.scan_by(sdk::ScanBy::TimestampDescending).set_next_token(token.clone()).send()
        };
        let page = aws.read(Service::Cloudwatch, "read metrics", send).await?;
        for result in page.metric_data_results() {
            add(&mut all, result);
        }
        for series in &mut all {
            series.messages.extend(page.messages().iter().filter_map(words));
        }
        token = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
        if token.is_none() {
            return Ok(all);
        }
    }
    // What was not read is missing.
    for series in &mut all {
        series.whole = Whole::Partial;
    }
    Ok(all)
}

fn sent(query: &Query, period: Duration) -> sdk::MetricDataQuery {
    let builder = sdk::MetricDataQuery::builder().id(&query.id).return_data(query.wanted);
    match &query.ask {
        Ask::Expression(text) => builder.expression(text).period(seconds(period)).build(),
        Ask::Metric(metric) => {
            let dimension = |(name, value)| sdk::Dimension::builder().name(name).value(value).build();
            let dimensions = metric.dimensions.iter().map(dimension).collect();
            let named = sdk::Metric::builder().namespace(&metric.namespace).metric_name(&metric.name);
            let named = named.set_dimensions(Some(dimensions)).build();
            let stat = sdk::MetricStat::builder().metric(named).period(seconds(period)).stat(&metric.statistic);
            builder.metric_stat(stat.build()).build()
        }
    }
}

/// Adds what a page says of a series; the last page's word on how whole it is counts.
fn add(all: &mut Vec<Series>, result: &sdk::MetricDataResult) {
    let (id, label) = (result.id().unwrap_or_default(), result.label().unwrap_or_default());
    let place = all.iter().position(|series| series.id == id && series.label == label);
    let whole = whole(result.status_code());
    let place = place.unwrap_or_else(|| {
        let (id, label) = (id.to_owned(), label.to_owned());
        all.push(Series { id, label, points: BTreeMap::new(), whole: whole.clone(), messages: Vec::new() });
        all.len() - 1
    });
    let series = &mut all[place];
    series.whole = whole;
    let points = result.timestamps().iter().zip(result.values());
    series.points.extend(points.filter_map(|(at, value)| Some((timestamp(at)?, *value))));
    series.messages.extend(result.messages().iter().filter_map(words));
}

fn whole(code: Option<&sdk::StatusCode>) -> Whole {
    match code {
        Some(sdk::StatusCode::Complete) => Whole::Complete,
        Some(sdk::StatusCode::PartialData) => Whole::Partial,
        Some(other) => Whole::Failed(other.as_str().to_owned()),
        None => Whole::Failed("without a status".to_owned()),
    }
}

fn words(message: &sdk::MessageData) -> Option<String> {
    let parts: Vec<&str> = message.code().into_iter().chain(message.value()).collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

/// What an alarm says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlarmState {
    /// It is quiet.
    Ok,
    /// It rings.
    Alarm,
    /// It does not know.
    Insufficient,
    /// A word that we don't know.
    Other(String),
}

/// An alarm, of metrics or of other alarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// What it says.
    pub state: AlarmState,
    /// Why it says so, in CloudWatch's words.
    pub reason: String,
    /// When its state was last said.
    pub updated: Option<Timestamp>,
    /// CloudWatch's word for an evaluation that does not work.
    pub trouble: Option<String>,
    /// How far back it looks; unknown of an alarm of alarms.
    pub looks_back: Option<Duration>,
    /// Whether it stays quiet when there are no data.
    pub quiet_without_data: bool,
}

/// The call that [`alarms`] makes, for the plan.
#[must_use]
pub fn describe_alarms(names: &[String]) -> Call {
    let parameters = json!({ "AlarmNames": names, "AlarmTypes": ["MetricAlarm", "CompositeAlarm"] });
    Call::new(Service::Cloudwatch, "DescribeAlarms", parameters)
}

/// The alarms of these names; one that is not there is left out.
pub async fn alarms(aws: &Aws, names: &[String]) -> Result<Vec<Alarm>> {
    let client = aws.cloudwatch();
    let mut found = Vec::new();
    for names in names.chunks(ALARMS_A_CALL) {
        let mut token: Option<String> = None;
        for _ in 0..PAGES {
            let send = || {
                let call = client.describe_alarms().set_alarm_names(Some(names.to_vec()));
                // Alarms of alarms are left out when nothing is said.
                let call = call.alarm_types(sdk::AlarmType::MetricAlarm).alarm_types(sdk::AlarmType::CompositeAlarm);
                call.set_next_token(token.clone()).send()
            };
            let page = aws.read(Service::Cloudwatch, "read alarms", send).await?;
            found.extend(page.metric_alarms().iter().map(of_metrics));
            found.extend(page.composite_alarms().iter().map(of_alarms));
            token = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
    }
    Ok(found)
}

fn of_metrics(alarm: &sdk::MetricAlarm) -> Alarm {
    let periods = alarm.evaluation_periods().and_then(|periods| u32::try_from(periods).ok());
    let period = alarm.period().and_then(|secs| u64::try_from(secs).ok()).map(Duration::from_secs);
    let math = || {
        let longest = alarm.metrics().iter().filter_map(|row| row.period().or(row.metric_stat()?.period())).max()?;
        u64::try_from(longest).ok().map(Duration::from_secs)
    };
    Alarm {
        name: alarm.alarm_name().unwrap_or_default().to_owned(),
        state: state(alarm.state_value()),
        reason: alarm.state_reason().unwrap_or_default().to_owned(),
        updated: alarm.state_updated_timestamp().and_then(timestamp),
        trouble: alarm.evaluation_state().map(|state| state.as_str().to_owned()),
        looks_back: period.or_else(math).zip(periods).map(|(period, periods)| period * periods),
        quiet_without_data: matches!(alarm.treat_missing_data(), Some("notBreaching" | "ignore")),
    }
}

fn of_alarms(alarm: &sdk::CompositeAlarm) -> Alarm {
    Alarm {
        name: alarm.alarm_name().unwrap_or_default().to_owned(),
        state: state(alarm.state_value()),
        reason: alarm.state_reason().unwrap_or_default().to_owned(),
        updated: alarm.state_updated_timestamp().and_then(timestamp),
        trouble: None,
        looks_back: None,
        quiet_without_data: false,
    }
}

fn state(value: Option<&sdk::StateValue>) -> AlarmState {
    match value {
        Some(sdk::StateValue::Ok) => AlarmState::Ok,
        Some(sdk::StateValue::Alarm) => AlarmState::Alarm,
        Some(sdk::StateValue::InsufficientData) => AlarmState::Insufficient,
        other => AlarmState::Other(other.map(|other| other.as_str().to_owned()).unwrap_or_default()),
    }
}

fn seconds(period: Duration) -> i32 {
    i32::try_from(period.as_secs()).unwrap_or(i32::MAX)
}

fn moment(at: Timestamp) -> DateTime {
    DateTime::from_secs(at.as_second())
}

fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(id: &str, secs: &[i64], code: sdk::StatusCode) -> sdk::MetricDataResult {
        let builder = sdk::MetricDataResult::builder().id(id).label(id).status_code(code);
        let times = secs.iter().map(|secs| DateTime::from_secs(*secs)).collect();
        builder.set_timestamps(Some(times)).set_values(Some(vec![1.0; secs.len()])).build()
    }

    #[test]
    fn pages_are_put_together_and_the_last_word_counts() {
        let mut all = Vec::new();
        add(&mut all, &result("a", &[120, 60], sdk::StatusCode::PartialData));
        add(&mut all, &result("b", &[120], sdk::StatusCode::Complete));
        add(&mut all, &result("a", &[0], sdk::StatusCode::Complete));
        add(&mut all, &result("b", &[], sdk::StatusCode::PartialData));
        let seen: Vec<_> = all.iter().map(|series| (series.id.as_str(), series.points.len(), &series.whole)).collect();
        assert_eq!(seen, [("a", 3, &Whole::Complete), ("b", 1, &Whole::Partial)]);
        assert_eq!(whole(Some(&sdk::StatusCode::Forbidden)), Whole::Failed("Forbidden".into()));
        assert_eq!(whole(None), Whole::Failed("without a status".into()), "unknown is not complete");
    }

    #[test]
    fn an_alarm_looks_back_over_all_its_periods() {
        let alarm = sdk::MetricAlarm::builder().alarm_name("a").period(60).evaluation_periods(5);
        let read = of_metrics(&alarm.state_value(sdk::StateValue::Ok).treat_missing_data("notBreaching").build());
        assert_eq!((read.looks_back, read.quiet_without_data), (Some(Duration::from_secs(300)), true));
        assert_eq!(state(None), AlarmState::Other(String::new()));
    }
}
