//! Sequences, carried over from their own values, all of them, owned or not.

use serde_json::json;

use crate::engine::Outcome;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::steps::{Description, StepError};
use crate::systems::pair::Heading;
use crate::systems::postgres::barrier::{Barrier, SequenceValue, carry_sequences};
use crate::systems::postgres::setup;

pub(super) fn describe(plan: &Plan, way: Heading) -> Description {
    let Some(pair) = &plan.pair else { return Description::default() };
    let arriving = pair.arriving(way);
    let names = plan.choices.sequences.iter();
    let values: Vec<SequenceValue> = names
        .map(|(schema, name)| SequenceValue { schema: schema.clone(), name: name.clone(), value: 0, called: true })
        .collect();
    Description {
        summary: format!(
            "Carry {} sequences over to {arriving} (0 stands for the value read at the freeze)",
            values.len()
        ),
        apply: vec![(arriving.to_owned(), sequences_sql("RUN", 1, &values))],
        undo: Vec::new(),
        clients: None,
    }
}

pub(super) async fn carry(cx: &Context, state: &RunState, of: &Move) -> Outcome {
    let arriving = cx.pair()?.arriving(of.way);
    let barrier: Barrier =
        remembered(state, "freeze", "barrier").ok_or_else(|| StepError::broken("no sequences were read"))?;
    let session = cx.rig.postgres(arriving).await?;
    let sql = sequences_sql(&cx.run, cx.epoch, &barrier.sequences);
    if let Err(error) = session.batch("set the sequences", &sql).await {
        drop(session.batch("leave the transaction", "ROLLBACK").await);
        return Err(error.into());
    }
    Ok(json!({ "sequences": barrier.sequences.len() }))
}

/// Flushed before the commit point, and with it all that was applied before: a target that crashes behind that point
/// has its sequences. `promote` can't carry them again, since it may be repeated when they were drawn from already.
fn sequences_sql(run: &str, epoch: u64, values: &[SequenceValue]) -> String {
    format!(
        "BEGIN;\nSET LOCAL synchronous_commit = local;\n{}\n{}COMMIT;",
        setup::hold_epoch(run, epoch),
        carry_sequences(values)
    )
}
