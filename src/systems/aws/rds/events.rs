//! Events: what RDS says of its servers and deployments. It keeps them for 14 days, and may be some minutes late with them
//! ("Working with Amazon RDS event notification" in the user guide).
//!
//! <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeEvents.html>

use aws_sdk_rds::primitives::DateTime;
use aws_sdk_rds::types::{Event as Told, SourceType};
use jiff::Timestamp;

use super::{Kind, Server};
use crate::runbook::model::Rds;
use crate::secret;
use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Event {
    /// When, in UTC.
    pub at: String,
    /// To what: its identifier then.
    #[serde(default)]
    pub of: String,
    /// What, in AWS's words.
    pub message: String,
    /// Such as `failover`.
    #[serde(default)]
    pub categories: Vec<String>,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// An instance, by its identifier.
    Instance(String),
    /// A cluster, by its identifier.
    Cluster(String),
    /// A Blue/Green deployment, by its identifier and its name.
    Deployment(String, String),
}

impl From<&Server> for Source {
    fn from(server: &Server) -> Self {
        Self::named(server.kind, &server.identifier)
    }
}

impl Source {
    /// A server of this kind with this identifier.
    #[must_use]
    pub fn named(kind: Kind, identifier: &str) -> Self {
        match kind {
            Kind::Instance => Self::Instance(identifier.to_owned()),
            Kind::Cluster => Self::Cluster(identifier.to_owned()),
        }
    }

    /// The server that a runbook names; which one is green only RDS knows.
    #[must_use]
    pub fn of(spec: &Rds) -> Option<Self> {
        let instance = spec.instance.clone().map(Self::Instance);
        instance.or_else(|| spec.cluster.clone().map(Self::Cluster))
    }

    fn words(&self) -> &str {
        match self {
            Self::Instance(name) | Self::Cluster(name) | Self::Deployment(_, name) => name,
        }
    }

    /// Type and identifier as a filter. By which of its two a deployment is known the reference does not say: those of all
    /// are read, and looked at.
    fn filter(&self) -> (SourceType, Option<&str>) {
        match self {
            Self::Instance(identifier) => (SourceType::DbInstance, Some(identifier)),
            Self::Cluster(identifier) => (SourceType::DbCluster, Some(identifier)),
            Self::Deployment(..) => (SourceType::BlueGreenDeployment, None),
        }
    }

    fn is_meant(&self, told: &Told) -> bool {
        let Self::Deployment(id, name) = self else { return true };
        let of = told.source_identifier().unwrap_or_default();
        [id, name].iter().any(|known| known.eq_ignore_ascii_case(of))
            || told.source_arn().is_some_and(|arn| arn.rsplit(':').next() == Some(id))
    }
}

/// What happened to a server in the last minutes, the newest last.
pub async fn events(aws: &Aws, server: &Server, minutes: i32) -> Result<Vec<Event>> {
    let source = Source::from(server);
    let (kind, identifier) = source.filter();
    let call = aws.rds().describe_events().source_type(kind).set_source_identifier(identifier.map(str::to_owned));
    let call = call.duration(minutes);
    let what = format!("read the events of {}", source.words());
    let answer = aws.read(Service::Rds, &what, || call.clone().send()).await?;
    Ok(answer.events.unwrap_or_default().into_iter().map(event).collect())
}

/// What has happened since then, the newest last.
pub async fn events_since(aws: &Aws, source: &Source, since: Timestamp) -> Result<Vec<Event>> {
    let (kind, identifier) = source.filter();
    let call = aws.rds().describe_events().source_type(kind).set_source_identifier(identifier.map(str::to_owned));
    let call = call.start_time(DateTime::from_secs(since.as_second()));
    let what = format!("read the events of {}", source.words());
    let answer = aws.read(Service::Rds, &what, || call.clone().send()).await?;
    Ok(answer.events.unwrap_or_default().into_iter().filter(|told| source.is_meant(told)).map(event).collect())
}

fn event(told: Told) -> Event {
    Event {
        at: told.date.map(|at| at.to_string()).unwrap_or_default(),
        of: told.source_identifier.unwrap_or_default(),
        message: secret::mask(&told.message.unwrap_or_default()),
        categories: told.event_categories.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_known_by_its_identifier_or_its_name() {
        let source = Source::Deployment("bgd-1".into(), "orders-upgrade".into());
        let told = |of: &str| Told::builder().source_identifier(of).build();
        assert!(source.is_meant(&told("BGD-1")) && source.is_meant(&told("orders-upgrade")));
        assert!(!source.is_meant(&told("bgd-2")));
        let arn = Told::builder().source_arn("arn:aws:rds:eu-west-1:1:deployment:bgd-1").build();
        assert!(source.is_meant(&arn));
    }
}
