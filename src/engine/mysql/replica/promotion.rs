//! A replica of MySQL or MariaDB, as a promotion knows it: it follows by a stream without a name, stops to follow, and
//! forgets whom it followed.

use async_trait::async_trait;

use super::super::common;
use crate::engine::Outcome;
use crate::engine::promotion::{Promotable, Promotion};
use crate::executor::context::Context;
use crate::journal::FailureKind;
use crate::plan::Plan;
use crate::preflight::Finding;
use crate::preflight::blue_green::{self as preflight, Facts};
use crate::steps::StepError;
use crate::systems::Result;
use crate::systems::mysql::{Access, Flavour, catalog, replica};
use crate::systems::pair::Heading;
use crate::systems::world::World;

/// For how many seconds it has run.
const STARTED: &str = "SHOW GLOBAL STATUS LIKE 'Uptime'";
const CLOCK: &str = "SELECT UNIX_TIMESTAMP(), @@GLOBAL.read_only";
/// Both are whole seconds, read one after the other; no server starts again within so few.
const UNSURE_S: u64 = 2;

/// A replica that follows by the binary log.
pub(super) struct Follower;

#[async_trait]
impl Promotable for Follower {
    fn statement(&self, plan: &Plan) -> String {
        let stream = common::stream(plan, Heading::Forth);
        format!("{}{}", stream.stop(), stream.forget())
    }

    async fn may(&self, cx: &Context) -> Outcome<()> {
        let target = cx.rig.mysql(&cx.pair()?.target).await?;
        if catalog::identity(&target).await?.is_administrator() {
            return Ok(());
        }
        let message = format!("our account may not promote {}", target.system());
        let hint = match target.flavour() {
            Flavour::Mysql => {
                "on the source: GRANT REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN ON *.* to it; a \
                 replica of RDS is promoted by RDS: name its `rds` system"
            }
            Flavour::Mariadb => {
                "on the source: GRANT REPLICATION SLAVE ADMIN, READ_ONLY ADMIN ON *.* to it; a replica of RDS is promoted by \
                 RDS: name its `rds` system"
            }
        };
        Err(StepError::told(FailureKind::Refused, message, Some(hint)))
    }

    async fn promote(&self, cx: &Context, target: &str) -> Result<()> {
        cx.rig.mysql(target).await?.batch("promote it", &self.statement(&cx.plan)).await.map(drop)
    }

    /// A server of one's own is a replica as long as it remembers whom it followed; of RDS's, only what it does counts.
    async fn follows(&self, cx: &Context, side: &str) -> Result<bool> {
        let session = cx.rig.mysql(side).await?;
        let all = replica::read(&session).await?;
        let mut own = all.iter().filter(|found| found.name.is_empty());
        if Promotion::of(&cx.plan).by_server() {
            return Ok(own.next().is_some());
        }
        let read_only = session.value("see whether it takes writes", "SELECT @@GLOBAL.read_only").await?;
        Ok(read_only.as_deref() != Some("0") || own.any(|found| found.trouble.is_none()))
    }

    fn still(&self) -> &'static str {
        "follows still"
    }

    async fn mark(&self, cx: &Context, side: &str) -> Result<String> {
        Ok(catalog::identity(&*cx.rig.mysql(side).await?).await?.server())
    }

    async fn started(&self, cx: &Context, side: &str) -> Result<(String, bool)> {
        cx.rig.part_from(&[side]).await;
        let session = cx.rig.mysql(side).await?;
        let number = |value: Option<String>| value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        let uptime = session.rows("see since when it runs", STARTED).await?.into_iter().next().unwrap_or_default();
        let now = session.rows("see whether it takes writes", CLOCK).await?.into_iter().next().unwrap_or_default();
        let since = number(now.first().cloned().flatten()).saturating_sub(number(uptime.get(1).cloned().flatten()));
        Ok((since.to_string(), now.get(1).cloned().flatten().as_deref() == Some("0")))
    }

    fn is_restarted(&self, before: &str, now: &str) -> bool {
        let seconds = |text: &str| text.parse::<u64>().unwrap_or(0);
        seconds(now).abs_diff(seconds(before)) > UNSURE_S
    }

    async fn guardrails(&self, cx: &Context) -> Outcome<()> {
        let source = cx.rig.mysql(&cx.pair()?.source).await?;
        if !replica::read(&source).await?.iter().any(|found| found.trouble.is_none()) {
            return Ok(());
        }
        let message = format!("{} follows another server now", source.system());
        let hint = "RDS switches over no instance that does: CALL mysql.rds_stop_replication there before";
        Err(StepError::told(FailureKind::Refused, message, Some(hint)))
    }

    async fn findings(&self, world: &World, facts: &Facts) -> Result<Vec<Finding>> {
        let blue = world.mysql(&facts.source)?.connect(Access::ReadOnly).await?;
        Ok(preflight::binary_log(facts, &replica::read(&blue).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_told_from_a_clock_that_ticked_between_two_looks() {
        let restarted = |before: &str, now: &str| Follower.is_restarted(before, now);
        assert!(!restarted("1999", "2000") && !restarted("2001", "1999"));
        assert!(restarted("1999", "2002"), "a server takes longer than that to come back");
    }
}
