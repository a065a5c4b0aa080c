//! The choices between two servers, where the target has what the source has.

use super::super::postgres::choose as between;
use crate::engine::promotion;
use crate::plan::{Choices, Plan};
use crate::runbook::model::{Means, Replicate};
use crate::systems::{Certainty, DriverError};

pub(super) async fn choose(plan: &Plan, replicate: &Replicate) -> Result<Choices, DriverError> {
    let mut choices = between::choose(plan, replicate).await?;
    let blue_green = replicate.through == Means::BlueGreen;
    if blue_green {
        choices.blue_green = Some(promotion::chosen(plan, replicate).await?);
    }
    if choices.source.system_identifier != choices.target.system_identifier {
        let reason = format!(
            "it is no physical replica of {}: its system identifier is {}, that of {} is {}",
            replicate.from, choices.target.system_identifier, replicate.from, choices.source.system_identifier
        );
        let error = DriverError::new(&replicate.to, "make the plan", reason, Certainty::Refused);
        return Err(error.with_hint(if blue_green {
            "to another major version RDS replicates a deployment logically: leave `through: blue-green` out, and move to an \
             instance of its own"
        } else {
            "leave `through: read-replica` out: then the servers replicate logically"
        }));
    }
    // The fence of the source comes to the replica through its write-ahead log, and is lifted there.
    choices.target.fence = choices.source.fence;
    Ok(choices)
}
