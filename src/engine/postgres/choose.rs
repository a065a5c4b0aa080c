//! Every choice of a plan: the tables and sequences that are carried, the kind of fence, who answers.

use crate::plan::{Choices, Plan, SideChoices};
use crate::runbook::model::{Fence, Name, Replicate};
use crate::systems::DriverError;
use crate::systems::postgres::{Access, Session, catalog};
use crate::systems::world::World;

pub(in crate::engine) async fn choose(plan: &Plan, replicate: &Replicate) -> Result<Choices, DriverError> {
    let world = World::new(plan.systems.clone());
    let wanted = plan.freeze().map_or(Fence::Auto, |(_, freeze)| freeze.fence);
    let (source, target) = tokio::join!(side(&world, &replicate.from), side(&world, &replicate.to));
    // The source's error is told first, whichever came first.
    let (source, target) = (source?, target?);
    let schemas = match replicate.schemas.as_slice() {
        [] => catalog::application_schemas(&source).await?,
        named => named.to_vec(),
    };
    Ok(Choices {
        routes: indexmap::IndexMap::new(),
        servers: indexmap::IndexMap::new(),
        blue_green: None,
        source: look(&source, wanted).await?,
        target: look(&target, wanted).await?,
        tables: catalog::tables(&source, &schemas).await?,
        sequences: catalog::sequences(&source, &schemas).await?,
        schemas,
        mysql: None,
        dms: None,
    })
}

async fn side(world: &World, name: &Name) -> Result<Session, DriverError> {
    world.postgres(name)?.connect(Access::ReadOnly).await
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
        mysql: None,
        rds: None,
    })
}
