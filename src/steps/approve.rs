//! `approve`: a person's yes.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Action, Description, StepError};
use crate::clock;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::Approve;
use crate::runbook::units::Span;
use crate::systems::pair::Heading;

/// Every wait has an end, also when the runbook names none.
const PATIENCE: Span = Span::secs(7 * 24 * 3600);

#[async_trait]
impl Action for Approve {
    fn describe(&self, _plan: &Plan, _way: Heading) -> Description {
        Description::new(format!("Ask a person: {} (at most {})", self.message, self.timeout.unwrap_or(PATIENCE)))
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let patience = self.timeout.unwrap_or(PATIENCE);
        let latest = clock::monotonic() + patience.0;
        let asks = format!("asks: {} (pointsman approve {} {})", self.message, cx.run, of.step);
        if !state.approvals.contains(&of.step) {
            // Journaled, so that whoever looks sees the question at once.
            cx.note(of, json!({ "asks": asks }), Durability::Ordered)?;
        }
        loop {
            let approved = |step: &String| *step == of.step;
            if state.approvals.contains(&of.step) || cx.ears.borrow().approvals.iter().any(approved) {
                return Ok(json!({}));
            }
            if clock::monotonic() >= latest {
                let message = format!("nobody answered within {patience}: {}", self.message);
                let hint = format!("pointsman approve {} {}, then pointsman continue", cx.run, of.step);
                return Err(StepError::told(FailureKind::Deadline, message, Some(&hint)));
            }
            cx.progress(&of.step, &asks);
            let mut ears = cx.ears.clone();
            let wake = ears.wait_for(|heard| heard.interrupt || heard.approvals.contains(&of.step));
            drop(tokio::time::timeout(Duration::from_secs(1), wake).await);
            cx.checkpoint()?;
        }
    }
}
