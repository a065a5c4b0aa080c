//! The target follows the source through a task of DMS. In this order: our schema on both servers, the accounts that the
//! target lacks, the fence around the target with DMS's account left in, tables and primary keys, a trial of the way
//! back, the instance if there is one, the endpoints and their tests, the task and its load; then keys, foreign keys, routines, views and
//! events while the task stands still; then the task goes on, and a token has gone through it.

use serde_json::json;

use super::super::replicate::Replication;
use super::super::{arm, back, common, retention};
use super::schema::Copying;
use super::window;
use crate::clock;
use crate::engine::Outcome;
use crate::engine::dms::calls;
use crate::engine::dms::replicate::begins_anew;
use crate::engine::dms::works::Works;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, Move};
use crate::plan::Plan;
use crate::runbook::model::{DmsTask, Replicate};
use crate::steps::Description;
use crate::systems::aws::Call;
use crate::systems::mysql::{Session, ident, literal, setup};
use crate::systems::pair::Heading;

pub(super) async fn apply(cx: &Context, state: &RunState, of: &Move, step: &Replicate) -> Outcome {
    let began = clock::monotonic();
    let native = Replication(step);
    native.can_be_kept_to_its_schemas(cx)?;
    let (source, target) = tokio::try_join!(cx.rig.mysql(&step.from), cx.rig.mysql(&step.to))?;
    arm::own_domain(cx).await?;
    for session in [&source, &target] {
        native.claim(cx, session).await?;
        session.batch("make our schema", back::TABLE).await?;
    }
    let works = Works::of(cx, step, &of.step, false).await?;
    retention::lengthen(cx, state, of, step, &target).await?;
    let carried = native.accounts(cx, state, of, &source, &target).await?;
    remember_carrier(cx, state, of, &target, works.task).await?;
    native.fence_target(cx, state, of, &target, None).await?;
    let followed = remembered::<bool>(state, "replicate", "followed").unwrap_or(false);
    let copying = Copying::new(cx, step).await?;
    if !followed {
        copying.before(cx, state, of).await?;
    }
    window::try_back(cx).await?;
    cx.note(of, json!({ "task": works.names.task }), Durability::Synced)?;
    let on = works.on().await?;
    if !followed {
        let ends = works.endpoints(&on).await?;
        begin_load(&works, state, of, &target).await?;
        works.task(&on, &ends).await?;
        let loaded = works.load().await?;
        copying.after(cx, of).await?;
        native.events_stand_still(cx, &target).await?;
        works.busy("gathering statistics on the target");
        copying.analyze(cx).await?;
        let rows: i64 = loaded.iter().map(|table| table.loaded).sum();
        cx.note(of, json!({ "followed": true, "loaded_rows": rows }), Durability::Synced)?;
    }
    works.resume().await?;
    window::carries(cx, &of.step, step.timeout.0).await?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(json!({ "tables": cx.plan.choices.tables.len(), "seconds": seconds, "summary": carried }))
}

/// Accounts of DMS's user that can log in: those that the switch locks, and an undo gives back.
async fn remember_carrier(cx: &Context, state: &RunState, of: &Move, target: &Session, task: &DmsTask) -> Outcome<()> {
    if remembered::<Vec<String>>(state, "replicate", "carrier").is_some() {
        return Ok(());
    }
    let sql = format!(
        "SELECT CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.user WHERE User = {} ORDER BY 1",
        literal(&task.target.role)
    );
    let rows = target.rows("look for the accounts of DMS", &sql).await?;
    let accounts: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    cx.note(of, json!({ "carrier": accounts }), Durability::Synced)
}

/// A load begins with empty tables: after one that failed, its task is deleted and what it had loaded is removed.
async fn begin_load(works: &Works<'_>, state: &RunState, of: &Move, target: &Session) -> Outcome<()> {
    let cx = works.cx;
    if !begins_anew(works, state).await? {
        if remembered::<bool>(state, "replicate", "loading").is_none() {
            // DMS brings its row.
            let sql = "DELETE FROM pointsman.token_forward;\n";
            setup::send_held(target, "empty the table of the token", (&cx.run, cx.epoch), sql).await?;
        }
        return cx.note(of, json!({ "loading": true }), Durability::Synced);
    }
    works.busy("the load begins anew");
    works.delete_task().await?;
    let quiet = common::choices(&cx.plan, target.system()).superuser;
    // Foreign keys may be there already, and TRUNCATE looks at them.
    let mut sql = "SET SESSION foreign_key_checks = 0;\n".to_owned();
    for (schema, table) in &cx.plan.choices.tables {
        sql += &format!("TRUNCATE {}.{};\n", ident(schema), ident(table));
    }
    sql += "DELETE FROM pointsman.token_forward;\nSET SESSION foreign_key_checks = 1;\n";
    let sql = setup::quietly(quiet, &sql);
    setup::send_held(target, "empty the tables for another load", (&cx.run, cx.epoch), &sql).await?;
    Ok(())
}

pub(super) async fn undo(cx: &Context, state: &RunState, step: &Replicate) -> Outcome {
    let works = Works::of(cx, step, "replicate", true).await?;
    works.delete_all().await?;
    back::clear(cx).await?;
    let target = cx.rig.mysql(&step.to).await?;
    let ours = setup::owner(&target).await?.as_ref() == Some(&cx.run);
    let done = Replication(step).undo(cx, state).await?;
    let accounts = remembered::<Vec<String>>(state, "replicate", "carrier").unwrap_or_default();
    if ours && !accounts.is_empty() {
        let quiet = common::choices(&cx.plan, &step.to).superuser;
        target.batch("give DMS its login back", &window::lock(&accounts, "UNLOCK", quiet)).await?;
    }
    Ok(done)
}

pub(super) fn describe(plan: &Plan, step: &Replicate) -> Description {
    let mut described = Replication(step).describe(plan);
    let (Some(task), Some(pair)) = (&step.dms, &plan.pair) else { return described };
    let tables = &plan.choices.tables;
    // Nobody follows anybody by the servers' own replication, and no dump is made.
    let streams = [Heading::Forth, Heading::Back].map(|heading| common::stream(plan, heading).channel().to_owned());
    let native = |sql: &str| {
        let names_stream = streams.iter().any(|name| !name.is_empty() && sql.contains(name.as_str()));
        names_stream || sql.contains("rds_set_external") || sql.contains("--databases")
    };
    described.apply.retain(|(_, sql)| !native(sql));
    for side in [&pair.source, &pair.target] {
        described.apply.push((side.clone(), back::TABLE.to_owned()));
    }
    let said = |text: &str| (step.to.clone(), text.to_owned());
    described.apply.push(said("-- CREATE DATABASE, CREATE TABLE with primary keys, as the source has them"));
    let aws = |call: Call| (task.instance.clone(), call.to_string());
    described.apply.extend(calls::makes(plan, task, step).into_iter().map(aws));
    described.apply.push(said(
        "-- ALTER TABLE: secondary keys, then foreign keys; then functions, procedures, views, events at rest",
    ));
    described.apply.push(said("-- ALTER EVENT of each event that runs on the source: DISABLE ON REPLICA"));
    described.apply.push(said("-- CREATE TRIGGER and DROP TRIGGER of each trigger: a trial"));
    described.apply.push(said("ANALYZE NO_WRITE_TO_BINLOG TABLE EACH TABLE"));
    described.apply.push(aws(calls::resume(plan)));
    let forward = common::stream(plan, Heading::Forth).channel().to_owned();
    described.undo.retain(|(_, sql)| forward.is_empty() || !sql.contains(&forward));
    described.undo.splice(0..0, calls::deletions(plan));
    described.undo.push(said(window::lock(&["'DMS'@'HOST'".to_owned()], "UNLOCK", false).trim_end()));
    described.summary = format!(
        "Copy {} tables ({}) from {} to {} with a task of DMS and follow; try the way back; fence {}",
        tables.len(),
        plan.choices.mysql.as_ref().map(|chosen| chosen.objects.clone()).unwrap_or_default(),
        step.from,
        step.to,
        step.to
    );
    described.clients = Some(format!("{} refuses writes until the switch", step.to));
    described
}
