//! The store in one SQLite file (write-ahead logging): readers never wait for the executor, nor it for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::{Actor, Durability, Entry, Event, JournalError, Lease, Result, RunRow, Spoken, Word};
use crate::clock;

/// A lease that was not renewed for this long may be taken, whoever held it.
pub const LEASE_TTL: Duration = Duration::from_secs(10);

/// Bytes that the entries of a window may take, several times over.
const ROOM: i64 = 1 << 20;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS runs (
        id TEXT PRIMARY KEY, runbook TEXT NOT NULL, environment TEXT, started TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS entries (
        run TEXT NOT NULL REFERENCES runs, seq INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (run, seq)) STRICT;
    CREATE TABLE IF NOT EXISTS leases (
        run TEXT PRIMARY KEY REFERENCES runs, epoch INTEGER NOT NULL, holder TEXT, renewed TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS words (
        id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs, at TEXT NOT NULL, body TEXT NOT NULL,
        who TEXT NOT NULL, why TEXT, heard INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE IF NOT EXISTS samples (
        run TEXT NOT NULL REFERENCES runs, key TEXT NOT NULL, at TEXT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (run, key)) STRICT;
    PRAGMA user_version = 1;";

/// All runs of one store.
pub struct Journal {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Journal {
    /// Opens the store, and makes it if it isn't there.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |reason: String| JournalError::Store { path: path.display().to_string(), reason };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        }
        let connection = Connection::open(path).map_err(|error| failed(error.to_string()))?;
        Self::prepare(connection, path)
    }

    /// A store that lives as long as this value, for tests and dry runs.
    pub fn in_memory() -> Result<Self> {
        let path = Path::new(":memory:");
        let failed =
            |error: rusqlite::Error| JournalError::Store { path: ":memory:".into(), reason: error.to_string() };
        Self::prepare(Connection::open_in_memory().map_err(failed)?, path)
    }

    fn prepare(connection: Connection, path: &Path) -> Result<Self> {
        let setup = || -> rusqlite::Result<()> {
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "full")?;
            let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            if version == 0 { connection.execute_batch(SCHEMA) } else { Ok(()) }
        };
        setup().map_err(|error| JournalError::Store { path: path.display().to_string(), reason: error.to_string() })?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a new run. The plan itself is the first entry.
    pub fn create(&self, id: &str, runbook: &str, environment: Option<&str>) -> Result<()> {
        let now = clock::now().to_string();
        let connection = self.lock();
        connection
            .execute("INSERT INTO runs VALUES (?, ?, ?, ?)", params![id, runbook, environment, now])
            .and_then(|_| connection.execute("INSERT INTO leases VALUES (?, 0, NULL, ?)", params![id, now]))
            .map_err(|error| self.failed(&error))?;
        Ok(())
    }

    /// Appends an entry under an epoch; refuses when the lease has moved on. The only way to change a run's history.
    pub fn append(&self, run: &str, epoch: u64, by: &Actor, event: Event, durability: Durability) -> Result<Entry> {
        let mut connection = self.lock();
        let level = if durability == Durability::Synced { "full" } else { "normal" };
        let transaction = || -> rusqlite::Result<std::result::Result<Entry, u64>> {
            connection.pragma_update(None, "synchronous", level)?;
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let lease: u64 = transaction
                .prepare_cached("SELECT epoch FROM leases WHERE run = ?")?
                .query_row([run], |row| row.get::<_, i64>(0))?
                .cast_unsigned();
            if lease != epoch {
                return Ok(Err(lease));
            }
            let seq: i64 = transaction
                .prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM entries WHERE run = ?")?
                .query_row([run], |row| row.get(0))?;
            let entry = Entry { seq: seq.cast_unsigned(), at: clock::now(), epoch, by: by.clone(), event };
            let body = to_text(&entry)?;
            transaction.prepare_cached("INSERT INTO entries VALUES (?, ?, ?)")?.execute(params![run, seq, body])?;
            transaction.commit()?;
            Ok(Ok(entry))
        };
        match transaction().map_err(|error| self.failed(&error))? {
            Ok(entry) => {
                #[cfg(debug_assertions)]
                super::halt::behind(&entry);
                Ok(entry)
            }
            Err(theirs) => Err(JournalError::Superseded { run: run.to_owned(), mine: epoch, theirs }),
        }
    }

    /// Makes room for the entries of a window, so that a disk that becomes full meanwhile can't stop it: pages in the
    /// file that are free, and a write-ahead log that is long enough and begins again at its start.
    pub fn reserve(&self) -> Result<()> {
        let connection = self.lock();
        let grow = || -> rusqlite::Result<()> {
            connection.execute_batch("CREATE TABLE IF NOT EXISTS room (filler BLOB) STRICT")?;
            connection.execute("INSERT INTO room VALUES (zeroblob(?))", [ROOM])?;
            connection.execute_batch("DELETE FROM room")?;
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        };
        grow().map_err(|error| self.failed(&error))
    }

    /// The entries of a run after `after`, in order.
    pub fn entries(&self, run: &str, after: u64) -> Result<Vec<Entry>> {
        let rows = self.query(
            "SELECT seq, body FROM entries WHERE run = ? AND seq > ? ORDER BY seq",
            params![run, after.cast_signed()],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
        )?;
        rows.into_iter()
            .map(|(seq, body)| {
                serde_json::from_str(&body).map_err(|error| JournalError::Unreadable {
                    path: self.path.display().to_string(),
                    run: run.to_owned(),
                    seq: seq.cast_unsigned(),
                    reason: error.to_string(),
                })
            })
            .collect()
    }

    /// All runs, the newest first.
    pub fn runs(&self) -> Result<Vec<RunRow>> {
        self.query("SELECT id, runbook, environment, started FROM runs ORDER BY started DESC, id DESC", [], |row| {
            Ok(RunRow {
                id: row.get(0)?,
                runbook: row.get(1)?,
                environment: row.get(2)?,
                started: timestamp(&row.get::<_, String>(3)?),
            })
        })
    }

    /// Who has the run.
    pub fn lease(&self, run: &str) -> Result<Lease> {
        let row = self
            .query("SELECT epoch, holder, renewed FROM leases WHERE run = ?", [run], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, String>(2)?))
            })?
            .pop()
            .ok_or_else(|| JournalError::NoSuchRun(run.to_owned()))?;
        Ok(Lease {
            epoch: row.0.cast_unsigned(),
            holder: row.1.and_then(|text| serde_json::from_str(&text).ok()),
            renewed: timestamp(&row.2),
        })
    }

    /// Takes the run if the lease is still at `expected` epoch; gives the new epoch.
    pub fn take(&self, run: &str, expected: u64, by: &Actor) -> Result<u64> {
        let changed = self.execute(
            "UPDATE leases SET epoch = epoch + 1, holder = ?, renewed = ? WHERE run = ? AND epoch = ?",
            params![to_text(by).unwrap_or_default(), clock::now().to_string(), run, expected.cast_signed()],
        )?;
        if changed == 1 {
            return Ok(expected + 1);
        }
        let theirs = self.lease(run)?.epoch;
        Err(JournalError::Superseded { run: run.to_owned(), mine: expected, theirs })
    }

    /// Renews the lease; refuses when it has moved on. It need not survive a loss of power: whoever held it then is
    /// gone, and waiting for the disk would hold up the entries of a window.
    pub fn renew(&self, run: &str, epoch: u64) -> Result<()> {
        let connection = self.lock();
        let update =
            || -> rusqlite::Result<usize> {
                connection.pragma_update(None, "synchronous", "normal")?;
                connection
                    .prepare_cached("UPDATE leases SET renewed = ? WHERE run = ? AND epoch = ?")?
                    .execute(params![clock::now().to_string(), run, epoch.cast_signed()])
            };
        let changed = update().map_err(|error| self.failed(&error))?;
        drop(connection);
        if changed == 1 { Ok(()) } else { self.holds(run, epoch) }
    }

    /// Refuses when the lease has moved on; only reads, so that it can be asked while writes wait.
    pub fn holds(&self, run: &str, epoch: u64) -> Result<()> {
        let theirs = self.lease(run)?.epoch;
        if theirs == epoch {
            return Ok(());
        }
        Err(JournalError::Superseded { run: run.to_owned(), mine: epoch, theirs })
    }

    /// Moves what was written into the file itself. SQLite does that by itself after about four megabytes, which takes
    /// several waits for the disk: done before a window, it does not come due inside it. What readers still need stays.
    pub fn checkpoint(&self) -> Result<()> {
        let moved = self.lock().query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        moved.map_err(|error| self.failed(&error))
    }

    /// Gives the lease back, so that the next executor need not wait for it to run out.
    pub fn release(&self, run: &str, epoch: u64) -> Result<()> {
        self.execute("UPDATE leases SET holder = NULL WHERE run = ? AND epoch = ?", params![run, epoch.cast_signed()])?;
        Ok(())
    }

    /// Leaves a person's word for the executor.
    pub fn say(&self, run: &str, word: &Word, who: &str, why: Option<&str>) -> Result<()> {
        let body = to_text(word).map_err(|error| self.failed(&error))?;
        self.execute(
            "INSERT INTO words (run, at, body, who, why) VALUES (?, ?, ?, ?, ?)",
            params![run, clock::now().to_string(), body, who, why],
        )?;
        Ok(())
    }

    /// Words that no executor has heard yet, in the order they were said.
    pub fn words(&self, run: &str) -> Result<Vec<Spoken>> {
        let rows = self.query(
            "SELECT id, at, body, who, why FROM words WHERE run = ? AND heard = 0 ORDER BY id",
            [run],
            |row| {
                let body: String = row.get(2)?;
                let word = serde_json::from_str(&body).ok();
                let at = timestamp(&row.get::<_, String>(1)?);
                Ok(word.map(|word| (row.get(0), at, word, row.get(3), row.get(4))))
            },
        )?;
        rows.into_iter()
            .flatten()
            .map(|(id, at, word, who, why)| Ok(Spoken { id: id?, at, word, who: who?, why: why? }))
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(|error| self.failed(&error))
    }

    /// Marks a word as heard.
    pub fn heard(&self, id: i64) -> Result<()> {
        self.execute("UPDATE words SET heard = 1 WHERE id = ?", [id])?;
        Ok(())
    }

    /// Keeps the latest sample of a measurement (a gate's reading, the progress of a copy). Samples may be lost.
    pub fn sample(&self, run: &str, key: &str, body: &Value) -> Result<()> {
        let connection = self.lock();
        let write = || -> rusqlite::Result<()> {
            connection.pragma_update(None, "synchronous", "normal")?;
            connection.prepare_cached("INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?)")?.execute(params![
                run,
                key,
                clock::now().to_string(),
                body.to_string()
            ])?;
            Ok(())
        };
        write().map_err(|error| self.failed(&error))
    }

    /// Forgets a measurement that is over.
    pub fn forget_sample(&self, run: &str, key: &str) -> Result<()> {
        let connection = self.lock();
        let delete = || -> rusqlite::Result<usize> {
            connection.pragma_update(None, "synchronous", "normal")?;
            connection.execute("DELETE FROM samples WHERE run = ? AND key = ?", params![run, key])
        };
        delete().map_err(|error| self.failed(&error))?;
        Ok(())
    }

    /// The latest samples by key.
    pub fn samples(&self, run: &str) -> Result<BTreeMap<String, (Timestamp, Value)>> {
        let rows = self.query("SELECT key, at, body FROM samples WHERE run = ?", [run], |row| {
            let body: String = row.get(2)?;
            Ok((
                row.get(0)?,
                (timestamp(&row.get::<_, String>(1)?), serde_json::from_str(&body).unwrap_or(Value::Null)),
            ))
        })?;
        Ok(rows.into_iter().collect())
    }

    /// The run of this id or its unique beginning; the newest run when `None`.
    pub fn find(&self, wanted: Option<&str>) -> Result<RunRow> {
        let runs = self.runs()?;
        let mut matching = runs.into_iter().filter(|run| wanted.is_none_or(|wanted| run.id.starts_with(wanted)));
        matching.next().ok_or_else(|| match wanted {
            Some(wanted) => JournalError::NoSuchRun(wanted.to_owned()),
            None => JournalError::NoRuns(self.path.display().to_string()),
        })
    }

    fn query<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        map: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<Vec<T>> { connection.prepare_cached(sql)?.query_map(params, map)?.collect() };
        read().map_err(|error| self.failed(&error))
    }

    /// Writes, and waits until it would survive a loss of power.
    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize> {
        let connection = self.lock();
        let write = || -> rusqlite::Result<usize> {
            connection.pragma_update(None, "synchronous", "full")?;
            connection.execute(sql, params)
        };
        write().map_err(|error| self.failed(&error))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &rusqlite::Error) -> JournalError {
        JournalError::Store { path: self.path.display().to_string(), reason: error.to_string() }
    }
}

/// Whether a run exists, without an error when not.
impl Journal {
    /// Whether the store has this run.
    pub fn has(&self, run: &str) -> Result<bool> {
        let connection = self.lock();
        let found = connection
            .query_row("SELECT 1 FROM runs WHERE id = ?", [run], |_| Ok(()))
            .optional()
            .map_err(|error| self.failed(&error))?;
        Ok(found.is_some())
    }
}

fn to_text(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn timestamp(text: &str) -> Timestamp {
    text.parse().unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody() -> Actor {
        Actor { user: "u".into(), host: "h".into(), pid: 1, started: 1 }
    }

    #[test]
    fn whoever_lost_the_lease_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db")).unwrap();
        journal.create("r", "book", None).unwrap();
        let first = journal.take("r", 0, &somebody()).unwrap();
        journal.holds("r", first).unwrap();
        journal.renew("r", first).unwrap();
        journal.checkpoint().unwrap();
        let second = journal.take("r", first, &somebody()).unwrap();
        for refused in [journal.holds("r", first), journal.renew("r", first)] {
            let is_told = matches!(refused, Err(JournalError::Superseded { mine, theirs, .. }) if (mine, theirs) == (first, second));
            assert!(is_told);
        }
        journal.holds("r", second).unwrap();
    }
}
