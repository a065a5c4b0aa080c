//! What is looked at beforehand, and what the step asks of IAM.

use super::judge;
use crate::endpoints::arn;
use crate::preflight::{Check, Finding};
use crate::runbook::model::{CreateBlueGreen, System, UndoCreate};
use crate::steps::rds_server;
use crate::systems::DriverError;
use crate::systems::aws::rds::{self, Kind, Server, blue_green as driver};
use crate::systems::aws::{Access, Aws, Permission, Service};
use crate::systems::world::World;

const CORRECT: &str = "-- correct the system";

/// Whether the name is free, and whether RDS would make it; reads only.
pub(in crate::steps) async fn findings(step: &CreateBlueGreen, world: &World) -> Vec<Finding> {
    let mut all = vec![name(step, world).await, source(step, world).await];
    all.extend(group(step, world).await);
    all
}

/// The group of another major version: without one RDS takes the default, in which nobody publishes.
async fn group(step: &CreateBlueGreen, world: &World) -> Option<Finding> {
    let check = Check {
        id: "create-blue-green",
        system: &step.of,
        why: "The way back begins on the green instance, which must publish then.",
    };
    let source = rds_server::looked_at(world, &step.from).await.ok()?;
    if !judge::is_logical(step, &source) || step.parameter_group.is_some() {
        return None;
    }
    let mend =
        vec!["-- name a `parameter-group` of the new major version in which rds.logical_replication is 1".to_owned()];
    let detail = "RDS gives it the default group of its major version, in which rds.logical_replication is 0.";
    Some(check.warn("the green instance would have no way back", detail, mend))
}

/// Why the parameter groups are not as they must be for its kind of replication.
pub(super) async fn unfit_groups(
    step: &CreateBlueGreen,
    aws: &Aws,
    source: &Server,
) -> Result<Option<String>, DriverError> {
    if source.engine == "postgres" {
        return unpublished(step, aws, source).await;
    }
    let found = rds::instance(aws, &source.identifier).await?;
    let Some(group) = step.parameter_group.as_deref().or(found.groups.first().map(|group| group.name.as_str())) else {
        return Ok(None);
    };
    Ok(judge::unfit_for_green(group, &rds::parameters(aws, Kind::Instance, group).await?))
}

/// Why RDS could not replicate it logically; nothing where it would not have to.
async fn unpublished(step: &CreateBlueGreen, aws: &Aws, source: &Server) -> Result<Option<String>, DriverError> {
    if !judge::is_logical(step, source) {
        return Ok(None);
    }
    let found = rds::instance(aws, &source.identifier).await?;
    let Some(group) = found.groups.first() else { return Ok(Some("it has no parameter group".to_owned())) };
    let set = rds::parameters(aws, Kind::Instance, &group.name).await?;
    let logical = set.get("rds.logical_replication").map(String::as_str);
    Ok(judge::unpublished(&group.name, &group.status, logical))
}

async fn name(step: &CreateBlueGreen, world: &World) -> Finding {
    let check = Check {
        id: "create-blue-green",
        system: &step.of,
        why: "A deployment that somebody else has made is not touched, and the run holds.",
    };
    match named(step, world).await {
        Ok(None) => check.pass("the name is free", "there is no such deployment."),
        Err(error) => check.fail("it can't be looked at", format!("{error}."), vec![CORRECT.to_owned()]),
        Ok(Some(found)) => check.fail(
            "there is such a deployment already",
            format!("{} ({}) of {} is {}.", found.name, found.id, found.blue_identifier(), found.words),
            vec!["-- leave the step out, or choose another name".to_owned()],
        ),
    }
}

async fn named(step: &CreateBlueGreen, world: &World) -> Result<Option<driver::Deployment>, DriverError> {
    let aws = world.aws(&step.of, Access::ReadOnly).await?;
    driver::deployment_named(&aws, rds_server::called(&world.rds(&step.of)?)).await
}

async fn source(step: &CreateBlueGreen, world: &World) -> Finding {
    let check = Check {
        id: "create-blue-green",
        system: &step.from,
        why: "RDS refuses what it can't copy, or can't replicate.",
    };
    let server = match rds_server::looked_at(world, &step.from).await {
        Ok(server) => server,
        Err(error) => {
            return check.fail("the instance can't be read", format!("{error}."), vec![CORRECT.to_owned()]);
        }
    };
    let mut unfit = judge::unfit(step, &server);
    let groups = async { unfit_groups(step, &world.aws(&step.from, Access::ReadOnly).await?, &server).await };
    match groups.await {
        Ok(why) => unfit.extend(why),
        Err(error) => return check.fail("its parameters can't be read", format!("{error}."), vec![CORRECT.to_owned()]),
    }
    if !unfit.is_empty() {
        let mend = vec!["-- mend it, or correct the step".to_owned()];
        return check.fail("no deployment can be made of it", format!("{}.", unfit.join("; ")), mend);
    }
    if server.is_available() {
        return check.pass("a deployment can be made of it", format!("{} is available.", server.identifier));
    }
    let detail = format!("{} is {}; the step waits until it is available.", server.identifier, server.status);
    check.warn("no deployment can be made of it now", detail, vec!["-- wait until it is available".to_owned()])
}

/// What the step asks of IAM.
///
/// "Authorizing access to Amazon RDS blue/green deployment operations" in the user guide: the instances have names that RDS
/// makes, and patterns of names don't reach them; to delete a deployment asks for `DeleteDBInstance`, too.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/blue-green-deployments-authorizing-access.html>
pub(in crate::steps) fn permissions(step: &CreateBlueGreen, world: &World) -> Vec<Permission> {
    let Some(System::Rds(spec)) = world.get(&step.of) else { return Vec::new() };
    let on = |operation, resource: &str| Permission::on(Service::Rds, operation, arn("rds", &spec.aws, resource));
    let reads = ["DescribeBlueGreenDeployments", "DescribeDBInstances", "DescribeDBParameters"];
    let mut all: Vec<_> = reads.map(|operation| Permission::anywhere(Service::Rds, operation)).into();
    let group = format!("pg:{}", step.parameter_group.as_deref().filter(|name| !name.contains("${")).unwrap_or("*"));
    let made = ["deployment:*", "db:*", &group];
    all.extend(made.iter().map(|resource| on("CreateBlueGreenDeployment", resource)));
    all.extend([on("AddTagsToResource", "deployment:*"), on("AddTagsToResource", "db:*")]);
    all.extend(["db:*", "og:*", &group, "subgrp:*"].map(|resource| on("CreateDBInstanceReadReplica", resource)));
    all.extend([on("DeleteBlueGreenDeployment", "deployment:*"), on("DeleteDBInstance", "db:*")]);
    if step.undo == UndoCreate::DeleteWithSnapshot {
        all.push(on("ModifyDBInstance", "db:*"));
        all.extend(["DeleteDBInstance", "CreateDBSnapshot"].map(|operation| on(operation, "snapshot:pointsman-*")));
    }
    all
}
