//! The binary log of an RDS target is kept for as long as the way back needs it, and afterwards as before.

use serde_json::json;

use super::common;
use crate::engine::{Lines, Outcome};
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, Move};
use crate::plan::Plan;
use crate::runbook::model::Replicate;
use crate::systems::mysql::{Session, retention};

/// The key of the note that says what was set before.
const BEFORE: &str = "retention";

/// What [`lengthen`] sends, and what takes it back.
pub(super) fn describe(plan: &Plan, step: &Replicate) -> (Lines, Lines) {
    if !common::side(plan, &step.to).rds {
        return (Vec::new(), Vec::new());
    }
    let longer = format!("{};\n", retention::statement(Some(retention::hours(step.timeout))));
    (vec![(step.to.clone(), longer)], restored(plan))
}

/// What [`restore`] sends.
pub(super) fn restored(plan: &Plan) -> Lines {
    let Some(target) = plan.pair.as_ref().map(|pair| &pair.target).filter(|target| common::side(plan, target).rds)
    else {
        return Vec::new();
    };
    vec![(target.clone(), "-- CALL mysql.rds_set_configuration('binlog retention hours', as it was)\n".to_owned())]
}

/// What is set already is never shortened.
pub(super) async fn lengthen(
    cx: &Context,
    state: &RunState,
    of: &Move,
    step: &Replicate,
    target: &Session,
) -> Outcome<()> {
    if !common::side(&cx.plan, &step.to).rds || remembered::<Option<i64>>(state, "replicate", BEFORE).is_some() {
        return Ok(());
    }
    let before = retention::read(target).await?;
    let wanted = retention::hours(step.timeout);
    if before.is_some_and(|hours| hours >= wanted) {
        return Ok(());
    }
    cx.note(of, json!({ BEFORE: before }), Durability::Synced)?;
    let sql = retention::statement(Some(wanted));
    let kept = target.batch("keep its binary log for the way back", &sql).await;
    kept.map_err(|error| error.with_hint(format!("have its master user run {sql}; then `pointsman retry`")))?;
    Ok(())
}

/// As it was before [`lengthen`]; repeatable.
pub(super) async fn restore(state: &RunState, target: &Session) -> Outcome<()> {
    if let Some(before) = remembered::<Option<i64>>(state, "replicate", BEFORE) {
        target.batch("keep its binary log as before", &retention::statement(before)).await?;
    }
    Ok(())
}
