//! A read replica of RDS, and its promotion by RDS. It is found by its resource id, which stays with the server.

use serde_json::json;

use super::Standing;
use crate::endpoints::arn;
use crate::engine::Outcome;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::FailureKind;
use crate::plan::Plan;
use crate::runbook::model::{Rds, System};
use crate::steps::StepError;
use crate::systems::aws::rds::{self as driver, Kind, Server};
use crate::systems::aws::{Call, Permission, Service, Trouble, trouble};
use crate::systems::{Certainty, DriverError, Result};

/// The resource id, in the notes of the window.
pub(super) const RESOURCE: &str = "replica_resource";
/// Codes of the answer while something else is done to it (API reference, PromoteReadReplica and
/// PromoteReadReplicaDBCluster).
const BUSY: [&str; 2] = ["InvalidDBInstanceState", "InvalidDBClusterStateFault"];
/// States in which a server is at rest: a first backup follows a promotion, and disturbs nobody.
const AT_REST: [&str; 3] = ["available", "backing-up", "storage-optimization"];

/// The call, as the plan shows it.
pub(super) fn call(plan: &Plan, name: &str) -> String {
    let (operation, parameters) = match plan.systems.get(name) {
        Some(System::Rds(spec)) if spec.cluster.is_some() => {
            ("PromoteReadReplicaDBCluster", json!({ "DBClusterIdentifier": spec.cluster }))
        }
        Some(System::Rds(spec)) => ("PromoteReadReplica", json!({ "DBInstanceIdentifier": spec.instance })),
        _ => ("PromoteReadReplica", json!({})),
    };
    Call::new(Service::Rds, operation, parameters).to_string()
}

/// What it asks of IAM.
pub(super) fn permissions(plan: &Plan, name: &str) -> Vec<Permission> {
    let Some(System::Rds(spec)) = plan.systems.get(name) else { return Vec::new() };
    let plain = |text: &Option<String>| text.clone().filter(|text| !text.contains("${")).unwrap_or_else(|| "*".into());
    let (look, operation, resource) = if spec.cluster.is_some() {
        ("DescribeDBClusters", "PromoteReadReplicaDBCluster", format!("cluster:{}", plain(&spec.cluster)))
    } else {
        ("DescribeDBInstances", "PromoteReadReplica", format!("db:{}", plain(&spec.instance)))
    };
    let promote = Permission::on(Service::Rds, operation, arn("rds", &spec.aws, &resource));
    vec![Permission::anywhere(Service::Rds, look), promote]
}

/// Refuses when RDS does not have it as a replica that could be promoted now.
pub(super) async fn may(cx: &Context, name: &str) -> Outcome<()> {
    let found = named(cx, name).await?;
    if found.replicates.is_some() && found.is_available() {
        return Ok(());
    }
    let source = found.replicates.map_or("nobody".to_owned(), |source| source);
    let message = format!("{name}: {} replicates {source} and is {}", found.identifier, found.status);
    let hint = "it must be a read replica, and available, before writes stop";
    Err(StepError::told(FailureKind::Refused, message, Some(hint)))
}

/// Its resource id.
pub(super) async fn resource(cx: &Context, name: &str) -> Result<String> {
    Ok(named(cx, name).await?.resource_id)
}

/// How it stands, as RDS sees it.
pub(super) async fn look(cx: &Context, state: &RunState, name: &str) -> Standing {
    let found = match current(cx, state, name).await {
        Ok(found) => found,
        Err(error) => return Standing::Busy(format!("{}: {}", error.what, error.reason)),
    };
    match (&found.replicates, found.is_available()) {
        (Some(_), true) => Standing::Replica,
        (None, _) if AT_REST.contains(&found.status.as_str()) => Standing::Primary,
        _ => Standing::Busy(format!("it is {}", found.status)),
    }
}

/// Asks RDS to promote it.
pub(super) async fn promote(cx: &Context, state: &RunState, name: &str) -> Result<()> {
    let found = current(cx, state, name).await?;
    driver::promote(&cx.rig.aws(name).await?.urgent(), found.kind, &found.identifier).await
}

/// Whether a refusal may be over in a while.
pub(super) fn passes(error: &DriverError) -> bool {
    let is_busy = BUSY.iter().any(|code| error.is_code(code)) || trouble(error) == Some(Trouble::Throttled);
    error.certainty == Certainty::NotSent || is_busy
}

/// RDS will not do it: a person is asked at once, since writes wait.
pub(super) fn refused(plan: &Plan, name: &str, error: &DriverError) -> StepError {
    let by_hand = match plan.systems.get(name) {
        Some(System::Rds(Rds { cluster: Some(cluster), .. })) => {
            format!("aws rds promote-read-replica-db-cluster --db-cluster-identifier {cluster}")
        }
        Some(System::Rds(Rds { instance: Some(instance), .. })) => {
            format!("aws rds promote-read-replica --db-instance-identifier {instance}")
        }
        _ => "aws rds promote-read-replica".to_owned(),
    };
    let message = format!(
        "RDS refuses to promote {name} ({}). It is a replica still, both sides are fenced and equal, and the only way is \
         forward: let RDS do it (`pointsman iam-policy` prints what the run needs), or promote it by hand (`{by_hand}`)",
        error.reason
    );
    let hint = "`pointsman retry` asks again, and goes on at once when it was promoted meanwhile";
    // Waited for long enough: it is not tried sixty times before anybody is asked.
    StepError::told(FailureKind::Deadline, message, Some(hint))
}

async fn named(cx: &Context, name: &str) -> Result<Server> {
    driver::look(&cx.rig.aws(name).await?, &cx.world.rds(name)?).await
}

/// The server of before, whatever it is called now.
async fn current(cx: &Context, state: &RunState, name: &str) -> Result<Server> {
    let Some(resource) = remembered::<String>(state, "window", RESOURCE) else { return named(cx, name).await };
    let kind = if cx.world.rds(name)?.cluster.is_some() { Kind::Cluster } else { Kind::Instance };
    let found = driver::by_resource(&cx.rig.aws(name).await?.urgent(), kind, &resource).await?;
    found.ok_or_else(|| {
        let reason = format!("RDS has no {} {resource} any more", kind.word());
        DriverError::new(name, "look at the replica", reason, Certainty::NotSent)
    })
}
