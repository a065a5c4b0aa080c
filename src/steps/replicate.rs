//! `replicate`: the target follows the source, and the way back is laid.

use async_trait::async_trait;
use serde_json::Value;

use super::{Action, Description, StepError};
use crate::engine;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Replicate;
use crate::systems::pair::Heading;

#[async_trait]
impl Action for Replicate {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        engine::of_plan(plan).describe_replicate(plan, self)
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        cx.engine().replicate(cx, state, of, self).await
    }

    async fn undo(&self, cx: &Context, state: &RunState, _of: &Move) -> Result<Value, StepError> {
        cx.still_mine()?;
        cx.engine().undo_replicate(cx, state, self).await
    }
}
