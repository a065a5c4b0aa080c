//! Finds what is different between the schemas of two databases, from their catalogs.
//!
//! Run before the window, it finds what was changed on one side while replication ran, which carries no DDL: a column
//! that is missing on the target stops replication, an index that is missing makes it slow after the switch.
//! Views, functions and triggers are compared by what servers of different versions write alike.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::systems::Result;
use crate::systems::postgres::{Access, Database};

/// What is compared.
#[derive(Clone, Debug, Default)]
pub struct DriftOptions {
    /// Schemas; every one of the application's when empty.
    pub schemas: Vec<String>,
    /// Kinds that are not compared, such as `index` before the indexes are built.
    pub ignore_kinds: Vec<String>,
    /// Objects that may differ, as [`Difference::object`] names them.
    pub ignore_objects: Vec<String>,
}

/// One thing that is different.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Difference {
    /// `table`, `column`, `constraint`, `index`, `sequence`, `type`, `function`, `trigger`, `policy`, `view`.
    pub kind: String,
    /// The object, with its schema: `app.orders.total` is a column.
    pub object: String,
    /// How the source has it; absent when it has it not.
    pub source: Option<String>,
    /// How the target has it; absent when it has it not.
    pub target: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, object, .. } = self;
        match (&self.source, &self.target) {
            (Some(source), None) => write!(f, "{kind} {object} is missing on the target ({source})"),
            (None, Some(target)) => write!(f, "{kind} {object} is only on the target ({target})"),
            (source, target) => {
                let text = |side: &Option<String>| side.clone().unwrap_or_default();
                write!(f, "{kind} {object}: source has {}, target has {}", text(source), text(target))
            }
        }
    }
}

/// Each query gives kind, object, description. `$1` is the list of schemas, or empty.
const QUERIES: [(&str, &str); 5] = [
    ("read its tables", TABLES),
    ("read its columns", COLUMNS),
    ("read its constraints and indexes", CONSTRAINTS),
    ("read its types and functions", TYPES),
    ("read its triggers and policies", TRIGGERS),
];

/// Text of an object that belongs to an extension, for `NOT EXISTS`.
macro_rules! no_extension {
    ($class:literal, $oid:literal) => {
        concat!(
            " AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = '",
            $class,
            "'::regclass AND x.objid = ",
            $oid,
            " AND x.deptype = 'e') "
        )
    };
}

/// The schemas that are compared.
macro_rules! wanted {
    () => {
        " n.nspname NOT IN ('pg_catalog', 'information_schema', 'pointsman') AND n.nspname !~ '^pg_' \
          AND (n.nspname::text = ANY($1) OR cardinality($1) = 0) "
    };
}

const TABLES: &str = concat!(
    "SELECT CASE WHEN c.relkind IN ('v', 'm') THEN 'view' WHEN c.relkind = 'S' THEN 'sequence' ELSE 'table' END, \
     format('%I.%I', n.nspname, c.relname), \
     CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table by ' || pg_get_partkeydef(c.oid) \
       WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE \
       (SELECT format('%s from %s by %s in %s to %s%s', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, \
        s.seqmin, s.seqmax, CASE WHEN s.seqcycle THEN ' cycling' END) FROM pg_sequence s WHERE s.seqrelid = c.oid) END \
     || CASE WHEN c.relpersistence = 'u' THEN ', unlogged' ELSE '' END \
     || CASE WHEN c.relkind IN ('r', 'p') THEN ', identity ' || c.relreplident::text ELSE '' END \
     || CASE WHEN c.relispartition THEN ', partition ' || pg_get_expr(c.relpartbound, c.oid) ELSE '' END \
     || CASE WHEN c.relrowsecurity THEN ', row security' ELSE '' END \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't' AND ",
    wanted!(),
    no_extension!("pg_class", "c.oid")
);

const COLUMNS: &str = concat!(
    "SELECT 'column', format('%I.%I.%I', n.nspname, c.relname, a.attname), \
     format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END \
     || CASE WHEN a.attcollation <> t.typcollation THEN ' collate ' || a.attcollation::regcollation::text ELSE '' END \
     || CASE WHEN a.attidentity <> '' THEN ' identity ' || a.attidentity::text ELSE '' END \
     || coalesce(CASE WHEN a.attgenerated <> '' THEN ' generated ' ELSE ' default ' END || pg_get_expr(d.adbin, d.adrelid), '') \
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') \
     AND c.relpersistence <> 't' AND ",
    wanted!(),
    no_extension!("pg_class", "c.oid")
);

const CONSTRAINTS: &str = concat!(
    "SELECT 'constraint', format('%I.%I.%I', n.nspname, c.relname, o.conname), pg_get_constraintdef(o.oid) \
     FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE o.contype IN ('c', 'f', 'p', 'u', 'x') AND ",
    wanted!(),
    no_extension!("pg_class", "c.oid"),
    "UNION ALL SELECT 'index', format('%I.%I', n.nspname, c.relname), \
     pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ', invalid' END \
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_class t ON t.oid = i.indrelid WHERE t.relpersistence <> 't' AND ",
    wanted!(),
    no_extension!("pg_class", "t.oid")
);

const TYPES: &str = concat!(
    "SELECT 'type', format('%I.%I', n.nspname, t.typname), CASE t.typtype WHEN 'e' THEN 'enum ' || \
       (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid) \
     WHEN 'd' THEN 'domain ' || format_type(t.typbasetype, t.typtypmod) || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END \
       || coalesce(' default ' || t.typdefault, '') || coalesce((SELECT string_agg(' ' || pg_get_constraintdef(o.oid), '' \
       ORDER BY o.conname) FROM pg_constraint o WHERE o.contypid = t.oid AND o.contype = 'c'), '') ELSE 'range' END \
     FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', 'r') AND ",
    wanted!(),
    no_extension!("pg_type", "t.oid"),
    "UNION ALL SELECT 'function', format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), \
     format('%s, %s, body %s', coalesce(pg_get_function_result(p.oid), 'procedure'), l.lanname, \
       CASE WHEN p.prosqlbody IS NULL THEN left(md5(p.prosrc), 12) ELSE 'of statements' END) \
     FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang WHERE ",
    wanted!(),
    no_extension!("pg_proc", "p.oid")
);

const TRIGGERS: &str = concat!(
    "SELECT 'trigger', format('%I.%I.%I', n.nspname, c.relname, g.tgname), \
     pg_get_triggerdef(g.oid) || ', enabled ' || g.tgenabled::text \
     FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE NOT g.tgisinternal AND ",
    wanted!(),
    no_extension!("pg_class", "c.oid"),
    "UNION ALL SELECT 'policy', format('%I.%I.%I', n.nspname, c.relname, p.polname), \
     p.polcmd::text || coalesce(' using ' || pg_get_expr(p.polqual, c.oid), '') \
     || coalesce(' check ' || pg_get_expr(p.polwithcheck, c.oid), '') \
     FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ",
    wanted!()
);

/// Finds every difference between two schemas, sorted. Changes nothing.
pub async fn drift(source: &Database, target: &Database, options: &DriftOptions) -> Result<Vec<Difference>> {
    let (source, target) = tokio::try_join!(read(source, options), read(target, options))?;
    let keys: BTreeSet<&Key> = source.keys().chain(target.keys()).collect();
    let mut found = Vec::new();
    for key in keys {
        let (ours, theirs) = (source.get(key), target.get(key));
        let ignored = options.ignore_kinds.contains(&key.0) || options.ignore_objects.contains(&key.1);
        if ours != theirs && !ignored {
            let (kind, object) = key.clone();
            found.push(Difference { kind, object, source: ours.cloned(), target: theirs.cloned() });
        }
    }
    Ok(found)
}

type Key = (String, String);

async fn read(database: &Database, options: &DriftOptions) -> Result<BTreeMap<Key, String>> {
    let session = database.connect(Access::ReadOnly).await?;
    session.batch("open a snapshot", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut found = BTreeMap::new();
    for (what, sql) in QUERIES {
        for row in session.rows(what, sql, &[&options.schemas]).await? {
            let text: Option<String> = row.get(2);
            found.insert((row.get(0), row.get(1)), text.unwrap_or_default());
        }
    }
    Ok(found)
}
