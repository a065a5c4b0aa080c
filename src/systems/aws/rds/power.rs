//! Stopping a server, and starting it again.

use super::{Kind, Server};
use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

/// Stops a server. RDS starts it again by itself after seven days.
pub async fn stop(aws: &Aws, server: &Server) -> Result<()> {
    let (what, called) = (format!("stop {}", server.identifier), &server.identifier);
    match server.kind {
        Kind::Instance => {
            let ask = || aws.rds().stop_db_instance().db_instance_identifier(called).send();
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
        Kind::Cluster => {
            let ask = || aws.rds().stop_db_cluster().db_cluster_identifier(called).send();
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
    }
}

/// Starts a server that was stopped.
pub async fn start(aws: &Aws, server: &Server) -> Result<()> {
    let (what, called) = (format!("start {}", server.identifier), &server.identifier);
    match server.kind {
        Kind::Instance => {
            let ask = || aws.rds().start_db_instance().db_instance_identifier(called).send();
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
        Kind::Cluster => {
            let ask = || aws.rds().start_db_cluster().db_cluster_identifier(called).send();
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
    }
}
