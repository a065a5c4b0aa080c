//! Reads tables: in ranges or buckets first, then the rows of those that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream;

use super::pair::Pair;
use super::text::{Range, Sql};
use crate::clock;
use crate::systems::Result;
use crate::systems::comparison::{self, Key, One, Side, Suspects};
use crate::systems::mysql::Session;

/// Rows of the first range; the next ones are larger or smaller, so that one takes about [`PACE`].
const FIRST_ROWS: u64 = 2_000;
const LEAST_ROWS: u64 = 200;
const MOST_ROWS: u64 = 100_000;
/// How long a statement may keep a server busy.
const PACE: Duration = Duration::from_millis(250);

/// What a scan of both sides gave.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub rows_source: u64,
    pub rows_target: u64,
    pub suspects: Suspects,
}

/// Reads both sides at the same time, range after range. Ranges are cut on the side that is written; what the other one
/// has beyond the last is part of it.
pub(super) async fn scan(pair: &Pair, sql: &Sql<'_>, writer: Side, most: usize) -> Result<Scanned> {
    let mut scanned = Scanned::default();
    let mut range = Range::default();
    let mut rows = FIRST_ROWS;
    loop {
        let started = clock::monotonic();
        range.upto =
            if sql.table.ranged { boundary(pair.side(writer), sql, writer, &range, rows).await? } else { None };
        one_range(pair, sql, &range, most, &mut scanned).await?;
        if range.upto.is_none() || scanned.suspects.more {
            return Ok(scanned);
        }
        range.after = range.upto.take();
        rows = next(rows, started.elapsed());
    }
}

/// Twice as many, or half as many.
fn next(rows: u64, took: Duration) -> u64 {
    let wanted = match took {
        took if took < PACE / 2 => rows * 2,
        took if took > PACE => rows / 2,
        _ => rows,
    };
    wanted.clamp(LEAST_ROWS, MOST_ROWS)
}

async fn boundary(session: &Session, sql: &Sql<'_>, side: Side, range: &Range, rows: u64) -> Result<Option<Key>> {
    let what = format!("read the keys of {}", sql.table.shown);
    let found = session.rows(&what, &sql.boundary(side, range.after.as_ref(), rows)).await?;
    Ok(found.into_iter().next().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()))
}

async fn one_range(pair: &Pair, sql: &Sql<'_>, range: &Range, most: usize, scanned: &mut Scanned) -> Result<()> {
    let (source, target) =
        tokio::try_join!(read(&pair.source, sql, Side::Source, range), read(&pair.target, sql, Side::Target, range))?;
    let rows = |side: &BTreeMap<u64, Bucket>| side.values().map(|bucket| bucket.rows).sum::<u64>();
    scanned.rows_source += rows(&source);
    scanned.rows_target += rows(&target);
    let numbers: BTreeSet<u64> = source.keys().chain(target.keys()).copied().collect();
    let differing: Vec<u64> = numbers.into_iter().filter(|number| source.get(number) != target.get(number)).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let (left, right) = tokio::try_join!(
        rows_of(&pair.source, sql, Side::Source, range, &differing),
        rows_of(&pair.target, sql, Side::Target, range, &differing)
    )?;
    let room = most - scanned.suspects.keys.len();
    let found = comparison::suspects(stream::iter(left), stream::iter(right), room).await?;
    scanned.suspects.keys.extend(found.keys);
    scanned.suspects.more |= found.more;
    Ok(())
}

/// Number of rows and the sum of their hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bucket {
    rows: u64,
    sum: String,
}

async fn read(session: &Session, sql: &Sql<'_>, side: Side, range: &Range) -> Result<BTreeMap<u64, Bucket>> {
    let what = format!("read {}", sql.table.shown);
    let rows = session.rows(&what, &sql.scan(side, range)).await?;
    let bucket = |row: Vec<Option<String>>| {
        let mut values = row.into_iter();
        let mut next = || values.next().flatten();
        let (number, rows, sum) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?);
        Some((number, Bucket { rows, sum }))
    };
    Ok(rows.into_iter().filter_map(bucket).collect())
}

async fn rows_of(
    session: &Session,
    sql: &Sql<'_>,
    side: Side,
    range: &Range,
    buckets: &[u64],
) -> Result<Vec<Result<One>>> {
    let what = format!("read the rows of {} that differ", sql.table.shown);
    let rows = session.rows(&what, &sql.rows_of(side, range, buckets)).await?;
    let keyed = sql.keyed();
    Ok(rows.into_iter().map(|row| Ok(one(row, keyed))).collect())
}

/// Without a key a row is its own key, and its digest is how many are alike.
fn one(row: Vec<Option<String>>, keyed: bool) -> One {
    let mut values = row.into_iter().map(Option::unwrap_or_default);
    let (order, digest) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
    let key = if keyed { values.collect() } else { vec![order.clone()] };
    One { order, key, digest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_and_shrink_with_the_time_they_take() {
        let millis = Duration::from_millis;
        assert_eq!(
            [next(2_000, millis(10)), next(2_000, millis(200)), next(2_000, millis(900))],
            [4_000, 2_000, 1_000]
        );
        assert_eq!([next(MOST_ROWS, millis(1)), next(LEAST_ROWS, millis(9_000))], [MOST_ROWS, LEAST_ROWS]);
    }
}
