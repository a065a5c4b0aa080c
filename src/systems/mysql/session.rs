//! One connection to one MySQL or MariaDB server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Value};
use tokio::sync::Mutex;

use super::dial::{self, Target};
use super::{Flavour, Version, ident};
use crate::runbook::model::{Mysql, OnRds, TlsMode};
use crate::systems::address::Address;
use crate::systems::{Certainty, DriverError, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Every session of ours holds a lock of this name with its id behind it: this is how it is known from the sessions of
/// clients, on a server that can't be written, too.
pub const MARK: &str = "pointsman:";

/// What a session may do. The server enforces it: a read-only session can't write even by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For `check`, `plan`, gates and observing.
    ReadOnly,
    /// For the effects of steps.
    ReadWrite,
}

/// A database of the runbook: its name and how it is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// Name of the system in the runbook.
    pub name: String,
    /// What it is said to be.
    pub flavour: Flavour,
    /// How it is reached; references are resolved at each connect.
    pub spec: Mysql,
}

impl Database {
    /// Where it is, with the secret in it: not to be printed.
    pub fn target(&self) -> Result<Target> {
        dial::own(&self.name, &self.spec)
    }

    /// Where load balancers and applications reach it: its `address`, else what its URL says.
    pub fn address(&self) -> Result<Address> {
        let target = self.target()?;
        match &self.spec.address {
            Some(named) => {
                let unusable = || self.not_sent("read its address", format!("{named} is not host:port"));
                Address::parse(named, target.schema).ok_or_else(unusable)
            }
            None => Ok(Address { host: target.host, port: target.port, dbname: target.schema }),
        }
    }

    /// Opens a session. Settings that could get in the way (timeouts, SQL mode, time zone) are overridden for it.
    pub async fn connect(&self, access: Access) -> Result<Session> {
        dial::freshen(&self.name, &self.spec).await?;
        let opened = match tokio::time::timeout(CONNECT_TIMEOUT, self.open(access)).await {
            Ok(session) => session,
            Err(_) => Err(self.not_sent("connect", format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
        };
        let rds = match &self.spec.rds {
            Some(OnRds::Named(name)) => Some(name.as_str()),
            _ => None,
        };
        opened.map_err(|error| error.dialled_at(rds))
    }

    async fn open(&self, access: Access) -> Result<Session> {
        let mut conn = self.dial().await?;
        let failed = |error| driver_error(&self.name, "connect", &error, Certainty::NotSent);
        let said: Option<String> = conn.query_first("SELECT VERSION()").await.map_err(failed)?;
        let (flavour, version) = Version::read(&said.unwrap_or_default());
        if flavour != self.flavour {
            let reason = format!("it is {}, and the runbook says {}", flavour.name(), self.flavour.name());
            let hint = format!("write `{}:` in place of `{}:`", flavour.kind(), self.flavour.kind());
            return Err(self.not_sent("connect", reason).with_hint(hint));
        }
        conn.query_drop(session_options(access, flavour)).await.map_err(failed)?;
        let id = conn.id();
        let (system, conn) = (self.name.clone(), Mutex::new(Some(conn)));
        Ok(Session { system, flavour, version, id, conn, closed: AtomicBool::new(false) })
    }

    /// `prefer` takes a server that has no TLS as it is; every other mode but `disable` does not.
    async fn dial(&self) -> Result<Conn> {
        // Without the schema of the URL: before the copy the target need not have it.
        let (target, tls) = (Target { schema: None, ..self.target()? }, &self.spec.tls);
        let options = |encrypted| target.options(tls, encrypted).map_err(|reason| self.not_sent("prepare TLS", reason));
        let failed = |error| driver_error(&self.name, "connect", &error, Certainty::NotSent);
        let dialled = Conn::new(options(tls.mode != TlsMode::Disable)?).await;
        match dialled {
            Err(mysql_async::Error::Driver(mysql_async::DriverError::NoClientSslFlagFromServer))
                if tls.mode == TlsMode::Prefer =>
            {
                Conn::new(options(false)?).await.map_err(failed)
            }
            other => other.map_err(failed),
        }
    }

    fn not_sent(&self, what: &str, reason: impl std::fmt::Display) -> DriverError {
        DriverError::new(&self.name, what, reason, Certainty::NotSent)
    }
}

/// Statements that every session begins with.
fn session_options(access: Access, flavour: Flavour) -> String {
    let mut sql = format!(
        "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', autocommit = 1, \
         lock_wait_timeout = 5, innodb_lock_wait_timeout = 5, group_concat_max_len = 4194304, wait_timeout = 86400;\n\
         DO GET_LOCK(CONCAT('{MARK}', CONNECTION_ID()), 0);\n"
    );
    if flavour == Flavour::Mysql {
        sql += "SET SESSION information_schema_stats_expiry = 0;\n";
    }
    if access == Access::ReadOnly {
        sql += "SET SESSION TRANSACTION READ ONLY;\n";
    }
    sql
}

/// One connection. Calls on it are sent in order; dropping it closes it.
pub struct Session {
    system: String,
    flavour: Flavour,
    version: Version,
    id: u32,
    /// Absent while a call is under way, and for ever when one was given up in the middle.
    conn: Mutex<Option<Conn>>,
    closed: AtomicBool,
}

/// Rows of one statement, as text.
pub type TextRows = Vec<Vec<Option<String>>>;
/// One row by the names of its columns.
pub type Record = BTreeMap<String, Option<String>>;

impl Session {
    /// Name of the system in the runbook.
    #[must_use]
    pub fn system(&self) -> &str {
        &self.system
    }

    /// Which of the two answers.
    #[must_use]
    pub const fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The server's id of this connection.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Whether the server or the network closed it, or a call on it was given up.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Rows of one statement. `what` is the phrase that an error uses: "read the accounts".
    pub async fn rows(&self, what: &str, sql: &str) -> Result<TextRows> {
        Ok(self.batch(what, sql).await?.into_iter().next().unwrap_or_default())
    }

    /// The first column of the first row; nothing when there is no row, or null in it.
    pub async fn value(&self, what: &str, sql: &str) -> Result<Option<String>> {
        Ok(self.rows(what, sql).await?.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// Rows of one statement by the names of their columns: for `SHOW`, whose columns differ between versions.
    pub async fn records(&self, what: &str, sql: &str) -> Result<Vec<Record>> {
        let rows = self.with(what, async |conn| conn.query::<mysql_async::Row, _>(sql).await).await?;
        Ok(rows.into_iter().map(record).collect())
    }

    /// Runs statements in one round trip and gives the rows of each statement that has any columns, in order. The
    /// first that fails ends it; each is a transaction of its own unless they say otherwise.
    pub async fn batch(&self, what: &str, sql: &str) -> Result<Vec<TextRows>> {
        self.with(what, async |conn| results(conn, sql).await).await
    }

    /// The same, but given up by the server after `limit`, on the word of another session: for statements that wait
    /// for a lock and make everybody else queue behind them meanwhile.
    pub async fn batch_within(&self, what: &str, sql: &str, limit: Duration, other: &Self) -> Result<Vec<TextRows>> {
        let mut running = std::pin::pin!(self.batch(what, sql));
        tokio::select! {
            done = &mut running => return done,
            () = tokio::time::sleep(limit) => {}
        }
        other.batch("give up what waits", &format!("KILL QUERY {}", self.id)).await?;
        let done = running.await;
        // Where it had ended by itself, the next statement is the one that is given up.
        drop(self.batch("clear the interruption", "DO 0").await);
        done.map_err(|error| match error.code.as_deref() {
            Some("1317" | "1969" | "3024") => {
                DriverError { reason: format!("it was not done within {} ms", limit.as_millis()), ..error }
            }
            _ => error,
        })
    }

    async fn with<T>(&self, what: &str, work: impl AsyncFnOnce(&mut Conn) -> mysql_async::Result<T>) -> Result<T> {
        let mut slot = self.conn.lock().await;
        let Some(mut conn) = slot.take() else {
            return Err(DriverError::new(&self.system, what, "the connection is closed", Certainty::NotSent));
        };
        // Whoever gives up in the middle leaves the session closed: what its connection would answer is not known.
        self.closed.store(true, Ordering::SeqCst);
        let done = work(&mut conn).await;
        if let Err(error) = &done
            && (error.is_fatal() || has_ended(error))
        {
            return Err(driver_error(&self.system, what, error, Certainty::Unknown));
        }
        self.closed.store(false, Ordering::SeqCst);
        *slot = Some(conn);
        done.map_err(|error| driver_error(&self.system, what, &error, Certainty::Unknown))
    }
}

async fn results(conn: &mut Conn, sql: &str) -> mysql_async::Result<Vec<TextRows>> {
    let mut result = conn.query_iter(sql).await?;
    let mut all = Vec::new();
    loop {
        let has_columns = !result.columns_ref().is_empty();
        if result.is_empty() && !has_columns {
            break;
        }
        let rows: Vec<mysql_async::Row> = result.collect().await?;
        if has_columns {
            all.push(rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect());
        }
    }
    result.drop_result().await?;
    Ok(all)
}

fn record(row: mysql_async::Row) -> Record {
    let names: Vec<String> = row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
    names.into_iter().zip(row.unwrap().into_iter().map(text)).collect()
}

/// A value of the text protocol.
fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    }
}

/// The server is going away, or somebody ended this session: what ran may or may not have been done.
fn has_ended(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(answer) if matches!(answer.code, 1053 | 1927 | 3169 | 4031))
}

/// Words an error: a server that answered refused; anything else is as sure as `otherwise` says.
pub(in crate::systems) fn driver_error(
    system: &str,
    what: &str,
    error: &mysql_async::Error,
    otherwise: Certainty,
) -> DriverError {
    let mysql_async::Error::Server(answer) = error else {
        return DriverError::new(system, what, error, otherwise);
    };
    let certainty = if has_ended(error) { otherwise } else { Certainty::Refused };
    // Our own refusals come as SIGNAL, with a state of ours.
    let own = answer.state.starts_with("PM");
    let reason = if own { answer.message.clone() } else { format!("{} ({})", answer.message, answer.code) };
    let mut failed = DriverError::new(system, what, reason, certainty);
    failed.code = Some(if own { answer.state.clone() } else { answer.code.to_string() });
    failed
}

/// `USE` of a schema, for statements of the author's.
#[must_use]
pub fn use_schema(schema: Option<&str>) -> String {
    schema.map_or_else(String::new, |schema| format!("USE {};\n", ident(schema)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, state: &str) -> DriverError {
        let error = mysql_async::ServerError { code, state: state.into(), message: "no".into() };
        driver_error("s", "try", &mysql_async::Error::Server(error), Certainty::Unknown)
    }

    #[test]
    fn says_how_sure_it_is() {
        let refused = answer(1290, "HY000");
        assert_eq!((refused.certainty, refused.code.as_deref()), (Certainty::Refused, Some("1290")));
        assert_eq!(answer(1053, "08S01").certainty, Certainty::Unknown);
        let ours = answer(1644, "PM001");
        assert!(ours.is_code(crate::systems::STALE_EPOCH) && ours.reason == "no");
        let lost = mysql_async::Error::Driver(mysql_async::DriverError::ConnectionClosed);
        assert_eq!(driver_error("s", "try", &lost, Certainty::NotSent).certainty, Certainty::NotSent);
    }

    #[test]
    fn a_read_only_session_is_told_so() {
        assert!(session_options(Access::ReadOnly, Flavour::Mariadb).contains("TRANSACTION READ ONLY"));
        assert!(!session_options(Access::ReadWrite, Flavour::Mysql).contains("READ ONLY"));
    }
}
