//! AWS by the official SDK.
//!
//! An [`Aws`] is where calls go and as whom: one region, one profile, one endpoint. It retries, paces and words errors
//! for all services alike; the SDK's own retries are off, so that a write whose answer was lost is never sent a second
//! time unseen. Clients of a read-only [`Aws`] (`check`, `plan`, gates) refuse to send anything that changes something.

pub mod account;
pub mod alb;
pub mod calls;
mod client;
pub mod cloud_map;
pub mod cloudwatch;
pub mod dms;
pub mod ec2;
pub mod ecs;
mod error;
pub mod parameters;
mod permissions;
pub mod rds;
mod readonly;
pub mod route53;
pub mod secrets_manager;
mod throttle;
pub mod vault;

pub use account::Identity;
pub use calls::{Call, Service};
pub use client::{Access, Aws, Hubs};
pub use error::{Trouble, explain, trouble};
pub use permissions::{Permission, policy};
