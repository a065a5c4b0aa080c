//! What the sandbox's own clients do with the sample application's database, whatever kind it is.

use async_trait::async_trait;

use super::{SandboxError, WriteRequest, db, mysql::MysqlClient};

/// Why a database did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its own words, or those of the driver.
    pub words: String,
    /// Whether it is sure that nothing was changed: the server said no to the statement. It is not sure when the
    /// session ended in the middle of it.
    pub sure: bool,
}

impl Refusal {
    /// The error of an attempt, worded as the end of "could not ...".
    pub(crate) fn at(self, doing: &str) -> SandboxError {
        SandboxError::Database { doing: doing.to_owned(), reason: self.words }
    }
}

/// A connection to the sample application's database.
#[async_trait]
pub trait Shop: Send + Sync {
    /// Whether it is known to be of no use any more.
    fn is_closed(&self) -> bool;

    /// Runs statements that give no rows.
    async fn run(&self, sql: &str) -> Result<(), Refusal>;

    /// The rows of a query, as text.
    async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Refusal>;

    /// One transaction of the application, without its `COMMIT`, in one round trip.
    fn write_sql(&self, request: &WriteRequest, via: &str) -> String;

    /// What counts up by itself and would give a number again, in words.
    async fn number_anomalies(&self) -> Result<Vec<String>, Refusal>;
}

/// Opens a connection of the kind that the URL names.
pub(crate) async fn open(url: &str) -> Result<Box<dyn Shop>, Refusal> {
    if url.starts_with("mysql:") {
        return Ok(Box::new(MysqlClient::open(url).await?));
    }
    let client = db::open(url).await.map_err(|error| Refusal { words: super::error::explain(&error), sure: true })?;
    Ok(Box::new(client))
}

/// The first column of a query, where it is not null.
pub(crate) async fn column(db: &dyn Shop, sql: &str) -> Result<Vec<String>, Refusal> {
    let rows = db.rows(sql).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// Tickets that were given twice, in words; the same on every kind.
pub(crate) async fn tickets_given_twice(db: &dyn Shop) -> Result<Vec<String>, Refusal> {
    let sql = "SELECT ticket FROM ledger GROUP BY ticket HAVING count(*) > 1 ORDER BY 1 LIMIT 5";
    Ok(column(db, sql).await?.iter().map(|ticket| format!("ticket {ticket} was given twice")).collect())
}

/// The account that a write touches: spread over the thousand that every scale has.
pub(crate) fn account_of(request: &WriteRequest) -> i64 {
    1 + (i64::from(request.client) * 97 + request.n * 31).rem_euclid(1000)
}
