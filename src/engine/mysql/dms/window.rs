//! The window where DMS carries the rows: what is looked at before it, when everything has come through, and how the target
//! opens.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join;
use serde_json::json;

use super::super::drain::{describe_shut, keep_shut};
use super::super::freeze::Barrier;
use super::super::replicate::Replication;
use super::super::replicate::following::is_encrypted;
use super::super::{arm, back, common, promote as native, verify as compared};
use super::ThroughDms;
use super::schema::{self, Copying};
use crate::clock;
use crate::engine::dms::around::{PROOF, follows, step};
use crate::engine::dms::works::Works;
use crate::engine::{Lines, Outcome};
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{Promote, Verify};
use crate::steps::{StepError, new_token};
use crate::systems;
use crate::systems::comparison::{self, Comparison};
use crate::systems::mysql::programs::Program;
use crate::systems::mysql::{Session, catalog, setup, stream};
use crate::systems::pair::Heading;
use crate::systems::{Certainty, DriverError};

/// Between two looks at the token.
const LOOK: Duration = Duration::from_millis(5);
/// DMS's sessions have ended by then.
const END_MS: u64 = 5000;
const FLUSH: &str = "FLUSH LOCAL ENGINE LOGS;\n";

pub(super) async fn look_before(cx: &Context, way: Heading) -> Outcome<()> {
    let pair = cx.pair()?;
    let (leave, arrive) = (cx.rig.mysql(pair.leaving(way)).await?, cx.rig.mysql(pair.arriving(way)).await?);
    try_join(cx.rig.mysql_spare(pair.leaving(way)), cx.rig.mysql_spare(pair.arriving(way))).await?;
    arm::same_servers(cx, &leave, &arrive).await?;
    arm::same_tables(cx, &leave, &arrive).await?;
    if way == Heading::Back {
        return back::lay(cx).await;
    }
    if back::opened_at(&arrive).await?.is_some() {
        let message = "the target was open once: DMS carries nothing to it any more";
        return Err(StepError::told(FailureKind::Refused, message, Some("roll back, and begin anew")));
    }
    carried(cx, &leave).await?;
    follows(cx).await?;
    carries(cx, "window", PROOF).await?;
    try_back(cx).await
}

/// Tries the way back with the account that it will have.
pub(super) async fn try_back(cx: &Context) -> Outcome<()> {
    if !back::is_tried(&cx.plan) {
        return Ok(());
    }
    let target = cx.rig.mysql(&cx.pair()?.target).await?;
    let encrypted = is_encrypted(cx, &target).await?;
    let dialled = Replication(step(cx)?).dialled(cx, &target, encrypted).await?;
    back::try_out(cx, &dialled, encrypted).await
}

/// What is there now is what the task was told to carry.
async fn carried(cx: &Context, source: &Session) -> Outcome<()> {
    let choices = &cx.plan.choices;
    let there = catalog::tables(source, &choices.schemas).await?;
    let new: Vec<String> = there
        .iter()
        .filter(|table| !choices.tables.contains(table))
        .map(|(schema, table)| format!("{schema}.{table}"))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let message = format!("DMS does not carry {}: made after the plan", new.join(", "));
    Err(StepError::told(FailureKind::Refused, message, Some("roll back, and make a new plan")))
}

/// A token goes through DMS: everything that was committed before it is there.
pub(super) async fn carries(cx: &Context, step: &str, limit: Duration) -> Outcome<()> {
    let pair = cx.pair()?;
    let (source, target) = tokio::try_join!(cx.rig.mysql(&pair.source), cx.rig.mysql(&pair.target))?;
    let token = new_token();
    let written = setup::write_token(Heading::Forth, &cx.run, &token);
    setup::send_held(&source, "write a token", (&cx.run, cx.epoch), &written).await?;
    let began = clock::monotonic();
    while !is_there(&target, &token).await? {
        if began.elapsed() > limit {
            let seconds = humantime::format_duration(Duration::from_secs(limit.as_secs()));
            let message = format!("DMS has not carried a token to {} within {seconds}", pair.target);
            let hint = "look at the task's state, its log and its CDC latency in the console of DMS";
            return Err(StepError::told(FailureKind::Deadline, message, Some(hint)));
        }
        cx.progress(step, "a token goes through DMS");
        cx.rest(LOOK * 20).await?;
    }
    Ok(())
}

async fn is_there(target: &Session, token: &str) -> systems::Result<bool> {
    let seen = target.value("look for the token", &stream::seen_token(Heading::Forth, token)).await?;
    Ok(seen.as_deref() == Some("1"))
}

pub(super) fn describe_arm(plan: &Plan, way: Heading) -> Lines {
    let mut lines = arm::describe(plan, way);
    let Some(pair) = &plan.pair else { return lines };
    // A token is written and looked for in both directions; only one of them carries anything.
    let from = if way == Heading::Forth { 2 } else { 0 };
    lines.drain(from..from + 2);
    if way == Heading::Forth && plan.keeps_way_back() {
        let tried = "-- a channel pointsman_trial receives from where the target is, applies nothing, and is forgotten";
        lines.push((pair.source.clone(), tried.to_owned()));
    }
    lines
}

pub(super) async fn arm(cx: &Context, of: &Move) -> Outcome<()> {
    arm::arm(cx, of).await?;
    if of.way == Heading::Forth {
        let triggers = Copying::new(cx, step(cx)?).await?.triggers(cx).await?;
        cx.note(of, json!({ "triggers": triggers }), Durability::Ordered)?;
    }
    Ok(())
}

/// DMS commits one transaction after the other, in the order of the source ("Task settings", `BatchApplyEnabled`): when the
/// token is there, everything before it is.
pub(super) async fn drain(cx: &Context, state: &RunState, limit_ms: u64) -> Outcome {
    let arriving = &cx.pair()?.target;
    let barrier: Barrier =
        remembered(state, "freeze", "barrier").ok_or_else(|| StepError::broken("there is no barrier to wait for"))?;
    let (session, began) = (cx.rig.mysql(arriving).await?, clock::monotonic());
    let unkept = keep_shut(cx, Heading::Forth, Duration::from_millis(limit_ms)).await;
    while !is_there(&session, &barrier.token).await? {
        if began.elapsed() > Duration::from_millis(limit_ms) {
            let message = format!("{arriving}: DMS has not carried the token within {limit_ms} ms");
            let hint = "DMS takes seconds: give the window a larger budget, or wait for a lower latency and try again";
            return Err(StepError::told(FailureKind::Deadline, message, Some(hint)));
        }
        tokio::time::sleep(LOOK).await;
    }
    if common::side(&cx.plan, arriving).flush {
        session.batch("make it durable", FLUSH).await?;
    }
    Ok(json!({ "position": barrier.position, "unkept": unkept }))
}

pub(super) fn describe_drain(plan: &Plan) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let flush = if common::side(plan, &pair.target).flush { FLUSH } else { "" };
    let mut lines = vec![(pair.target.clone(), format!("{}{flush}", stream::seen_token(Heading::Forth, "TOKEN")))];
    lines.extend(describe_shut(plan, Heading::Forth));
    lines
}

/// Shuts DMS out: its accounts are locked and its sessions ended, so that nothing goes in a circle, whatever the task does.
fn shut_out(plan: &Plan, target: &str, accounts: &[String]) -> String {
    let role = crate::engine::postgres::carrier::task(plan).map(|task| task.target.role.clone()).unwrap_or_default();
    let mut exempt = common::exempt(plan, target);
    exempt.retain(|user| *user != role);
    let (open, quiet) = (common::planned_open(), common::choices(plan, target).superuser);
    let fencing = common::fencing(plan, target, &open, &exempt);
    format!("{}{}", lock(accounts, "LOCK", quiet), fencing.expel(END_MS))
}

/// Locks or unlocks accounts of DMS.
pub(super) fn lock(accounts: &[String], word: &str, quiet: bool) -> String {
    if accounts.is_empty() {
        return String::new();
    }
    setup::quietly(quiet, &format!("ALTER USER IF EXISTS {} ACCOUNT {word};\n", accounts.join(", ")))
}

pub(super) fn describe_promote(plan: &Plan, way: Heading, step: &Promote) -> Lines {
    let native = native::describe(plan, way, step);
    let (Some(pair), Heading::Forth) = (&plan.pair, way) else { return native };
    let target = &pair.target;
    let shut = setup::held("RUN", 1, &shut_out(plan, target, &["'DMS'@'HOST'".to_owned()]));
    let mut lines =
        vec![(target.clone(), shut), (target.clone(), "-- CREATE TRIGGER of each trigger of the source".into())];
    lines.push((target.clone(), back::here(plan).trim_end().to_owned()));
    lines.push((target.clone(), setup::held("RUN", 1, &back::keep(&stream::Position::default()))));
    lines.extend(native);
    lines
}

/// First nobody writes there any more, then everything is there that DMS left out, then the place is kept where the way
/// back begins, and only then it opens. Each can be repeated; the place that was kept first stays.
pub(super) async fn promote(cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome {
    if of.way == Heading::Forth {
        let target = cx.rig.mysql(&cx.pair()?.target).await?;
        // Behind that it may be open already, and whoever is there then is the application.
        if back::opened_at(&target).await?.is_none() {
            let accounts = remembered::<Vec<String>>(state, "replicate", "carrier").unwrap_or_default();
            let shut = shut_out(&cx.plan, target.system(), &accounts);
            setup::send_held(&target, "shut DMS out", (&cx.run, cx.epoch), &shut).await?;
            let triggers = remembered::<Vec<Program>>(state, "window", "triggers").unwrap_or_default();
            schema::make_triggers(cx, target.system(), &triggers).await?;
            back::remember(cx, &target).await?;
        }
    }
    native::promote(cx, state, of, step).await
}

/// Behind the switch the way back is laid, and the task is stopped and deleted.
pub(super) async fn settle(cx: &Context, way: Heading) -> Outcome<Option<String>> {
    if way == Heading::Back {
        return Ok(None);
    }
    let back = if cx.plan.keeps_way_back() {
        back::lay(cx).await?;
        "the way back carries; "
    } else {
        ""
    };
    let works = Works::of(cx, step(cx)?, "window", false).await?;
    works.delete_task().await?;
    Ok(Some(format!("{back}the task {} of DMS has stopped, and is deleted", works.names.task)))
}

pub(super) async fn verify(cx: &Context, of: &Move, writer: Heading, step: &Verify) -> Outcome<Comparison> {
    if writer == Heading::Back {
        back::lay(cx).await?;
        return compared::verify(cx, of, writer, step).await;
    }
    compared::verify_behind(cx, of, writer, step, &ByToken { cx }).await
}

/// Everything has come through DMS when a token has.
struct ByToken<'a> {
    cx: &'a Context,
}

#[async_trait]
impl comparison::Barrier for ByToken<'_> {
    async fn pass(&self) -> systems::Result<()> {
        carries(self.cx, "verify", PROOF).await.map_err(|error| {
            let message = error.into_failure().message;
            DriverError::new(ThroughDms::NAME, "wait for a token", message, Certainty::Refused)
        })
    }
}
