//! Whether the credentials belong to the accounts that the runbook names; asked before a run begins, and again when it is
//! taken up.

use std::collections::BTreeSet;

use super::{Plan, references};
use crate::systems::Result;
use crate::systems::aws::{Access, account, vault};
use crate::systems::world::World;

/// Refuses when some credentials belong to another account; reads only.
pub async fn right_accounts(plan: &Plan) -> Result<()> {
    let world = World::new(plan.systems.clone());
    let mut asked = BTreeSet::new();
    for (name, system) in &plan.systems {
        let Some(place) = system.aws() else { continue };
        if place.account.is_some() && asked.insert(format!("{place:?}")) {
            account::guard(&world.aws(name, Access::ReadOnly).await?).await?;
        }
    }
    if plan.aws.account.is_some() && !references::all(plan).is_empty() {
        let aws = world.aws_at(vault::LABEL, &plan.aws, Access::ReadOnly).await?;
        account::guard(&aws).await?;
    }
    Ok(())
}
