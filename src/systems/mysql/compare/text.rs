//! The SQL that reads the rows of a table in a form that is the same on every server.
//!
//! A row is the text of its columns sorted by name, with commas between them: numbers and times as they are in UTC, floats
//! with all their digits, strings as the hexadecimal digits of their bytes (so that neither collation nor padding matters),
//! large values as their SHA-256, null as `-`. Its hash is a SHA-256, of which the first 64 bits are summed up.

use super::tables::Table;
use crate::runbook::model::Compare;
use crate::systems::comparison::{Key, Side};
use crate::systems::mysql::{ident, literal};

/// How a column's values become text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Integers, decimals.
    Number,
    /// `FLOAT`: shown with six digits, so looked at as the double that it is.
    Float,
    /// `DOUBLE`.
    Double,
    /// `BIT`.
    Bit,
    /// Dates and times.
    Time,
    /// Text: its character set, its collation, and whether it may be long.
    Text { charset: String, collation: String, long: bool },
    /// `ENUM`, `SET`: sorted by their numbers, so not as text.
    Word { charset: String },
    /// Bytes, and whether there may be many.
    Bytes { long: bool },
    /// MySQL's own `JSON`, whose keys the server sorts.
    Json,
    /// Shapes.
    Shape,
    /// What the server shows as text: `UUID`, `INET6`.
    Shown,
}

impl Kind {
    /// By `DATA_TYPE` and character set.
    pub fn of(kind: &str, charset: Option<&str>, collation: Option<&str>) -> Self {
        let charset = match charset {
            Some("utf8") => "utf8mb3".to_owned(),
            other => other.unwrap_or("utf8mb4").to_owned(),
        };
        let collation = collation.unwrap_or_default().replace("utf8_", "utf8mb3_");
        match kind.to_ascii_lowercase().as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "decimal" | "numeric" | "year" => {
                Self::Number
            }
            "float" => Self::Float,
            "double" | "real" => Self::Double,
            "bit" => Self::Bit,
            "date" | "time" | "datetime" | "timestamp" => Self::Time,
            "char" | "varchar" | "tinytext" => Self::Text { charset, collation, long: false },
            "text" | "mediumtext" | "longtext" => Self::Text { charset, collation, long: true },
            "enum" | "set" => Self::Word { charset },
            "binary" | "varbinary" | "tinyblob" => Self::Bytes { long: false },
            "json" => Self::Json,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geometrycollection" | "geomcollection" => Self::Shape,
            "uuid" | "inet4" | "inet6" => Self::Shown,
            _ => Self::Bytes { long: true },
        }
    }
}

/// One column of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub name: String,
    source: Kind,
    target: Kind,
}

impl Part {
    /// A column that is long on one side is taken for long on both.
    pub fn new(name: &str, source: &Kind, target: &Kind) -> Self {
        let (mut source, mut target) = (source.clone(), target.clone());
        if let (
            Kind::Text { long: one, .. } | Kind::Bytes { long: one },
            Kind::Text { long: other, .. } | Kind::Bytes { long: other },
        ) = (&mut source, &mut target)
        {
            let long = *one || *other;
            (*one, *other) = (long, long);
        }
        Self { name: name.to_owned(), source, target }
    }

    const fn kind(&self, side: Side) -> &Kind {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// Whether a row can be asked for by this column's text.
    pub const fn tells_rows(&self) -> bool {
        !matches!(self.source, Kind::Float | Kind::Double | Kind::Json | Kind::Shape)
            && !matches!(self.target, Kind::Float | Kind::Double | Kind::Json | Kind::Shape)
    }

    /// Whether both sides sort it alike, with an index that serves.
    pub fn sorts_alike(&self) -> bool {
        let sorted =
            matches!(self.source, Kind::Number | Kind::Bit | Kind::Time | Kind::Text { .. } | Kind::Bytes { .. });
        sorted && self.source == self.target
    }

    /// The character set that its text is given in: its own, when both sides have the same.
    fn charset(&self) -> &str {
        match (&self.source, &self.target) {
            (Kind::Text { charset: one, .. }, Kind::Text { charset: other, .. }) if one == other => one,
            _ => "utf8mb4",
        }
    }

    /// Its text on a side; null when it is null.
    fn text(&self, side: Side) -> String {
        let name = ident(&self.name);
        match self.kind(side) {
            Kind::Number | Kind::Time | Kind::Double | Kind::Shown => format!("CAST({name} AS CHAR)"),
            Kind::Float => format!("CAST({name} + 0e0 AS CHAR)"),
            Kind::Bit => format!("CAST({name} + 0 AS CHAR)"),
            Kind::Text { charset, long, .. } => hashed(&self.recoded(&name, charset), *long, &name),
            Kind::Word { .. } => format!("HEX(CONVERT({name} USING utf8mb4))"),
            Kind::Bytes { long } => hashed(&name, *long, &name),
            Kind::Json => hashed(&format!("CAST({name} AS CHAR)"), true, &name),
            Kind::Shape => format!("CONCAT(ST_SRID({name}), '/', SHA2(ST_AsBinary({name}), 256))"),
        }
    }

    fn recoded(&self, name: &str, charset: &str) -> String {
        if self.charset() == charset { name.to_owned() } else { format!("CONVERT({name} USING {})", self.charset()) }
    }

    /// Its text as part of a key: never hashed.
    fn key_text(&self, side: Side) -> String {
        let name = ident(&self.name);
        match self.kind(side) {
            Kind::Text { charset, .. } => format!("HEX({})", self.recoded(&name, charset)),
            Kind::Bytes { .. } => format!("HEX({name})"),
            _ => self.text(side),
        }
    }

    /// A text of [`Part::key_text`] as a literal that the column's index serves.
    fn literal(&self, text: &str) -> String {
        match &self.source {
            Kind::Number | Kind::Bit if text.bytes().all(|b| b.is_ascii_digit() || b"-.".contains(&b)) => {
                text.to_owned()
            }
            Kind::Text { .. } => format!("_{} X'{text}'", self.charset()),
            Kind::Word { .. } => format!("_utf8mb4 X'{text}'"),
            Kind::Bytes { .. } => format!("X'{text}'"),
            _ => literal(text),
        }
    }

    /// A text of [`Part::key_text`] for people.
    fn shown(&self, text: &str) -> String {
        let (Kind::Text { .. } | Kind::Word { .. }) = &self.source else { return text.to_owned() };
        match (hex::decode(text), self.charset()) {
            (Ok(bytes), "latin1") => bytes.into_iter().map(char::from).collect(),
            (Ok(bytes), _) => String::from_utf8_lossy(&bytes).into_owned(),
            (Err(_), _) => text.to_owned(),
        }
    }
}

/// A value that does not fit into a packet after it was converted would look like null: its length stands for it.
fn hashed(expression: &str, long: bool, column: &str) -> String {
    match (long, expression == column) {
        (false, _) => format!("HEX({expression})"),
        (true, true) => format!("SHA2({expression}, 256)"),
        (true, false) => {
            format!("IF({column} IS NULL, NULL, COALESCE(SHA2({expression}, 256), CONCAT('?', LENGTH({column}))))")
        }
    }
}

/// The rows whose key lies after the first and not after the second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub after: Option<Key>,
    pub upto: Option<Key>,
}

/// The statements of one table.
pub(super) struct Sql<'t> {
    pub table: &'t Table,
    pub mode: Compare,
}

impl Sql<'_> {
    /// Whether rows are known by a key; if not, equal rows are counted.
    pub fn keyed(&self) -> bool {
        !self.table.key.is_empty()
    }

    fn from(&self) -> String {
        format!("{}.{}", ident(&self.table.schema), ident(&self.table.name))
    }

    /// The hash of a row.
    fn row_hash(&self, side: Side) -> String {
        match self.mode {
            Compare::Checksums => sha(self.table.columns.iter().map(|part| part.text(side))),
            Compare::Rows => format!("'{:064}'", 1),
        }
    }

    /// The hash that a row is sorted and put into a bucket by.
    fn key_hash(&self, side: Side) -> String {
        if self.keyed() { sha(self.table.key.iter().map(|part| part.key_text(side))) } else { self.row_hash(side) }
    }

    fn bucket(&self, side: Side) -> String {
        if self.table.buckets <= 1 {
            return "0".to_owned();
        }
        format!("CAST(CONV(LEFT({}, 8), 16, 10) AS UNSIGNED) % {}", self.key_hash(side), self.table.buckets)
    }

    /// Per bucket: its number, rows, and the sum of the hashes.
    pub fn scan(&self, side: Side, range: &Range) -> String {
        format!(
            "SELECT {} AS bucket, COUNT(*), COALESCE(SUM(CAST(CONV(LEFT({}, 16), 16, 10) AS UNSIGNED)), 0) FROM {}{} GROUP BY bucket",
            self.bucket(side),
            self.row_hash(side),
            self.from(),
            self.within(range)
        )
    }

    /// Of some buckets: the hash of the key, the digest, and the key; sorted by the first.
    pub fn rows_of(&self, side: Side, range: &Range, buckets: &[u64]) -> String {
        let mut within = self.within(range);
        if self.table.buckets > 1 {
            let list: Vec<String> = buckets.iter().map(u64::to_string).collect();
            let word = if within.is_empty() { "WHERE" } else { "AND" };
            within = format!("{within} {word} {} IN ({})", self.bucket(side), list.join(", "));
        }
        let (h, from) = (self.row_hash(side), self.from());
        if self.keyed() {
            return format!(
                "SELECT {} AS k, {h}, {} FROM {from}{within} ORDER BY k",
                self.key_hash(side),
                self.key_texts(side)
            );
        }
        format!("SELECT {h} AS h, CAST(COUNT(*) AS CHAR) FROM {from}{within} GROUP BY h ORDER BY h")
    }

    fn key_texts(&self, side: Side) -> String {
        self.table.key.iter().map(|part| part.key_text(side)).collect::<Vec<String>>().join(", ")
    }

    /// The key that ends a range of so many rows.
    pub fn boundary(&self, side: Side, after: Option<&Key>, rows: u64) -> String {
        let order: Vec<String> = self.table.key.iter().map(|part| ident(&part.name)).collect();
        let range = Range { after: after.cloned(), upto: None };
        format!(
            "SELECT {} FROM {}{} ORDER BY {} LIMIT 1 OFFSET {}",
            self.key_texts(side),
            self.from(),
            self.within(&range),
            order.join(", "),
            rows.saturating_sub(1)
        )
    }

    fn within(&self, range: &Range) -> String {
        let after = range.after.as_ref().map(|key| self.beyond(key, ">", ">"));
        let upto = range.upto.as_ref().map(|key| self.beyond(key, "<", "<="));
        let all: Vec<String> = after.into_iter().chain(upto).collect();
        if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
    }

    /// Comparing row by row, `(a, b) > (1, 2)`, keeps servers from using the index: it is spelt out, with the first column
    /// once more in front.
    fn beyond(&self, key: &Key, strict: &str, last: &str) -> String {
        let parts: Vec<(String, String)> =
            self.table.key.iter().zip(key).map(|(part, text)| (ident(&part.name), part.literal(text))).collect();
        let mut all = Vec::new();
        for (n, (name, value)) in parts.iter().enumerate() {
            let sign = if n + 1 == parts.len() { last } else { strict };
            let equal = parts[..n].iter().map(|(name, value)| format!("{name} = {value} AND "));
            all.push(format!("{}{name} {sign} {value}", equal.collect::<String>()));
        }
        match (parts.first(), all.as_slice()) {
            (_, [one]) => one.clone(),
            (Some((name, value)), _) => format!("{name} {strict}= {value} AND ({})", all.join(" OR ")),
            _ => "TRUE".to_owned(),
        }
    }

    /// Rows by their keys: the digest, and the key; without a key, how many are alike, and their hash.
    pub fn rows_by_key(&self, side: Side, keys: &[Key]) -> String {
        let (h, from) = (self.row_hash(side), self.from());
        if self.keyed() {
            return format!("SELECT {h}, {} FROM {from} WHERE {}", self.key_texts(side), self.matching(keys));
        }
        let list: Vec<String> = keys.iter().flatten().map(|hash| literal(hash)).collect();
        format!("SELECT CAST(COUNT(*) AS CHAR), {h} AS h FROM {from} WHERE {h} IN ({}) GROUP BY h", list.join(", "))
    }

    fn matching(&self, keys: &[Key]) -> String {
        let one = |key: &Key| {
            let pairs = self.table.key.iter().zip(key);
            let pairs = pairs.map(|(part, text)| format!("{} = {}", ident(&part.name), part.literal(text)));
            format!("({})", pairs.collect::<Vec<String>>().join(" AND "))
        };
        keys.iter().map(one).collect::<Vec<String>>().join(" OR ")
    }

    /// A hash for each column of one row, in their order.
    pub fn columns_of(&self, side: Side, key: &Key) -> String {
        let list: Vec<String> = self.table.columns.iter().map(|part| sha([part.text(side)])).collect();
        format!("SELECT {} FROM {} WHERE {}", list.join(", "), self.from(), self.matching(std::slice::from_ref(key)))
    }

    /// A key in words.
    pub fn shown(&self, key: &Key) -> String {
        if !self.keyed() {
            return format!("row with the SHA-256 {}", key.concat());
        }
        let pairs = self.table.key.iter().zip(key).map(|(part, text)| format!("{}={}", part.name, part.shown(text)));
        pairs.collect::<Vec<String>>().join(", ")
    }
}

fn sha(texts: impl IntoIterator<Item = String>) -> String {
    let list: Vec<String> = texts.into_iter().map(|text| format!("COALESCE({text}, '-')")).collect();
    format!("SHA2(CONCAT_WS(',', {}), 256)", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, kind: &Kind) -> Part {
        Part::new(name, kind, kind)
    }

    fn latin() -> Kind {
        Kind::of("varchar", Some("latin1"), Some("latin1_swedish_ci"))
    }

    fn table(key: Vec<Part>) -> Table {
        Table {
            schema: "app".into(),
            name: "t".into(),
            shown: "app.t".into(),
            columns: vec![part("f", &Kind::Float), part("id", &Kind::Number)],
            ranged: true,
            key,
            estimate: 5_000,
            buckets: 1,
        }
    }

    #[test]
    fn a_range_is_scanned_by_its_index() {
        let table = table(vec![part("id", &Kind::Number)]);
        let sql = Sql { table: &table, mode: Compare::Checksums };
        let range = Range { after: Some(vec!["5".into()]), upto: Some(vec!["9".into()]) };
        insta::assert_snapshot!(sql.scan(Side::Source, &range), @"SELECT 0 AS bucket, COUNT(*), COALESCE(SUM(CAST(CONV(LEFT(SHA2(CONCAT_WS(',', COALESCE(CAST(`f` + 0e0 AS CHAR), '-'), COALESCE(CAST(`id` AS CHAR), '-')), 256), 16), 16, 10) AS UNSIGNED)), 0) FROM `app`.`t` WHERE `id` > 5 AND `id` <= 9 GROUP BY bucket");
        insta::assert_snapshot!(sql.boundary(Side::Source, None, 2_000), @"SELECT CAST(`id` AS CHAR) FROM `app`.`t` ORDER BY `id` LIMIT 1 OFFSET 1999");
    }

    #[test]
    fn keys_of_several_columns_are_spelt_out() {
        let table = table(vec![part("a", &Kind::Number), part("b", &latin())]);
        let sql = Sql { table: &table, mode: Compare::Checksums };
        let key = vec!["5".to_owned(), "E9".to_owned()];
        assert_eq!(sql.beyond(&key, ">", ">"), "`a` >= 5 AND (`a` > 5 OR `a` = 5 AND `b` > _latin1 X'E9')");
        assert_eq!(sql.beyond(&key, "<", "<="), "`a` <= 5 AND (`a` < 5 OR `a` = 5 AND `b` <= _latin1 X'E9')");
        assert_eq!(sql.matching(&[key]), "(`a` = 5 AND `b` = _latin1 X'E9')");
        assert_eq!(sql.shown(&vec!["5".into(), "78DF".into()]), "a=5, b=xß");
    }

    #[test]
    fn text_in_two_character_sets_meets_in_utf8() {
        let other = Kind::of("text", Some("utf8mb4"), Some("utf8mb4_bin"));
        let mixed = Part::new("n", &latin(), &other);
        assert_eq!(
            mixed.text(Side::Source),
            "IF(`n` IS NULL, NULL, COALESCE(SHA2(CONVERT(`n` USING utf8mb4), 256), CONCAT('?', LENGTH(`n`))))"
        );
        assert_eq!(mixed.text(Side::Target), "SHA2(`n`, 256)");
        assert!(!mixed.sorts_alike() && mixed.tells_rows());
        assert_eq!(mixed.literal("C3A9"), "_utf8mb4 X'C3A9'");
        assert!(part("n", &latin()).sorts_alike());
    }

    #[test]
    fn a_long_value_that_can_not_be_converted_is_not_null() {
        assert_eq!(
            part("j", &Kind::Json).text(Side::Source),
            "IF(`j` IS NULL, NULL, COALESCE(SHA2(CAST(`j` AS CHAR), 256), CONCAT('?', LENGTH(`j`))))"
        );
        assert_eq!(Kind::of("vector", None, None), Kind::Bytes { long: true });
        assert!(!part("e", &Kind::of("enum", Some("utf8"), None)).sorts_alike());
        assert!(!part("d", &Kind::Double).tells_rows());
    }

    #[test]
    fn whole_tables_are_read_in_buckets() {
        let table = Table { buckets: 5, key: Vec::new(), ..table(Vec::new()) };
        let sql = Sql { table: &table, mode: Compare::Rows };
        insta::assert_snapshot!(sql.rows_of(Side::Source, &Range::default(), &[1, 3]), @"SELECT '0000000000000000000000000000000000000000000000000000000000000001' AS h, CAST(COUNT(*) AS CHAR) FROM `app`.`t` WHERE CAST(CONV(LEFT('0000000000000000000000000000000000000000000000000000000000000001', 8), 16, 10) AS UNSIGNED) % 5 IN (1, 3) GROUP BY h ORDER BY h");
    }
}
