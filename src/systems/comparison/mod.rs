//! Comparing two databases, of whatever kind they are, while one of them is written and the other follows it: what a
//! comparison says (kept in the journal and shown in the report), and what every kind of database does alike.
//!
//! A kind of database scans its tables on both sides; rows that differed when they were read are *suspects* (`suspects.rs`).
//! Each is settled (`settle.rs`): its row is read on the side that is written, a barrier goes through replication, it is
//! read on the other side, and again on the first. What was there all the while that the barrier passed must have arrived. What changes faster than that is
//! tried again, and what can't be settled is *undecided*, which is not a pass.
//!
//! What "equal" says: every write that was committed on the written side before its scan began is on the other
//! side, and nothing else is.

mod describe;
mod settle;
mod suspects;
mod work;

use std::time::Duration;

use async_trait::async_trait;
pub use describe::status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use settle::{Found, Rows, Seat, Seen, Settled, View, settle};
pub use suspects::{One, Suspects, suspects};
pub use work::{Bench, work};

use crate::runbook::model::Compare;
use crate::systems::Result;
pub use crate::systems::pair::Side;

/// The text of each key column of a row; of a row without a key its digest.
pub type Key = Vec<String>;

/// How both sides are compared.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// How closely.
    pub mode: Compare,
    /// The side that applications write; the other follows it.
    pub writer: Side,
    /// Schemas; every one of the application's when empty.
    pub schemas: Vec<String>,
    /// Tables to leave out, `schema.table`.
    pub except: Vec<String>,
    /// Tables compared at the same time.
    pub workers: usize,
    /// A statement that takes longer is given up, and its table with it.
    pub statement_timeout: Duration,
    /// A key is tried this often before it is undecided.
    pub rounds: u32,
    /// Rows of a table that are settled one by one, at most; more differences than that are counted as undecided.
    pub max_keys: usize,
}

impl CompareOptions {
    /// Checksums of everything, written on `writer`.
    #[must_use]
    pub const fn new(writer: Side) -> Self {
        Self {
            mode: Compare::Checksums,
            writer,
            schemas: Vec::new(),
            except: Vec::new(),
            workers: 2,
            statement_timeout: Duration::from_secs(6 * 3600),
            rounds: 12,
            max_keys: 50_000,
        }
    }
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Comparison {
    /// Every table of either side, by name.
    pub tables: Vec<TableResult>,
    /// Every sequence of either side, by name.
    pub sequences: Vec<SequenceResult>,
    /// Tables that were not compared, and why.
    pub skipped: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl Comparison {
    /// Whether every table was found equal. Sequences are judged by the caller: they are behind until they are
    /// carried over.
    #[must_use]
    pub fn equal(&self) -> bool {
        self.tables.iter().all(|table| matches!(table.status, TableStatus::Equal))
    }

    /// Tables that are proved to differ.
    pub fn different(&self) -> impl Iterator<Item = &TableResult> {
        self.tables.iter().filter(|table| matches!(table.status, TableStatus::Different(_)))
    }
}

/// What was found about one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TableResult {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// Rows that the source had when it was read.
    pub rows_source: u64,
    /// Rows that the target had when it was read.
    pub rows_target: u64,
    /// Rows that differed at first, because of writes in between, and were settled one by one.
    pub settled: u64,
    /// The finding.
    pub status: TableStatus,
    /// How long it took.
    pub seconds: f64,
}

impl TableResult {
    /// A finding about a table, without its rows and its time.
    #[must_use]
    pub fn new(schema: &str, table: &str, status: TableStatus) -> Self {
        Self {
            schema: schema.to_owned(),
            table: table.to_owned(),
            rows_source: 0,
            rows_target: 0,
            settled: 0,
            status,
            seconds: 0.0,
        }
    }
}

/// The finding about a table. Only `Equal` is a pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TableStatus {
    /// All rows are the same.
    Equal,
    /// Rows are proved to differ.
    Different(RowDifferences),
    /// Some rows changed faster than they could be compared, and no row is proved to differ: not verified.
    Undecided {
        /// How many.
        keys: u64,
        /// Some of them, in words.
        sample: Vec<String>,
    },
    /// The table can't be compared: it is missing on a side, or so are columns of it.
    Structure(String),
    /// It could not be read: not verified.
    Failed(String),
}

/// Rows that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RowDifferences {
    /// Rows of the source that the target lacks.
    pub missing_on_target: u64,
    /// Rows of the target that the source lacks.
    pub extra_on_target: u64,
    /// Rows that both have, with other values.
    pub changed: u64,
    /// Rows that could not be settled besides.
    pub undecided: u64,
    /// Up to 20 of them: the key, and the names of the columns that differ; never their values.
    pub sample: Vec<String>,
}

/// One sequence on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SequenceResult {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub sequence: String,
    /// What the source gives next; absent when it has no such sequence, or we may not read it.
    pub next_source: Option<i64>,
    /// What the target gives next.
    pub next_target: Option<i64>,
    /// Whether the side that follows is as far as the written side, or farther. It is behind until the sequences are
    /// carried over.
    pub carried: bool,
}

/// How far a comparison is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// The table that was begun or ended last.
    pub table: String,
    /// Tables done.
    pub tables_done: usize,
    /// All tables.
    pub tables: usize,
    /// Rows compared on the written side.
    pub rows_done: u64,
    /// All rows, as the server's statistics guess.
    pub rows_estimated: u64,
}

/// Who is told how far it is.
pub type Listener<'a> = &'a (dyn Fn(&Progress) + Send + Sync);

/// Waits until all that was committed on the written side before the call is visible on the other.
#[async_trait]
pub trait Barrier: Send + Sync {
    /// Passes, or says why not. Must have an end of its own.
    async fn pass(&self) -> Result<()>;
}

/// Two databases that nothing writes.
#[derive(Clone, Copy, Debug)]
pub struct NothingWrites;

#[async_trait]
impl Barrier for NothingWrites {
    async fn pass(&self) -> Result<()> {
        Ok(())
    }
}
