//! Settings as an application's new session gets them. Our own sessions override some of them, so these are read
//! through a connection without options, in a transaction that is declared read-only.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::config::SslMode;
use tokio_postgres::types::Json;
use tokio_postgres::{Client, NoTls};

use super::super::tls;
use crate::runbook::model::TlsMode;
use crate::systems::postgres::Database;
use crate::systems::{Certainty, DriverError, Result};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Settings that change what a statement means or does.
pub const MEANING: &[&str] = &[
    "DateStyle",
    "IntervalStyle",
    "array_nulls",
    "backslash_quote",
    "bytea_output",
    "check_function_bodies",
    "default_tablespace",
    "default_text_search_config",
    "default_toast_compression",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "escape_string_warning",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "row_security",
    "search_path",
    "session_replication_role",
    "standard_conforming_strings",
    "statement_timeout",
    "synchronous_commit",
    "transaction_timeout",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
];

/// Settings that decide how fast a server is.
pub const TUNING: &[&str] = &[
    "autovacuum",
    "autovacuum_max_workers",
    "autovacuum_vacuum_cost_limit",
    "checkpoint_timeout",
    "default_statistics_target",
    "effective_cache_size",
    "effective_io_concurrency",
    "huge_pages",
    "jit",
    "maintenance_work_mem",
    "max_locks_per_transaction",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_wal_size",
    "random_page_cost",
    "shared_buffers",
    "temp_buffers",
    "wal_buffers",
    "work_mem",
];

/// Settings that replication and the window depend on.
const REPLICATION: &[&str] = &[
    "TimeZone",
    "data_checksums",
    "data_directory",
    "default_transaction_read_only",
    "idle_replication_slot_timeout",
    "max_active_replication_origins",
    "max_connections",
    "max_logical_replication_workers",
    "max_prepared_transactions",
    "max_replication_slots",
    "max_slot_wal_keep_size",
    "max_sync_workers_per_subscription",
    "max_wal_senders",
    "max_worker_processes",
    "password_encryption",
    "shared_preload_libraries",
    "synchronous_standby_names",
    "wal_level",
    "wal_sender_timeout",
];

/// One setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its value, in `unit`.
    pub value: String,
    /// Such as `8kB`, `ms`.
    pub unit: Option<String>,
    /// Where it comes from: `default`, `configuration file`, `database`, `user` and so on.
    pub source: String,
    /// What it is when nobody sets it.
    pub boot: Option<String>,
    /// The configuration says something else, which takes a restart.
    pub pending_restart: bool,
}

impl Setting {
    /// Whether nobody has set it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.source == "default" || self.boot.as_deref() == Some(&self.value)
    }

    /// Value and unit, for people: `16384 × 8kB`.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.unit {
            Some(unit) if unit.starts_with(char::is_numeric) => format!("{} × {unit}", self.value),
            Some(unit) => format!("{} {unit}", self.value),
            None if self.value.is_empty() => "empty".to_owned(),
            None => self.value.clone(),
        }
    }
}

/// Reads the settings. `reset_val` is the value that the session started with.
pub async fn read(database: &Database) -> Result<BTreeMap<String, Setting>> {
    let connecting = connect(database);
    let late = |_| {
        let reason = format!("no answer within {} s", TIMEOUT.as_secs());
        DriverError::new(&database.name, "connect", reason, Certainty::NotSent)
    };
    let mut client = tokio::time::timeout(TIMEOUT, connecting).await.map_err(late)??;
    let names: Vec<&str> = [MEANING, TUNING, REPLICATION].concat();
    query(&mut client, &names).await.map_err(|error| failed(database, "read the settings", &error))
}

async fn query(
    client: &mut Client,
    names: &[&str],
) -> std::result::Result<BTreeMap<String, Setting>, tokio_postgres::Error> {
    const SQL: &str = "SELECT coalesce(json_object_agg(name, json_build_object('value', coalesce(reset_val, ''), \
                       'unit', unit, 'source', source, 'boot', boot_val, 'pending_restart', pending_restart)), '{}') \
                       FROM pg_catalog.pg_settings WHERE name = ANY($1)";
    let transaction = client.build_transaction().read_only(true).start().await?;
    let row = transaction.query_one(SQL, &[&names]).await?;
    let Json(settings) = row.try_get(0)?;
    transaction.rollback().await?;
    Ok(settings)
}

async fn connect(database: &Database) -> Result<Client> {
    database.freshen().await?;
    let (mut config, tls) = database.dialling()?;
    config.ssl_mode(match tls.mode {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require | TlsMode::VerifyFull => SslMode::Require,
    });
    let refused = |error| failed(database, "connect", &error);
    if tls.mode == TlsMode::Disable {
        let (client, connection) = config.connect(NoTls).await.map_err(refused)?;
        tokio::spawn(async move { drop(connection.await) });
        return Ok(client);
    }
    let connector = tls::connector(&tls)
        .map_err(|reason| DriverError::new(&database.name, "prepare TLS", reason, Certainty::NotSent))?;
    let (client, connection) = config.connect(connector).await.map_err(refused)?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// Only reading was tried, so there is nothing in doubt.
fn failed(database: &Database, what: &str, error: &tokio_postgres::Error) -> DriverError {
    let reason = error.as_db_error().map_or_else(
        || {
            let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
            format!("{error}{source}")
        },
        |answer| answer.message().to_owned(),
    );
    let mut failed = DriverError::new(&database.name, what, reason, Certainty::Refused);
    failed.code = error.code().map(|code| code.code().to_owned());
    failed
}
