//! `command`: a program of the author's, with a declared undo.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Action, Description, Observation, StepError};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::{Command, Program, UndoProgram};
use crate::systems::pair::Heading;
use crate::systems::program;

const HERE: &str = "this machine";

#[async_trait]
impl Action for Command {
    fn describe(&self, _plan: &Plan, _way: Heading) -> Description {
        let line = |program: &Program| (HERE.to_owned(), program::words(&program.run));
        let undo = match &self.undo {
            UndoProgram::Run(program) => vec![line(program)],
            UndoProgram::Nothing => Vec::new(),
            UndoProgram::Irreversible => vec![(HERE.to_owned(), "# none: it can't be taken back".to_owned())],
        };
        Description { summary: "Run a program".into(), apply: vec![line(&self.apply)], undo, clients: None }
    }

    async fn observe(&self, cx: &Context, _state: &RunState, of: &Move) -> Result<Observation, StepError> {
        let Some(program) = &self.observe else {
            let words = program::words(&self.apply.run);
            let message =
                format!("{} ({words}) may or may not have run, and the runbook gives no `observe` for it", of.step);
            return Ok(Observation::Unknown(message));
        };
        let outcome = program::run(HERE, "observe whether it is done", program, &variables(cx, of)).await?;
        match outcome.code {
            Some(0) => Ok(Observation::Applied(json!({}))),
            Some(1) => Ok(Observation::NotApplied),
            _ => Ok(Observation::Unknown(format!("`observe` of {} says neither: {}", of.step, outcome.last_words()))),
        }
    }

    async fn apply(&self, cx: &Context, _state: &RunState, of: &Move) -> Result<Value, StepError> {
        cx.still_mine()?;
        program::run_to_success(HERE, &format!("run {}", of.step), &self.apply, &variables(cx, of)).await?;
        Ok(json!({}))
    }

    async fn undo(&self, cx: &Context, _state: &RunState, of: &Move) -> Result<Value, StepError> {
        cx.still_mine()?;
        match &self.undo {
            UndoProgram::Run(program) => {
                program::run_to_success(HERE, &format!("undo {}", of.step), program, &variables(cx, of)).await?;
                Ok(json!({}))
            }
            UndoProgram::Nothing => Ok(json!({})),
            UndoProgram::Irreversible => Err(super::irreversible(cx, of)),
        }
    }
}

/// What the program may want to know: a window is passed in two directions with the same programs.
fn variables(cx: &Context, of: &Move) -> Vec<(&'static str, String)> {
    let way = if of.way == Heading::Forth { "forth" } else { "back" };
    vec![("POINTSMAN_RUN", cx.run.clone()), ("POINTSMAN_STEP", of.step.clone()), ("POINTSMAN_WAY", way.to_owned())]
}
