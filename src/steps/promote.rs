//! `promote`: the stream back carries rows from exactly here, and the other side opens for writes.

use async_trait::async_trait;
use serde_json::Value;

use super::{Action, Description, StepError};
use crate::engine;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Promote;
use crate::systems::pair::Heading;

#[async_trait]
impl Action for Promote {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        let back = if self.keep_way_back { "; what is written from here on flows back" } else { "" };
        Description {
            summary: format!("Open {} for writes{back}", pair.arriving(way)),
            apply: engine::of_plan(plan).describe_promote(plan, way, self),
            undo: vec![(
                pair.leaving(way).to_owned(),
                "-- after the commit point the way back is a window with source and target exchanged".to_owned(),
            )],
            clients: engine::of_plan(plan).waits(plan, way),
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        cx.engine().promote(cx, state, of, self).await
    }
}
