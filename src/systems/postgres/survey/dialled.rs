//! Where a database was dialled, without the secret.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tokio_postgres::config::Host;

use crate::systems::Result;
use crate::systems::postgres::Database;

/// Where a database was dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialled {
    /// Host name, address, or folder of the Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Whether a password goes with it.
    pub with_password: bool,
    /// What the host name stands for from here; empty for a socket or when it can't be resolved.
    pub addresses: Vec<IpAddr>,
}

impl Dialled {
    /// Reads the database's URL and resolves its host.
    pub async fn of(database: &Database) -> Result<Self> {
        let config = database.config()?;
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let user = config.get_user().unwrap_or_default().to_owned();
        let dialled = Self {
            addresses: resolve(&host, port).await,
            database: config.get_dbname().unwrap_or(&user).to_owned(),
            with_password: config.get_password().is_some(),
            host,
            port,
            user,
        };
        Ok(dialled)
    }

    /// `host:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether it means "this machine", whichever machine asks.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.starts_with('/')
            || (!self.addresses.is_empty() && self.addresses.iter().all(IpAddr::is_loopback))
            || self.host.eq_ignore_ascii_case("localhost")
    }

    /// Whether it is an address that only means something within one network.
    #[must_use]
    pub fn is_private(&self) -> bool {
        !self.addresses.is_empty() && self.addresses.iter().all(is_private)
    }
}

fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// What a host name stands for from here; empty when it can't be resolved.
async fn resolve(host: &str, port: u16) -> Vec<IpAddr> {
    if host.starts_with('/') {
        return Vec::new();
    }
    let Ok(found) = tokio::net::lookup_host((host, port)).await else { return Vec::new() };
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
