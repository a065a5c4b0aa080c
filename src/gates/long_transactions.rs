//! The age of the oldest open transaction: one that is open across the freeze would commit after the drain.

use super::{GateContext, Reading, Verdict, seconds, unmeasured};
use crate::engine::{self, Oldest};
use crate::runbook::model::LongTransactions;
use crate::systems::world::World;

pub async fn measure(gate: &LongTransactions, context: &GateContext<'_>) -> Reading {
    let threshold = threshold(gate);
    let engine = engine::of(context.world.get(&gate.system));
    match engine.oldest_transaction(&gate.system, context).await {
        Ok(Oldest::Hidden(why)) => Reading::no_data(why, &threshold),
        Ok(Oldest::None) => Reading::new(Verdict::Pass, "no open transaction", &threshold).number(0.0),
        Ok(Oldest::Open { seconds: age, who }) => {
            let reading = Reading::known(age <= gate.max.0.as_secs_f64(), seconds(age), &threshold).number(age);
            reading.detail(who)
        }
        Err(error) => unmeasured(&error, &threshold),
    }
}

pub fn threshold(gate: &LongTransactions) -> String {
    format!("at most {}", gate.max)
}

pub fn describe(gate: &LongTransactions, world: &World) -> Vec<String> {
    let query = engine::of(world.get(&gate.system)).describe_oldest_transaction();
    vec![format!("{}: {query}", gate.system)]
}
