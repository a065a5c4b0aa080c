//! `verify`: both sides hold the same rows, while writes go on.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Action, Description, StepError};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::Verify;
use crate::runbook::units::Span;
use crate::systems::comparison::{Comparison, TableStatus};
use crate::systems::pair::Heading;

/// Every comparison has an end, also when the runbook names none.
pub const PATIENCE: Span = Span::secs(6 * 3600);

#[async_trait]
impl Action for Verify {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        let what = format!("{:?}", self.compare).to_lowercase();
        Description::new(format!(
            "Compare the {what} of {} tables on both sides while writes go on; rows that differ at first are settled \
             behind a token that goes through the stream",
            plan.choices.tables.len()
        ))
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let writer = state.writer.heading();
        let comparing = cx.engine().verify(cx, of, writer, self);
        let limit = self.timeout.unwrap_or(PATIENCE).0;
        let comparison = tokio::time::timeout(limit, comparing).await.map_err(|_| {
            StepError::told(FailureKind::Deadline, "the comparison did not end in time", Some("give `timeout` more"))
        })??;
        cx.checkpoint()?;
        verdict(&comparison)
    }
}

/// Equal, or what is not. Only equal is a pass.
fn verdict(comparison: &Comparison) -> Result<Value, StepError> {
    let rows: u64 = comparison.tables.iter().map(|table| table.rows_source).sum();
    let settled: u64 = comparison.tables.iter().map(|table| table.settled).sum();
    let summary = format!("{} tables, {rows} rows equal ({settled} settled one by one)", comparison.tables.len());
    if comparison.equal() {
        return Ok(json!({ "summary": summary, "comparison": comparison }));
    }
    let wrong: Vec<String> = comparison
        .tables
        .iter()
        .filter(|table| !matches!(table.status, TableStatus::Equal))
        .map(|table| format!("{}.{}: {}", table.schema, table.table, status_words(&table.status)))
        .collect();
    Err(StepError::told(FailureKind::Differs, format!("both sides differ: {}", wrong.join("; ")), None))
}

/// The finding about a table, in words.
pub fn status_words(status: &TableStatus) -> String {
    match status {
        TableStatus::Equal => "equal".into(),
        TableStatus::Different(rows) => format!(
            "{} missing on the target, {} extra, {} changed, such as {}",
            rows.missing_on_target,
            rows.extra_on_target,
            rows.changed,
            rows.sample.join(", ")
        ),
        TableStatus::Undecided { keys, .. } => format!("{keys} rows change too fast to be compared: not verified"),
        TableStatus::Structure(what) | TableStatus::Failed(what) => what.clone(),
    }
}
