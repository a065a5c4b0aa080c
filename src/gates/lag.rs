//! How far the side that carries the writes is ahead. A stream that does not run has no lag, it has no data.

use super::{GateContext, Reading, Verdict, seconds, size, unmeasured};
use crate::engine::{self, Engine, Lag};
use crate::runbook::model::ReplicationLag;
use crate::runbook::units::{Size, Span};
use crate::systems::pair::Flow;
use crate::systems::world::World;

pub async fn measure(gate: &ReplicationLag, context: &GateContext<'_>) -> Reading {
    let threshold = threshold(gate);
    let Some(flow) = context.flow else {
        return Reading::no_data("replication is not set up yet", &threshold);
    };
    match engine(flow, context.world).lag(gate, flow, context).await {
        Ok(Lag::Known { bytes, age }) => judged(gate, bytes, age, &threshold),
        Ok(Lag::Behind(why)) => Reading::new(Verdict::Fail, "not in step yet", &threshold).detail(why),
        Ok(Lag::Nothing(why)) => Reading::no_data(why, &threshold),
        Err(error) => unmeasured(&error, &threshold),
    }
}

pub fn threshold(gate: &ReplicationLag) -> String {
    let bytes = gate.max.map(|max| format!("at most {max}"));
    let age = gate.max_age.map(|max| format!("at most {max} old"));
    bytes.into_iter().chain(age).collect::<Vec<_>>().join(" and ")
}

pub fn describe(gate: &ReplicationLag, flow: Option<Flow<'_>>, world: &World) -> Vec<String> {
    let Some(flow) = flow else { return Vec::new() };
    engine(flow, world).describe_lag(gate, flow)
}

fn engine(flow: Flow<'_>, world: &World) -> &'static dyn Engine {
    engine::of_pair(flow.pair, world.get(&flow.pair.source))
}

#[expect(clippy::cast_precision_loss, reason = "a limit in bytes is far below 2^52")]
fn judged(gate: &ReplicationLag, bytes: Option<f64>, age: Option<f64>, threshold: &str) -> Reading {
    if gate.max.is_none() && gate.max_age.is_none() {
        return Reading::error("it has neither `max` nor `max-age`", threshold);
    }
    let near = gate.max.is_none_or(|Size(max)| bytes.is_some_and(|bytes| bytes <= max as f64));
    let fresh = gate.max_age.is_none_or(|Span(max)| age.is_some_and(|age| age <= max.as_secs_f64()));
    let behind = bytes.map(|bytes| format!("{} behind", size(bytes)));
    let old = age.map(|age| format!("{} old", seconds(age)));
    let value = behind.into_iter().chain(old).collect::<Vec<_>>().join(", ");
    let reading = Reading::known(near && fresh, value, threshold);
    match if gate.max.is_some() { bytes } else { age.or(bytes) } {
        Some(number) => reading.number(number),
        None => reading,
    }
}
