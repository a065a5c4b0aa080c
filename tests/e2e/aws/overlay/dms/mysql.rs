//! The same for MySQL and MariaDB: loads each table, follows the source's binary log as `mysqlbinlog` shows it, and applies
//! transaction by transaction, in the order of their commits, by ordinary statements of the user that it was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mysql_async::{Conn, Error, OptsBuilder, Row, Value as Field, prelude::Queryable};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::watch,
};

use super::{
    binlog::{Change, Log, statement},
    columns::{Column, Columns},
    lock,
    rows::{Login, TableOf},
    things::{Ended, Told},
};

/// Rows of one statement of the load.
const AT_ONCE: usize = 200;
/// Between two attempts to dial.
const PAUSE: Duration = Duration::from_millis(50);
/// A binary log from which nothing comes for so long has been read to its end.
const SILENCE: Duration = Duration::from_secs(1);
/// What a source's sessions begin with: times are those of UTC.
const UTC: &str = "SET SESSION time_zone = '+00:00'";

pub fn is_mysql(login: &Login) -> bool {
    ["mysql", "mariadb", "aurora"].contains(&login.engine.as_str())
}

pub async fn connect(login: &Login) -> Result<Conn, String> {
    let opts = OptsBuilder::default()
        .ip_or_hostname(login.host.clone())
        .tcp_port(login.port)
        .user(Some(login.user.clone()))
        .pass(Some(login.password.clone()))
        .prefer_socket(false);
    let mut conn = Conn::new(opts).await.map_err(|error| error.to_string())?;
    let script = login.script.as_deref().into_iter().chain([UTC]);
    for sql in script {
        conn.query_drop(sql).await.map_err(|error| error.to_string())?;
    }
    Ok(conn)
}

pub struct Work {
    program: PathBuf,
    source: Login,
    target: Login,
    told: Arc<Mutex<Told>>,
    fails: Option<String>,
    removed: BTreeSet<String>,
    validates: bool,
    stops_when_loaded: bool,
}

enum Stop {
    Told,
    Lost,
    Failed(String),
}

impl Work {
    pub fn new(
        program: &Path,
        asked: &Value,
        (source, target): (Login, Login),
        told: Arc<Mutex<Told>>,
        fails: Option<String>,
    ) -> Self {
        let parsed = |key: &str| serde_json::from_str::<Value>(asked[key].as_str().unwrap_or("{}")).unwrap();
        let (mappings, settings) = (parsed("TableMappings"), parsed("ReplicationTaskSettings"));
        let text = |rule: &Value, key: &str| rule["object-locator"][key].as_str().unwrap_or_default().to_owned();
        let (mut tables, mut removed) = (Vec::new(), BTreeSet::new());
        for rule in mappings["rules"].as_array().into_iter().flatten() {
            let (schema, name) = (text(rule, "schema-name"), text(rule, "table-name"));
            match rule["rule-action"].as_str() {
                Some("explicit") => tables.push(TableOf { schema, name, state: "Before load", ..TableOf::default() }),
                Some("remove-column") => drop(removed.insert(format!("{schema}.{name}.{}", text(rule, "column-name")))),
                other => panic!("the overlay knows no rule {other:?}"),
            }
        }
        let full_load = &settings["FullLoadSettings"];
        assert_eq!(full_load["TargetTablePrepMode"], "DO_NOTHING", "the overlay touches no table");
        assert_eq!(
            settings["TargetMetadata"]["BatchApplyEnabled"], false,
            "the overlay keeps the order of transactions"
        );
        if lock(&told).tables.is_empty() {
            lock(&told).tables = tables;
        }
        Self {
            program: program.to_owned(),
            source,
            target,
            told,
            fails,
            removed,
            validates: settings["ValidationSettings"]["EnableValidation"] == true,
            stops_when_loaded: full_load["StopTaskCachedChangesApplied"] == true,
        }
    }

    /// Until it is told to stop, is done, or fails.
    pub async fn run(self, load: bool, mut stop: watch::Receiver<bool>) {
        let ended = match if load { self.load(&mut stop).await } else { Ok(()) } {
            Ok(()) if load && self.stops_when_loaded => Ended::Loaded,
            Ok(()) => self.follow(&mut stop).await,
            Err(Stop::Failed(why)) => Ended::Failed(why),
            Err(_) => Ended::Stopped,
        };
        lock(&self.told).ended = Some(ended);
    }

    async fn load(&self, stop: &mut watch::Receiver<bool>) -> Result<(), Stop> {
        let (mut source, mut target) = self.dial().await.map_err(Stop::Failed)?;
        let begin = place(&mut source).await.map_err(Stop::Failed)?;
        let columns = self.columns(&mut source).await.map_err(Stop::Failed)?;
        let count = lock(&self.told).tables.len();
        for at in 0..count {
            if *stop.borrow() {
                return Err(Stop::Told);
            }
            self.load_table(at, &columns, &mut source, &mut target).await?;
        }
        let until = place(&mut source).await.map_err(Stop::Failed)?;
        lock(&self.told).place = Some(begin);
        self.carry(&columns, &mut target, stop, Some(until)).await
    }

    async fn dial(&self) -> Result<(Conn, Conn), String> {
        tokio::try_join!(connect(&self.source), connect(&self.target))
    }

    async fn load_table(
        &self,
        at: usize,
        columns: &BTreeMap<String, Columns>,
        source: &mut Conn,
        target: &mut Conn,
    ) -> Result<(), Stop> {
        let table = lock(&self.told).tables[at].clone();
        self.say(at, |table| table.state = "Full load");
        let loaded = if self.fails.as_deref() == Some(&table.name) {
            Err("the load of this table was made to fail".to_owned())
        } else {
            copy(&table, &columns[&full(&table)], source, target).await
        };
        match loaded {
            Ok(rows) => self.say(at, |table| (table.state, table.loaded) = ("Table completed", rows)),
            Err(why) => {
                self.say(at, |table| (table.state, table.errors) = ("Table error", 1));
                return Err(Stop::Failed(format!("{}: {why}", table.name)));
            }
        }
        Ok(())
    }

    fn say(&self, at: usize, what: impl FnOnce(&mut TableOf)) {
        what(&mut lock(&self.told).tables[at]);
    }

    async fn columns(&self, source: &mut Conn) -> Result<BTreeMap<String, Columns>, String> {
        let mut found = BTreeMap::new();
        let tables = lock(&self.told).tables.clone();
        for table in tables {
            let sql = format!(
                "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_KEY FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{}' \
                 AND TABLE_NAME = '{}' ORDER BY ORDINAL_POSITION",
                table.schema, table.name
            );
            let rows: Vec<(String, String, String)> = source.query(sql).await.map_err(|error| error.to_string())?;
            let column = |(name, kind, key): (String, String, String)| {
                let removed = self.removed.contains(&format!("{}.{name}", full(&table)));
                Column { key: key == "PRI", kind, name, removed, mariadb: self.source.engine == "mariadb" }
            };
            found.insert(full(&table), Columns { all: rows.into_iter().map(column).collect() });
        }
        Ok(found)
    }

    /// Follows until it is told to stop; what is lost is dialled again.
    async fn follow(&self, stop: &mut watch::Receiver<bool>) -> Ended {
        loop {
            if *stop.borrow() {
                return Ended::Stopped;
            }
            if let Ok((mut source, mut target)) = self.dial().await
                && let Ok(columns) = self.columns(&mut source).await
            {
                match self.carry(&columns, &mut target, stop, None).await {
                    Err(Stop::Failed(why)) => return Ended::Failed(why),
                    Err(Stop::Told) => return Ended::Stopped,
                    _ => {}
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Applies what the binary log has, up to a place or without an end. Up to one, what is there already is no surprise.
    async fn carry(
        &self,
        columns: &BTreeMap<String, Columns>,
        target: &mut Conn,
        stop: &mut watch::Receiver<bool>,
        until: Option<(String, u64)>,
    ) -> Result<(), Stop> {
        let (mut child, mut lines) = self.reader()?;
        let done = self.read(&mut lines, columns, target, stop, until).await;
        child.kill().await.ok();
        done
    }

    fn reader(&self) -> Result<(Child, BufReader<ChildStdout>), Stop> {
        let (file, at) = lock(&self.told).place.clone().ok_or_else(|| Stop::Failed("it has no place".into()))?;
        let login = &self.source;
        let mut command = Command::new(&self.program);
        command.args([
            "--no-defaults",
            "--read-from-remote-server",
            "--stop-never",
            "--base64-output=DECODE-ROWS",
            "-v",
        ]);
        command.args([format!("--host={}", login.host), format!("--port={}", login.port)]);
        command.args([format!("--user={}", login.user), format!("--password={}", login.password)]);
        command.args(["--protocol=TCP".to_owned(), format!("--start-position={at}"), file]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null()).kill_on_drop(true);
        let mut child =
            command.spawn().map_err(|error| Stop::Failed(format!("{}: {error}", self.program.display())))?;
        let stdout = child.stdout.take().ok_or(Stop::Lost)?;
        Ok((child, BufReader::with_capacity(1 << 18, stdout)))
    }

    async fn read(
        &self,
        lines: &mut BufReader<ChildStdout>,
        columns: &BTreeMap<String, Columns>,
        target: &mut Conn,
        stop: &mut watch::Receiver<bool>,
        until: Option<(String, u64)>,
    ) -> Result<(), Stop> {
        let (mut line, mut log, mut looked) = (Vec::new(), Log::default(), Instant::now());
        log.file = lock(&self.told).place.clone().unwrap_or_default().0;
        let arrived = |told: &Mutex<Told>| until.is_some() && lock(told).place >= until;
        while !arrived(&self.told) {
            // What was read of a line stays in it.
            let read = tokio::time::timeout(SILENCE, async {
                tokio::select! {
                    biased;
                    _ = stop.changed() => None,
                    read = lines.read_until(b'\n', &mut line) => Some(read),
                }
            });
            match read.await {
                Ok(None) => return Err(Stop::Told),
                Ok(Some(Ok(0) | Err(_))) => return Err(Stop::Lost),
                Ok(Some(Ok(_))) => {}
                Err(_) if until.is_some() => return Ok(()),
                Err(_) => {
                    self.validate(columns, target).await;
                    continue;
                }
            }
            if log.take(line.trim_ascii_end()) {
                self.apply(std::mem::take(&mut log.changes), columns, target, until.is_some()).await?;
                let mut told = lock(&self.told);
                told.place = Some((log.file.clone(), log.end));
                told.applied += u64::from(until.is_none());
            }
            line.clear();
            if looked.elapsed() > SILENCE / 2 && until.is_none() && log.changes.is_empty() {
                self.validate(columns, target).await;
                looked = Instant::now();
            }
        }
        Ok(())
    }

    async fn apply(
        &self,
        changes: Vec<Change>,
        columns: &BTreeMap<String, Columns>,
        target: &mut Conn,
        lenient: bool,
    ) -> Result<(), Stop> {
        let ours: Vec<&Change> = changes.iter().filter(|change| columns.contains_key(&change.table)).collect();
        if ours.is_empty() {
            return Ok(());
        }
        self.send(target, "BEGIN").await?;
        for change in ours {
            let sql = statement(change, &columns[&change.table], lenient);
            self.send(target, &sql).await?;
            if !lenient && change.verb == "DELETE" && target.affected_rows() != 1 {
                return Err(Stop::Failed(format!("a row to delete is not there: {sql}")));
            }
        }
        self.send(target, "COMMIT").await
    }

    async fn send(&self, target: &mut Conn, sql: &str) -> Result<(), Stop> {
        target.query_drop(sql).await.map_err(|error| match error {
            // Killed, shutting down, interrupted.
            Error::Server(server) if [1053, 1317, 1927, 4031].contains(&server.code) => Stop::Lost,
            Error::Server(server) => Stop::Failed(format!("{} {}: {sql}", server.code, server.message)),
            _ => Stop::Lost,
        })
    }

    /// Compares each table, both sides for real.
    async fn validate(&self, columns: &BTreeMap<String, Columns>, target: &mut Conn) {
        if !self.validates {
            return;
        }
        let Ok(mut source) = connect(&self.source).await else { return };
        let count = lock(&self.told).tables.len();
        for at in 0..count {
            let table = lock(&self.told).tables[at].clone();
            let names: Vec<String> =
                columns[&full(&table)].all.iter().map(|column| format!("COALESCE(`{}`, '')", column.name)).collect();
            let sql = format!(
                "SELECT CONCAT(COUNT(*), ' ', COALESCE(SUM(CRC32(CONCAT_WS('#', {}))), 0)) FROM `{}`.`{}`",
                names.join(", "),
                table.schema,
                table.name
            );
            let (here, there) =
                (source.query_first::<String, _>(&sql).await, target.query_first::<String, _>(&sql).await);
            let (Ok(here), Ok(there)) = (here, there) else { return };
            self.say(at, |table| {
                (table.validation, table.differ) = match (here == there, table.validation) {
                    (true, _) => ("Validated", 0),
                    (false, "Pending records" | "Mismatched records") => ("Mismatched records", 1),
                    _ => ("Pending records", 1),
                };
            });
        }
        source.disconnect().await.ok();
    }
}

fn full(table: &TableOf) -> String {
    format!("{}.{}", table.schema, table.name)
}

/// Where a server's binary log is.
async fn place(source: &mut Conn) -> Result<(String, u64), String> {
    let mut last = String::new();
    for sql in ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"] {
        match source.query_first::<Row, _>(sql).await {
            Ok(Some(mut row)) => return Ok((row.take(0).unwrap_or_default(), row.take(1).unwrap_or(4))),
            Ok(None) => "the binary log is off".clone_into(&mut last),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// DMS sends every column that it was not told to leave out.
async fn copy(table: &TableOf, columns: &Columns, source: &mut Conn, target: &mut Conn) -> Result<u64, String> {
    let kept: Vec<&Column> = columns.all.iter().filter(|column| !column.removed).collect();
    let read: Vec<String> = kept.iter().map(|column| column.read()).collect();
    let names: Vec<String> = kept.iter().map(|column| format!("`{}`", column.name)).collect();
    let at = format!("`{}`.`{}`", table.schema, table.name);
    let words = |error: Error| error.to_string();
    let rows: Vec<Row> = source.query(format!("SELECT {} FROM {at}", read.join(", "))).await.map_err(words)?;
    let mut loaded = 0;
    for some in rows.chunks(AT_ONCE) {
        let row = |row: &Row| {
            let values = kept.iter().enumerate().map(|(n, column)| match row.as_ref(n) {
                Some(Field::Bytes(bytes)) => column.literal(Some(bytes)),
                _ => column.literal(None),
            });
            format!("({})", values.collect::<Vec<_>>().join(", "))
        };
        let values: Vec<String> = some.iter().map(row).collect();
        let sql = format!("INSERT INTO {at} ({}) VALUES {}", names.join(", "), values.join(", "));
        target.query_drop(sql).await.map_err(words)?;
        loaded += some.len() as u64;
    }
    Ok(loaded)
}
