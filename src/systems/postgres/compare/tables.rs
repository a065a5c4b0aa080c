//! The tables of both sides, and what of them is compared.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;

use super::{CompareOptions, Pair, TableResult, TableStatus};
use crate::systems::Result;
use crate::systems::postgres::{Session, ident};

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
    /// After `FROM`; a table without the tables that inherit from it, a partitioned one with its partitions.
    pub from_source: String,
    pub from_target: String,
    /// Sorted by name: the order on disk may differ.
    pub columns: Vec<String>,
    /// Columns that are unique and never null on both sides; none when a table has no such thing.
    pub key: Vec<String>,
    pub estimate: u64,
    pub buckets: u64,
}

impl Table {
    pub fn result(&self, status: TableStatus) -> TableResult {
        TableResult::new(&self.schema, &self.name, status)
    }
}

/// What is there.
pub(super) struct Tables {
    /// To be compared, the biggest first.
    pub found: Vec<Table>,
    /// Tables that can't be compared.
    pub finished: Vec<TableResult>,
    pub skipped: Vec<String>,
}

type Name = (String, String);

/// A table as one side has it.
struct Seen {
    partitioned: bool,
    unlogged: bool,
    estimate: u64,
    columns: BTreeSet<String>,
    keys: Vec<BTreeSet<String>>,
}

/// Reads and matches the tables of both sides.
pub(super) async fn read(pair: &Pair, options: &CompareOptions) -> Result<Tables> {
    let (source, target) = tokio::try_join!(seen(&pair.source, options), seen(&pair.target, options))?;
    let mut tables = Tables { found: Vec::new(), finished: Vec::new(), skipped: Vec::new() };
    let names: BTreeSet<&Name> = source.keys().chain(target.keys()).collect();
    for name in names {
        let shown = format!("{}.{}", name.0, name.1);
        if options.except.contains(&shown) {
            tables.skipped.push(format!("{shown}: the runbook leaves it out"));
            continue;
        }
        match (source.get(name), target.get(name)) {
            (Some(one), Some(other)) => tables.both(name, shown, one, other),
            (Some(one), None) if one.unlogged => tables.skipped.push(unlogged(&shown)),
            (Some(_), None) => tables.missing(name, "the target lacks the table"),
            _ => tables.missing(name, "the source lacks the table"),
        }
    }
    tables.found.sort_by_key(|table| std::cmp::Reverse(table.estimate));
    Ok(tables)
}

fn unlogged(shown: &str) -> String {
    format!("{shown}: it is unlogged, and replication doesn't carry it")
}

impl Tables {
    fn missing(&mut self, name: &Name, why: &str) {
        self.finished.push(TableResult::new(&name.0, &name.1, TableStatus::Structure(why.to_owned())));
    }

    fn both(&mut self, name: &Name, shown: String, source: &Seen, target: &Seen) {
        if source.unlogged || target.unlogged {
            self.skipped.push(unlogged(&shown));
            return;
        }
        let lacking: Vec<&str> = source.columns.difference(&target.columns).map(String::as_str).collect();
        let extra: Vec<&str> = target.columns.difference(&source.columns).map(String::as_str).collect();
        if !lacking.is_empty() || !extra.is_empty() {
            let say = |side: &str, columns: &[&str]| match columns {
                [] => String::new(),
                _ => format!("columns only on the {side}: {}; ", columns.join(", ")),
            };
            let why = format!("{}{}", say("source", &lacking), say("target", &extra));
            self.missing(name, why.trim_end_matches("; "));
            return;
        }
        let key = source.keys.iter().find(|key| target.keys.contains(key));
        let estimate = source.estimate.max(target.estimate);
        let from = |seen: &Seen| {
            let only = if seen.partitioned { "" } else { "ONLY " };
            format!("{only}{}.{}", ident(&name.0), ident(&name.1))
        };
        self.found.push(Table {
            schema: name.0.clone(),
            name: name.1.clone(),
            shown,
            from_source: from(source),
            from_target: from(target),
            columns: source.columns.iter().cloned().collect(),
            key: key.map(|key| key.iter().cloned().collect()).unwrap_or_default(),
            estimate,
            buckets: (estimate / ROWS_A_BUCKET).clamp(1, MOST_BUCKETS),
        });
    }
}

/// `reltuples` is -1 for a table that was never looked at: its size says more. Partitioned tables are seen whole.
const SQL: &str = "
    SELECT n.nspname::text, c.relname::text, c.relkind = 'p', c.relpersistence = 'u',
      (SELECT coalesce(sum(CASE WHEN p.reltuples >= 0 AND p.relpages > 0 THEN p.reltuples::float8
          ELSE pg_relation_size(p.oid) / 100.0 END), 0)::int8
        FROM pg_partition_tree(c.oid) t JOIN pg_class p ON p.oid = t.relid WHERE t.isleaf),
      ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
      ARRAY(SELECT (SELECT json_agg(a.attname) FROM unnest(i.indkey[:i.indnkeyatts - 1]) AS k(attnum)
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum)::text
        FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
          AND i.indpred IS NULL AND i.indexprs IS NULL
          AND NOT EXISTS (SELECT FROM unnest(i.indkey[:i.indnkeyatts - 1]) AS k(attnum)
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum WHERE NOT a.attnotnull)
        ORDER BY i.indisprimary DESC, i.indisreplident DESC, i.indexrelid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pointsman') AND n.nspname !~ '^pg_'
      AND (n.nspname::text = ANY($1) OR cardinality($1) = 0)
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";

async fn seen(session: &Session, options: &CompareOptions) -> Result<BTreeMap<Name, Seen>> {
    let rows = session.rows("read its tables", SQL, &[&options.schemas]).await?;
    Ok(rows.iter().map(seen_row).collect())
}

fn seen_row(row: &Row) -> (Name, Seen) {
    let keys: Vec<Option<String>> = row.get(6);
    let columns: Vec<String> = row.get(5);
    let read = |text: String| serde_json::from_str::<BTreeSet<String>>(&text).ok();
    let seen = Seen {
        partitioned: row.get(2),
        unlogged: row.get(3),
        estimate: row.get::<_, i64>(4).unsigned_abs(),
        columns: columns.into_iter().collect(),
        keys: keys.into_iter().flatten().filter_map(read).filter(|key| !key.is_empty()).collect(),
    };
    ((row.get(0), row.get(1)), seen)
}
