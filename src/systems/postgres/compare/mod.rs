//! Compares the rows of two PostgreSQL databases (see [`crate::systems::comparison`]).
//!
//! Each table is read once on each side, in buckets: rows whose keys hash alike. Buckets with the same number of rows and
//! the same checksums are equal. In the others, the keys whose rows differ are looked for, and each is settled.

mod barrier;
mod pair;
mod rows;
mod scan;
mod sequences;
mod tables;
mod text;

use async_trait::async_trait;
pub use barrier::PositionBarrier;

use super::Database;
use crate::clock;
use crate::systems::Result;
pub use crate::systems::comparison::{
    Barrier, CompareOptions, Comparison, Listener, NothingWrites, Progress, RowDifferences, SequenceResult, Side,
    TableResult, TableStatus,
};
use crate::systems::comparison::{Bench, settle, status, work};
use pair::{Pair, open};
use tables::{Table, Tables};

/// Compares two databases. Its sessions only read. The barrier tells when what was written has arrived.
pub async fn compare(
    source: &Database,
    target: &Database,
    options: &CompareOptions,
    barrier: &dyn Barrier,
    listener: Listener<'_>,
) -> Result<Comparison> {
    let started = clock::monotonic();
    let pair = Pair::open(source, target, options).await?;
    let Tables { found, mut finished, skipped } = tables::read(&pair, options).await?;
    let sequences = sequences::compare(&pair, options).await?;
    let bench = Workbench { source, target, options, barrier, recode: pair.recode };
    drop(pair);
    finished.extend(work(&bench, found, options.workers, listener).await?);
    finished.sort_by(|one, other| (&one.schema, &one.table).cmp(&(&other.schema, &other.table)));
    Ok(Comparison { tables: finished, sequences, skipped, seconds: started.elapsed().as_secs_f64() })
}

struct Workbench<'a> {
    source: &'a Database,
    target: &'a Database,
    options: &'a CompareOptions,
    barrier: &'a dyn Barrier,
    recode: bool,
}

#[async_trait]
impl Bench for Workbench<'_> {
    type Table = Table;
    type Pair = Pair;

    async fn open(&self) -> Result<Pair> {
        Pair::open(self.source, self.target, self.options).await
    }

    fn is_lost(&self, pair: &Pair) -> bool {
        pair.source.is_closed() || pair.target.is_closed()
    }

    fn name<'t>(&self, table: &'t Table) -> (&'t str, &'t str) {
        (&table.schema, &table.name)
    }

    fn estimate(&self, table: &Table) -> u64 {
        table.estimate
    }

    async fn compare(&self, pair: &Pair, table: &Table) -> Result<TableResult> {
        let sql = text::Sql::new(table, self.options.mode, self.recode);
        let scanned = scan::buckets(pair, &sql).await?;
        let mut result = table.result(TableStatus::Equal);
        (result.rows_source, result.rows_target) = (scanned.rows_source, scanned.rows_target);
        if scanned.differing.is_empty() {
            return Ok(result);
        }
        let suspects = scan::suspects(pair, &sql, &scanned, self.options.max_keys).await?;
        result.settled = suspects.keys.len() as u64;
        let writer = self.options.writer;
        let database = if writer == Side::Source { self.source } else { self.target };
        let sampler = open(database, self.options).await?;
        let rows = rows::TableRows { pair, sampler: &sampler, sql: &sql, writer };
        let settled = settle(&rows, self.barrier, self.options.rounds, suspects.keys).await?;
        result.status = status(&rows, settled, suspects.more).await?;
        Ok(result)
    }
}
