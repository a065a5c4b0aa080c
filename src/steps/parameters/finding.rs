//! What is known of a change of parameters beforehand.

use super::standing::{Found, Standing, of_server};
use crate::endpoints::arn;
use crate::plan::Plan;
use crate::preflight::{Check, Finding};
use crate::runbook::model::{Parameters, Reboot};
use crate::steps::{StepError, rds_server};
use crate::systems::aws::rds::{self as driver, Kind};
use crate::systems::aws::{Access, Permission, Service};
use crate::systems::world::World;

/// Whether the group can be changed, and who else has it; reads only.
pub(in crate::steps) async fn finding(step: &Parameters, world: &World) -> Finding {
    let check = Check {
        id: "parameters",
        system: &step.of,
        why: "A parameter group may be shared: a change of it reaches every server that has it.",
    };
    let look = async {
        let aws = world.aws(&step.of, Access::ReadOnly).await?;
        let server = driver::look(&aws, &world.rds(&step.of)?).await?;
        let found = of_server(&aws, server).await?;
        let others = driver::with_group(&aws, found.server.kind, &found.group).await?;
        Ok::<_, StepError>((found, others))
    };
    let (found, mut others) = match look.await {
        Ok(found) => found,
        Err(error) => {
            let detail = format!("{}.", error.into_failure().message);
            return check.fail("the parameter group can't be read", detail, vec!["-- correct the system".to_owned()]);
        }
    };
    others.retain(|name| *name != found.server.identifier);
    let wanted = step.set.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
    match found.changes(&step.of, &wanted) {
        Err(error) => {
            let failure = error.into_failure();
            let mend = failure.hint.map(|hint| format!("-- {hint}")).into_iter().collect();
            check.fail("the parameter group can't be changed so", format!("{}.", failure.message), mend)
        }
        Ok(_) if !others.is_empty() => {
            let detail = format!("{} have the group {}, too.", others.join(", "), found.group);
            check.warn("other servers are changed with it", detail, vec!["-- give it a group of its own".to_owned()])
        }
        Ok(changes) => {
            let reboots = changes.iter().any(|change| !change.at_once) || matches!(found.standing, Standing::Waits(_));
            judged(check, step, &found, changes.len(), reboots)
        }
    }
}

fn judged(check: Check<'_>, step: &Parameters, found: &Found, changes: usize, reboots: bool) -> Finding {
    let detail = format!("{changes} of {} parameters of {} change.", step.set.len(), found.group);
    match (reboots, step.reboot) {
        (true, Reboot::Never) => {
            let mend = vec!["-- reboot it when its clients can bear it".to_owned()];
            check.warn("a change waits for a reboot that the step does not make", detail, mend)
        }
        (true, Reboot::WhenNeeded) => check.warn("the server will be rebooted", detail, Vec::new()),
        (false, _) => check.pass("no reboot is needed", detail),
    }
}

/// What the step asks of IAM.
pub(in crate::steps) fn permissions(step: &Parameters, plan: &Plan) -> Vec<Permission> {
    let Some(spec) = rds_server::system(plan, &step.of) else { return Vec::new() };
    let kind = plan.kind_of_rds(&step.of);
    let (reads, writes, group) = match kind {
        Kind::Instance => (
            vec!["DescribeDBInstances", "DescribeDBParameters"],
            ["ModifyDBParameterGroup", "ResetDBParameterGroup"],
            "pg:*",
        ),
        Kind::Cluster => (
            vec!["DescribeDBClusters", "DescribeDBInstances", "DescribeDBClusterParameters"],
            ["ModifyDBClusterParameterGroup", "ResetDBClusterParameterGroup"],
            "cluster-pg:*",
        ),
    };
    let on = |operation, resource: &str| Permission::on(Service::Rds, operation, arn("rds", &spec.aws, resource));
    let mut all: Vec<Permission> = reads.into_iter().map(|read| Permission::anywhere(Service::Rds, read)).collect();
    all.extend(writes.map(|write| on(write, group)));
    if step.reboot == Reboot::WhenNeeded {
        let called = if kind == Kind::Instance { rds_server::pattern(spec) } else { "*" };
        all.push(on("RebootDBInstance", &format!("db:{called}")));
    }
    all
}
