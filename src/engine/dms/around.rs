//! What stands around a window: whether DMS carries everything now, before it; and that it carries nothing any more,
//! behind it.

use std::time::Duration;

use super::replicate::carries;
use super::works::Works;
use crate::engine::postgres::{arm, carried, carrier, drain as native};
use crate::engine::{Engine, Lines, Outcome, postgres};
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::Replicate;
use crate::steps::{StepError, new_token};
use crate::systems::aws::dms::{State, Table};
use crate::systems::pair::Heading;
use crate::systems::postgres::barrier::Barrier;
use crate::systems::postgres::{catalog, setup, stream};

/// How long a token may take through DMS before a window.
pub(in crate::engine) const PROOF: Duration = Duration::from_secs(40);

pub(in crate::engine) fn step(cx: &Context) -> Outcome<&Replicate> {
    carried::replicate(cx).ok_or_else(|| StepError::broken("the plan replicates nothing"))
}

pub(in crate::engine) async fn look_before(cx: &Context, way: Heading) -> Outcome<()> {
    let pair = cx.pair()?;
    let (leave, arrive) = (cx.rig.postgres(pair.leaving(way)).await?, cx.rig.postgres(pair.arriving(way)).await?);
    arm::same_servers(cx, &leave, &arrive).await?;
    carried::schema(cx).await?;
    if way == Heading::Forth {
        tables(cx).await?;
        follows(cx).await?;
        carries(cx, "window", PROOF).await?;
    }
    if way == Heading::Forth && !arm::needs_other_stream(cx, way) {
        return Ok(());
    }
    carried::tables(cx, Heading::Back).await?;
    arm::prove(cx, Heading::Back).await
}

/// What is there now is what the task was told to carry.
async fn tables(cx: &Context) -> Outcome<()> {
    let (source, schemas) = (cx.rig.postgres(&cx.pair()?.source).await?, &cx.plan.choices.schemas);
    let there = catalog::tables(&source, schemas).await?;
    let known = &cx.plan.choices.tables;
    let missing: Vec<String> = there.iter().filter(|table| !known.contains(table)).map(carried::full).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("{} is not carried by DMS: it came after the plan", carried::listed(&missing));
    Err(StepError::told(FailureKind::Refused, message, Some("roll back, and make a new plan")))
}

/// The task runs, and has given up no table.
pub(in crate::engine) async fn follows(cx: &Context) -> Outcome<()> {
    let works = Works::of(cx, step(cx)?, "window", false).await?;
    let task = works.state().await?;
    if task.state != State::Running {
        let why = if task.failure.is_empty() { task.stop_reason.clone() } else { task.failure.clone() };
        let message = format!("the task {} does not run: it is {} ({why})", works.names.task, task.status);
        let hint = "after a way back DMS carries nothing any more: roll back, and begin anew; else mend what stopped it, \
                    resume the task, and continue";
        return Err(works.told(FailureKind::Refused, message, hint));
    }
    let broken: Vec<String> =
        works.tables(&task).await?.iter().filter(|table| table.is_broken()).map(Table::full).collect();
    if broken.is_empty() {
        return Ok(());
    }
    let message = format!("DMS has given up {}", carried::listed(&broken));
    Err(works.told(FailureKind::Refused, message, "the task's log says why: roll back, and begin anew"))
}

/// In batches DMS applies table by table: the token can be there before rows that were written before it. A second one,
/// written when the first is there, comes with a later batch: then the first one's batch is whole.
pub(in crate::engine) async fn drain(cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
    let began = crate::clock::monotonic();
    let done = postgres::Postgres.drain(cx, state, of, limit_ms).await?;
    let batches = step(cx)?.dms.as_ref().is_some_and(|task| task.batch_apply);
    if of.way == Heading::Back || !batches {
        return Ok(done);
    }
    if remembered::<Barrier>(state, "freeze", "barrier").is_none() {
        return Err(StepError::broken("there is no barrier to wait for"));
    }
    let spent = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (pair, token) = (cx.pair()?, new_token());
    let (source, target) = tokio::try_join!(cx.rig.postgres(&pair.source), cx.rig.postgres(&pair.target))?;
    let held = setup::hold_epoch(&cx.run, cx.epoch);
    source.batch("write a second token", &format!("{held}{}", stream::write_token(of.way, &cx.run, &token))).await?;
    let sql = native::drain_sql(&cx.run, cx.epoch, of.way, &token, None, limit_ms.saturating_sub(spent).max(1));
    if let Err(error) = target.batch("wait for the second token", &sql).await {
        drop(target.batch("leave the transaction", "ROLLBACK").await);
        if error.is_code(setup::NOT_DRAINED) {
            let message = format!("{}: {}", pair.target, error.reason);
            let hint = "batches of DMS take seconds: give the window a larger budget, or set `batch-apply: false`";
            return Err(StepError::told(FailureKind::Deadline, message, Some(hint)));
        }
        return Err(error.into());
    }
    Ok(done)
}

/// What [`drain`] sends.
pub(in crate::engine) fn describe_drain(plan: &Plan, way: Heading) -> Lines {
    let mut lines = postgres::Postgres.describe_drain(plan, way);
    let batches = carrier::task(plan).is_some_and(|task| task.batch_apply);
    if let (Some(pair), true, Heading::Forth) = (&plan.pair, batches, way) {
        lines.push((pair.source.clone(), stream::write_token(way, "RUN", "SECOND TOKEN").trim_end().to_owned()));
        lines.push((pair.target.clone(), native::drain_sql("RUN", 1, way, "SECOND TOKEN", None, 1000)));
    }
    lines
}

/// Behind the switch the task is stopped and deleted: it can write nowhere any more, and its slot would keep the source's
/// write-ahead log for ever.
pub(in crate::engine) async fn settle(cx: &Context, way: Heading) -> Outcome<Option<String>> {
    if way == Heading::Back {
        return Ok(None);
    }
    let works = Works::of(cx, step(cx)?, "window", false).await?;
    works.delete_task().await?;
    Ok(Some(format!("the task {} of DMS has stopped, and is deleted with its slot", works.names.task)))
}

/// The endpoints, and the instance if the run made it, are deleted.
pub(in crate::engine) async fn finalize(cx: &Context, state: &RunState) -> Outcome<()> {
    let works = Works::of(cx, step(cx)?, "finalize", false).await?;
    works.delete_all().await?;
    postgres::Postgres.finalize(cx, state).await
}
