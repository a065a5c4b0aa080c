//! The old target group leaves the rules of a load balancer, where it weighs nothing.

use serde_json::{Value, json};

use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::runbook::model::System;
use crate::steps::StepError;
use crate::steps::notes::noted_as;

/// Takes it out; says what is left for a person.
pub(super) async fn leave(cx: &Context, state: &RunState, of: &Move, name: &str) -> Result<String, StepError> {
    let traffic = cx.traffic(name, false).await?;
    let now = traffic.look().await?;
    let Some(without) = traffic.without_source(&now)? else {
        let message = format!("{name} has no rules that a target group could leave");
        return Err(StepError::told(FailureKind::Refused, message, None));
    };
    if without != now {
        cx.still_mine()?;
        if noted_as::<Value>(state, of, &key(name)).is_none() {
            cx.note(of, json!({ key(name): now }), Durability::Synced)?;
        }
        traffic.write(&without).await?;
    }
    let group = match cx.world.get(name) {
        Some(System::Alb(spec)) => spec.from.clone(),
        _ => String::new(),
    };
    Ok(format!("delete the target group {group} when nobody needs it"))
}

/// Puts the rules back as they were, with the old group at weight 0.
pub(super) async fn come_back(cx: &Context, state: &RunState, of: &Move, name: &str) -> Result<(), StepError> {
    let Some(before) = noted_as::<Value>(state, of, &key(name)) else { return Ok(()) };
    cx.still_mine()?;
    Ok(cx.traffic(name, true).await?.write(&before).await?)
}

fn key(name: &str) -> String {
    format!("rules-of-{name}")
}
