//! `finalize`: the way back is dropped. The point of no return.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Action, Description, Observation, StepError};
use crate::engine;
use crate::executor::context::Context;
use crate::executor::state::{RunState, Side};
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::Finalize;
use crate::systems::pair::Heading;

#[async_trait]
impl Action for Finalize {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        let (source, target) = (&pair.source, &pair.target);
        Description {
            summary: format!(
                "Drop both streams: {source} no longer follows {target}, and stays fenced. THE POINT OF NO RETURN"
            ),
            apply: engine::of_plan(plan).describe_finalize(plan),
            undo: vec![(source.clone(), "-- none: what is written on the target from here on is only there".into())],
            clients: None,
        }
    }

    async fn observe(&self, _cx: &Context, _state: &RunState, _of: &Move) -> Result<Observation, StepError> {
        Ok(Observation::NotApplied)
    }

    async fn apply(&self, cx: &Context, state: &RunState, _of: &Move) -> Result<Value, StepError> {
        if state.writer != Side::Target {
            let message = "writes still go to the source: there is no cutover to finalize";
            return Err(StepError::told(FailureKind::Refused, message, None));
        }
        cx.engine().finalize(cx, state).await?;
        Ok(match cx.engine().left_shut(&cx.plan, state) {
            Some(words) => json!({ "summary": words }),
            None => json!({}),
        })
    }

    async fn undo(&self, _cx: &Context, _state: &RunState, _of: &Move) -> Result<Value, StepError> {
        let message = "finalize has dropped the way back";
        Err(StepError::told(
            FailureKind::Refused,
            message,
            Some("a new cutover in the other direction is the way back"),
        ))
    }
}
