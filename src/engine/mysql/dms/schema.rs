//! Everything but the rows: tables with their primary keys before the load; secondary keys, foreign keys, routines, views
//! and events behind it, while the task stands still; triggers at the switch only, because what DMS writes would fire
//! them once more.

use serde_json::json;

use super::super::common;
use crate::engine::Outcome;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::runbook::model::Replicate;
use crate::steps::StepError;
use crate::systems::Result;
use crate::systems::mysql::definition::Definition;
use crate::systems::mysql::programs::{self, Kind, Program};
use crate::systems::mysql::{Access, Session, catalog, ident};

/// Sessions of their own: their settings are changed.
pub(super) struct Copying {
    source: Session,
    target: Session,
    quiet: bool,
}

impl Copying {
    pub(super) async fn new(cx: &Context, step: &Replicate) -> Outcome<Self> {
        let open = async |name: &str| cx.world.mysql(name)?.connect(Access::ReadWrite).await;
        let (source, target) = tokio::try_join!(open(&step.from), open(&step.to))?;
        let quiet = common::choices(&cx.plan, &step.to).superuser;
        let log = if quiet { "SET SESSION sql_log_bin = 0;\n" } else { "" };
        // What the source took once, the target takes as well: a default of 0000-00-00.
        target.batch("take what the source has", &format!("{log}SET SESSION sql_mode = ''")).await?;
        source.batch("read it in the usual words", "SET SESSION sql_mode = ''").await?;
        Ok(Self { source, target, quiet })
    }

    /// What the rows need. Every statement can be repeated.
    pub(super) async fn before(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
        let choices = &cx.plan.choices;
        self.nothing_in_the_way(cx, state, of).await?;
        for (_, make) in catalog::schemas_there(&self.source, &choices.schemas).await? {
            self.target.batch("make a schema", &make).await?;
        }
        for sequence in &choices.sequences {
            let make = shown(&self.source, "SEQUENCE", sequence).await?;
            let make = make.replacen("CREATE SEQUENCE ", "CREATE SEQUENCE IF NOT EXISTS ", 1);
            self.target.batch("make a sequence", &format!("USE {};\n{make}", ident(&sequence.0))).await?;
        }
        for (n, table) in choices.tables.iter().enumerate() {
            cx.checkpoint()?;
            cx.progress(
                &of.step,
                &format!("making table {} of {}: {}.{}", n + 1, choices.tables.len(), table.0, table.1),
            );
            let make = Definition::read(&shown(&self.source, "TABLE", table).await?).repeatable();
            self.target.batch("make a table", &format!("USE {};\n{make}", ident(&table.0))).await?;
        }
        Ok(())
    }

    async fn nothing_in_the_way(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
        if remembered::<bool>(state, "replicate", "copying").is_some() {
            return Ok(());
        }
        let (target, schemas) = (&self.target, &cx.plan.choices.schemas);
        let there = catalog::tables(target, schemas).await?;
        if let Some((schema, table)) = there.first() {
            let message =
                format!("{} has tables already, such as {schema}.{table} ({} of them)", target.system(), there.len());
            return Err(StepError::told(FailureKind::Refused, message, Some("drop its schemas if nobody needs them")));
        }
        let empty = catalog::schemas_there(target, schemas).await?;
        cx.note(of, json!({ "copying": true, "empty_schemas": empty }), Durability::Synced)
    }

    /// Keys, then foreign keys, then programs; what is there already is left as it is.
    pub(super) async fn after(&self, cx: &Context, of: &Move) -> Outcome<()> {
        let tables = &cx.plan.choices.tables;
        let mut foreign = Vec::new();
        for (n, table) in tables.iter().enumerate() {
            cx.checkpoint()?;
            cx.progress(
                &of.step,
                &format!("making the keys of table {} of {}: {}.{}", n + 1, tables.len(), table.0, table.1),
            );
            let wanted = Definition::read(&shown(&self.source, "TABLE", table).await?);
            let there = Definition::read(&shown(&self.target, "TABLE", table).await?);
            for sql in wanted.add_keys(&there, table) {
                self.target.batch("make secondary keys", &sql).await?;
            }
            foreign.extend(wanted.add_foreign(&there, table).map(|sql| format!("USE {};\n{sql}", ident(&table.0))));
        }
        for sql in foreign {
            cx.checkpoint()?;
            // The source has looked at these rows already.
            let sql = format!("SET SESSION foreign_key_checks = 0;\n{sql}");
            self.target.batch("make foreign keys", &sql).await?;
        }
        self.programs(cx, of).await
    }

    async fn programs(&self, cx: &Context, of: &Move) -> Outcome<()> {
        cx.progress(&of.step, "making routines, views and events");
        for kind in [Kind::Function, Kind::Procedure, Kind::View, Kind::Event] {
            let all = programs::read(&self.source, kind, &cx.plan.choices.schemas).await?;
            programs::make_all(&self.target, &all, self.quiet).await?;
        }
        // Tried now: at the switch it would be too late to mend them.
        for trigger in self.triggers(cx).await? {
            trigger.make(&self.target, self.quiet).await?;
            self.target.batch("take the trigger away again", &trigger.dropped()).await?;
        }
        Ok(())
    }

    /// The triggers of the source.
    pub(super) async fn triggers(&self, cx: &Context) -> Outcome<Vec<Program>> {
        Ok(programs::read(&self.source, Kind::Trigger, &cx.plan.choices.schemas).await?)
    }

    /// Statistics, as a plan of a query wants them.
    pub(super) async fn analyze(&self, cx: &Context) -> Outcome<()> {
        for (schema, table) in &cx.plan.choices.tables {
            let sql = format!("ANALYZE NO_WRITE_TO_BINLOG TABLE {}.{}", ident(schema), ident(table));
            self.target.batch("gather statistics", &sql).await?;
        }
        Ok(())
    }
}

/// Makes triggers on a server, in a session of its own.
pub(super) async fn make_triggers(cx: &Context, side: &str, triggers: &[Program]) -> Outcome<()> {
    if triggers.is_empty() {
        return Ok(());
    }
    let session = cx.world.mysql(side)?.connect(Access::ReadWrite).await?;
    Ok(programs::make_all(&session, triggers, common::choices(&cx.plan, side).superuser).await?)
}

async fn shown(session: &Session, what: &str, (schema, name): &(String, String)) -> Result<String> {
    let sql = format!("SHOW CREATE {what} {}.{}", ident(schema), ident(name));
    let rows = session.rows("read how it is made", &sql).await?;
    let made = rows.into_iter().next().and_then(|row| row.into_iter().nth(1).flatten());
    made.ok_or_else(|| catalog::incomplete(session, "read how it is made"))
}
