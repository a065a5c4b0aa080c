//! What a comparison says; kept in the journal and shown in the report.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SequenceResult;

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
