//! What `decommission` will do to each system, as it stands now: its step comes last, perhaps days after the start, when
//! nobody thinks of it any more.

use super::finding::{Check, Finding, names};
use crate::plan::Plan;
use crate::runbook::model::{Decommission, Step, System};
use crate::systems::aws::rds::{self, Server};
use crate::systems::aws::{Access, ecs};
use crate::systems::world::World;
use crate::systems::{DriverError, Result};

const WHY: &str = "It comes last, behind `finalize`; whoever still uses that side then sees errors.";

/// One finding for each system that a step takes out of service.
pub(super) async fn findings(plan: &Plan, world: &World) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for step in plan.steps.iter().filter_map(|step| match &step.step {
        Step::Decommission(step) => Some(step),
        _ => None,
    }) {
        findings.extend(of_step(plan, world, step).await?);
    }
    Ok(findings)
}

async fn of_step(plan: &Plan, world: &World, step: &Decommission) -> Result<Vec<Finding>> {
    let mut findings: Vec<Finding> = step.rules.iter().map(|name| rules(plan, name)).collect();
    for name in &step.stop {
        let aws = world.aws(name, Access::ReadOnly).await?;
        findings.push(match world.get(name) {
            Some(System::Ecs(spec)) => {
                let named = spec.service.as_deref().unwrap_or_default();
                service(name, ecs::service(&aws, &spec.cluster, named).await)
            }
            _ => match world.rds(name) {
                Ok(spec) => server(plan, world, name, rds::look(&aws, &spec).await),
                Err(error) => unknown(name, &error),
            },
        });
    }
    Ok(findings)
}

fn check(system: &str) -> Check<'_> {
    Check { id: "decommission", system, why: WHY }
}

fn unknown(name: &str, error: &DriverError) -> Finding {
    let mend = vec!["-- correct the name, or leave it out of `decommission`".to_owned()];
    check(name).warn("what is to be taken out of service can't be seen", format!("{}.", error.reason), mend)
}

fn rules(plan: &Plan, name: &str) -> Finding {
    let group = match plan.systems.get(name) {
        Some(System::Alb(spec)) => spec.from.clone(),
        _ => String::new(),
    };
    let detail = format!("{group} leaves the rules, if it weighs nothing then; it is not deleted.");
    check(name).pass("the old target group will leave the rules", detail)
}

fn service(name: &str, found: std::result::Result<aws_sdk_ecs::types::Service, DriverError>) -> Finding {
    match found {
        Ok(found) => {
            let (wanted, running) = (found.desired_count(), found.running_count());
            let detail = format!("It wants {wanted} tasks, and {running} run: all end. The service is not deleted.");
            check(name).pass("the service will get no tasks any more", detail)
        }
        Err(error) => unknown(name, &error),
    }
}

/// "Stopping an Amazon RDS DB instance temporarily": not one that has a read replica or is one; after seven days RDS starts
/// it again.
fn server(plan: &Plan, world: &World, name: &str, found: std::result::Result<Server, DriverError>) -> Finding {
    let found = match found {
        Ok(found) => found,
        Err(error) => return unknown(name, &error),
    };
    let target = plan.pair.as_ref().and_then(|pair| world.address(&pair.target).ok());
    let same = |address: &crate::systems::address::Address| {
        target.as_ref().is_some_and(|target| (&target.host, target.port) == (&address.host, address.port))
    };
    judged(name, &found, found.address.as_ref().is_some_and(same))
}

fn judged(name: &str, found: &Server, takes_writes: bool) -> Finding {
    let identifier = &found.identifier;
    if takes_writes {
        let mend = vec![format!("-- name the side that is left in `stop`, not {name}")];
        let detail = format!("{identifier} is the target's own server; the step would refuse.");
        return check(name).fail("the server that will take the writes is to be stopped", detail, mend);
    }
    let replicates = found.replicates.iter().map(|of| format!("it replicates {of}"));
    let replicated = (!found.replicas.is_empty()).then(|| format!("its replicas are {}", names(&found.replicas)));
    let bound: Vec<String> = replicates.chain(replicated).collect();
    if !bound.is_empty() {
        let mend =
            vec!["-- promote or delete the replica before that step; the run waits for it until `timeout`".to_owned()];
        let detail = format!("{identifier}: {}.", bound.join(", and "));
        return check(name).warn("RDS stops no server with a read replica, nor one that is one", detail, mend);
    }
    let detail = format!("{identifier} ({}, now {}); RDS starts it again after 7 days.", found.engine, found.status);
    check(name).pass("the server will be stopped, behind a last snapshot", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Level;
    use crate::systems::Certainty;

    fn server(replicas: &[&str]) -> Server {
        let instance = aws_sdk_rds::types::DbInstance::builder()
            .db_instance_identifier("orders-old")
            .engine("postgres")
            .db_instance_status("available")
            .set_read_replica_db_instance_identifiers(Some(replicas.iter().map(ToString::to_string).collect()))
            .build();
        rds::Instance::from(instance).server
    }

    #[test]
    fn only_a_server_that_nobody_needs_can_be_stopped() {
        let level = |found: &Server, target| judged("old", found, target).level;
        assert_eq!(level(&server(&[]), false), Level::Pass);
        assert_eq!(level(&server(&["reports"]), false), Level::Warn);
        assert_eq!(level(&server(&[]), true), Level::Fail);
        assert!(judged("old", &server(&["reports"]), false).detail.contains("its replicas are reports"));
    }

    #[test]
    fn what_can_not_be_seen_is_told() {
        let missing = DriverError::new("old", "read", "there is no such service", Certainty::Refused);
        assert_eq!(service("old", Err(missing)).level, Level::Warn);
    }
}
