//! The first column of the first row of the author's query.

use super::{GateContext, Reading, compare, expectation, unmeasured};
use crate::engine;
use crate::runbook::model::SqlGate;
use crate::systems::world::World;

pub async fn measure(gate: &SqlGate, context: &GateContext<'_>) -> Reading {
    let threshold = expectation(&gate.expect);
    match engine::of(context.world.get(&gate.system)).ask(gate, context).await {
        Ok(None) => Reading::no_data("the query gave no row", &threshold),
        Ok(Some(value)) => compare(value.as_deref(), &gate.expect, &threshold),
        Err(error) => unmeasured(&error, &threshold),
    }
}

pub fn describe(gate: &SqlGate, world: &World) -> Vec<String> {
    engine::of(world.get(&gate.system)).describe_ask(gate)
}
