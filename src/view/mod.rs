//! What people and programs see of a run. Views read the journal's entries and never touch a system; the executor never
//! waits for them.

pub mod board;
pub mod estimates;
pub mod follow;
pub mod json;
pub mod plain;
pub mod status;
pub mod tui;
pub mod way_back;
pub mod words;
