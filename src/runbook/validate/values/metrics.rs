//! Values of the gates that ask a metrics service.

use std::time::Duration;

use super::{Check, has_reference, literal_password, web_url};
use crate::runbook::mask::SECRET_WORDS;
use crate::runbook::model::PrometheusGate;

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
