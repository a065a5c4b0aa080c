//! The initial copy: the server's own dump program reads one consistent snapshot of the source and says where it is,
//! its client loads it on the target, and we sit in between: we count, and read the position on the way through. Where
//! mydumper reads the rows ([`super::mydumper`]), it dumps the rest.
//! Passwords go into option files that only we can read; the process list shows none.

use std::borrow::Cow;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use super::dial::Target;
use super::stream::Position;
use super::{Database, Flavour};
use crate::plan::Follow;
use crate::runbook::model::{Tls, TlsMode};
use crate::secret;
use crate::systems::{Certainty, DriverError, Result};

/// What a copy is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It reads and loads in one go.
    #[default]
    Copy,
    /// It reads the rows, and keeps them here.
    Read,
    /// It loads the rows that were read.
    Load,
}

impl Stage {
    /// For people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Copy => "copying",
            Self::Read => "reading",
            Self::Load => "loading",
        }
    }
}

/// Is told how far a copy is, and says whether to go on.
pub type Tell<'a> = dyn Fn(&Progress) -> bool + Send + Sync + 'a;

/// How far the copy is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub stage: Stage,
    /// Bytes of the dump that were loaded, or read.
    pub bytes: u64,
    /// Tables whose rows were begun.
    pub tables: usize,
    /// The one under way.
    pub table: String,
}

/// Which part of the schemas a dump has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it, and the position of its snapshot.
    Whole,
    /// What rows are loaded into, and what needs no rows: tables, sequences, routines, views.
    Structure,
    /// What must not run while rows are loaded: triggers and events.
    Programs,
}

/// Sessions that load at the same time, where rows are read before.
pub const LOADERS: usize = 4;

/// Makes a session wait until the one that loaded in this place before has ended: the client of an executor that was
/// killed may still be at its last statement.
#[must_use]
pub fn take_turn(places: impl IntoIterator<Item = usize>) -> String {
    let lock = |place: usize| format!("GET_LOCK('pointsman copy {place}', 60)");
    format!("DO {};\n", places.into_iter().map(lock).collect::<Vec<String>>().join(", "))
}

/// What is copied, and how.
pub struct Copy<'a> {
    /// From here.
    pub source: &'a Database,
    /// To there.
    pub target: &'a Database,
    /// These schemas.
    pub schemas: &'a [String],
    /// Tables, routines, views, triggers and events too, not only rows.
    pub with_schema: bool,
    /// How the stream knows where it is.
    pub follow: Follow,
    /// Whether what is loaded stays out of the target's binary log.
    pub quiet: bool,
    /// The dump program that the author names.
    pub program: Option<&'a str>,
}

/// The dump program and the client that belongs to it.
#[must_use]
pub fn programs(flavour: Flavour, named: Option<&str>) -> (PathBuf, PathBuf) {
    let (variable, dump, client) = match flavour {
        Flavour::Mysql => ("POINTSMAN_MYSQLDUMP", "mysqldump", "mysql"),
        Flavour::Mariadb => ("POINTSMAN_MARIADB_DUMP", "mariadb-dump", "mariadb"),
    };
    let chosen = named.map(str::to_owned).or_else(|| std::env::var(variable).ok()).unwrap_or_else(|| dump.to_owned());
    let dump = PathBuf::from(chosen);
    let beside = dump.parent().filter(|folder| !folder.as_os_str().is_empty()).map(|folder| folder.join(client));
    (dump, beside.unwrap_or_else(|| PathBuf::from(client)))
}

impl Copy<'_> {
    /// The command line of the dump, without what only the option file has.
    #[must_use]
    pub fn arguments(&self, part: Part) -> Vec<String> {
        let mut arguments: Vec<String> = [
            "--single-transaction",
            "--quick",
            "--hex-blob",
            "--default-character-set=utf8mb4",
            "--max-allowed-packet=1G",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.extend(self.of_flavour(part));
        let with_schema = self.with_schema;
        let more: &[&str] = match part {
            Part::Whole if with_schema => &["--routines", "--events", "--triggers"],
            Part::Whole => &["--no-create-info", "--no-create-db", "--skip-triggers"],
            Part::Structure => &["--no-data", "--routines", "--skip-triggers"],
            Part::Programs => &["--no-data", "--no-create-info", "--no-create-db", "--triggers", "--events"],
        };
        arguments.extend(more.iter().map(|one| (*one).to_owned()));
        arguments.push("--databases".into());
        arguments.extend(self.schemas.iter().cloned());
        arguments
    }

    fn of_flavour(&self, part: Part) -> Vec<String> {
        let mut arguments = Vec::new();
        let placed = part == Part::Whole;
        match self.source.flavour {
            Flavour::Mysql => {
                if placed {
                    arguments.push("--source-data=2".into());
                }
                let purged = if placed && self.follow == Follow::Gtid { "COMMENTED" } else { "OFF" };
                arguments.extend([
                    format!("--set-gtid-purged={purged}"),
                    "--no-tablespaces".into(),
                    "--column-statistics=0".into(),
                ]);
            }
            Flavour::Mariadb if placed => arguments.push("--master-data=2".into()),
            Flavour::Mariadb => {}
        }
        arguments
    }

    /// Copies, and gives the position that the copy has.
    pub async fn run(&self, tell: &Tell<'_>) -> Result<Position> {
        let position = self.transfer(Part::Whole, tell).await?;
        let unplaced =
            || DriverError::new(&self.source.name, "dump", "the dump does not say its position", Certainty::Refused);
        position.filter(|found| found.file.is_some()).ok_or_else(unplaced)
    }

    /// Dumps a part and loads it; gives the position, where the part has one.
    pub(super) async fn transfer(&self, part: Part, tell: &Tell<'_>) -> Result<Option<Position>> {
        let (dump, client) = programs(self.source.flavour, self.program);
        let (from, to) = (options(self.source)?, options(self.target)?);
        let mut reading = Command::new(&dump);
        reading.arg(format!("--defaults-file={}", from.path().display())).args(self.arguments(part));
        let mut reader = spawn(self.source, &dump, reading.stdin(Stdio::null()))?;
        let mut writer = self.client(&client, &to)?;
        let (position, told) = self.pump(&mut reader, &mut writer, tell).await;
        drop(writer.stdin.take());
        if !told {
            // Both are killed when they are dropped.
            return Err(interrupted(self.target));
        }
        // The client's end is told first: a dump whose reader is gone only says that its pipe is broken.
        ended(self.target, "load the copy", &client, writer).await?;
        ended(self.source, "dump", &dump, reader).await?;
        Ok(position)
    }

    /// A client that runs on the target what it is given.
    pub(super) fn client(&self, program: &std::path::Path, options: &NamedTempFile) -> Result<Child> {
        let mut command = Command::new(program);
        command.arg(format!("--defaults-file={}", options.path().display())).args([
            "--binary-mode",
            "--comments",
            "--max-allowed-packet=1G",
        ]);
        spawn(self.target, program, command.stdin(Stdio::piped()))
    }

    /// What every session begins with that loads in these places.
    pub(super) fn beginning(&self, places: impl IntoIterator<Item = usize>) -> String {
        let quiet = if self.quiet { "SET SESSION sql_log_bin = 0;\n" } else { "" };
        format!("{quiet}{}", take_turn(places))
    }

    async fn pump(&self, reader: &mut Child, writer: &mut Child, tell: &Tell<'_>) -> (Option<Position>, bool) {
        let (Some(stdout), Some(mut stdin)) = (reader.stdout.take(), writer.stdin.take()) else { return (None, true) };
        let mut lines = BufReader::with_capacity(1 << 20, stdout);
        let (mut header, mut progress, mut line) = (Header::default(), Progress::default(), Vec::new());
        if stdin.write_all(self.beginning(0..LOADERS).as_bytes()).await.is_err() {
            return (None, true);
        }
        loop {
            line.clear();
            match lines.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => break,
                Ok(length) => progress.bytes += length as u64,
            }
            header.look(&line);
            if line.starts_with(b"SET @@SESSION.SQL_LOG_BIN") {
                continue;
            }
            if let Some(table) = table_begun(&line) {
                progress.table = table;
                progress.tables += 1;
            }
            if !tell(&progress) {
                return (None, false);
            }
            if stdin.write_all(&loadable(&line)).await.is_err() {
                break;
            }
        }
        drop(stdin.shutdown().await);
        (Some(header.position), true)
    }
}

/// A file that only we can read.
pub(super) fn options(database: &Database) -> Result<NamedTempFile> {
    let failed =
        |error: std::io::Error| DriverError::new(&database.name, "write an option file", error, Certainty::NotSent);
    let text = option_file(&database.target()?, &database.spec.tls, database.flavour);
    let mut file = NamedTempFile::with_prefix("pointsman-").map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(failed)?;
    Ok(file)
}

pub(super) fn interrupted(target: &Database) -> DriverError {
    DriverError::new(&target.name, "copy", "it was interrupted", Certainty::Refused)
}

fn option_file(target: &Target, tls: &Tls, flavour: Flavour) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let (host, user, password) = (quoted(&target.host), quoted(&target.user), quoted(target.password.expose()));
    let mut text =
        format!("[client]\nprotocol=tcp\nhost={host}\nport={}\nuser={user}\npassword={password}\n", target.port);
    if flavour == Flavour::Mysql {
        let mode = match tls.mode {
            TlsMode::Disable => "DISABLED",
            TlsMode::Prefer => "PREFERRED",
            TlsMode::Require => "REQUIRED",
            TlsMode::VerifyFull => "VERIFY_IDENTITY",
        };
        text += &format!("ssl-mode={mode}\nget-server-public-key\n");
    } else {
        text += match tls.mode {
            TlsMode::Disable => "skip-ssl\n",
            TlsMode::Prefer => "loose-skip-ssl-verify-server-cert\n",
            TlsMode::Require => "ssl\nloose-skip-ssl-verify-server-cert\n",
            TlsMode::VerifyFull => "ssl\nssl-verify-server-cert\n",
        };
    }
    if let Some(ca) = tls.ca.as_ref().filter(|_| tls.mode == TlsMode::VerifyFull) {
        text += &format!("ssl-ca={}\n", quoted(ca));
    }
    text
}

pub(super) fn spawn(database: &Database, program: &std::path::Path, command: &mut Command) -> Result<Child> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().map_err(|error| {
        let reason = format!("{} can't be started: {error}", program.display());
        DriverError::new(&database.name, "copy", reason, Certainty::NotSent)
            .with_hint("install the server's client programs here, or name the dump program with `dump` of `replicate`")
    })
}

pub(super) async fn ended(database: &Database, what: &str, program: &std::path::Path, mut child: Child) -> Result<()> {
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        drop(stderr.read_to_string(&mut said).await);
    }
    let failed = |reason: String| DriverError::new(&database.name, what, reason, Certainty::Refused);
    let status = child.wait().await.map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let lines: Vec<&str> = said.trim().lines().filter(|line| !line.to_ascii_lowercase().contains("warning")).collect();
    let words = secret::mask(&lines[lines.len().saturating_sub(3)..].join(" / "));
    Err(failed(format!("{}: {status}: {words}", program.display())))
}

/// What the beginning of a dump says of its position.
#[derive(Default)]
struct Header {
    position: Position,
    /// The set of GTIDs goes on in the next line.
    within: bool,
    done: bool,
}

impl Header {
    fn look(&mut self, line: &[u8]) {
        if self.done || line.len() > 64 * 1024 {
            return;
        }
        let text = String::from_utf8_lossy(line);
        if self.within {
            self.set(&text);
        } else if let Some((_, rest)) = text.split_once("GTID_PURGED=") {
            self.position.gtid = Some(String::new());
            self.within = true;
            // Such as `/*!80000 '+'*/ 'uuid:1-5'`, or `'+uuid:1-5'`.
            let rest = rest.rsplit_once("*/ '").map_or(rest, |(_, rest)| rest);
            self.set(rest.trim_start_matches(['\'', '+']));
        } else if let (Some(file), Some(offset)) = (after(&text, "_LOG_FILE='"), after(&text, "_LOG_POS=")) {
            self.position.file = Some(file);
            self.position.offset = offset.parse().ok();
        } else if text.starts_with("CREATE DATABASE") || text.starts_with("USE ") {
            self.done = self.position.file.is_some();
        }
    }

    fn set(&mut self, text: &str) {
        let end = text.find('\'');
        if let Some(gtid) = &mut self.position.gtid {
            gtid.push_str(text[..end.unwrap_or(text.len())].trim());
        }
        self.within = end.is_none();
    }
}

fn after(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(key)?;
    let end = rest.find(['\'', ';', ',']).unwrap_or(rest.trim_end().len());
    Some(rest[..end].to_owned())
}

/// What ends the body of a trigger in a dump, which puts it into a comment that the server reads.
const BODY_ENDS: &[u8] = b" */;;\n";

/// A line of the dump, as the client can load it. Two ends of a body break that comment: the semicolon that MySQL keeps
/// where the trigger was made by one of several statements in a request, and a comment of one line.
fn loadable(line: &[u8]) -> Cow<'_, [u8]> {
    let Some(body) = line.strip_suffix(BODY_ENDS) else { return line.into() };
    let body = body.trim_ascii_end();
    [body.strip_suffix(b";").unwrap_or(body), b"\n", BODY_ENDS].concat().into()
}

fn table_begun(line: &[u8]) -> Option<String> {
    let rest = line.strip_prefix(b"-- Dumping data for table `")?;
    Some(String::from_utf8_lossy(rest).trim_end().trim_end_matches('`').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn position(text: &str) -> Position {
        let mut header = Header::default();
        text.split_inclusive('\n').for_each(|line| header.look(line.as_bytes()));
        header.position
    }

    #[test]
    fn reads_the_position_of_either_dump() {
        let mysql = "SET @@SESSION.SQL_LOG_BIN= 0;\n/* SET @@GLOBAL.GTID_PURGED='+aa:1-5,\nbb:1-2';*/\n\
                     -- CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='bin.000001', SOURCE_LOG_POS=10911;\nUSE `app`;\n";
        let found = position(mysql);
        assert_eq!((found.gtid.as_deref(), found.file.as_deref()), (Some("aa:1-5,bb:1-2"), Some("bin.000001")));
        assert_eq!(found.offset, Some(10_911));
        let older = "SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'aa:1-5';\n";
        assert_eq!(position(older).gtid.as_deref(), Some("aa:1-5"));
        let mariadb = "-- CHANGE MASTER TO MASTER_USE_GTID=slave_pos;\n\
                       -- CHANGE MASTER TO MASTER_LOG_FILE='bin.000001', MASTER_LOG_POS=9592;\nUSE `app`;\n";
        assert_eq!(position(mariadb).offset, Some(9592));
        assert_eq!(table_begun(b"-- Dumping data for table `t`\n").as_deref(), Some("t"));
    }

    #[test]
    fn a_body_can_end_in_a_semicolon_or_a_comment() {
        let loaded = |line: &str| String::from_utf8(loadable(line.as_bytes()).into_owned()).unwrap();
        assert_eq!(loaded("SET NEW.id = 1; */;;\n"), "SET NEW.id = 1\n */;;\n");
        assert_eq!(loaded("END -- done */;;\n"), "END -- done\n */;;\n");
        assert_eq!(loaded("INSERT INTO `t` VALUES (1);\n"), "INSERT INTO `t` VALUES (1);\n");
    }

    #[test]
    fn the_password_stands_in_the_option_file_only() {
        let target =
            Target { host: "h".into(), port: 1, user: "u".into(), password: Secret::new("a\"b\\c"), schema: None };
        let text = option_file(&target, &Tls { mode: TlsMode::Require, ca: None }, Flavour::Mysql);
        assert!(text.contains("password=\"a\\\"b\\\\c\"") && text.contains("ssl-mode=REQUIRED"), "{text}");
    }

    #[test]
    fn the_client_lies_beside_the_dump() {
        let (dump, client) = programs(Flavour::Mariadb, Some("/opt/x/mariadb-dump"));
        assert_eq!((dump.to_str(), client.to_str()), (Some("/opt/x/mariadb-dump"), Some("/opt/x/mariadb")));
    }
}
