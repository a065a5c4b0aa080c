//! Whether the credentials belong to the accounts that the runbook names; asked before a run begins, and again when it is
//! taken up.

use std::collections::BTreeSet;

use super::Plan;
use crate::systems::Result;
use crate::systems::aws::{Access, account};
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
    Ok(())
}
