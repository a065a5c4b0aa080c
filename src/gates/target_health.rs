//! How many servers that traffic moves to are fit, on every node of the load balancer.

use super::{GateContext, Reading, unmeasured};
use crate::runbook::model::TargetHealth;
use crate::systems::haproxy::{Balancer, NodeStats};
use crate::systems::world::World;

pub async fn measure(gate: &TargetHealth, context: &GateContext<'_>) -> Reading {
    let threshold = threshold(gate);
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
    world.haproxy(traffic).map(|spec| vec![Balancer::new(traffic, &spec).describe_stats()]).unwrap_or_default()
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
