//! Changing instances and clusters: one function a call. Each may be asked for and not confirmed
//! ([`Certainty::Unknown`](crate::systems::Certainty)): the caller looks before it asks again.

use super::Kind;
use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

/// Gives a server another identifier, at once: an instance restarts for it. The same again changes nothing.
pub async fn rename(aws: &Aws, kind: Kind, identifier: &str, to: &str) -> Result<()> {
    let what = format!("rename the {} {identifier} to {to}", kind.word());
    match kind {
        Kind::Instance => {
            let ask = || {
                let call = aws.rds().modify_db_instance().db_instance_identifier(identifier);
                call.new_db_instance_identifier(to).apply_immediately(true).send()
            };
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
        Kind::Cluster => {
            let ask = || {
                let call = aws.rds().modify_db_cluster().db_cluster_identifier(identifier);
                call.new_db_cluster_identifier(to).apply_immediately(true).send()
            };
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
    }
}

/// Makes another instance of a cluster its writer.
pub async fn failover(aws: &Aws, cluster: &str, to: &str) -> Result<()> {
    let ask = || {
        let call = aws.rds().failover_db_cluster().db_cluster_identifier(cluster);
        call.target_db_instance_identifier(to).send()
    };
    aws.write(Service::Rds, &format!("make {to} the writer of {cluster}"), ask).await.map(drop)
}

/// Makes a read replica a server of its own.
pub async fn promote(aws: &Aws, kind: Kind, identifier: &str) -> Result<()> {
    let what = format!("promote {identifier}");
    match kind {
        Kind::Instance => {
            let ask = || aws.rds().promote_read_replica().db_instance_identifier(identifier).send();
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
        Kind::Cluster => {
            let ask = || aws.rds().promote_read_replica_db_cluster().db_cluster_identifier(identifier).send();
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
    }
}
