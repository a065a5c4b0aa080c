//! Snapshots of instances and clusters.

use aws_sdk_rds::types::{DbClusterSnapshot, DbSnapshot, Tag};

use super::{Kind, Server};
use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

/// Codes of the answer when there is no such snapshot.
const MISSING: [&str; 2] = ["DBSnapshotNotFound", "DBClusterSnapshotNotFoundFault"];
/// Codes of the answer when there is one of this name already.
pub const SNAPSHOT_EXISTS: [&str; 2] = ["DBSnapshotAlreadyExists", "DBClusterSnapshotAlreadyExistsFault"];

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Such as `creating`, `available`, `failed`.
    pub status: String,
    /// How much is done.
    pub percent: i32,
    /// Resource id of the server that it is of, where AWS tells it.
    pub resource_id: Option<String>,
    /// What that was called.
    pub of: String,
}

impl Snapshot {
    /// Whether it is one of this server.
    #[must_use]
    pub fn is_of(&self, server: &Server) -> bool {
        match &self.resource_id {
            Some(resource) => *resource == server.resource_id,
            None => self.of == server.identifier,
        }
    }
}

/// A snapshot by its identifier; `None` when there is none.
pub async fn snapshot(aws: &Aws, kind: Kind, identifier: &str) -> Result<Option<Snapshot>> {
    let what = format!("look at the snapshot {identifier}");
    let found = match kind {
        Kind::Instance => {
            let ask = || aws.rds().describe_db_snapshots().db_snapshot_identifier(identifier).send();
            let answer = aws.read(Service::Rds, &what, ask).await;
            answer.map(|answer| answer.db_snapshots.unwrap_or_default().into_iter().next().map(Snapshot::from))
        }
        Kind::Cluster => {
            let ask = || aws.rds().describe_db_cluster_snapshots().db_cluster_snapshot_identifier(identifier).send();
            let answer = aws.read(Service::Rds, &what, ask).await;
            answer.map(|answer| answer.db_cluster_snapshots.unwrap_or_default().into_iter().next().map(Snapshot::from))
        }
    };
    match found {
        Err(error) if MISSING.iter().any(|code| error.is_code(code)) => Ok(None),
        found => found,
    }
}

/// Begins a snapshot, with tags.
pub async fn create_snapshot(aws: &Aws, of: &Server, identifier: &str, tags: &[(&str, &str)]) -> Result<()> {
    let what = format!("make the snapshot {identifier}");
    let tags: Vec<Tag> = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect();
    match of.kind {
        Kind::Instance => {
            let ask = || {
                let call = aws.rds().create_db_snapshot().db_instance_identifier(&of.identifier);
                call.db_snapshot_identifier(identifier).set_tags(Some(tags.clone())).send()
            };
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
        Kind::Cluster => {
            let ask = || {
                let call = aws.rds().create_db_cluster_snapshot().db_cluster_identifier(&of.identifier);
                call.db_cluster_snapshot_identifier(identifier).set_tags(Some(tags.clone())).send()
            };
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
    }
}

impl From<DbSnapshot> for Snapshot {
    fn from(found: DbSnapshot) -> Self {
        Self {
            status: found.status.unwrap_or_default(),
            percent: found.percent_progress.unwrap_or_default(),
            resource_id: found.dbi_resource_id.filter(|id| !id.is_empty()),
            of: found.db_instance_identifier.unwrap_or_default(),
        }
    }
}

impl From<DbClusterSnapshot> for Snapshot {
    fn from(found: DbClusterSnapshot) -> Self {
        Self {
            status: found.status.unwrap_or_default(),
            percent: found.percent_progress.unwrap_or_default(),
            resource_id: found.db_cluster_resource_id.filter(|id| !id.is_empty()),
            of: found.db_cluster_identifier.unwrap_or_default(),
        }
    }
}
