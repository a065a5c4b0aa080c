//! Parameter groups, and the reboots that bring them into force.

use aws_sdk_rds::types::{ApplyMethod, Parameter as Sdk};

use super::Kind;
use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

/// AWS changes at most so many parameters in one call.
const AT_ONCE: usize = 20;

/// A parameter of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value; absent where the engine decides.
    pub value: Option<String>,
    /// Whether somebody set it in this group.
    pub set: bool,
    /// Whether a change needs no reboot.
    pub dynamic: bool,
    /// Whether it can be changed at all.
    pub modifiable: bool,
}

/// A change of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// The value to set; the engine's default again when absent.
    pub value: Option<String>,
    /// Whether it is made at once, or by the next reboot.
    pub at_once: bool,
}

/// All parameters of a group.
pub async fn group_parameters(aws: &Aws, kind: Kind, group: &str) -> Result<Vec<Parameter>> {
    let what = format!("read the parameter group {group}");
    let (mut all, mut marker) = (Vec::new(), None::<String>);
    loop {
        let (some, next) = match kind {
            Kind::Instance => {
                let call = || aws.rds().describe_db_parameters().db_parameter_group_name(group);
                let ask = || call().set_marker(marker.clone()).send();
                let answer = aws.read(Service::Rds, &what, ask).await?;
                (answer.parameters, answer.marker)
            }
            Kind::Cluster => {
                let call = || aws.rds().describe_db_cluster_parameters().db_cluster_parameter_group_name(group);
                let ask = || call().set_marker(marker.clone()).send();
                let answer = aws.read(Service::Rds, &what, ask).await?;
                (answer.parameters, answer.marker)
            }
        };
        all.extend(some.unwrap_or_default().into_iter().map(Parameter::from));
        marker = next.filter(|next| !next.is_empty());
        if marker.is_none() {
            return Ok(all);
        }
    }
}

/// Changes parameters of a group. The same again changes nothing.
pub async fn change_parameters(aws: &Aws, kind: Kind, group: &str, changes: &[Change]) -> Result<()> {
    let (set, reset): (Vec<_>, Vec<_>) = changes.iter().cloned().partition(|change| change.value.is_some());
    for (some, resets) in [(set, false), (reset, true)] {
        for some in some.chunks(AT_ONCE) {
            send(aws, kind, group, some.iter().map(Sdk::from).collect(), resets).await?;
        }
    }
    Ok(())
}

async fn send(aws: &Aws, kind: Kind, group: &str, some: Vec<Sdk>, resets: bool) -> Result<()> {
    let what = format!("change the parameter group {group}");
    match (kind, resets) {
        (Kind::Instance, false) => {
            let call = || aws.rds().modify_db_parameter_group().db_parameter_group_name(group);
            let ask = || call().set_parameters(Some(some.clone())).send();
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
        (Kind::Instance, true) => {
            let call = || aws.rds().reset_db_parameter_group().db_parameter_group_name(group);
            let ask = || call().set_parameters(Some(some.clone())).send();
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
        (Kind::Cluster, false) => {
            let call = || aws.rds().modify_db_cluster_parameter_group().db_cluster_parameter_group_name(group);
            let ask = || call().set_parameters(Some(some.clone())).send();
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
        (Kind::Cluster, true) => {
            let call = || aws.rds().reset_db_cluster_parameter_group().db_cluster_parameter_group_name(group);
            let ask = || call().set_parameters(Some(some.clone())).send();
            aws.write(Service::Rds, &what, ask).await.map(drop)
        }
    }
}

/// Identifiers of the servers that have a parameter group.
pub async fn with_group(aws: &Aws, kind: Kind, group: &str) -> Result<Vec<String>> {
    let what = format!("look who has the parameter group {group}");
    let (mut all, mut marker) = (Vec::new(), None::<String>);
    loop {
        marker = match kind {
            Kind::Instance => {
                let ask = || aws.rds().describe_db_instances().set_marker(marker.clone()).send();
                let answer = aws.read(Service::Rds, &what, ask).await?;
                let found = answer.db_instances.unwrap_or_default().into_iter().map(super::Instance::from);
                let has = |found: &super::Instance| found.groups.iter().any(|one| one.name == group);
                all.extend(found.filter(has).map(|found| found.server.identifier));
                answer.marker
            }
            Kind::Cluster => {
                let ask = || aws.rds().describe_db_clusters().set_marker(marker.clone()).send();
                let answer = aws.read(Service::Rds, &what, ask).await?;
                let found = answer.db_clusters.unwrap_or_default().into_iter().map(super::Cluster::from);
                let has = |found: &super::Cluster| found.group.as_deref() == Some(group);
                all.extend(found.filter(has).map(|found| found.server.identifier));
                answer.marker
            }
        };
        marker = marker.filter(|next| !next.is_empty());
        if marker.is_none() {
            return Ok(all);
        }
    }
}

/// Reboots an instance.
pub async fn reboot(aws: &Aws, instance: &str) -> Result<()> {
    let ask = || aws.rds().reboot_db_instance().db_instance_identifier(instance).send();
    aws.write(Service::Rds, &format!("reboot {instance}"), ask).await.map(drop)
}

impl From<Sdk> for Parameter {
    fn from(found: Sdk) -> Self {
        Self {
            name: found.parameter_name.unwrap_or_default(),
            value: found.parameter_value.filter(|value| !value.is_empty()),
            set: found.source.as_deref() == Some("user"),
            dynamic: found.apply_type.as_deref() == Some("dynamic"),
            modifiable: found.is_modifiable.unwrap_or_default(),
        }
    }
}

impl From<&Change> for Sdk {
    fn from(change: &Change) -> Self {
        let method = if change.at_once { ApplyMethod::Immediate } else { ApplyMethod::PendingReboot };
        let built = Self::builder().parameter_name(&change.name).apply_method(method);
        built.set_parameter_value(change.value.clone()).build()
    }
}
