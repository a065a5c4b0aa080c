//! What goes on in a server: sessions, transactions, slots, subscriptions.

use serde::{Deserialize, Serialize};

/// What goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// Sessions of clients in this database, ours left out.
    pub sessions: Vec<SessionGroup>,
    /// Transactions older than 5 s, in any database of the server, oldest first, at most 50.
    pub transactions: Vec<OldTransaction>,
    /// Prepared transactions of the server.
    pub prepared: Vec<PreparedTransaction>,
    /// Replication slots of the server.
    pub slots: Vec<Slot>,
    /// Subscriptions of this database.
    pub subscriptions: Vec<Subscription>,
    /// Publications of this database.
    pub publications: Vec<Publication>,
}

/// Sessions that look the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionGroup {
    /// Role they logged in as.
    pub role: String,
    /// `application_name`.
    pub application: String,
    /// Where they come from; `None` on a Unix socket, or when we may not see it.
    pub address: Option<String>,
    /// Their backends.
    pub pids: Vec<i32>,
}

/// A transaction that has been open for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldTransaction {
    /// Its backend.
    pub pid: i32,
    /// Role.
    pub role: Option<String>,
    /// `application_name`.
    pub application: Option<String>,
    /// Database.
    pub database: Option<String>,
    /// Such as `idle in transaction`.
    pub state: Option<String>,
    /// For how long, in seconds.
    pub age_s: i64,
    /// Whether it has written.
    pub writes: bool,
}

/// A transaction that waits for `COMMIT PREPARED`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedTransaction {
    /// Its global identifier.
    pub gid: String,
    /// Role.
    pub owner: String,
    /// Database.
    pub database: String,
    /// For how long, in seconds.
    pub age_s: i64,
}

/// A replication slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// `logical` or `physical`.
    pub kind: String,
    /// Output plugin of a logical one.
    pub plugin: Option<String>,
    /// Database of a logical one.
    pub database: Option<String>,
    /// Whether somebody reads from it now.
    pub active: bool,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<String>,
    /// WAL it keeps on disk.
    pub kept_bytes: Option<i64>,
}

/// A subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its name.
    pub name: String,
    /// Whether it is enabled.
    pub enabled: bool,
    /// The slot it reads from.
    pub slot: Option<String>,
    /// The publications it reads.
    pub publications: Vec<String>,
}

/// A publication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Its name.
    pub name: String,
    /// `FOR ALL TABLES`.
    pub all_tables: bool,
    /// Its owner.
    pub owner: String,
}
