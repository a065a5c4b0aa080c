//! Compares the rows of two MySQL or MariaDB servers (see [`crate::systems::comparison`]).
//!
//! A table with a key is walked in ranges of it, a few thousand rows at a time, so that no statement lasts long: a range
//! with the same number of rows and the same checksum is equal. A table without a key, or with one that can't be walked alike on
//! both sides, is read whole, in buckets. Where something differs, the keys whose rows differ are looked for, and each is
//! settled. InnoDB shows no version of a row: a difference is proved when several rounds in a row say the same.

mod barrier;
mod pair;
mod rows;
mod scan;
mod sequences;
mod tables;
mod text;

use async_trait::async_trait;
pub use barrier::{Following, PositionBarrier};

use super::Database;
use crate::clock;
use crate::systems::Result;
use crate::systems::comparison::{
    Barrier, Bench, CompareOptions, Comparison, Listener, Side, TableResult, TableStatus, settle, status, work,
};
use pair::{Pair, open};
use tables::{Table, Tables};

/// Compares two servers. Its sessions only read. The barrier tells when what was written has arrived.
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
    drop(pair);
    let bench = Workbench { source, target, options, barrier };
    finished.extend(work(&bench, found, options.workers, listener).await?);
    finished.sort_by(|one, other| (&one.schema, &one.table).cmp(&(&other.schema, &other.table)));
    Ok(Comparison { tables: finished, sequences, skipped, seconds: started.elapsed().as_secs_f64() })
}

struct Workbench<'a> {
    source: &'a Database,
    target: &'a Database,
    options: &'a CompareOptions,
    barrier: &'a dyn Barrier,
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
        let sql = text::Sql { table, mode: self.options.mode };
        let writer = self.options.writer;
        let scanned = scan::scan(pair, &sql, writer, self.options.max_keys).await?;
        let mut result = TableResult::new(&table.schema, &table.name, TableStatus::Equal);
        (result.rows_source, result.rows_target) = (scanned.rows_source, scanned.rows_target);
        if scanned.suspects.keys.is_empty() && !scanned.suspects.more {
            return Ok(result);
        }
        result.settled = scanned.suspects.keys.len() as u64;
        let database = if writer == Side::Source { self.source } else { self.target };
        let sampler = open(database, self.options).await?;
        let rows = rows::TableRows { pair, sampler: &sampler, sql: &sql, writer };
        let settled = settle(&rows, self.barrier, self.options.rounds, scanned.suspects.keys).await?;
        result.status = status(&rows, settled, scanned.suspects.more).await?;
        Ok(result)
    }
}
