//! Both sides hold the same rows, while writes go on.

use std::time::Duration;

use async_trait::async_trait;

use crate::engine::Outcome;
use crate::executor::context::Context;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Verify;
use crate::steps::{COMPARE_PATIENCE, new_token};
use crate::systems;
use crate::systems::pair::Heading;
use crate::systems::postgres::compare::{
    self, Barrier, CompareOptions, Comparison, NothingWrites, PositionBarrier, Progress, Side,
};
use crate::systems::postgres::{Access, setup, stream};
use crate::systems::world::World;

pub(super) async fn verify(cx: &Context, of: &Move, writer: Heading, step: &Verify) -> Outcome<Comparison> {
    let barrier = TokenBarrier { cx, heading: writer, turn: tokio::sync::Mutex::default() };
    compared(cx, of, writer, step, &barrier).await
}

/// Compares, where this tells that what was written has arrived.
pub(super) async fn compared(
    cx: &Context,
    of: &Move,
    writer: Heading,
    step: &Verify,
    barrier: &dyn Barrier,
) -> Outcome<Comparison> {
    let pair = cx.pair()?;
    let (source, target) = (cx.world.postgres(&pair.source)?, cx.world.postgres(&pair.target)?);
    let options = CompareOptions {
        mode: step.compare,
        schemas: cx.plan.choices.schemas.clone(),
        except: step.except.clone(),
        statement_timeout: step.timeout.unwrap_or(COMPARE_PATIENCE).0,
        ..CompareOptions::new(side(writer))
    };
    let listener = |progress: &Progress| {
        let (done, all) = (progress.tables_done, progress.tables);
        cx.progress(&of.step, &format!("{done} of {all} tables, {} rows: {}", progress.rows_done, progress.table));
    };
    Ok(compare::compare(&source, &target, &options, barrier, &listener).await?)
}

pub(super) async fn compare_now(plan: &Plan) -> systems::Result<Comparison> {
    let world = World::new(plan.systems.clone());
    let (heading, barrier) = flowing(plan, &world).await?;
    let (source, target) = plan.pair.as_ref().map(|pair| (&pair.source, &pair.target)).unzip();
    let name = |side: Option<&String>| side.cloned().unwrap_or_default();
    let (source, target) = (world.postgres(&name(source))?, world.postgres(&name(target))?);
    let options = CompareOptions { schemas: plan.choices.schemas.clone(), ..CompareOptions::new(side(heading)) };
    compare::compare(&source, &target, &options, barrier.as_ref(), &|_| ()).await
}

const fn side(writer: Heading) -> Side {
    match writer {
        Heading::Forth => Side::Source,
        Heading::Back => Side::Target,
    }
}

/// Which stream carries rows now, told by its publication's points.
async fn flowing(plan: &Plan, world: &World) -> systems::Result<(Heading, Box<dyn Barrier>)> {
    let Some(pair) = &plan.pair else { return Ok((Heading::Forth, Box::new(NothingWrites))) };
    for heading in [Heading::Forth, Heading::Back] {
        let writer = world.postgres(pair.leaving(heading))?.connect(Access::ReadOnly).await?;
        let sql = "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1 AND pubinsert)";
        if writer.value("read its points", sql, &[&heading.stream()]).await? {
            let (slot, timeout) = (heading.stream().to_owned(), Duration::from_secs(60));
            return Ok((heading, Box::new(PositionBarrier { writer, slot, timeout })));
        }
    }
    Ok((Heading::Forth, Box::new(NothingWrites)))
}

/// A token through the stream that carries rows: what was committed before it has arrived with it.
struct TokenBarrier<'a> {
    cx: &'a Context,
    heading: Heading,
    /// One token at a time: tables are compared side by side, and a second token would take the place of the first
    /// before it was seen.
    turn: tokio::sync::Mutex<()>,
}

#[async_trait]
impl Barrier for TokenBarrier<'_> {
    async fn pass(&self) -> systems::Result<()> {
        let _turn = self.turn.lock().await;
        let limit = Duration::from_secs(60);
        let Some(pair) = &self.cx.plan.pair else { return Ok(()) };
        let (publisher, subscriber) = (
            self.cx.rig.postgres(pair.leaving(self.heading)).await?,
            self.cx.rig.postgres(pair.arriving(self.heading)).await?,
        );
        let token = new_token();
        let held = setup::hold_epoch(&self.cx.run, self.cx.epoch);
        let sql = format!("{held}{}", stream::write_token(self.heading, &self.cx.run, &token));
        publisher.batch("write a token", &sql).await?;
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(60_000);
        let wait = stream::await_token(self.heading, &token, None, limit_ms);
        subscriber.batch("wait for a token", &wait).await.map(drop)
    }
}
