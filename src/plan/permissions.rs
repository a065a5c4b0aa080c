//! What a run of a plan must be allowed to do in AWS: each driver says what it asks for.

use super::{Plan, references};
use crate::engine;
use crate::preflight;
use crate::runbook::model::{Gate, System};
use crate::steps;
use crate::systems::Result;
use crate::systems::aws::{Permission, Service, alb};
use crate::systems::world::World;

/// Everything that the plan's systems ask of IAM; nothing when it touches nothing of AWS.
pub fn permissions(plan: &Plan) -> Result<Vec<Permission>> {
    let world = World::new(plan.systems.clone());
    let mut all = Vec::new();
    for (name, system) in &plan.systems {
        match system {
            System::Alb(_) => all.extend(alb::permissions(&world.alb(name)?)),
            System::Rds(_) => all.extend(preflight::rds::permissions(plan, name)),
            _ => {}
        }
    }
    all.extend(engine::of_plan(plan).permissions(plan));
    all.extend(steps::permissions(plan));
    all.extend(engine::dms::preflight::permissions(plan));
    for gate in plan.gates.values() {
        match gate {
            Gate::Cloudwatch(_) => all.push(Permission::anywhere(Service::Cloudwatch, "GetMetricData")),
            Gate::Alarm(_) => all.push(Permission::anywhere(Service::Cloudwatch, "DescribeAlarms")),
            _ => {}
        }
    }
    all.extend(references::permissions(plan));
    if !all.is_empty() {
        all.push(Permission::anywhere(Service::Sts, "GetCallerIdentity"));
        all.push(Permission::anywhere(Service::Iam, "SimulatePrincipalPolicy"));
    }
    Ok(all)
}
