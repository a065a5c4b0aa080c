//! What AWS publishes about a load balancer, planted into the emulator's CloudWatch from what the nodes count: as there,
//! a metric of requests is there only while there are requests.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{Dimension, MetricDatum, StandardUnit},
};

use super::{
    plane::{Shared, TargetCount},
    sdk::sdk_config,
};
use crate::clock;

/// AWS does it once a minute; a rehearsal has less time.
const EVERY: Duration = Duration::from_secs(1);
const NAMESPACE: &str = "AWS/ApplicationELB";

/// One target group's sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    requests: u64,
    errors_5xx: u64,
    healthy: u64,
    unhealthy: u64,
}

/// Publishes for ever.
pub(crate) async fn publish(shared: Arc<Shared>, ministack: String, balancer: String) {
    let client = Client::new(&sdk_config(&ministack));
    let mut before = BTreeMap::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let Ok(targets) = shared.targets().await else { continue };
        let now = sums(&targets);
        let data: Vec<MetricDatum> =
            now.iter().flat_map(|(group, sums)| data(&balancer, group, before.get(group), sums)).collect();
        before = now;
        // The next second says it again.
        drop(client.put_metric_data().namespace(NAMESPACE).set_metric_data(Some(data)).send().await);
    }
}

fn sums(targets: &[TargetCount]) -> BTreeMap<String, Sums> {
    let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for target in targets {
        let own = sums.entry(target.group.clone()).or_default();
        own.requests += target.requests;
        own.errors_5xx += target.errors_5xx;
        // A target is in every rule's backend, and counts once.
        if seen.insert((&target.group, &target.target)) {
            own.healthy += u64::from(target.healthy);
            own.unhealthy += u64::from(!target.healthy);
        }
    }
    sums
}

fn data(balancer: &str, group: &str, before: Option<&Sums>, now: &Sums) -> Vec<MetricDatum> {
    let before = before.copied().unwrap_or_default();
    let (requests, errors) =
        (now.requests.saturating_sub(before.requests), now.errors_5xx.saturating_sub(before.errors_5xx));
    let counts = [("RequestCount", requests), ("HTTPCode_Target_5XX_Count", errors)];
    let states = [("HealthyHostCount", now.healthy), ("UnHealthyHostCount", now.unhealthy)];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    counts.chain(states).map(|(name, count)| datum(name, count, balancer, group)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "requests of a second are far below 2^52")]
fn datum(name: &str, count: u64, balancer: &str, group: &str) -> MetricDatum {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    MetricDatum::builder()
        .metric_name(name)
        .dimensions(dimension("TargetGroup", after(group, ":").unwrap_or(group)))
        .dimensions(dimension("LoadBalancer", after(balancer, "loadbalancer/").unwrap_or(balancer)))
        .timestamp(DateTime::from_millis(clock::now().as_millisecond()))
        .unit(StandardUnit::Count)
        .storage_resolution(1)
        .value(count as f64)
        .build()
}

/// What stands behind the last `mark`.
fn after<'a>(arn: &'a str, mark: &str) -> Option<&'a str> {
    arn.rsplit_once(mark).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_published_only_when_there_are_some() {
        let before = Sums { requests: 10, errors_5xx: 1, healthy: 1, unhealthy: 0 };
        let names = |now: Sums| {
            let data = data("arn:x:loadbalancer/app/web/1", "arn:x:targetgroup/new/2", Some(&before), &now);
            data.iter().map(|datum| datum.metric_name().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(before), ["HealthyHostCount", "UnHealthyHostCount"]);
        let more = Sums { requests: 12, ..before };
        assert_eq!(names(more), ["RequestCount", "HealthyHostCount", "UnHealthyHostCount"]);
    }

    #[test]
    fn a_target_of_several_rules_counts_once() {
        let target = |rule: &str| TargetCount {
            rule: rule.into(),
            group: "g".into(),
            target: "127.0.0.1:1".into(),
            requests: 5,
            errors_5xx: 0,
            healthy: true,
        };
        let want = Sums { requests: 10, errors_5xx: 0, healthy: 1, unhealthy: 0 };
        assert_eq!(sums(&[target("a"), target("b")]), BTreeMap::from([("g".to_owned(), want)]));
    }
}
