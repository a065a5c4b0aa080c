//! Both sides hold the same rows, while writes go on.

use crate::engine::Outcome;
use crate::executor::context::Context;
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::Verify;
use crate::steps::StepError;
use crate::systems::comparison::Comparison;
use crate::systems::pair::Heading;
use crate::systems::{self, Certainty, DriverError};

const LATER: &str = "a comparison of MySQL servers is not written yet";

#[expect(clippy::unused_async, reason = "the comparison is not written yet")]
pub(super) async fn verify(_cx: &Context, _of: &Move, _writer: Heading, _step: &Verify) -> Outcome<Comparison> {
    Err(StepError::told(FailureKind::Refused, LATER, None))
}

#[expect(clippy::unused_async, reason = "the comparison is not written yet")]
pub(super) async fn compare_now(_plan: &Plan) -> systems::Result<Comparison> {
    Err(DriverError::new("source", "compare", LATER, Certainty::NotSent))
}
