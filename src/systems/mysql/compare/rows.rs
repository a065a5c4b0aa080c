//! Reads single rows of a table by their keys.

use async_trait::async_trait;

use super::pair::Pair;
use super::text::Sql;
use crate::systems::Result;
use crate::systems::comparison::{Key, Rows, Seat, Seen, Side, View};
use crate::systems::mysql::Session;

/// Keys in one statement.
const CHUNK: usize = 100;

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
            for row in session.rows(&what, &self.sql.rows_by_key(side, chunk)).await? {
                let mut values = row.into_iter().map(Option::unwrap_or_default);
                let digest = values.next().unwrap_or_default();
                view.insert(values.collect(), Seen { digest, version: None });
            }
        }
        Ok(view)
    }

    async fn differing_columns(&self, key: &Key) -> Result<Vec<String>> {
        let what = format!("read a row of {}", self.sql.table.shown);
        let mut sides = Vec::new();
        for side in [Side::Source, Side::Target] {
            let rows = self.pair.side(side).rows(&what, &self.sql.columns_of(side, key)).await?;
            sides.push(rows.into_iter().next().unwrap_or_default());
        }
        let [source, target] = sides.as_slice() else { return Ok(Vec::new()) };
        let differs = source.iter().zip(target).map(|(one, other)| one != other);
        let named = self.sql.table.columns.iter().zip(differs).filter(|(_, differs)| *differs);
        Ok(named.map(|(part, _)| part.name.clone()).collect())
    }
}
