//! Shapes of the `gates:` section: questions that only read.
//!
//! In the file the keys of [`GateRules`] stand beside a gate's own (`{ max: 1MiB, for: 60s }`); the reader gathers
//! them into `rules`, and the JSON Schema shows them inline. The frozen plan stores them nested.

mod metrics;

pub use metrics::*;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{AwsPlace, Expect, Name};
use super::units::{Share, Size, Span};

/// A question that only reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// How far the side that is written is ahead of the other, from positions.
    ReplicationLag(ReplicationLag),
    /// The first column of the first row of a query.
    Sql(SqlGate),
    /// The answer to an HTTP request.
    Http(HttpGate),
    /// The answer of Prometheus to a query.
    Prometheus(PrometheusGate),
    /// What DMS finds when it compares the rows.
    DmsValidation(DmsValidation),
    /// A metric of CloudWatch.
    Cloudwatch(Box<CloudwatchGate>),
    /// Alarms of CloudWatch.
    Alarm(AlarmGate),
    /// How many servers behind a load balancer are fit.
    TargetHealth(TargetHealth),
    /// The share of the traffic that really arrives at the new servers.
    TrafficShare(TrafficShare),
    /// The age of the oldest open transaction.
    LongTransactions(LongTransactions),
    /// The time of day.
    TimeWindow(TimeWindow),
    /// A program's exit status.
    Command(CommandGate),
    /// A person's word.
    Approval(ApprovalGate),
}

impl Gate {
    /// The kind as the runbook spells it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ReplicationLag(_) => "replication-lag",
            Self::Sql(_) => "sql",
            Self::Http(_) => "http",
            Self::Prometheus(_) => "prometheus",
            Self::DmsValidation(_) => "dms-validation",
            Self::Cloudwatch(_) => "cloudwatch",
            Self::Alarm(_) => "alarm",
            Self::TargetHealth(_) => "target-health",
            Self::TrafficShare(_) => "traffic-share",
            Self::LongTransactions(_) => "long-transactions",
            Self::TimeWindow(_) => "time-window",
            Self::Command(_) => "command",
            Self::Approval(_) => "approval",
        }
    }

    /// Where its calls to AWS go, of a gate that asks AWS.
    pub const fn aws_mut(&mut self) -> Option<&mut AwsPlace> {
        match self {
            Self::Cloudwatch(gate) => Some(&mut gate.aws),
            Self::Alarm(gate) => Some(&mut gate.aws),
            _ => None,
        }
    }

    /// When and how often it is asked, and what its verdicts lead to.
    #[must_use]
    pub const fn rules(&self) -> &GateRules {
        match self {
            Self::ReplicationLag(gate) => &gate.rules,
            Self::Sql(gate) => &gate.rules,
            Self::Http(gate) => &gate.rules,
            Self::Prometheus(gate) => &gate.rules,
            Self::DmsValidation(gate) => &gate.rules,
            Self::Cloudwatch(gate) => &gate.rules,
            Self::Alarm(gate) => &gate.rules,
            Self::TargetHealth(gate) => &gate.rules,
            Self::TrafficShare(gate) => &gate.rules,
            Self::LongTransactions(gate) => &gate.rules,
            Self::TimeWindow(gate) => &gate.rules,
            Self::Command(gate) => &gate.rules,
            Self::Approval(gate) => &gate.rules,
        }
    }
}

/// When and how often a gate is asked, and what its verdicts lead to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GateRules {
    /// Time from one reading to the next.
    pub interval: Span,
    /// Wait this long before the first reading.
    pub initial_delay: Span,
    /// It must pass for this long without a break.
    #[serde(rename = "for")]
    pub held_for: Span,
    /// It must pass this many times in a row.
    pub consecutive_successes: u32,
    /// This many failed readings are let pass before `on-fail` takes effect.
    pub failure_limit: u32,
    /// It must have opened within this time; the step's own when absent.
    pub timeout: Option<Span>,
    /// What a failed gate leads to: `wait` asks again until the timeout.
    pub on_fail: OnFail,
    /// What a gate without data leads to. Unknown is never a pass.
    pub on_no_data: OnFail,
}

impl Default for GateRules {
    fn default() -> Self {
        Self {
            interval: Span::secs(5),
            initial_delay: Span::secs(0),
            held_for: Span::secs(0),
            consecutive_successes: 1,
            failure_limit: 0,
            timeout: None,
            on_fail: OnFail::Wait,
            on_no_data: OnFail::Hold,
        }
    }
}

/// What follows when a gate does not pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFail {
    /// Ask again until the timeout, then hold.
    Wait,
    /// Hold for a person.
    #[default]
    Hold,
    /// Roll back.
    Rollback,
}

/// How far the side that is written is ahead of the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ReplicationLag {
    /// At most this many bytes of write-ahead log.
    #[serde(default)]
    pub max: Option<Size>,
    /// At most this old, measured with a token that travels through the stream.
    #[serde(default)]
    pub max_age: Option<Span>,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}

/// What DMS finds when it compares the rows: every table must be validated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DmsValidation {
    /// Tables to leave out, `schema.table`: such as those that are always written.
    #[serde(default)]
    pub except: Vec<String>,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}

/// The first column of the first row of a query, run read-only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SqlGate {
    /// The database that is asked.
    pub system: Name,
    /// The query; its session is read-only.
    pub query: String,
    /// What the value must be; true, when nothing is said.
    #[serde(default)]
    pub expect: Expect,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}

/// The answer to a GET.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HttpGate {
    /// The URL.
    pub url: String,
    /// The status that passes.
    #[serde(default = "HttpGate::ok")]
    pub status: u16,
    /// Where in a JSON answer the value stands (RFC 9535), such as `$.queue.depth`.
    #[serde(default)]
    pub json_path: Option<String>,
    /// What the value must be.
    #[serde(default)]
    pub expect: Expect,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}

impl HttpGate {
    const fn ok() -> u16 {
        200
    }
}

/// How many servers that traffic moves to are fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TargetHealth {
    /// The load balancer.
    pub traffic: Name,
    /// At least this many, on every node.
    #[serde(default = "TargetHealth::one")]
    pub min: u32,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}

impl TargetHealth {
    const fn one() -> u32 {
        1
    }
}

/// The share that really arrives, counted by the load balancer between two readings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrafficShare {
    /// The load balancer.
    pub traffic: Name,
    /// The share to see; the weight last written when absent.
    #[serde(default)]
    pub share: Option<Share>,
    /// How far off it may be, in percentage points.
    #[serde(default = "TrafficShare::default_tolerance")]
    pub tolerance: Share,
    /// Fewer requests than this are no data.
    #[serde(default = "TrafficShare::default_requests")]
    pub min_requests: u64,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}

impl TrafficShare {
    const fn default_tolerance() -> Share {
        Share(3.0)
    }

    const fn default_requests() -> u64 {
        100
    }
}

/// The age of the oldest open transaction of a database, other than our own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LongTransactions {
    /// The database.
    pub system: Name,
    /// At most this old.
    pub max: Span,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}

/// The time of day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TimeWindow {
    /// `HH:MM` from which it passes.
    pub from: String,
    /// `HH:MM` until which it passes; earlier than `from` means the next day.
    pub to: String,
    /// IANA name of the time zone, such as `Europe/Berlin`.
    #[serde(default = "TimeWindow::utc")]
    pub timezone: String,
    /// Days on which it may begin: `mon` to `sun`; every day when empty.
    #[serde(default)]
    pub days: Vec<Day>,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}

impl TimeWindow {
    fn utc() -> String {
        "UTC".into()
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A program's exit status: 0 passes, 75 (`EX_TEMPFAIL`) is no data, anything else fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CommandGate {
    /// The program and its arguments; it must only read.
    pub run: Vec<String>,
    /// Killed after this long, which counts as an error.
    #[serde(default = "CommandGate::default_limit")]
    pub limit: Span,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}

impl CommandGate {
    const fn default_limit() -> Span {
        Span::secs(30)
    }
}

/// A person's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ApprovalGate {
    /// The question.
    pub message: String,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}
