//! The ways in which cutovers are known to go wrong, each on real servers: a test is named after what it prevents, with
//! the number of the list of failure modes where it has one.

#![expect(clippy::panic, reason = "a test ends by a panic")]

mod clients;
mod drain;
mod pooler;
mod schema;
mod secrets;
mod support;
pub mod tls;
mod untouched;
mod versions;
mod waiting;
mod way_back;
