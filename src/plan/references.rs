//! The secret references of a plan that AWS resolves: read at the place that the runbook's `aws:` names.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Plan, RdsSide};
use crate::runbook::model::{Rds, System};
use crate::secret::remote;
use crate::systems::aws::{Call, Permission, Service, vault};
use crate::systems::world::World;
use crate::systems::{DriverError, Result};

/// Every text of a plan that holds one.
fn texts(plan: &Plan) -> BTreeSet<String> {
    let (systems, gates, steps) = (&plan.systems, &plan.gates, &plan.steps);
    let parts = [serde_json::to_value(systems), serde_json::to_value(gates), serde_json::to_value(steps)];
    parts.into_iter().flatten().flat_map(|part| remote::texts(&part)).collect()
}

/// The references, without `${` and `}`.
#[must_use]
pub fn all(plan: &Plan) -> BTreeSet<String> {
    texts(plan).iter().flat_map(|text| remote::references(text)).map(str::to_owned).collect()
}

/// From now on they are read as this plan says.
pub fn open(plan: &Plan) {
    for (system, side) in on_rds(plan) {
        remote::remember_of_rds(&system, "host", &side.host);
        remote::remember_of_rds(&system, "port", &side.port);
    }
    let planned = on_rds(plan).into_iter().map(|(system, side)| (system, side.resource_id.clone())).collect();
    vault::open(&plan.aws, World::new(plan.systems.clone()), planned);
}

/// Reads all of them, so that they are known when nobody can wait for AWS.
pub async fn warm(plan: &Plan) -> Result<()> {
    for text in texts(plan) {
        let read = remote::fresh(&text).await;
        read.map_err(|error| DriverError::unresolved(vault::LABEL, "read them", error))?;
    }
    Ok(())
}

/// Reads where the servers of RDS are that the pair's databases name, whether or not writes wait: their names change while
/// they do.
pub async fn reread(plan: &Plan) -> Result<()> {
    for (system, _) in on_rds(plan) {
        let read = remote::reread_of_rds(&system).await;
        read.map_err(|error| DriverError::unresolved(&system, "read where it is", error))?;
    }
    Ok(())
}

/// The calls that read them.
#[must_use]
pub fn calls(plan: &Plan) -> Vec<Call> {
    let names: BTreeSet<String> = all(plan).iter().map(|reference| remote::name(reference).to_owned()).collect();
    names.iter().filter_map(|name| of_rds(plan, name).or_else(|| vault::call(name))).collect()
}

/// Where a server of RDS is: the call that reads it.
fn of_rds(plan: &Plan, name: &str) -> Option<Call> {
    let system = name.strip_prefix("rds:")?;
    let Some(System::Rds(spec)) = plan.systems.get(system) else { return None };
    Some(look_up(spec))
}

/// The call that reads an `rds` system.
#[must_use]
pub fn look_up(spec: &Rds) -> Call {
    if let Some(name) = &spec.blue_green {
        let filter = json!([{ "Name": "blue-green-deployment-name", "Values": [name] }]);
        return Call::new(Service::Rds, "DescribeBlueGreenDeployments", json!({ "Filters": filter }));
    }
    match &spec.cluster {
        Some(id) => Call::new(Service::Rds, "DescribeDBClusters", json!({ "DBClusterIdentifier": id })),
        None => Call::new(Service::Rds, "DescribeDBInstances", json!({ "DBInstanceIdentifier": spec.instance })),
    }
}

/// The servers of RDS that the plan was made for, by the names of their systems.
fn on_rds(plan: &Plan) -> Vec<(String, &RdsSide)> {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let sides = [(&pair.source, &plan.choices.source), (&pair.target, &plan.choices.target)];
    let mut found = Vec::new();
    for (name, side) in sides {
        let naming = plan.systems.get(name).and_then(System::naming);
        found.extend(naming.zip(side.rds.as_ref()).map(|(naming, on)| (naming.rds.to_owned(), on)));
    }
    found
}

/// What reading them must be allowed.
#[must_use]
pub fn permissions(plan: &Plan) -> Vec<Permission> {
    let of = |call: &Call| match call.service {
        Service::Rds => Permission::anywhere(Service::Rds, call.operation),
        _ => vault::permission(call, &plan.aws),
    };
    calls(plan).iter().map(of).collect()
}
