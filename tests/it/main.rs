//! The fast, hermetic tests: one binary, no server and no network.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "helpers of tests may panic as tests do"
)]

mod decide;
mod fake;
mod journal;
mod licences;
mod matrix;
mod program;
mod properties;
mod reading;
mod runbook;
mod screen;
mod scripts;
mod standings;
mod tidy;
