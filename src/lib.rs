//! `pointsman` moves a live database and the traffic in front of it, and can take it back.
pub mod clock;
pub mod runbook;
pub mod secret;
pub mod systems;
