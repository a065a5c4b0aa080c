//! How RDS replicates a deployment, and the choices between its two databases.

use crate::engine::postgres::choose as native;
use crate::engine::promotion;
use crate::plan::{Choices, Plan};
use crate::runbook::model::{Means, Replicate, System};
use crate::systems::Result;
use crate::systems::aws::rds::Kind;
use crate::systems::pair::Replicated;
use crate::systems::postgres::{Access, catalog};
use crate::systems::world::World;

/// How RDS replicates it. An instance ("PostgreSQL replication methods for blue/green deployments" in the user guide):
/// logically to another major version, physically otherwise. A cluster of Aurora: logically always ("Preparing an Aurora
/// PostgreSQL DB cluster for a blue/green deployment" in its user guide).
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/blue-green-deployments-replication-type.html>
/// <https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/blue-green-deployments-creating.html>
pub async fn replicated(plan: &Plan, replicate: &Replicate) -> Result<Replicated> {
    let postgres = matches!(plan.systems.get(&replicate.from), Some(System::Postgres(_)));
    if replicate.through != Means::BlueGreen || !postgres {
        return Ok(Replicated::Physically);
    }
    let naming = plan.systems.get(&replicate.from).and_then(System::naming);
    if naming.is_some_and(|naming| plan.kind_of_rds(naming.rds) == Kind::Cluster) {
        return Ok(Replicated::Logically);
    }
    let world = World::new(plan.systems.clone());
    let (source, target) = tokio::join!(major(&world, &replicate.from), major(&world, &replicate.to));
    // The source's error is told first, whichever came first.
    let (source, target) = (source?, target?);
    Ok(if source == target { Replicated::Physically } else { Replicated::Logically })
}

async fn major(world: &World, name: &str) -> Result<u32> {
    let session = world.postgres(name)?.connect(Access::ReadOnly).await?;
    Ok(catalog::identity(&session).await?.major())
}

pub(super) async fn choose(plan: &Plan, replicate: &Replicate) -> Result<Choices> {
    let mut choices = native::choose(plan, replicate).await?;
    choices.blue_green = Some(promotion::chosen(plan, replicate).await?);
    Ok(choices)
}
