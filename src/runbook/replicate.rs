//! Shape of `replicate`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{DmsTask, Name};
use super::units::Span;

/// Make the target follow the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Replicate {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// The database that is left.
    pub from: Name,
    /// The database that is moved to.
    pub to: Name,
    /// By what means the target follows.
    #[serde(default, skip_serializing_if = "Means::is_native")]
    pub through: Means,
    /// What a task of DMS is told; with `through: dms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dms: Option<Box<DmsTask>>,
    /// With `through: blue-green`: RDS takes its switchover back when it lasts longer (30s to 1h); 5 minutes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switchover_timeout: Option<Span>,
    /// Schemas to carry; all of the application's when empty.
    #[serde(default)]
    pub schemas: Vec<Name>,
    /// Whether the schema is copied to the target; `false` when it is there already.
    #[serde(default = "Replicate::yes")]
    pub copy_schema: bool,
    /// Tables that are copied at the same time; bounded by the target's `max_sync_workers_per_subscription`.
    #[serde(default = "Replicate::default_workers")]
    pub workers: u32,
    /// The initial copy must have ended by then.
    #[serde(default = "Replicate::default_timeout")]
    pub timeout: Span,
    /// `pg_dump` to use; that of `PATH`, or of `POINTSMAN_PG_DUMP`, when absent.
    #[serde(default)]
    pub pg_dump: Option<String>,
    /// MySQL and MariaDB: `mysqldump` or `mariadb-dump` to use; that of `PATH`, or of `POINTSMAN_MYSQLDUMP` or
    /// `POINTSMAN_MARIADB_DUMP`, when absent. The client (`mysql`, `mariadb`) beside it loads what it dumps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<String>,
    /// MySQL and MariaDB: how the first copy is made.
    #[serde(default, skip_serializing_if = "CopyMeans::is_auto")]
    pub copy: CopyMeans,
}

/// How the first copy of MySQL or MariaDB is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CopyMeans {
    /// By a clone where both servers have the plugin and are alike and the target is empty, else by `mydumper` where it is
    /// installed and can read the source, else by a dump; the plan says which, and why.
    #[default]
    Auto,
    /// The server's dump program, loaded by its client.
    Dump,
    /// MySQL's clone plugin: the target fetches every page, accounts too, and starts again.
    Clone,
    /// `mydumper` reads the rows of one snapshot with several sessions, several clients of the target load them, and the
    /// server's dump program carries the rest. It is that of `PATH`, or of `POINTSMAN_MYDUMPER`.
    Mydumper,
}

impl CopyMeans {
    /// Whether the choice is left to the plan.
    #[must_use]
    pub const fn is_auto(&self) -> bool {
        matches!(self, Self::Auto)
    }
}

impl Replicate {
    const fn yes() -> bool {
        true
    }

    const fn default_workers() -> u32 {
        4
    }

    const fn default_timeout() -> Span {
        Span::secs(24 * 3600)
    }
}

/// By what means a target follows its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// The servers' own logical replication.
    #[default]
    Native,
    /// The target is a replica of the source already, of PostgreSQL a physical one, and the window promotes it.
    ReadReplica,
    /// RDS and Aurora PostgreSQL: the target is the green one of a Blue/Green deployment, and the window switches it over.
    BlueGreen,
    /// A task of AWS DMS; the way back is the servers' own replication.
    Dms,
}

impl Means {
    /// Whether nothing else was asked for.
    #[must_use]
    pub const fn is_native(&self) -> bool {
        matches!(self, Self::Native)
    }

    /// Whether the target replicates by itself, of PostgreSQL physically, and is promoted.
    #[must_use]
    pub const fn is_physical(&self) -> bool {
        matches!(self, Self::ReadReplica | Self::BlueGreen)
    }
}
