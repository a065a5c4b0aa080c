//! The choices between two servers, of which one is a replica of the other.

use super::super::choose as between;
use crate::engine::promotion::{self, Promotion};
use crate::plan::{Choices, Follow, Plan};
use crate::runbook::model::{CopyMeans, Means, Replicate};
use crate::systems::Result;
use crate::systems::mysql::{Access, Flavour, catalog, replica};
use crate::systems::world::World;

pub(super) async fn choose(plan: &Plan, replicate: &Replicate) -> Result<Choices> {
    // Nothing is copied: no means is looked for.
    let mut choices = between::choose(plan, &Replicate { copy: CopyMeans::Dump, ..replicate.clone() }).await?;
    if replicate.through == Means::BlueGreen {
        choices.blue_green = Some(promotion::chosen(plan, replicate).await?);
    }
    let world = World::new(plan.systems.clone());
    let open = async |name: &str| world.mysql(name)?.connect(Access::ReadOnly).await;
    let (source, target) = tokio::try_join!(open(&replicate.from), open(&replicate.to))?;
    let (here, all) = tokio::try_join!(catalog::identity(&source), replica::read(&target))?;
    let found = replica::only(&all, &here).map_err(|why| {
        let reason = format!("it is no replica of {}: {why}", replicate.from);
        let hint = "make a replica of it first; or leave `through` out: the run fills an empty server then";
        between::refused(&target, reason, hint)
    })?;
    if let Some(chosen) = &mut choices.mysql {
        chosen.copy_why = String::new();
        // A replica carries every schema, and so does the way back.
        chosen.filtered = false;
        if target.flavour() == Flavour::Mysql && !Promotion::of(plan).by_server() {
            chosen.follow = Follow::Position;
            chosen.why = format!("by file and position: RDS may have written on {} by itself", replicate.to);
        }
        chosen.replica_user = Some(found.user.clone()).filter(|user| !user.is_empty());
    }
    Ok(choices)
}
