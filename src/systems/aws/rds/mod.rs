//! Database servers of RDS: instances, and clusters of Aurora. What is read of them is in structs of our own, since the
//! SDK's have a hundred fields, all optional.
//!
//! An identifier can be renamed and given to another server; the resource id (`DbiResourceId`, `DbClusterResourceId`)
//! stays with the server for as long as it lives.

pub mod blue_green;
mod change;
mod create;
mod endpoint;
mod environment;
mod events;
mod offer;
mod parameters;
mod power;
pub mod proxy;
mod read;
mod server;
mod snapshots;
mod survey;

pub use change::{failover, promote, rename};
pub use create::{create_instance, delete_cluster, delete_instance, delete_member, unprotect};
pub use endpoint::endpoint;
pub use environment::{Environment, environment};
pub use events::{Event, Source, events, events_since};
pub use offer::{Version, is_orderable, versions};
pub use parameters::{Change, Parameter, change_parameters, group_parameters, reboot, with_group};
pub use power::{start, stop};
pub use read::{by_resource, cluster, instance, look, named, server, writer};
pub use server::{Cluster, Group, Instance, Kind, Member, Server};
pub use snapshots::{SNAPSHOT_EXISTS, Snapshot, create_snapshot, snapshot};
pub use survey::{Parameters, maintenance, parameters, permissions as reading};

/// Code of the answer when there is no such instance.
pub const NO_INSTANCE: &str = "DBInstanceNotFound";
/// Code of the answer when there is no such cluster.
pub const NO_CLUSTER: &str = "DBClusterNotFoundFault";
