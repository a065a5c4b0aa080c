//! One connection to one PostgreSQL database.

use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::{FromSqlOwned, ToSql};
use tokio_postgres::{Client, Config, NoTls, Row, SimpleQueryMessage};

use super::{dial, tls};
use crate::runbook::model::{Postgres, Tls, TlsMode};
use crate::secret::{self, SecretError};
use crate::systems::address::Address;
use crate::systems::{Certainty, DriverError, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// An idle connection is looked after this often.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// A network that swallows what was sent is noticed after this long, instead of a quarter of an hour.
const NETWORK_LOST: Duration = Duration::from_secs(15);

/// What a session may do. The server enforces it: a read-only session can't write even by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For `check`, `plan`, gates and observing.
    ReadOnly,
    /// For the effects of steps. Also passes the sign on a fenced database's door.
    ReadWrite,
}

/// A database of the runbook: its name and how it is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// Name of the system in the runbook.
    pub name: String,
    /// How it is reached; references are resolved at each connect.
    pub spec: Postgres,
}

impl Database {
    /// Where poolers and applications reach it: its `address`, else what its URL says.
    pub fn address(&self) -> Result<Address> {
        let config = self.config()?;
        let dbname = config.get_dbname().map(str::to_owned);
        if let Some(named) = &self.spec.address {
            let unusable = || self.not_sent("read its address", format!("{named} is not host:port"));
            return Address::parse(named, dbname).ok_or_else(unusable);
        }
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => "localhost".to_owned(),
        };
        Ok(Address { host, port: config.get_ports().first().copied().unwrap_or(5432), dbname })
    }

    /// The connection's parameters, with the secret in them: not to be printed.
    pub fn config(&self) -> Result<Config> {
        self.dialling().map(|(config, _)| config)
    }

    /// The same, and how the connection is protected: what `tls` and the URL say together.
    pub fn dialling(&self) -> Result<(Config, Tls)> {
        let url = secret::resolve(&self.spec.url).map_err(|error| self.unresolved(error))?;
        let (mut config, tls) =
            dial::own(url.expose(), &self.spec.tls).map_err(|reason| self.not_sent("read its url", reason))?;
        config.connect_timeout(CONNECT_TIMEOUT).keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE);
        config.keepalives_retries(2).tcp_user_timeout(NETWORK_LOST);
        config.application_name("pointsman");
        Ok((config, tls))
    }

    /// Has the references of AWS in its URLs read again, before it is dialled by anybody.
    pub async fn freshen(&self) -> Result<()> {
        for url in [Some(&self.spec.url), self.spec.replication_url.as_ref()].into_iter().flatten() {
            secret::remote::fresh(url).await.map_err(|error| self.unresolved(error))?;
        }
        Ok(())
    }

    fn unresolved(&self, error: SecretError) -> DriverError {
        DriverError::unresolved(&self.name, "resolve its url", error)
    }

    /// Opens a session. Role and database settings that could get in the way (timeouts, search path, time zone, a
    /// read-only default) are overridden for it.
    pub async fn connect(&self, access: Access) -> Result<Session> {
        self.freshen().await?;
        let (mut config, tls) = self.dialling()?;
        config.options(session_options(access));
        config.ssl_mode(match tls.mode {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyFull => SslMode::Require,
        });
        let connecting = self.open(config, &tls);
        let opened = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(session) => session,
            Err(_) => Err(self.not_sent("connect", format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
        };
        opened.map_err(|error| error.dialled_at(self.spec.rds.as_deref()))
    }

    async fn open(&self, config: Config, tls: &Tls) -> Result<Session> {
        let failed = |error| driver_error(&self.name, "connect", &error, Certainty::NotSent);
        let client = if tls.mode == TlsMode::Disable {
            let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
            tokio::spawn(async move { drop(connection.await) });
            client
        } else {
            let connector = tls::connector(tls).map_err(|reason| self.not_sent("prepare TLS", reason))?;
            let (client, connection) = config.connect(connector).await.map_err(failed)?;
            tokio::spawn(async move { drop(connection.await) });
            client
        };
        Ok(Session { system: self.name.clone(), client })
    }

    fn not_sent(&self, what: &str, reason: impl std::fmt::Display) -> DriverError {
        DriverError::new(&self.name, what, reason, Certainty::NotSent)
    }
}

/// Startup options: these take precedence over what is set for the role and the database.
fn session_options(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => {
            "-c default_transaction_read_only=on -c search_path=pg_catalog -c TimeZone=UTC -c lock_timeout=2000 \
             -c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c client_min_messages=warning"
        }
        Access::ReadWrite => {
            "-c default_transaction_read_only=off -c search_path=pg_catalog -c TimeZone=UTC -c lock_timeout=5000 \
             -c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c client_min_messages=warning"
        }
    }
}

/// One connection. Calls on it are sent in order; dropping it closes it.
pub struct Session {
    system: String,
    client: Client,
}

/// Rows of one statement of a simple query, as text.
pub type TextRows = Vec<Vec<Option<String>>>;

impl Session {
    /// Name of the system in the runbook.
    #[must_use]
    pub fn system(&self) -> &str {
        &self.system
    }

    /// Whether the server or the network closed it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Rows of one statement. `what` is the phrase that an error uses: "read the roles".
    pub async fn rows(&self, what: &str, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.client.query(sql, params).await.map_err(|error| self.failed(what, &error))
    }

    /// The first column of the only row.
    pub async fn value<T: FromSqlOwned>(&self, what: &str, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<T> {
        let row = self.client.query_one(sql, params).await.map_err(|error| self.failed(what, &error))?;
        row.try_get(0).map_err(|error| self.failed(what, &error))
    }

    /// Runs statements in one round trip (simple protocol) and gives the rows of each statement that has any, in order.
    /// Without `BEGIN` in it, all is one transaction.
    pub async fn batch(&self, what: &str, sql: &str) -> Result<Vec<TextRows>> {
        let messages = self.client.simple_query(sql).await.map_err(|error| self.failed(what, &error))?;
        Ok(text_rows(messages))
    }

    /// Asks the server to stop the statement that runs; for a deadline that passed.
    #[must_use]
    pub fn cancel_token(&self) -> tokio_postgres::CancelToken {
        self.client.cancel_token()
    }

    /// The driver's client, for what this wrapper has no word for (`COPY`).
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn failed(&self, what: &str, error: &tokio_postgres::Error) -> DriverError {
        driver_error(&self.system, what, error, Certainty::Unknown)
    }
}

/// Groups the messages of a simple query by statement.
fn text_rows(messages: Vec<SimpleQueryMessage>) -> Vec<TextRows> {
    let mut results = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(_) => results.push(Vec::new()),
            SimpleQueryMessage::Row(row) => {
                let values = (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect();
                if let Some(rows) = results.last_mut() {
                    rows.push(values);
                }
            }
            _ => {}
        }
    }
    results
}

/// Words an error: a server that answered refused; anything else is as sure as `otherwise` says.
pub(in crate::systems) fn driver_error(
    system: &str,
    what: &str,
    error: &tokio_postgres::Error,
    otherwise: Certainty,
) -> DriverError {
    let Some(answer) = error.as_db_error() else {
        let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        return DriverError::new(system, what, format!("{error}{source}"), otherwise);
    };
    let mut reason = answer.message().to_owned();
    if let Some(detail) = answer.detail() {
        reason = format!("{reason}; {detail}");
    }
    // 57P01 to 57P03: the server ended the session, and what ran in it may or may not have been committed.
    let ended = answer.code().code().starts_with("57P0");
    let certainty = if ended { otherwise } else { Certainty::Refused };
    let mut failed = DriverError::new(system, what, reason, certainty);
    failed.code = Some(answer.code().code().to_owned());
    failed.hint = answer.hint().map(str::to_owned);
    failed
}
