//! What surveys of every kind of database have in common: where the database was dialled, without the secret, and its
//! clock against ours.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a database was dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialled {
    /// Host name, address, or folder of the Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role, or account.
    pub user: String,
    /// Whether a password goes with it.
    pub with_password: bool,
    /// What the host name stands for from here; empty for a socket or when it can't be resolved.
    pub addresses: Vec<IpAddr>,
}

impl Dialled {
    /// With what the host name stands for from here.
    #[must_use]
    pub async fn resolved(mut self) -> Self {
        self.addresses = resolve(&self.host, self.port).await;
        self
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

/// A server's clock against ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// How far it is ahead of ours, in milliseconds.
    pub ahead_ms: i64,
    /// The round trip of the question: the reading can be off by half of it either way.
    pub uncertain_ms: i64,
}

impl ClockReading {
    /// A server answered `theirs` (milliseconds since 1970) to a question that was put at `asked` and took so long.
    #[must_use]
    pub fn new(asked: Timestamp, round_trip: Duration, theirs: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit 53 bits")]
        let ours = asked.as_millisecond() as f64 + round_trip.as_secs_f64() * 500.0;
        #[expect(clippy::cast_possible_truncation, reason = "a skew of 2^63 ms is not to be had")]
        let ahead_ms = (theirs - ours) as i64;
        Self { ahead_ms, uncertain_ms: i64::try_from(round_trip.as_millis()).unwrap_or(i64::MAX) }
    }
}
