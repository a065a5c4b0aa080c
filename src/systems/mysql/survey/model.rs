//! The survey itself, and what concerns the server as a whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Account, Activity, ForeignKey, OwnAccount, Program, Table};
use crate::systems::mysql::{Flavour, Version};
use crate::systems::survey::{ClockReading, Dialled};

/// What was read from one server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    /// Name of the system in the runbook.
    pub system: String,
    /// `host:port` as applications reach it, when the runbook says so.
    pub address: Option<String>,
    /// Where we dialled, without the secret.
    pub dialled: Dialled,
    /// The server.
    pub server: Server,
    /// Its clock against ours.
    pub clock: ClockReading,
    /// Global variables by name.
    pub variables: BTreeMap<String, String>,
    /// Global variables that the server takes from its configuration or a persisted file at its next start.
    pub persisted: BTreeMap<String, String>,
    /// The application's schemas: not the server's, not ours.
    pub schemas: Vec<Schema>,
    /// The tables in them.
    pub tables: Vec<Table>,
    /// Views, triggers, routines and events in them.
    pub programs: Vec<Program>,
    /// Foreign keys in them.
    pub foreign_keys: Vec<ForeignKey>,
    /// Sequences in them, `schema.sequence` (MariaDB).
    pub sequences: Vec<String>,
    /// Every account; `None` when we may not see them.
    pub accounts: Option<Vec<Account>>,
    /// Character sets that the server knows.
    pub charsets: Vec<String>,
    /// Collations that the server knows.
    pub collations: Vec<String>,
    /// Active plugins, in lower case.
    pub plugins: Vec<String>,
    /// Whether the server knows time zones by their names.
    pub named_time_zones: bool,
    /// What goes on.
    pub activity: Activity,
    /// What is known about its disk.
    pub disk: Disk,
    /// The account that read all this.
    pub account: OwnAccount,
}

impl Survey {
    /// A global variable's value, when the server has it.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The value as a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.variable(name)?.parse().ok()
    }

    /// Whether the value is `ON` or 1.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| value.eq_ignore_ascii_case("on") || value == "1")
    }

    /// Whether it is a MariaDB server.
    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        self.server.flavour == Flavour::Mariadb
    }

    /// Bytes of all tables and their indexes.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

/// The server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// MySQL or MariaDB.
    pub flavour: Flavour,
    /// Its version.
    pub version: Version,
    /// `server_uuid`; MariaDB has none before 11.
    pub uuid: Option<String>,
    /// Whether it is Amazon RDS or Aurora, by its procedures.
    pub rds: bool,
    /// `binlog retention hours` of RDS; the inner level says whether it is set.
    pub rds_retention_hours: Option<Option<i64>>,
}

impl Server {
    /// 8.0 for 8.0.42.
    #[must_use]
    pub const fn series(&self) -> (i32, i32) {
        self.version.series()
    }

    /// `MySQL 8.0.42`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{} {}", self.flavour.name(), self.version)
    }
}

/// A schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Its default character set.
    pub charset: String,
    /// Its default collation.
    pub collation: String,
}

/// What is known about a server's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Size of the binary log, when we may see it.
    pub binlog_bytes: Option<i64>,
    /// `datadir`.
    pub folder: Option<String>,
    /// Room left, when the server runs on this very machine.
    pub free_bytes: Option<u64>,
}
