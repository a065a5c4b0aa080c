//! Reads tables: first in buckets, then the rows of the buckets that differ.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;

use futures_util::StreamExt;
use tokio_postgres::RowStream;

use super::Side;
use super::pair::{Pair, strange};
use super::text::{Key, Sql};
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

/// Keys whose rows differed when they were read.
pub(super) struct Suspects {
    pub keys: Vec<Key>,
    /// There are more than `keys` holds.
    pub more: bool,
}

/// Reads the differing buckets of both sides, sorted alike, side by side: what is equal is forgotten at once.
pub(super) async fn suspects(pair: &Pair, sql: &Sql<'_>, scanned: &Scanned, most: usize) -> Result<Suspects> {
    let mut left = Rows::open(&pair.source, sql, Side::Source, &scanned.differing).await?;
    let mut right = Rows::open(&pair.target, sql, Side::Target, &scanned.differing).await?;
    let mut found = Suspects { keys: Vec::new(), more: false };
    loop {
        let order = match (&left.head, &right.head) {
            (None, None) => return Ok(found),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(one), Some(other)) => one.order.cmp(&other.order),
        };
        let mine = if order.is_le() { left.take().await? } else { None };
        let theirs = if order.is_ge() { right.take().await? } else { None };
        let digest = |one: &Option<One>| one.as_ref().map(|one| (one.key.clone(), one.digest.clone()));
        if digest(&mine) == digest(&theirs) {
            continue;
        }
        if found.keys.len() == most {
            found.more = true;
            return Ok(found);
        }
        found.keys.extend(mine.or(theirs).map(|one| one.key));
    }
}

struct One {
    order: String,
    key: Key,
    digest: String,
}

/// Sorted rows, one in hand.
struct Rows<'s> {
    stream: Answer<'s>,
    head: Option<One>,
}

impl<'s> Rows<'s> {
    async fn open(session: &'s Session, sql: &Sql<'_>, side: Side, buckets: &[i64]) -> Result<Rows<'s>> {
        let what = format!("read the rows of {} that differ", sql.table.shown);
        let stream = stream(session, &what, &sql.rows_of(side, buckets)).await?;
        let mut rows = Rows { stream, head: None };
        rows.take().await?;
        Ok(rows)
    }

    /// Gives the row in hand and takes the next.
    async fn take(&mut self) -> Result<Option<One>> {
        let next = match self.stream.next().await? {
            Some(row) => {
                let read = (row.try_get(0), row.try_get(1), row.try_get(2));
                let (Ok(order), Ok(key), Ok(digest)) = read else {
                    return Err(strange(self.stream.session, &self.stream.what));
                };
                Some(One { order, key, digest })
            }
            None => None,
        };
        Ok(std::mem::replace(&mut self.head, next))
    }
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
