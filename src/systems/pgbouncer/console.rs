//! One connection to PgBouncer's admin console, opened again when it is gone. The console speaks the simple protocol
//! only, and its tables grow columns from version to version, so that rows are read by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::runbook::model::Tls;
use crate::secret;
use crate::systems::postgres::session::driver_error;
use crate::systems::postgres::tls;
use crate::systems::{Certainty, DriverError, Result};

/// Bound of everything but `PAUSE`; the console answers in well under a millisecond.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// One row of a `SHOW`, by column.
#[derive(Clone, Debug, Default)]
pub struct Row(HashMap<String, String>);

impl Row {
    /// A column's text; nothing when it is empty or this version has no such column.
    pub fn get(&self, column: &str) -> Option<&str> {
        self.0.get(column).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A column that holds a number.
    pub fn number(&self, column: &str) -> Option<u64> {
        self.get(column)?.parse().ok()
    }

    /// A column that holds 0 or 1.
    pub fn flag(&self, column: &str) -> bool {
        self.get(column) == Some("1")
    }
}

/// A connection to the console of one instance.
#[derive(Debug)]
pub struct Console {
    system: String,
    url: String,
    slot: Mutex<Option<Arc<Client>>>,
}

impl Console {
    /// A console that is connected at its first use.
    pub fn new(system: &str, url: &str) -> Self {
        Self { system: system.to_owned(), url: url.to_owned(), slot: Mutex::new(None) }
    }

    /// `host:port` of the instance, for people.
    pub fn address(&self) -> Result<String> {
        let config = self.config()?;
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        Ok(format!("{host}:{}", config.get_ports().first().copied().unwrap_or(5432)))
    }

    fn config(&self) -> Result<Config> {
        let unresolved = |error| DriverError::unresolved(&self.system, "resolve its admin url", error);
        let url = secret::resolve(&self.url).map_err(unresolved)?;
        let unreadable = "it is not postgresql://user:password@host:port/pgbouncer";
        let mut config: Config = url.expose().parse().map_err(|_| self.not_sent("read its admin url", unreadable))?;
        config.connect_timeout(ANSWER_LIMIT).keepalives_idle(Duration::from_secs(10)).application_name("pointsman");
        if config.get_dbname().is_none() {
            config.dbname("pgbouncer");
        }
        Ok(config)
    }

    /// Opens the connection if there is none that works.
    pub async fn client(&self) -> Result<Arc<Client>> {
        if let Some(client) = self.live() {
            return Ok(client);
        }
        let what = "connect to its admin console";
        let unresolved = |error| DriverError::unresolved(&self.system, "resolve its admin url", error);
        secret::remote::fresh(&self.url).await.map_err(unresolved)?;
        let client = match tokio::time::timeout(ANSWER_LIMIT, self.connect()).await {
            Ok(client) => Arc::new(client?),
            Err(_) => return Err(self.not_sent(what, format!("no answer within {} s", ANSWER_LIMIT.as_secs()))),
        };
        self.put(&client);
        Ok(client)
    }

    async fn connect(&self) -> Result<Client> {
        let config = self.config()?;
        let failed = |error| driver_error(&self.system, "connect to its admin console", &error, Certainty::NotSent);
        if config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
            tokio::spawn(async move { drop(connection.await) });
            return Ok(client);
        }
        let connector = tls::connector(&Tls::default()).map_err(|reason| self.not_sent("prepare TLS", reason))?;
        let (client, connection) = config.connect(connector).await.map_err(failed)?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }

    fn live(&self) -> Option<Arc<Client>> {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().filter(|client| !client.is_closed()).cloned()
    }

    fn put(&self, client: &Arc<Client>) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(client));
    }

    /// Takes the connection out for a statement that may never be answered. Whoever is dropped or times out with it
    /// leaves the slot empty, so that nobody else queues behind that statement.
    pub async fn lend(&self) -> Result<Arc<Client>> {
        let client = self.client().await?;
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(client)
    }

    /// Puts a lent connection back.
    pub fn give_back(&self, client: &Arc<Client>) {
        self.put(client);
    }

    /// Runs one statement and gives its rows.
    pub async fn ask(&self, what: &str, sql: &str) -> Result<Vec<Row>> {
        let client = self.client().await?;
        self.within(what, &client, sql, ANSWER_LIMIT).await
    }

    /// Runs two statements without waiting in between: one round trip. The second runs whatever the first gives.
    pub async fn ask_two(&self, what: &str, first: &str, second: &str) -> Result<(Result<Vec<Row>>, Result<Vec<Row>>)> {
        let client = self.client().await?;
        let first = self.within(what, &client, first, ANSWER_LIMIT);
        let second = self.within(what, &client, second, ANSWER_LIMIT);
        // Polled in this order, so sent in this order.
        Ok(tokio::join!(biased; first, second))
    }

    /// Runs one statement on this connection, bounded.
    pub async fn within(&self, what: &str, client: &Client, sql: &str, limit: Duration) -> Result<Vec<Row>> {
        match tokio::time::timeout(limit, client.simple_query(sql)).await {
            Ok(Ok(messages)) => Ok(rows(messages)),
            Ok(Err(error)) => Err(self.failed(what, &error)),
            Err(_) => {
                let reason = format!("no answer to {sql} within {limit:?}");
                Err(DriverError::new(&self.system, what, reason, Certainty::Unknown))
            }
        }
    }

    fn failed(&self, what: &str, error: &tokio_postgres::Error) -> DriverError {
        let mut failed = driver_error(&self.system, what, error, Certainty::Unknown);
        // FATAL ends the connection, whatever had been sent on it.
        if error.as_db_error().is_some_and(|answer| answer.severity() == "FATAL") {
            failed.certainty = Certainty::Unknown;
        }
        failed
    }

    fn not_sent(&self, what: &str, reason: impl std::fmt::Display) -> DriverError {
        DriverError::new(&self.system, what, reason, Certainty::NotSent)
    }
}

fn rows(messages: Vec<SimpleQueryMessage>) -> Vec<Row> {
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| {
        let column = |(at, column): (usize, &tokio_postgres::SimpleColumn)| {
            (column.name().to_owned(), row.get(at).unwrap_or_default().to_owned())
        };
        Row(row.columns().iter().enumerate().map(column).collect())
    })
    .collect()
}
