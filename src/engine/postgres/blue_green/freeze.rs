//! Fences the blue side and writes the barrier; and takes that back. Everything there is about roles and the database, which
//! are shared objects: RDS finds no change of the schema.

use serde_json::json;

use crate::engine::postgres::freeze::{fencing, known_open, planned_fencing, planned_open};
use crate::engine::{Lines, Outcome};
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::steps::{StepError, new_token};
use crate::systems::pair::Heading;
use crate::systems::postgres::barrier::BarrierPlan;
use crate::systems::postgres::fence::Fencing;
use crate::systems::postgres::hold::Hold;

pub(super) fn describe(plan: &Plan, limit_ms: u64) -> (Lines, Lines) {
    let Some(pair) = &plan.pair else { return (Vec::new(), Vec::new()) };
    let open = planned_open(plan, &pair.source);
    let fencing = planned_fencing(plan, &pair.source, &open);
    let (sequences, way) = (plan.choices.sequences.as_slice(), Heading::Forth);
    let undo = thaw_sql("RUN", 1, &fencing);
    let barrier = BarrierPlan { run: "RUN", epoch: 1, way, fencing, sequences, token: "TOKEN", points: "", limit_ms };
    (vec![(pair.source.clone(), barrier.sql_by(Hold::Setting))], vec![(pair.source.clone(), undo)])
}

pub(super) async fn stop_writes(cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
    let source = &cx.pair()?.source;
    let open = known_open(cx, state, source)?;
    let sequences: Vec<(String, String)> =
        remembered(state, "window", "sequences").ok_or_else(|| StepError::broken("the window was not armed"))?;
    let session = cx.rig.postgres(source).await?;
    let (token, fencing) = (new_token(), fencing(cx, source, &open)?);
    let (run, epoch, way) = (cx.run.as_str(), cx.epoch, of.way);
    let plan = BarrierPlan { run, epoch, way, fencing, sequences: &sequences, token: &token, points: "", limit_ms };
    Ok(json!(plan.run_by(&session, Hold::Setting).await?))
}

pub(super) async fn thaw(cx: &Context, state: &RunState) -> Outcome<()> {
    let source = &cx.pair()?.source;
    let open = known_open(cx, state, source)?;
    let session = cx.rig.postgres(source).await?;
    let sql = thaw_sql(&cx.run, cx.epoch, &fencing(cx, source, &open)?);
    if let Err(error) = session.batch("lift the fence", &sql).await {
        drop(session.batch("leave the transaction", "ROLLBACK").await);
        return Err(error.into());
    }
    Ok(())
}

fn thaw_sql(run: &str, epoch: u64, fencing: &Fencing<'_>) -> String {
    format!("BEGIN;\n{}\n{}COMMIT;", Hold::Setting.held(run, epoch), fencing.lift())
}
