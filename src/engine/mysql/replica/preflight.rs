//! What the preflight of a replica looks at: what is asked of two servers, as far as it is no question here, and how the
//! replica stands.

use super::super::preflight as native;
use super::promotion::Follower;
use crate::engine::promotion::{self, Promotion};
use crate::plan::Plan;
use crate::preflight::Finding;
use crate::preflight::mysql::replica::{self, Facts};
use crate::systems::Result;
use crate::systems::mysql::replica as driver;
use crate::systems::mysql::{Access, Session};
use crate::systems::world::World;

/// Whether commits wait for replicas, and how many of those there are; the names are those of both flavours.
const SEMI_SYNC: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Rpl_semi_sync_source_status', 'Rpl_semi_sync_master_status', \
     'Rpl_semi_sync_source_clients', 'Rpl_semi_sync_master_clients')";

pub(super) async fn findings(plan: &Plan, accept: &[String]) -> Result<Vec<Finding>> {
    let Some(pair) = &plan.pair else { return Ok(Vec::new()) };
    let input = native::input(plan, accept).await?;
    let world = World::new(plan.systems.clone());
    let open = async |name: &str| world.mysql(name)?.connect(Access::ReadOnly).await;
    let (source, target) = tokio::try_join!(open(&pair.source), open(&pair.target))?;
    let facts = Facts { follows: driver::read(&target).await?, waited_for: waited_for(&source).await? };
    let promotion = Promotion::of(plan);
    let mut findings = replica::judge(&input, &facts, promotion.by_server());
    if let Promotion::BlueGreen(deployment) = promotion {
        findings.extend(promotion::findings(&Follower, plan, &deployment).await?);
        findings.sort_by_key(|finding| finding.level);
    }
    Ok(findings)
}

async fn waited_for(source: &Session) -> Result<Option<i64>> {
    let rows = source.records("see whether commits wait for replicas", SEMI_SYNC).await?;
    let value = |suffix: &str| {
        let named = |row: &&crate::systems::mysql::Record| {
            row.get("Variable_name").and_then(Option::as_deref).is_some_and(|name| name.ends_with(suffix))
        };
        rows.iter().find(named).and_then(|row| row.get("Value").cloned().flatten())
    };
    let is_on = value("_status").is_some_and(|value| value.eq_ignore_ascii_case("on"));
    Ok(is_on.then(|| value("_clients").and_then(|clients| clients.parse().ok()).unwrap_or(0)))
}
