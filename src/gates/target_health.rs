//! How many servers that traffic moves to are fit: on every node of a load balancer, or in a target group of AWS.

use super::{GateContext, Reading, unmeasured};
use crate::runbook::model::{System, TargetHealth};
use crate::systems::aws::alb::health::{self, Health};
use crate::systems::aws::{Access, Call, Service};
use crate::systems::haproxy::{Balancer, NodeStats};
use crate::systems::world::World;

pub async fn measure(gate: &TargetHealth, context: &GateContext<'_>) -> Reading {
    let threshold = threshold(gate);
    if matches!(context.world.get(&gate.traffic), Some(System::Alb(_))) {
        return match group(gate, context.world).await {
            Ok(health) => of_group(&health, gate.min, &threshold),
            Err(error) => unmeasured(&error, &threshold),
        };
    }
    let balancer = match context.world.haproxy(&gate.traffic) {
        Ok(spec) => Balancer::new(&gate.traffic, &spec),
        Err(error) => return unmeasured(&error, &threshold),
    };
    match balancer.stats().await {
        Ok(nodes) => worst(&nodes, &balancer, gate.min, &threshold),
        Err(error) => unmeasured(&error, &threshold),
    }
}

pub fn threshold(gate: &TargetHealth) -> String {
    format!("at least {} on every node", gate.min)
}

pub fn describe(traffic: &str, world: &World) -> Vec<String> {
    if let Ok(spec) = world.alb(traffic) {
        let parameters = serde_json::json!({ "TargetGroupArn": spec.to });
        return vec![Call::new(Service::Elbv2, "DescribeTargetHealth", parameters).to_string()];
    }
    world.haproxy(traffic).map(|spec| vec![Balancer::new(traffic, &spec).describe_stats()]).unwrap_or_default()
}

async fn group(gate: &TargetHealth, world: &World) -> crate::systems::Result<Health> {
    let spec = world.alb(&gate.traffic)?;
    health::read(&world.aws(&gate.traffic, Access::ReadOnly).await?, &spec.to).await
}

/// Targets of which none is healthy get traffic all the same: they are counted, whatever a site answers.
fn of_group(health: &Health, min: u32, threshold: &str) -> Reading {
    let reading =
        Reading::known(health.healthy() >= min, health.words(), threshold).number(f64::from(health.healthy()));
    if health.reasons.is_empty() { reading } else { reading.detail(health.reasons.join(", ")) }
}

/// The node with the fewest fit servers decides.
fn worst(nodes: &[NodeStats], balancer: &Balancer, min: u32, threshold: &str) -> Reading {
    let up = |node: &NodeStats| {
        let fit = balancer
            .to()
            .iter()
            .filter(|name| node.server(name).is_some_and(crate::systems::haproxy::ServerStat::is_up));
        u32::try_from(fit.count()).unwrap_or(u32::MAX)
    };
    let Some(worst) = nodes.iter().min_by_key(|node| up(node)) else {
        return Reading::no_data("the load balancer has no node", threshold);
    };
    let down: Vec<String> = balancer
        .to()
        .iter()
        .filter_map(|name| worst.server(name).filter(|server| !server.is_up()))
        .map(|server| format!("{} is {}", server.name, server.status))
        .collect();
    let value = format!("{} of {} up", up(worst), balancer.to().len());
    let reading = Reading::known(up(worst) >= min, value, threshold).number(f64::from(up(worst)));
    if down.is_empty() { reading } else { reading.detail(format!("{}: {}", worst.node, down.join(", "))) }
}
