//! Several tables at a time: each worker has its own sessions and takes one table after the other.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::{Listener, Progress, TableResult, TableStatus};
use crate::clock;
use crate::systems::Result;

/// Where a kind of database compares its tables.
#[async_trait]
pub trait Bench: Sync {
    /// A table of both sides.
    type Table: Send + Sync;
    /// The sessions of a worker.
    type Pair: Send + Sync;

    /// Opens a worker's sessions.
    async fn open(&self) -> Result<Self::Pair>;
    /// Whether one of them was lost.
    fn is_lost(&self, pair: &Self::Pair) -> bool;
    /// `schema` and name of a table.
    fn name<'t>(&self, table: &'t Self::Table) -> (&'t str, &'t str);
    /// How many rows it has, as the server's statistics guess.
    fn estimate(&self, table: &Self::Table) -> u64;
    /// Compares one table.
    async fn compare(&self, pair: &Self::Pair, table: &Self::Table) -> Result<TableResult>;
}

/// Compares all of them with so many workers. A table that fails doesn't stop the others; a server that can't be reached
/// does.
pub async fn work<B: Bench>(
    bench: &B,
    tables: Vec<B::Table>,
    workers: usize,
    listener: Listener<'_>,
) -> Result<Vec<TableResult>> {
    let progress = Progress {
        table: String::new(),
        tables_done: 0,
        tables: tables.len(),
        rows_done: 0,
        rows_estimated: tables.iter().map(|table| bench.estimate(table)).sum(),
    };
    let shop = Shop {
        bench,
        listener,
        queue: Mutex::new(tables.into()),
        results: Mutex::new(Vec::new()),
        progress: Mutex::new(progress),
    };
    join_all((0..workers.max(1)).map(|_| shop.worker())).await.into_iter().collect::<Result<Vec<()>>>()?;
    Ok(shop.results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

struct Shop<'a, B: Bench> {
    bench: &'a B,
    listener: Listener<'a>,
    queue: Mutex<VecDeque<B::Table>>,
    results: Mutex<Vec<TableResult>>,
    progress: Mutex<Progress>,
}

impl<B: Bench> Shop<'_, B> {
    async fn worker(&self) -> Result<()> {
        let mut pair = self.bench.open().await?;
        while let Some(table) = self.next_table() {
            let (schema, name) = self.bench.name(&table);
            self.tell(|progress| progress.table = format!("{schema}.{name}"));
            let started = clock::monotonic();
            let outcome = self.bench.compare(&pair, &table).await;
            let failed = |error: crate::systems::DriverError| TableStatus::Failed(error.to_string());
            let mut result = outcome.unwrap_or_else(|error| TableResult::new(schema, name, failed(error)));
            result.seconds = started.elapsed().as_secs_f64();
            let rows = result.rows_source.max(result.rows_target);
            lock(&self.results).push(result);
            self.tell(|progress| {
                progress.tables_done += 1;
                progress.rows_done += rows;
            });
            if self.bench.is_lost(&pair) {
                pair = self.bench.open().await?;
            }
        }
        Ok(())
    }

    fn next_table(&self) -> Option<B::Table> {
        lock(&self.queue).pop_front()
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
