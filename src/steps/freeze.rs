//! `freeze`: hold the clients in the endpoints, then fence the side that is left. The token and the positions that the
//! later steps need are taken in the same round trip as the fence.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use rand::RngExt as _;
use serde_json::{Value, json};

use super::{Action, Description, StepError};
use crate::clock;
use crate::endpoints;
use crate::engine;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::{Freeze, Holds};
use crate::systems::pair::Heading;
use crate::systems::world::World;

#[async_trait]
impl Action for Freeze {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        let leaving = pair.leaving(way);
        let (stop, mut undo) = engine::of_plan(plan).describe_stop(plan, way, self.limit_ms());
        let mut apply = Vec::new();
        let world = World::new(plan.systems.clone());
        for name in &self.through {
            let Ok(endpoint) = endpoints::open(&world, name) else { continue };
            apply.extend(endpoint.describe_hold().into_iter().map(|line| (name.clone(), line)));
            undo.extend(endpoint.describe_release().into_iter().map(|line| (name.clone(), line)));
        }
        apply.extend(stop);
        let waits = |name: &String| endpoints::manner(&world, name).is_some_and(|manner| manner.holds == Holds::Wait);
        let clients = if self.through.is_empty() {
            "clients of the database are disconnected and refused until the switch: they see errors"
        } else if self.through.iter().all(waits) {
            "clients of the poolers wait; those that go round them are disconnected and refused"
        } else {
            "clients are disconnected once, and what they send until the switch waits or is refused: they see errors"
        };
        Description {
            summary: format!("Stop writes on {leaving}: hold the clients, fence the database, write the barrier"),
            apply,
            undo,
            clients: Some(clients.into()),
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let paused_at = clock::now();
        self.hold(cx).await?;
        let paused_ms = millis_since(paused_at);
        let barrier = cx.engine().stop_writes(cx, state, of, self.limit_ms()).await?;
        Ok(json!({ "barrier": barrier, "paused_at": paused_at, "pause_ms": paused_ms }))
    }

    /// The thaw: the stream is switched on again and the fence lifted in one transaction, then the clients go on.
    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        cx.engine().thaw(cx, state, of).await?;
        self.release(cx).await?;
        Ok(json!({ "thawed_at": clock::now() }))
    }
}

impl Freeze {
    fn limit_ms(&self) -> u64 {
        u64::try_from(self.pause_timeout.0.as_millis()).unwrap_or(500)
    }

    /// Holds the clients of every endpoint at the same time. One that is not granted in time leads to all of them
    /// being let go again, by the undo of this step.
    async fn hold(&self, cx: &Context) -> Result<(), StepError> {
        cx.still_mine()?;
        let endpoints = try_join_all(self.through.iter().map(|name| cx.rig.endpoint(name))).await?;
        try_join_all(endpoints.iter().map(|endpoint| endpoint.hold(self.pause_timeout.0))).await?;
        Ok(())
    }

    /// Lets the clients of every endpoint go on; all are tried, whatever one of them says.
    async fn release(&self, cx: &Context) -> Result<(), StepError> {
        cx.still_mine()?;
        let outcomes =
            join_all(self.through.iter().map(|name| async move { cx.rig.endpoint(name).await?.release().await })).await;
        outcomes.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(())
    }
}

/// A token that was never used before.
pub fn new_token() -> String {
    let mut bytes = [0_u8; 12];
    rand::rng().fill(&mut bytes);
    hex::encode(bytes)
}

/// Milliseconds since a moment.
pub fn millis_since(moment: jiff::Timestamp) -> f64 {
    let span = Duration::try_from(clock::now().duration_since(moment)).unwrap_or_default();
    span.as_secs_f64() * 1000.0
}
