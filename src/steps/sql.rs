//! `sql`: statements of the author's, with a declared undo.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Action, Description, Observation, StepError};
use crate::engine::{self, Engine};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::{Sql, UndoSql};
use crate::systems::pair::Heading;

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
        if self.observe.is_none() {
            return Ok(Observation::NotApplied);
        }
        self.engine(cx).observe_statements(cx, self).await
    }

    async fn apply(&self, cx: &Context, _state: &RunState, _of: &Move) -> Result<Value, StepError> {
        self.engine(cx).run_statements(cx, self, &self.run).await
    }

    async fn undo(&self, cx: &Context, _state: &RunState, of: &Move) -> Result<Value, StepError> {
        match &self.undo {
            UndoSql::Run(statements) => self.engine(cx).run_statements(cx, self, statements).await,
            UndoSql::Nothing => Ok(json!({})),
            UndoSql::Irreversible => Err(super::irreversible(cx, of)),
        }
    }
}

impl Sql {
    fn engine(&self, cx: &Context) -> &'static dyn Engine {
        engine::of(cx.plan.systems.get(&self.system))
    }
}
