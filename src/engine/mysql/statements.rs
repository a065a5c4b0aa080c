//! The author's statements and queries.

use std::time::Duration;

use serde_json::json;

use crate::engine::Outcome;
use crate::executor::context::Context;
use crate::runbook::model::{Sql, SqlGate};
use crate::steps::{Observation, StepError};
use crate::systems::mysql::session::use_schema;
use crate::systems::mysql::{Session, literal, setup};
use crate::systems::{Certainty, DriverError, Result};

/// What a query may begin with. What it calls still can't write: its transaction is read-only.
const READS: [&str; 6] = ["select", "with", "show", "table", "values", "("];

/// One statement in a transaction that can't write. The server refuses to prepare more than one: none can slip out.
fn only_reading(query: &str) -> String {
    format!(
        "START TRANSACTION READ ONLY;\nPREPARE pointsman FROM {};\nEXECUTE pointsman;\nROLLBACK;\nDEALLOCATE PREPARE pointsman;\n",
        literal(query)
    )
}

pub(super) fn describe_ask(gate: &SqlGate) -> Vec<String> {
    ["START TRANSACTION READ ONLY", gate.query.as_str(), "ROLLBACK"]
        .map(|sql| format!("{}: {sql}", gate.system))
        .to_vec()
}

/// The value as text; the outer level says whether there was a row.
pub(super) async fn first(session: &Session, schema: Option<&str>, query: &str) -> Result<Option<Option<String>>> {
    let what = "run the query of the gate";
    let begins = query.trim_start().to_ascii_lowercase();
    if !READS.iter().any(|word| begins.starts_with(word)) {
        let reason = "only a query is allowed here: SELECT, WITH, SHOW, TABLE or VALUES";
        return Err(DriverError::new(session.system(), what, reason, Certainty::NotSent));
    }
    let results = session.batch(what, &format!("{}{}", use_schema(schema), only_reading(query))).await;
    if results.is_err() {
        drop(session.batch("leave the transaction", "ROLLBACK").await);
    }
    let rows = results?.into_iter().next().unwrap_or_default();
    Ok(rows.into_iter().next().map(|row| row.into_iter().next().flatten()))
}

pub(super) async fn observe(cx: &Context, step: &Sql) -> Outcome<Observation> {
    let Some(query) = &step.observe else { return Ok(Observation::NotApplied) };
    let session = cx.rig.mysql(&step.system).await?;
    let schema = cx.world.mysql(&step.system)?.target()?.schema;
    let value = first(&session, schema.as_deref(), query).await?;
    let done = matches!(value.flatten().as_deref(), Some("1" | "t" | "true" | "TRUE"));
    Ok(if done { Observation::Applied(json!({})) } else { Observation::NotApplied })
}

/// Each statement on its own, behind the check of the epoch where our schema exists.
pub(super) async fn run(cx: &Context, step: &Sql, statements: &[String]) -> Outcome {
    let (session, spare) = (cx.rig.mysql(&step.system).await?, cx.rig.mysql_spare(&step.system).await?);
    let ours = setup::owner(&session).await?.as_ref() == Some(&cx.run);
    let schema = cx.world.mysql(&step.system)?.target()?.schema;
    for sql in statements {
        cx.still_mine()?;
        let text = sql.trim_end().trim_end_matches(';');
        let text = format!("{}{text};\n", use_schema(schema.as_deref()));
        let batch = if ours { setup::held(&cx.run, cx.epoch, &text) } else { text };
        let limit = Duration::max(step.timeout.0, Duration::from_millis(1));
        let done = session.batch_within(&format!("run `{sql}`"), &batch, limit, &spare).await;
        if let Err(error) = done {
            if ours {
                setup::let_go(&session).await;
            }
            return Err(StepError::from(error));
        }
    }
    Ok(json!({ "statements": statements.len() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_prepared_in_a_transaction_that_cannot_write() {
        let sql = only_reading("SELECT 'it''s'");
        assert!(sql.starts_with("START TRANSACTION READ ONLY;\nPREPARE pointsman FROM 'SELECT ''it''''s'''"), "{sql}");
    }
}
