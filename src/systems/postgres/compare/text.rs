//! The SQL that reads the rows of a table in a form that is the same on every server.
//!
//! A row is the text of `ROW(…)` over its columns sorted by name, which tells null from empty; its hash is an MD5, looked at
//! as two numbers whose sums don't depend on the order. Rows without a key are their own key, and are counted.

use super::Side;
use super::tables::Table;
use crate::runbook::model::Compare;
use crate::systems::comparison::Key;
use crate::systems::postgres::{ident, literal};

/// The statements of one table.
pub(super) struct Sql<'t> {
    pub table: &'t Table,
    pub mode: Compare,
    recode: bool,
}

impl<'t> Sql<'t> {
    pub const fn new(table: &'t Table, mode: Compare, recode: bool) -> Self {
        Self { table, mode, recode }
    }

    /// Whether rows are known by a key; if not, equal rows are counted.
    pub fn keyed(&self) -> bool {
        !self.table.key.is_empty()
    }

    fn from(&self, side: Side) -> &str {
        match side {
            Side::Source => &self.table.from_source,
            Side::Target => &self.table.from_target,
        }
    }

    fn md5(&self, columns: &[String]) -> String {
        let list: Vec<String> = columns.iter().map(|column| ident(column)).collect();
        let text = format!("ROW({})::text", list.join(", "));
        if self.recode { format!("md5(convert_to({text}, 'UTF8'))") } else { format!("md5({text})") }
    }

    /// The hash of a row.
    fn row_hash(&self) -> String {
        match self.mode {
            Compare::Checksums => self.md5(&self.table.columns),
            Compare::Rows => format!("'{:032}'::text", 1),
        }
    }

    /// The hash that a row is sorted and put into a bucket by.
    fn key_hash(&self) -> String {
        if self.keyed() { self.md5(&self.table.key) } else { self.row_hash() }
    }

    fn bucket(&self, hash: &str) -> String {
        format!("('x' || left({hash}, 8))::bit(32)::int8 % {}", self.table.buckets)
    }

    /// Per bucket: its number, rows, and two sums. `OFFSET 0` keeps the server from hashing each row for each use.
    pub fn scan(&self, side: Side) -> String {
        let (h, k) = (self.row_hash(), self.key_hash());
        let bucket = if self.keyed() { self.bucket("k") } else { self.bucket("h") };
        let key = if self.keyed() { format!(", {k} AS k") } else { String::new() };
        format!(
            "SELECT {bucket}, count(*), coalesce(sum(('x' || left(h, 16))::bit(64)::int8), 0)::text, \
             coalesce(sum(('x' || right(h, 16))::bit(64)::int8), 0)::text \
             FROM (SELECT {h} AS h{key} FROM {} OFFSET 0) q GROUP BY 1",
            self.from(side)
        )
    }

    /// Of some buckets: the hash of the key, the key, the digest; sorted by the first, alike on every server.
    pub fn rows_of(&self, side: Side, buckets: &[i64]) -> String {
        let list: Vec<String> = buckets.iter().map(i64::to_string).collect();
        let (h, from) = (self.row_hash(), self.from(side));
        let wanted = |hash: &str| format!("{} IN ({})", self.bucket(hash), list.join(", "));
        if self.keyed() {
            let k = self.key_hash();
            return format!(
                "SELECT k, key, h FROM (SELECT {k} AS k, {} AS key, {h} AS h FROM {from} OFFSET 0) q WHERE {} \
                 ORDER BY k COLLATE \"C\"",
                self.key_texts(),
                wanted("k")
            );
        }
        format!(
            "SELECT h, ARRAY[h], count(*)::text FROM (SELECT {h} AS h FROM {from} OFFSET 0) q WHERE {} \
             GROUP BY h ORDER BY h COLLATE \"C\"",
            wanted("h")
        )
    }

    fn key_texts(&self) -> String {
        let list: Vec<String> = self.table.key.iter().map(|column| format!("{}::text", ident(column))).collect();
        format!("ARRAY[{}]", list.join(", "))
    }

    /// Rows by their keys: the key, the digest, and the version of the row, which tells an untouched row from one that was
    /// changed and changed back.
    pub fn rows_by_key(&self, side: Side, keys: &[Key]) -> String {
        let (h, from) = (self.row_hash(), self.from(side));
        if self.keyed() {
            // `xmax` stands in a row that a transaction has changed, or locked, also before its commit shows.
            return format!(
                "SELECT {}, {h}, CASE WHEN xmax = 0 THEN concat_ws('/', tableoid, xmin, ctid) END FROM {from} WHERE {}",
                self.key_texts(),
                self.matching(keys)
            );
        }
        let list: Vec<String> = keys.iter().flatten().map(|hash| literal(hash)).collect();
        format!(
            "SELECT ARRAY[h], count(*)::text, NULL::text FROM (SELECT {h} AS h FROM {from} OFFSET 0) q \
             WHERE h IN ({}) GROUP BY h",
            list.join(", ")
        )
    }

    /// Literals without a type take that of their column, so that the index serves.
    fn matching(&self, keys: &[Key]) -> String {
        let one = |key: &Key| {
            let pairs: Vec<String> = self
                .table
                .key
                .iter()
                .zip(key)
                .map(|(column, text)| format!("{} = {}", ident(column), literal(text)))
                .collect();
            format!("({})", pairs.join(" AND "))
        };
        keys.iter().map(one).collect::<Vec<_>>().join(" OR ")
    }

    /// A hash for each column of one row, in their order.
    pub fn columns_of(&self, side: Side, key: &Key) -> String {
        let list: Vec<String> =
            self.table.columns.iter().map(|column| self.md5(std::slice::from_ref(column))).collect();
        format!(
            "SELECT ARRAY[{}] FROM {} WHERE {}",
            list.join(", "),
            self.from(side),
            self.matching(std::slice::from_ref(key))
        )
    }

    /// A key in words.
    pub fn shown(&self, key: &Key) -> String {
        if !self.keyed() {
            return format!("row with the MD5 {}", key.concat());
        }
        let pairs: Vec<String> =
            self.table.key.iter().zip(key).map(|(column, text)| format!("{column}={text}")).collect();
        pairs.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(key: &[&str]) -> Table {
        Table {
            schema: "app".into(),
            name: "t".into(),
            shown: "app.t".into(),
            from_source: "ONLY \"app\".\"t\"".into(),
            from_target: "\"app\".\"t\"".into(),
            columns: vec!["a\"b".into(), "id".into()],
            key: key.iter().map(|&name| name.to_owned()).collect(),
            estimate: 5_000,
            buckets: 5,
        }
    }

    #[test]
    fn a_scan_hashes_each_row_once() {
        let table = table(&["id"]);
        insta::assert_snapshot!(Sql::new(&table, Compare::Checksums, false).scan(Side::Source), @r#"SELECT ('x' || left(k, 8))::bit(32)::int8 % 5, count(*), coalesce(sum(('x' || left(h, 16))::bit(64)::int8), 0)::text, coalesce(sum(('x' || right(h, 16))::bit(64)::int8), 0)::text FROM (SELECT md5(ROW("a""b", "id")::text) AS h, md5(ROW("id")::text) AS k FROM ONLY "app"."t" OFFSET 0) q GROUP BY 1"#);
    }

    #[test]
    fn keys_are_literals_of_no_type() {
        let table = table(&["a\"b", "id"]);
        let sql = Sql::new(&table, Compare::Checksums, false);
        assert_eq!(sql.matching(&[vec!["it's".into(), "5".into()]]), r#"("a""b" = 'it''s' AND "id" = '5')"#);
        assert_eq!(sql.shown(&vec!["x".into(), "5".into()]), "a\"b=x, id=5");
    }
}
