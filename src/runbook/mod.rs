//! From a YAML file to a validated runbook.

mod gates;
pub mod model;
mod steps;
mod systems;
pub mod units;

pub use model::Runbook;
