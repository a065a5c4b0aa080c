//! The target follows the source, and the way back is laid. In this order: our schema in both databases,
//! the fence around the target (nobody but the stream writes there before the switch), the application's tables and
//! keys on it, publications, the subscription with its initial copy, then indexes and constraints, statistics,
//! and the stream back with its points set to nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use super::freeze::{fencing, planned_fencing, planned_open};
use super::{lag, slots};
use crate::clock;
use crate::engine::{Lag, Outcome};
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{Replicate, System};
use crate::steps::{Description, StepError};
use crate::systems::pair::Heading;
use crate::systems::postgres::fence::{self, Open};
use crate::systems::postgres::schema_copy::{self, ApplyOptions, DumpOptions, Stage};
use crate::systems::postgres::{Session, dial, ident, literal, setup, stream};

/// How long the apply worker may take to start.
const WORKER_LIMIT: Duration = Duration::from_secs(60);
/// How long the first word of how far it is may take.
const STREAM_LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// The step with what only PostgreSQL knows of it.
pub(in crate::engine) struct Replication<'a>(pub(in crate::engine) &'a Replicate);

impl Replication<'_> {
    pub(in crate::engine) fn describe(&self, plan: &Plan) -> Description {
        let (source, target) = (self.0.from.clone(), self.0.to.clone());
        let tables = &plan.choices.tables;
        let (target_open, connection) = (planned_open(plan, &target), "CONNECTION STRING, password not shown");
        let mut apply = vec![(source.clone(), setup::SETUP.to_owned()), (target.clone(), setup::SETUP.to_owned())];
        apply
            .push((target.clone(), format!("BEGIN;\n{}COMMIT;", planned_fencing(plan, &target, &target_open).close())));
        if self.0.copy_schema {
            apply.push((
                target.clone(),
                format!("-- pg_dump --schema-only --section=pre-data of {source}, with the keys"),
            ));
        }
        apply.extend(
            stream::create_publications(Heading::Forth, tables, true).into_iter().map(|sql| (source.clone(), sql)),
        );
        apply.extend(
            stream::create_publications(Heading::Back, tables, false).into_iter().map(|sql| (target.clone(), sql)),
        );
        apply.push((target.clone(), stream::create_subscription(Heading::Forth, connection, true)));
        if self.0.copy_schema {
            apply.push((target.clone(), "-- indexes, constraints and triggers of pg_dump --section=post-data".into()));
        }
        apply.push((target.clone(), "ANALYZE".into()));
        apply.push((source.clone(), stream::create_subscription(Heading::Back, connection, false)));
        apply.push((source.clone(), stream::set_mark(Heading::Forth)));
        let dropped = |heading: Heading| format!("DROP SUBSCRIPTION {}", heading.stream());
        let publications =
            |heading: Heading| format!("DROP PUBLICATION {}, {}", heading.stream(), stream::token_publication(heading));
        let mut undo = vec![
            (source.clone(), dropped(Heading::Back)),
            (target.clone(), dropped(Heading::Forth)),
            (source.clone(), publications(Heading::Forth)),
            (target.clone(), publications(Heading::Back)),
        ];
        if self.0.copy_schema {
            undo.push((target.clone(), "-- DROP of everything that the copy created, and of nothing else".into()));
        }
        undo.push((target.clone(), planned_fencing(plan, &target, &target_open).lift().trim_end().to_owned()));
        undo.extend([(source.clone(), setup::TEARDOWN.to_owned()), (target.clone(), setup::TEARDOWN.to_owned())]);
        let summary = format!(
            "Copy {} tables from {source} to {target} and follow; lay the way back; fence {target}",
            tables.len()
        );
        let clients = Some(format!("nothing on {source}; {target} refuses clients until the switch"));
        Description { summary, apply, undo, clients }
    }

    pub(super) async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome {
        let began = clock::monotonic();
        let (source, target) = tokio::try_join!(cx.rig.postgres(&self.0.from), cx.rig.postgres(&self.0.to))?;
        for session in [&source, &target] {
            session.batch("make our schema", setup::SETUP).await?;
            setup::claim(session, &cx.run, cx.epoch).await?;
        }
        let script = self.dump(cx, state, of).await?;
        // Before the tables: a client that knows the target would write into them as soon as they are there.
        self.fence_target(cx, state, of, &target).await?;
        if let Some(script) = &script {
            self.schema_stage(cx, of, script, Stage::BeforeCopy).await?;
        }
        self.publications(cx, &source, Heading::Forth).await?;
        self.publications(cx, &target, Heading::Back).await?;
        self.subscribe(cx, &target, &source, Heading::Forth).await?;
        self.await_copy(cx, of, &source, &target).await?;
        if let Some(script) = &script {
            // Constraints lock tables in an order of their own: the apply worker would be the victim of a deadlock, and
            // start again only after some seconds.
            pause_apply(&target, true).await?;
            self.schema_stage(cx, of, script, Stage::AfterCopy).await?;
            pause_apply(&target, false).await?;
        }
        cx.progress(&of.step, "gathering statistics on the target");
        target.batch("gather statistics", "ANALYZE").await?;
        self.subscribe(cx, &source, &target, Heading::Back).await?;
        await_stream(cx, &source, &target, Heading::Forth).await?;
        await_stream(cx, &target, &source, Heading::Back).await?;
        slots::mark(cx, of, Heading::Forth).await?;
        Ok(json!({ "tables": cx.plan.choices.tables.len(), "seconds": began.elapsed().as_secs_f64() }))
    }

    pub(in crate::engine) async fn undo(&self, cx: &Context, state: &RunState) -> Outcome {
        let (source, target) = tokio::try_join!(cx.rig.postgres(&self.0.from), cx.rig.postgres(&self.0.to))?;
        let (here, there) = tokio::try_join!(setup::owner(&source), setup::owner(&target))?;
        if let Some(other) = here.iter().chain(&there).find(|owner| **owner != cx.run) {
            // It got no further than asking for both databases: what is there is the other run's.
            let ours = [(&source, &here), (&target, &there)];
            for (session, _) in ours.into_iter().filter(|(_, owner)| owner.as_ref() == Some(&cx.run)) {
                session.batch("drop our schema", setup::TEARDOWN).await?;
            }
            return Ok(json!({ "summary": format!("nothing to take back: run {other} has the databases") }));
        }
        stream::drop_subscription(&source, Heading::Back).await?;
        stream::drop_subscription(&target, Heading::Forth).await?;
        stream::drop_publisher(&source, Heading::Forth).await?;
        stream::drop_publisher(&target, Heading::Back).await?;
        if self.0.copy_schema {
            schema_copy::undo(&cx.world.postgres(&self.0.to)?, None).await?;
        }
        if let Some(open) = remembered::<Open>(state, "replicate", &format!("open_{}", self.0.to)) {
            let sql = format!("BEGIN;\n{}COMMIT;", fencing(cx, &self.0.to, &open)?.lift());
            target.batch("lift the fence", &sql).await?;
        }
        source.batch("drop our schema", setup::TEARDOWN).await?;
        target.batch("drop our schema", setup::TEARDOWN).await?;
        Ok(json!({}))
    }
}

impl Replication<'_> {
    /// The schema is dumped once: a second dump, after a crash, could see another one.
    pub(in crate::engine) async fn dump(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
    ) -> Result<Option<schema_copy::SchemaScript>, StepError> {
        if !self.0.copy_schema {
            return Ok(None);
        }
        if let Some(script) = remembered(state, "replicate", "schema") {
            return Ok(Some(script));
        }
        let (source, target) = (cx.world.postgres(&self.0.from)?, cx.world.postgres(&self.0.to)?);
        let options = DumpOptions { schemas: self.0.schemas.clone(), pg_dump: self.0.pg_dump.clone() };
        let script = schema_copy::dump(&source, &options).await?;
        schema_copy::check_roles(&source, &target, &script).await?;
        cx.note(of, json!({ "schema": script }), Durability::Synced)?;
        Ok(Some(script))
    }

    pub(in crate::engine) async fn schema_stage(
        &self,
        cx: &Context,
        of: &Move,
        script: &schema_copy::SchemaScript,
        stage: Stage,
    ) -> Result<(), StepError> {
        cx.checkpoint()?;
        let options = ApplyOptions {
            workers: usize::try_from(self.0.workers).unwrap_or(1).max(1),
            guard: Some(setup::hold_epoch(&cx.run, cx.epoch).trim_end_matches(';').to_owned()),
        };
        let what = if stage == Stage::BeforeCopy { "tables and keys" } else { "indexes, constraints and triggers" };
        let listener = |progress: &schema_copy::Progress| {
            cx.progress(&of.step, &format!("{what}: {} of {}: {}", progress.done, progress.total, progress.current));
        };
        schema_copy::apply(&cx.world.postgres(&self.0.to)?, script, stage, &options, &listener).await?;
        Ok(())
    }

    /// Nobody but the stream writes on the target before the switch. What it was like is remembered first.
    pub(in crate::engine) async fn fence_target(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        target: &Session,
    ) -> Result<(), StepError> {
        let key = format!("open_{}", self.0.to);
        let open = match remembered::<Open>(state, "replicate", &key) {
            Some(open) => open,
            None => {
                let exempt = match cx.plan.systems.get(&self.0.to) {
                    Some(System::Postgres(spec)) => spec.exempt_roles.clone(),
                    _ => Vec::new(),
                };
                let open = fence::read_open(target, &exempt).await?;
                cx.note(of, json!({ key: open }), Durability::Synced)?;
                open
            }
        };
        let fencing = fencing(cx, &self.0.to, &open)?;
        let sql = format!(
            "BEGIN;\n{}\n{}COMMIT;\n{}",
            setup::hold_epoch(&cx.run, cx.epoch),
            fencing.close(),
            fencing.expel(5000)
        );
        target.batch("fence it until the switch", &sql).await?;
        Ok(())
    }

    pub(in crate::engine) async fn publications(
        &self,
        cx: &Context,
        publisher: &Session,
        heading: Heading,
    ) -> Result<(), StepError> {
        let statements = stream::create_publications(heading, &cx.plan.choices.tables, heading == Heading::Forth);
        for (name, sql) in [stream::token_publication(heading), heading.stream()].into_iter().zip(statements) {
            let held = setup::hold_epoch(&cx.run, cx.epoch);
            let there: bool = publisher
                .value(
                    "look for its publication",
                    "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)",
                    &[&name],
                )
                .await?;
            if !there {
                publisher.batch(&format!("create publication {name}"), &format!("{held} {sql}")).await?;
            }
        }
        Ok(())
    }

    /// Creates a subscription, if it isn't there. The subscriber's server dials the publisher's: this proves that it can.
    pub(in crate::engine) async fn subscribe(
        &self,
        cx: &Context,
        subscriber: &Session,
        publisher: &Session,
        heading: Heading,
    ) -> Result<(), StepError> {
        if stream::subscription(subscriber, heading).await?.is_some() {
            return Ok(());
        }
        cx.still_mine()?;
        let orphan = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {} AND NOT active",
            literal(heading.stream())
        );
        publisher.batch("drop a slot of an earlier try", &orphan).await?;
        let Some(System::Postgres(spec)) = cx.plan.systems.get(publisher.system()) else {
            return Err(StepError::broken("the publisher is not in the plan"));
        };
        let connection = dial::by_other_server(publisher.system(), spec)?;
        let sql = stream::create_subscription(heading, connection.expose(), heading == Heading::Forth);
        let made = subscriber.batch(&format!("create subscription {}", heading.stream()), &sql).await;
        made.map_err(|error| {
            let hint = format!(
                "the server of {} dials the server of {} itself: look at routes, pg_hba.conf and security groups in that \
                 direction, and at `replication-url`",
                subscriber.system(), publisher.system()
            );
            if error.hint.is_some() { error } else { error.with_hint(hint) }
        })?;
        Ok(())
    }

    async fn await_copy(&self, cx: &Context, of: &Move, source: &Session, target: &Session) -> Result<(), StepError> {
        let total = table_bytes(source, &cx.plan.choices.tables).await?;
        let began = clock::monotonic();
        let mut errors = None;
        loop {
            let found = stream::subscription(target, Heading::Forth).await?;
            let Some(found) = found else {
                return Err(StepError::told(FailureKind::Refused, "the subscription is gone from the target", None));
            };
            if found.pending == 0 && found.tables > 0 {
                return Ok(());
            }
            let known = *errors.get_or_insert(found.errors);
            if found.errors > known {
                let hint = "the target's server log names the row; mend it there, then `pointsman retry`";
                let message =
                    format!("the initial copy fails on {} ({} errors)", target.system(), found.errors - known);
                return Err(StepError::told(FailureKind::Refused, message, Some(hint)));
            }
            if began.elapsed() > self.0.timeout.0 {
                let message = format!("the initial copy has not ended within {}", self.0.timeout);
                return Err(StepError::told(
                    FailureKind::Deadline,
                    message,
                    Some("give `timeout` more, then `pointsman retry`"),
                ));
            }
            let done = table_bytes(target, &cx.plan.choices.tables).await?;
            let rows = copied_rows(target, &cx.plan.choices.tables).await?;
            let ready = found.tables - found.pending;
            cx.progress(&of.step, &copy_text(ready, found.tables, done, total, rows, began));
            cx.rest(Duration::from_millis(200)).await?;
        }
    }
}

/// Stops or starts the apply worker of the forward stream; repeatable.
async fn pause_apply(target: &Session, pause: bool) -> Result<(), StepError> {
    let stream = Heading::Forth.stream();
    let word = if pause { "DISABLE" } else { "ENABLE" };
    target.batch("pause or start replication", &format!("ALTER SUBSCRIPTION {stream} {word}")).await?;
    while pause && stream::subscription(target, Heading::Forth).await?.is_some_and(|found| found.working) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Waits until the apply worker of a stream runs, and then for a moment until the publisher knows how far it is: a gate that
/// looks at once would find nothing. What that is, it judges.
pub(in crate::engine) async fn await_stream(
    cx: &Context,
    publisher: &Session,
    subscriber: &Session,
    heading: Heading,
) -> Result<(), StepError> {
    await_worker(cx, subscriber, heading).await?;
    let began = clock::monotonic();
    while matches!(lag::publisher(publisher, heading.stream()).await?, Lag::Nothing(_)) {
        if began.elapsed() > STREAM_LIMIT {
            break;
        }
        cx.rest(LOOK).await?;
    }
    Ok(())
}

async fn await_worker(cx: &Context, subscriber: &Session, heading: Heading) -> Result<(), StepError> {
    let began = clock::monotonic();
    while !stream::subscription(subscriber, heading).await?.is_some_and(|found| found.working) {
        if began.elapsed() > WORKER_LIMIT {
            let message = format!("the apply worker of {} does not start on {}", heading.stream(), subscriber.system());
            return Err(StepError::told(FailureKind::Refused, message, Some("its server log says why")));
        }
        cx.rest(LOOK).await?;
    }
    Ok(())
}

/// How far the copy is, with an estimate of what is left.
fn copy_text(ready: i64, tables: i64, done: i64, total: i64, rows: i64, began: Instant) -> String {
    let size = |bytes: i64| bytesize::ByteSize(u64::try_from(bytes).unwrap_or(0)).display().iec().to_string();
    // Thousandths: whole numbers are exact enough for an estimate.
    let share = if total > 0 { (done.max(0).saturating_mul(1000) / total).min(1000) } else { 1000 };
    let left = if share > 20 && share < 1000 {
        let passed = i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX);
        let seconds = u64::try_from(passed.saturating_mul(1000 - share) / share).unwrap_or(0);
        format!(", about {} left", humantime::format_duration(Duration::from_secs(seconds)))
    } else {
        String::new()
    };
    format!("copying: {ready} of {tables} tables ready, {rows} rows, {} of about {}{left}", size(done), size(total))
}

fn regclasses(tables: &[(String, String)]) -> String {
    let names: Vec<String> =
        tables.iter().map(|(schema, table)| literal(&format!("{}.{}", ident(schema), ident(table)))).collect();
    format!("ARRAY[{}]::text[]", names.join(","))
}

pub(in crate::engine) async fn table_bytes(session: &Session, tables: &[(String, String)]) -> Result<i64, StepError> {
    let sql = format!(
        "SELECT coalesce(sum(pg_table_size(to_regclass(name))), 0)::bigint FROM unnest({}) name",
        regclasses(tables)
    );
    Ok(session.value("read the size of the tables", &sql, &[]).await?)
}

/// Rows of the tables that are done (estimated) and of the copies under way.
async fn copied_rows(session: &Session, tables: &[(String, String)]) -> Result<i64, StepError> {
    let sql = format!(
        "SELECT (coalesce((SELECT sum(n_live_tup) FROM pg_stat_all_tables WHERE relid IN \
         (SELECT to_regclass(name) FROM unnest({}) name)), 0) \
         + coalesce((SELECT sum(tuples_processed) FROM pg_stat_progress_copy WHERE datname = current_database()), 0))::bigint",
        regclasses(tables)
    );
    Ok(session.value("count the copied rows", &sql, &[]).await?)
}
