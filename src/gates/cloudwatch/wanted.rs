//! What is asked for: the rows of the request, and which of them answer for what.

use std::collections::BTreeMap;

use crate::runbook::model::{BalancerMetric, CloudwatchGate, Measures};
use crate::secret;
use crate::systems::aws::cloudwatch::{Ask, Metric, Query};
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError, Result};

const BALANCERS: &str = "AWS/ApplicationELB";

/// The rows of a request and what they answer for.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    pub queries: Vec<Query>,
    pub subject: Subject,
}

/// Something that is judged by itself.
#[derive(Debug, PartialEq)]
pub(super) struct Subject {
    /// For people.
    pub name: String,
    pub measures: Measures,
    /// The row with its value.
    pub value: String,
    /// The row with its requests.
    pub requests: Option<String>,
}

pub(super) fn of(gate: &CloudwatchGate, world: &World) -> Result<Wanted> {
    if let Some((name, side)) = gate.balancer() {
        let alb = world.alb(name)?;
        let balancer = alb.rules.iter().chain(&alb.listeners).next().cloned();
        let target_group = match side {
            Some("to") => Some(alb.to),
            Some("from") => Some(alb.from),
            _ => None,
        };
        let balancer = balancer.ok_or_else(|| failed(format!("{name} has neither rules nor listeners")))?;
        return of_balancer(gate, &balancer, target_group.as_deref());
    }
    match (&gate.load_balancer, &gate.expression) {
        (Some(balancer), _) => of_balancer(gate, balancer, gate.target_group.as_deref()),
        (None, Some(expression)) => Ok(of_expression(gate, expression)),
        (None, None) => Ok(of_metric(gate)),
    }
}

fn of_metric(gate: &CloudwatchGate) -> Wanted {
    let metric = Metric {
        namespace: gate.namespace.clone().unwrap_or_default(),
        name: gate.metric.clone().unwrap_or_default(),
        dimensions: gate.dimensions.clone(),
        statistic: gate.statistic.clone().unwrap_or_default(),
    };
    let name = format!("{} {}", metric.namespace, metric.name);
    let query = Query { id: "value".into(), ask: Ask::Metric(metric), wanted: true };
    Wanted { queries: vec![query], subject: own(name) }
}

fn of_expression(gate: &CloudwatchGate, expression: &str) -> Wanted {
    let rows = gate.metrics.iter().map(|(id, metric)| {
        let ask = Metric {
            namespace: metric.namespace.clone(),
            name: metric.metric.clone(),
            dimensions: metric.dimensions.clone(),
            statistic: metric.statistic.clone(),
        };
        Query { id: id.clone(), ask: Ask::Metric(ask), wanted: false }
    });
    let whole = Query { id: "value".into(), ask: Ask::Expression(expression.to_owned()), wanted: true };
    Wanted { queries: rows.chain([whole]).collect(), subject: own(expression.to_owned()) }
}

fn own(name: String) -> Subject {
    Subject { name, measures: Measures::Number, value: "value".into(), requests: None }
}

/// A metric of a load balancer that has a name here, with the requests of the same time.
fn of_balancer(gate: &CloudwatchGate, balancer: &str, group: Option<&str>) -> Result<Wanted> {
    let wanted = gate.metric.as_deref().unwrap_or_default();
    let metric = BalancerMetric::named(wanted).ok_or_else(|| failed(format!("`{wanted}` is none of its metrics")))?;
    let balancer = plain(balancer)?;
    let name = balancer_of(&balancer).ok_or_else(|| failed(format!("{balancer} names no load balancer")))?;
    let mut dimensions = BTreeMap::from([("LoadBalancer".to_owned(), name.to_owned())]);
    if let Some(group) = group {
        let group = plain(group)?;
        let name = group_of(&group).ok_or_else(|| failed(format!("{group} names no target group")))?;
        dimensions.insert("TargetGroup".to_owned(), name.to_owned());
    }
    Ok(rows_of(&metric, &dimensions))
}

fn rows_of(metric: &BalancerMetric, dimensions: &BTreeMap<String, String>) -> Wanted {
    let row = |id: &str, name: &str, statistic: &str| {
        let (namespace, name, statistic) = (BALANCERS.to_owned(), name.to_owned(), statistic.to_owned());
        let ask = Ask::Metric(Metric { namespace, name, dimensions: dimensions.clone(), statistic });
        Query { id: id.to_owned(), ask, wanted: true }
    };
    let mut queries = vec![row("value", metric.cloudwatch, &metric.statistic)];
    let needs_requests = metric.measures != Measures::Number;
    if needs_requests {
        queries.push(row("requests", "RequestCount", "Sum"));
    }
    let name = dimensions.values().last().cloned().unwrap_or_default();
    let requests = needs_requests.then(|| "requests".to_owned());
    Wanted { queries, subject: Subject { name, measures: metric.measures, value: "value".into(), requests } }
}

fn failed(reason: String) -> DriverError {
    DriverError::new("cloudwatch", "find its metrics", reason, Certainty::NotSent)
}

/// An ARN is no secret, but may stand in a variable.
fn plain(arn: &str) -> Result<String> {
    let resolved = secret::resolve(arn).map_err(|error| failed(error.to_string()))?;
    Ok(resolved.expose().to_owned())
}

/// `targetgroup/shop/0123` of a target group's ARN.
fn group_of(arn: &str) -> Option<&str> {
    arn.rsplit(':').next().filter(|part| part.starts_with("targetgroup/"))
}

/// `app/shop/0123` of the ARN of a load balancer, a listener or a rule.
fn balancer_of(arn: &str) -> Option<&str> {
    let path = arn.rsplit(':').next()?;
    let path = ["listener-rule/", "listener/", "loadbalancer/"].iter().find_map(|kind| path.strip_prefix(kind))?;
    let end = path.match_indices('/').nth(2).map_or(path.len(), |(at, _)| at);
    path.get(..end)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::gate;
    use super::*;

    fn arn(rest: &str) -> String {
        format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{rest}")
    }

    fn rows(wanted: &Wanted) -> Vec<String> {
        let row = |query: &Query| match &query.ask {
            Ask::Metric(metric) => format!("{} {} {:?}", query.id, metric.name, metric.dimensions),
            Ask::Expression(text) => format!("{} = {text}", query.id),
        };
        wanted.queries.iter().map(row).collect()
    }

    #[test]
    fn a_target_group_is_looked_at_behind_its_load_balancer() {
        for balancer in ["loadbalancer/app/shop/50dc", "listener/app/shop/50dc/f2", "listener-rule/app/shop/50dc/f2/96"]
        {
            let gate = gate(json!({ "metric": "target-5xx-rate", "max": "1%", "load-balancer": arn(balancer),
                                    "target-group": arn("targetgroup/new/84f3") }));
            let shop = "{\"LoadBalancer\": \"app/shop/50dc\", \"TargetGroup\": \"targetgroup/new/84f3\"}";
            let expected = [format!("value HTTPCode_Target_5XX_Count {shop}"), format!("requests RequestCount {shop}")];
            assert_eq!(rows(&of(&gate, &World::default()).unwrap()), expected, "{balancer}");
        }
    }

    #[test]
    fn the_whole_is_the_load_balancer_and_hosts_need_no_requests() {
        let ask = |metric: &str, balancer: String| {
            of(&gate(json!({ "metric": metric, "load-balancer": balancer, "max": "0" })), &World::default())
        };
        let whole = ask("elb-5xx", arn("loadbalancer/app/shop/50dc")).unwrap();
        assert_eq!(rows(&whole)[0], "value HTTPCode_ELB_5XX_Count {\"LoadBalancer\": \"app/shop/50dc\"}");
        assert_eq!(ask("healthy-hosts", arn("loadbalancer/app/shop/50dc")).unwrap().queries.len(), 1);
        assert!(ask("elb-5xx", arn("targetgroup/new/84f3")).is_err());
    }

    #[test]
    fn a_side_of_the_runbooks_load_balancer_is_its_target_group() {
        let alb = json!({ "alb": { "rules": [arn("listener-rule/app/shop/50dc/f2/96")],
                                   "from": arn("targetgroup/old/73e2"), "to": arn("targetgroup/new/84f3") } });
        let world = World::new([("web".to_owned(), serde_json::from_value(alb).unwrap())].into_iter().collect());
        let ask = |of_what: &str| {
            let gate = gate(json!({ "metric": "request-count", "of": of_what, "min": "1" }));
            rows(&of(&gate, &world).unwrap()).remove(0)
        };
        assert!(ask("web.to").ends_with("\"TargetGroup\": \"targetgroup/new/84f3\"}"));
        assert!(ask("web.from").ends_with("\"TargetGroup\": \"targetgroup/old/73e2\"}"));
        assert_eq!(ask("web"), "value RequestCount {\"LoadBalancer\": \"app/shop/50dc\"}");
    }

    #[test]
    fn an_expression_is_asked_for_with_its_metrics() {
        let metric = json!({ "namespace": "AWS/SQS", "metric": "Sent", "statistic": "Sum" });
        let gate = gate(json!({ "expression": "a * 2", "metrics": { "a": metric }, "max": "1" }));
        let wanted = of(&gate, &World::default()).unwrap();
        assert_eq!(rows(&wanted), ["a Sent {}", "value = a * 2"]);
        assert!(!wanted.queries[0].wanted && wanted.queries[1].wanted);
    }
}
