//! Values of the gates that ask a metrics service.

use std::time::Duration;

use super::{Check, has_reference, literal_password, web_url};
use crate::runbook::diagnostics::suggest;
use crate::runbook::mask::SECRET_WORDS;
use crate::runbook::model::{AlarmGate, BalancerMetric, CloudwatchGate, Gate, Measures, Name, PrometheusGate};
use crate::runbook::units::{Limit, Span};

pub(super) fn prometheus(check: &mut Check<'_>, path: &str, gate: &PrometheusGate) {
    web_url(check, &format!("{path}/url"), &gate.url);
    for (key, query) in [("query", Some(&gate.query)), ("samples", gate.samples.as_ref())] {
        if query.is_some_and(|query| query.trim().is_empty()) {
            check.error(&format!("{path}/{key}"), "empty-query", "there is no query", "write PromQL, such as `up`");
        }
    }
    no_limit(check, path, gate.min.is_none() && gate.max.is_none());
    if gate.max_age.0 < Duration::from_secs(1) {
        let message = format!("no sample is younger than {}", gate.max_age);
        check.error(&format!("{path}/max-age"), "bad-value", &message, "write at least `1s`");
    }
    for (name, value) in &gate.headers {
        header(check, &format!("{path}/headers/{name}"), name, value);
    }
}

fn header(check: &mut Check<'_>, path: &str, name: &str, value: &str) {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(is_word) {
        let message = format!("`{name}` can't be the name of a header");
        check.error(&format!("{path}#"), "bad-header", &message, "write one such as `Authorization`");
    }
    let lower = name.to_ascii_lowercase();
    let is_secret = SECRET_WORDS.iter().chain(&["cookie"]).any(|word| lower.contains(word));
    if is_secret && !has_reference(value) {
        literal_password(check, path);
    }
}

pub(super) fn no_limit(check: &mut Check<'_>, path: &str, missing: bool) {
    if missing && !check.is_poisoned_below(path) {
        check.error(path, "no-limit", "this gate says nothing of what is too much", "add `max: 5`, `min: 1`, or both");
    }
}

/// A bake that ends before a gate of CloudWatch has anything to say about it. A datapoint begins at a whole period, and counts
/// when it is complete.
pub(super) fn soon_enough(check: &mut Check<'_>, path: &str, bake: Span, gates: &[Name]) {
    for name in gates {
        let Some(Gate::Cloudwatch(gate)) = check.runbook.gates.get(name) else { continue };
        let needed = gate.period.0 * 2 + gate.delay();
        if bake.0 < needed {
            let needed = humantime::format_duration(needed);
            let message = format!("the first whole datapoint of `{name}` may come {needed} after the start only");
            let remedy = format!("make it `{needed}` or longer, or the gate's `period` shorter");
            check.warning(path, "bake-too-short", &message, remedy);
        }
    }
}

pub(super) fn cloudwatch(check: &mut Check<'_>, path: &str, gate: &CloudwatchGate) {
    if check.is_poisoned_below(path) {
        return;
    }
    no_limit(check, path, gate.min.is_none() && gate.max.is_none());
    let secs = gate.period.0.as_secs();
    let whole = gate.period.0.subsec_nanos() == 0 && (matches!(secs, 1 | 5 | 10 | 20 | 30) || secs.is_multiple_of(60));
    if !whole || secs == 0 {
        let message = format!("CloudWatch has no datapoints of {}", gate.period);
        check.error(&format!("{path}/period"), "bad-value", &message, "write 1, 5, 10, 20 or 30 s, or whole minutes");
    }
    if gate.of.is_some() && (gate.load_balancer.is_some() || gate.target_group.is_some()) {
        let remedy = "leave `load-balancer` and `target-group` out";
        check.error(&format!("{path}/of"), "two-metrics", "`of` says already what is looked at", remedy);
    }
    if let Some((name, side)) = gate.balancer()
        && side.is_some_and(|side| !matches!(side, "from" | "to"))
    {
        let remedy = format!("write `{name}.to`, `{name}.from` or `{name}`");
        check.error(&format!("{path}/of"), "bad-side", &format!("`{name}` has the sides `from` and `to`"), remedy);
    }
    match (gate.of.as_ref().or(gate.load_balancer.as_ref()), gate.metric.as_deref()) {
        (Some(_), Some(metric)) => of_balancer(check, path, gate, metric),
        (Some(_), None) => {
            let remedy = format!("add `metric: …`, one of {}", BalancerMetric::NAMES.join(", "));
            check.error(path, "missing-key", "this gate names a load balancer and no metric of it", remedy);
        }
        (None, _) => of_own(check, path, gate),
    }
}

fn of_balancer(check: &mut Check<'_>, path: &str, gate: &CloudwatchGate, metric: &str) {
    let Some(found) = BalancerMetric::named(metric) else {
        let message = format!("a load balancer has no metric `{metric}`");
        let remedy = suggest(metric, BalancerMetric::NAMES);
        return check.error(&format!("{path}/metric"), "unknown-metric", &message, remedy);
    };
    let side = gate.balancer().is_some_and(|(_, side)| side.is_some());
    if found.whole && (side || gate.target_group.is_some()) {
        let message = format!("AWS counts `{metric}` for the whole load balancer only");
        check.error(path, "bad-value", &message, "leave `target-group`, or the side in `of`, out");
    }
    if metric == "healthy-hosts" && !side && gate.target_group.is_none() {
        check.error(
            path,
            "missing-key",
            "hosts are healthy in a target group",
            "add `target-group: ARN`, or write `of: web.to`",
        );
    }
    for (key, limit) in [("max", gate.max), ("min", gate.min)] {
        let Some(limit) = limit else { continue };
        let (fits, remedy) = match found.measures {
            Measures::Rate => (matches!(limit, Limit::Number(_) | Limit::Share(_)), "a share, such as `0.5%`"),
            Measures::Time => (matches!(limit, Limit::Time(_)), "a time, such as `250ms`"),
            Measures::Count | Measures::Number => (matches!(limit, Limit::Number(_)), "a number, such as `5`"),
        };
        if !fits {
            let message = format!("`{limit}` is no limit of `{metric}`");
            check.error(&format!("{path}/{key}"), "bad-value", &message, format!("write {remedy}"));
        }
    }
}

/// A metric of the author's own choice, or metric math.
fn of_own(check: &mut Check<'_>, path: &str, gate: &CloudwatchGate) {
    let named = [("namespace", &gate.namespace), ("metric", &gate.metric), ("statistic", &gate.statistic)];
    match &gate.expression {
        Some(_) if named.iter().any(|(_, value)| value.is_some()) => {
            let message = "this gate has both an expression and a metric of its own";
            check.error(path, "two-metrics", message, "name the metric in `metrics`, and use it in the expression");
        }
        Some(_) => expression(check, path, gate),
        None if named.iter().all(|(_, value)| value.is_none()) => {
            let remedy = "add `metric` and `of: web.to`; or `namespace`, `metric` and `statistic`; or `expression`";
            check.error(path, "missing-key", "this gate does not say what it looks at", remedy);
        }
        None => {
            for (key, _) in named.iter().filter(|(_, value)| value.is_none()) {
                let message = format!("a metric of your own choice needs `{key}`");
                check.error(
                    path,
                    "missing-key",
                    &message,
                    format!("add `{key}: …`, or `load-balancer: ARN` for one of a load balancer"),
                );
            }
        }
    }
    for (key, limit) in [("max", gate.max), ("min", gate.min)] {
        if limit.is_some_and(|limit| !matches!(limit, Limit::Number(_))) {
            let message = "a metric of your own choice has a unit of its own";
            check.error(&format!("{path}/{key}"), "bad-value", message, "write a number in that unit");
        }
    }
}

fn expression(check: &mut Check<'_>, path: &str, gate: &CloudwatchGate) {
    for id in gate.metrics.keys() {
        let begins = id.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || id == "value" || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let message = format!("`{id}` can't be the name of a metric in an expression");
            let remedy = "begin with a small letter; letters, digits and `_`; not `value`";
            check.error(&format!("{path}/metrics/{id}#"), "bad-name", &message, remedy);
        }
    }
}

pub(super) fn alarm(check: &mut Check<'_>, path: &str, gate: &AlarmGate) {
    if gate.names.is_empty() {
        check.error(&format!("{path}/names"), "empty-list", "`names` names no alarm", "name at least one");
    }
}
