//! What the plan shows of a shift.

use crate::plan::Plan;
use crate::runbook::model::{Shift, System};
use crate::steps::Description;
use crate::systems::aws::alb;
use crate::systems::haproxy::{Balancer, Weights};
use crate::systems::world::World;

/// The shift as the plan shows it.
pub fn describe(shift: &Shift, plan: &Plan) -> Description {
    match plan.systems.get(&shift.traffic) {
        Some(System::Haproxy(_)) => by_haproxy(shift, plan),
        Some(System::Alb(_)) => by_alb(shift, plan),
        _ => Description::default(),
    }
}

fn summary(shift: &Shift, destination: &str) -> String {
    let weights: Vec<String> = shift.weights.iter().map(ToString::to_string).collect();
    format!("Move traffic of {} to {destination} in steps: {}", shift.traffic, weights.join(", "))
}

fn by_haproxy(shift: &Shift, plan: &Plan) -> Description {
    let Ok(spec) = World::new(plan.systems.clone()).haproxy(&shift.traffic) else { return Description::default() };
    let balancer = Balancer::new(&shift.traffic, &spec);
    let set = |share: f64| balancer.describe_set(&Weights::for_share(share, balancer.from(), balancer.to()));
    let lines = |share: f64| set(share).into_iter().map(|line| (shift.traffic.clone(), line));
    let back = shift.undo_weights.iter().flat_map(|share| lines(share.0));
    let put_back = (shift.traffic.clone(), "the weights that were there before, on every node".into());
    Description {
        summary: summary(shift, &balancer.to().join(", ")),
        apply: shift.weights.iter().flat_map(|share| lines(share.0)).collect(),
        undo: back.chain([put_back]).collect(),
        clients: Some("new requests go to the new side by these shares; requests under way are not touched".into()),
    }
}

fn by_alb(shift: &Shift, plan: &Plan) -> Description {
    let Ok(spec) = World::new(plan.systems.clone()).alb(&shift.traffic) else { return Description::default() };
    let planned = plan.choices.routes.get(&shift.traffic);
    let lines = |share: f64| {
        let calls = planned.map(|planned| alb::describe_share(&spec, planned, share)).unwrap_or_default();
        calls.into_iter().map(|line| (shift.traffic.clone(), line)).collect::<Vec<_>>()
    };
    let put_back = planned.map(alb::describe_undo).unwrap_or_default();
    let back = shift.undo_weights.iter().flat_map(|share| lines(share.0));
    let attach = planned.map(|planned| alb::describe_attach(&spec, planned)).unwrap_or_default();
    let attach = attach.into_iter().map(|line| (shift.traffic.clone(), line));
    Description {
        summary: summary(shift, &alb::routes::short(&spec.to)),
        apply: attach.chain(shift.weights.iter().flat_map(|share| lines(share.0))).collect(),
        undo: back.chain(put_back.into_iter().map(|line| (shift.traffic.clone(), line))).collect(),
        clients: Some(alb::describe_clients(&spec, planned)),
    }
}
