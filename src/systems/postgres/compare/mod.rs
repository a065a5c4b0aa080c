//! Compares the rows of two databases, correctly while one of them is written and the other follows it.
//!
//! Each table is read once on each side, in buckets: rows whose keys hash alike. Buckets with the same number of rows and
//! the same checksums are equal. In the others, the keys whose rows differ are looked for, and each is settled: its row is read
//! on the side that is written, a barrier goes through replication, it is read on the other side, and again on the first.
//! A row version that stayed while the barrier passed must have arrived. What changes faster than that is
//! tried again, and what can't be settled is *undecided*, which is not a pass.
//!
//! What "equal" says: every write that was committed on the written side before its scan began is on the other
//! side, and nothing else is.

mod barrier;
mod describe;
mod pair;
mod scan;
mod sequences;
mod settle;
mod tables;
mod text;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

pub use crate::systems::comparison::{
    Barrier, Comparison, Listener, NothingWrites, Progress, RowDifferences, SequenceResult, Side, TableResult,
    TableStatus,
};
pub use barrier::PositionBarrier;
use futures_util::future::join_all;

use super::Database;
use crate::clock;
use crate::runbook::model::Compare;
use crate::systems::Result;
use pair::{Pair, open};
use tables::{Table, Tables};

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
    let tables = tables::read(&pair, options).await?;
    let sequences = sequences::compare(&pair, options).await?;
    let recode = pair.recode;
    drop(pair);
    let progress = Progress {
        table: String::new(),
        tables_done: 0,
        tables: tables.found.len(),
        rows_done: 0,
        rows_estimated: tables.found.iter().map(|table| table.estimate).sum(),
    };
    let Tables { found, mut finished, skipped } = tables;
    let work = Work {
        source,
        target,
        options,
        barrier,
        listener,
        recode,
        queue: Mutex::new(found.into()),
        results: Mutex::new(Vec::new()),
        progress: Mutex::new(progress),
    };
    join_all((0..options.workers.max(1)).map(|_| work.worker())).await.into_iter().collect::<Result<Vec<()>>>()?;
    finished.extend(work.results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
    finished.sort_by(|one, other| (&one.schema, &one.table).cmp(&(&other.schema, &other.table)));
    Ok(Comparison { tables: finished, sequences, skipped, seconds: started.elapsed().as_secs_f64() })
}

struct Work<'a> {
    source: &'a Database,
    target: &'a Database,
    options: &'a CompareOptions,
    barrier: &'a dyn Barrier,
    listener: Listener<'a>,
    recode: bool,
    queue: Mutex<VecDeque<Table>>,
    results: Mutex<Vec<TableResult>>,
    progress: Mutex<Progress>,
}

impl Work<'_> {
    /// Takes one table after the other. A table that fails doesn't stop the others; a server that can't be reached does.
    async fn worker(&self) -> Result<()> {
        let mut pair = Pair::open(self.source, self.target, self.options).await?;
        while let Some(table) = self.next_table() {
            self.tell(|progress| progress.table.clone_from(&table.shown));
            let started = clock::monotonic();
            let outcome = self.table(&pair, &table).await;
            let mut result = outcome.unwrap_or_else(|error| table.result(TableStatus::Failed(error.to_string())));
            result.seconds = started.elapsed().as_secs_f64();
            let rows = result.rows_source.max(result.rows_target);
            lock(&self.results).push(result);
            self.tell(|progress| {
                progress.tables_done += 1;
                progress.rows_done += rows;
            });
            if pair.source.is_closed() || pair.target.is_closed() {
                pair = Pair::open(self.source, self.target, self.options).await?;
            }
        }
        Ok(())
    }

    fn next_table(&self) -> Option<Table> {
        lock(&self.queue).pop_front()
    }

    async fn table(&self, pair: &Pair, table: &Table) -> Result<TableResult> {
        let sql = text::Sql::new(table, self.options.mode, self.recode);
        let scanned = scan::buckets(pair, &sql).await?;
        let mut result = table.result(TableStatus::Equal);
        (result.rows_source, result.rows_target) = (scanned.rows_source, scanned.rows_target);
        if scanned.differing.is_empty() {
            return Ok(result);
        }
        let suspects = scan::suspects(pair, &sql, &scanned, self.options.max_keys).await?;
        result.settled = suspects.keys.len() as u64;
        let database = if self.options.writer == Side::Source { self.source } else { self.target };
        let sampler = open(database, self.options).await?;
        let settled = settle::settle(
            &settle::Settling {
                writer: pair.side(self.options.writer),
                sampler: &sampler,
                reader: pair.side(self.options.writer.other()),
                side: self.options.writer,
                sql: &sql,
                barrier: self.barrier,
                rounds: self.options.rounds,
            },
            suspects.keys,
        )
        .await?;
        result.status = describe::status(pair, &sql, self.options.writer, settled, suspects.more).await?;
        Ok(result)
    }

    fn tell(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = lock(&self.progress);
        change(&mut progress);
        (self.listener)(&progress);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
