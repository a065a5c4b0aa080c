//! Shapes of the gates that ask a metrics service.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GateRules;
use crate::runbook::aws::AwsPlace;
use crate::runbook::units::{Limit, Span};

/// The answer of Prometheus, or of anything with its HTTP API, to an instant query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PrometheusGate {
    /// Where it is, with its path prefix if it has one: `https://prometheus.example:9090`. May be a secret reference.
    pub url: String,
    /// PromQL that gives a number, or a vector of which every element must be as wanted. No element is no data.
    pub query: String,
    /// Headers that are sent with it, such as `Authorization`; may be secret references.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// At most this.
    #[serde(default)]
    pub max: Option<f64>,
    /// At least this.
    #[serde(default)]
    pub min: Option<f64>,
    /// A selector of the samples that the query is made of, without functions: their own times must be fresh. The
    /// query itself when absent, which says something when it is a plain selector.
    #[serde(default)]
    pub samples: Option<String>,
    /// A sample older than this is no data.
    #[serde(default = "PrometheusGate::default_age")]
    pub max_age: Span,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}

impl PrometheusGate {
    const fn default_age() -> Span {
        Span::secs(120)
    }
}

/// A metric of CloudWatch: one of a load balancer by name, any other by namespace, or metric math over several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CloudwatchGate {
    /// With `of` or `load-balancer`: `target-5xx-rate`, `target-4xx-rate`, `elb-5xx`, `p50-latency` and the like, `request-count`,
    /// `connection-errors` or `healthy-hosts`. With `namespace`: CloudWatch's own name.
    #[serde(default)]
    pub metric: Option<String>,
    /// A load balancer of the runbook, or one of its sides: `web`, `web.from`, `web.to`.
    #[serde(default)]
    pub of: Option<String>,
    /// ARN of an Application Load Balancer, or of a listener or rule of it.
    #[serde(default)]
    pub load_balancer: Option<String>,
    /// ARN of a target group: what that load balancer sees of it alone.
    #[serde(default)]
    pub target_group: Option<String>,
    /// Such as `AWS/SQS`, for a metric of your own choice.
    #[serde(default)]
    pub namespace: Option<String>,
    /// All dimensions of that metric.
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
    /// `Sum`, `Average`, `Minimum`, `Maximum`, `SampleCount`, or a percentile such as `p99`.
    #[serde(default)]
    pub statistic: Option<String>,
    /// Metric math over `metrics`.
    #[serde(default)]
    pub expression: Option<String>,
    /// The metrics of `expression`, by their names in it.
    #[serde(default)]
    pub metrics: BTreeMap<String, MetricOf>,
    /// The length of one datapoint: 1, 5, 10, 20 or 30 s, or whole minutes.
    #[serde(default = "CloudwatchGate::minute")]
    pub period: Span,
    /// At most this: a share of a rate, a time of a latency, else a number.
    #[serde(default)]
    pub max: Option<Limit>,
    /// At least this.
    #[serde(default)]
    pub min: Option<Limit>,
    /// With `of` or `load-balancer`: fewer requests than this in a period are no data.
    #[serde(default = "CloudwatchGate::requests")]
    pub min_requests: u64,
    /// How late a datapoint may still change after its end; it is not read before. The period, a minute at most, when
    /// absent.
    #[serde(default)]
    pub delay: Option<Span>,
    /// A datapoint that ended longer ago is no data; three periods and the delay when absent.
    #[serde(default)]
    pub max_age: Option<Span>,
    /// Where to ask; the runbook's own `aws:` when absent.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}

impl CloudwatchGate {
    const fn minute() -> Span {
        Span::secs(60)
    }

    const fn requests() -> u64 {
        100
    }

    /// How late a datapoint may still change.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay.map_or(self.period.0.min(Duration::from_secs(60)), |delay| delay.0)
    }

    /// The load balancer of `of`, and the side: `web.to` is `("web", Some("to"))`.
    #[must_use]
    pub fn balancer(&self) -> Option<(&str, Option<&str>)> {
        let of = self.of.as_deref()?;
        Some(of.split_once('.').map_or((of, None), |(name, side)| (name, Some(side))))
    }

    /// How long ago a datapoint may have ended.
    #[must_use]
    pub fn max_age(&self) -> Duration {
        self.max_age.map_or(3 * self.period.0 + self.delay(), |age| age.0)
    }
}

/// A metric of a load balancer that has a name here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalancerMetric {
    /// CloudWatch's name for it.
    pub cloudwatch: &'static str,
    /// The statistic that is asked for.
    pub statistic: String,
    /// What kind of number it is.
    pub measures: Measures,
    /// Whether AWS counts it for the load balancer as a whole only.
    pub whole: bool,
}

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measures {
    /// A share of the requests, in per cent.
    Rate,
    /// A time, in seconds.
    Time,
    /// How often something bad happened; AWS says nothing when it did not.
    Count,
    /// How often something happened, or how many there are.
    Number,
}

impl BalancerMetric {
    /// Names to suggest.
    pub const NAMES: [&'static str; 8] = [
        "target-5xx-rate",
        "target-4xx-rate",
        "elb-5xx",
        "p50-latency",
        "p99-latency",
        "request-count",
        "connection-errors",
        "healthy-hosts",
    ];

    /// The metric of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let metric = |cloudwatch, statistic: &str, measures, whole| {
            Some(Self { cloudwatch, statistic: statistic.to_owned(), measures, whole })
        };
        match name {
            "target-5xx-rate" => metric("HTTPCode_Target_5XX_Count", "Sum", Measures::Rate, false),
            "target-4xx-rate" => metric("HTTPCode_Target_4XX_Count", "Sum", Measures::Rate, false),
            "elb-5xx" => metric("HTTPCode_ELB_5XX_Count", "Sum", Measures::Count, true),
            "request-count" => metric("RequestCount", "Sum", Measures::Number, false),
            "connection-errors" => metric("TargetConnectionErrorCount", "Sum", Measures::Count, false),
            "healthy-hosts" => metric("HealthyHostCount", "Minimum", Measures::Number, false),
            _ => {
                let percentile = name.strip_suffix("-latency")?;
                let number = percentile.strip_prefix('p')?.parse::<f64>().ok()?;
                (0.0..=100.0).contains(&number).then_some(())?;
                metric("TargetResponseTime", percentile, Measures::Time, false)
            }
        }
    }
}

/// One metric of an expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MetricOf {
    /// Such as `AWS/SQS`.
    pub namespace: String,
    /// CloudWatch's own name.
    pub metric: String,
    /// All its dimensions.
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
    /// `Sum`, `Average`, `Minimum`, `Maximum`, `SampleCount`, or a percentile such as `p99`.
    pub statistic: String,
}

/// Alarms of CloudWatch, of metrics or of other alarms: all must be quiet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AlarmGate {
    /// Their names.
    pub names: Vec<String>,
    /// A state that was last said longer ago is no data; however old when absent, since a quiet alarm says nothing new.
    #[serde(default)]
    pub max_age: Option<Span>,
    /// Where to ask; the runbook's own `aws:` when absent.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// When and how often.
    #[serde(default)]
    pub rules: GateRules,
}
