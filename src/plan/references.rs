//! The secret references of a plan that AWS resolves: read at the place that the runbook's `aws:` names.

use std::collections::BTreeSet;

use super::Plan;
use crate::secret::remote;
use crate::systems::aws::{Call, Permission, vault};
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
    vault::open(&plan.aws);
}

/// Reads all of them, so that they are known when nobody can wait for AWS.
pub async fn warm(plan: &Plan) -> Result<()> {
    for text in texts(plan) {
        let read = remote::fresh(&text).await;
        read.map_err(|error| DriverError::unresolved(vault::LABEL, "read them", error))?;
    }
    Ok(())
}

/// The calls that read them.
#[must_use]
pub fn calls(plan: &Plan) -> Vec<Call> {
    let names: BTreeSet<String> = all(plan).iter().map(|reference| remote::name(reference).to_owned()).collect();
    names.iter().filter_map(|name| vault::call(name)).collect()
}

/// What reading them must be allowed.
#[must_use]
pub fn permissions(plan: &Plan) -> Vec<Permission> {
    calls(plan).iter().map(|call| vault::permission(call, &plan.aws)).collect()
}
