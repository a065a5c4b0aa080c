//! The replica becomes a server that takes writes, and the way back is laid from exactly there, while both are fenced.

use super::super::postgres::freeze::{fencing, known_open};
use super::super::postgres::slots;
use super::physical::Physical;
use super::replicate::subscription;
use crate::engine::Outcome;
use crate::engine::promotion::{PATIENCE, Promotion};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{JournalError, Move};
use crate::runbook::model::Promote;
use crate::steps::StepError;
use crate::systems::pair::Heading;
use crate::systems::postgres::fence::Fencing;
use crate::systems::postgres::{Session, setup, stream};

/// How long sessions that should not be there may take to end.
const END_MS: u64 = 5_000;

pub(super) async fn make_primary(cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome<()> {
    let pair = cx.pair()?;
    let promotion = Promotion::of(&cx.plan);
    promotion.carry_out(&Physical, cx, state, of, step.timeout.unwrap_or(PATIENCE)).await?;
    let target = cx.rig.postgres(&pair.target).await?;
    // Our session may be from before, when it could not be written there.
    setup::raise_epoch(&target, &cx.run, cx.epoch).await?;
    if !step.keep_way_back {
        return Ok(());
    }
    let open = known_open(cx, state, &pair.target)?;
    let fencing = fencing(cx, &pair.target, &open)?;
    if matches!(promotion, Promotion::BlueGreen(_)) {
        // The source allows only reads now: its side of the way back comes behind the switch.
        return slot_of_way_back(cx, of, &target, &fencing).await;
    }
    let source = cx.rig.postgres(&pair.source).await?;
    if stream::subscription(&source, Heading::Back).await?.is_some() {
        return Ok(());
    }
    slot_of_way_back(cx, of, &target, &fencing).await?;
    lay_way_back(cx, &source).await
}

/// Whoever read there before the fence was replayed could write since the promotion, and before the slot is there.
async fn nobody_writes(target: &Session, fencing: &Fencing<'_>) -> Outcome<()> {
    let sql = format!("{}{}", fencing.expel(END_MS), Fencing::nothing_in_flight());
    target.batch("see that nobody writes there", &sql).await?;
    Ok(())
}

/// What is written from here on goes through it. When it is there already, the side may be open.
pub(in crate::engine) async fn slot_of_way_back(
    cx: &Context,
    of: &Move,
    target: &Session,
    fencing: &Fencing<'_>,
) -> Outcome<()> {
    let sql = "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)";
    if !target.value::<bool>("look for the slot of the way back", sql, &[&Heading::Back.stream()]).await? {
        nobody_writes(target, fencing).await?;
        cx.still_mine()?;
        target.batch("make the slot of the way back", &stream::create_slot(Heading::Back)).await?;
    }
    match slots::mark(cx, of, Heading::Back).await {
        Err(StepError::Journal(JournalError::Store { .. })) => Ok(()),
        other => other,
    }
}

async fn lay_way_back(cx: &Context, source: &Session) -> Outcome<()> {
    cx.still_mine()?;
    let held = setup::hold_epoch(&cx.run, cx.epoch);
    let sql = format!("BEGIN; {held} {}; COMMIT;", subscription(cx, true)?.expose());
    if let Err(error) = source.batch("make the subscription of the way back", &sql).await {
        drop(source.batch("leave the transaction", "ROLLBACK").await);
        return Err(error.into());
    }
    Ok(())
}
