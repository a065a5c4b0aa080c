//! `wait`: all gates open at the same time.

use async_trait::async_trait;
use serde_json::Value;

use super::gating::{Watch, wait_open};
use super::{Action, Description, StepError};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::{OnFail, Wait};
use crate::systems::pair::Heading;

#[async_trait]
impl Action for Wait {
    fn describe(&self, _plan: &Plan, _way: Heading) -> Description {
        Description::new(format!("Wait for {}, at most {}", self.gates.join(", "), self.timeout))
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let watch = Watch { step: &of.step, gates: &self.gates, timeout: self.timeout.0, on_fail: OnFail::Hold };
        wait_open(cx, state, &watch).await
    }
}
