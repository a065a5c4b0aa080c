//! Comparing both sides without a run.

use std::time::Duration;

use async_trait::async_trait;

use super::drain::LOOK;
use crate::clock;
use crate::plan::Plan;
use crate::systems::pair::{Heading, Pair, Side};
use crate::systems::postgres::compare::{self, Barrier, CompareOptions, Comparison, NothingWrites, PositionBarrier};
use crate::systems::postgres::{Access, Session, standby};
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError, Result};

const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn compare_now(plan: &Plan) -> Result<Comparison> {
    let world = World::new(plan.systems.clone());
    let Some(pair) = &plan.pair else { return Err(no_pair()) };
    let (writer, barrier) = flowing(pair, &world).await?;
    let options = CompareOptions { schemas: plan.choices.schemas.clone(), ..CompareOptions::new(writer) };
    let (source, target) = (world.postgres(&pair.source)?, world.postgres(&pair.target)?);
    compare::compare(&source, &target, &options, barrier.as_ref(), &|_| ()).await
}

fn no_pair() -> DriverError {
    DriverError::new("plan", "compare", "it has no pair of databases", Certainty::NotSent)
}

/// Which side is written, and what tells that its writes have arrived.
async fn flowing(pair: &Pair, world: &World) -> Result<(Side, Box<dyn Barrier>)> {
    let target = world.postgres(&pair.target)?.connect(Access::ReadOnly).await?;
    if standby::in_recovery(&target).await? {
        let source = world.postgres(&pair.source)?.connect(Access::ReadOnly).await?;
        return Ok((Side::Source, Box::new(Replayed { source, target })));
    }
    let sql = "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1 AND pubinsert)";
    if target.value("read its points", sql, &[&Heading::Back.stream()]).await? {
        let slot = Heading::Back.stream().to_owned();
        return Ok((Side::Target, Box::new(PositionBarrier { writer: target, slot, timeout: PATIENCE })));
    }
    Ok((Side::Source, Box::new(NothingWrites)))
}

/// The replica has replayed what the source had written.
struct Replayed {
    source: Session,
    target: Session,
}

#[async_trait]
impl Barrier for Replayed {
    async fn pass(&self) -> Result<()> {
        let position: String =
            self.source.value("read its position", "SELECT pg_current_wal_insert_lsn()::text", &[]).await?;
        let sql = "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)";
        let began = clock::monotonic();
        while !self.target.value::<bool>("read what it has replayed", sql, &[&position]).await? {
            if began.elapsed() > PATIENCE {
                let reason = format!("{position} was not replayed within {} s", PATIENCE.as_secs());
                let system = self.target.system();
                return Err(DriverError::new(system, "wait for the replica", reason, Certainty::Refused));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}
