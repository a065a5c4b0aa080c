//! Both sides hold the same rows, while writes go on.

use std::time::Duration;

use tokio::sync::Mutex;

use crate::engine::{self, Outcome};
use crate::executor::context::Context;
use crate::journal::Move;
use crate::plan::{Follow, Plan};
use crate::runbook::model::Verify;
use crate::steps::COMPARE_PATIENCE;
use crate::systems::comparison::{Barrier, CompareOptions, Comparison, NothingWrites, Progress, Side};
use crate::systems::mysql::compare::{self, Following, PositionBarrier};
use crate::systems::mysql::{Access, Database, Flavour, Record, Session};
use crate::systems::pair::{Heading, Pair};
use crate::systems::world::World;
use crate::systems::{self, Result};

/// What was written must have arrived within this time, whenever it is asked for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn verify(cx: &Context, of: &Move, writer: Heading, step: &Verify) -> Outcome<Comparison> {
    // The last transaction of the written side is then one of its own, whose arrival can be waited for.
    engine::of_plan(&cx.plan).beat(cx, writer).await?;
    let barrier = barrier(&cx.plan, &cx.world, cx.pair()?, writer).await?;
    verify_behind(cx, of, writer, step, &barrier).await
}

/// The same, where the barrier is another one.
pub(super) async fn verify_behind(
    cx: &Context,
    of: &Move,
    writer: Heading,
    step: &Verify,
    barrier: &dyn Barrier,
) -> Outcome<Comparison> {
    let pair = cx.pair()?;
    let (source, target) = (cx.world.mysql(&pair.source)?, cx.world.mysql(&pair.target)?);
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
    let pair = plan.pair.clone().unwrap_or_else(|| Pair::new("", ""));
    let (source, target) = (world.mysql(&pair.source)?, world.mysql(&pair.target)?);
    let (heading, barrier) = flowing(plan, &world, &pair).await?;
    let options = CompareOptions { schemas: plan.choices.schemas.clone(), ..CompareOptions::new(side(heading)) };
    compare::compare(&source, &target, &options, barrier.as_ref(), &|_| ()).await
}

const fn side(writer: Heading) -> Side {
    match writer {
        Heading::Forth => Side::Source,
        Heading::Back => Side::Target,
    }
}

/// Waits for the position of the side that is written on the side that follows.
async fn barrier(plan: &Plan, world: &World, pair: &Pair, heading: Heading) -> Result<PositionBarrier> {
    let open = async |name: &str| world.mysql(name)?.connect(Access::ReadOnly).await;
    let (writer, reader) = tokio::try_join!(open(pair.leaving(heading)), open(pair.arriving(heading)))?;
    let following = match (writer.flavour(), plan.choices.mysql.as_ref().map(|choices| choices.follow)) {
        (Flavour::Mariadb, _) => Following::GtidPosition,
        (Flavour::Mysql, Some(Follow::Position)) => Following::File { channel: channel(&reader, heading).await? },
        (Flavour::Mysql, _) => Following::GtidSet,
    };
    Ok(PositionBarrier { writer, reader: Mutex::new(reader), following, timeout: PATIENCE })
}

/// Which side is written now: the one that is open. Where nobody follows, nothing is waited for.
async fn flowing(plan: &Plan, world: &World, pair: &Pair) -> Result<(Heading, Box<dyn Barrier>)> {
    let heading = if is_shut(&world.mysql(&pair.source)?).await? { Heading::Back } else { Heading::Forth };
    let reader = world.mysql(pair.arriving(heading))?.connect(Access::ReadOnly).await?;
    if channels(&reader).await?.is_empty() {
        return Ok((heading, Box::new(NothingWrites)));
    }
    Ok((heading, Box::new(barrier(plan, world, pair, heading).await?)))
}

async fn is_shut(database: &Database) -> Result<bool> {
    let session = database.connect(Access::ReadOnly).await?;
    let shut = session.value("look whether it is open", "SELECT @@GLOBAL.read_only").await?;
    Ok(shut.is_some_and(|value| !matches!(value.as_str(), "0" | "OFF")))
}

async fn channels(session: &Session) -> Result<Vec<Record>> {
    let sql = match session.flavour() {
        Flavour::Mysql => "SHOW REPLICA STATUS",
        Flavour::Mariadb => "SHOW ALL SLAVES STATUS",
    };
    session.records("look whom it follows", sql).await
}

/// Ours by its name, or the nameless one that RDS has.
async fn channel(session: &Session, heading: Heading) -> Result<String> {
    let named = |record: &Record| record.get("Channel_Name").cloned().flatten().unwrap_or_default();
    let all = channels(session).await?;
    Ok(all.iter().map(named).find(|name| name == heading.stream()).unwrap_or_default())
}
