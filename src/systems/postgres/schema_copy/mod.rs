//! Carries the schema of one database to another: dumped by `pg_dump`, run statement by statement, each exactly once.
//!
//! [`dump`] gives a [`SchemaScript`], which can be kept in a plan. [`apply()`] runs one [`Stage`] of it; what was done
//! stands in the target in `pointsman.applied`, written in the transaction that did it, so that a run that was killed
//! anywhere goes on where it was. [`undo()`] drops what was made, and nothing else. [`drift()`] finds what has become
//! different between both sides since.

mod apply;
mod classify;
mod drift;
mod ledger;
mod pg_dump;
mod roles;
mod split;
mod undo;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use apply::{Applied, ApplyOptions, IndexBuild, Progress, apply};
pub use drift::{Difference, DriftOptions, drift};
pub use pg_dump::dumper;
pub use roles::check_roles;
pub use undo::{Undone, undo, undo_statements};

use super::{Access, Database, Session};
use crate::systems::Result;
use classify::{Fate, IdentityIndexes};

/// What is dumped, and with what.
#[derive(Clone, Debug, Default)]
pub struct DumpOptions {
    /// Schemas to carry; every one of the application's when empty.
    pub schemas: Vec<String>,
    /// The `pg_dump` to use; `POINTSMAN_PG_DUMP`, that of `PATH`, or the newest of this machine when absent.
    pub pg_dump: Option<String>,
}

/// When a statement is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before the initial copy: tables, and what replication finds rows by.
    BeforeCopy,
    /// After it: secondary indexes, unique and foreign keys, triggers, rules; much faster with the rows there, and
    /// triggers and foreign keys would get in the way of the copy.
    AfterCopy,
}

/// Whether a statement can be run beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// It builds an index and needs no other: several at a time, before the ordered ones of its stage.
    Parallel,
    /// In the order of the dump.
    Ordered,
}

/// One statement of a schema. A grant by another role than the owner is three, run as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Statement {
    /// Its text, without the last `;`.
    pub sql: String,
    /// When it is run.
    pub stage: Stage,
    /// Whether it can be run beside others.
    pub lane: Lane,
}

impl Statement {
    const fn ordered(sql: String, stage: Stage) -> Self {
        Self { sql, stage, lane: Lane::Ordered }
    }

    /// Its first line, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let line = self.sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut short: String = line.chars().take(120).collect();
        if short.len() < line.len() {
            short.push('…');
        }
        short
    }
}

/// A schema as statements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SchemaScript {
    /// What `pg_dump` calls pre-data: types, functions, tables, grants.
    pub pre_data: Vec<Statement>,
    /// What `pg_dump` calls post-data: indexes, constraints, triggers.
    pub post_data: Vec<Statement>,
    /// What is not carried, in words: a person has to know.
    pub left_out: Vec<String>,
}

impl SchemaScript {
    /// The statements of a stage, in order.
    pub fn stage(&self, stage: Stage) -> impl Iterator<Item = &Statement> {
        self.pre_data.iter().chain(&self.post_data).filter(move |statement| statement.stage == stage)
    }

    /// Each statement with the key that says in `pointsman.applied` that it was done.
    pub(super) fn keyed(&self, stage: Stage) -> Vec<(String, &Statement)> {
        let mut seen = std::collections::HashMap::<&str, u32>::new();
        let mut keyed = Vec::new();
        for statement in self.stage(stage) {
            let count = seen.entry(&statement.sql).or_default();
            let key = Sha256::digest(format!("{count} {}", statement.sql));
            *count += 1;
            keyed.push((hex::encode(key), statement));
        }
        keyed
    }

    /// Every role that its statements name.
    #[must_use]
    pub fn roles(&self) -> Vec<String> {
        let all = self.pre_data.iter().chain(&self.post_data);
        let mut roles: Vec<String> = all.flat_map(|statement| classify::roles_named(&statement.sql)).collect();
        roles.sort();
        roles.dedup();
        roles
    }
}

/// Dumps the schema of a database. Both halves are of the same snapshot.
pub async fn dump(source: &Database, options: &DumpOptions) -> Result<SchemaScript> {
    let session = source.connect(Access::ReadOnly).await?;
    let version: i32 =
        session.value("read its version", "SELECT current_setting('server_version_num')::int", &[]).await?;
    let program = pg_dump::find(source, options.pg_dump.as_deref(), version.unsigned_abs() / 10_000).await?;
    session.batch("open a snapshot", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let snapshot: String = session.value("export a snapshot", "SELECT pg_export_snapshot()", &[]).await?;
    let others = others(&session, &options.schemas).await?;
    let pre_data = program.run(source, "pre-data", &snapshot, &others).await?;
    let post_data = program.run(source, "post-data", &snapshot, &others).await?;
    let identities = identity_indexes(&session).await?;
    let mut script = SchemaScript { pre_data: extension_schemas(&session, &others).await?, ..SchemaScript::default() };
    for sql in clean(&pre_data, &mut script.left_out) {
        script.pre_data.push(Statement::ordered(sql, Stage::BeforeCopy));
    }
    for sql in clean(&post_data, &mut script.left_out) {
        script.post_data.push(classify::post_data(sql, &identities));
    }
    script.post_data.extend(refreshes(&session, &options.schemas).await?);
    Ok(script)
}

fn clean(text: &str, left_out: &mut Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    for statement in split::statements(text) {
        match classify::fate(&statement) {
            Fate::Run(sql) => kept.push(sql),
            Fate::Drop => {}
            Fate::LeftOut(why) => left_out.push(why),
        }
    }
    classify::join_grants(kept)
}

async fn identity_indexes(session: &Session) -> Result<IdentityIndexes> {
    let sql = "SELECT n.nspname::text, c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
               JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.indisprimary OR i.indisreplident";
    let rows = session.rows("read the replica identities", sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Schemas that are not carried. Naming these, instead of those that are, keeps what stands in no schema: extensions,
/// foreign servers, casts.
async fn others(session: &Session, schemas: &[String]) -> Result<Vec<String>> {
    let sql = "SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' \
               AND nspname <> 'pointsman' AND nspname::text <> ALL($1) AND cardinality($1) > 0 ORDER BY 1";
    let rows = session.rows("read its schemas", sql, &[&schemas]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Extensions may stand in schemas that are not carried.
async fn extension_schemas(session: &Session, others: &[String]) -> Result<Vec<Statement>> {
    let sql = "SELECT DISTINCT format('CREATE SCHEMA IF NOT EXISTS %I', n.nspname) FROM pg_extension e \
               JOIN pg_namespace n ON n.oid = e.extnamespace WHERE n.nspname::text = ANY($1) ORDER BY 1";
    let rows = session.rows("read the extensions", sql, &[&others]).await?;
    Ok(rows.iter().map(|row| Statement::ordered(row.get(0), Stage::BeforeCopy)).collect())
}

/// Materialized views come over empty, and an empty one can't be read.
async fn refreshes(session: &Session, schemas: &[String]) -> Result<Vec<Statement>> {
    let sql = "SELECT format('REFRESH MATERIALIZED VIEW %I.%I', n.nspname, c.relname) FROM pg_class c \
               JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' AND c.relispopulated \
               AND n.nspname <> 'pointsman' AND (n.nspname::text = ANY($1) OR cardinality($1) = 0) ORDER BY c.oid";
    let rows = session.rows("read the materialized views", sql, &[&schemas]).await?;
    Ok(rows.iter().map(|row| Statement::ordered(row.get(0), Stage::AfterCopy)).collect())
}
