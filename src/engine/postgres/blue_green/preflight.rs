//! What the preflight looks at: what is asked of two servers, as far as it is no question where RDS made the one from the
//! other, and how RDS replicates.

use super::kind::Logical;
use crate::engine::postgres::preflight::{pooler_facts, wanted};
use crate::engine::promotion::{self, Promotion};
use crate::plan::Plan;
use crate::preflight::Finding;
use crate::preflight::postgres::{self as preflight, logical};
use crate::systems;
use crate::systems::world::World;

pub(super) async fn findings(plan: &Plan, accept: &[String]) -> systems::Result<Vec<Finding>> {
    let world = World::new(plan.systems.clone());
    let Some(pair) = &plan.pair else { return Ok(Vec::new()) };
    let (source, target) = (world.postgres(&pair.source)?, world.postgres(&pair.target)?);
    let mut wanted = wanted(plan);
    wanted.copy_schema = false;
    wanted.workers = 0;
    let poolers = pooler_facts(plan).await?;
    let input = preflight::gather(&source, &target, wanted, poolers, accept.to_vec()).await?;
    let mut findings = logical::judge(&input);
    if let Promotion::BlueGreen(deployment) = Promotion::of(plan) {
        findings.extend(promotion::findings(&Logical, plan, &deployment).await?);
        findings.sort_by_key(|finding| finding.level);
    }
    Ok(findings)
}
