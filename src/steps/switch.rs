//! `switch`: the endpoints lead to the other side, and the clients go on.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::{Action, Description, StepError};
use crate::clock;
use crate::engine;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Switch;
use crate::systems::DriverError;
use crate::systems::pair::Heading;
use crate::systems::pgbouncer::{Address, Pooler, needs_kill};
use crate::systems::world::World;

#[async_trait]
impl Action for Switch {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        let (leaving, arriving) = (pair.leaving(way), pair.arriving(way));
        let lines = |from: &str, to: &str| -> Vec<(String, String)> {
            let Ok(address) = address(&World::new(plan.systems.clone()), to) else { return Vec::new() };
            let kills = may_kill(plan, from, to);
            self.endpoints.iter().flat_map(|name| described(plan, name, &address, kills)).collect()
        };
        let mut clients = "their waiting writes go to the other side".to_owned();
        if !self.endpoints.is_empty() && may_kill(plan, arriving, leaving) {
            clients += "; going back, a PgBouncer newer than 1.18 disconnects each of its clients once (KILL), between \
                        transactions: it can't carry them to a server older than 16";
        }
        let endpoints = if self.endpoints.is_empty() { "no endpoint".to_owned() } else { self.endpoints.join(", ") };
        Description {
            summary: format!("Point {endpoints} at {arriving} and let the clients go"),
            apply: lines(leaving, arriving),
            undo: lines(arriving, leaving),
            clients: Some(clients),
        }
    }

    async fn apply(&self, cx: &Context, _state: &RunState, of: &Move) -> Result<Value, StepError> {
        let arriving = cx.pair()?.arriving(of.way);
        let address = address(&cx.world, arriving)?;
        cx.still_mine()?;
        let poolers = try_join_all(self.endpoints.iter().map(|name| cx.rig.pooler(name))).await?;
        try_join_all(poolers.iter().map(|pooler| redirect(cx, pooler, &address, of.way))).await?;
        Ok(json!({ "resumed_at": clock::now(), "address": address }))
    }
}

/// Points one pooler (all its instances) at the other side and lets its clients go.
async fn redirect(cx: &Context, pooler: &Pooler, address: &Address, way: Heading) -> Result<(), StepError> {
    let pair = cx.pair()?;
    let (from, to) = (major(cx, pair.leaving(way))?, major(cx, pair.arriving(way))?);
    let prepared = cx.rig.take_switch(pooler.name()).await;
    let switch = match prepared {
        Some(switch) if switch.address() == address => switch,
        _ => pooler.prepare(address)?,
    };
    pooler.switch(switch).await?;
    if from > to && pooler.needs_kill(from, to).await? {
        pooler.kill().await?;
    }
    pooler.open_doors().await?;
    Ok(())
}

fn major(cx: &Context, side: &str) -> Result<u32, StepError> {
    Ok(u32::try_from(cx.choices(side)?.version / 10_000).unwrap_or(0))
}

/// Where poolers and applications reach a database.
pub fn address(world: &World, side: &str) -> Result<Address, DriverError> {
    engine::of(world.get(side)).address(world, side)
}

/// Whether a PgBouncer that tracks parameters has to drop its clients on this way; see `needs_kill`.
fn may_kill(plan: &Plan, from: &str, to: &str) -> bool {
    let major = |side: &str| {
        let source = plan.pair.as_ref().is_some_and(|pair| pair.source == side);
        let choices = if source { &plan.choices.source } else { &plan.choices.target };
        u32::try_from(choices.version / 10_000).unwrap_or(0)
    };
    needs_kill((u32::MAX, 0), major(from), major(to))
}

fn described(plan: &Plan, name: &str, address: &Address, kills: bool) -> Vec<(String, String)> {
    let Ok(spec) = World::new(plan.systems.clone()).pgbouncer(name) else { return Vec::new() };
    let Ok(pooler) = Pooler::open(name, &spec) else { return Vec::new() };
    let kill = if kills { pooler.describe_kill() } else { Vec::new() };
    let kill = kill.into_iter().map(|line| format!("{line}  -- only PgBouncer newer than 1.18"));
    let lines = pooler.describe_switch(address).into_iter().chain(kill).chain(pooler.describe_open());
    lines.map(|line| (name.to_owned(), line)).collect()
}
