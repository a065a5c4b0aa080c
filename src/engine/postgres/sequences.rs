//! Sequences, carried over from their own values, all of them, owned or not. They are known since the freeze, so that
//! `drain` carries them in its own round trip where this step follows it.

use serde_json::json;

use crate::engine::Outcome;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Step;
use crate::steps::{Description, StepError};
use crate::systems::pair::Heading;
use crate::systems::postgres::barrier::{Barrier, SequenceValue, carry_sequences};
use crate::systems::postgres::setup;

/// Under this key `drain` notes the token of the barrier whose sequences it has carried.
pub(super) const CARRIED: &str = "carried";

pub(super) fn describe(plan: &Plan, way: Heading) -> Description {
    let Some(pair) = &plan.pair else { return Description::default() };
    let arriving = pair.arriving(way);
    let count = plan.choices.sequences.len();
    let known = "0 stands for the value read at the freeze";
    if follow_drain(plan) {
        let summary =
            format!("Carry {count} sequences over to {arriving}: sent with `drain`, in one round trip ({known})");
        return Description::new(summary);
    }
    Description {
        summary: format!("Carry {count} sequences over to {arriving} ({known})"),
        apply: vec![(arriving.to_owned(), planned(plan))],
        ..Description::default()
    }
}

/// Whether the step stands right behind `drain`.
pub(super) fn follow_drain(plan: &Plan) -> bool {
    plan.steps.windows(2).any(|pair| matches!((&pair[0].step, &pair[1].step), (Step::Drain(_), Step::Sequences(_))))
}

/// What is sent, before the values are known.
pub(super) fn planned(plan: &Plan) -> String {
    let names = plan.choices.sequences.iter();
    let values: Vec<SequenceValue> = names
        .map(|(schema, name)| SequenceValue { schema: schema.clone(), name: name.clone(), value: 0, called: true })
        .collect();
    statements("RUN", 1, &values)
}

pub(super) async fn carry(cx: &Context, state: &RunState, of: &Move) -> Outcome {
    let arriving = cx.pair()?.arriving(of.way);
    let barrier: Barrier =
        remembered(state, "freeze", "barrier").ok_or_else(|| StepError::broken("no sequences were read"))?;
    if remembered::<String>(state, "drain", CARRIED).is_some_and(|token| token == barrier.token) {
        return Ok(json!({ "sequences": barrier.sequences.len() }));
    }
    let session = cx.rig.postgres(arriving).await?;
    let sql = statements(&cx.run, cx.epoch, &barrier.sequences);
    if let Err(error) = session.batch("set the sequences", &sql).await {
        drop(session.batch("leave the transaction", "ROLLBACK").await);
        return Err(error.into());
    }
    Ok(json!({ "sequences": barrier.sequences.len() }))
}

/// Flushed before the commit point, and with it all that was applied before: a target that crashes behind that point
/// has its sequences. `promote` can't carry them again, since it may be repeated when they were drawn from already.
pub(super) fn statements(run: &str, epoch: u64, values: &[SequenceValue]) -> String {
    format!(
        "BEGIN;\nSET LOCAL synchronous_commit = local;\n{}\n{}COMMIT;",
        setup::hold_epoch(run, epoch),
        carry_sequences(values)
    )
}
