//! Changing instances and clusters: one function a call. Each may be asked for and not confirmed
//! ([`Certainty::Unknown`](crate::systems::Certainty)): the caller looks before it asks again.

use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

/// Makes another instance of a cluster its writer.
pub async fn failover(aws: &Aws, cluster: &str, to: &str) -> Result<()> {
    let ask = || {
        let call = aws.rds().failover_db_cluster().db_cluster_identifier(cluster);
        call.target_db_instance_identifier(to).send()
    };
    aws.write(Service::Rds, &format!("make {to} the writer of {cluster}"), ask).await.map(drop)
}
