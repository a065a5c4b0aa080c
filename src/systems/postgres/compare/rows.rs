//! Reads single rows of a table by their keys.

use async_trait::async_trait;

use super::Side;
use super::pair::{Pair, strange};
use super::text::Sql;
use crate::systems::Result;
use crate::systems::comparison::{Key, Rows, Seat, Seen, View};
use crate::systems::postgres::Session;

/// Keys in one statement.
const CHUNK: usize = 200;

pub(super) struct TableRows<'a> {
    pub pair: &'a Pair,
    pub sampler: &'a Session,
    pub sql: &'a Sql<'a>,
    pub writer: Side,
}

#[async_trait]
impl Rows for TableRows<'_> {
    fn keyed(&self) -> bool {
        self.sql.keyed()
    }

    fn writer(&self) -> Side {
        self.writer
    }

    fn shown(&self, key: &Key) -> String {
        self.sql.shown(key)
    }

    async fn read(&self, seat: Seat, keys: &[Key]) -> Result<View> {
        let (session, side) = match seat {
            Seat::Writer => (self.pair.side(self.writer), self.writer),
            Seat::Sampler => (self.sampler, self.writer),
            Seat::Reader => (self.pair.side(self.writer.other()), self.writer.other()),
        };
        let what = format!("read rows of {}", self.sql.table.shown);
        let mut view = View::new();
        for chunk in keys.chunks(CHUNK) {
            for row in session.rows(&what, &self.sql.rows_by_key(side, chunk), &[]).await? {
                let read = (row.try_get(0), row.try_get(1), row.try_get(2));
                let (Ok(key), Ok(digest), Ok(version)) = read else { return Err(strange(session, &what)) };
                view.insert(key, Seen { digest, version });
            }
        }
        Ok(view)
    }

    async fn differing_columns(&self, key: &Key) -> Result<Vec<String>> {
        let mut hashes = Vec::new();
        for side in [Side::Source, Side::Target] {
            let what = format!("read a row of {}", self.sql.table.shown);
            let rows = self.pair.side(side).rows(&what, &self.sql.columns_of(side, key), &[]).await?;
            hashes.push(rows.first().map(|row| row.get::<_, Vec<String>>(0)).unwrap_or_default());
        }
        let [source, target] = hashes.as_slice() else { return Ok(Vec::new()) };
        let pairs = source.iter().zip(target);
        let differing = self.sql.table.columns.iter().zip(pairs).filter(|(_, (one, other))| one != other);
        Ok(differing.map(|(column, _)| column.clone()).collect())
    }
}
