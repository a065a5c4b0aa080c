//! `drain`: the other side has everything, durably. Proved by a barrier that went through the stream behind every write.

use async_trait::async_trait;
use serde_json::Value;

use super::{Action, Description, StepError};
use crate::clock;
use crate::engine;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Drain;
use crate::systems::pair::Heading;

#[async_trait]
impl Action for Drain {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        Description {
            summary: format!("Wait until {} has everything, and has it on disk", pair.arriving(way)),
            apply: engine::of_plan(plan).describe_drain(plan, way),
            ..Description::default()
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        cx.engine().drain(cx, state, of, time_left_ms(state)).await
    }
}

/// What is left of the time before the commit point. A part of the budget is kept for the way out.
pub fn time_left_ms(state: &RunState) -> u64 {
    let (Some((_, window)), Some(passage)) = (state.plan.window(), &state.passage) else { return 1000 };
    let spent = u64::try_from(clock::now().duration_since(passage.since).as_millis()).unwrap_or(0);
    let budget = u64::try_from(window.budget.0.as_millis()).unwrap_or(u64::MAX);
    (budget * 7 / 10).saturating_sub(spent).max(1)
}
