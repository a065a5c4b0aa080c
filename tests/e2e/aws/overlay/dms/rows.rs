//! What carries the rows of a task, for real: loads each table by `COPY`, follows a slot of its own by `test_decoding`, and
//! applies transaction by transaction, in the order of their commits, as the login that it was told, with what it was told
//! to say first. Changes from while a table was loaded are applied leniently; behind that every surprise stops it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt, pin_mut};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls};

use super::{
    decode::{self, Change},
    lock,
    things::{Ended, Told},
};

/// Between two looks at the slot.
const PAUSE: Duration = Duration::from_millis(25);
/// Rows of the slot that are taken at once.
const AT_ONCE: i32 = 5000;

/// How a database is dialled.
#[derive(Clone)]
pub struct Login {
    /// What DMS calls the kind of server.
    pub engine: String,
    pub user: String,
    pub(super) password: String,
    pub(super) host: String,
    pub(super) port: u16,
    database: String,
    /// What is said first.
    pub(super) script: Option<String>,
    /// The secret that says the rest.
    pub(super) secret: Option<String>,
}

impl Login {
    pub fn told(asked: &Value) -> Self {
        let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
        let port = asked["Port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(5432);
        let settings = if asked["MySQLSettings"].is_null() { "PostgreSQLSettings" } else { "MySQLSettings" };
        Self {
            engine: text("EngineName"),
            user: text("Username"),
            password: text("Password"),
            host: text("ServerName"),
            port,
            database: text("DatabaseName"),
            script: asked[settings]["AfterConnectScript"].as_str().map(str::to_owned),
            secret: asked[settings]["SecretsManagerSecretId"].as_str().map(str::to_owned),
        }
    }

    /// With what a secret says.
    pub fn with(mut self, secret: &Value) -> Self {
        let text = |key: &str| secret[key].as_str().unwrap_or_default().to_owned();
        (self.user, self.password, self.host) = (text("username"), text("password"), text("host"));
        self.port = secret["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(self.port);
        self
    }

    pub async fn connect(&self) -> Result<Client, String> {
        let mut config = tokio_postgres::Config::new();
        config.user(&self.user).password(&self.password).host(&self.host).port(self.port).dbname(&self.database);
        config.application_name("dms").connect_timeout(Duration::from_secs(5));
        let (client, connection) = config.connect(NoTls).await.map_err(|error| words(&error))?;
        tokio::spawn(connection);
        if let Some(script) = &self.script {
            client.batch_execute(script).await.map_err(|error| words(&error))?;
        }
        Ok(client)
    }
}

fn words(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| format!("{}: {}", db.code().code(), db.message()))
}

/// What a task says of one table.
#[derive(Clone, Debug, Default)]
pub struct TableOf {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) state: &'static str,
    pub(super) loaded: u64,
    pub(super) errors: u64,
    pub(super) validation: &'static str,
    pub(super) differ: u64,
}

impl TableOf {
    pub fn described(&self) -> Value {
        json!({ "SchemaName": self.schema, "TableName": self.name, "TableState": self.state,
                "FullLoadRows": self.loaded, "FullLoadErrorRows": self.errors, "Inserts": 0, "Updates": 0, "Deletes": 0,
                "Ddls": 0, "FullLoadCondtnlChkFailedRows": 0, "ValidationState": self.validation,
                "ValidationPendingRecords": if self.validation == "Pending records" { self.differ } else { 0 },
                "ValidationFailedRecords": if self.validation == "Mismatched records" { self.differ } else { 0 },
                "ValidationSuspendedRecords": 0, "LastUpdateTime": 1_780_000_000.5 })
    }

    fn sql(&self) -> String {
        format!("\"{}\".\"{}\"", self.schema, self.name)
    }
}

/// The name of a task's slot.
fn slot(arn: &str) -> String {
    format!("dms_{}", arn.rsplit(':').next().unwrap_or_default().to_lowercase().replace('-', "_"))
}

/// With a task goes its slot.
pub async fn drop_slot(source: Login, arn: String) {
    let sql = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{}'",
        slot(&arn)
    );
    for _ in 0..50 {
        if let Ok(client) = source.connect().await
            && client.batch_execute(&sql).await.is_ok()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a task has to do.
pub struct Work {
    slot: String,
    source: Login,
    target: Login,
    told: Arc<Mutex<Told>>,
    fails: Option<String>,
    /// Columns that are left out, as `schema.table.column`.
    removed: BTreeSet<String>,
    validates: bool,
    stops_when_loaded: bool,
    /// Changes are applied table by table, whatever transactions they belong to.
    batches: bool,
}

/// Why carrying ended.
enum Stop {
    /// It was told to.
    Told,
    /// A connection broke, or a login was refused: it tries again.
    Lost,
    Failed(String),
}

impl Work {
    pub fn new(
        arn: &str,
        asked: &Value,
        (source, target): (Login, Login),
        told: Arc<Mutex<Told>>,
        fails: Option<String>,
    ) -> Self {
        let parsed = |key: &str| serde_json::from_str::<Value>(asked[key].as_str().unwrap_or("{}")).unwrap();
        let (mappings, settings) = (parsed("TableMappings"), parsed("ReplicationTaskSettings"));
        let rules = mappings["rules"].as_array().cloned().unwrap_or_default();
        let text = |rule: &Value, key: &str| rule["object-locator"][key].as_str().unwrap_or_default().to_owned();
        let (mut tables, mut removed) = (Vec::new(), BTreeSet::new());
        for rule in &rules {
            let (schema, name) = (text(rule, "schema-name"), text(rule, "table-name"));
            match rule["rule-action"].as_str() {
                Some("explicit") => tables.push(TableOf { schema, name, state: "Before load", ..TableOf::default() }),
                Some("remove-column") => drop(removed.insert(format!("{schema}.{name}.{}", text(rule, "column-name")))),
                other => panic!("the overlay knows no rule {other:?}"),
            }
        }
        let full_load = &settings["FullLoadSettings"];
        assert_eq!(full_load["TargetTablePrepMode"], "DO_NOTHING", "the overlay touches no table");
        if lock(&told).tables.is_empty() {
            lock(&told).tables = tables;
        }
        Self {
            slot: slot(arn),
            source,
            target,
            told,
            fails,
            removed,
            validates: settings["ValidationSettings"]["EnableValidation"] == true,
            stops_when_loaded: full_load["StopTaskCachedChangesApplied"] == true,
            batches: settings["TargetMetadata"]["BatchApplyEnabled"] == true,
        }
    }

    /// Until it is told to stop, is done, or fails.
    pub async fn run(self, load: bool, stop: watch::Receiver<bool>) {
        let ended = match if load { self.load(&stop).await } else { Ok(()) } {
            Ok(()) if load && self.stops_when_loaded => Ended::Loaded,
            Ok(()) => self.follow(&stop).await,
            Err(Stop::Failed(why)) => Ended::Failed(why),
            Err(_) => Ended::Stopped,
        };
        lock(&self.told).ended = Some(ended);
    }

    async fn load(&self, stop: &watch::Receiver<bool>) -> Result<(), Stop> {
        let failed = |why: String| Stop::Failed(why);
        let source = self.source.connect().await.map_err(failed)?;
        let target = self.target.connect().await.map_err(failed)?;
        let sql = format!("SELECT pg_create_logical_replication_slot('{}', 'test_decoding')", self.slot);
        source.batch_execute(&sql).await.map_err(|error| failed(words(&error)))?;
        let count = lock(&self.told).tables.len();
        for at in 0..count {
            if *stop.borrow() {
                return Err(Stop::Told);
            }
            self.load_table(at, &source, &target).await?;
        }
        let until: String = source
            .query_one("SELECT pg_current_wal_insert_lsn()::text", &[])
            .await
            .map_err(|error| failed(words(&error)))?
            .get(0);
        let until = lsn(&until);
        // Something behind it, so that the slot can be read that far.
        loop {
            self.carry(&source, &target, Some(until)).await?;
            if lock(&self.told).last_lsn.is_some_and(|last| last >= until) || self.is_drained(&source, until).await? {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether nothing of before `until` is left in the slot.
    async fn is_drained(&self, source: &Client, until: u64) -> Result<bool, Stop> {
        let sql = format!(
            "SELECT count(*) FROM pg_logical_slot_peek_changes('{}', '{:X}/{:X}', NULL, 'skip-empty-xacts', '1')",
            self.slot,
            until >> 32,
            until & 0xffff_ffff
        );
        let row = source.query_one(&sql, &[]).await.map_err(|_| Stop::Lost)?;
        Ok(row.get::<_, i64>(0) == 0)
    }

    async fn load_table(&self, at: usize, source: &Client, target: &Client) -> Result<(), Stop> {
        let table = lock(&self.told).tables[at].clone();
        self.say(at, |table| table.state = "Full load");
        let loaded = if self.fails.as_deref() == Some(&table.name) {
            Err("the load of this table was made to fail".to_owned())
        } else {
            self.copy(&table, source, target).await
        };
        match loaded {
            Ok(rows) => self.say(at, |table| (table.state, table.loaded) = ("Table completed", rows)),
            Err(why) => {
                self.say(at, |table| (table.state, table.errors) = ("Table error", 1));
                return Err(Stop::Failed(format!("{}: {why}", table.sql())));
            }
        }
        Ok(())
    }

    fn say(&self, at: usize, what: impl FnOnce(&mut TableOf)) {
        what(&mut lock(&self.told).tables[at]);
    }

    /// DMS sends every column that it was not told to leave out.
    async fn copy(&self, table: &TableOf, source: &Client, target: &Client) -> Result<u64, String> {
        let sql = "SELECT quote_ident(attname), attname::text FROM pg_attribute WHERE attrelid = $1::text::regclass \
                   AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
        let rows = source.query(sql, &[&table.sql()]).await.map_err(|error| words(&error))?;
        let kept = rows.iter().filter(|row| !self.is_removed(&table.schema, &table.name, &row.get::<_, String>(1)));
        let columns = kept.map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join(", ");
        let out = format!("COPY (SELECT {columns} FROM {}) TO STDOUT", table.sql());
        let into = format!("COPY {} ({columns}) FROM STDIN", table.sql());
        let stream = source.copy_out(&out).await.map_err(|error| words(&error))?;
        let sink = target.copy_in(&into).await.map_err(|error| words(&error))?;
        pin_mut!(stream, sink);
        while let Some(piece) = stream.next().await {
            sink.send(piece.map_err(|error| words(&error))?).await.map_err(|error| words(&error))?;
        }
        sink.finish().await.map_err(|error| words(&error))
    }

    fn is_removed(&self, schema: &str, table: &str, column: &str) -> bool {
        self.removed.contains(&format!("{schema}.{table}.{column}"))
    }

    /// Follows until it is told to stop; what is lost is dialled again.
    async fn follow(&self, stop: &watch::Receiver<bool>) -> Ended {
        let mut ends = None;
        let mut looked = Instant::now();
        loop {
            if *stop.borrow() {
                return Ended::Stopped;
            }
            if ends.is_none() {
                ends = match tokio::join!(self.source.connect(), self.target.connect()) {
                    (Ok(source), Ok(target)) => Some((source, target)),
                    _ => None,
                };
            }
            if let Some((source, target)) = &ends {
                match self.carry(source, target, None).await {
                    Ok(()) => {}
                    Err(Stop::Failed(why)) => return Ended::Failed(why),
                    Err(_) => ends = None,
                }
            }
            if let Some((source, target)) = ends.as_ref().filter(|_| self.validates && looked.elapsed() > PAUSE * 20) {
                self.validate(source, target).await;
                looked = Instant::now();
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Applies what the slot has, transaction by transaction. Up to `lenient`, what is there already is no surprise.
    async fn carry(&self, source: &Client, target: &Client, lenient: Option<u64>) -> Result<(), Stop> {
        let sql = format!(
            "SELECT lsn::text, data FROM pg_logical_slot_peek_changes('{}', NULL, {AT_ONCE}, 'skip-empty-xacts', '1')",
            self.slot
        );
        let rows = source.query(&sql, &[]).await.map_err(|_| Stop::Lost)?;
        let (mut changes, mut last, mut batch) = (Vec::new(), None, Vec::new());
        for row in &rows {
            let (at, data): (String, String) = (row.get(0), row.get(1));
            if data.starts_with("COMMIT") {
                let at = lsn(&at);
                let known = lock(&self.told).last_lsn.is_some_and(|last| at <= last);
                if !known && self.batches && lenient.is_none() {
                    batch.append(&mut changes);
                    let mut told = lock(&self.told);
                    told.last_lsn = Some(at);
                    told.applied += 1;
                } else if !known {
                    self.apply(&changes, target, lenient.is_some()).await?;
                    let mut told = lock(&self.told);
                    told.last_lsn = Some(at);
                    told.applied += u64::from(lenient.is_none());
                }
                changes.clear();
                last = Some(row.get::<_, String>(0));
                if lenient.is_some_and(|until| at >= until) {
                    break;
                }
            } else {
                changes.extend(decode::change(&data));
            }
        }
        self.apply_batch(&batch, target).await?;
        if let Some(last) = last {
            let sql = format!("SELECT pg_replication_slot_advance('{}', '{last}')", self.slot);
            source.batch_execute(&sql).await.map_err(|_| Stop::Lost)?;
        }
        Ok(())
    }

    /// One table after the other, each for itself, and the token first: the worst that a batch can do.
    async fn apply_batch(&self, batch: &[Change], target: &Client) -> Result<(), Stop> {
        let tables: BTreeSet<&str> = batch.iter().map(Change::table).collect();
        let (first, rest): (Vec<&str>, Vec<&str>) =
            tables.into_iter().partition(|table| table.starts_with("pointsman."));
        for table in first.into_iter().chain(rest) {
            let of: Vec<Change> = batch.iter().filter(|change| change.table() == table).cloned().collect();
            self.apply(&of, target, false).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn apply(&self, changes: &[Change], target: &Client, lenient: bool) -> Result<(), Stop> {
        let names: BTreeSet<String> =
            lock(&self.told).tables.iter().map(|table| plain(&table.schema, &table.name)).collect();
        let statements: Vec<String> =
            changes.iter().filter_map(|change| self.statement(change, &names, lenient)).collect();
        if statements.is_empty() {
            return Ok(());
        }
        let sql = format!("BEGIN;\n{}\nCOMMIT;", statements.join("\n"));
        match target.batch_execute(&sql).await {
            Ok(()) => Ok(()),
            Err(error)
                if error
                    .as_db_error()
                    .is_none_or(|db| db.code().code().starts_with("57P") || db.code().code() == "28000") =>
            {
                Err(Stop::Lost)
            }
            Err(error) => {
                target.batch_execute("ROLLBACK").await.ok();
                Err(Stop::Failed(format!("{}: {sql}", words(&error))))
            }
        }
    }

    fn statement(&self, change: &Change, names: &BTreeSet<String>, lenient: bool) -> Option<String> {
        let ours = |table: &String| names.contains(table);
        let strict = |sql: String| {
            if lenient {
                return format!("{sql};");
            }
            format!(
                "DO $dms$ DECLARE n int; BEGIN {sql}; GET DIAGNOSTICS n = ROW_COUNT; IF n <> 1 THEN RAISE \
                     EXCEPTION 'a row to change is not there, or twice: %', n; END IF; END $dms$;"
            )
        };
        match change {
            Change::Insert(table, values) if ours(table) => {
                let kept = self.kept(table, values);
                let columns = kept.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
                let values = kept.iter().map(|(_, value)| literal(value.as_deref())).collect::<Vec<_>>().join(", ");
                let conflict = if lenient { " ON CONFLICT DO NOTHING" } else { "" };
                Some(format!("INSERT INTO {table} ({columns}) VALUES ({values}){conflict};"))
            }
            Change::Update(table, old, new) if ours(table) => {
                let kept = self.kept(table, new);
                let set = kept
                    .iter()
                    .map(|(name, value)| format!("{name} = {}", literal(value.as_deref())))
                    .collect::<Vec<_>>();
                // The key is what the table of the target has for one.
                Some(strict(format!(
                    "UPDATE {table} SET {} WHERE {}",
                    set.join(", "),
                    Self::key(table, if old.is_empty() { new } else { old })
                )))
            }
            Change::Delete(table, old) if ours(table) => {
                Some(strict(format!("DELETE FROM {table} WHERE {}", Self::key(table, old))))
            }
            Change::Truncate(tables) => {
                let tables: Vec<String> = tables.iter().filter(|table| names.contains(*table)).cloned().collect();
                (!tables.is_empty()).then(|| format!("TRUNCATE {};", tables.join(", ")))
            }
            _ => None,
        }
    }

    fn kept(&self, table: &str, values: &[decode::Value]) -> Vec<decode::Value> {
        let removed = |name: &str| self.removed.contains(&format!("{table}.{}", name.trim_matches('"')));
        values.iter().filter(|(name, _)| !removed(name)).cloned().collect()
    }

    /// A row is found by its primary key: the column `id`, or what the shop's tables have for one.
    fn key(table: &str, values: &[decode::Value]) -> String {
        let keys: &[&str] = if table.contains(".events") {
            &["id", "region"]
        } else if table == "public.probe" {
            &["token"]
        } else {
            &["id"]
        };
        let found = values.iter().filter(|(name, _)| keys.contains(&name.as_str()));
        found.map(|(name, value)| format!("{name} = {}", literal(value.as_deref()))).collect::<Vec<_>>().join(" AND ")
    }

    /// Compares each table, both sides for real.
    async fn validate(&self, source: &Client, target: &Client) {
        let count = lock(&self.told).tables.len();
        for at in 0..count {
            let table = lock(&self.told).tables[at].clone();
            let sql =
                format!("SELECT count(*), coalesce(sum(hashtext(t::text)::bigint), 0)::text FROM {} t", table.sql());
            let before = lock(&self.told).applied;
            let (Ok(here), Ok(there)) = tokio::join!(source.query_one(&sql, &[]), target.query_one(&sql, &[])) else {
                return;
            };
            let sums = |row: &tokio_postgres::Row| (row.get::<_, i64>(0), row.get::<_, String>(1));
            let same = sums(&here) == sums(&there);
            let quiet =
                lock(&self.told).applied == before && !table.validation.is_empty() && table.validation != "Validated";
            self.say(at, |table| {
                (table.validation, table.differ) = match (same, quiet) {
                    (true, _) => ("Validated", 0),
                    (false, true) if table.validation == "Pending records" => ("Mismatched records", 1),
                    (false, _) if table.validation == "Mismatched records" => ("Mismatched records", 1),
                    _ => ("Pending records", 1),
                };
            });
        }
    }
}

fn literal(value: Option<&str>) -> &str {
    value.unwrap_or("NULL")
}

fn plain(schema: &str, name: &str) -> String {
    format!("{schema}.{name}")
}

fn lsn(text: &str) -> u64 {
    let (high, low) = text.split_once('/').unwrap_or_default();
    let part = |text: &str| u64::from_str_radix(text, 16).unwrap_or_default();
    (part(high) << 32) | part(low)
}
