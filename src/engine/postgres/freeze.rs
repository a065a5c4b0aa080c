//! Fences the side that is left and writes the barrier, in one round trip; and takes that back.

use serde_json::json;

use crate::engine::{Lines, Outcome};
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::System;
use crate::steps::{StepError, new_token};
use crate::systems::pair::Heading;
use crate::systems::postgres::barrier::BarrierPlan;
use crate::systems::postgres::fence::{Fencing, Open};
use crate::systems::postgres::{setup, stream};

pub(super) fn describe(plan: &Plan, way: Heading, limit_ms: u64) -> (Lines, Lines) {
    let Some(pair) = &plan.pair else { return (Vec::new(), Vec::new()) };
    let leaving = pair.leaving(way);
    let open = planned_open(plan, leaving);
    let fencing = planned_fencing(plan, leaving, &open);
    let sequences = plan.choices.sequences.as_slice();
    let undo = thaw_sql("RUN", 1, way, &fencing);
    let barrier = BarrierPlan { run: "RUN", epoch: 1, way, fencing, sequences, token: "TOKEN", limit_ms };
    (vec![(leaving.to_owned(), barrier.sql())], vec![(leaving.to_owned(), undo)])
}

/// The token and the positions that the later steps need are taken in the same round trip as the fence.
pub(super) async fn stop_writes(cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
    let leaving = cx.pair()?.leaving(of.way);
    let open = known_open(cx, state, leaving)?;
    let sequences: Vec<(String, String)> =
        remembered(state, "window", "sequences").ok_or_else(|| StepError::broken("the window was not armed"))?;
    let session = cx.rig.postgres(leaving).await?;
    let token = new_token();
    let fencing = fencing(cx, leaving, &open)?;
    let (run, epoch, way) = (cx.run.as_str(), cx.epoch, of.way);
    let plan = BarrierPlan { run, epoch, way, fencing, sequences: &sequences, token: &token, limit_ms };
    Ok(json!(plan.run(&session).await?))
}

/// The stream is switched on again and the fence lifted in one transaction.
pub(super) async fn thaw(cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
    let leaving = cx.pair()?.leaving(of.way);
    let open = known_open(cx, state, leaving)?;
    let session = cx.rig.postgres(leaving).await?;
    let sql = thaw_sql(&cx.run, cx.epoch, of.way, &fencing(cx, leaving, &open)?);
    if let Err(error) = session.batch("lift the fence", &sql).await {
        drop(session.batch("leave the transaction", "ROLLBACK").await);
        return Err(error.into());
    }
    Ok(())
}

/// The fence of one side of the pair.
pub(in crate::engine) fn fencing<'a>(cx: &'a Context, side: &str, open: &'a Open) -> Outcome<Fencing<'a>> {
    let choices = cx.choices(side)?;
    let exempt = match cx.plan.systems.get(side) {
        Some(System::Postgres(spec)) => spec.exempt_roles.as_slice(),
        _ => &[],
    };
    Ok(Fencing { mode: choices.fence, open, exempt, superuser: choices.superuser })
}

/// The statements of the thaw: one transaction, so that no write can slip between the stream and the fence.
fn thaw_sql(run: &str, epoch: u64, way: Heading, fencing: &Fencing<'_>) -> String {
    format!("BEGIN;\n{}\n{}{}COMMIT;", setup::hold_epoch(run, epoch), stream::set_points(way, true), fencing.lift())
}

/// What a side was like before it was fenced: from the arming of the window for the side that takes writes, from
/// `replicate` for the target before the first cutover.
pub(in crate::engine) fn known_open(cx: &Context, state: &RunState, side: &str) -> Result<Open, StepError> {
    let key = format!("open_{side}");
    remembered(state, "window", &key).or_else(|| remembered(state, "replicate", &key)).ok_or_else(|| {
        let message = format!("the journal does not say what {side} was like before it was fenced (run {})", cx.run);
        StepError::told(FailureKind::Refused, message, Some("look at its connection limit and roles by hand"))
    })
}

/// For the plan, before the database was read: the limits that most databases have.
pub(in crate::engine) fn planned_open(plan: &Plan, side: &str) -> Open {
    let source = plan.pair.as_ref().is_some_and(|pair| pair.source == side);
    let choices = if source { &plan.choices.source } else { &plan.choices.target };
    let roles = vec!["ROLE".to_owned()];
    Open { database: choices.database.clone(), connection_limit: -1, read_only: None, owned: true, roles }
}

/// For the plan: the fence of one side.
pub(in crate::engine) fn planned_fencing<'a>(plan: &Plan, side: &str, open: &'a Open) -> Fencing<'a> {
    let source = plan.pair.as_ref().is_some_and(|pair| pair.source == side);
    let choices = if source { &plan.choices.source } else { &plan.choices.target };
    Fencing { mode: choices.fence, open, exempt: &[], superuser: choices.superuser }
}
