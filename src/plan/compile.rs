//! Runbook to plan: flattens the steps, looks at the databases, makes every choice.

use thiserror::Error;

use super::{Choices, FORMAT, Plan, PlanStep, SideChoices};
use crate::runbook::Loaded;
use crate::runbook::model::{Fence, Name, Replicate, Step};
use crate::runbook::step_ids;
use crate::systems::DriverError;
use crate::systems::postgres::pair::Pair;
use crate::systems::postgres::{Access, Session, catalog};
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
    let replicate = plan.steps.iter().find_map(|step| match &step.step {
        Step::Replicate(replicate) => Some(replicate.clone()),
        _ => None,
    });
    if let Some(replicate) = replicate {
        plan.choices = choose(&plan, &replicate).await?;
    }
    Ok(plan)
}

/// The plan of a runbook with choices that were made already; pure.
#[must_use]
pub fn assemble(loaded: &Loaded, file: &str, choices: Choices) -> Plan {
    let runbook = &loaded.runbook;
    let pair = runbook.steps.iter().find_map(|step| match step {
        Step::Replicate(step) => Some(Pair { source: step.from.clone(), target: step.to.clone() }),
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
        systems: runbook.systems.clone(),
        gates: runbook.gates.clone(),
        steps: flatten(&runbook.steps),
        pair,
        choices,
    }
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

async fn choose(plan: &Plan, replicate: &Replicate) -> Result<Choices, CompileError> {
    let world = World::new(plan.systems.clone());
    let wanted = plan.freeze().map_or(Fence::Auto, |(_, freeze)| freeze.fence);
    // The source is told first when neither answers: the same words each time.
    let (source, target) = tokio::join!(side(&world, &replicate.from), side(&world, &replicate.to));
    let (source, target) = (source?, target?);
    let schemas = match replicate.schemas.as_slice() {
        [] => catalog::application_schemas(&source).await?,
        named => named.to_vec(),
    };
    Ok(Choices {
        source: look(&source, wanted).await?,
        target: look(&target, wanted).await?,
        tables: catalog::tables(&source, &schemas).await?,
        sequences: catalog::sequences(&source, &schemas).await?,
        schemas,
    })
}

async fn side(world: &World, name: &Name) -> Result<Session, DriverError> {
    world.database(name)?.connect(Access::ReadOnly).await
}

async fn look(session: &Session, wanted: Fence) -> Result<SideChoices, DriverError> {
    let identity = catalog::identity(session).await?;
    let fence = match wanted {
        Fence::Auto if identity.superuser => Fence::Database,
        Fence::Auto => Fence::Roles,
        chosen => chosen,
    };
    Ok(SideChoices {
        version: identity.version,
        fence,
        superuser: identity.superuser,
        system_identifier: identity.system_identifier,
        database: identity.database,
        role: identity.role,
    })
}
