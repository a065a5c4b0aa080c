//! Gates: questions that only read. One file a kind; [`measure`] gives one reading, [`policy`] folds readings into what
//! they mean. Unknown is never a pass.

mod alarm;
mod approval;
mod cloudwatch;
mod command;
mod dms_validation;
mod http;
mod lag;
mod long_transactions;
pub mod policy;
mod prometheus;
mod sessions;
mod sql;
mod target_health;
pub(crate) mod time_window;
mod traffic_share;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use approval::{Answer, answered};
pub use policy::{GateState, Progress};
pub use sessions::{Keep, Kept, Sessions};
pub use traffic_share::Baselines;

use crate::clock;
use crate::runbook::model::{Expect, Gate};
use crate::runbook::units::Size;
use crate::secret;
use crate::systems::DriverError;
use crate::systems::pair::Flow;
use crate::systems::world::World;

/// Bound of one measurement, unless the gate has its own.
pub const MEASURE_LIMIT: Duration = Duration::from_secs(10);

/// What one measurement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is as wanted.
    Pass,
    /// It is known, and not as wanted.
    Fail,
    /// Nothing is known, and that is no mistake: too few requests, a stream that does not run.
    NoData,
    /// It could not be measured.
    Error,
}

/// One measurement. Its verdict is never changed afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reading {
    /// What it means.
    pub verdict: Verdict,
    /// What was read, for people, with its unit.
    pub value: String,
    /// What was read, as a number in the gate's base unit (bytes, seconds, per cent), for a chart.
    #[serde(default)]
    pub number: Option<f64>,
    /// What was wanted, for people: `at most 1.0 MiB`.
    pub threshold: String,
    /// Why there is no value, or what else to know.
    #[serde(default)]
    pub detail: Option<String>,
    /// When it was read.
    pub at: Timestamp,
    /// Whether nothing can be known yet, so soon after the gate was first asked: it is asked again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub early: bool,
}

impl Reading {
    pub(crate) fn new(verdict: Verdict, value: impl Into<String>, threshold: &str) -> Self {
        let value = value.into();
        Self {
            verdict,
            value,
            number: None,
            threshold: threshold.to_owned(),
            detail: None,
            at: clock::now(),
            early: false,
        }
    }

    /// A value that is known: passes or fails.
    fn known(pass: bool, value: impl Into<String>, threshold: &str) -> Self {
        Self::new(if pass { Verdict::Pass } else { Verdict::Fail }, value, threshold)
    }

    /// Nothing is known.
    fn no_data(why: impl Into<String>, threshold: &str) -> Self {
        Self::new(Verdict::NoData, "no data", threshold).detail(why)
    }

    /// It could not be measured.
    fn error(why: impl Into<String>, threshold: &str) -> Self {
        Self::new(Verdict::Error, "error", threshold).detail(secret::mask(&why.into()))
    }

    fn number(self, number: f64) -> Self {
        Self { number: Some(number), ..self }
    }

    fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// What a gate may look at.
pub struct GateContext<'a> {
    /// The systems.
    pub world: &'a World,
    /// The stream that carries the writes, when the plan has one.
    pub flow: Option<Flow<'a>>,
    /// Read-only sessions, kept from one measurement to the next.
    pub sessions: &'a Sessions,
    /// What the load balancers had counted before.
    pub baselines: &'a Baselines,
    /// When the gate was first asked, of one that is waited for: what was measured before is not about now.
    pub since: Option<Timestamp>,
}

/// Measures a gate once. Takes no longer than its limit, and never fails: that is a verdict too.
pub async fn measure(gate: &Gate, context: &GateContext<'_>) -> Reading {
    let limit = match gate {
        // Killed by its own limit, and then given time to go.
        Gate::Command(gate) => gate.limit.0 + Duration::from_secs(2),
        _ => MEASURE_LIMIT,
    };
    match tokio::time::timeout(limit, ask(gate, context)).await {
        Ok(reading) => reading,
        Err(_) => Reading::error(format!("no answer within {} s", limit.as_secs()), &threshold(gate)),
    }
}

async fn ask(gate: &Gate, context: &GateContext<'_>) -> Reading {
    match gate {
        Gate::ReplicationLag(gate) => lag::measure(gate, context).await,
        Gate::Sql(gate) => sql::measure(gate, context).await,
        Gate::Http(gate) => http::measure(gate).await,
        Gate::Prometheus(gate) => prometheus::measure(gate).await,
        Gate::DmsValidation(gate) => dms_validation::measure(gate, context).await,
        Gate::Cloudwatch(gate) => cloudwatch::measure(gate, context).await,
        Gate::Alarm(gate) => alarm::measure(gate, context).await,
        Gate::TargetHealth(gate) => target_health::measure(gate, context).await,
        Gate::TrafficShare(gate) => traffic_share::measure(gate, context).await,
        Gate::LongTransactions(gate) => long_transactions::measure(gate, context).await,
        Gate::TimeWindow(gate) => time_window::measure(gate, clock::now()),
        Gate::Command(gate) => command::measure(gate).await,
        Gate::Approval(gate) => answered(gate, None),
    }
}

/// What a gate sends, word for word, for the plan.
#[must_use]
pub fn describe(gate: &Gate, context: &GateContext<'_>) -> Vec<String> {
    match gate {
        Gate::ReplicationLag(gate) => lag::describe(gate, context.flow, context.world),
        Gate::Sql(gate) => sql::describe(gate, context.world),
        Gate::Http(gate) => vec![format!("GET {}", secret::mask(&gate.url))],
        Gate::Prometheus(gate) => prometheus::describe(gate),
        Gate::DmsValidation(_) => dms_validation::describe(context.flow),
        Gate::Cloudwatch(gate) => cloudwatch::describe(gate, context.world),
        Gate::Alarm(gate) => alarm::describe(gate),
        Gate::TargetHealth(gate) => target_health::describe(&gate.traffic, context.world),
        Gate::TrafficShare(gate) => target_health::describe(&gate.traffic, context.world),
        Gate::LongTransactions(gate) => long_transactions::describe(gate, context.world),
        Gate::TimeWindow(_) => Vec::new(),
        Gate::Command(gate) => vec![crate::systems::program::words(&gate.run)],
        Gate::Approval(gate) => vec![gate.message.clone()],
    }
}

/// What a gate wants, for people.
#[must_use]
pub fn threshold(gate: &Gate) -> String {
    match gate {
        Gate::ReplicationLag(gate) => lag::threshold(gate),
        Gate::Sql(gate) => expectation(&gate.expect),
        Gate::Http(gate) => http::threshold(gate),
        Gate::Prometheus(gate) => prometheus::threshold(gate),
        Gate::DmsValidation(_) => dms_validation::THRESHOLD.to_owned(),
        Gate::Cloudwatch(gate) => cloudwatch::threshold(gate),
        Gate::Alarm(gate) => alarm::threshold(gate),
        Gate::TargetHealth(gate) => target_health::threshold(gate),
        Gate::TrafficShare(gate) => traffic_share::threshold(gate, gate.share.map(|share| share.0)),
        Gate::LongTransactions(gate) => long_transactions::threshold(gate),
        Gate::TimeWindow(gate) => time_window::threshold(gate),
        Gate::Command(_) => "exit status 0".to_owned(),
        Gate::Approval(_) => "approved".to_owned(),
    }
}

/// What a value has to be, for people.
fn expectation(expect: &Expect) -> String {
    let mut parts = bounds(expect.min, expect.max);
    parts.extend(expect.equals.as_ref().map(|text| format!("`{text}`")));
    if parts.is_empty() { "true".to_owned() } else { parts.join(" and ") }
}

/// What a number has to be, for people.
fn limits<T: std::fmt::Display>(min: Option<T>, max: Option<T>) -> String {
    bounds(min, max).join(" and ")
}

fn bounds<T: std::fmt::Display>(min: Option<T>, max: Option<T>) -> Vec<String> {
    let min = min.map(|min| format!("at least {min}"));
    min.into_iter().chain(max.map(|max| format!("at most {max}"))).collect()
}

/// A number as people read it: four digits say enough.
fn figure(value: f64) -> String {
    let whole = value.abs().log10().floor().max(0.0);
    let digits = (0..4_u8).rev().find(|digits| f64::from(*digits) <= 3.0 - whole).map_or(0, usize::from);
    if value != 0.0 && value.abs() < 0.001 { format!("{value:.1e}") } else { trimmed(&format!("{value:.digits$}")) }
}

fn trimmed(text: &str) -> String {
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    text.to_owned()
}

/// Compares a value with what it has to be; true, when nothing is said.
fn compare(value: Option<&str>, expect: &Expect, threshold: &str) -> Reading {
    let Some(value) = value else { return Reading::no_data("the value is null", threshold) };
    let number = value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let bounded = expect.min.is_some() || expect.max.is_some();
    if bounded && number.is_none() {
        return Reading::error(format!("`{value}` is not a number"), threshold);
    }
    let within = number
        .is_none_or(|number| expect.min.is_none_or(|min| number >= min) && expect.max.is_none_or(|max| number <= max));
    let same = expect.equals.as_ref().is_none_or(|text| text == value);
    let plain = bounded || expect.equals.is_some() || matches!(value, "t" | "true");
    let reading = Reading::known(within && same && plain, secret::mask(value), threshold);
    match number {
        Some(number) => reading.number(number),
        None => reading,
    }
}

/// A driver that could not answer.
fn unmeasured(error: &DriverError, threshold: &str) -> Reading {
    Reading::error(error.to_string(), threshold)
}

/// A number of bytes, for people.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 or more")]
pub fn size(bytes: f64) -> String {
    Size(bytes as u64).to_string()
}

/// Seconds as people read them.
#[must_use]
pub fn seconds(secs: f64) -> String {
    match secs {
        secs if secs < 10.0 => format!("{secs:.1} s"),
        secs if secs < 600.0 => format!("{secs:.0} s"),
        secs => format!("{:.0} min", secs / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(value: Option<&str>, expect: &Expect) -> Verdict {
        compare(value, expect, &expectation(expect)).verdict
    }

    #[test]
    fn figures_have_four_digits() {
        let shown = |value: f64| figure(value);
        assert_eq!(shown(0.0), "0");
        assert_eq!(shown(0.012_345_678), "0.012");
        assert_eq!(shown(1.5), "1.5");
        assert_eq!(shown(12.345_67), "12.35");
        assert_eq!(shown(123_456.7), "123457");
        assert_eq!(shown(-2.0), "-2");
        assert_eq!(shown(0.000_012), "1.2e-5");
    }

    #[test]
    fn compares_values() {
        let at_most = Expect { max: Some(5.0), ..Expect::default() };
        assert_eq!(verdict(Some("5"), &at_most), Verdict::Pass);
        assert_eq!(verdict(Some("5.1"), &at_most), Verdict::Fail);
        assert_eq!(verdict(Some("many"), &at_most), Verdict::Error);
        assert_eq!(verdict(Some("NaN"), &at_most), Verdict::Error);
        assert_eq!(verdict(None, &at_most), Verdict::NoData, "unknown is never a pass");
        let same = Expect { equals: Some("ok".into()), ..Expect::default() };
        assert_eq!(verdict(Some("ok"), &same), Verdict::Pass);
        assert_eq!(verdict(Some("OK"), &same), Verdict::Fail);
        assert_eq!(verdict(Some("t"), &Expect::default()), Verdict::Pass);
        assert_eq!(verdict(Some("f"), &Expect::default()), Verdict::Fail);
        assert_eq!(verdict(Some("1"), &Expect::default()), Verdict::Fail);
        let both = Expect { min: Some(1.0), max: Some(2.0), equals: None };
        assert_eq!(expectation(&both), "at least 1 and at most 2");
    }
}
