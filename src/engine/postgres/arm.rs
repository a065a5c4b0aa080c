//! Arming the window: the servers are those of the plan, everything is carried, both streams carry a token now, what
//! the fence must restore is known, and the window's statements were tried.

use std::time::Duration;

use futures_util::future::try_join;
use serde_json::json;

use super::carried;
use super::freeze::{fencing, known_open, planned_fencing, planned_open};
use super::slots;
use crate::engine::{Lines, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{Promote, Step, System};
use crate::steps::{StepError, new_token};
use crate::systems::pair::Heading;
use crate::systems::postgres::barrier::BarrierPlan;
use crate::systems::postgres::fence::{self, Fencing, Open};
use crate::systems::postgres::{Session, catalog, setup, stream};

/// How long a token may take through a stream that works.
pub(in crate::engine) const PROOF: Duration = Duration::from_millis(PROOF_MS);
const PROOF_MS: u64 = 10_000;

pub(super) fn describe(plan: &Plan, way: Heading) -> Lines {
    describe_with(plan, way, &[Heading::Forth, Heading::Back])
}

/// The same, where only these streams are there.
pub(in crate::engine) fn describe_with(plan: &Plan, way: Heading, streams: &[Heading]) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let mut apply = Vec::new();
    for &heading in streams {
        let (publisher, subscriber) = (pair.leaving(heading), pair.arriving(heading));
        apply.push((publisher.to_owned(), stream::write_token(heading, "RUN", "TOKEN").trim_end().to_owned()));
        let wait = stream::await_token(heading, "TOKEN", None, PROOF_MS);
        apply.push((subscriber.to_owned(), wait.trim_end().to_owned()));
    }
    let (leaving, arriving) = (pair.leaving(way), pair.arriving(way));
    apply.push((arriving.to_owned(), stream::set_mark(way.opposite())));
    let (leave, arrive) = (planned_open(plan, leaving), planned_open(plan, arriving));
    let fencing = planned_fencing(plan, leaving, &leave);
    let sequences = plan.choices.sequences.as_slice();
    let barrier = BarrierPlan { run: "RUN", epoch: 1, way, fencing, sequences, token: "TOKEN", limit_ms: 0 };
    apply.push((leaving.to_owned(), barrier.trial()));
    let promote = trial_of_promote("RUN", 1, way, &planned_fencing(plan, arriving, &arrive));
    apply.push((arriving.to_owned(), promote));
    apply
}

pub(super) async fn look_before(cx: &Context, way: Heading) -> Outcome<()> {
    let pair = cx.pair()?;
    let (leave, arrive) = (cx.rig.postgres(pair.leaving(way)).await?, cx.rig.postgres(pair.arriving(way)).await?);
    same_servers(cx, &leave, &arrive).await?;
    everything_is_carried(cx, way).await?;
    prove_streams(cx, way).await
}

pub(super) async fn arm(cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
    let pair = cx.pair()?;
    let (leave, arrive) = (cx.rig.postgres(pair.leaving(of.way)).await?, cx.rig.postgres(pair.arriving(of.way)).await?);
    slots::same(cx, state, of).await?;
    let origin = stream::subscription(&arrive, of.way).await?.map(|found| found.origin());
    let sequences = catalog::sequences(&leave, &cx.plan.choices.schemas).await?;
    let note = json!({ "origin": origin, "sequences": sequences });
    cx.note(of, note, Durability::Ordered)?;
    let open = remember_open(cx, of, &leave).await?;
    try_out(cx, state, of.way, &open, &sequences).await
}

/// What lifting the fence must restore: read from the side that is open now.
pub(in crate::engine) async fn remember_open(cx: &Context, of: &Move, leave: &Session) -> Result<Open, StepError> {
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
    cx: &Context,
    state: &RunState,
    way: Heading,
    open: &Open,
    sequences: &[(String, String)],
) -> Result<(), StepError> {
    let pair = cx.pair()?;
    let (leaving, arriving) = (pair.leaving(way), pair.arriving(way));
    let (here, there) = (fencing(cx, leaving, open)?, known_open(cx, state, arriving)?);
    let (run, epoch, token) = (cx.run.as_str(), cx.epoch, new_token());
    let barrier = BarrierPlan { run, epoch, way, fencing: here, sequences, token: &token, limit_ms: 0 };
    let promote = trial_of_promote(run, epoch, way, &fencing(cx, arriving, &there)?);
    let freeze = tried(cx, leaving, barrier.trial());
    try_join(freeze, tried(cx, arriving, promote)).await.map(drop)
}

/// The servers that answer now are those of the plan: a failover in between would have lost the slots.
pub(in crate::engine) async fn same_servers(cx: &Context, leave: &Session, arrive: &Session) -> Result<(), StepError> {
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
async fn everything_is_carried(cx: &Context, way: Heading) -> Result<(), StepError> {
    carried::schema(cx).await?;
    carried::tables(cx, way).await?;
    if needs_other_stream(cx, way) { carried::tables(cx, way.opposite()).await } else { Ok(()) }
}

/// Both streams carry a token from end to end, now.
async fn prove_streams(cx: &Context, way: Heading) -> Result<(), StepError> {
    let forward = prove(cx, way);
    if !needs_other_stream(cx, way) {
        return forward.await;
    }
    try_join(forward, prove(cx, way.opposite())).await.map(drop)
}

pub(in crate::engine) async fn prove(cx: &Context, heading: Heading) -> Result<(), StepError> {
    let pair = cx.pair()?;
    let (publisher, subscriber) =
        (cx.rig.postgres(pair.leaving(heading)).await?, cx.rig.postgres(pair.arriving(heading)).await?);
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

/// What [`Promote`] does on the side that is arrived at, taken back.
fn trial_of_promote(run: &str, epoch: u64, way: Heading, fencing: &Fencing<'_>) -> String {
    let (mine, points, lift) =
        (setup::hold_epoch(run, epoch), stream::set_points(way.opposite(), true), fencing.lift());
    format!("BEGIN;\n{mine}\n{points}{lift}ROLLBACK;\n")
}

pub(in crate::engine) async fn tried(cx: &Context, side: &str, sql: String) -> Result<(), StepError> {
    let session = cx.rig.postgres(side).await?;
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
