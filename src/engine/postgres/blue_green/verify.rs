//! Comparing both sides: forward, what was written has arrived when RDS's slot says so.

use std::time::Duration;

use super::{feed, way_back};
use crate::engine::postgres::Postgres;
use crate::engine::postgres::verify::compared;
use crate::engine::{Engine, Outcome};
use crate::executor::context::Context;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Verify;
use crate::systems::pair::{Heading, Pair, Side};
use crate::systems::postgres::compare::{self, Barrier, CompareOptions, Comparison, NothingWrites, PositionBarrier};
use crate::systems::postgres::{Access, Session};
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError, Result};

const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn verify(cx: &Context, of: &Move, writer: Heading, step: &Verify) -> Outcome<Comparison> {
    if writer == Heading::Back {
        // Whoever let the run go on without a proof (a person, or `resume` behind the guard) has not laid it.
        way_back::lay(cx).await?;
        return Postgres.verify(cx, of, writer, step).await;
    }
    let (slot, source) = (feed::carries(cx).await?, &cx.pair()?.source);
    let blue = cx.world.postgres(source)?.connect(Access::ReadOnly).await?;
    compared(cx, of, writer, step, &reader(blue, slot)).await
}

pub(super) async fn compare_now(plan: &Plan) -> Result<Comparison> {
    let world = World::new(plan.systems.clone());
    let no_pair = || DriverError::new("plan", "compare", "it has no pair of databases", Certainty::NotSent);
    let pair = plan.pair.as_ref().ok_or_else(no_pair)?;
    let (writer, barrier) = flowing(pair, &world).await?;
    let options = CompareOptions { schemas: plan.choices.schemas.clone(), ..CompareOptions::new(writer) };
    let (source, target) = (world.postgres(&pair.source)?, world.postgres(&pair.target)?);
    compare::compare(&source, &target, &options, barrier.as_ref(), &|_| ()).await
}

/// Which side is written, and what tells that its writes have arrived.
async fn flowing(pair: &Pair, world: &World) -> Result<(Side, Box<dyn Barrier>)> {
    let target = world.postgres(&pair.target)?.connect(Access::ReadOnly).await?;
    let sql = "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1 AND pubinsert)";
    if target.value("read its points", sql, &[&Heading::Back.stream()]).await? {
        return Ok((Side::Target, Box::new(reader(target, Heading::Back.stream().to_owned()))));
    }
    let source = world.postgres(&pair.source)?.connect(Access::ReadOnly).await?;
    Ok(match feed::between(&source, &target).await? {
        Some(feed) => (Side::Source, Box::new(reader(source, feed.slot))),
        None => (Side::Source, Box::new(NothingWrites)),
    })
}

fn reader(writer: Session, slot: String) -> PositionBarrier {
    PositionBarrier { writer, slot, timeout: PATIENCE }
}
