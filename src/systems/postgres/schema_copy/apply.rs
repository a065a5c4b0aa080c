//! Runs the statements of a stage on the target, each exactly once whatever dies.
//!
//! A statement and the note that it was done are one transaction, under a lock: a session that a killed run left behind
//! on the server is waited for, and what it still got done is not done again.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::{join_all, select};
use serde::Serialize;

use super::ledger::{self, LOCK};
use super::{Lane, SchemaScript, Stage, Statement};
use crate::systems::postgres::{Access, Database, Session, literal};
use crate::systems::{DriverError, Result};

/// Statements that share a transaction: enough to save time, few enough for the server's table of locks.
const GROUP: usize = 50;
/// Time from one look at the index builds to the next.
const LOOK: Duration = Duration::from_millis(500);
/// A statement that lost a deadlock against the application or replication is tried this often.
const TRIES: u32 = 5;
/// The settings that `pg_dump` would make, and an end for the statements of a client that is gone.
const SETTINGS: &str = "SET search_path = ''; SET check_function_bodies = false; SET xmloption = content; \
    SET row_security = off; SET standard_conforming_strings = on; SET client_min_messages = error; SET lock_timeout = 0; \
    SET client_connection_check_interval = '2s'";

/// How a stage is run.
#[derive(Clone, Debug)]
pub struct ApplyOptions {
    /// Indexes built at the same time.
    pub workers: usize,
    /// Run at the beginning of every transaction; when it fails nothing is done. For the check of the lease.
    pub guard: Option<String>,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self { workers: 2, guard: None }
    }
}

/// How far a stage is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// Statements done, with those of earlier runs.
    pub done: usize,
    /// All of the stage.
    pub total: usize,
    /// What was begun last.
    pub current: String,
    /// The index builds that run.
    pub builds: Vec<IndexBuild>,
}

/// An index that is being built.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IndexBuild {
    /// The table.
    pub table: String,
    /// The server's word for what it does.
    pub phase: String,
    /// Share of the phase that is done, 0 to 1, when the server knows.
    pub share: Option<f64>,
}

/// What a stage took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Applied {
    /// Statements run now.
    pub run: usize,
    /// Statements that an earlier run had done.
    pub already: usize,
}

/// Who is told how far it is.
pub type Listener<'a> = &'a (dyn Fn(&Progress) + Send + Sync);

/// Runs the statements of a stage that were not run yet. Can be repeated, and dropped at any moment.
pub async fn apply(
    target: &Database,
    script: &SchemaScript,
    stage: Stage,
    options: &ApplyOptions,
    listener: Listener<'_>,
) -> Result<Applied> {
    let session = open(target).await?;
    ledger::setup(&session, &guard(options)).await?;
    let keyed = script.keyed(stage);
    let done = ledger::done(&session).await?;
    let (total, already) = (keyed.len(), keyed.iter().filter(|(key, _)| done.contains(key)).count());
    let todo: Vec<Keyed<'_>> = keyed.into_iter().filter(|(key, _)| !done.contains(key)).collect();
    let (parallel, ordered): (Vec<_>, Vec<_>) =
        todo.into_iter().partition(|(_, statement)| statement.lane == Lane::Parallel);
    let run = Run { target, options, listener, state: Mutex::new(State { done: already, total, ..State::default() }) };
    run.side_by_side(parallel).await?;
    for group in ordered.chunks(GROUP) {
        run.group(&session, group).await?;
    }
    Ok(Applied { run: total - already, already })
}

/// A session with the settings of a dump.
async fn open(target: &Database) -> Result<Session> {
    let session = target.connect(Access::ReadWrite).await?;
    session.batch("prepare a session for its schema", SETTINGS).await?;
    Ok(session)
}

fn guard(options: &ApplyOptions) -> String {
    options.guard.as_ref().map(|sql| format!("{sql};\n")).unwrap_or_default()
}

type Keyed<'s> = (String, &'s Statement);

#[derive(Default)]
struct State {
    done: usize,
    total: usize,
    current: String,
    failed: Option<DriverError>,
}

struct Run<'a> {
    target: &'a Database,
    options: &'a ApplyOptions,
    listener: Listener<'a>,
    state: Mutex<State>,
}

impl Run<'_> {
    /// Builds indexes on several sessions and reports how far each is.
    async fn side_by_side(&self, statements: Vec<Keyed<'_>>) -> Result<()> {
        if statements.is_empty() {
            return Ok(());
        }
        let queue = Mutex::new(statements.into_iter());
        let workers = (0..self.options.workers.max(1)).map(|_| self.work(&queue));
        let watching = std::pin::pin!(self.watch());
        let working = std::pin::pin!(join_all(workers));
        select(working, watching).await;
        self.with(|state| state.failed.take()).map_or(Ok(()), Err)
    }

    async fn work(&self, queue: &Mutex<std::vec::IntoIter<Keyed<'_>>>) {
        let session = match open(self.target).await {
            Ok(session) => session,
            Err(error) => return self.fail(error),
        };
        while self.with(|state| state.failed.is_none()) {
            let Some(next) = lock(queue).next() else { return };
            self.begin(next.1);
            if let Err(error) = self.once(&session, std::slice::from_ref(&next)).await {
                return self.fail(error);
            }
        }
    }

    /// Never ends by itself; a look that fails is only a look less.
    async fn watch(&self) {
        let Ok(session) = self.target.connect(Access::ReadOnly).await else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LOOK).await;
            if let Ok(builds) = builds(&session).await {
                self.tell(builds);
            }
        }
    }

    /// Several statements in one transaction; one by one when that fails, so that the error names the statement.
    async fn group(&self, session: &Session, group: &[Keyed<'_>]) -> Result<()> {
        let Some((_, first)) = group.first() else { return Ok(()) };
        self.begin(first);
        let together = self.once(session, group).await;
        if together.is_ok() || group.len() == 1 || session.is_closed() {
            return together;
        }
        for one in group {
            self.begin(one.1);
            self.once(session, std::slice::from_ref(one)).await?;
        }
        Ok(())
    }

    /// Runs the statements that were not run, and notes them, in one transaction. Deadlocks are tried again.
    async fn once(&self, session: &Session, group: &[Keyed<'_>]) -> Result<()> {
        let mut tries = 1;
        let outcome = loop {
            let outcome = self.transaction(session, group).await;
            let Err(error) = &outcome else { break outcome };
            let again = ["40P01", "55P03", "40001"].iter().any(|code| error.is_code(code));
            if session.is_closed() {
                break outcome;
            }
            session.batch("roll back", "ROLLBACK").await?;
            if !again || tries == TRIES {
                break outcome;
            }
            tokio::time::sleep(Duration::from_millis(200) * tries).await;
            tries += 1;
        };
        outcome.map_err(|error| explain(error, group))?;
        self.with(|state| state.done += group.len());
        self.tell(Vec::new());
        Ok(())
    }

    async fn transaction(&self, session: &Session, group: &[Keyed<'_>]) -> Result<()> {
        let Some((first, statement)) = group.first() else { return Ok(()) };
        let lane = if statement.lane == Lane::Parallel { lock_of(first) } else { LOCK };
        let keys: Vec<String> = group.iter().map(|(key, _)| literal(key)).collect();
        let begin = format!(
            "BEGIN; {}SELECT pg_advisory_xact_lock({lane}); SELECT hash FROM pointsman.applied WHERE hash IN ({})",
            guard(self.options),
            keys.join(", ")
        );
        let answers = session.batch("look what was done", &begin).await?;
        let noted: Vec<&str> = answers.last().into_iter().flatten().filter_map(|row| row.first()?.as_deref()).collect();
        let mut sql = String::new();
        for (key, statement) in group.iter().filter(|(key, _)| !noted.contains(&key.as_str())) {
            sql.push_str(&ledger::noted(key, &statement.sql));
        }
        if statement.lane == Lane::Ordered {
            sql.push_str(&ledger::note_created());
        }
        sql.push_str("COMMIT");
        session.batch("build its schema", &sql).await.map(|_| ())
    }

    fn begin(&self, statement: &Statement) {
        self.with(|state| state.current = statement.summary());
        self.tell(Vec::new());
    }

    fn fail(&self, error: DriverError) {
        self.with(|state| {
            state.failed.get_or_insert(error);
        });
    }

    fn tell(&self, builds: Vec<IndexBuild>) {
        let progress = self.with(|state| Progress {
            done: state.done,
            total: state.total,
            current: state.current.clone(),
            builds,
        });
        (self.listener)(&progress);
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut lock(&self.state))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// An advisory lock for one statement, from its key.
fn lock_of(key: &str) -> i64 {
    i64::from_str_radix(key.get(..15).unwrap_or_default(), 16).unwrap_or(LOCK)
}

fn explain(mut error: DriverError, group: &[Keyed<'_>]) -> DriverError {
    if let [(_, only)] = group {
        error.what = format!("build its schema with `{}`", only.summary());
    }
    if error.hint.is_none() {
        error.hint = Some("what was done is noted in pointsman.applied; a repetition goes on from here".to_owned());
    }
    error
}

async fn builds(session: &Session) -> Result<Vec<IndexBuild>> {
    let sql = "SELECT coalesce(relid::regclass::text, ''), phase, \
               CASE WHEN tuples_total > 0 THEN tuples_done::float8 / tuples_total \
                    WHEN blocks_total > 0 THEN blocks_done::float8 / blocks_total END \
               FROM pg_stat_progress_create_index WHERE datname = current_database() ORDER BY 1";
    let rows = session.rows("look at its index builds", sql, &[]).await?;
    let build = |row: &tokio_postgres::Row| IndexBuild { table: row.get(0), phase: row.get(1), share: row.get(2) };
    Ok(rows.iter().map(build).collect())
}
