//! `freeze`: hold the clients in the poolers, then fence the side that is left. The token and the positions that the
//! later steps need are taken in the same round trip as the fence.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use rand::RngExt as _;
use serde_json::{Value, json};

use super::{Action, Description, StepError};
use crate::clock;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::Freeze;
use crate::systems::pgbouncer::statements;
use crate::systems::postgres::barrier::BarrierPlan;
use crate::systems::postgres::fence::{Fencing, Open};
use crate::systems::postgres::pair::Heading;
use crate::systems::postgres::{setup, stream};

#[async_trait]
impl Action for Freeze {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        let leaving = pair.leaving(way);
        let fencing_open = planned_open(plan, leaving);
        let fencing = planned_fencing(plan, leaving, &fencing_open);
        let barrier = BarrierPlan {
            run: "RUN",
            epoch: 1,
            way,
            fencing: fencing.clone(),
            sequences: &plan.choices.sequences,
            token: "TOKEN",
            limit_ms: u64::try_from(self.pause_timeout.0.as_millis()).unwrap_or(500),
        };
        let mut apply = Vec::new();
        let mut undo = vec![(leaving.to_owned(), thaw_sql("RUN", 1, way, &fencing))];
        for pooler in &self.through {
            let Ok(spec) = crate::systems::world::World::new(plan.systems.clone()).pgbouncer(pooler) else { continue };
            apply.push((pooler.clone(), statements::pause(&spec.database)));
            undo.push((pooler.clone(), statements::set_login_retry(spec.login_retry)));
            undo.push((pooler.clone(), statements::resume(&spec.database)));
        }
        apply.push((leaving.to_owned(), barrier.sql()));
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
        let pair = cx.pair()?;
        let leaving = pair.leaving(of.way);
        let open = known_open(cx, state, leaving)?;
        let sequences: Vec<(String, String)> =
            remembered(state, "window", "sequences").ok_or_else(|| StepError::broken("the window was not armed"))?;
        let session = cx.rig.session(leaving).await?;
        let paused_at = clock::now();
        self.pause(cx).await?;
        let paused_ms = millis_since(paused_at);
        let token = new_token();
        let limit_ms = u64::try_from(self.pause_timeout.0.as_millis()).unwrap_or(500);
        let fencing = cx.fencing(leaving, &open)?;
        let (run, epoch, way) = (cx.run.as_str(), cx.epoch, of.way);
        let plan = BarrierPlan { run, epoch, way, fencing, sequences: &sequences, token: &token, limit_ms };
        let barrier = plan.run(&session).await?;
        Ok(json!({ "barrier": barrier, "paused_at": paused_at, "pause_ms": paused_ms }))
    }

    /// The thaw: the stream is switched on again and the fence lifted in one transaction, then the clients go on.
    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let leaving = cx.pair()?.leaving(of.way);
        let open = known_open(cx, state, leaving)?;
        let session = cx.rig.session(leaving).await?;
        let sql = thaw_sql(&cx.run, cx.epoch, of.way, &cx.fencing(leaving, &open)?);
        if let Err(error) = session.batch("lift the fence", &sql).await {
            drop(session.batch("leave the transaction", "ROLLBACK").await);
            return Err(error.into());
        }
        self.resume(cx).await?;
        Ok(json!({ "thawed_at": clock::now() }))
    }
}

impl Freeze {
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

/// The statements of the thaw: one transaction, so that no write can slip between the stream and the fence.
fn thaw_sql(run: &str, epoch: u64, way: Heading, fencing: &Fencing<'_>) -> String {
    format!("BEGIN;\n{}\n{}{}COMMIT;", setup::hold_epoch(run, epoch), stream::set_points(way, true), fencing.lift())
}

/// What a side was like before it was fenced: from the arming of the window for the side that takes writes, from
/// `replicate` for the target before the first cutover.
pub fn known_open(cx: &Context, state: &RunState, side: &str) -> Result<Open, StepError> {
    let key = format!("open_{side}");
    remembered(state, "window", &key).or_else(|| remembered(state, "replicate", &key)).ok_or_else(|| {
        let message = format!("the journal does not say what {side} was like before it was fenced (run {})", cx.run);
        StepError::told(FailureKind::Refused, message, Some("look at its connection limit and roles by hand"))
    })
}

/// For the plan, before the database was read: the limits that most databases have.
pub fn planned_open(plan: &Plan, side: &str) -> Open {
    let source = plan.pair.as_ref().is_some_and(|pair| pair.source == side);
    let choices = if source { &plan.choices.source } else { &plan.choices.target };
    let roles = vec!["ROLE".to_owned()];
    Open { database: choices.database.clone(), connection_limit: -1, read_only: None, owned: true, roles }
}

/// For the plan: the fence of one side.
pub fn planned_fencing<'a>(plan: &Plan, side: &str, open: &'a Open) -> Fencing<'a> {
    let source = plan.pair.as_ref().is_some_and(|pair| pair.source == side);
    let choices = if source { &plan.choices.source } else { &plan.choices.target };
    Fencing { mode: choices.fence, open, exempt: &[], superuser: choices.superuser }
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
