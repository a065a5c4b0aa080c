//! The traffic that really arrives: as CloudWatch counts it at each target group, or by requests of our own whose answers
//! tell the sides apart.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode};
use jiff::Timestamp;

use super::routes::short;
use crate::clock;
use crate::runbook::model::{ObserveCloudwatch, ObserveHttp};
use crate::systems::aws::{Aws, Service};
use crate::systems::traffic::{Meter, Observed};
use crate::systems::{Certainty, DriverError, Result};

/// Counts by CloudWatch.
pub struct ByCloudwatch {
    aws: Aws,
    spec: ObserveCloudwatch,
    /// `LoadBalancer` of the metrics, and both groups as they call them.
    balancers: Vec<String>,
    groups: [String; 2],
    since: Timestamp,
}

impl ByCloudwatch {
    /// Begins to count with the next whole period.
    #[must_use]
    pub fn new(aws: Aws, spec: ObserveCloudwatch, balancers: Vec<String>, groups: [&str; 2]) -> Self {
        let groups = groups.map(dimension_of_group);
        let mut meter = Self { aws, spec, balancers, groups, since: clock::now() };
        meter.anew();
        meter
    }

    fn period(&self) -> i64 {
        i64::try_from(self.spec.period.0.as_secs().max(1)).unwrap_or(60)
    }

    /// The end of the last period that does not change any more.
    fn until(&self, now: Timestamp) -> Timestamp {
        let delay = i64::try_from(self.spec.delay.0.as_secs()).unwrap_or(0);
        whole(now.as_second() - delay, self.period())
    }

    fn queries(&self) -> Vec<MetricDataQuery> {
        let pairs = self.groups.iter().enumerate().flat_map(|(side, group)| {
            self.balancers.iter().enumerate().map(move |(at, balancer)| (format!("s{side}b{at}"), group, balancer))
        });
        let period = i32::try_from(self.period()).unwrap_or(60);
        pairs.map(|(id, group, balancer)| query(&id, group, balancer, period)).collect()
    }
}

/// The start of the period that a second stands in.
fn whole(second: i64, period: i64) -> Timestamp {
    Timestamp::from_second(second - second.rem_euclid(period)).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn query(id: &str, group: &str, balancer: &str, period: i32) -> MetricDataQuery {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let metric = Metric::builder()
        .namespace("AWS/ApplicationELB")
        .metric_name("RequestCount")
        .dimensions(dimension("TargetGroup", group))
        .dimensions(dimension("LoadBalancer", balancer))
        .build();
    let stat = MetricStat::builder().metric(metric).period(period).stat("Sum").build();
    MetricDataQuery::builder().id(id).metric_stat(stat).return_data(true).build()
}

#[async_trait]
impl Meter for ByCloudwatch {
    async fn read(&mut self) -> Result<Option<Observed>> {
        let until = self.until(clock::now());
        if until <= self.since {
            return Ok(None);
        }
        let (from, to) = (DateTime::from_secs(self.since.as_second()), DateTime::from_secs(until.as_second()));
        let queries = self.queries();
        let send = || {
            let call = self.aws.cloudwatch().get_metric_data().start_time(from).end_time(to);
            call.set_metric_data_queries(Some(queries.clone())).send()
        };
        let answer = self.aws.read(Service::Cloudwatch, "count the requests of both target groups", send).await?;
        Ok(counted(answer.metric_data_results()))
    }

    fn anew(&mut self) {
        let period = self.period();
        self.since = whole(clock::now().as_second() + period - 1, period);
    }

    fn pace(&self) -> Duration {
        (self.spec.period.0 / 4).clamp(Duration::from_secs(1), Duration::from_secs(15))
    }
}

/// A group without a request has no metric; but when neither has one, nothing is known. A part of an answer is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of requests")]
fn counted(results: &[MetricDataResult]) -> Option<Observed> {
    let whole =
        |result: &&MetricDataResult| result.status_code.as_ref().is_none_or(|code| *code == StatusCode::Complete);
    if !results.iter().all(|result| whole(&result)) || results.iter().all(|result| result.values().is_empty()) {
        return None;
    }
    let side = |side: &str| {
        let ours = results.iter().filter(|result| result.id.as_deref().is_some_and(|id| id.starts_with(side)));
        let sum: f64 = ours.flat_map(MetricDataResult::values).sum();
        sum.is_finite().then_some(sum.max(0.0) as u64)
    };
    Some(Observed::of(side("s0")?, side("s1")?))
}

/// The end of an ARN that CloudWatch calls a group by: `targetgroup/green/73e2d`.
pub fn dimension_of_group(arn: &str) -> String {
    arn.rsplit_once(":targetgroup/").map_or_else(|| arn.to_owned(), |(_, rest)| format!("targetgroup/{rest}"))
}

/// The end of an ARN that CloudWatch calls a load balancer by: `app/web/50dc6`, out of that of a listener or a rule.
pub fn dimension_of_balancer(arn: &str) -> Option<String> {
    let resource = arn.split(':').nth(5)?;
    let parts: Vec<&str> = resource.split('/').collect();
    (parts.len() >= 4).then(|| parts[1..4].join("/"))
}

/// Counts requests of our own.
pub struct ByHttp {
    system: String,
    spec: ObserveHttp,
    client: reqwest::Client,
    from: u64,
    to: u64,
    neither: u64,
}

/// One request may take so long.
const REQUEST: Duration = Duration::from_secs(5);

impl ByHttp {
    /// Begins to count.
    pub fn new(system: &str, spec: ObserveHttp) -> Result<Self> {
        // reqwest is built without a provider of its own; somebody may have installed one already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .timeout(REQUEST)
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| DriverError::new(system, "prepare requests", error, Certainty::NotSent))?;
        Ok(Self { system: system.to_owned(), spec, client, from: 0, to: 0, neither: 0 })
    }

    async fn ask(&self) -> std::result::Result<String, reqwest::Error> {
        let answer = self.client.get(&self.spec.url).send().await?;
        match &self.spec.header {
            Some(header) => {
                let value = answer.headers().get(header).and_then(|value| value.to_str().ok());
                Ok(value.unwrap_or_default().to_owned())
            }
            None => answer.text().await,
        }
    }

    /// A second's requests, one after the other.
    async fn round(&mut self) {
        let gap = Duration::from_secs(1) / self.spec.rate.max(1);
        for _ in 0..self.spec.rate.max(1) {
            let began = clock::monotonic();
            match self.ask().await {
                Ok(text) if text.contains(&self.spec.to) => self.to += 1,
                Ok(text) if text.contains(&self.spec.from) => self.from += 1,
                _ => self.neither += 1,
            }
            tokio::time::sleep(gap.saturating_sub(began.elapsed())).await;
        }
    }
}

#[async_trait]
impl Meter for ByHttp {
    async fn read(&mut self) -> Result<Option<Observed>> {
        self.round().await;
        let known = self.from + self.to;
        // Answers that name no side may have come from either: with too many of them nothing is known.
        if self.neither * 100 > known {
            let reason = format!("{} of {} answers name neither side", self.neither, self.neither + known);
            self.anew();
            let what = format!("tell the sides apart at {}", self.spec.url);
            return Err(DriverError::new(&self.system, &what, reason, Certainty::Refused)
                .with_hint("does the page answer, and do `header`, `from` and `to` of `observe` fit its answers?"));
        }
        Ok(Some(Observed::of(self.from, self.to)))
    }

    fn anew(&mut self) {
        (self.from, self.to, self.neither) = (0, 0, 0);
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(20)
    }
}

/// For a person: what is counted, and where.
#[must_use]
pub fn describe(spec: &crate::runbook::model::Observe, groups: [&str; 2]) -> String {
    match spec {
        crate::runbook::model::Observe::Cloudwatch(spec) => {
            let names = groups.map(short).join(" and ");
            format!("RequestCount of {names} in CloudWatch, each {}, {} late", spec.period, spec.delay)
        }
        crate::runbook::model::Observe::Http(spec) => format!("{} requests a second to {}", spec.rate, spec.url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(id: &str, values: &[f64]) -> MetricDataResult {
        let result = MetricDataResult::builder().id(id).status_code(StatusCode::Complete);
        result.set_values(Some(values.to_vec())).build()
    }

    #[test]
    fn metrics_are_called_by_the_ends_of_arns() {
        let group = "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/green/73e2d";
        assert_eq!(dimension_of_group(group), "targetgroup/green/73e2d");
        let rule = "arn:aws:elasticloadbalancing:eu-central-1:1:listener-rule/app/web/50dc6/f2f7d/9683b";
        assert_eq!(dimension_of_balancer(rule).as_deref(), Some("app/web/50dc6"));
    }

    #[test]
    fn silence_is_not_zero() {
        assert_eq!(counted(&[result("s0b0", &[]), result("s1b0", &[])]), None);
        assert_eq!(counted(&[result("s0b0", &[90.0, 9.0]), result("s1b0", &[])]), Some(Observed::of(99, 0)));
        assert_eq!(counted(&[result("s0b0", &[75.0]), result("s1b0", &[25.0])]).unwrap().share, Some(25.0));
        assert_eq!(counted(&[result("s0b0", &[f64::NAN]), result("s1b0", &[1.0])]), None);
        let part = MetricDataResult::builder().id("s0b0").status_code(StatusCode::PartialData).values(1.0).build();
        assert_eq!(counted(&[part, result("s1b0", &[1.0])]), None);
        assert_eq!(counted(&[]), None);
    }

    #[test]
    fn only_whole_periods_that_do_not_change_any_more_count() {
        assert_eq!(whole(125, 60).as_second(), 120);
        assert_eq!(whole(120, 60).as_second(), 120);
    }
}
