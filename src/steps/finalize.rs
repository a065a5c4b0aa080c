//! `finalize`: the way back is dropped. The point of no return.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Action, Description, Observation, StepError};
use crate::executor::context::Context;
use crate::executor::state::{RunState, Side};
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::Finalize;
use crate::systems::postgres::pair::Heading;
use crate::systems::postgres::{setup, stream};

#[async_trait]
impl Action for Finalize {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        let (source, target) = (&pair.source, &pair.target);
        let drop_subscription = |heading: Heading| format!("DROP SUBSCRIPTION {}", heading.stream());
        let drop_publications = |heading: Heading| {
            format!("DROP PUBLICATION IF EXISTS {}, {}", heading.stream(), heading.token_publication())
        };
        Description {
            summary: format!(
                "Drop both streams: {source} no longer follows {target}, and stays fenced. THE POINT OF NO RETURN"
            ),
            apply: vec![
                (source.clone(), drop_subscription(Heading::Back)),
                (target.clone(), drop_subscription(Heading::Forth)),
                (source.clone(), drop_publications(Heading::Forth)),
                (target.clone(), drop_publications(Heading::Back)),
                (source.clone(), setup::TEARDOWN.to_owned()),
                (target.clone(), setup::TEARDOWN.to_owned()),
            ],
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
        let pair = cx.pair()?;
        let (source, target) = tokio::try_join!(cx.rig.session(&pair.source), cx.rig.session(&pair.target))?;
        stream::drop_subscription(&source, Heading::Back).await?;
        stream::drop_subscription(&target, Heading::Forth).await?;
        stream::drop_publisher(&source, Heading::Forth).await?;
        stream::drop_publisher(&target, Heading::Back).await?;
        source.batch("drop our schema", setup::TEARDOWN).await?;
        target.batch("drop our schema", setup::TEARDOWN).await?;
        Ok(json!({}))
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
