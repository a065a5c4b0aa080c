//! The window where the target is a replica: what is looked at before it, how the replica opens, and what is laid behind
//! the switch.

use futures_util::future::try_join;
use serde_json::json;

use super::super::{arm, back, common, verify as compared};
use super::old_blue;
use super::promotion::Follower;
use super::replicate::{is_replica, nothing_of_its_own, try_back};
use crate::engine::Outcome;
use crate::engine::promotion::{PATIENCE, Promotion};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, Move};
use crate::plan::Plan;
use crate::runbook::model::{Fence, Promote, Verify};
use crate::systems::comparison::Comparison;
use crate::systems::mysql::fence::Open;
use crate::systems::mysql::{Flavour, fence, setup};
use crate::systems::pair::Heading;

/// Sessions of readers have ended by then.
const END_MS: u64 = 5000;

pub(super) async fn look_before(cx: &Context, way: Heading) -> Outcome<()> {
    let pair = cx.pair()?;
    let (source, target) = tokio::try_join!(cx.rig.mysql(&pair.source), cx.rig.mysql(&pair.target))?;
    try_join(cx.rig.mysql_spare(&pair.source), cx.rig.mysql_spare(&pair.target)).await?;
    arm::same_servers(cx, &source, &target).await?;
    if way == Heading::Back {
        arm::same_tables(cx, &target, &source).await?;
        return old_blue::lay(cx).await;
    }
    is_replica(&source, &target).await?;
    // Behind a token everything is there that was changed before it.
    arm::prove(cx, Heading::Forth).await?;
    arm::same_tables(cx, &source, &target).await?;
    nothing_of_its_own(cx, &source, &target).await?;
    Promotion::of(&cx.plan).may(&Follower, cx).await?;
    try_back(cx).await
}

/// What the replica is like is only read: it is changed when it is promoted.
pub(super) async fn arm(cx: &Context, of: &Move) -> Outcome<()> {
    arm::try_fence(cx, of).await?;
    let target = cx.rig.mysql(&cx.pair()?.target).await?;
    let open = fence::read_open(&target, &common::exempt(&cx.plan, target.system())).await?;
    cx.note(of, json!({ format!("open_{}", target.system()): open }), Durability::Ordered)?;
    Promotion::of(&cx.plan).remember(&Follower, cx, of).await
}

/// What keeps everybody out of a server that was promoted just now, until the place is kept: it is written by us alone.
pub(super) fn shut(plan: &Plan, target: &str, open: &Open, exempt: &[String]) -> String {
    let fencing = common::fencing(plan, target, open, exempt);
    format!("{}{}{}", fencing.let_us_write(), fencing.close(), fencing.expel(END_MS))
}

/// First it follows nobody any more, then it is ours alone, then the place is kept where the way back begins. Each can be
/// repeated; the place that was kept first stays, and behind it the server may be open already.
pub(super) async fn make_primary(cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome<()> {
    let name = &cx.pair()?.target;
    let target = cx.rig.mysql(name).await?;
    if back::opened_at(&target).await?.is_some() {
        return Ok(());
    }
    let limit = step.timeout.unwrap_or(PATIENCE);
    Promotion::of(&cx.plan).carry_out(&Follower, cx, state, of, limit).await?;
    let target = cx.rig.mysql(name).await?;
    arm::own_domain(cx).await?;
    // Until now nothing was written there, not even whose it is.
    setup::claim(&target, &cx.run, cx.epoch).await?;
    let (open, exempt) = (common::known_open(cx, state, name)?, common::exempt(&cx.plan, name));
    setup::send_held(&target, "keep it for us alone", (&cx.run, cx.epoch), &shut(&cx.plan, name, &open, &exempt))
        .await?;
    back::remember(cx, &target).await
}

const KEPT_OPEN: &str = "SELECT COUNT(*) FROM performance_schema.persisted_variables \
                         WHERE VARIABLE_NAME IN ('read_only', 'super_read_only') AND VARIABLE_VALUE = 'OFF'";
pub(super) const STAY_OPEN: &str = "SET PERSIST read_only = OFF;\nSET PERSIST super_read_only = OFF;\n";

/// Replicas are told to be read-only when they start: this one no more.
pub(super) async fn stays_open(cx: &Context) -> Outcome<()> {
    if !is_told(&cx.plan) {
        return Ok(());
    }
    let target = cx.rig.mysql(&cx.pair()?.target).await?;
    let open = target.value("see whether it is open", "SELECT @@GLOBAL.read_only").await?;
    let kept = target.value("see what outlives a restart", KEPT_OPEN).await?;
    // Whoever has shut it since, had a reason.
    if open.as_deref() == Some("0") && kept.as_deref() != Some("2") {
        setup::send_held(&target, "keep it open over a restart", (&cx.run, cx.epoch), STAY_OPEN).await?;
    }
    Ok(())
}

/// Whether the target can be told what it shall be after a restart.
pub(super) fn is_told(plan: &Plan) -> bool {
    plan.choices.target.fence == Fence::ReadOnly && common::flavour(plan) == Flavour::Mysql
}

/// Behind the switch the way back is laid.
pub(super) async fn settle(cx: &Context, way: Heading) -> Outcome<Option<String>> {
    if way == Heading::Back || !cx.plan.keeps_way_back() {
        return Ok(None);
    }
    old_blue::lay(cx).await?;
    Ok(Some("the way back carries".to_owned()))
}

/// Whoever let the run go on without a proof (a person, or `resume` behind the guard) has not laid the way back.
pub(super) async fn verify(cx: &Context, of: &Move, writer: Heading, step: &Verify) -> Outcome<Comparison> {
    if writer == Heading::Back {
        old_blue::lay(cx).await?;
    }
    compared::verify(cx, of, writer, step).await
}
