//! RDS Proxies: which database a proxy leads to. Its target group has one instance, or one cluster, whose instances are
//! then listed as targets, too ([User Guide], "RDS Proxy concepts and terminology").
//!
//! [User Guide]: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.html

use aws_sdk_rds::types::{DbProxyTarget, TargetHealthReason, TargetState, TargetType};

use super::Kind;
use crate::systems::aws::{Aws, Service};
use crate::systems::{Certainty, DriverError, Result};

/// Code of the answer when such a database is registered already.
pub const REGISTERED: &str = "DBProxyTargetAlreadyRegisteredFault";
/// Code of the answer when no such database is registered.
pub const NOT_REGISTERED: &str = "DBProxyTargetNotFoundFault";

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Such as `available`, `modifying`.
    pub status: String,
    /// `POSTGRESQL` or `MYSQL`.
    pub family: String,
    /// How long a client waits at most for a connection to the database, in seconds; then it sees an error.
    pub borrow_seconds: Option<i32>,
}

/// A database that a proxy leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether it is one instance or a whole cluster.
    pub kind: Kind,
    /// Its identifier.
    pub identifier: String,
    /// How it stands: of a cluster, its writer.
    pub health: Health,
}

/// How a database stands with a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Clients are led to it.
    Available,
    /// The proxy makes itself ready for it.
    Registering,
    /// The proxy does not get through to it: the reason's name and AWS's words.
    Unavailable(String, String),
}

/// A proxy, and its target group's settings.
pub async fn proxy(aws: &Aws, name: &str, group: &str) -> Result<Proxy> {
    let what = format!("read the proxy {name}");
    let ask = || aws.rds().describe_db_proxies().db_proxy_name(name).send();
    let answer = aws.read(Service::Rds, &what, ask).await?;
    let missing = || DriverError::new(aws.system(), &what, "there is no such proxy", Certainty::Refused);
    let found = answer.db_proxies.unwrap_or_default().into_iter().next().ok_or_else(missing)?;
    let ask = || aws.rds().describe_db_proxy_target_groups().db_proxy_name(name).target_group_name(group).send();
    let groups = aws.read(Service::Rds, &what, ask).await?.target_groups.unwrap_or_default();
    let pool = groups.into_iter().next().and_then(|group| group.connection_pool_config);
    Ok(Proxy {
        status: found.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        family: found.engine_family.unwrap_or_default(),
        borrow_seconds: pool.and_then(|pool| pool.connection_borrow_timeout),
    })
}

/// The databases that are registered: one, or none in the middle of a change.
pub async fn targets(aws: &Aws, name: &str, group: &str) -> Result<Vec<Target>> {
    let what = format!("read the targets of the proxy {name}");
    let ask = || aws.rds().describe_db_proxy_targets().db_proxy_name(name).target_group_name(group).send();
    Ok(registered(aws.read(Service::Rds, &what, ask).await?.targets()))
}

/// Takes a database out.
pub async fn deregister(aws: &Aws, name: &str, group: &str, kind: Kind, identifier: &str) -> Result<()> {
    let ask = || {
        let call = aws.rds().deregister_db_proxy_targets().db_proxy_name(name).target_group_name(group);
        match kind {
            Kind::Instance => call.db_instance_identifiers(identifier).send(),
            Kind::Cluster => call.db_cluster_identifiers(identifier).send(),
        }
    };
    aws.write(Service::Rds, &format!("take {identifier} out of the proxy {name}"), ask).await.map(drop)
}

/// Puts a database in.
pub async fn register(aws: &Aws, name: &str, group: &str, kind: Kind, identifier: &str) -> Result<()> {
    let ask = || {
        let call = aws.rds().register_db_proxy_targets().db_proxy_name(name).target_group_name(group);
        match kind {
            Kind::Instance => call.db_instance_identifiers(identifier).send(),
            Kind::Cluster => call.db_cluster_identifiers(identifier).send(),
        }
    };
    aws.write(Service::Rds, &format!("put {identifier} into the proxy {name}"), ask).await.map(drop)
}

/// What was registered: the instances that the proxy found in a cluster are no registrations of their own, and tell how
/// the cluster stands.
fn registered(found: &[DbProxyTarget]) -> Vec<Target> {
    let cluster_of = |target: &DbProxyTarget| target.tracked_cluster_id.clone().filter(|id| !id.is_empty());
    let is_cluster = |target: &DbProxyTarget| target.r#type == Some(TargetType::TrackedCluster);
    let health_of_writer = |cluster: &str| {
        let members = || found.iter().filter(|it| !is_cluster(it) && cluster_of(it).as_deref() == Some(cluster));
        let role = |target: &&DbProxyTarget| target.role.as_ref().is_some_and(|role| role.as_str() == "READ_WRITE");
        members().find(role).or_else(|| members().next()).map(health)
    };
    let read = |target: &DbProxyTarget| {
        let identifier = target.rds_resource_id.clone().unwrap_or_default();
        if is_cluster(target) {
            let identifier = cluster_of(target).unwrap_or(identifier);
            let health = health_of_writer(&identifier).unwrap_or_else(|| health(target));
            return Some(Target { kind: Kind::Cluster, identifier, health });
        }
        let alone = cluster_of(target).is_none();
        alone.then(|| Target { kind: Kind::Instance, identifier, health: health(target) })
    };
    found.iter().filter_map(read).collect()
}

fn health(target: &DbProxyTarget) -> Health {
    let Some(health) = &target.target_health else { return Health::Registering };
    match &health.state {
        Some(TargetState::Available) => Health::Available,
        Some(TargetState::Unavailable) if health.reason != Some(TargetHealthReason::PendingProxyCapacity) => {
            let reason = health.reason.as_ref().map_or("", TargetHealthReason::as_str);
            Health::Unavailable(reason.to_owned(), health.description.clone().unwrap_or_default())
        }
        _ => Health::Registering,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::types::{TargetHealth, TargetRole};

    use super::*;

    fn told(state: TargetState, reason: Option<TargetHealthReason>) -> TargetHealth {
        TargetHealth::builder().state(state).set_reason(reason).description("words").build()
    }

    #[test]
    fn an_instance_is_what_is_registered_and_a_cluster_with_its_instances_is_one() {
        let one = DbProxyTarget::builder().rds_resource_id("orders").r#type(TargetType::RdsInstance);
        let one = one.target_health(told(TargetState::Available, None)).build();
        let expected = Target { kind: Kind::Instance, identifier: "orders".to_owned(), health: Health::Available };
        assert_eq!(registered(&[one]), [expected]);

        let member = |name: &str, role: TargetRole, health| {
            let member = DbProxyTarget::builder().rds_resource_id(name).tracked_cluster_id("shop").role(role);
            member.r#type(TargetType::RdsInstance).target_health(health).build()
        };
        let cluster = DbProxyTarget::builder().rds_resource_id("shop").tracked_cluster_id("shop");
        let found = vec![
            cluster.r#type(TargetType::TrackedCluster).build(),
            member("shop-1", TargetRole::ReadOnly, told(TargetState::Available, None)),
            member("shop-2", TargetRole::ReadWrite, told(TargetState::Registering, None)),
        ];
        let expected = Target { kind: Kind::Cluster, identifier: "shop".to_owned(), health: Health::Registering };
        assert_eq!(registered(&found), [expected]);
    }

    #[test]
    fn a_proxy_that_grows_is_not_yet_unavailable() {
        let of = |reason| {
            health(&DbProxyTarget::builder().target_health(told(TargetState::Unavailable, Some(reason))).build())
        };
        assert_eq!(of(TargetHealthReason::PendingProxyCapacity), Health::Registering);
        assert_eq!(of(TargetHealthReason::AuthFailure), Health::Unavailable("AUTH_FAILURE".into(), "words".into()));
    }
}
