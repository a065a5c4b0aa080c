//! `sql`: statements of the author's, with a declared undo.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Action, Description, Observation, StepError};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{Sql, UndoSql};
use crate::systems::postgres::pair::Heading;
use crate::systems::postgres::setup;

#[async_trait]
impl Action for Sql {
    fn describe(&self, _plan: &Plan, _way: Heading) -> Description {
        let at = |statements: &[String]| statements.iter().map(|sql| (self.system.clone(), sql.clone())).collect();
        let undo = match &self.undo {
            UndoSql::Run(statements) => at(statements),
            UndoSql::Nothing => Vec::new(),
            UndoSql::Irreversible => vec![(self.system.clone(), "-- none: it can't be taken back".to_owned())],
        };
        let summary = format!("Run {} statement(s) on {}", self.run.len(), self.system);
        Description { summary, apply: at(&self.run), undo, clients: None }
    }

    async fn observe(&self, cx: &Context, _state: &RunState, _of: &Move) -> Result<Observation, StepError> {
        let Some(query) = &self.observe else { return Ok(Observation::NotApplied) };
        let session = cx.rig.session(&self.system).await?;
        let results =
            session.batch("observe whether it is done", &format!("BEGIN READ ONLY; {query}; ROLLBACK")).await?;
        let first = results.first().and_then(|rows| rows.first()?.first()?.clone());
        let done = matches!(first.as_deref(), Some("t" | "true"));
        Ok(if done { Observation::Applied(json!({})) } else { Observation::NotApplied })
    }

    async fn apply(&self, cx: &Context, _state: &RunState, _of: &Move) -> Result<Value, StepError> {
        self.run_all(cx, &self.run).await
    }

    async fn undo(&self, cx: &Context, _state: &RunState, _of: &Move) -> Result<Value, StepError> {
        match &self.undo {
            UndoSql::Run(statements) => self.run_all(cx, statements).await,
            UndoSql::Nothing => Ok(json!({})),
            UndoSql::Irreversible => {
                let hint = "undo it by hand, then `pointsman skip` does not apply: say `pointsman retry` after changing nothing else";
                Err(StepError::told(FailureKind::Refused, "the runbook says that it can't be taken back", Some(hint)))
            }
        }
    }
}

impl Sql {
    /// Each statement in a transaction of its own, together with the check of the epoch where our schema exists.
    async fn run_all(&self, cx: &Context, statements: &[String]) -> Result<Value, StepError> {
        let session = cx.rig.session(&self.system).await?;
        let ours: bool = session
            .value(
                "look for our schema",
                "SELECT to_regprocedure('pointsman.hold_epoch(text, bigint)') IS NOT NULL",
                &[],
            )
            .await?;
        let held = if ours { setup::hold_epoch(&cx.run, cx.epoch) } else { String::new() };
        for sql in statements {
            cx.still_mine()?;
            let limit = format!("SET LOCAL statement_timeout = {};", self.timeout.0.as_millis());
            let batch = format!("BEGIN; {limit} {held} {sql}; COMMIT");
            if let Err(error) = session.batch(&format!("run `{sql}`"), &batch).await {
                drop(session.batch("leave the transaction", "ROLLBACK").await);
                return Err(error.into());
            }
        }
        Ok(json!({ "statements": statements.len() }))
    }
}
