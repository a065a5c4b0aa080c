//! The target follows the source through a task of DMS, and the way back is laid. In this order: our schema in both
//! databases, the fence around the target with DMS's login left in, tables and keys, what DMS may do, the instance if there
//! is one, the endpoints and their tests, the task and its load; then indexes, constraints and triggers while the task stands still;
//! then the task goes on, the stream back is laid with its points set to nothing, and a token has gone through DMS.

use std::time::Duration;

use serde_json::json;

use super::calls;
use super::works::Works;
use crate::clock;
use crate::engine::Outcome;
use crate::engine::postgres::carrier::Carrier;
use crate::engine::postgres::replicate::{Replication, await_stream};
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{DmsTask, Replicate};
use crate::steps::{Description, StepError, new_token};
use crate::systems::aws::Call;
use crate::systems::aws::dms::{State, Table};
use crate::systems::pair::Heading;
use crate::systems::postgres::schema_copy::Stage;
use crate::systems::postgres::{Session, ident, setup, stream};

pub(in crate::engine) async fn apply(cx: &Context, state: &RunState, of: &Move, step: &Replicate) -> Outcome {
    let began = clock::monotonic();
    let (source, target) = tokio::try_join!(cx.rig.postgres(&step.from), cx.rig.postgres(&step.to))?;
    for session in [&source, &target] {
        session.batch("make our schema", setup::SETUP).await?;
        setup::claim(session, &cx.run, cx.epoch).await?;
    }
    let native = Replication(step);
    let script = native.dump(cx, state, of).await?;
    native.fence_target(cx, state, of, &target).await?;
    let_in(cx, of, &target).await?;
    let followed = remembered::<bool>(state, "replicate", "followed").unwrap_or(false);
    if let Some(script) = script.as_ref().filter(|_| !followed) {
        native.schema_stage(cx, of, script, Stage::BeforeCopy).await?;
    }
    let works = Works::of(cx, step, &of.step, false).await?;
    take_values(cx, &target).await?;
    grant(cx, state, of, works.task, (&source, &target)).await?;
    native.publications(cx, &target, Heading::Back).await?;
    cx.note(of, json!({ "task": works.names.task }), Durability::Synced)?;
    let on = works.on().await?;
    if !followed {
        let ends = works.endpoints(&on).await?;
        begin_load(&works, state, of, &target).await?;
        works.task(&on, &ends).await?;
        let loaded = works.load().await?;
        if let Some(script) = &script {
            native.schema_stage(cx, of, script, Stage::AfterCopy).await?;
        }
        works.busy("gathering statistics on the target");
        target.batch("gather statistics", "ANALYZE").await?;
        let rows: i64 = loaded.iter().map(|table| table.loaded).sum();
        cx.note(of, json!({ "followed": true, "loaded_rows": rows }), Durability::Synced)?;
    }
    works.resume().await?;
    native.subscribe(cx, &source, &target, Heading::Back).await?;
    await_stream(cx, &target, &source, Heading::Back).await?;
    carries(cx, &of.step, step.timeout.0).await?;
    Ok(json!({ "tables": cx.plan.choices.tables.len(), "seconds": began.elapsed().as_secs_f64() }))
}

/// A token goes through DMS: everything that was committed before it is there.
pub(in crate::engine) async fn carries(cx: &Context, step: &str, limit: Duration) -> Outcome<()> {
    let pair = cx.pair()?;
    let (source, target) = tokio::try_join!(cx.rig.postgres(&pair.source), cx.rig.postgres(&pair.target))?;
    let (token, began) = (new_token(), clock::monotonic());
    let held = setup::hold_epoch(&cx.run, cx.epoch);
    source.batch("write a token", &format!("{held}{}", stream::write_token(Heading::Forth, &cx.run, &token))).await?;
    let look = "SELECT EXISTS (SELECT FROM pointsman.token_forward WHERE token = $1)";
    while !target.value::<bool>("look for a token", look, &[&token]).await? {
        if began.elapsed() > limit {
            let message = format!(
                "DMS has not carried a token to {} within {}",
                pair.target,
                humantime::format_duration(Duration::from_secs(limit.as_secs()))
            );
            let hint = "look at the task's state, its log and its CDC latency in the console of DMS";
            return Err(StepError::told(FailureKind::Deadline, message, Some(hint)));
        }
        cx.progress(step, "a token goes through DMS");
        cx.rest(Duration::from_millis(200)).await?;
    }
    Ok(())
}

/// The login of DMS passes the fence of the target and may write behind it.
async fn let_in(cx: &Context, of: &Move, target: &Session) -> Outcome<()> {
    let Some(carrier) = Carrier::of(&cx.plan) else { return Err(StepError::broken("nothing carries the rows")) };
    cx.note(of, json!({ "let_in": true }), Durability::Synced)?;
    let sql = format!("BEGIN;\n{}\n{}COMMIT;", setup::hold_epoch(&cx.run, cx.epoch), carrier.let_in());
    held(target, "let DMS through the fence", &sql).await
}

/// Identities that are always the server's own take values from DMS until the target opens.
async fn take_values(cx: &Context, target: &Session) -> Outcome<()> {
    let Some(carrier) = Carrier::of(&cx.plan) else { return Ok(()) };
    let sql = format!("BEGIN;\n{}\n{}COMMIT;", setup::hold_epoch(&cx.run, cx.epoch), carrier.identities(false));
    held(target, "let identities take values", &sql).await
}

async fn held(session: &Session, what: &str, sql: &str) -> Outcome<()> {
    if let Err(error) = session.batch(what, sql).await {
        drop(session.batch("leave the transaction", "ROLLBACK").await);
        return Err(error.into());
    }
    Ok(())
}

/// What the login of DMS may not do yet on the target: schemas and tables, as SQL names.
const LACKING: &str = "SELECT coalesce((SELECT array_agg(quote_ident(s)) FROM unnest($2::text[]) s \
     WHERE NOT has_schema_privilege($1, s, 'USAGE')), '{}'), \
     coalesce((SELECT array_agg(t::regclass::text) FROM unnest($3::text[]) t WHERE NOT (has_table_privilege($1, t, 'SELECT') \
     AND has_table_privilege($1, t, 'INSERT') AND has_table_privilege($1, t, 'UPDATE') AND has_table_privilege($1, t, 'DELETE'))), '{}')";

/// Lets DMS write what it carries, and read the token. What it was not allowed before is remembered, to be taken back.
async fn grant(cx: &Context, state: &RunState, of: &Move, task: &DmsTask, sides: (&Session, &Session)) -> Outcome<()> {
    let (source, target) = sides;
    let reader = ident(&task.source.role);
    let sql =
        format!("GRANT USAGE ON SCHEMA pointsman TO {reader}; GRANT SELECT ON pointsman.token_forward TO {reader}");
    source.batch("let DMS read the token", &sql).await?;
    let (schemas, tables) = match remembered::<(Vec<String>, Vec<String>)>(state, "replicate", "granted") {
        Some(known) => known,
        None => {
            let choices = &cx.plan.choices;
            let names: Vec<String> =
                choices.tables.iter().map(|(schema, table)| format!("{}.{}", ident(schema), ident(table))).collect();
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&task.target.role, &choices.schemas, &names];
            let rows = target.rows("see what DMS may do", LACKING, &params).await?;
            let lacking: (Vec<String>, Vec<String>) = (rows[0].get(0), rows[0].get(1));
            cx.note(of, json!({ "granted": lacking }), Durability::Synced)?;
            lacking
        }
    };
    let sql = granting(&task.target.role, &schemas, &tables, true);
    held(target, "let DMS write", &format!("BEGIN;\n{}\n{sql}COMMIT;", setup::hold_epoch(&cx.run, cx.epoch))).await
}

/// Gives rights to the login of DMS, or takes them back; our own schema is dropped with its rights.
fn granting(role: &str, schemas: &[String], tables: &[String], give: bool) -> String {
    let role = ident(role);
    let (verb, word) = if give { ("GRANT", "TO") } else { ("REVOKE", "FROM") };
    let mut sql = String::new();
    if give {
        sql += &format!("GRANT USAGE, CREATE ON SCHEMA pointsman TO {role};\n");
        sql += &format!("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON pointsman.token_forward TO {role};\n");
    }
    for schema in schemas {
        sql += &format!("{verb} USAGE ON SCHEMA {schema} {word} {role};\n");
    }
    for table in tables {
        sql += &format!("{verb} SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON {table} {word} {role};\n");
    }
    sql
}

/// Whether an earlier load failed, or its task is gone.
pub(in crate::engine) async fn begins_anew(works: &Works<'_>, state: &RunState) -> Outcome<bool> {
    Ok(match works.look_at_task().await? {
        None => remembered::<bool>(state, "replicate", "loading").unwrap_or(false),
        Some(task) => match task.state {
            State::Failed | State::Forgotten => true,
            State::Stopped if !task.is_loaded() => true,
            _ => works.tables(&task).await?.iter().any(Table::is_broken),
        },
    })
}

/// A load begins with empty tables: after one that failed, its task is deleted and what it had loaded is removed.
async fn begin_load(works: &Works<'_>, state: &RunState, of: &Move, target: &Session) -> Outcome<()> {
    let cx = works.cx;
    if !begins_anew(works, state).await? {
        return cx.note(of, json!({ "loading": true }), Durability::Synced);
    }
    works.busy("the load begins anew");
    works.delete_task().await?;
    let tables = &cx.plan.choices.tables;
    let names: Vec<String> =
        tables.iter().map(|(schema, table)| format!("{}.{}", ident(schema), ident(table))).collect();
    if !works.replicate.copy_schema {
        return only_empty(works, target, &names).await;
    }
    let all = names.into_iter().chain(["pointsman.token_forward".to_owned()]).collect::<Vec<_>>().join(", ");
    let sql = format!("BEGIN;\n{}\nTRUNCATE {all};\nCOMMIT;", setup::hold_epoch(&cx.run, cx.epoch));
    held(target, "empty the tables for another load", &sql).await
}

/// Tables that the author made are emptied by the author.
async fn only_empty(works: &Works<'_>, target: &Session, names: &[String]) -> Outcome<()> {
    let mut filled = Vec::new();
    for name in names {
        if target.value("look whether it is empty", &format!("SELECT EXISTS (SELECT FROM {name})"), &[]).await? {
            filled.push(name.as_str());
        }
    }
    if filled.is_empty() {
        return Ok(());
    }
    let hint = format!("on {}: TRUNCATE {}; then `pointsman retry`", target.system(), filled.join(", "));
    Err(works.told(FailureKind::Refused, "a load begins with empty tables, and some hold rows of the last one", &hint))
}

pub(in crate::engine) async fn undo(cx: &Context, state: &RunState, step: &Replicate) -> Outcome {
    let works = Works::of(cx, step, "replicate", true).await?;
    works.delete_all().await?;
    let target = cx.rig.postgres(&step.to).await?;
    if setup::owner(&target).await?.as_ref() == Some(&cx.run) {
        if let Some((schemas, tables)) = remembered::<(Vec<String>, Vec<String>)>(state, "replicate", "granted") {
            let sql = granting(&works.task.target.role, &schemas, &tables, false);
            let there = still_there(&target, &schemas, &tables).await?;
            let sql: String = sql.lines().filter(|line| there.iter().any(|name| line.contains(name))).collect();
            target.batch("take back what DMS may do", &sql).await?;
        }
        if let Some(carrier) = Carrier::of(&cx.plan).filter(|_| remembered(state, "replicate", "let_in") == Some(true))
        {
            target.batch("give DMS its login back", &carrier.give_back()).await?;
        }
    }
    Replication(step).undo(cx, state).await
}

/// Which of these are there, as ` ON … FROM ` has them.
async fn still_there(target: &Session, schemas: &[String], tables: &[String]) -> Outcome<Vec<String>> {
    let sql = "SELECT format(' ON SCHEMA %s ', s) FROM unnest($1::text[]) s WHERE to_regnamespace(s) IS NOT NULL \
               UNION ALL SELECT format(' ON %s ', t) FROM unnest($2::text[]) t WHERE to_regclass(t) IS NOT NULL";
    let rows = target.rows("see what is there", sql, &[&schemas, &tables]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(in crate::engine) fn describe(plan: &Plan, step: &Replicate) -> Description {
    let mut described = Replication(step).describe(plan);
    let (Some(task), Some(carrier)) = (&step.dms, Carrier::of(plan)) else { return described };
    let tables = &plan.choices.tables;
    let copy = stream::create_subscription(Heading::Forth, "CONNECTION STRING, password not shown", true);
    let (mark, publications) =
        (stream::set_mark(Heading::Forth), stream::create_publications(Heading::Forth, tables, true));
    described.apply.retain(|(_, sql)| *sql != copy && *sql != mark && !publications.contains(sql));
    let forward = Heading::Forth.stream();
    described.undo.retain(|(_, sql)| !sql.contains(forward));
    let after = |sql: &String| sql.contains("post-data") || sql == "ANALYZE";
    let at = described.apply.iter().position(|(_, sql)| after(sql)).unwrap_or(described.apply.len());
    let mut calls = vec![(step.to.clone(), carrier.let_in().trim_end().to_owned())];
    if plan.choices.dms.as_ref().is_some_and(|dms| !dms.identities.is_empty()) {
        calls.push((step.to.clone(), carrier.identities(false).trim_end().to_owned()));
    }
    calls.push((
        step.to.clone(),
        granting(&task.target.role, &[], &["ALL TABLES OF THE PLAN".into()], true).trim_end().into(),
    ));
    let aws = |call: Call| (task.instance.clone(), call.to_string());
    calls.extend(calls::makes(plan, task, step).into_iter().map(aws));
    described.apply.splice(at..at, calls);
    let analyzed =
        described.apply.iter().position(|(_, sql)| sql == "ANALYZE").map_or(described.apply.len(), |at| at + 1);
    described.apply.insert(analyzed, aws(calls::resume(plan)));
    let mut undo = calls::deletions(plan);
    undo.push((step.to.clone(), carrier.give_back().trim_end().to_owned()));
    described.undo.splice(0..0, undo);
    described.summary = format!(
        "Copy {} tables from {} to {} with a task of DMS and follow; lay the way back; fence {}",
        tables.len(),
        step.from,
        step.to,
        step.to
    );
    described
}
