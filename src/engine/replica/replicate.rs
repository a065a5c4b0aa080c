//! The target replicates already. That is proved by a token of ours, written on the source and seen on the replica; with
//! it come our schema and the publications of the way back. Whether the source's server can dial the replica's, which
//! the way back rests on, is tried now: inside the window it would be too late.

use serde_json::json;

use super::super::postgres::arm::{PROOF, tried};
use super::drain::arrives;
use super::finalize::sweep;
use crate::engine::Outcome;
use crate::executor::context::Context;
use crate::journal::{FailureKind, Move};
use crate::runbook::model::{Replicate, System};
use crate::steps::{StepError, new_token};
use crate::systems::pair::Heading;
use crate::systems::postgres::{Session, dial, setup, standby, stream};

pub(super) async fn apply(cx: &Context, of: &Move, step: &Replicate) -> Outcome {
    let (source, target) = tokio::try_join!(cx.rig.postgres(&step.from), cx.rig.postgres(&step.to))?;
    is_standby(&target).await?;
    source.batch("make our schema", setup::SETUP).await?;
    setup::claim(&source, &cx.run, cx.epoch).await?;
    publications(cx, &source).await?;
    cx.progress(&of.step, "waiting until the replica has replayed our schema");
    prove(cx, &source, &target).await?;
    if cx.plan.keeps_way_back() {
        try_way_back(cx).await?;
    }
    Ok(json!({ "tables": cx.plan.choices.tables.len() }))
}

/// Never makes a replica again: what was promoted has parted from the source for good.
pub(super) async fn undo(cx: &Context, step: &Replicate) -> Outcome {
    let (source, target) = tokio::try_join!(cx.rig.postgres(&step.from), cx.rig.postgres(&step.to))?;
    if let Some(other) = setup::owner(&source).await?.filter(|owner| *owner != cx.run) {
        // It got no further than asking for the database: what is there is the other run's.
        return Ok(json!({ "summary": format!("nothing to take back: run {other} has the database") }));
    }
    stream::drop_subscription(&source, Heading::Back).await?;
    let left = if standby::in_recovery(&target).await? {
        format!("{} is still a replica of {}", step.to, step.from)
    } else {
        sweep(&target).await?;
        let again = match cx.plan.choices.blue_green.as_ref() {
            Some(found) => format!(
                "RDS has renamed both, and its deployment {} is over: who dials by the name reaches the fenced one. Make a \
                 new deployment before the next run",
                found.name
            ),
            None => format!("Make a new replica of {} before the next run", step.from),
        };
        format!(
            "{to} was promoted: it is a server of its own, stays fenced, and does not follow {from} any more. Delete it when \
             nobody needs it. {again}",
            to = step.to,
            from = step.from
        )
    };
    sweep(&source).await?;
    Ok(json!({ "summary": left }))
}

/// Those of the way back. Their points are set when the replica is promoted.
async fn publications(cx: &Context, source: &Session) -> Outcome<()> {
    let there = async |name: &str| {
        let sql = "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)";
        source.value::<bool>("look for its publication", sql, &[&name]).await
    };
    for (heading, tables) in [(Heading::Forth, &[][..]), (Heading::Back, cx.plan.choices.tables.as_slice())] {
        let statements = stream::create_publications(heading, tables, false);
        for (name, sql) in [stream::token_publication(heading), heading.stream()].into_iter().zip(statements) {
            if !there(name).await? {
                let held = setup::hold_epoch(&cx.run, cx.epoch);
                source.batch(&format!("create publication {name}"), &format!("{held} {sql}")).await?;
            }
        }
    }
    Ok(())
}

/// It can be promoted only as long as it is one.
pub(super) async fn is_standby(target: &Session) -> Outcome<()> {
    if standby::in_recovery(target).await? {
        return Ok(());
    }
    let message = format!("{} is no replica any more: it takes writes of its own", target.system());
    let hint = "somebody has promoted it; make a new replica, and a new plan";
    Err(StepError::told(FailureKind::Refused, message, Some(hint)))
}

/// What is written on the source is seen on the replica, now.
pub(super) async fn prove(cx: &Context, source: &Session, target: &Session) -> Outcome<()> {
    let token = new_token();
    let sql =
        format!("{}{}", setup::hold_epoch(&cx.run, cx.epoch), stream::write_token(Heading::Forth, &cx.run, &token));
    source.batch("write a token", &sql).await?;
    if arrives_at_last(target, &token).await? {
        return Ok(());
    }
    let seen = standby::look(target).await?;
    let (name, source) = (target.system(), source.system());
    let receiver = seen.receiver.unwrap_or_else(|| "not there".to_owned());
    let message = format!(
        "{name} does not keep up with {source}: a token was not replayed within {} s (its WAL receiver is {receiver})",
        PROOF.as_secs()
    );
    let hint = format!("on {name}: SELECT * FROM pg_stat_wal_receiver, long queries, recovery_min_apply_delay");
    Err(StepError::told(FailureKind::Refused, message, Some(&hint)))
}

/// The table of tokens may be on its way, too.
async fn arrives_at_last(target: &Session, token: &str) -> Outcome<bool> {
    let there = "SELECT to_regclass('pointsman.token_forward') IS NOT NULL";
    let began = crate::clock::monotonic();
    while !target.value::<bool>("look for our schema", there, &[]).await? {
        if began.elapsed() > PROOF {
            return Ok(false);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    arrives(target, token, None, PROOF).await
}

/// Makes the subscription of the way back, without a slot, and takes it back: the source's server dials the replica's,
/// and finds the publications there.
pub(super) async fn try_way_back(cx: &Context) -> Outcome<()> {
    let pair = cx.pair()?;
    let held = setup::hold_epoch(&cx.run, cx.epoch);
    let sql = format!("BEGIN; {held} {}; ROLLBACK;", subscription(cx, false)?.expose());
    tried(cx, &pair.source, sql).await.map_err(|error| {
        let failure = error.into_failure();
        let hint = format!(
            "the server of {} dials the server of {} itself: look at routes, pg_hba.conf and security groups in that direction, \
             and at `replication-url`",
            pair.source, pair.target
        );
        let message = format!("the way back can't be laid: {}", failure.message);
        StepError::told(failure.kind, message, failure.hint.as_deref().or(Some(&hint)))
    })
}

/// The subscription of the way back, with the connection's password in it.
pub(super) fn subscription(cx: &Context, with_slot: bool) -> Outcome<crate::secret::Secret> {
    let target = &cx.pair()?.target;
    let Some(System::Postgres(spec)) = cx.plan.systems.get(target) else {
        return Err(StepError::broken("the replica is not in the plan"));
    };
    let connection = dial::by_other_server(target, spec)?;
    Ok(crate::secret::Secret::new(stream::subscribe_to_slot(Heading::Back, connection.expose(), with_slot)))
}
