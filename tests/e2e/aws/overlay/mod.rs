//! What stands in for the emulators where they are wrong about AWS. Each is our belief about AWS, coded by us: a test that
//! rests on one says so, and the overlay names the page that it was taken from. Keep them small.

pub mod dms;
pub mod ecs;
pub mod health;
pub mod quiet;
pub mod rds;
