//! `window`: arming it. Gates are green, both databases are the ones that were looked at, both streams carry a token
//! from end to end (so the way back is proved before it is needed), every connection is open, what the fence must
//! restore is known. Writes still flow.

use async_trait::async_trait;
use futures_util::future::try_join;
use serde_json::{Value, json};

use super::carried;
use super::freeze::{known_open, new_token, planned_fencing, planned_open};
use super::gating::{Watch, wait_open};
use super::switch::address;
use super::{Action, Description, StepError};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{OnFail, Promote, Step, System, Window};
use crate::systems::postgres::barrier::BarrierPlan;
use crate::systems::postgres::fence::{Fencing, Open};
use crate::systems::postgres::pair::Heading;
use crate::systems::postgres::{Session, catalog, fence, setup, stream};

/// How long a token may take through a stream that works.
const PROOF_MS: u64 = 10_000;

#[async_trait]
impl Action for Window {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        let gates =
            if self.gates.is_empty() { String::new() } else { format!("gates {} open; ", self.gates.join(", ")) };
        let mut apply = Vec::new();
        for heading in [Heading::Forth, Heading::Back] {
            let (publisher, subscriber) = (pair.leaving(heading), pair.arriving(heading));
            apply.push((publisher.to_owned(), stream::write_token(heading, "RUN", "TOKEN").trim_end().to_owned()));
            apply.push((
                subscriber.to_owned(),
                stream::await_token(heading, "TOKEN", None, PROOF_MS).trim_end().to_owned(),
            ));
        }
        let (leaving, arriving) = (pair.leaving(way), pair.arriving(way));
        let (leave, arrive) = (planned_open(plan, leaving), planned_open(plan, arriving));
        let fencing = planned_fencing(plan, leaving, &leave);
        let sequences = plan.choices.sequences.as_slice();
        let barrier = BarrierPlan { run: "RUN", epoch: 1, way, fencing, sequences, token: "TOKEN", limit_ms: 0 };
        apply.push((leaving.to_owned(), barrier.trial()));
        let promote = trial_of_promote("RUN", 1, way, &planned_fencing(plan, arriving, &arrive));
        apply.push((arriving.to_owned(), promote));
        Description {
            summary: format!(
                "Arm the window from {} to {}: {gates}a token goes through both streams, connections are opened, the \
                 window's statements are tried and taken back, the guard is started. Writes wait at most {}",
                pair.leaving(way),
                pair.arriving(way),
                self.budget
            ),
            apply,
            undo: Vec::new(),
            clients: None,
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let pair = cx.pair()?;
        if of.way == Heading::Forth {
            let timeout = std::time::Duration::from_secs(3600);
            let watch = Watch { step: &of.step, gates: &self.gates, timeout, on_fail: OnFail::Hold };
            wait_open(cx, state, &watch).await?;
        }
        cx.rig.warm(&[&pair.source, &pair.target], cx.plan.endpoints()).await?;
        let (leaving, arriving) = (pair.leaving(of.way), pair.arriving(of.way));
        let (leave, arrive) = (cx.rig.session(leaving).await?, cx.rig.session(arriving).await?);
        self.same_servers(cx, &leave, &arrive).await?;
        self.everything_is_carried(cx, of.way).await?;
        self.prove_streams(cx, of.way).await?;
        self.ready_poolers(cx, leaving, arriving).await?;
        let origin = stream::subscription(&arrive, of.way).await?.map(|found| found.origin());
        let sequences = catalog::sequences(&leave, &cx.plan.choices.schemas).await?;
        let note = json!({ "origin": origin, "sequences": sequences });
        cx.note(of, note, Durability::Ordered)?;
        let open = self.remember_open(cx, of, &leave).await?;
        self.try_out(cx, state, of.way, &open, &sequences).await?;
        cx.journal.checkpoint()?;
        Ok(json!({}))
    }
}

impl Window {
    /// What lifting the fence must restore: read from the side that is open now.
    async fn remember_open(&self, cx: &Context, of: &Move, leave: &Session) -> Result<Open, StepError> {
        let exempt = match cx.plan.systems.get(leave.system()) {
            Some(System::Postgres(spec)) => spec.exempt_roles.clone(),
            _ => Vec::new(),
        };
        let open = fence::read_open(leave, &exempt).await?;
        if open.connection_limit == 0 {
            let message =
                format!("{} has connection limit 0 already: something else keeps clients out of it", leave.system());
            return Err(StepError::told(
                FailureKind::Refused,
                message,
                Some("ALTER DATABASE … CONNECTION LIMIT -1, if nobody needs it"),
            ));
        }
        cx.note(of, json!({ format!("open_{}", leave.system()): open }), Durability::Ordered)?;
        Ok(open)
    }

    /// Tries the statements of the freeze and of the promotion and takes them back: what is not allowed shows now, and
    /// the first time, which is several times slower, is not the one during which writes wait.
    async fn try_out(
        &self,
        cx: &Context,
        state: &RunState,
        way: Heading,
        open: &Open,
        sequences: &[(String, String)],
    ) -> Result<(), StepError> {
        let pair = cx.pair()?;
        let (leaving, arriving) = (pair.leaving(way), pair.arriving(way));
        let fencing = cx.fencing(leaving, open)?;
        let (run, epoch, token) = (cx.run.as_str(), cx.epoch, new_token());
        let barrier = BarrierPlan { run, epoch, way, fencing, sequences, token: &token, limit_ms: 0 };
        let there = known_open(cx, state, arriving)?;
        let promote = trial_of_promote(run, epoch, way, &cx.fencing(arriving, &there)?);
        let freeze = tried(cx, leaving, barrier.trial());
        try_join(freeze, tried(cx, arriving, promote)).await.map(drop)
    }

    /// The servers that answer now are those of the plan: a failover in between would have lost the slots.
    async fn same_servers(&self, cx: &Context, leave: &Session, arrive: &Session) -> Result<(), StepError> {
        for session in [leave, arrive] {
            let found = catalog::identity(session).await?;
            let planned = cx.choices(session.system())?;
            if found.system_identifier != planned.system_identifier {
                let message = format!(
                    "{} is another server than the one of the plan (system identifier {}, planned {})",
                    session.system(),
                    found.system_identifier,
                    planned.system_identifier
                );
                return Err(StepError::told(FailureKind::Refused, message, Some("roll back, and make a new plan")));
            }
        }
        Ok(())
    }

    /// What is there now is what the streams carry.
    async fn everything_is_carried(&self, cx: &Context, way: Heading) -> Result<(), StepError> {
        carried::schema(cx).await?;
        carried::tables(cx, way).await?;
        if needs_other_stream(cx, way) { carried::tables(cx, way.opposite()).await } else { Ok(()) }
    }

    /// Both streams carry a token from end to end, now.
    async fn prove_streams(&self, cx: &Context, way: Heading) -> Result<(), StepError> {
        let forward = self.prove(cx, way);
        if !needs_other_stream(cx, way) {
            return forward.await;
        }
        try_join(forward, self.prove(cx, way.opposite())).await.map(drop)
    }

    async fn prove(&self, cx: &Context, heading: Heading) -> Result<(), StepError> {
        let pair = cx.pair()?;
        let (publisher, subscriber) =
            (cx.rig.session(pair.leaving(heading)).await?, cx.rig.session(pair.arriving(heading)).await?);
        let what = if heading == Heading::Forth { "replication" } else { "the way back" };
        runs(&subscriber, heading, what).await?;
        let token = new_token();
        let sql = format!("{}{}", setup::hold_epoch(&cx.run, cx.epoch), stream::write_token(heading, &cx.run, &token));
        publisher.batch("write a token", &sql).await?;
        let arrived = subscriber.batch("wait for a token", &stream::await_token(heading, &token, None, PROOF_MS)).await;
        arrived.map(drop).map_err(|error| {
            let hint = format!(
                "on {}: SELECT * FROM pg_stat_subscription WHERE subname = '{}', and its server log",
                pair.arriving(heading),
                heading.stream()
            );
            StepError::told(
                FailureKind::Refused,
                format!("{what} does not work: {}: {}", error.system, error.reason),
                Some(&hint),
            )
        })
    }

    /// Every pooler leads to the side that is left, is not paused, and its change is made ready.
    async fn ready_poolers(&self, cx: &Context, leaving: &str, arriving: &str) -> Result<(), StepError> {
        let (here, there) = (address(&cx.world, leaving)?, address(&cx.world, arriving)?);
        for name in cx.plan.endpoints() {
            let pooler = cx.rig.pooler(name).await?;
            for (instance, entry) in pooler.instances().iter().zip(pooler.entries().await?) {
                if entry.paused {
                    let message = format!("{} is paused already: its clients wait", instance.name());
                    return Err(StepError::told(
                        FailureKind::Refused,
                        message,
                        Some("RESUME it, or find out who paused it"),
                    ));
                }
                if entry.host.as_deref() != Some(here.host.as_str()) || entry.port != here.port {
                    let message = format!("{} does not lead to {leaving} ({here}): {entry}", instance.name());
                    return Err(StepError::told(
                        FailureKind::Refused,
                        message,
                        Some("give the database its `address` as the pooler knows it"),
                    ));
                }
            }
            pooler.learn_versions().await?;
            cx.rig.keep_switch(name, pooler.prepare(&there)?).await;
        }
        Ok(())
    }
}

/// What [`Promote`] does on the side that is arrived at, taken back.
fn trial_of_promote(run: &str, epoch: u64, way: Heading, fencing: &Fencing<'_>) -> String {
    let (mine, points, lift) =
        (setup::hold_epoch(run, epoch), stream::set_points(way.opposite(), true), fencing.lift());
    format!("BEGIN;\n{mine}\n{points}{lift}ROLLBACK;\n")
}

async fn tried(cx: &Context, side: &str, sql: String) -> Result<(), StepError> {
    let session = cx.rig.session(side).await?;
    if let Err(error) = session.batch("try the statements of the window", &sql).await {
        drop(session.batch("leave the transaction", "ROLLBACK").await);
        return Err(error.into());
    }
    Ok(())
}

/// Whether the stream of the other direction is needed, too: always on the way back.
fn needs_other_stream(cx: &Context, way: Heading) -> bool {
    let keeps = |step: &Step| matches!(step, Step::Promote(Promote { keep_way_back: true, .. }));
    way == Heading::Back || cx.plan.steps.iter().any(|step| keeps(&step.step))
}

/// A subscription that is gone or disabled carries nothing: no need to wait for a token.
async fn runs(subscriber: &Session, heading: Heading, what: &str) -> Result<(), StepError> {
    let (stream, side) = (heading.stream(), subscriber.system());
    let (message, hint) = match stream::subscription(subscriber, heading).await? {
        Some(found) if found.enabled => return Ok(()),
        Some(_) => (
            format!("{what} does not work: the subscription {stream} of {side} is disabled"),
            format!("find out who disabled it and why; on {side}: ALTER SUBSCRIPTION {stream} ENABLE"),
        ),
        None => (
            format!("{what} does not work: {side} has no subscription {stream}"),
            "somebody dropped it; roll back, and make a new plan".to_owned(),
        ),
    };
    Err(StepError::told(FailureKind::Refused, message, Some(&hint)))
}
