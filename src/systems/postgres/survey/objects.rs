//! What is in a database.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A schema of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: String,
}

/// A table of the application, a partitioned one, or a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own")]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `r` holds rows, `p` is partitioned.
    pub kind: String,
    /// Whether it is a partition of another.
    pub partition: bool,
    /// `UNLOGGED`.
    pub unlogged: bool,
    /// Its owner.
    pub owner: String,
    /// Whether our role may act as its owner.
    pub ours: bool,
    /// `REPLICA IDENTITY`: `d`efault, `n`othing, `f`ull, `i`ndex.
    pub identity: String,
    /// Whether it has a primary key.
    pub primary_key: bool,
    /// Whether a row can be told by the key that the identity names: a valid, immediate one.
    pub keyed: bool,
    /// A unique index that could be the identity.
    pub candidate: Option<String>,
    /// Columns whose type has no equality, which `FULL` needs.
    pub incomparable: Vec<String>,
    /// Generated columns.
    pub generated: Vec<String>,
    /// Row level security is on.
    pub row_security: bool,
    /// Publications it is in.
    pub publications: Vec<String>,
    /// Estimated rows; -1 when it was never analyzed.
    pub rows: i64,
    /// Size of the rows alone.
    pub heap_bytes: i64,
    /// Size with indexes and TOAST.
    pub bytes: i64,
    /// Fingerprint of the columns' names and types.
    pub columns: String,
}

impl Table {
    /// `schema.name`, for people.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// `"schema"."name"`, for SQL.
    #[must_use]
    pub fn sql_name(&self) -> String {
        format!("{}.{}", crate::systems::postgres::ident(&self.schema), crate::systems::postgres::ident(&self.name))
    }

    /// Whether it holds rows itself.
    #[must_use]
    pub fn holds_rows(&self) -> bool {
        self.kind == "r"
    }

    /// Whether `UPDATE` and `DELETE` can be replicated.
    #[must_use]
    pub fn replicable(&self) -> bool {
        self.keyed || self.identity == "f"
    }
}

/// A sequence of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Such as `bigint`.
    pub kind: String,
    /// Its last value; `None` before the first use, or when we may not read it.
    pub last_value: Option<i64>,
    /// Step.
    pub increment: i64,
    /// Lower end.
    pub min_value: i64,
    /// Upper end.
    pub max_value: i64,
    /// Values that a session takes at once.
    pub cache: i64,
    /// Begins again at its end.
    pub cycle: bool,
    /// `schema.table.column` it belongs to.
    pub owned_by: Option<String>,
    /// Whether our role may read it.
    pub readable: bool,
    /// Whether our role may set it.
    pub settable: bool,
}

/// Everything else in a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objects {
    /// How many large objects there are.
    pub large_objects: i64,
    /// How many temporary tables sessions have now.
    pub temporary_tables: i64,
    /// Foreign tables, `schema.table`.
    pub foreign_tables: Vec<String>,
    /// Materialized views, `schema.view`.
    pub materialized_views: Vec<String>,
    /// Triggers that fire for replicated rows.
    pub triggers: Vec<Trigger>,
    /// Event triggers.
    pub event_triggers: Vec<EventTrigger>,
    /// Rules on tables, `rule on schema.table`.
    pub rules: Vec<String>,
    /// How many enums there are.
    pub enums: i64,
    /// How many domains there are.
    pub domains: i64,
    /// Installed extensions and their versions.
    pub extensions: BTreeMap<String, String>,
    /// Extensions that could be installed, and the version that would be.
    pub available: BTreeMap<String, String>,
}

/// A trigger that fires for replicated rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Schema of the table.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// `A`lways or `R`eplica.
    pub enabled: String,
}

/// An event trigger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTrigger {
    /// Its name.
    pub name: String,
    /// Such as `ddl_command_end`.
    pub event: String,
    /// `O`rigin, `D`isabled, `R`eplica, `A`lways.
    pub enabled: String,
}
