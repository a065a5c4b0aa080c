//! What the executor does things with: the real steps and the real guard. Tests explore thousands of states with hands
//! that work in memory; the executor is the same.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::context::Context;
use super::guard::Guard;
use super::state::RunState;
use crate::journal::{Act, Move};
use crate::runbook::model::Step;
use crate::steps::{self, Observation, StepError};
use crate::systems::pair::Heading;

/// What changes the world.
#[async_trait]
pub trait Hands: Send + Sync {
    /// Does a step, or takes it back.
    async fn act(&self, cx: &Context, state: &RunState, step: &Step, of: &Move) -> Result<Value, StepError>;

    /// Looks whether a step is done.
    async fn observe(&self, cx: &Context, state: &RunState, step: &Step, of: &Move) -> Result<Observation, StepError>;

    /// Proves a window that was passed; says what was seen, or what is not as it must be.
    async fn prove(&self, cx: &Context, way: Heading) -> Result<String, String>;

    /// Waits for a good moment to stop writes, when the guard stands ready.
    async fn await_near(&self, _cx: &Context, _way: Heading, _budget: Duration) -> Result<(), StepError> {
        Ok(())
    }

    /// Does what a window leaves to do at once when writes go on; a proof does it too.
    async fn complete(&self, _cx: &Context, _way: Heading) -> Result<(), StepError> {
        Ok(())
    }

    /// Starts the guard of a window; `None` where no process can outlive this one.
    async fn guard(&self, cx: &Context, budget: Duration) -> Result<Option<Guard>, String>;
}

/// The steps as they are.
pub struct RealHands;

#[async_trait]
impl Hands for RealHands {
    async fn act(&self, cx: &Context, state: &RunState, step: &Step, of: &Move) -> Result<Value, StepError> {
        let done = match of.act {
            Act::Apply => steps::action(step).apply(cx, state, of).await,
            Act::Undo => steps::action(step).undo(cx, state, of).await,
        };
        // Inside the window nobody waits for that.
        let inside = cx.plan.position(&of.step).is_none_or(|at| cx.plan.steps[at].window.is_some());
        if !inside && state.passage.is_none() && !matches!(done, Err(StepError::Interrupted)) {
            cx.heard_out().await;
        }
        done
    }

    async fn observe(&self, cx: &Context, state: &RunState, step: &Step, of: &Move) -> Result<Observation, StepError> {
        steps::action(step).observe(cx, state, of).await
    }

    async fn prove(&self, cx: &Context, way: Heading) -> Result<String, String> {
        let proved = steps::prove(cx, way).await;
        cx.heard_out().await;
        proved
    }

    async fn await_near(&self, cx: &Context, way: Heading, budget: Duration) -> Result<(), StepError> {
        cx.engine().await_near(cx, way, budget).await
    }

    async fn complete(&self, cx: &Context, way: Heading) -> Result<(), StepError> {
        cx.engine().complete(cx, way).await
    }

    async fn guard(&self, cx: &Context, budget: Duration) -> Result<Option<Guard>, String> {
        Guard::start(cx, budget).await.map(Some)
    }
}
