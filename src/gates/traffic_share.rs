//! The share of the traffic that really arrives, counted by the load balancer's nodes between two readings.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{GateContext, Reading, unmeasured};
use crate::runbook::model::TrafficShare;
use crate::systems::haproxy::{Balancer, NodeStats, observed};

/// What the nodes had counted when a gate last counted: kept until enough requests have come.
#[derive(Default)]
pub struct Baselines(Mutex<HashMap<String, Vec<NodeStats>>>);

impl Baselines {
    fn get(&self, key: &str) -> Option<Vec<NodeStats>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn set(&self, key: &str, nodes: Vec<NodeStats>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), nodes);
    }
}

pub async fn measure(gate: &TrafficShare, context: &GateContext<'_>) -> Reading {
    let wanted = gate.share.map(|share| share.0);
    let balancer = match context.world.haproxy(&gate.traffic) {
        Ok(spec) => Balancer::new(&gate.traffic, &spec),
        Err(error) => return unmeasured(&error, &threshold(gate, wanted)),
    };
    match balancer.stats().await {
        Ok(nodes) => read(gate, context.baselines, &balancer, nodes),
        Err(error) => unmeasured(&error, &threshold(gate, wanted)),
    }
}

pub fn threshold(gate: &TrafficShare, wanted: Option<f64>) -> String {
    let wanted = wanted.map_or("the weights' share".to_owned(), |share| format!("{share:.1}%"));
    format!("{wanted} ± {} points, from {} requests", gate.tolerance.0, gate.min_requests)
}

fn read(gate: &TrafficShare, baselines: &Baselines, balancer: &Balancer, now: Vec<NodeStats>) -> Reading {
    let key = format!("{gate:?}");
    // Nodes that weigh differently have no share in common that could be wanted.
    let shares: Vec<Option<f64>> =
        now.iter().map(|node| balancer.weights_of(node).weights.share(balancer.to())).collect();
    let weighed = shares
        .first()
        .copied()
        .flatten()
        .filter(|first| shares.iter().all(|share| share.is_some_and(|share| (share - first).abs() < 0.01)));
    let wanted = gate.share.map(|share| share.0).or(weighed);
    let threshold = threshold(gate, wanted);
    let Some(wanted) = wanted else {
        return Reading::no_data("the nodes do not weigh the servers alike", &threshold);
    };
    let before = baselines.get(&key).filter(|before| same_weights(before, &now, balancer));
    let Some(before) = before else {
        baselines.set(&key, now);
        return Reading::no_data("counting begins", &threshold);
    };
    let Some(total) = observed(&before, &now, balancer.from(), balancer.to()).total else {
        baselines.set(&key, now);
        return Reading::no_data("a node's counters began anew", &threshold);
    };
    match total.share {
        Some(share) if total.requests >= gate.min_requests => {
            baselines.set(&key, now);
            let value = format!("{share:.1}% of {} requests", total.requests);
            Reading::known((share - wanted).abs() <= gate.tolerance.0, value, &threshold).number(share)
        }
        _ => Reading::no_data(format!("{} requests so far", total.requests), &threshold),
    }
}

/// Requests that came under other weights say nothing about these.
fn same_weights(before: &[NodeStats], now: &[NodeStats], balancer: &Balancer) -> bool {
    let weights = |nodes: &[NodeStats]| nodes.iter().map(|node| balancer.weights_of(node)).collect::<Vec<_>>();
    weights(before) == weights(now)
}
