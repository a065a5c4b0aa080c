//! Reads tables: first in buckets, then the rows of the buckets that differ.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use tokio_postgres::RowStream;

use super::Side;
use super::pair::{Pair, strange};
use super::text::Sql;
use crate::systems::comparison::{self, One, Suspects};
use crate::systems::postgres::Session;
use crate::systems::{Certainty, DriverError, Result};

/// What a scan of both sides gave.
pub(super) struct Scanned {
    pub rows_source: u64,
    pub rows_target: u64,
    pub differing: Vec<i64>,
}

/// Number of rows and both sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bucket {
    rows: i64,
    sums: (String, String),
}

/// Reads both sides at the same time, each in one statement and so in one snapshot.
pub(super) async fn buckets(pair: &Pair, sql: &Sql<'_>) -> Result<Scanned> {
    let (source, target) =
        tokio::try_join!(read(&pair.source, sql, Side::Source), read(&pair.target, sql, Side::Target))?;
    let numbers: BTreeSet<i64> = source.keys().chain(target.keys()).copied().collect();
    let differing = numbers.into_iter().filter(|number| source.get(number) != target.get(number)).collect();
    let rows = |side: &HashMap<i64, Bucket>| side.values().map(|bucket| bucket.rows.unsigned_abs()).sum();
    Ok(Scanned { rows_source: rows(&source), rows_target: rows(&target), differing })
}

async fn read(session: &Session, sql: &Sql<'_>, side: Side) -> Result<HashMap<i64, Bucket>> {
    let what = format!("read {}", sql.table.shown);
    let mut stream = stream(session, &what, &sql.scan(side)).await?;
    let mut found = HashMap::new();
    while let Some(row) = stream.next().await? {
        let bucket = Bucket { rows: row.get(1), sums: (row.get(2), row.get(3)) };
        found.insert(row.get(0), bucket);
    }
    Ok(found)
}

/// Reads the differing buckets of both sides, sorted alike.
pub(super) async fn suspects(pair: &Pair, sql: &Sql<'_>, scanned: &Scanned, most: usize) -> Result<Suspects> {
    let left = rows(&pair.source, sql, Side::Source, &scanned.differing).await?;
    let right = rows(&pair.target, sql, Side::Target, &scanned.differing).await?;
    comparison::suspects(left, right, most).await
}

async fn rows<'s>(
    session: &'s Session,
    sql: &Sql<'_>,
    side: Side,
    buckets: &[i64],
) -> Result<impl Stream<Item = Result<One>> + Unpin + use<'s>> {
    let what = format!("read the rows of {} that differ", sql.table.shown);
    let answer = stream(session, &what, &sql.rows_of(side, buckets)).await?;
    Ok(answer.rows.map(move |row| {
        let row = row.map_err(|error| failed(session, &what, &error))?;
        let read = (row.try_get(0), row.try_get(1), row.try_get(2));
        let (Ok(order), Ok(key), Ok(digest)) = read else { return Err(strange(session, &what)) };
        Ok(One { order, key, digest })
    }))
}

/// Rows as they come, so that a big answer needs little memory.
struct Answer<'s> {
    session: &'s Session,
    what: String,
    rows: Pin<Box<RowStream>>,
}

async fn stream<'s>(session: &'s Session, what: &str, sql: &str) -> Result<Answer<'s>> {
    let none: [&str; 0] = [];
    let rows = session.client().query_raw(sql, none).await.map_err(|error| failed(session, what, &error))?;
    Ok(Answer { session, what: what.to_owned(), rows: Box::pin(rows) })
}

impl Answer<'_> {
    async fn next(&mut self) -> Result<Option<tokio_postgres::Row>> {
        self.rows.next().await.transpose().map_err(|error| failed(self.session, &self.what, &error))
    }
}

fn failed(session: &Session, what: &str, error: &tokio_postgres::Error) -> DriverError {
    let reason = error.as_db_error().map_or_else(|| error.to_string(), |answer| answer.message().to_owned());
    let mut failed = DriverError::new(session.system(), what, reason, Certainty::Refused);
    failed.code = error.code().map(|code| code.code().to_owned());
    failed
}
