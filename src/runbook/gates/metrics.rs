//! Shapes of the gates that ask a metrics service.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GateRules;
use crate::runbook::units::Span;

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
