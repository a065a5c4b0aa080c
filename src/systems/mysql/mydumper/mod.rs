//! The initial copy in parallel: `mydumper` reads the rows of one consistent snapshot with several sessions, into a folder
//! of ours, and says where the source was; clients of the target load its files, several at a time. What is not a row
//! comes by the server's own dump program: structure before the rows, triggers and events behind them.
//!
//! What 0.10 does wrong is not relied on. Read by more than one schema, or by a list of tables, its threads may end before all
//! work is given out, and it waits for ever (seen in one run of 40, and in every one); so it reads one schema. It is told
//! that all is InnoDB, so that its lock ends when its sessions have begun, and is killed if that takes too long. Every
//! table must have a file in the end.
//!
//! The files are plain SQL, so that `myloader` is not needed: the server's own client knows every way to log in, ends when
//! its input ends, and says what it could not load.

mod metadata;
mod version;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::dump::{self, Copy, LOADERS, Part, Progress, Stage, Tell};
use super::stream::Position;
use super::{Database, ident};
use crate::clock;
use crate::runbook::model::TlsMode;
use crate::secret;
use crate::systems::{Certainty, DriverError, Result};
pub use version::{Series, installed};

/// Sessions that read, and MiB of rows in a file: small enough that several clients have something to load.
const READERS: usize = 4;
const FILE_MIB: usize = 32;
/// Every writer of the source waits while it waits for its lock, and holds it.
const LOCKED_MAX: Duration = Duration::from_secs(10);
/// It hangs when nothing has come for this long.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// How often a person is told how far it is.
const INTERVAL: Duration = Duration::from_millis(200);
/// Runs a program, and ends it when our end of its input is gone: when we were killed, nobody else would.
const WATCHED: &str = "exec 3<&0; \"$@\" </dev/null 3<&- & child=$!\n\
    { cat <&3 >/dev/null; kill -KILL $child; } 2>/dev/null & watch=$!\n\
    wait $child; status=$?; kill $watch 2>/dev/null; exit $status";
/// What the rows are loaded with; the files say the rest themselves.
const SESSION: &str = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', unique_checks = 0, foreign_key_checks = 0;\n";

/// The program: that of `POINTSMAN_MYDUMPER`, else of `PATH`.
#[must_use]
pub fn program() -> PathBuf {
    std::env::var_os("POINTSMAN_MYDUMPER").map_or_else(|| "mydumper".into(), PathBuf::from)
}

/// Where a run keeps the rows that it has read: below `$TMPDIR`.
#[must_use]
pub fn folder(run: &str) -> PathBuf {
    std::env::temp_dir().join(format!("pointsman-copy-{run}"))
}

/// Removes what a run kept here.
pub fn clear(folder: &Path) {
    drop(std::fs::remove_dir_all(folder));
}

/// Whether its files can bear such a name.
#[must_use]
pub fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_$-".contains(letter))
}

/// A copy of which `mydumper` reads the rows.
pub struct Parallel<'a> {
    /// What is copied, and what dumps the rest.
    pub copy: &'a Copy<'a>,
    /// Tables that must be there in the end.
    pub tables: &'a [(String, String)],
    /// Sequences: their values are not rows.
    pub sequences: &'a [(String, String)],
    /// Where the rows are kept meanwhile; emptied before and behind.
    pub folder: &'a Path,
}

impl Parallel<'_> {
    /// The command line of `mydumper`, without what only the option file has.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--outputdir={}", self.rows().display()),
            format!("--omit-from-file={}", self.omitted().display()),
            format!("--database={}", self.copy.schemas.first().map_or("", String::as_str)),
            format!("--threads={READERS}"),
            format!("--chunk-filesize={FILE_MIB}"),
            "--no-schemas".into(),
            "--build-empty-files".into(),
            "--trx-consistency-only".into(),
            "--verbose=3".into(),
        ];
        // It asks for TLS, and goes on without where the server has none.
        if self.copy.source.spec.tls.mode != TlsMode::Disable {
            arguments.push("--ssl".into());
        }
        arguments
    }

    fn rows(&self) -> PathBuf {
        self.folder.join("rows")
    }

    fn omitted(&self) -> PathBuf {
        self.folder.join("omitted")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("mydumper.log")
    }

    /// Copies, and gives the position that the copy has.
    pub async fn run(&self, tell: &Tell<'_>) -> Result<Position> {
        self.prepare().map_err(|error| self.kept("make a folder for the rows", &error))?;
        let done = self.copied(tell).await;
        clear(self.folder);
        done
    }

    async fn copied(&self, tell: &Tell<'_>) -> Result<Position> {
        let position = self.read(tell).await?;
        let files = rows_in(&self.rows()).map_err(|error| self.kept("list the rows that were read", &error))?;
        if self.copy.with_schema {
            self.copy.transfer(Part::Structure, tell).await?;
        }
        self.load(files, tell).await?;
        if self.copy.with_schema {
            self.copy.transfer(Part::Programs, tell).await?;
        }
        Ok(position)
    }

    fn prepare(&self) -> std::io::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        clear(self.folder);
        std::fs::DirBuilder::new().mode(0o700).create(self.folder)?;
        let omitted: Vec<String> = self.sequences.iter().map(|(schema, name)| format!("{schema}.{name}\n")).collect();
        std::fs::write(self.omitted(), omitted.concat())
    }

    fn kept(&self, what: &str, error: &std::io::Error) -> DriverError {
        let reason = format!("{}: {error}", self.folder.display());
        DriverError::new(&self.copy.source.name, what, reason, Certainty::NotSent)
            .with_hint("TMPDIR says where the rows are kept meanwhile; it needs room for all of them")
    }

    /// Reads the rows of one snapshot, and gives its position.
    async fn read(&self, tell: &Tell<'_>) -> Result<Position> {
        let options = dump::options(self.copy.source)?;
        let mut child = self.reader(options.path())?;
        // As long as it is open we live.
        let _alive = child.stdin.take();
        let (mut locking, mut heard) = (None, (clock::monotonic(), 0));
        let status = loop {
            tokio::select! {
                status = child.wait() => break status.map_err(|error| self.kept("read the rows", &error))?,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let far = so_far(&self.rows());
            if !tell(&far) {
                return Err(dump::interrupted(self.copy.target));
            }
            let log = self.logged();
            let sum = far.bytes + log.len() as u64;
            if sum != heard.1 {
                heard = (clock::monotonic(), sum);
            }
            // The lock is what it asks for when it is connected.
            if locking.is_none() && log.contains("Connected to") {
                locking = Some(clock::monotonic());
            }
            let waited = locking.map_or(Duration::ZERO, |since: std::time::Instant| since.elapsed());
            if let Some(why) = hangs(&log, waited, heard.0.elapsed()) {
                // It is killed when it is dropped, and the server lets its lock go.
                return Err(failed(self.copy.source, why));
            }
        };
        if !status.success() {
            return Err(failed(self.copy.source, &self.logged()));
        }
        self.every_table_is_there()?;
        let text = std::fs::read_to_string(self.rows().join("metadata")).unwrap_or_default();
        let unplaced = "mydumper does not say at which position of the binary log it read";
        let error = || DriverError::new(&self.copy.source.name, "read the rows", unplaced, Certainty::Refused);
        metadata::position(&text).ok_or_else(error)
    }

    fn logged(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn every_table_is_there(&self) -> Result<()> {
        let files = rows_in(&self.rows()).map_err(|error| self.kept("list the rows that were read", &error))?;
        let read: BTreeSet<(&str, &str)> =
            files.iter().map(|rows| (rows.schema.as_str(), rows.table.as_str())).collect();
        match self.tables.iter().find(|(schema, table)| !read.contains(&(schema.as_str(), table.as_str()))) {
            Some((schema, table)) => Err(failed(self.copy.source, &format!("it has left out {schema}.{table}"))),
            None => Ok(()),
        }
    }

    fn reader(&self, options: &Path) -> Result<Child> {
        let log = std::fs::File::create(self.log()).map_err(|error| self.kept("keep its log", &error))?;
        let mut command = Command::new("sh");
        command.args(["-c", WATCHED, "sh"]).arg(program());
        command.arg(format!("--defaults-file={}", options.display())).args(self.arguments());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        command.spawn().map_err(|error| self.kept("start mydumper", &error))
    }

    /// Loads files with several clients; whoever is free takes the next one.
    async fn load(&self, files: Vec<Rows>, tell: &Tell<'_>) -> Result<()> {
        let (queue, loaded) = (Mutex::new((files, Progress::default())), AtomicU64::new(0));
        let mut work = std::pin::pin!(try_join_all((0..LOADERS).map(|place| self.loader(place, &queue, &loaded))));
        loop {
            tokio::select! {
                done = &mut work => return done.map(drop),
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let mut far = queue.lock().map(|queue| queue.1.clone()).unwrap_or_default();
            (far.stage, far.bytes) = (Stage::Load, loaded.load(Ordering::Relaxed));
            if !tell(&far) {
                // The clients are killed when they are dropped.
                return Err(dump::interrupted(self.copy.target));
            }
        }
    }

    async fn loader(&self, place: usize, queue: &Queue, loaded: &AtomicU64) -> Result<()> {
        let (_, client) = dump::programs(self.copy.target.flavour, self.copy.program);
        let options = dump::options(self.copy.target)?;
        let mut child = self.copy.client(&client, &options)?;
        let fed = self.feed(&mut child, place, queue, loaded).await;
        drop(child.stdin.take());
        // Its own words first: whoever feeds a client that has given up only sees a broken pipe.
        dump::ended(self.copy.target, "load the rows", &client, child).await?;
        fed.map_err(|error| self.kept("load the rows", &error))
    }

    async fn feed(&self, child: &mut Child, place: usize, queue: &Queue, loaded: &AtomicU64) -> std::io::Result<()> {
        let Some(stdin) = child.stdin.as_mut() else { return Ok(()) };
        stdin.write_all(format!("{}{SESSION}", self.copy.beginning([place])).as_bytes()).await?;
        let mut buffer = vec![0; 1 << 18];
        while let Some(rows) = next(queue) {
            stdin.write_all(format!("USE {};\n", ident(&rows.schema)).as_bytes()).await?;
            let mut file = tokio::fs::File::open(&rows.path).await?;
            loop {
                let length = file.read(&mut buffer).await?;
                if length == 0 {
                    break;
                }
                stdin.write_all(&buffer[..length]).await?;
                loaded.fetch_add(length as u64, Ordering::Relaxed);
            }
        }
        stdin.shutdown().await
    }
}

/// Files that wait, and what was taken of them.
type Queue = Mutex<(Vec<Rows>, Progress)>;

fn next(queue: &Queue) -> Option<Rows> {
    let mut queue = queue.lock().ok()?;
    let rows = queue.0.pop()?;
    if queue.1.table != rows.table {
        queue.1.tables += 1;
        queue.1.table.clone_from(&rows.table);
    }
    drop(queue);
    Some(rows)
}

/// A file of rows: `SCHEMA.TABLE.sql`, or `SCHEMA.TABLE.00001.sql`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rows {
    schema: String,
    table: String,
    path: PathBuf,
}

impl Rows {
    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".sql")?;
        let (schema, table) = name.split_once('.')?;
        let table = table.split_once('.').map_or(table, |(table, _)| table);
        Some(Self { schema: schema.to_owned(), table: table.to_owned(), path })
    }
}

/// The files, in the order in which they are taken from the end.
fn rows_in(folder: &Path) -> std::io::Result<Vec<Rows>> {
    let paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?;
    let mut files: Vec<Rows> = paths.into_iter().filter_map(Rows::of).collect();
    files.sort_unstable_by(|one, other| other.path.cmp(&one.path));
    Ok(files)
}

/// What has been read, by what lies there.
fn so_far(folder: &Path) -> Progress {
    let mut progress = Progress { stage: Stage::Read, ..Progress::default() };
    for rows in rows_in(folder).unwrap_or_default().into_iter().rev() {
        progress.bytes += std::fs::metadata(&rows.path).map_or(0, |found| found.len());
        if progress.table != rows.table {
            progress.tables += 1;
            progress.table = rows.table;
        }
    }
    progress
}

/// Why it must be ended: its lock takes too long, or it does nothing any more. `waited`: since it asked for the lock.
fn hangs(log: &str, waited: Duration, silence: Duration) -> Option<&'static str> {
    if !log.contains("unlocking tables") && waited > LOCKED_MAX {
        return Some("it has not let its lock go in time, and every write would wait for it");
    }
    (silence > SILENCE_MAX).then_some("it does nothing any more")
}

fn failed(source: &Database, log: &str) -> DriverError {
    let words = |line: &str| line.split_once("**: ").map_or(line, |(_, words)| words).trim().to_owned();
    let lines = || log.lines().filter(|line| !line.trim().is_empty());
    let grave: Vec<String> =
        lines().filter(|line| line.contains("CRITICAL **") || line.contains("ERROR **")).map(words).collect();
    let told = if grave.is_empty() { lines().map(words).collect() } else { grave };
    let reason = format!("mydumper: {}", secret::mask(&told[told.len().saturating_sub(3)..].join(" / ")));
    let hint = if log.contains("running longer than") {
        "it does not lock tables while a query has been running for a minute: every write would wait for it; wait, end that \
         query, or say `copy: dump`"
    } else {
        "try again, or say `copy: dump` of `replicate` and make a new plan"
    };
    DriverError::new(&source.name, "read the rows", reason, Certainty::Refused).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_whose_rows_it_has() {
        let of = |name: &str| Rows::of(PathBuf::from("/x").join(name)).map(|rows| (rows.schema, rows.table));
        let found = |schema: &str, table: &str| Some((schema.to_owned(), table.to_owned()));
        assert_eq!(of("shop.orders.sql"), found("shop", "orders"));
        assert_eq!(of("shop.orders.00012.sql"), found("shop", "orders"));
        assert_eq!((of("metadata"), of("shop.sql")), (None, None));
    }

    #[test]
    fn how_far_it_is_is_seen_by_its_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["shop.b.00001.sql", "shop.b.00002.sql", "shop.a.sql", "metadata.partial"] {
            std::fs::write(folder.path().join(name), "1234").unwrap();
        }
        let far = so_far(folder.path());
        assert_eq!((far.stage.word(), far.bytes, far.tables, far.table.as_str()), ("reading", 12, 2, "b"));
    }

    #[test]
    fn only_names_that_its_files_can_bear_are_plain() {
        assert!(is_plain("order_lines-2") && is_plain("a$b"));
        assert!(!is_plain("a.b") && !is_plain("a/b") && !is_plain("ä") && !is_plain(""));
    }

    #[test]
    fn it_is_ended_when_it_keeps_writers_waiting_or_hangs() {
        let (second, minutes) = (Duration::from_secs(1), Duration::from_secs(300));
        let unlocked = "** Message: Transactions started, unlocking tables";
        assert_eq!(hangs("Written master status", second, second), None);
        assert!(hangs("Written master status", LOCKED_MAX + second, second).is_some_and(|why| why.contains("lock")));
        assert_eq!(hangs(unlocked, minutes, second), None);
        assert!(hangs(unlocked, minutes, minutes).is_some_and(|why| why.contains("nothing any more")));
    }

    #[test]
    fn its_last_words_are_told_without_their_frame() {
        let spec = crate::runbook::model::Mysql::default();
        let source = Database { name: "source".into(), flavour: super::super::Flavour::Mariadb, spec };
        let log = "\n** (mydumper:17): CRITICAL **: 19:26:34.753: There are queries in PROCESSLIST running longer than 60s\n\
                   ** Message: 19:26:34.754: Thread 1 shutting down\n";
        let error = failed(&source, log);
        assert!(error.reason.ends_with("There are queries in PROCESSLIST running longer than 60s"), "{}", error.reason);
        assert!(error.hint.unwrap_or_default().contains("end that query"));
    }
}
