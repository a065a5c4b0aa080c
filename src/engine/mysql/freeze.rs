//! Fences the side that is left and writes the barrier, in one round trip; and takes that back.
//!
//! First those stop who write as applications do, then sessions end, then our token goes into the stream, and then the
//! server is shut. The position is read behind that: whatever was acknowledged before is in it. That it stays shut when it is
//! started again is written down while the other side catches up; until then its accounts, which are locked, keep it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::common;
use crate::engine::{Lines, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::steps::{StepError, new_token};
use crate::systems::mysql::fence::Fencing;
use crate::systems::mysql::stream::{self, Position};
use crate::systems::mysql::{Session, TextRows, setup};
use crate::systems::pair::Heading;

/// What the side that is left looked like when nothing could write there any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Barrier {
    /// What must be executed on the other side.
    pub(super) position: Position,
    /// What must have come through the stream.
    pub(super) token: String,
}

pub(super) fn describe(plan: &Plan, way: Heading, limit_ms: u64) -> (Lines, Lines) {
    let Some(pair) = &plan.pair else { return (Vec::new(), Vec::new()) };
    let leaving = pair.leaving(way);
    let (open, exempt) = (common::planned_open(), common::exempt(plan, leaving));
    let fencing = common::fencing(plan, leaving, &open, &exempt);
    let stop = barrier_sql(plan, way, &fencing, ("RUN", 1), "TOKEN", limit_ms);
    let thaw = setup::held("RUN", 1, &fencing.lift());
    (vec![(leaving.to_owned(), stop)], vec![(leaving.to_owned(), thaw)])
}

fn barrier_sql(
    plan: &Plan,
    way: Heading,
    fencing: &Fencing<'_>,
    (run, epoch): (&str, u64),
    token: &str,
    limit_ms: u64,
) -> String {
    let leaving = plan.pair.as_ref().map(|pair| pair.leaving(way)).unwrap_or_default();
    let new_words = common::side(plan, leaving).new_words;
    let position = stream::show_position(fencing.flavour, common::follow(plan), new_words);
    let (close, expel) = (fencing.close(), fencing.expel(limit_ms));
    let (written, shut) = (setup::write_token(way, run, token), fencing.shut());
    let wait = limit_ms.div_ceil(1000).max(1);
    // XA RECOVER gives the first rows, the position the second ones.
    let sql = format!("SET SESSION lock_wait_timeout = {wait};\n{close}{expel}XA RECOVER;\n{written}{shut}{position}");
    setup::held(run, epoch, &sql)
}

pub(super) async fn stop_writes(cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
    let leaving = cx.pair()?.leaving(of.way);
    let open = common::known_open(cx, state, leaving)?;
    let exempt = common::exempt(&cx.plan, leaving);
    let fencing = common::fencing(&cx.plan, leaving, &open, &exempt);
    let (session, spare) = (cx.rig.mysql(leaving).await?, cx.rig.mysql_spare(leaving).await?);
    let token = new_token();
    let sql = barrier_sql(&cx.plan, of.way, &fencing, (&cx.run, cx.epoch), &token, limit_ms);
    // `SET GLOBAL read_only` waits for statements that run, and everybody else waits behind it.
    let limit = Duration::from_millis(limit_ms.saturating_mul(2).max(200));
    let results = session.batch_within("fence it and write the barrier", &sql, limit, &spare).await;
    let results = match results {
        Ok(results) => results,
        Err(error) => {
            setup::let_go(&session).await;
            return Err(explained(error));
        }
    };
    drop(session.batch("wait for locks as before", "SET SESSION lock_wait_timeout = 5").await);
    Ok(json!(barrier(cx, leaving, &session, &results, token)?))
}

fn explained(error: crate::systems::DriverError) -> StepError {
    let hint = match error.code.as_deref() {
        Some("1205" | "1317" | "1969") => {
            "a statement or a LOCK TABLES of somebody's runs for too long there: SHOW PROCESSLIST names it; end it, or wait, \
             and try again"
        }
        Some(setup::SESSIONS_LEFT) => "look at those sessions; name their users in `exempt-users` if they only read",
        _ => return error.into(),
    };
    if error.hint.is_some() { error.into() } else { error.with_hint(hint).into() }
}

fn barrier(
    cx: &Context,
    leaving: &str,
    session: &Session,
    results: &[TextRows],
    token: String,
) -> Result<Barrier, StepError> {
    let [prepared, position] = results else {
        return Err(StepError::broken(format!("{leaving}: the answer of the barrier is incomplete")));
    };
    if !prepared.is_empty() {
        let message =
            format!("{leaving} has {} prepared XA transaction(s): they may commit whenever they like", prepared.len());
        let hint = "XA RECOVER lists them: let their owner XA COMMIT or XA ROLLBACK each, then try again";
        return Err(StepError::told(FailureKind::Refused, message, Some(hint)));
    }
    let domain = common::side(&cx.plan, leaving).domain;
    let position = position
        .first()
        .and_then(|row| stream::read_position(row, session.flavour(), common::follow(&cx.plan), domain))
        .ok_or_else(|| StepError::broken(format!("{leaving} does not say its position")))?;
    Ok(Barrier { position, token })
}

/// The fence is lifted; the streams never stopped.
pub(super) async fn thaw(cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
    let leaving = cx.pair()?.leaving(of.way);
    let open = common::known_open(cx, state, leaving)?;
    let exempt = common::exempt(&cx.plan, leaving);
    let session = cx.rig.mysql(leaving).await?;
    let lift = common::fencing(&cx.plan, leaving, &open, &exempt).lift();
    setup::send_held(&session, "lift the fence", (&cx.run, cx.epoch), &lift).await?;
    Ok(())
}
