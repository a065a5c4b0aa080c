//! The other side has everything, durably: a token went through the stream behind every write, and the stream's
//! position is flushed. Where `sequences` is the next step, what it sends goes in the same round trip.

use serde_json::json;

use super::sequences;
use crate::engine::{Lines, Outcome};
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::steps::StepError;
use crate::systems::pair::Heading;
use crate::systems::postgres::barrier::Barrier;
use crate::systems::postgres::{setup, stream};

pub(super) fn describe(plan: &Plan, way: Heading) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let arriving = pair.arriving(way);
    let superuser = if arriving == pair.target { plan.choices.target.superuser } else { plan.choices.source.superuser };
    let origin = superuser.then_some(("pg_SUBSCRIPTION_OID", "POSITION"));
    let mut sql = drain_sql("RUN", 1, way, "TOKEN", origin, 1000);
    if sequences::follow_drain(plan) {
        sql += &format!("\n{}", sequences::planned(plan));
    }
    vec![(arriving.to_owned(), sql)]
}

pub(super) async fn drain(cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
    let arriving = cx.pair()?.arriving(of.way);
    let barrier: Barrier =
        remembered(state, "freeze", "barrier").ok_or_else(|| StepError::broken("there is no barrier to wait for"))?;
    let origin: Option<String> = remembered(state, "window", "origin");
    let origin = cx.choices(arriving)?.superuser.then_some(origin).flatten();
    let origin = origin.as_deref().map(|origin| (origin, barrier.position.as_str()));
    let session = cx.rig.postgres(arriving).await?;
    let mut sql = drain_sql(&cx.run, cx.epoch, of.way, &barrier.token, origin, limit_ms);
    let carries = sequences::follow_drain(&cx.plan);
    if carries {
        sql += &sequences::statements(&cx.run, cx.epoch, &barrier.sequences);
    }
    let waited = session.batch("wait for the barrier", &sql).await;
    if let Err(error) = waited {
        drop(session.batch("leave the transaction", "ROLLBACK").await);
        if error.is_code(setup::NOT_DRAINED) {
            let hint = "the target applies more slowly than the source writes: wait for a lower lag and try again";
            return Err(StepError::told(FailureKind::Deadline, format!("{arriving}: {}", error.reason), Some(hint)));
        }
        return Err(error.into());
    }
    let carried = carries.then_some(&barrier.token);
    Ok(json!({ "position": barrier.position, (sequences::CARRIED): carried }))
}

/// Waits for the token, and makes what was applied durable. Where the stream's position can be asked, asking for it has
/// flushed all up to the token. Else something of our own is committed with `synchronous_commit`: it lies behind what
/// was applied in the write-ahead log, so that its flush takes all of it along.
pub(in crate::engine) fn drain_sql(
    run: &str,
    epoch: u64,
    way: Heading,
    token: &str,
    origin: Option<(&str, &str)>,
    limit_ms: u64,
) -> String {
    let commit = if origin.is_some() { "off" } else { "local" };
    format!(
        "{}BEGIN;\nSET LOCAL synchronous_commit = {commit};\n{}\nCOMMIT;",
        stream::await_token(way, token, origin, limit_ms),
        setup::hold_epoch(run, epoch)
    )
}
