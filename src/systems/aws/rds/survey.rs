//! What the preflight reads of a server beside its own description: parameters, events, and maintenance that waits.

use std::collections::BTreeMap;

use aws_sdk_rds::types::{Event as Told, Parameter as Found, SourceType};

use super::{Kind, Server};
use crate::systems::Result;
use crate::systems::aws::{Aws, Permission, Service};

/// Pages of parameters that are read at most; AWS gives a hundred on each.
const PAGES: usize = 20;

/// Parameters of a group that have a value, by name.
pub type Parameters = BTreeMap<String, String>;

/// Something that happened to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// When, in UTC.
    pub at: String,
    /// What, in AWS's words.
    pub message: String,
    /// Such as `failover`.
    pub categories: Vec<String>,
}

/// The parameters of an instance's group, or of a cluster's.
pub async fn parameters(aws: &Aws, kind: Kind, group: &str) -> Result<Parameters> {
    let (mut all, mut marker) = (Parameters::new(), None);
    for _ in 0..PAGES {
        let (found, next) = page(aws, kind, group, marker).await?;
        all.extend(found.into_iter().filter_map(|one| Some((one.parameter_name?, one.parameter_value?))));
        marker = next.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            break;
        }
    }
    Ok(all)
}

async fn page(aws: &Aws, kind: Kind, group: &str, marker: Option<String>) -> Result<(Vec<Found>, Option<String>)> {
    let what = format!("read the parameters of {group}");
    let client = aws.rds();
    if kind == Kind::Cluster {
        let call = client.describe_db_cluster_parameters().db_cluster_parameter_group_name(group).set_marker(marker);
        let answer = aws.read(Service::Rds, &what, || call.clone().send()).await?;
        return Ok((answer.parameters.unwrap_or_default(), answer.marker));
    }
    let call = client.describe_db_parameters().db_parameter_group_name(group).set_marker(marker);
    let answer = aws.read(Service::Rds, &what, || call.clone().send()).await?;
    Ok((answer.parameters.unwrap_or_default(), answer.marker))
}

/// What happened to a server in the last minutes, the newest last.
pub async fn events(aws: &Aws, server: &Server, minutes: i32) -> Result<Vec<Event>> {
    let kind = match server.kind {
        Kind::Instance => SourceType::DbInstance,
        Kind::Cluster => SourceType::DbCluster,
    };
    let call = aws.rds().describe_events().source_identifier(&server.identifier).source_type(kind).duration(minutes);
    let what = format!("read the events of {}", server.identifier);
    let answer = aws.read(Service::Rds, &what, || call.clone().send()).await?;
    let event = |told: Told| Event {
        at: told.date.map(|at| at.to_string()).unwrap_or_default(),
        message: told.message.unwrap_or_default(),
        categories: told.event_categories.unwrap_or_default(),
    };
    Ok(answer.events.unwrap_or_default().into_iter().map(event).collect())
}

/// Maintenance that waits for a server: `(what, from when on by itself)`.
pub async fn maintenance(aws: &Aws, server: &Server) -> Result<Vec<(String, Option<String>)>> {
    let call = aws.rds().describe_pending_maintenance_actions().resource_identifier(&server.arn);
    let what = format!("read what maintenance waits for {}", server.identifier);
    let answer = aws.read(Service::Rds, &what, || call.clone().send()).await?;
    let resources = answer.pending_maintenance_actions.unwrap_or_default().into_iter();
    let actions = resources.flat_map(|one| one.pending_maintenance_action_details.unwrap_or_default());
    let told = |action: aws_sdk_rds::types::PendingMaintenanceAction| {
        let by_itself = action.auto_applied_after_date.or(action.forced_apply_date).or(action.current_apply_date);
        (action.action.unwrap_or_default(), by_itself.map(|at| at.to_string()))
    };
    Ok(actions.map(told).collect())
}

/// Everything that the preflight of a server asks for.
#[must_use]
pub fn permissions(kind: Kind) -> Vec<Permission> {
    let own: &[&str] = match kind {
        Kind::Instance => &[],
        Kind::Cluster => &["DescribeDBClusters", "DescribeDBClusterParameters"],
    };
    let all = ["DescribeDBInstances", "DescribeDBParameters", "DescribeEvents", "DescribePendingMaintenanceActions"];
    all.iter().chain(own).map(|operation| Permission::anywhere(Service::Rds, operation)).collect()
}
