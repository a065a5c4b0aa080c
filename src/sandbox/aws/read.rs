//! What the emulator holds of a load balancer, read as the data plane needs it.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::{
    Client,
    types::{Action, ActionTypeEnum, Rule},
};

use super::{
    SandboxError,
    sdk::{failed, wanted},
};

/// Weights of a rule's target groups, by ARN.
pub(crate) type Weights = BTreeMap<String, u32>;

/// A target group with its targets.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) arn: String,
    /// `address:port`.
    pub(crate) targets: Vec<String>,
}

/// A rule, or the default of a listener.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// The rule's ARN, or the listener's.
    pub(crate) arn: String,
    /// Paths and hosts that it is for; none for the default.
    pub(crate) paths: Vec<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) weights: Weights,
    pub(crate) sticky_seconds: Option<i32>,
}

/// The target groups of a load balancer, and those that are named.
pub(crate) async fn groups(client: &Client, names: &[String]) -> Result<Vec<Group>, SandboxError> {
    let mut groups = Vec::new();
    for arn in names {
        let doing = "read a target group's targets";
        let found = client.describe_target_health().target_group_arn(arn).send().await.map_err(failed(doing))?;
        let targets = found.target_health_descriptions().iter().filter_map(|one| one.target());
        let address = |id: Option<&str>, port: Option<i32>| Some(format!("{}:{}", id?, port?));
        let targets = targets.filter_map(|target| address(target.id(), target.port())).collect();
        groups.push(Group { arn: arn.clone(), targets });
    }
    Ok(groups)
}

/// The rules of a listener in their order, the default last.
pub(crate) async fn routes(client: &Client, listener: &str) -> Result<Vec<Route>, SandboxError> {
    let doing = "read the listener's rules";
    let found = client.describe_rules().listener_arn(listener).send().await.map_err(failed(doing))?;
    let mut rules: Vec<&Rule> = found.rules().iter().filter(|rule| rule.is_default() != Some(true)).collect();
    rules.sort_by_key(|rule| rule.priority().and_then(|text| text.parse::<u32>().ok()).unwrap_or(u32::MAX));
    let mut routes: Vec<Route> = rules.into_iter().filter_map(route).collect();
    let found = client.describe_listeners().listener_arns(listener).send().await.map_err(failed(doing))?;
    let actions = wanted(doing, found.listeners().first())?.default_actions();
    let (weights, sticky_seconds) = forwarded(actions);
    routes.push(Route { arn: listener.to_owned(), paths: Vec::new(), hosts: Vec::new(), weights, sticky_seconds });
    Ok(routes)
}

fn route(rule: &Rule) -> Option<Route> {
    let (mut paths, mut hosts) = (Vec::new(), Vec::new());
    for condition in rule.conditions() {
        let own = condition.values();
        match condition.field()? {
            "path-pattern" => {
                paths.extend_from_slice(condition.path_pattern_config().map_or(own, |config| config.values()));
            }
            "host-header" => {
                hosts.extend_from_slice(condition.host_header_config().map_or(own, |config| config.values()));
            }
            _ => {}
        }
    }
    let (weights, sticky_seconds) = forwarded(rule.actions());
    Some(Route { arn: rule.rule_arn()?.to_owned(), paths, hosts, weights, sticky_seconds })
}

/// Weights and stickiness of the action that forwards; one target group alone has everything.
fn forwarded(actions: &[Action]) -> (Weights, Option<i32>) {
    let forward = actions.iter().find(|action| action.r#type() == Some(&ActionTypeEnum::Forward));
    let Some(forward) = forward else { return (Weights::new(), None) };
    let Some(config) = forward.forward_config().filter(|config| !config.target_groups().is_empty()) else {
        return (forward.target_group_arn().map(|arn| (arn.to_owned(), 1)).into_iter().collect(), None);
    };
    let weight = |weight: Option<i32>| u32::try_from(weight.unwrap_or(1)).unwrap_or(0);
    let tuples = config.target_groups().iter();
    let weights = tuples.filter_map(|one| Some((one.target_group_arn()?.to_owned(), weight(one.weight())))).collect();
    let sticky = config.target_group_stickiness_config().filter(|sticky| sticky.enabled() == Some(true));
    (weights, sticky.map(|sticky| sticky.duration_seconds().unwrap_or(86_400)))
}
