//! Shape of an Application Load Balancer of AWS.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aws::AwsPlace;
use super::model::Name;
use super::units::{Share, Span};

/// An Application Load Balancer of AWS: the rules and listeners that divide traffic between two target groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Alb {
    /// Where its calls to AWS go; the runbook's `aws:` when absent.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// Its region; that of its ARNs when absent.
    #[serde(default)]
    pub region: Option<Name>,
    /// ARNs of listeners whose default action is weighed.
    #[serde(default)]
    pub listeners: Vec<String>,
    /// ARNs of rules that are weighed. All of them move together, as one step.
    #[serde(default)]
    pub rules: Vec<String>,
    /// ARN of the target group that traffic leaves.
    pub from: String,
    /// ARN of the target group that traffic moves to.
    pub to: String,
    /// What becomes of the rules' stickiness while traffic is shifted.
    #[serde(default)]
    pub stickiness: StickyRule,
    /// How fit a group must be to get traffic.
    #[serde(default)]
    pub health: HealthFloor,
    /// How long the load balancer's nodes get to follow new weights, before traffic is counted.
    #[serde(default = "Alb::default_settle")]
    pub settle: Span,
    /// How the traffic that really arrives is seen.
    #[serde(default)]
    pub observe: Observe,
}

impl Alb {
    const fn default_settle() -> Span {
        Span::secs(10)
    }

    /// The region of its first ARN.
    #[must_use]
    pub fn region_of_arns(&self) -> Option<Name> {
        let first = self.rules.iter().chain(&self.listeners).next()?;
        first.split(':').nth(3).filter(|region| !region.is_empty()).map(str::to_owned)
    }
}

/// What becomes of the rules' stickiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StickyRule {
    /// It stays: clients that have a cookie stay with their group until it expires, whatever the weights say.
    #[default]
    Keep,
    /// It is off as long as traffic is shifted; rollback puts it back.
    Off,
}

/// How fit a group must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HealthFloor {
    /// Healthy targets that it has at least.
    pub count: u32,
    /// Share of its registered targets that is healthy at least.
    pub ratio: Share,
    /// How long a group that was just attached may take to become fit.
    pub within: Span,
}

impl Default for HealthFloor {
    fn default() -> Self {
        Self { count: 1, ratio: Share(50.0), within: Span::secs(300) }
    }
}

/// How the traffic that really arrives is seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Observe {
    /// Requests of each target group as CloudWatch counts them.
    Cloudwatch(ObserveCloudwatch),
    /// Requests of our own, whose answers tell the sides apart.
    Http(ObserveHttp),
}

impl Default for Observe {
    fn default() -> Self {
        Self::Cloudwatch(ObserveCloudwatch::default())
    }
}

/// CloudWatch's counts come by the minute, and late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ObserveCloudwatch {
    /// Length of a count.
    pub period: Span,
    /// How late a count may still change after its end; it is not read before.
    pub delay: Span,
}

impl Default for ObserveCloudwatch {
    fn default() -> Self {
        Self { period: Span::secs(60), delay: Span::secs(60) }
    }
}

/// Requests of our own, each on a connection of its own and without cookies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ObserveHttp {
    /// What is asked for, through the load balancer: a page that changes nothing.
    pub url: String,
    /// The header of the answer that tells the sides apart; its body when absent.
    #[serde(default)]
    pub header: Option<String>,
    /// What it holds when the side that is left has answered.
    pub from: String,
    /// What it holds when the side that traffic moves to has answered.
    pub to: String,
    /// Requests a second.
    #[serde(default = "ObserveHttp::default_rate")]
    pub rate: u32,
}

impl ObserveHttp {
    const fn default_rate() -> u32 {
        20
    }
}
