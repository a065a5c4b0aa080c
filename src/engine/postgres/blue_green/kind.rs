//! A green instance or cluster that follows logically, as a promotion knows it.

use async_trait::async_trait;

use super::feed;
use crate::engine::Outcome;
use crate::engine::postgres::carried::listed;
use crate::engine::promotion::Promotable;
use crate::executor::context::Context;
use crate::journal::FailureKind;
use crate::plan::Plan;
use crate::preflight::Finding;
use crate::preflight::blue_green::{self as preflight, Facts};
use crate::steps::StepError;
use crate::systems::postgres::{Access, catalog, setup, standby};
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError, Result};

/// The green one that RDS replicates logically.
pub(super) struct Logical;

#[async_trait]
impl Promotable for Logical {
    fn statement(&self, _plan: &Plan) -> String {
        "-- RDS alone switches it over".to_owned()
    }

    async fn may(&self, _cx: &Context) -> Outcome<()> {
        Err(StepError::broken("RDS alone switches a deployment over"))
    }

    async fn promote(&self, _cx: &Context, target: &str) -> Result<()> {
        let reason = "RDS alone switches a deployment over";
        Err(DriverError::new(target, "promote it", reason, Certainty::NotSent))
    }

    /// As long as RDS's subscription is there and enabled. RDS's own switchover ends it.
    async fn follows(&self, cx: &Context, side: &str) -> Result<bool> {
        let session = cx.rig.postgres(side).await?;
        Ok(!feed::on_green(&session).await?.is_empty() || standby::in_recovery(&session).await?)
    }

    fn still(&self) -> &'static str {
        "has RDS's subscription still"
    }

    /// The run that our schema there names: up to the switchover it is made on the green one alone. A version, or the
    /// server's identifier, would not do: Aurora makes the green one of a clone of the blue one's volume.
    async fn mark(&self, cx: &Context, side: &str) -> Result<String> {
        Ok(setup::owner(&*cx.rig.postgres(side).await?).await?.unwrap_or_default())
    }

    fn is_other(&self, left: &str, now: &str) -> bool {
        !now.is_empty() && left != now
    }

    async fn started(&self, cx: &Context, side: &str) -> Result<(String, bool)> {
        cx.rig.part_from(&[side]).await;
        let session = cx.rig.postgres(side).await?;
        let at = session.value("see when it was started", "SELECT pg_postmaster_start_time()::text", &[]).await?;
        Ok((at, !standby::in_recovery(&session).await?))
    }

    fn way_out(&self) -> &'static str {
        ". If it can't be mended (RDS has found DDL): delete the deployment without its green instance (`aws rds \
         delete-blue-green-deployment`), and when that is one of its own `pointsman retry` goes on with it, under its own name"
    }

    async fn guardrails(&self, cx: &Context) -> Outcome<()> {
        let pair = cx.pair()?;
        let (blue, green) = tokio::try_join!(cx.rig.postgres(&pair.source), cx.rig.postgres(&pair.target))?;
        let found = feed::self_managed(&blue, &green).await?;
        if found.is_empty() {
            return Ok(());
        }
        let message = format!("{} is a logical publisher or subscriber: {}", blue.system(), listed(&found));
        let hint = "RDS switches over nobody who replicates logically by himself: drop them before";
        Err(StepError::told(FailureKind::Refused, message, Some(hint)))
    }

    async fn findings(&self, world: &World, facts: &Facts) -> Result<Vec<Finding>> {
        let blue = world.postgres(&facts.source)?.connect(Access::ReadOnly).await?;
        let green = world.postgres(&facts.target)?.connect(Access::ReadOnly).await?;
        let streams = feed::self_managed(&blue, &green).await?;
        let schemas = catalog::application_schemas(&blue).await?;
        let lacks = feed::lacks(&blue, &green, &schemas).await?;
        Ok(preflight::logical(facts, &streams, lacks.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_side_is_the_one_that_has_our_schema() {
        assert!(Logical.is_other("", "run"));
        assert!(!Logical.is_other("", ""), "the name leads to the old one still");
        // An earlier version of this program took the major version for a mark.
        assert!(!Logical.is_other("15", "") && Logical.is_other("15", "run"));
    }
}
