//! `switch`: the endpoints lead to the other side, and the clients go on.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::{Action, Description, StepError};
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
        let Some(pair) = &plan.pair else { return Description::default() };
        let world = World::new(plan.systems.clone());
        let mut clients = vec!["their waiting writes go to the other side".to_owned()];
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
        let summary = format!("Point {endpoints} at {} and let the clients go", pair.arriving(way));
        Description { summary, apply, undo, clients: Some(clients.join("; ")) }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let route = Route::of(&cx.plan, &cx.world, of.way)?;
        cx.still_mine()?;
        let endpoints = try_join_all(self.endpoints.iter().map(|name| cx.rig.endpoint(name))).await?;
        let errand = Errand { cx, state, of, route: &route };
        try_join_all(endpoints.iter().map(|endpoint| turn(&**endpoint, &errand))).await?;
        Ok(json!({ "resumed_at": clock::now(), "address": route.to()?.address }))
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
