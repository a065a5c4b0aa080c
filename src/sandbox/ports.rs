//! Free ports on loopback.
//!
//! They are chosen below the kernel's range for outgoing connections: a server that is restarted must get its port
//! back, and a port of that range can be taken by any client in the meantime.

use std::net::{Ipv4Addr, TcpListener};

use super::SandboxError;

const LOWEST: u16 = 15_000;

/// A port that nobody listens on now. Another process can still take it: whoever starts a server checks that it is
/// really that server which listens (see `process.rs`).
///
/// # Errors
/// When a thousand attempts find none.
pub fn free_port() -> Result<u16, SandboxError> {
    let highest = lowest_outgoing().max(LOWEST + 1000);
    let span = u32::from(highest - LOWEST);
    let candidates = std::iter::repeat_with(|| LOWEST + u16::try_from(rand::random::<u32>() % span).unwrap_or(0));
    candidates
        .take(1000)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| SandboxError::Options(format!("no free port on 127.0.0.1 between {LOWEST} and {highest}")))
}

fn lowest_outgoing() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768)
}
