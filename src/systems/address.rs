//! Where a database is reached by poolers and applications.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where an endpoint leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Address {
    /// Host name, IP address, or folder of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of the database there; left as it is when absent.
    #[serde(default)]
    pub dbname: Option<String>,
}

impl Address {
    /// Reads `host:port`; none when it is something else.
    #[must_use]
    pub fn parse(text: &str, dbname: Option<String>) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self { host: host.to_owned(), port: port.parse().ok()?, dbname })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)?;
        self.dbname.as_ref().map_or(Ok(()), |name| write!(f, "/{name}"))
    }
}
