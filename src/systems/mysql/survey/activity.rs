//! What goes on in a server.

use serde::{Deserialize, Serialize};

/// What goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Sessions of clients, the one that asks left out; `None` when we see our own only.
    pub sessions: Option<Vec<SessionGroup>>,
    /// Transactions that have been open for a while, oldest first; `None` when we may not see them.
    pub transactions: Option<Vec<OldTransaction>>,
    /// Prepared XA transactions; `None` when we may not see them.
    pub prepared: Option<Vec<String>>,
    /// Replication channels (MariaDB: connections) of this server.
    pub channels: Vec<Channel>,
    /// Whoever reads the binary log: `user@host`.
    pub readers: Vec<String>,
    /// Executed GTIDs: MySQL's set, or MariaDB's position of the binary log.
    pub gtids: String,
    /// GTIDs of the source that are not on this server, and of this server that are not on the source, as this server
    /// subtracts them (MySQL); judged on the target.
    pub errant: Option<String>,
    /// What an earlier run left: statements that take it away, by what it is.
    pub leftovers: Vec<(String, String)>,
}

/// Sessions that look the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionGroup {
    /// User name.
    pub user: String,
    /// Where they come from, without the port.
    pub host: String,
    /// Their default schema.
    pub schema: Option<String>,
    /// Their connection ids.
    pub ids: Vec<u64>,
}

/// A transaction that has been open for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldTransaction {
    /// Its connection.
    pub id: u64,
    /// User name.
    pub user: String,
    /// Where it comes from.
    pub host: String,
    /// What it does now.
    pub state: String,
    /// For how long, in seconds.
    pub age_s: i64,
    /// Rows that it has changed.
    pub changed: i64,
}

/// A replication channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its name; empty for the default one.
    pub name: String,
    /// `host:port` that it follows.
    pub source: String,
    /// Whether it receives or applies now.
    pub running: bool,
    /// Its filters, in words; none is as it should be.
    pub filters: Vec<String>,
}
