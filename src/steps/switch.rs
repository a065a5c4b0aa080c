//! `switch`: the endpoints lead to the other side, and the clients go on.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::{Action, Description, StepError, leading};
use crate::clock;
use crate::endpoints::{self, Endpoint, Errand, Route};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Switch;
use crate::systems::pair::Heading;
use crate::systems::world::World;

#[async_trait]
impl Action for Switch {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        let world = World::new(plan.systems.clone());
        let outside = leading::is_outside(&world, self);
        let mut clients = Vec::new();
        if !outside {
            clients.push("their waiting writes go to the other side".to_owned());
        }
        let (mut apply, mut undo) = (Vec::new(), Vec::new());
        if let Ok(route) = Route::of(plan, &world, way) {
            for name in &self.endpoints {
                let Ok(endpoint) = endpoints::open(&world, name) else { continue };
                apply.extend(lines(&*endpoint, &route));
                undo.extend(lines(&*endpoint, &route.reversed()));
                clients.extend(endpoint.clients(&route).filter(|words| !clients.contains(words)));
            }
        }
        let endpoints = if self.endpoints.is_empty() { "no endpoint".to_owned() } else { self.endpoints.join(", ") };
        let to = plan.pair.as_ref().map_or("the other side", |pair| pair.arriving(way));
        let summary = if outside {
            format!("Lead {endpoints} to the other side, one after the other, and wait until clients have followed")
        } else {
            format!("Point {endpoints} at {to} and let the clients go")
        };
        Description { summary, apply, undo, clients: Some(clients.join("; ")) }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let route = Route::of(&cx.plan, &cx.world, of.way)?;
        if leading::is_outside(&cx.world, self) {
            return leading::lead(&Errand { cx, state, of, route: &route }, &self.endpoints).await;
        }
        cx.still_mine()?;
        let endpoints = try_join_all(self.endpoints.iter().map(|name| cx.rig.endpoint(name))).await?;
        let errand = Errand { cx, state, of, route: &route };
        try_join_all(endpoints.iter().map(|endpoint| turn(&**endpoint, &errand))).await?;
        Ok(json!({ "resumed_at": clock::now(), "address": route.to()?.address }))
    }

    /// A switch of its own is taken back by itself; that of a window by passing the window again.
    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        if !leading::is_outside(&cx.world, self) {
            return Ok(json!({}));
        }
        let route = Route::of(&cx.plan, &cx.world, of.way)?.reversed();
        leading::lead(&Errand { cx, state, of, route: &route }, &self.endpoints).await
    }
}

/// Leads one endpoint to the other side and lets its clients go, whatever the others do.
async fn turn(endpoint: &dyn Endpoint, errand: &Errand<'_>) -> Result<(), StepError> {
    endpoint.switch(errand).await?;
    endpoint.release().await?;
    Ok(())
}

/// What leads one endpoint to the other side of a route.
fn lines(endpoint: &dyn Endpoint, route: &Route) -> Vec<(String, String)> {
    let sent = endpoint.describe_switch(route).into_iter().chain(endpoint.describe_release());
    sent.map(|line| (endpoint.name().to_owned(), line)).collect()
}
