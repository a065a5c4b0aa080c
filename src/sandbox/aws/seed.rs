//! A load balancer as a runbook finds it: a listener and a rule for a path, all traffic to the application's old instance,
//! and the target group of the new one beside it.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::{
    Client,
    types::{
        Action, ActionTypeEnum, ForwardActionConfig, PathPatternConditionConfig, ProtocolEnum, RuleCondition,
        TargetDescription, TargetGroupStickinessConfig, TargetGroupTuple, TargetTypeEnum,
    },
};

use super::{
    SandboxError,
    emulator::Cloud,
    network::default_network,
    sdk::{failed, sdk_config, wanted},
};

/// How the load balancer is to be.
#[derive(Debug, Clone, Default)]
pub struct NewBalancer {
    /// How long a client stays with a target group, in seconds; clients are not kept when absent.
    pub sticky_seconds: Option<i32>,
    /// Whether the new instance's target group is in the actions from the first, with weight 0.
    pub attached: bool,
    /// More rules for a path each, with priorities from 20 on.
    pub more_paths: Vec<String>,
    /// Leaves the new instance's target group without a target.
    pub empty: bool,
}

/// A load balancer that the emulator has, by its parts' names.
#[derive(Debug, Clone)]
pub struct Balancer {
    /// The load balancer.
    pub arn: String,
    /// Its only listener.
    pub listener: String,
    /// The rule for `/api/*`, priority 10.
    pub rule: String,
    /// The rules of [`NewBalancer::more_paths`].
    pub more_rules: Vec<String>,
    /// The target group of the old instance.
    pub from: String,
    /// The target group of the new instance.
    pub to: String,
}

impl Balancer {
    /// Creates it in the emulator, before two instances on 127.0.0.1.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn create(cloud: &Cloud, new: &NewBalancer, old_port: u16, new_port: u16) -> Result<Self, SandboxError> {
        let client = Client::new(&sdk_config(&cloud.moto()));
        let network = default_network(&cloud.moto()).await?;
        let doing = "create the load balancer";
        let request = client.create_load_balancer().name("web").set_subnets(Some(network.subnets));
        let made = request.send().await.map_err(failed(doing))?;
        let arn = wanted(doing, made.load_balancers().first().and_then(|one| one.load_balancer_arn()))?.to_owned();
        let from = group(&client, "old", &network.vpc, Some(old_port)).await?;
        let to = group(&client, "new", &network.vpc, (!new.empty).then_some(new_port)).await?;
        let action = forward(&from, &to, new);
        let request = client.create_listener().load_balancer_arn(&arn).port(80).protocol(ProtocolEnum::Http);
        let made = request.default_actions(action.clone()).send().await.map_err(failed(doing))?;
        let listener = wanted(doing, made.listeners().first().and_then(|one| one.listener_arn()))?.to_owned();
        let rule = rule(&client, &listener, 10, "/api/*", &action).await?;
        let mut more_rules = Vec::new();
        for (priority, path) in (20..).zip(&new.more_paths) {
            more_rules.push(self::rule(&client, &listener, priority, path, &action).await?);
        }
        Ok(Self { arn, listener, rule, more_rules, from, to })
    }

    /// What a runbook finds in its environment.
    pub fn env(&self) -> BTreeMap<String, String> {
        let pairs = [
            ("ALB_ARN", &self.arn),
            ("ALB_LISTENER", &self.listener),
            ("ALB_RULE", &self.rule),
            ("ALB_FROM", &self.from),
            ("ALB_TO", &self.to),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.clone())).into()
    }
}

async fn group(client: &Client, name: &str, vpc: &str, port: Option<u16>) -> Result<String, SandboxError> {
    let doing = "create a target group";
    let request = client.create_target_group().name(name).protocol(ProtocolEnum::Http).vpc_id(vpc);
    let request = request.port(80).target_type(TargetTypeEnum::Ip).health_check_path("/healthz");
    let made = request.send().await.map_err(failed(doing))?;
    let arn = wanted(doing, made.target_groups().first().and_then(|one| one.target_group_arn()))?.to_owned();
    if let Some(port) = port {
        let target = TargetDescription::builder().id("127.0.0.1").port(port.into()).build();
        let request = client.register_targets().target_group_arn(&arn).targets(target);
        request.send().await.map_err(failed("register a target"))?;
    }
    Ok(arn)
}

/// As a load balancer that was never weighed has it, unless something about it needs the longer form.
fn forward(from: &str, to: &str, new: &NewBalancer) -> Action {
    let action = Action::builder().r#type(ActionTypeEnum::Forward);
    if new.sticky_seconds.is_none() && !new.attached {
        return action.target_group_arn(from).build();
    }
    let tuple = |arn: &str, weight| TargetGroupTuple::builder().target_group_arn(arn).weight(weight).build();
    let mut forward = ForwardActionConfig::builder().target_groups(tuple(from, 100));
    if new.attached {
        forward = forward.target_groups(tuple(to, 0));
    }
    if let Some(seconds) = new.sticky_seconds {
        let sticky = TargetGroupStickinessConfig::builder().enabled(true).duration_seconds(seconds).build();
        forward = forward.target_group_stickiness_config(sticky);
    }
    action.forward_config(forward.build()).build()
}

async fn rule(
    client: &Client,
    listener: &str,
    priority: i32,
    path: &str,
    action: &Action,
) -> Result<String, SandboxError> {
    let doing = "create a rule";
    let paths = PathPatternConditionConfig::builder().values(path).build();
    let condition = RuleCondition::builder().field("path-pattern").path_pattern_config(paths).build();
    let request = client.create_rule().listener_arn(listener).priority(priority).conditions(condition);
    let made = request.actions(action.clone()).send().await.map_err(failed(doing))?;
    Ok(wanted(doing, made.rules().first().and_then(|one| one.rule_arn()))?.to_owned())
}
