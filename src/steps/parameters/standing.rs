//! How a server stands with its parameter group.

use super::Values;
use crate::executor::context::Context;
use crate::journal::FailureKind;
use crate::steps::{StepError, rds_server};
use crate::systems::Result as Driven;
use crate::systems::aws::Aws;
use crate::systems::aws::rds::{self as driver, Change, Kind, Parameter, Server};

/// A server and its parameter group, as both are now.
pub(super) struct Found {
    pub server: Server,
    /// The group's name.
    pub group: String,
    pub standing: Standing,
    /// What is not at rest: the server, or an instance of the cluster, with its status.
    pub busy: Option<String>,
    pub parameters: Vec<Parameter>,
}

/// Whether what the group says is in force.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    InSync,
    Applying,
    /// These instances must be rebooted, the writer of a cluster last.
    Waits(Vec<String>),
}

pub(super) async fn read(cx: &Context, aws: &Aws, name: &str) -> Result<Found, StepError> {
    let server = rds_server::server(cx, aws, name).await?;
    Ok(of_server(aws, server).await?)
}

pub(super) async fn of_server(aws: &Aws, server: Server) -> Driven<Found> {
    let (group, statuses, busy) = match server.kind {
        Kind::Instance => {
            let found = driver::instance(aws, &server.identifier).await?;
            let group = found.groups.into_iter().next();
            let (name, status) = group.map(|group| (group.name, group.status)).unwrap_or_default();
            (name, vec![(server.identifier.clone(), status)], busy([&found.server]))
        }
        Kind::Cluster => {
            let found = driver::cluster(aws, &server.identifier).await?;
            let mut members = found.members.clone();
            members.sort_by_key(|member| member.writer);
            let mut instances = Vec::new();
            for member in &members {
                instances.push(driver::instance(aws, &member.instance).await?.server);
            }
            let status = |member: driver::Member| (member.instance, member.group_status.unwrap_or_default());
            let busy = busy([&found.server].into_iter().chain(&instances));
            (found.group.unwrap_or_default(), members.into_iter().map(status).collect(), busy)
        }
    };
    let parameters = driver::group_parameters(aws, server.kind, &group).await?;
    Ok(Found { server, group, standing: standing(statuses), busy, parameters })
}

fn busy<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Option<String> {
    let busy = servers.into_iter().find(|server| !server.is_available())?;
    Some(format!("{} is {}", busy.identifier, busy.status))
}

/// From how the group stands with each instance.
fn standing(statuses: Vec<(String, String)>) -> Standing {
    if statuses.iter().any(|(_, status)| !matches!(status.as_str(), "in-sync" | "pending-reboot" | "")) {
        return Standing::Applying;
    }
    let waits: Vec<String> =
        statuses.into_iter().filter(|(_, status)| status == "pending-reboot").map(|(instance, _)| instance).collect();
    if waits.is_empty() { Standing::InSync } else { Standing::Waits(waits) }
}

impl Found {
    /// What is waited for.
    pub fn words(&self) -> String {
        match (&self.busy, &self.standing) {
            (Some(busy), _) => busy.clone(),
            (None, Standing::Waits(instances)) => format!("{} waits for its reboot", instances.join(", ")),
            (None, _) => format!("the group {} is being applied", self.group),
        }
    }

    /// The values that were set in the group; the engine's are absent.
    pub fn before<'a>(&self, names: impl Iterator<Item = &'a String>) -> Values {
        names.map(|name| (name.clone(), self.value(name))).collect()
    }

    /// What the group itself says of a parameter.
    pub fn value(&self, name: &str) -> Option<String> {
        self.parameters.iter().find(|found| found.name == name && found.set).and_then(|found| found.value.clone())
    }

    /// What must be changed so that the group says this. Refused where it can't.
    pub fn changes(&self, system: &str, wanted: &Values) -> Result<Vec<Change>, StepError> {
        let mut changes = Vec::new();
        for (name, value) in wanted {
            let Some(found) = self.parameters.iter().find(|found| found.name == *name) else {
                return Err(Self::refused(
                    system,
                    &format!("its group {} has no parameter {name}", self.group),
                    "correct its name",
                ));
            };
            let is = match value {
                Some(value) => found.value.as_ref() == Some(value),
                None => !found.set,
            };
            if !is {
                changes.push(Change { name: name.clone(), value: value.clone(), at_once: found.dynamic });
            }
            if !is && !found.modifiable {
                return Err(Self::refused(system, &format!("RDS lets nobody change {name}"), "leave it out"));
            }
        }
        if !changes.is_empty() && self.is_default() {
            let message = format!("its parameter group {} is the default one, which can't be changed", self.group);
            return Err(Self::refused(system, &message, &self.own_group()));
        }
        Ok(changes)
    }

    pub fn is_default(&self) -> bool {
        self.group.starts_with("default.")
    }

    /// What a person does about a default group.
    pub fn own_group(&self) -> String {
        let (family, id) = (self.group.trim_start_matches("default."), &self.server.identifier);
        match self.server.kind {
            Kind::Instance => format!(
                "aws rds create-db-parameter-group --db-parameter-group-name {id} --db-parameter-group-family {family} \
                 --description {id}, then aws rds modify-db-instance --db-instance-identifier {id} \
                 --db-parameter-group-name {id}, and reboot it"
            ),
            Kind::Cluster => format!(
                "aws rds create-db-cluster-parameter-group --db-cluster-parameter-group-name {id} \
                 --db-parameter-group-family {family} --description {id}, then aws rds modify-db-cluster \
                 --db-cluster-identifier {id} --db-cluster-parameter-group-name {id}, and reboot its instances"
            ),
        }
    }

    fn refused(system: &str, message: &str, hint: &str) -> StepError {
        StepError::told(FailureKind::Refused, format!("{system}: {message}"), Some(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_wait_in_their_order_and_nothing_is_taken_for_in_force() {
        let of = |statuses: &[(&str, &str)]| {
            standing(statuses.iter().map(|(name, status)| ((*name).into(), (*status).into())).collect())
        };
        assert_eq!(of(&[("a", "in-sync")]), Standing::InSync);
        assert_eq!(of(&[("a", "applying"), ("b", "pending-reboot")]), Standing::Applying);
        assert_eq!(of(&[("a", "failed-to-apply")]), Standing::Applying);
        let both = of(&[("reader", "pending-reboot"), ("writer", "pending-reboot")]);
        assert_eq!(both, Standing::Waits(vec!["reader".into(), "writer".into()]));
    }
}
