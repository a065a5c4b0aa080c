//! The survey itself, and what concerns the server and the database as a whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Activity, ClockReading, Dialled, HbaRule, LoginRole, Objects, OwnRole, Roles, Schema, Sequence, Setting, Table,
};

/// What was read from one database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    /// Name of the system in the runbook.
    pub system: String,
    /// `host:port` as poolers reach it, when the runbook says so.
    pub address: Option<String>,
    /// Where we dialled, without the secret.
    pub dialled: Dialled,
    /// The server.
    pub server: Server,
    /// Its clock against ours.
    pub clock: ClockReading,
    /// Settings by name, as a new session of our role without options of its own gets them.
    pub settings: BTreeMap<String, Setting>,
    /// How much of the limits is used.
    pub usage: Usage,
    /// The database.
    pub database: DatabaseFacts,
    /// What `ALTER DATABASE ... SET` and `ALTER ROLE ... SET` left.
    pub own_settings: Vec<OwnSetting>,
    /// The application's schemas: not PostgreSQL's, not ours, not an extension's.
    pub schemas: Vec<Schema>,
    /// The tables in them, partitions and partitioned ones too.
    pub tables: Vec<Table>,
    /// The sequences in them.
    pub sequences: Vec<Sequence>,
    /// Everything else in the database.
    pub objects: Objects,
    /// Roles that can log in.
    pub logins: Vec<LoginRole>,
    /// Roles by name.
    pub roles: Roles,
    /// Sessions, transactions, slots, subscriptions.
    pub activity: Activity,
    /// `pg_hba.conf` in order; `None` when we may not read it.
    pub hba: Option<Vec<HbaRule>>,
    /// What is known about its disk.
    pub disk: Disk,
    /// The role that read all this.
    pub role: OwnRole,
}

impl Survey {
    /// The setting's value, when the server has it and we may see it.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(|setting| setting.value.as_str())
    }

    /// The setting's value as a number, in the unit of the server.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.setting(name)?.parse().ok()
    }

    /// 15 for 15.18.
    #[must_use]
    pub const fn major(&self) -> i64 {
        self.server.version / 10_000
    }
}

/// The server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// `server_version_num`: 150018 for 15.18.
    pub version: i64,
    /// `server_version`, as people know it.
    pub version_text: String,
    /// Stays with a cluster for life; differs between clusters. `None` when we may not read it.
    pub system_identifier: Option<String>,
    /// Goes up with each promotion of a standby.
    pub timeline: Option<i64>,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// Whether it is Amazon RDS or Aurora, by its roles.
    pub rds: bool,
    /// Its address as it sees itself; `None` on a Unix socket.
    pub own_address: Option<String>,
}

/// How much of the limits is used. Ours by name (`pointsman_*`) are not counted among the slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Replication slots.
    pub slots: i64,
    /// WAL senders that run.
    pub senders: i64,
    /// Logical replication workers that run.
    pub logical_workers: i64,
    /// Background workers that run; `None` when we may not see them.
    pub worker_processes: Option<i64>,
    /// Replication origins.
    pub origins: i64,
    /// Standbys that commits wait for now; `None` when we may not see them.
    pub synchronous_standbys: Option<i64>,
}

/// The database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// Its name on the server.
    pub name: String,
    /// Role that owns it.
    pub owner: String,
    /// Whether our role may act as its owner.
    pub ours: bool,
    /// Such as `UTF8`.
    pub encoding: String,
    /// Locale provider: `c` (libc), `i` (ICU), `b` (builtin).
    pub provider: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The provider's locale, when it is not libc.
    pub locale: Option<String>,
    /// Collation version the indexes were built with.
    pub collation_version: Option<String>,
    /// Collation version the server has now.
    pub collation_version_now: Option<String>,
    /// `CONNECTION LIMIT`; -1 is none.
    pub connection_limit: i64,
    /// Size on disk.
    pub bytes: i64,
}

/// One setting of a database or a role: not replicated, and easily forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnSetting {
    /// The role it is for; every role when `None`.
    pub role: Option<String>,
    /// Whether it is for this database only.
    pub in_database: bool,
    /// The setting.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What is known about a server's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Size of `pg_wal`, when we may read it.
    pub wal_bytes: Option<i64>,
    /// `data_directory`, when we may see it.
    pub data_directory: Option<String>,
    /// Room left, when the server runs on this very machine.
    pub free_bytes: Option<u64>,
}
