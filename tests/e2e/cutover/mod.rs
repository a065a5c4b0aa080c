//! Whole cutovers by the real program, a process of its own, under load, with an independent ledger and probes that
//! write to both databases all the time.

mod executors;
mod forward;
mod guard;
mod killing;
pub mod support;
