//! `bake`: gates stay open for a while.

use async_trait::async_trait;
use serde_json::Value;

use super::gating::{Watch, stay_open};
use super::{Action, Description, StepError};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Bake;
use crate::systems::pair::Heading;

#[async_trait]
impl Action for Bake {
    fn describe(&self, _plan: &Plan, _way: Heading) -> Description {
        let watching =
            if self.gates.is_empty() { String::new() } else { format!(", watching {}", self.gates.join(", ")) };
        Description::new(format!("Stay here for {}{watching}", self.span))
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let watch = Watch { step: &of.step, gates: &self.gates, timeout: self.span.0, on_fail: self.on_fail };
        stay_open(cx, state, &watch).await
    }
}
