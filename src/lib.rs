//! `pointsman` moves a live database and the traffic in front of it, and can take it back.
pub mod runbook;
