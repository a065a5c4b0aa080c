//! The steps: what each kind does, how it is taken back, and how one sees whether it was done. One file a kind; adding
//! one is a file and a line in [`action`].

mod approve;
mod bake;
mod command;
mod create_blue_green;
mod create_instance;
mod decommission;
mod drain;
mod error;
mod failover;
mod finalize;
mod freeze;
mod gating;
mod leading;
mod notes;
mod parameters;
mod preflight;
mod promote;
mod prove;
mod rds_server;
mod replicate;
mod run_task;
mod sequences;
mod shift;
mod snapshot;
mod sql;
mod switch;
mod verify;
mod wait;
mod window;

pub use drain::time_left_ms;
pub use error::StepError;
pub use freeze::new_token;
pub use leading::permissions;
pub use preflight::{accepted, findings};
pub use prove::prove;
pub use rds_server::changed as servers_changed;
pub use verify::{PATIENCE as COMPARE_PATIENCE, status_words};

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::Step;
use crate::systems::pair::Heading;

/// What a look at the world says of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// It is done, with this to remember.
    Applied(Value),
    /// It is not done, or not whole: doing it again is safe.
    NotApplied,
    /// It can't be seen; a person must say.
    Unknown(String),
}

/// A step as the plan shows it: statements and calls word for word.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Description {
    /// What it does, in a sentence.
    pub summary: String,
    /// What is sent, and where to: `(system, statement)`.
    pub apply: Vec<(String, String)>,
    /// What takes it back.
    pub undo: Vec<(String, String)>,
    /// What clients notice, if anything.
    pub clients: Option<String>,
}

impl Description {
    /// A description with only a sentence.
    #[must_use]
    pub fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), ..Self::default() }
    }
}

/// What a step kind can do. Every `apply` and `undo` can be repeated.
#[async_trait]
pub trait Action: Send + Sync {
    /// The step as the plan shows it.
    fn describe(&self, plan: &Plan, way: Heading) -> Description;

    /// Looks whether it is done; after a crash, before anything is done.
    async fn observe(&self, _cx: &Context, _state: &RunState, _of: &Move) -> Result<Observation, StepError> {
        Ok(Observation::NotApplied)
    }

    /// Does it; what it gives back is remembered.
    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError>;

    /// Takes it back.
    async fn undo(&self, _cx: &Context, _state: &RunState, _of: &Move) -> Result<Value, StepError> {
        Ok(json!({}))
    }
}

/// The action of a step: the registry.
#[must_use]
pub fn action(step: &Step) -> &dyn Action {
    match step {
        Step::Preflight(step) => step,
        Step::Replicate(step) => step,
        Step::Wait(step) => step,
        Step::Shift(step) => step,
        Step::Approve(step) => step,
        Step::Window(step) => step,
        Step::Freeze(step) => step,
        Step::Drain(step) => step,
        Step::Sequences(step) => step,
        Step::Promote(step) => step,
        Step::Switch(step) => step,
        Step::Bake(step) => step,
        Step::Verify(step) => step,
        Step::Finalize(step) => step,
        Step::Sql(step) => step,
        Step::Command(step) => step,
        Step::RunTask(step) => step,
        Step::Snapshot(step) => step,
        Step::Parameters(step) => step,
        Step::CreateInstance(step) => step,
        Step::CreateBlueGreen(step) => step,
        Step::Decommission(step) => step,
        Step::Failover(step) => step,
    }
}

/// A step of the author's that can't be taken back, met by a rollback.
fn irreversible(cx: &Context, of: &Move) -> StepError {
    let hint = format!("`pointsman rollback {} --to {}` keeps it, and ends the way back there", cx.run, of.step);
    StepError::told(FailureKind::Refused, "the runbook says that it can't be taken back", Some(&hint))
}
