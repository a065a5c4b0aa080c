//! What is looked at beforehand, and what the step asks of IAM.

use super::judge;
use crate::endpoints::arn;
use crate::plan::Plan;
use crate::preflight::{Check, Finding};
use crate::runbook::model::{CreateBlueGreen, UndoCreate};
use crate::steps::rds_server;
use crate::systems::DriverError;
use crate::systems::aws::rds::{self, Environment, Kind, Server, blue_green as driver};
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
    if source.engine != "postgres" && source.engine != "aurora-postgresql" {
        return None;
    }
    if !judge::is_other_major(step, &source) || step.parameter_group.is_some() {
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
    source: &Environment,
) -> Result<Option<String>, DriverError> {
    let Some(server) = source.server() else { return Ok(None) };
    if server.engine.contains("postgres") {
        return unpublished(step, aws, source, server).await;
    }
    let own = source.group().map(|group| group.name);
    let Some(group) = step.parameter_group.as_ref().or(own.as_ref()) else { return Ok(None) };
    Ok(judge::unfit_for_green(group, &rds::parameters(aws, server.kind, group).await?))
}

/// Why RDS could not replicate it logically; nothing where it would not have to.
async fn unpublished(
    step: &CreateBlueGreen,
    aws: &Aws,
    source: &Environment,
    server: &Server,
) -> Result<Option<String>, DriverError> {
    if !judge::is_logical(step, server) {
        return Ok(None);
    }
    let Some(group) = source.group() else { return Ok(Some("it has no parameter group".to_owned())) };
    let set = rds::parameters(aws, server.kind, &group.name).await?;
    Ok(judge::unpublished(server.kind, &group, &set))
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
    let looked = async {
        let aws = world.aws(&step.from, Access::ReadOnly).await?;
        let (kind, identifier) = rds::named(&aws, &world.rds(&step.from)?).await?;
        Ok::<_, DriverError>((rds::environment(&aws, kind, &identifier).await?, aws))
    };
    let (source, aws) = match looked.await {
        Ok(found) => found,
        Err(error) => return check.fail("it can't be read", format!("{error}."), vec![CORRECT.to_owned()]),
    };
    let mut unfit = judge::unfit(step, &source);
    match unfit_groups(step, &aws, &source).await {
        Ok(why) => unfit.extend(why),
        Err(error) => return check.fail("its parameters can't be read", format!("{error}."), vec![CORRECT.to_owned()]),
    }
    if !unfit.is_empty() {
        let mend = vec!["-- mend it, or correct the step".to_owned()];
        return check.fail("no deployment can be made of it", format!("{}.", unfit.join("; ")), mend);
    }
    let Some(server) = source.busy() else {
        return check.pass("a deployment can be made of it", "it is available.");
    };
    let detail = format!("{} is {}; the step waits until it is available.", server.identifier, server.status);
    check.warn("no deployment can be made of it now", detail, vec!["-- wait until it is available".to_owned()])
}

/// What the step asks of IAM.
///
/// "Authorizing access to … blue/green deployment operations" in the user guides of RDS and of Aurora: the servers have names
/// that RDS makes, and patterns of names don't reach them; to delete a deployment asks for the deletion of servers, too.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/blue-green-deployments-authorizing-access.html>
/// <https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/blue-green-deployments-authorizing-access.html>
pub(in crate::steps) fn permissions(step: &CreateBlueGreen, plan: &Plan) -> Vec<Permission> {
    let Some(spec) = rds_server::system(plan, &step.of) else { return Vec::new() };
    let kind = plan.kind_of_rds(&step.from);
    let on = |(operation, resource): (&'static str, &str)| {
        Permission::on(Service::Rds, operation, arn("rds", &spec.aws, resource))
    };
    let mut all: Vec<_> = driver::reads(kind).map(|read| Permission::anywhere(Service::Rds, read)).collect();
    let groups = groups(step, kind);
    all.extend(match kind {
        Kind::Instance => instance(&groups).into_iter().map(on).collect::<Vec<_>>(),
        Kind::Cluster => cluster(&groups).into_iter().map(on).collect(),
    });
    let parameters = match kind {
        Kind::Instance => "DescribeDBParameters",
        Kind::Cluster => "DescribeDBClusterParameters",
    };
    all.push(Permission::anywhere(Service::Rds, parameters));
    all.extend([("CreateBlueGreenDeployment", "deployment:*"), ("AddTagsToResource", "deployment:*")].map(on));
    all.push(on(("DeleteBlueGreenDeployment", "deployment:*")));
    if step.undo == UndoCreate::DeleteWithSnapshot {
        all.extend(deleting(kind).iter().map(|one| on(*one)));
    }
    all
}

/// The groups that are named, as resources: that of the cluster, and that of instances.
fn groups(step: &CreateBlueGreen, kind: Kind) -> [String; 2] {
    let (of_cluster, of_instances) = step.groups(Some(kind));
    let known = |name: Option<&String>| {
        name.filter(|name| !name.contains("${")).map_or_else(|| "*".to_owned(), ToOwned::to_owned)
    };
    [format!("cluster-pg:{}", known(of_cluster)), format!("pg:{}", known(of_instances))]
}

fn instance([_, group]: &[String; 2]) -> Vec<(&'static str, &str)> {
    let mut all: Vec<(&'static str, &str)> =
        ["db:*", group].map(|resource| ("CreateBlueGreenDeployment", resource)).into();
    all.push(("AddTagsToResource", "db:*"));
    all.extend(["db:*", "og:*", group, "subgrp:*"].map(|resource| ("CreateDBInstanceReadReplica", resource)));
    all.push(("DeleteDBInstance", "db:*"));
    all
}

fn cluster([of_cluster, of_instances]: &[String; 2]) -> Vec<(&'static str, &str)> {
    let mut all: Vec<(&'static str, &str)> =
        ["cluster:*", of_cluster, of_instances].map(|resource| ("CreateBlueGreenDeployment", resource)).into();
    all.extend(["cluster:*", "db:*"].map(|resource| ("AddTagsToResource", resource)));
    all.extend(["cluster:*", "og:*", of_cluster, "subgrp:*"].map(|resource| ("CreateDBCluster", resource)));
    all.extend(["db:*", "cluster:*", "og:*", of_instances, "subgrp:*"].map(|resource| ("CreateDBInstance", resource)));
    all.extend(["cluster:*", "cluster-endpoint:*"].map(|resource| ("CreateDBClusterEndpoint", resource)));
    all.extend([("DeleteDBCluster", "cluster:*"), ("DeleteDBInstance", "db:*")]);
    all.push(("DeleteDBClusterEndpoint", "cluster-endpoint:*"));
    all
}

/// What the deletion of the green one asks for besides.
const fn deleting(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Instance => &[
            ("ModifyDBInstance", "db:*"),
            ("DeleteDBInstance", "snapshot:pointsman-*"),
            ("CreateDBSnapshot", "snapshot:pointsman-*"),
        ],
        Kind::Cluster => &[
            ("ModifyDBCluster", "cluster:*"),
            ("DeleteDBCluster", "cluster-snapshot:pointsman-*"),
            ("CreateDBClusterSnapshot", "cluster:*"),
            ("CreateDBClusterSnapshot", "cluster-snapshot:pointsman-*"),
        ],
    }
}
