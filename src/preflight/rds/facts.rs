//! What the preflight judges of one server of RDS.

use jiff::Timestamp;

use super::groups::Client;
use crate::runbook::model::{TimeWindow, Tls};
use crate::systems::aws::ec2::SecurityGroup;
use crate::systems::aws::rds::{Cluster, Event, Instance, Kind, Parameters, Server};
use crate::systems::pair::Side;

/// Everything that is judged of one server.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Name of the `rds` system.
    pub system: String,
    /// What the server is in the runbook.
    pub part: Part,
    /// The instance; of a cluster its writer, or the reader that a cluster has as long as it is a replica.
    pub instance: Option<Instance>,
    /// The cluster.
    pub cluster: Option<Cluster>,
    /// The parameters of its group; `None` when they could not be read.
    pub parameters: Option<Parameters>,
    /// Maintenance that waits: `(what, from when on by itself)`.
    pub maintenance: Vec<(String, Option<String>)>,
    /// What happened in the last hours.
    pub events: Vec<Event>,
    /// The rules of its security groups; `None` when they could not be read.
    pub rules: Option<Vec<SecurityGroup>>,
    /// What of the runbook dials it from within AWS.
    pub clients: Vec<Client>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

/// What a server is in the runbook, and what the run wants of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The side that names it; `None` when none does.
    pub side: Option<Side>,
    /// Name and kind of the database that names it.
    pub database: Option<(String, &'static str)>,
    /// How that database is dialled.
    pub tls: Tls,
    /// Whether the target is a physical replica, which takes no log of changes.
    pub physical: bool,
    /// Whether the way back is kept.
    pub way_back: bool,
    /// Bytes of the source's data.
    pub source_bytes: Option<i64>,
    /// Now.
    pub now: Timestamp,
    /// Minutes that the run takes at least.
    pub minutes: i64,
    /// When the runbook lets the window begin; whenever it comes to it, when empty.
    pub hours: Vec<TimeWindow>,
}

impl Facts {
    /// The server.
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        let of_cluster = self.cluster.as_ref().map(|cluster| &cluster.server);
        of_cluster.or(self.instance.as_ref().map(|instance| &instance.server))
    }

    /// Which of the two it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.cluster.is_some() { Kind::Cluster } else { Kind::Instance }
    }

    /// Its identifier.
    #[must_use]
    pub fn identifier(&self) -> &str {
        self.server().map_or("", |server| &server.identifier)
    }

    /// Whether it speaks PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.server().is_some_and(|server| server.engine.contains("postgres"))
    }

    /// The parameter group, and whether it is in force (`in-sync`), or waits (`pending-reboot`).
    #[must_use]
    pub fn group(&self) -> Option<(String, String)> {
        if let Some(cluster) = &self.cluster {
            let writer = cluster.members.iter().find(|member| member.writer).or(cluster.members.first());
            let status = writer.and_then(|member| member.group_status.clone()).unwrap_or_default();
            return Some((cluster.group.clone()?, status));
        }
        let group = self.instance.as_ref()?.groups.first()?;
        Some((group.name.clone(), group.status.clone()))
    }

    /// A parameter's value, as the group has it.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.as_ref()?.get(name).map(String::as_str)
    }

    /// Whether it sends its changes to the other side, row by row: the source, but not to a physical replica; the
    /// target for the way back.
    #[must_use]
    pub fn sends(&self) -> bool {
        match self.part.side {
            Some(Side::Source) => !self.part.physical,
            Some(Side::Target) => self.part.way_back,
            None => false,
        }
    }

    /// `aws rds modify-db-… --db-…-identifier NAME`, to be gone on with.
    #[must_use]
    pub fn modify(&self, words: &str) -> String {
        let kind = self.kind().word();
        format!("aws rds modify-db-{kind} --db-{kind}-identifier {} {words} --apply-immediately", self.identifier())
    }

    /// What restarts it.
    #[must_use]
    pub fn reboot(&self) -> String {
        let writer = self.instance.as_ref().map_or("", |instance| &instance.server.identifier);
        format!("aws rds reboot-db-instance --db-instance-identifier {writer}  -- before the run: connections end")
    }
}
