//! Runbook to plan: flattens the steps, looks at the databases, makes every choice.

use indexmap::IndexMap;
use thiserror::Error;

use super::{Choices, FORMAT, Plan, PlanStep, RdsServer, RdsSide, references, right_accounts};
use crate::engine;
use crate::runbook::Loaded;
use crate::runbook::model::{AwsPlace, DmsRunner, DmsTask, Gate, Name, Replicate, Step, System};
use crate::runbook::step_ids;
use crate::secret::remote;
use crate::systems::DriverError;
use crate::systems::aws::Access;
use crate::systems::aws::alb::{Alb, State};
use crate::systems::aws::rds;
use crate::systems::pair::{Pair, Replicated};
use crate::systems::world::World;

/// A plan could not be made.
#[derive(Debug, Error)]
pub enum CompileError {
    /// A system did not answer, or not as it must.
    #[error(transparent)]
    System(#[from] DriverError),
}

/// Makes the plan of a runbook. Reads the databases through read-only sessions and changes nothing.
pub async fn compile(loaded: &Loaded, file: &str) -> Result<Plan, CompileError> {
    let mut plan = assemble(loaded, file, Choices::default());
    references::open(&plan);
    right_accounts(&plan).await?;
    references::warm(&plan).await?;
    let replicate = plan.steps.iter().find_map(|step| match &step.step {
        Step::Replicate(replicate) => Some(replicate.clone()),
        _ => None,
    });
    if let Some(replicate) = replicate {
        let replicated = engine::postgres::blue_green::replicated(&plan, &replicate).await?;
        if let Some(pair) = &mut plan.pair {
            pair.replicated = replicated;
        }
        plan.choices = engine::of_plan(&plan).choose(&plan, &replicate).await?;
        plan.choices.source.rds = on_rds(&plan, &replicate.from);
        plan.choices.target.rds = on_rds(&plan, &replicate.to);
    }
    plan.choices.routes = routes(&plan).await?;
    plan.choices.servers = servers(&plan).await?;
    Ok(plan)
}

/// The server of RDS that a database names, as it was when the database was dialled a moment ago.
fn on_rds(plan: &Plan, database: &str) -> Option<RdsSide> {
    let rds = plan.systems.get(database)?.naming()?.rds.to_owned();
    let known = |key: &str| remote::known_of_rds(&rds, key);
    let (resource_id, identifier) = (known("resource")?, known("identifier")?);
    Some(RdsSide { resource_id, identifier, host: known("host")?, port: known("port")? })
}

/// What stands in the load balancers of AWS now.
async fn routes(plan: &Plan) -> Result<IndexMap<Name, State>, DriverError> {
    let world = World::new(plan.systems.clone());
    let mut routes = IndexMap::new();
    for (name, system) in &plan.systems {
        if matches!(system, System::Alb(_)) {
            let aws = world.aws(name, Access::ReadOnly).await?;
            routes.insert(name.clone(), Alb::new(name.clone(), world.alb(name)?, aws, None).state().await?);
        }
    }
    Ok(routes)
}

/// The servers of RDS that are called now what the runbook calls them. One that is not there yet may be made by the run.
async fn servers(plan: &Plan) -> Result<IndexMap<Name, RdsServer>, DriverError> {
    let world = World::new(plan.systems.clone());
    let mut servers = IndexMap::new();
    for name in plan.systems.iter().filter(|(_, system)| matches!(system, System::Rds(_))).map(|(name, _)| name) {
        let aws = world.aws(name, Access::ReadOnly).await?;
        match rds::look(&aws, &world.rds(name)?).await {
            Ok(found) => {
                let server = RdsServer { resource_id: found.resource_id, identifier: found.identifier };
                servers.insert(name.clone(), server);
            }
            Err(error)
                if [rds::NO_INSTANCE, rds::NO_CLUSTER, rds::blue_green::NO_DEPLOYMENT]
                    .iter()
                    .any(|code| error.is_code(code)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(servers)
}

/// The plan of a runbook with choices that were made already; pure.
#[must_use]
pub fn assemble(loaded: &Loaded, file: &str, choices: Choices) -> Plan {
    let runbook = &loaded.runbook;
    let pair = runbook.steps.iter().find_map(|step| match step {
        Step::Replicate(step) => Some(Pair {
            source: step.from.clone(),
            target: step.to.clone(),
            through: step.through,
            replicated: Replicated::Physically,
            dms: step.dms.as_ref().map(|task| task.instance.clone()),
            runner: step.dms.as_ref().map(|task| runner(&runbook.systems, task)).unwrap_or_default(),
        }),
        _ => None,
    });
    Plan {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        runbook: runbook.name.clone(),
        file: file.to_owned(),
        file_sha256: loaded.sha256.clone(),
        environment: loaded.environment.clone(),
        stage: runbook.stage,
        aws: runbook.aws.clone(),
        systems: with_logins(with_places(&runbook.systems, &runbook.aws), &runbook.steps),
        gates: gates_with_places(&runbook.gates, &runbook.aws),
        steps: flatten(&runbook.steps),
        pair,
        choices,
    }
}

/// The gates, each with the place that its calls to AWS go to. One that looks at a load balancer asks where that is.
fn gates_with_places(gates: &IndexMap<Name, Gate>, around: &AwsPlace) -> IndexMap<Name, Gate> {
    let mut gates = gates.clone();
    let of_balancer = |gate: &Gate| matches!(gate, Gate::Cloudwatch(gate) if gate.of.is_some());
    let own = gates.values_mut().filter(|gate| !of_balancer(gate));
    own.filter_map(Gate::aws_mut).for_each(|place| place.fill(around));
    gates
}

/// The systems, each with the place that its calls to AWS go to; databases that name an `rds` system have a URL.
fn with_places(systems: &IndexMap<Name, System>, around: &AwsPlace) -> IndexMap<Name, System> {
    let mut systems = systems.clone();
    systems.values_mut().filter_map(System::aws_mut).for_each(|place| place.fill(around));
    systems.values_mut().for_each(System::spell_out);
    systems
}

fn runner(systems: &IndexMap<Name, System>, task: &DmsTask) -> DmsRunner {
    match systems.get(&task.instance) {
        Some(System::Dms(spec)) => spec.runner(),
        _ => DmsRunner::default(),
    }
}

/// The databases, each with the login of DMS as one that its fence leaves in.
fn with_logins(mut systems: IndexMap<Name, System>, steps: &[Step]) -> IndexMap<Name, System> {
    for step in steps {
        let Step::Replicate(Replicate { from, to, dms: Some(task), .. }) = step else { continue };
        for (side, login) in [(from, &task.source), (to, &task.target)] {
            let exempt = match systems.get_mut(side) {
                Some(System::Postgres(spec)) => &mut spec.exempt_roles,
                Some(System::Mysql(spec) | System::Mariadb(spec)) => &mut spec.exempt_users,
                _ => continue,
            };
            if !exempt.contains(&login.role) {
                exempt.push(login.role.clone());
            }
        }
    }
    systems
}

/// The steps in the order of execution, with their names.
fn flatten(steps: &[Step]) -> Vec<PlanStep> {
    let mut ids = step_ids(steps).into_iter();
    let mut flat = Vec::new();
    let mut push = |flat: &mut Vec<PlanStep>, step: Step, window: Option<usize>| {
        let id = ids.next().unwrap_or_else(|| step.kind().to_owned());
        flat.push(PlanStep { id, step, window });
    };
    for step in steps {
        let Step::Window(window) = step else {
            push(&mut flat, step.clone(), None);
            continue;
        };
        let position = flat.len();
        let mut outside = window.clone();
        outside.steps = Vec::new();
        push(&mut flat, Step::Window(outside), None);
        for inside in &window.steps {
            push(&mut flat, inside.clone(), Some(position));
        }
    }
    flat
}
