//! How far the other side is behind, every few seconds, for the views: also while no gate asks. Looks beside the executor,
//! with sessions of its own, and never near a window.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::state::{RunState, Side, StepState};
use crate::gates::{self, Baselines, GateContext, Sessions};
use crate::journal::Journal;
use crate::runbook::model::{Gate, GateRules, ReplicationLag, Step};
use crate::runbook::units::Size;
use crate::systems::pair::{Flow, Heading};
use crate::systems::world::World;

/// The key of its measurement.
pub const LAG: &str = "pulse:lag";

const EVERY: Duration = Duration::from_secs(2);

/// Measures until it is aborted, or the journal can't be read.
pub async fn beat(journal: Arc<Journal>, run: String) {
    let Ok(mut state) = super::take::replay(&journal, &run) else { return };
    let world = World::new(state.plan.systems.clone());
    let (sessions, baselines) = (Sessions::default(), Baselines::default());
    let any =
        Gate::ReplicationLag(ReplicationLag { max: Some(Size(u64::MAX)), max_age: None, rules: GateRules::default() });
    loop {
        tokio::time::sleep(EVERY).await;
        let Ok(entries) = journal.entries(&run, state.seq) else { return };
        if entries.iter().any(|entry| state.next(entry).is_err()) {
            return;
        }
        let heading = state.writer.heading();
        let Some(pair) = state.plan.pair.as_ref().filter(|_| is_quiet(&state) && has_stream(&state, heading)) else {
            continue;
        };
        let context = GateContext {
            world: &world,
            flow: Some(Flow { pair, heading }),
            sessions: &sessions,
            baselines: &baselines,
            since: None,
        };
        let reading = gates::measure(&any, &context).await;
        if reading.number.is_some() {
            drop(journal.sample(&run, LAG, &json!({ "reading": reading })));
        }
    }
}

/// Not inside a window, nor while one is armed.
fn is_quiet(state: &RunState) -> bool {
    let arming = state.plan.window().is_some_and(|(window, _)| {
        let record = &state.steps[window];
        [&record.forth, &record.back].into_iter().any(|state| matches!(state, StepState::Applying))
    });
    state.outcome.is_none() && state.passage.is_none() && !arming && !is_armed(state)
}

/// A window that was armed and is not passed yet.
fn is_armed(state: &RunState) -> bool {
    let aim = |way| if way == Heading::Forth { Side::Target } else { Side::Source };
    state.armed.is_some_and(|(epoch, way)| epoch == state.epoch && state.writer != aim(way))
}

/// Whether there is a stream from the side that takes writes.
fn has_stream(state: &RunState, heading: Heading) -> bool {
    let settled = |wanted: fn(&Step) -> bool| {
        let mut steps = state.plan.steps.iter().zip(&state.steps);
        steps.any(|(step, record)| wanted(&step.step) && record.forth.is_settled())
    };
    let finalized = settled(|step| matches!(step, Step::Finalize(_)));
    let copied = settled(|step| matches!(step, Step::Replicate(_)));
    copied && !finalized && (heading == Heading::Forth || state.plan.keeps_way_back())
}
