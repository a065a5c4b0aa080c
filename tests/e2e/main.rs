//! Tests on real servers, started by the tests on this machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "helpers of tests may panic as tests do, and a scenario is told in one piece"
)]

mod aws;
mod compare;
mod cutover;
mod failures;
mod front;
mod gates;
mod given;
mod haproxy;
mod mysql;
mod pgbouncer;
mod preflight;
mod prometheus;
mod replica;
mod sandbox;
mod schema_copy;
mod screen;
mod servers;
mod support_preflight;
mod support_proxies;
mod support_verify;
