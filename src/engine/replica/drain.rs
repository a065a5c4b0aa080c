//! The replica has everything, durably: it has replayed the barrier, which was written behind the fence. The fence has
//! come with it, so that nobody logs in there any more; whoever still reads there is disconnected, or he could write
//! there before the way back is laid.

use std::time::Duration;

use serde_json::json;

use super::super::postgres::freeze::{fencing, known_open};
use crate::clock;
use crate::engine::Outcome;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::FailureKind;
use crate::steps::StepError;
use crate::systems::pair::Heading;
use crate::systems::postgres::barrier::Barrier;
use crate::systems::postgres::{Session, standby};

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(1);

pub(super) async fn drain(cx: &Context, state: &RunState, limit_ms: u64) -> Outcome {
    let target = &cx.pair()?.target;
    let barrier: Barrier =
        remembered(state, "freeze", "barrier").ok_or_else(|| StepError::broken("there is no barrier to wait for"))?;
    let session = cx.rig.postgres(target).await?;
    let arrives = arrives(&session, &barrier.token, Some(&barrier.position), Duration::from_millis(limit_ms));
    if !arrives.await? {
        let message = format!("{target}: the barrier was not replayed within {limit_ms} ms");
        let hint = "the replica replays more slowly than the source writes, or a long query there holds it up: wait for a \
                    lower lag and try again";
        return Err(StepError::told(FailureKind::Deadline, message, Some(hint)));
    }
    let open = known_open(cx, state, target)?;
    session.batch("end the sessions of its readers", &fencing(cx, target, &open)?.expel(limit_ms)).await?;
    Ok(json!({ "position": barrier.position }))
}

/// Waits until the standby shows a token of the source.
pub(super) async fn arrives(session: &Session, token: &str, position: Option<&str>, limit: Duration) -> Outcome<bool> {
    let sql = standby::has_arrived(Heading::Forth, token, position);
    let began = clock::monotonic();
    while !session.value::<bool>("look for the token", &sql, &[]).await? {
        if began.elapsed() > limit {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(true)
}
