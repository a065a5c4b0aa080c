//! What the preflight reads of a server beside its own description: parameters, and maintenance that waits.

use std::collections::BTreeMap;

use aws_sdk_rds::types::Parameter as Found;

use super::{Kind, Server};
use crate::systems::Result;
use crate::systems::aws::{Aws, Permission, Service};

/// Pages of parameters that are read at most; AWS gives a hundred on each.
const PAGES: usize = 20;

/// Parameters of a group that have a value, by name.
pub type Parameters = BTreeMap<String, String>;

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
