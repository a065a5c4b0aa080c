//! Tests on real servers.
mod servers;
