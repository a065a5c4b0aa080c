//! `window`: arming it. Gates are green, both databases are the ones that were looked at, both streams carry a token
//! from end to end (so the way back is proved before it is needed), every connection is open, what the fence must
//! restore is known. Writes still flow.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::gating::{Watch, wait_open};
use super::{Action, Description, StepError};
use crate::endpoints::Route;
use crate::engine;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::{Plan, references};
use crate::runbook::model::{OnFail, Window};
use crate::secret::remote;
use crate::systems::pair::Heading;

/// How long arming may take: longer than the tokens and logins that it waits for.
const ARM_LIMIT: Duration = Duration::from_secs(60);

#[async_trait]
impl Action for Window {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        let longer =
            engine::of_plan(plan).waits(plan, way).map(|longer| format!(", then {longer}")).unwrap_or_default();
        let gates =
            if self.gates.is_empty() { String::new() } else { format!("gates {} open; ", self.gates.join(", ")) };
        Description {
            summary: format!(
                "Arm the window from {} to {}: {gates}a token goes through both streams, connections are opened, the \
                 window's statements are tried and taken back, the guard is started. Writes wait at most {}{longer}",
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
        references::warm(&cx.plan).await?;
        if references::all(&cx.plan).iter().any(|reference| remote::is_rds(reference)) {
            // After a failover or a rename the endpoint may lead elsewhere: whoever was dialled before may be left.
            cx.rig.forget().await;
        }
        cx.rig.warm(&[&pair.source, &pair.target], cx.plan.endpoints()).await?;
        cx.engine().look_before(cx, of.way).await?;
        let route = Route::of(&cx.plan, &cx.world, of.way)?;
        for name in cx.plan.endpoints() {
            cx.rig.endpoint(name).await?.prepare(&route).await?;
        }
        cx.engine().arm(cx, state, of).await
    }
}
