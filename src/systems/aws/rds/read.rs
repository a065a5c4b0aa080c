//! Reading instances and clusters.

use aws_sdk_rds::types::Filter;

use super::{Cluster, Instance, Kind, Server};
use crate::runbook::model::Rds;
use crate::systems::aws::{Aws, Service};
use crate::systems::{Certainty, DriverError, Result};

/// Kind and identifier of the server that a system of the runbook names now.
pub async fn named(aws: &Aws, spec: &Rds) -> Result<(Kind, String)> {
    match (&spec.cluster, &spec.instance, &spec.blue_green) {
        (Some(identifier), ..) => Ok((Kind::Cluster, identifier.clone())),
        (None, Some(identifier), _) => Ok((Kind::Instance, identifier.clone())),
        (None, None, Some(name)) => super::blue_green::green(aws, name).await,
        (None, None, None) => {
            let reason = "it names neither an instance nor a cluster";
            Err(DriverError::new(aws.system(), "look it up", reason, Certainty::NotSent).with_hint("name one"))
        }
    }
}

/// The server that a system of the runbook names.
pub async fn look(aws: &Aws, spec: &Rds) -> Result<Server> {
    let (kind, identifier) = named(aws, spec).await?;
    server(aws, kind, &identifier).await
}

/// A server by its identifier.
pub async fn server(aws: &Aws, kind: Kind, identifier: &str) -> Result<Server> {
    match kind {
        Kind::Instance => Ok(instance(aws, identifier).await?.server),
        Kind::Cluster => Ok(cluster(aws, identifier).await?.server),
    }
}

/// The instance that takes the writes of the server with a resource id: that itself, or the writer of a cluster, of which a
/// reboot is asked ("Rebooting a DB instance within an Aurora cluster" in the Aurora user guide); `None` when it is gone, or
/// has no writer.
pub async fn writer(aws: &Aws, resource: &str) -> Result<Option<Server>> {
    let kind = Kind::of_resource(resource);
    let Some(found) = by_resource(aws, kind, resource).await? else { return Ok(None) };
    if kind == Kind::Instance {
        return Ok(Some(found));
    }
    match cluster(aws, &found.identifier).await?.writer() {
        Some(identifier) => Ok(Some(instance(aws, identifier).await?.server)),
        None => Ok(None),
    }
}

/// An instance by its identifier. When there is none the error has the code [`super::NO_INSTANCE`].
pub async fn instance(aws: &Aws, identifier: &str) -> Result<Instance> {
    let what = format!("read the instance {identifier}");
    let ask = || aws.rds().describe_db_instances().db_instance_identifier(identifier).send();
    let answer = aws.read(Service::Rds, &what, ask).await?;
    let found = answer.db_instances.unwrap_or_default().into_iter().next();
    found.map(Instance::from).ok_or_else(|| missing(aws, &what, super::NO_INSTANCE))
}

/// A cluster by its identifier. When there is none the error has the code [`super::NO_CLUSTER`].
pub async fn cluster(aws: &Aws, identifier: &str) -> Result<Cluster> {
    let what = format!("read the cluster {identifier}");
    let ask = || aws.rds().describe_db_clusters().db_cluster_identifier(identifier).send();
    let answer = aws.read(Service::Rds, &what, ask).await?;
    let found = answer.db_clusters.unwrap_or_default().into_iter().next();
    found.map(Cluster::from).ok_or_else(|| missing(aws, &what, super::NO_CLUSTER))
}

/// The server with a resource id, whatever it is called now; `None` when it is gone.
///
/// By the filters `dbi-resource-id` and `db-cluster-resource-id` of DescribeDBInstances and DescribeDBClusters; what is
/// answered is looked at again, since not everybody who speaks this protocol knows them.
pub async fn by_resource(aws: &Aws, kind: Kind, resource: &str) -> Result<Option<Server>> {
    let what = format!("look for the {} {resource}", kind.word());
    let name = match kind {
        Kind::Instance => "dbi-resource-id",
        Kind::Cluster => "db-cluster-resource-id",
    };
    let filter = Filter::builder().name(name).values(resource).build();
    let found: Vec<Server> = match kind {
        Kind::Instance => {
            let ask = || aws.rds().describe_db_instances().filters(filter.clone()).send();
            let answer = aws.read(Service::Rds, &what, ask).await?;
            answer.db_instances.unwrap_or_default().into_iter().map(|found| Instance::from(found).server).collect()
        }
        Kind::Cluster => {
            let ask = || aws.rds().describe_db_clusters().filters(filter.clone()).send();
            let answer = aws.read(Service::Rds, &what, ask).await?;
            answer.db_clusters.unwrap_or_default().into_iter().map(|found| Cluster::from(found).server).collect()
        }
    };
    Ok(found.into_iter().find(|server| server.resource_id == resource))
}

fn missing(aws: &Aws, what: &str, code: &str) -> DriverError {
    let mut error = DriverError::new(aws.system(), what, "the answer is empty", Certainty::Refused);
    error.code = Some(code.to_owned());
    error
}
