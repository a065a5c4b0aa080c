//! `freeze`: hold the clients in the poolers, then fence the side that is left. The token and the positions that the
//! later steps need are taken in the same round trip as the fence.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use rand::RngExt as _;
use serde_json::{Value, json};

use super::{Action, Description, StepError};
use crate::clock;
use crate::engine;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Freeze;
use crate::systems::pair::Heading;
use crate::systems::pgbouncer::statements;

#[async_trait]
impl Action for Freeze {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        let leaving = pair.leaving(way);
        let (stop, mut undo) = engine::of_plan(plan).describe_stop(plan, way, self.limit_ms());
        let mut apply = Vec::new();
        for pooler in &self.through {
            let Ok(spec) = crate::systems::world::World::new(plan.systems.clone()).pgbouncer(pooler) else { continue };
            apply.push((pooler.clone(), statements::pause(&spec.database)));
            undo.push((pooler.clone(), statements::set_login_retry(spec.login_retry)));
            undo.push((pooler.clone(), statements::resume(&spec.database)));
        }
        apply.extend(stop);
        let clients = if self.through.is_empty() {
            "clients of the database are disconnected and refused until the switch: they see errors"
        } else {
            "clients of the poolers wait; those that go round them are disconnected and refused"
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
        self.pause(cx).await?;
        let paused_ms = millis_since(paused_at);
        let barrier = cx.engine().stop_writes(cx, state, of, self.limit_ms()).await?;
        Ok(json!({ "barrier": barrier, "paused_at": paused_at, "pause_ms": paused_ms }))
    }

    /// The thaw: the stream is switched on again and the fence lifted in one transaction, then the clients go on.
    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        cx.engine().thaw(cx, state, of).await?;
        self.resume(cx).await?;
        Ok(json!({ "thawed_at": clock::now() }))
    }
}

impl Freeze {
    fn limit_ms(&self) -> u64 {
        u64::try_from(self.pause_timeout.0.as_millis()).unwrap_or(500)
    }

    /// Pauses every instance of every pooler at the same time. One that is not granted in time leads to all of them
    /// being let go again, by the undo of this step.
    async fn pause(&self, cx: &Context) -> Result<(), StepError> {
        cx.still_mine()?;
        let poolers = try_join_all(self.through.iter().map(|name| cx.rig.pooler(name))).await?;
        try_join_all(poolers.iter().map(|pooler| pooler.pause(self.pause_timeout.0))).await?;
        Ok(())
    }

    /// Lets the clients of every pooler go on; all are tried, whatever one of them says. A login that the pause or the
    /// fence made fail must not keep them waiting any longer.
    async fn resume(&self, cx: &Context) -> Result<(), StepError> {
        cx.still_mine()?;
        let outcomes = join_all(self.through.iter().map(|name| async move {
            let pooler = cx.rig.pooler(name).await?;
            pooler.open_doors().await
        }))
        .await;
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
