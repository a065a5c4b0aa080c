//! The executor: state (a fold), decide (pure), drive (does it), the guard that outlives it.

pub mod context;
pub mod decide;
pub mod drive;
pub mod guard;
pub mod hands;
pub mod notices;
pub mod process;
pub mod pulse;
pub mod rig;
pub mod samples;
pub mod state;
pub mod take;

pub use drive::{Conclusion, Drive, DriveError, OnHold};
pub use state::RunState;
