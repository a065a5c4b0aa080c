//! Routes: rules, and the default actions of listeners. What stands in them, who stands before them, and how they are
//! written.

use aws_sdk_elasticloadbalancingv2::types as sdk;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::actions::Action;
use super::forward;
use crate::systems::aws::{Aws, Call, Service};
use crate::systems::{Certainty, DriverError, Result};

/// A rule, or the default action of a listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Route {
    /// ARN of the rule, or of the listener.
    pub arn: String,
    /// Its priority among the rules of its listener; `default` of a listener's default action.
    pub priority: String,
    /// When it is taken, for a person: `path-pattern /api/*`.
    pub conditions: Vec<String>,
    /// What is rewritten before a request goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<String>,
    /// What is done with a request.
    pub actions: Vec<Action>,
}

/// What is to be read: the routes of a system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// The routes that are weighed, in the order of the runbook: listeners, then rules.
    pub routes: Vec<Route>,
    /// Other rules of the same listeners that are looked at before one of ours, and could take its traffic: by listener,
    /// for a person.
    #[serde(default)]
    pub before: Vec<(String, Vec<String>)>,
}

impl Route {
    /// Whether it is a listener's default action.
    #[must_use]
    pub fn is_default(&self) -> bool {
        !is_rule(&self.arn)
    }

    /// How errors and the screen call it.
    #[must_use]
    pub fn words(&self) -> String {
        if self.is_default() {
            return format!("listener {}", short(&self.arn));
        }
        format!("rule {} ({})", short(&self.arn), self.conditions.join(" and "))
    }

    /// What writes its actions, word for word.
    #[must_use]
    pub fn call(&self) -> Call {
        if self.is_default() {
            let parameters = json!({ "ListenerArn": self.arn, "DefaultActions": shown(&self.actions) });
            return Call::new(Service::Elbv2, "ModifyListener", parameters);
        }
        let parameters = json!({ "RuleArn": self.arn, "Actions": shown(&self.actions) });
        Call::new(Service::Elbv2, "ModifyRule", parameters)
    }

    /// Sends its actions.
    pub async fn send(&self, aws: &Aws) -> Result<()> {
        let actions: Vec<sdk::Action> = self.actions.iter().map(Action::send).collect();
        let what = format!("weigh {}", self.words());
        if self.is_default() {
            let send =
                || aws.elbv2().modify_listener().listener_arn(&self.arn).set_default_actions(Some(actions.clone()));
            return aws.write(Service::Elbv2, &what, || send().send()).await.map(drop);
        }
        let send = || aws.elbv2().modify_rule().rule_arn(&self.arn).set_actions(Some(actions.clone()));
        aws.write(Service::Elbv2, &what, || send().send()).await.map(drop)
    }
}

/// The actions with what is added when they are sent.
fn shown(actions: &[Action]) -> serde_json::Value {
    let mut shown = json!(actions);
    for action in shown.as_array_mut().into_iter().flatten() {
        if let Some(oidc) = action.get_mut("AuthenticateOidcConfig") {
            oidc["UseExistingClientSecret"] = json!(true);
        }
    }
    shown
}

/// Whether an ARN is a rule's.
pub(super) fn is_rule(arn: &str) -> bool {
    arn.split(':').nth(5).is_some_and(|resource| resource.starts_with("listener-rule/"))
}

/// The listener that a rule belongs to.
#[must_use]
pub fn listener_of(arn: &str) -> String {
    if !is_rule(arn) {
        return arn.to_owned();
    }
    let listener = arn.rsplit_once('/').map_or(arn, |(listener, _)| listener);
    listener.replacen(":listener-rule/", ":listener/", 1)
}

/// The last part of an ARN, with the balancer's name.
#[must_use]
pub fn short(arn: &str) -> String {
    let resource = arn.split(':').nth(5).unwrap_or(arn);
    let mut parts = resource.split('/');
    match parts.next() {
        Some("targetgroup") => parts.next().unwrap_or(resource).to_owned(),
        Some("listener" | "listener-rule") => {
            let parts: Vec<&str> = parts.collect();
            match (parts.get(1), parts.last()) {
                (Some(name), Some(last)) => format!("{name}/{last}"),
                _ => resource.to_owned(),
            }
        }
        _ => resource.to_owned(),
    }
}

/// Reads the routes with these ARNs, and who stands before them.
pub async fn read(aws: &Aws, listeners: &[String], rules: &[String]) -> Result<State> {
    let mut routes = Vec::new();
    let mut all: Vec<(String, Vec<sdk::Rule>)> = Vec::new();
    for arn in listeners.iter().cloned().chain(rules.iter().map(|rule| listener_of(rule))) {
        if !all.iter().any(|(listener, _)| *listener == arn) {
            let rules = rules_of(aws, &arn).await?;
            all.push((arn, rules));
        }
    }
    for arn in listeners {
        routes.push(default_route(aws, arn).await?);
    }
    for arn in rules {
        let found = all.iter().flat_map(|(_, rules)| rules).find(|rule| rule.rule_arn.as_deref() == Some(arn));
        let found = found.ok_or_else(|| gone(aws, "rule", arn))?;
        routes.push(route(aws, found)?);
    }
    let before = all.iter().map(|(listener, rules)| (listener.clone(), before(listener, rules, &routes))).collect();
    Ok(State { routes, before })
}

async fn rules_of(aws: &Aws, listener: &str) -> Result<Vec<sdk::Rule>> {
    let what = format!("read the rules of listener {}", short(listener));
    let mut rules = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let send = || aws.elbv2().describe_rules().listener_arn(listener).set_marker(marker.clone()).send();
        let page = aws.read(Service::Elbv2, &what, send).await?;
        rules.extend(page.rules.unwrap_or_default());
        marker = page.next_marker.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            return Ok(rules);
        }
    }
}

async fn default_route(aws: &Aws, arn: &str) -> Result<Route> {
    let what = format!("read listener {}", short(arn));
    let send = || aws.elbv2().describe_listeners().listener_arns(arn).send();
    let found = aws.read(Service::Elbv2, &what, send).await?.listeners.unwrap_or_default();
    let listener = found.first().ok_or_else(|| gone(aws, "listener", arn))?;
    Ok(Route {
        arn: arn.to_owned(),
        priority: "default".to_owned(),
        conditions: Vec::new(),
        transforms: Vec::new(),
        actions: actions(aws, arn, listener.default_actions())?,
    })
}

fn route(aws: &Aws, rule: &sdk::Rule) -> Result<Route> {
    let arn = rule.rule_arn.clone().unwrap_or_default();
    Ok(Route {
        priority: rule.priority.clone().unwrap_or_default(),
        conditions: conditions(rule),
        transforms: rule.transforms().iter().map(transform).collect(),
        actions: actions(aws, &arn, rule.actions())?,
        arn,
    })
}

fn actions(aws: &Aws, arn: &str, from: &[sdk::Action]) -> Result<Vec<Action>> {
    let read: std::result::Result<Vec<Action>, String> = from.iter().map(Action::read).collect();
    read.map_err(|kind| {
        let reason = format!("it has an action of the kind `{kind}`, which could not be put back as it was");
        DriverError::new(aws.system(), &format!("read {}", short(arn)), reason, Certainty::Refused)
    })
}

fn gone(aws: &Aws, kind: &str, arn: &str) -> DriverError {
    let hint = "compare the ARN with the load balancer; was it made anew?";
    DriverError::new(
        aws.system(),
        &format!("read {kind} {}", short(arn)),
        "there is none with this ARN",
        Certainty::Refused,
    )
    .with_hint(hint)
}

/// When a rule is taken, in one form for both that AWS has.
fn conditions(rule: &sdk::Rule) -> Vec<String> {
    let mut all: Vec<String> = rule.conditions().iter().map(condition).collect();
    all.sort();
    all
}

fn condition(from: &sdk::RuleCondition) -> String {
    let field = from.field.as_deref().unwrap_or("?");
    let mut values: Vec<String> = from.values().to_vec();
    let mut add = |more: &[String]| values.extend(more.iter().cloned());
    add(from.regex_values());
    if let Some(config) = &from.host_header_config {
        add(config.values());
        add(config.regex_values());
    }
    if let Some(config) = &from.path_pattern_config {
        add(config.values());
        add(config.regex_values());
    }
    if let Some(config) = &from.http_header_config {
        let name = config.http_header_name.as_deref().unwrap_or_default();
        let named = |values: &[String]| values.iter().map(|value| format!("{name}: {value}")).collect::<Vec<_>>();
        add(&named(config.values()));
        add(&named(config.regex_values()));
    }
    if let Some(config) = &from.query_string_config {
        let pair = |pair: &sdk::QueryStringKeyValuePair| {
            format!("{}={}", pair.key.as_deref().unwrap_or_default(), pair.value.as_deref().unwrap_or_default())
        };
        add(&config.values().iter().map(pair).collect::<Vec<_>>());
    }
    if let Some(config) = &from.http_request_method_config {
        add(config.values());
    }
    if let Some(config) = &from.source_ip_config {
        add(config.values());
    }
    values.sort();
    values.dedup();
    format!("{field} {}", values.join(" or "))
}

fn transform(from: &sdk::RuleTransform) -> String {
    let kind = from.r#type.as_ref().map_or("?", |kind| kind.as_str());
    let host = from.host_header_rewrite_config.iter().flat_map(sdk::HostHeaderRewriteConfig::rewrites);
    let url = from.url_rewrite_config.iter().flat_map(sdk::UrlRewriteConfig::rewrites);
    let one = |rewrite: &sdk::RewriteConfig| {
        format!("{} → {}", rewrite.regex.as_deref().unwrap_or_default(), rewrite.replace.as_deref().unwrap_or_default())
    };
    format!("{kind} {}", host.chain(url).map(one).collect::<Vec<_>>().join(", "))
}

/// Rules of a listener that are looked at before the last of ours there.
fn before(listener: &str, rules: &[sdk::Rule], ours: &[Route]) -> Vec<String> {
    let ours: Vec<&Route> = ours.iter().filter(|route| listener_of(&route.arn) == *listener).collect();
    let default = ours.iter().any(|route| route.is_default());
    let last = ours.iter().filter_map(|route| route.priority.parse::<u32>().ok()).max();
    let mut found: Vec<(u32, String)> = Vec::new();
    for rule in rules {
        let Some(priority) = rule.priority.as_deref().and_then(|text| text.parse::<u32>().ok()) else { continue };
        let arn = rule.rule_arn.as_deref().unwrap_or_default();
        let is_ours = ours.iter().any(|route| route.arn == arn);
        if !is_ours && (default || last.is_some_and(|last| priority < last)) {
            found.push((priority, format!("rule {} at {priority}: {}", short(arn), conditions(rule).join(" and "))));
        }
    }
    found.sort();
    found.into_iter().map(|(_, words)| words).collect()
}

/// The weights of a route, for a person.
#[must_use]
pub fn weights_words(route: &Route) -> String {
    let groups = forward::divided(&route.actions);
    let mut words: Vec<String> = groups.iter().map(|(arn, weight)| format!("{} {weight}", short(arn))).collect();
    if let Some(seconds) = forward::stickiness(&route.actions) {
        words.push(format!("sticky for {seconds} s"));
    }
    if words.is_empty() { "no forward".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-central-1:1:listener/app/web/50dc6/f2f7d";
    const RULE: &str = "arn:aws:elasticloadbalancing:eu-central-1:1:listener-rule/app/web/50dc6/f2f7d/9683b";

    fn rule(arn: &str, priority: &str, path: &str) -> sdk::Rule {
        let condition = sdk::RuleCondition::builder().field("path-pattern").values(path).build();
        sdk::Rule::builder().rule_arn(arn).priority(priority).conditions(condition).build()
    }

    #[test]
    fn arns_say_what_belongs_together() {
        assert_eq!(listener_of(RULE), LISTENER);
        assert_eq!(listener_of(LISTENER), LISTENER);
        assert_eq!((short(RULE), short(LISTENER)), ("web/9683b".to_owned(), "web/f2f7d".to_owned()));
        assert_eq!(short("arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/green/73e2d"), "green");
    }

    #[test]
    fn both_forms_of_a_condition_mean_the_same() {
        let old = sdk::RuleCondition::builder().field("path-pattern").values("/b").values("/a").build();
        let config = sdk::PathPatternConditionConfig::builder().values("/a").values("/b").build();
        let new = sdk::RuleCondition::builder().field("path-pattern").path_pattern_config(config).build();
        assert_eq!(condition(&old), condition(&new));
        assert_eq!(condition(&old), "path-pattern /a or /b");
    }

    #[test]
    fn who_stands_before_us_is_seen() {
        let ours =
            Route { arn: RULE.into(), priority: "20".into(), conditions: vec![], transforms: vec![], actions: vec![] };
        let rules = [
            rule("arn:a:b:c:d:listener-rule/app/web/x/y/z", "5", "/new"),
            rule(RULE, "20", "/api"),
            rule("arn", "30", "/"),
        ];
        let found = before(LISTENER, &rules, std::slice::from_ref(&ours));
        assert_eq!(found, ["rule web/z at 5: path-pattern /new"]);
        let default = Route { arn: LISTENER.into(), priority: "default".into(), ..ours };
        assert_eq!(before(LISTENER, &rules, &[default]).len(), 3, "everything stands before a default action");
    }

    #[test]
    fn the_call_is_shown_with_the_whole_list() {
        let actions = serde_json::from_value(json!([
            { "Type": "authenticate-oidc", "AuthenticateOidcConfig": { "Issuer": "i" } },
            { "Type": "forward", "TargetGroupArn": "arn:g" }
        ]));
        let route = Route {
            arn: RULE.into(),
            priority: "1".into(),
            conditions: vec![],
            transforms: vec![],
            actions: actions.unwrap(),
        };
        let text = route.call().to_string();
        assert!(
            text.starts_with("elbv2 ModifyRule {\"RuleArn\":") && text.contains("\"UseExistingClientSecret\":true"),
            "{text}"
        );
        assert!(text.contains("\"TargetGroupArn\":\"arn:g\""), "{text}");
    }
}
