//! `window`: arming it. Gates are green, both databases are the ones that were looked at, both streams carry a token
//! from end to end (so the way back is proved before it is needed), every connection is open, what the fence must
//! restore is known. Writes still flow.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::gating::{Watch, wait_open};
use super::switch::address;
use super::{Action, Description, StepError};
use crate::engine;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{OnFail, Window};
use crate::systems::pair::Heading;

/// How long arming may take: longer than the tokens and logins that it waits for.
const ARM_LIMIT: Duration = Duration::from_secs(60);

#[async_trait]
impl Action for Window {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        let gates =
            if self.gates.is_empty() { String::new() } else { format!("gates {} open; ", self.gates.join(", ")) };
        Description {
            summary: format!(
                "Arm the window from {} to {}: {gates}a token goes through both streams, connections are opened, the \
                 window's statements are tried and taken back, the guard is started. Writes wait at most {}",
                pair.leaving(way),
                pair.arriving(way),
                self.budget
            ),
            apply: engine::of_plan(plan).describe_arm(plan, way),
            undo: Vec::new(),
            clients: None,
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let pair = cx.pair()?;
        if of.way == Heading::Forth {
            let timeout = Duration::from_secs(3600);
            let watch = Watch { step: &of.step, gates: &self.gates, timeout, on_fail: OnFail::Hold };
            wait_open(cx, state, &watch).await?;
        }
        let late = format!(
            "the window was not armed within {} s: {}, {} or an endpoint does not answer. Nothing was frozen",
            ARM_LIMIT.as_secs(),
            pair.source,
            pair.target
        );
        cx.bounded(ARM_LIMIT, &late, self.arm(cx, state, of)).await?;
        cx.journal.checkpoint()?;
        Ok(json!({}))
    }
}

impl Window {
    async fn arm(&self, cx: &Context, state: &RunState, of: &Move) -> Result<(), StepError> {
        let pair = cx.pair()?;
        cx.rig.warm(&[&pair.source, &pair.target], cx.plan.endpoints()).await?;
        cx.engine().look_before(cx, of.way).await?;
        self.ready_poolers(cx, pair.leaving(of.way), pair.arriving(of.way)).await?;
        cx.engine().arm(cx, state, of).await
    }

    /// Every pooler leads to the side that is left, is not paused, and its change is made ready.
    async fn ready_poolers(&self, cx: &Context, leaving: &str, arriving: &str) -> Result<(), StepError> {
        let (here, there) = (address(&cx.world, leaving)?, address(&cx.world, arriving)?);
        for name in cx.plan.endpoints() {
            let pooler = cx.rig.pooler(name).await?;
            for (instance, entry) in pooler.instances().iter().zip(pooler.entries().await?) {
                if entry.paused {
                    let message = format!("{} is paused already: its clients wait", instance.name());
                    return Err(StepError::told(
                        FailureKind::Refused,
                        message,
                        Some("RESUME it, or find out who paused it"),
                    ));
                }
                if entry.host.as_deref() != Some(here.host.as_str()) || entry.port != here.port {
                    let message = format!("{} does not lead to {leaving} ({here}): {entry}", instance.name());
                    return Err(StepError::told(
                        FailureKind::Refused,
                        message,
                        Some("give the database its `address` as the pooler knows it"),
                    ));
                }
            }
            pooler.learn_versions().await?;
            cx.rig.keep_switch(name, pooler.prepare(&there)?).await;
        }
        Ok(())
    }
}
