//! The stream back carries rows from exactly here, and the other side opens for writes; one transaction.

use serde_json::json;

use super::carrier::Carrier;
use super::freeze::{fencing, known_open, planned_fencing, planned_open, points};
use crate::engine::{Lines, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Promote;
use crate::systems::pair::Heading;
use crate::systems::postgres::fence::Fencing;
use crate::systems::postgres::setup;

pub(super) fn describe(plan: &Plan, way: Heading, step: &Promote) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let arriving = pair.arriving(way);
    let open = planned_open(plan, arriving);
    vec![(arriving.to_owned(), sql(plan, step, "RUN", 1, way, &planned_fencing(plan, arriving, &open)))]
}

pub(super) async fn promote(cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome {
    let arriving = cx.pair()?.arriving(of.way);
    let open = known_open(cx, state, arriving)?;
    let session = cx.rig.postgres(arriving).await?;
    let sql = sql(&cx.plan, step, &cx.run, cx.epoch, of.way, &fencing(cx, arriving, &open)?);
    let results = match session.batch("open it for writes", &sql).await {
        Ok(results) => results,
        Err(error) => {
            drop(session.batch("leave the transaction", "ROLLBACK").await);
            return Err(error.into());
        }
    };
    let position = results.last().and_then(|rows| rows.first()?.first()?.clone());
    Ok(json!({ "opened_at_position": position }))
}

/// The points and the fence in one transaction: no write can come before the stream carries it back. Nor before whatever
/// else carried rows here is kept out.
fn sql(plan: &Plan, step: &Promote, run: &str, epoch: u64, way: Heading, fencing: &Fencing<'_>) -> String {
    let mine = setup::hold_epoch(run, epoch);
    let points = if step.keep_way_back { points(plan, way.opposite(), true) } else { String::new() };
    let quiet = Carrier::shut_by(plan, way).map_or_else(String::new, |carrier| {
        format!("BEGIN;\n{mine}\n{}COMMIT;\n{}", carrier.shut_out(), carrier.expel())
    });
    let identities = Carrier::shut_by(plan, way).map_or_else(String::new, |carrier| carrier.identities(true));
    let lift = fencing.lift();
    format!("{quiet}BEGIN;\n{mine}\nSELECT pg_current_wal_insert_lsn();\n{identities}{points}{lift}COMMIT;")
}
