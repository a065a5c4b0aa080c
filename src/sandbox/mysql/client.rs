//! A client of MySQL or MariaDB over loopback, without TLS.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use mysql_async::{Conn, Error, Opts, OptsBuilder, Row, Value, prelude::Queryable};
use tokio::sync::Mutex;

use crate::sandbox::{SandboxError, shop::Refusal};

/// Longer than any window holds new connections.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// Answers of a server that leave open what became of the statement: shutdown, an error in the middle of a commit, an
/// interrupted statement, a killed connection (MariaDB), a session that timed out.
const LEAVES_OPEN: [u16; 6] = [1053, 1180, 1317, 1927, 3024, 4031];

/// A connection that several tasks may share; they take turns.
#[derive(Debug)]
pub struct MysqlClient {
    conn: Mutex<Conn>,
    broken: AtomicBool,
}

impl MysqlClient {
    /// Opens a connection.
    pub(crate) async fn open(url: &str) -> Result<Self, Refusal> {
        let opts = Opts::from_url(url).map_err(|error| refusal(&error.into()))?;
        Self::with(OptsBuilder::from_opts(opts)).await
    }

    /// The same with options. The rest of a query's settings is fixed, so that a login takes no further round trip; and
    /// never by a Unix socket unless it is named, since that would go round what stands before the server.
    pub(super) async fn with(opts: OptsBuilder) -> Result<Self, Refusal> {
        let opts = opts.prefer_socket(false).max_allowed_packet(Some(16 * 1024 * 1024)).wait_timeout(Some(3600));
        match tokio::time::timeout(CONNECT_LIMIT, Conn::new(opts)).await {
            Ok(Ok(conn)) => Ok(Self { conn: Mutex::new(conn), broken: AtomicBool::new(false) }),
            Ok(Err(error)) => Err(refusal(&error)),
            Err(_) => Err(Refusal { words: format!("no connection within {CONNECT_LIMIT:?}"), sure: true }),
        }
    }

    /// Runs statements that give no rows; a semicolon stands between several.
    ///
    /// # Errors
    /// With the server's own words.
    pub async fn execute(&self, sql: &str) -> Result<(), SandboxError> {
        self.run_sql(sql).await.map_err(|refusal| refusal.at("run a statement"))
    }

    /// The rows of a query, as text.
    ///
    /// # Errors
    /// With the server's own words.
    pub async fn query(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, SandboxError> {
        self.rows_of(sql).await.map_err(|refusal| refusal.at("run a query"))
    }

    /// The first column of the first row, as text.
    ///
    /// # Errors
    /// With the server's own words.
    pub async fn value(&self, sql: &str) -> Result<Option<String>, SandboxError> {
        Ok(self.query(sql).await?.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    pub(super) async fn run_sql(&self, sql: &str) -> Result<(), Refusal> {
        let outcome = self.conn.lock().await.query_drop(sql).await;
        outcome.map_err(|error| self.noted(&error))
    }

    pub(super) async fn rows_of(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Refusal> {
        let rows: Result<Vec<Row>, Error> = self.conn.lock().await.query(sql).await;
        Ok(rows.map_err(|error| self.noted(&error))?.into_iter().map(texts).collect())
    }

    fn noted(&self, error: &Error) -> Refusal {
        let refusal = refusal(error);
        if error.is_fatal() || !refusal.sure {
            self.broken.store(true, Ordering::Relaxed);
        }
        refusal
    }
}

fn texts(row: Row) -> Vec<Option<String>> {
    let text = |value| match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true)),
    };
    row.unwrap().into_iter().map(text).collect()
}

fn refusal(error: &Error) -> Refusal {
    match error {
        Error::Server(server) => {
            let words = format!("ERROR {} ({}): {}", server.code, server.state, server.message);
            Refusal { words, sure: !LEAVES_OPEN.contains(&server.code) }
        }
        other => Refusal { words: other.to_string(), sure: false },
    }
}
