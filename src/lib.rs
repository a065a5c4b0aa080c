//! `pointsman` moves a live database and the traffic in front of it, and can take it back.
//!
//! ```text
//! runbook file ─► Runbook ─► Plan ─► executor ─► journal ─► views, report
//!   (YAML)      (validated) (frozen)    │  ▲        (one fold)
//!                                       ▼  │
//!                           steps ── gates ┘
//!                               │      │
//!                               ▼      ▼
//!                               systems: postgres pgbouncer haproxy
//! ```

pub mod cli;
pub mod clock;
pub mod commands;
pub mod endpoints;
pub mod engine;
pub mod error;
pub mod executor;
pub mod gates;
pub mod journal;
pub mod plan;
pub mod preflight;
pub mod rehearsal;
pub mod report;
pub mod runbook;
pub mod sandbox;
pub mod secret;
pub mod steps;
pub mod systems;
pub mod view;
