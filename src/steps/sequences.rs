//! `sequences`: carried over from their own values, all of them, owned or not, only ever forward.

use async_trait::async_trait;
use serde_json::Value;

use super::{Action, Description, StepError};
use crate::engine;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Sequences;
use crate::systems::pair::Heading;

#[async_trait]
impl Action for Sequences {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        engine::of_plan(plan).describe_carry(plan, way)
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        cx.engine().carry(cx, state, of).await
    }
}
