//! What the console's tables say, typed.

use std::fmt;

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::console::Row;
use crate::systems::address::Address;

/// One database of a pooler, as the pooler sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Where it leads; nothing for the default Unix socket.
    pub host: Option<String>,
    /// Port there.
    pub port: u16,
    /// Name of the database there.
    pub dbname: String,
    /// Whether clients are held, or will be as soon as running transactions end.
    pub paused: bool,
    /// Whether new clients are refused.
    pub disabled: bool,
    /// Pool mode of this database, if it differs from the pooler's.
    pub pool_mode: Option<String>,
    /// The one role that it logs in as, if it is forced.
    pub force_user: Option<String>,
    /// The least number of connections of each of its pools, where this version says it.
    pub min_pool_size: Option<u64>,
    /// Server connections now.
    pub current_connections: u64,
}

impl Entry {
    pub(super) fn of(row: &Row) -> Option<Self> {
        Some(Self {
            host: row.get("host").map(str::to_owned),
            port: u16::try_from(row.number("port")?).ok()?,
            dbname: row.get("database")?.to_owned(),
            paused: row.flag("paused"),
            disabled: row.flag("disabled"),
            pool_mode: row.get("pool_mode").map(str::to_owned),
            force_user: row.get("force_user").map(str::to_owned),
            min_pool_size: row.number("min_pool_size"),
            current_connections: row.number("current_connections").unwrap_or(0),
        })
    }

    /// Whether it leads to `address`.
    #[must_use]
    pub fn leads_to(&self, address: &Address) -> bool {
        let named = address.dbname.as_ref().is_none_or(|name| *name == self.dbname);
        self.host.as_deref() == Some(address.host.as_str()) && self.port == address.port && named
    }

    /// Where it leads, to be put back later.
    #[must_use]
    pub fn address(&self) -> Address {
        let host = self.host.clone().unwrap_or_default();
        Address { host, port: self.port, dbname: Some(self.dbname.clone()) }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = if self.paused { "paused" } else { "not paused" };
        write!(f, "{held}, leads to {}", self.address())
    }
}

/// Sums of a database's pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pools {
    /// Clients with a server connection or idle.
    pub clients_active: u64,
    /// Clients that wait for a server connection.
    pub clients_waiting: u64,
    /// Server connections that a client holds.
    pub servers_active: u64,
    /// Server connections in their login phase: at a `PAUSE` they count as failed logins.
    pub servers_login: u64,
    /// Longest wait of a client now, in microseconds.
    pub longest_wait_us: u64,
}

impl Pools {
    pub(super) fn of(rows: &[Row], database: &str) -> Self {
        let ours: Vec<&Row> = rows.iter().filter(|row| row.get("database") == Some(database)).collect();
        let sum = |column: &str| ours.iter().filter_map(|row| row.number(column)).sum();
        let wait = |row: &&Row| row.number("maxwait").unwrap_or(0) * 1_000_000 + row.number("maxwait_us").unwrap_or(0);
        Self {
            clients_active: sum("cl_active"),
            clients_waiting: sum("cl_waiting"),
            servers_active: sum("sv_active"),
            servers_login: sum("sv_login"),
            longest_wait_us: ours.iter().map(wait).max().unwrap_or(0),
        }
    }
}

/// A client of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PoolClient {
    /// `address:port` it comes from.
    pub address: String,
    /// Its role.
    pub user: String,
    /// The name it gave itself.
    pub application: Option<String>,
    /// PgBouncer's word: `active`, `waiting`, `idle`.
    pub state: String,
}

impl PoolClient {
    pub(super) fn all(rows: &[Row], database: &str) -> Vec<Self> {
        let ours = rows.iter().filter(|row| row.get("database") == Some(database));
        ours.map(|row| Self {
            address: source(row),
            user: row.get("user").unwrap_or_default().to_owned(),
            application: row.get("application_name").map(str::to_owned),
            state: row.get("state").unwrap_or_default().to_owned(),
        })
        .collect()
    }
}

/// A client that holds a server connection, so that a `PAUSE` waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Blocker {
    /// `address:port` it comes from.
    pub address: String,
    /// Its role.
    pub user: String,
    /// The name it gave itself.
    pub application: Option<String>,
    /// Seconds since it last sent something, by the pooler's clock.
    pub silent_secs: Option<i64>,
    /// Process of the server that it holds: `pg_stat_activity.pid` there.
    pub server_pid: Option<u64>,
}

impl Blocker {
    /// Who holds a server connection of `database`.
    pub(super) fn all(clients: &[Row], servers: &[Row], database: &str) -> Vec<Self> {
        // Our own console sent its last request now: that is the pooler's clock.
        let now = clients.iter().filter_map(|row| moment(row, "request_time")).max();
        let held = servers.iter().filter(|row| row.get("database") == Some(database));
        let pairs = held.filter_map(|server| {
            let link = server.get("link")?;
            let client = clients.iter().find(|client| client.get("ptr") == Some(link))?;
            Some((server, client))
        });
        pairs.map(|(server, client)| Self::of(server, client, now)).collect()
    }

    fn of(server: &Row, client: &Row, now: Option<DateTime>) -> Self {
        let sent = moment(server, "request_time").max(moment(client, "request_time"));
        let silence = now.zip(sent).and_then(|(now, sent)| sent.until((jiff::Unit::Second, now)).ok());
        Self {
            address: source(client),
            user: client.get("user").unwrap_or_default().to_owned(),
            application: client.get("application_name").map(str::to_owned),
            silent_secs: silence.map(|span| span.get_seconds()),
            server_pid: server.number("remote_pid").filter(|pid| *pid > 0),
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (role {}", self.address, self.user)?;
        if let Some(application) = &self.application {
            write!(f, ", application {application}")?;
        }
        if let Some(secs) = self.silent_secs {
            write!(f, ", in a transaction, silent for {secs} s")?;
        }
        self.server_pid.map_or(Ok(()), |pid| write!(f, ", server process {pid}"))?;
        f.write_str(")")
    }
}

fn source(row: &Row) -> String {
    format!("{}:{}", row.get("addr").unwrap_or("unix"), row.get("port").unwrap_or("0"))
}

/// `2026-11-21 09:33:52 UTC`: local to the pooler, so only good for differences.
fn moment(row: &Row, column: &str) -> Option<DateTime> {
    let text = row.get(column)?;
    text.get(..19)?.replace(' ', "T").parse().ok()
}
