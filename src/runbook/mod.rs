//! From a YAML file to a validated runbook.
//!
//! ```text
//! text ─► tree (located) ─► overlay (--env, ${var:…}) ─► read (shapes, by serde) ─► validate ─► Loaded
//! ```
//!
//! Each stage tells all of its mistakes; a later stage looks only at what the earlier ones could read.

mod alb;
mod aws;
mod de;
pub mod diagnostics;
mod endpoints;
mod gates;
mod ids;
mod load;
mod mask;
pub mod model;
mod named;
mod overlay;
mod rds;
mod rds_steps;
mod read;
mod replicate;
mod schema;
mod steps;
mod systems;
mod tree;
pub mod units;
mod validate;

pub use diagnostics::{Diagnostic, Diagnostics, Location, Severity};
pub use ids::step_ids;
pub use load::{Loaded, load, load_str};
pub use model::Runbook;
pub use schema::schema;
