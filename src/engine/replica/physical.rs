//! A physical replica, as a promotion knows it. Between versions of one major, RDS for PostgreSQL replicates a Blue/Green
//! deployment physically ("PostgreSQL replication methods for blue/green deployments" in the user guide), so that the green
//! instance is a replica like any other, promoted by another call.

use async_trait::async_trait;

use crate::engine::Outcome;
use crate::engine::promotion::Promotable;
use crate::executor::context::Context;
use crate::journal::FailureKind;
use crate::plan::Plan;
use crate::preflight::Finding;
use crate::preflight::blue_green::{self as preflight, Facts};
use crate::steps::StepError;
use crate::systems::Result;
use crate::systems::postgres::{Access, standby};
use crate::systems::world::World;

/// Slots and subscriptions: RDS's guardrails refuse a blue instance that is a logical publisher or subscriber by somebody's
/// own making (user guide, "Switching a blue/green deployment").
const LOGICAL: &str = "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical') + \
    (SELECT count(*) FROM pg_stat_subscription)";

/// A physical replica.
pub(super) struct Physical;

#[async_trait]
impl Promotable for Physical {
    fn statement(&self, _plan: &Plan) -> String {
        standby::PROMOTE.to_owned()
    }

    async fn may(&self, cx: &Context) -> Outcome<()> {
        let pair = cx.pair()?;
        let sql = "SELECT has_function_privilege('pg_promote(boolean, integer)', 'EXECUTE')";
        let session = cx.rig.postgres(&pair.target).await?;
        if session.value("see whether we may promote it", sql, &[]).await? {
            return Ok(());
        }
        let message = format!("our role may not promote {}", pair.target);
        let hint = "GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) on the source; a replica of RDS is promoted by \
                    RDS: name its `rds` system";
        Err(StepError::told(FailureKind::Refused, message, Some(hint)))
    }

    async fn promote(&self, cx: &Context, target: &str) -> Result<()> {
        cx.rig.postgres(target).await?.batch("promote it", standby::PROMOTE).await.map(drop)
    }

    async fn follows(&self, cx: &Context, side: &str) -> Result<bool> {
        standby::in_recovery(&*cx.rig.postgres(side).await?).await
    }

    fn still(&self) -> &'static str {
        "is in recovery still"
    }

    /// The timeline that it writes: the promoted one begins another.
    async fn mark(&self, cx: &Context, side: &str) -> Result<String> {
        let sql = "SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)";
        cx.rig.postgres(side).await?.value("read its timeline", sql, &[]).await
    }

    fn is_other(&self, left: &str, now: &str) -> bool {
        now > left
    }

    async fn started(&self, cx: &Context, side: &str) -> Result<(String, bool)> {
        cx.rig.part_from(&[side]).await;
        let session = cx.rig.postgres(side).await?;
        let at = session.value("see when it was started", "SELECT pg_postmaster_start_time()::text", &[]).await?;
        Ok((at, !standby::in_recovery(&session).await?))
    }

    async fn guardrails(&self, cx: &Context) -> Outcome<()> {
        let source = cx.rig.postgres(&cx.pair()?.source).await?;
        let logical: i64 = source.value("look for logical replication", LOGICAL, &[]).await?;
        if logical == 0 {
            return Ok(());
        }
        let message = format!("{} has {logical} logical slots or subscriptions", source.system());
        let hint = "RDS switches over no publisher and no subscriber: drop them before";
        Err(StepError::told(FailureKind::Refused, message, Some(hint)))
    }

    async fn findings(&self, world: &World, facts: &Facts) -> Result<Vec<Finding>> {
        let source = world.postgres(&facts.source)?.connect(Access::ReadOnly).await?;
        let logical = source.value("look for logical replication", LOGICAL, &[]).await?;
        Ok(preflight::physical(facts, logical))
    }
}
