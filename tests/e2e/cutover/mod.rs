//! Whole cutovers by the real program, a process of its own, under load, with an independent ledger and probes that
//! write to both databases all the time.

pub mod executors;
pub mod forward;
pub mod guard;
pub mod killing;
mod load;
pub mod support;
