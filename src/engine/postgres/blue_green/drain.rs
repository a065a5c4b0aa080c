//! The green side has everything, durably: it has confirmed to RDS's slot that it applied and flushed what lies behind the
//! fence. That is read on the blue side; nothing of ours goes through RDS's stream. Where `sequences` is the next step, they
//! are carried here.

use std::time::Duration;

use serde_json::json;

use super::arm::SLOT;
use super::feed;
use crate::engine::postgres::sequences;
use crate::engine::{Lines, Outcome};
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::FailureKind;
use crate::plan::Plan;
use crate::steps::StepError;
use crate::systems::postgres::barrier::Barrier;

pub(super) fn describe(plan: &Plan) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let wait = "SELECT confirmed_flush_lsn >= 'POSITION' FROM pg_replication_slots WHERE slot_name = 'THE SLOT OF RDS'";
    let mut lines = vec![(pair.source.clone(), wait.to_owned())];
    if sequences::follow_drain(plan) {
        lines.push((pair.target.clone(), sequences::planned(plan)));
    }
    lines
}

pub(super) async fn drain(cx: &Context, state: &RunState, limit_ms: u64) -> Outcome {
    let pair = cx.pair()?;
    let barrier: Barrier =
        remembered(state, "freeze", "barrier").ok_or_else(|| StepError::broken("there is no barrier to wait for"))?;
    let slot: String =
        remembered(state, "window", SLOT).ok_or_else(|| StepError::broken("the window was not armed"))?;
    let (blue, green) = tokio::try_join!(cx.rig.postgres(&pair.source), cx.rig.postgres(&pair.target))?;
    if !feed::confirmed(&blue, &slot, &barrier.position, Duration::from_millis(limit_ms)).await? {
        let message = format!("{}: the barrier was not applied within {limit_ms} ms", pair.target);
        let hint = "RDS's stream applies more slowly than the source writes: wait for a lower lag and try again";
        return Err(StepError::told(FailureKind::Deadline, message, Some(hint)));
    }
    let carries = sequences::follow_drain(&cx.plan);
    if carries {
        let sql = sequences::statements(&cx.run, cx.epoch, &barrier.sequences);
        if let Err(error) = green.batch("set the sequences", &sql).await {
            drop(green.batch("leave the transaction", "ROLLBACK").await);
            return Err(error.into());
        }
    }
    let carried = carries.then_some(&barrier.token);
    Ok(json!({ "position": barrier.position, (sequences::CARRIED): carried }))
}
