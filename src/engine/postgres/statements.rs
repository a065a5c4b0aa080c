//! The author's statements.

use serde_json::json;

use crate::engine::Outcome;
use crate::executor::context::Context;
use crate::runbook::model::Sql;
use crate::steps::Observation;
use crate::systems::postgres::setup;

pub(super) async fn observe(cx: &Context, step: &Sql) -> Outcome<Observation> {
    let Some(query) = &step.observe else { return Ok(Observation::NotApplied) };
    let session = cx.rig.postgres(&step.system).await?;
    let results = session.batch("observe whether it is done", &format!("BEGIN READ ONLY; {query}; ROLLBACK")).await?;
    let first = results.first().and_then(|rows| rows.first()?.first()?.clone());
    let done = matches!(first.as_deref(), Some("t" | "true"));
    Ok(if done { Observation::Applied(json!({})) } else { Observation::NotApplied })
}

/// Each statement in a transaction of its own, together with the check of the epoch where our schema exists.
pub(super) async fn run(cx: &Context, step: &Sql, statements: &[String]) -> Outcome {
    let session = cx.rig.postgres(&step.system).await?;
    let ours: bool = session
        .value("look for our schema", "SELECT to_regprocedure('pointsman.hold_epoch(text, bigint)') IS NOT NULL", &[])
        .await?;
    let held = if ours { setup::hold_epoch(&cx.run, cx.epoch) } else { String::new() };
    for sql in statements {
        cx.still_mine()?;
        let limit = format!("SET LOCAL statement_timeout = {};", step.timeout.0.as_millis());
        let batch = format!("BEGIN; {limit} {held} {sql}; COMMIT");
        if let Err(error) = session.batch(&format!("run `{sql}`"), &batch).await {
            drop(session.batch("leave the transaction", "ROLLBACK").await);
            return Err(error.into());
        }
    }
    Ok(json!({ "statements": statements.len() }))
}
