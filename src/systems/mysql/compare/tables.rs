//! The tables of both sides, and what of them is compared.

use std::collections::{BTreeMap, BTreeSet};

use super::pair::Pair;
use super::text::{Kind, Part};
use crate::systems::Result;
use crate::systems::comparison::{CompareOptions, TableResult, TableStatus};
use crate::systems::mysql::catalog::{self, NOT_OF_THE_APPLICATION};
use crate::systems::mysql::{Session, TextRows};

/// Rows that share a bucket, about.
const ROWS_A_BUCKET: u64 = 1_000;
const MOST_BUCKETS: u64 = 65_536;

/// A table to compare.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub schema: String,
    pub name: String,
    /// `schema.table`, for people.
    pub shown: String,
    /// Sorted by name.
    pub columns: Vec<Part>,
    /// Columns that are unique and never null on both sides, in the order of the index; none when there is no such thing.
    pub key: Vec<Part>,
    /// Whether both sides sort the key alike, so that it can be walked in ranges.
    pub ranged: bool,
    pub estimate: u64,
    pub buckets: u64,
}

/// What is there.
#[derive(Default)]
pub(super) struct Tables {
    /// To be compared, the biggest first.
    pub found: Vec<Table>,
    /// Tables that can't be compared.
    pub finished: Vec<TableResult>,
    pub skipped: Vec<String>,
}

type Name = (String, String);

/// A table as one side has it.
#[derive(Clone, Debug, Default)]
struct Seen {
    estimate: u64,
    columns: BTreeMap<String, Kind>,
    /// The primary key first, then by name.
    keys: Vec<Vec<String>>,
}

/// The key that a server makes up and hides counts only where both sides have it.
const MADE_UP: &str = "my_row_id";

/// Reads and matches the tables of both sides.
pub(super) async fn read(pair: &Pair, options: &CompareOptions) -> Result<Tables> {
    let (source, target) = tokio::try_join!(seen(&pair.source, options), seen(&pair.target, options))?;
    let mut tables = Tables::default();
    let names: BTreeSet<&Name> = source.keys().chain(target.keys()).collect();
    for name in names {
        let shown = format!("{}.{}", name.0, name.1);
        if options.except.contains(&shown) {
            tables.skipped.push(format!("{shown}: the runbook leaves it out"));
            continue;
        }
        match (source.get(name), target.get(name)) {
            (Some(one), Some(other)) => tables.both(name, shown, one.clone(), other.clone()),
            (Some(_), None) => tables.missing(name, "the target lacks the table"),
            _ => tables.missing(name, "the source lacks the table"),
        }
    }
    tables.found.sort_by_key(|table| std::cmp::Reverse(table.estimate));
    Ok(tables)
}

impl Tables {
    fn missing(&mut self, name: &Name, why: &str) {
        self.finished.push(TableResult::new(&name.0, &name.1, TableStatus::Structure(why.to_owned())));
    }

    fn both(&mut self, name: &Name, shown: String, mut source: Seen, mut target: Seen) {
        if source.columns.contains_key(MADE_UP) != target.columns.contains_key(MADE_UP) {
            source.columns.remove(MADE_UP);
            target.columns.remove(MADE_UP);
        }
        let only = |one: &Seen, other: &Seen| -> Vec<String> {
            one.columns.keys().filter(|name| !other.columns.contains_key(*name)).cloned().collect()
        };
        let (lacking, extra) = (only(&source, &target), only(&target, &source));
        if !lacking.is_empty() || !extra.is_empty() {
            let say = |side: &str, columns: &[String]| match columns {
                [] => String::new(),
                _ => format!("columns only on the {side}: {}; ", columns.join(", ")),
            };
            let why = format!("{}{}", say("source", &lacking), say("target", &extra));
            self.missing(name, why.trim_end_matches("; "));
            return;
        }
        let part = |column: &String| Some(Part::new(column, source.columns.get(column)?, target.columns.get(column)?));
        let columns: Vec<Part> = source.columns.keys().filter_map(part).collect();
        let usable = |key: &&Vec<String>| {
            target.keys.contains(key) && key.iter().filter_map(part).filter(Part::tells_rows).count() == key.len()
        };
        let key: Vec<Part> =
            source.keys.iter().find(usable).map(|key| key.iter().filter_map(part).collect()).unwrap_or_default();
        let estimate = source.estimate.max(target.estimate);
        let ranged = !key.is_empty() && key.iter().all(Part::sorts_alike);
        self.found.push(Table {
            schema: name.0.clone(),
            name: name.1.clone(),
            shown,
            columns,
            key,
            ranged,
            estimate,
            buckets: if ranged { 1 } else { (estimate / ROWS_A_BUCKET).clamp(1, MOST_BUCKETS) },
        });
    }
}

fn query(options: &CompareOptions) -> String {
    let schemas = match options.schemas.as_slice() {
        [] => String::new(),
        some => format!(" AND TABLE_SCHEMA IN ({})", catalog::listed(some)),
    };
    let of = format!("LOWER(TABLE_SCHEMA) NOT IN ({NOT_OF_THE_APPLICATION}){schemas}");
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(TABLE_ROWS, 0) FROM information_schema.TABLES \
         WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND {of};
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, \
         IS_NULLABLE = 'YES' FROM information_schema.COLUMNS WHERE {of};
SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
         WHERE NON_UNIQUE = 0 AND {of} ORDER BY 1, 2, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX"
    )
}

async fn seen(session: &Session, options: &CompareOptions) -> Result<BTreeMap<Name, Seen>> {
    let what = "read its tables";
    let answers = session.batch(what, &query(options)).await?;
    let [tables, columns, keys] = answers.as_slice() else { return Err(catalog::incomplete(session, what)) };
    Ok(assembled(tables, columns, keys))
}

/// An index by its table and name, and the rows about it.
type Index<'r> = ((Name, String), Vec<&'r [Option<String>]>);

fn text(row: &[Option<String>], column: usize) -> String {
    row.get(column).cloned().flatten().unwrap_or_default()
}

fn assembled(tables: &TextRows, columns: &TextRows, keys: &TextRows) -> BTreeMap<Name, Seen> {
    let name = |row: &Vec<Option<String>>| (text(row, 0), text(row, 1));
    let mut all: BTreeMap<Name, Seen> = tables
        .iter()
        .map(|row| (name(row), Seen { estimate: text(row, 2).parse().unwrap_or(0), ..Seen::default() }))
        .collect();
    let mut nullable: BTreeSet<(Name, String)> = BTreeSet::new();
    for row in columns {
        let Some(table) = all.get_mut(&name(row)) else { continue };
        let (charset, collation) = (row.get(4).cloned().flatten(), row.get(5).cloned().flatten());
        table.columns.insert(text(row, 2), Kind::of(&text(row, 3), charset.as_deref(), collation.as_deref()));
        if text(row, 6) == "1" {
            nullable.insert((name(row), text(row, 2)));
        }
    }
    let mut indexes: Vec<Index<'_>> = Vec::new();
    for row in keys {
        let index = (name(row), text(row, 2));
        match indexes.last_mut() {
            Some((last, rows)) if *last == index => rows.push(row),
            _ => indexes.push((index, vec![row.as_slice()])),
        }
    }
    for ((table, _), rows) in indexes {
        // An index over an expression or a prefix does not tell rows by their columns.
        let whole = rows.iter().all(|row| row.get(3).is_some_and(Option::is_some) && text(row, 4).is_empty());
        let columns: Vec<String> = rows.iter().map(|row| text(row, 3)).collect();
        let never_null = columns.iter().all(|column| !nullable.contains(&(table.clone(), column.clone())));
        if let (true, true, Some(seen)) = (whole, never_null, all.get_mut(&table)) {
            seen.keys.push(columns);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(all: &[&[Option<&str>]]) -> TextRows {
        all.iter().map(|row| row.iter().map(|value| value.map(str::to_owned)).collect()).collect()
    }

    fn matched(source: &str, target: &str) -> Tables {
        let side = |collation: &str| {
            assembled(
                &rows(&[&[Some("s"), Some("t"), Some("5000")]]),
                &rows(&[
                    &[Some("s"), Some("t"), Some("code"), Some("varchar"), Some("utf8mb4"), Some(collation), Some("0")],
                    &[Some("s"), Some("t"), Some("note"), Some("text"), Some("utf8mb4"), Some(collation), Some("1")],
                ]),
                &rows(&[
                    &[Some("s"), Some("t"), Some("a_note"), Some("note"), None],
                    &[Some("s"), Some("t"), Some("b_prefix"), Some("code"), Some("3")],
                    &[Some("s"), Some("t"), Some("c_code"), Some("code"), None],
                ]),
            )
        };
        let (source, target) = (side(source), side(target));
        let mut tables = Tables::default();
        let name = ("s".to_owned(), "t".to_owned());
        tables.both(&name, "s.t".into(), source[&name].clone(), target[&name].clone());
        tables
    }

    #[test]
    fn a_key_is_unique_whole_and_never_null() {
        let alike = matched("utf8mb4_bin", "utf8mb4_bin");
        let table = &alike.found[0];
        assert_eq!(table.key.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["code"]);
        assert!(table.ranged && table.buckets == 1);
        let other = matched("utf8mb4_bin", "utf8mb4_general_ci");
        let table = &other.found[0];
        assert!(!table.key.is_empty() && !table.ranged && table.buckets == 5);
    }
}
