//! What a Blue/Green deployment copies as a whole, and RDS calls an environment: an instance, or a cluster with its instances.

use super::{Cluster, Group, Instance, Kind, NO_INSTANCE, Server, cluster, instance};
use crate::systems::Result;
use crate::systems::aws::Aws;

/// The blue or the green one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The cluster; absent where it is one instance.
    pub cluster: Option<Cluster>,
    /// Its instances, the one that writes first.
    pub instances: Vec<Instance>,
}

impl Environment {
    /// The server that it is; `None` only of what has neither.
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        let of_cluster = self.cluster.as_ref().map(|cluster| &cluster.server);
        of_cluster.or_else(|| self.instances.first().map(|instance| &instance.server))
    }

    /// Its parameter group: of a cluster that of the cluster, with how it stands on the one that writes.
    #[must_use]
    pub fn group(&self) -> Option<Group> {
        let Some(cluster) = &self.cluster else { return self.instances.first()?.groups.first().cloned() };
        let writer = cluster.members.iter().find(|member| member.writer);
        let status = writer.and_then(|member| member.group_status.clone()).unwrap_or_default();
        Some(Group { name: cluster.group.clone()?, status })
    }

    /// The first of it that is not available.
    #[must_use]
    pub fn busy(&self) -> Option<&Server> {
        let of_cluster = self.cluster.iter().map(|cluster| &cluster.server);
        let all = of_cluster.chain(self.instances.iter().map(|instance| &instance.server));
        all.into_iter().find(|server| !server.is_available())
    }
}

/// All of a server.
pub async fn environment(aws: &Aws, kind: Kind, identifier: &str) -> Result<Environment> {
    if kind == Kind::Instance {
        return Ok(Environment { cluster: None, instances: vec![instance(aws, identifier).await?] });
    }
    let cluster = cluster(aws, identifier).await?;
    let mut members = cluster.members.clone();
    members.sort_by_key(|member| !member.writer);
    let mut instances = Vec::new();
    for member in members {
        match instance(aws, &member.instance).await {
            // It went meanwhile.
            Err(error) if error.is_code(NO_INSTANCE) => {}
            found => instances.push(found?),
        }
    }
    Ok(Environment { cluster: Some(cluster), instances })
}
