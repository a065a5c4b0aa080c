//! `verify`: both sides hold the same rows, while writes go on.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::freeze::new_token;
use super::{Action, Description, StepError};
use crate::executor::context::Context;
use crate::executor::state::{RunState, Side};
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::Verify;
use crate::runbook::units::Span;
use crate::systems;
use crate::systems::postgres::compare::{self, Barrier, CompareOptions, Comparison, TableStatus};
use crate::systems::postgres::pair::Heading;
use crate::systems::postgres::{setup, stream};

const PATIENCE: Span = Span::secs(6 * 3600);

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
        let pair = cx.pair()?;
        let (source, target) = (cx.world.database(&pair.source)?, cx.world.database(&pair.target)?);
        let heading = if state.writer == Side::Source { Heading::Forth } else { Heading::Back };
        let writer = if heading == Heading::Forth { compare::Side::Source } else { compare::Side::Target };
        let options = CompareOptions {
            mode: self.compare,
            schemas: cx.plan.choices.schemas.clone(),
            except: self.except.clone(),
            statement_timeout: self.timeout.unwrap_or(PATIENCE).0,
            ..CompareOptions::new(writer)
        };
        let listener = |progress: &compare::Progress| {
            let (done, all) = (progress.tables_done, progress.tables);
            cx.progress(&of.step, &format!("{done} of {all} tables, {} rows: {}", progress.rows_done, progress.table));
        };
        let barrier = TokenBarrier { cx, heading, turn: tokio::sync::Mutex::default() };
        let comparing = compare::compare(&source, &target, &options, &barrier, &listener);
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

/// A token through the stream that carries rows: what was committed before it has arrived with it.
struct TokenBarrier<'a> {
    cx: &'a Context,
    heading: Heading,
    /// One token at a time: tables are compared side by side, and a second token would take the place of the first
    /// before it was seen.
    turn: tokio::sync::Mutex<()>,
}

#[async_trait]
impl Barrier for TokenBarrier<'_> {
    async fn pass(&self) -> systems::Result<()> {
        let _turn = self.turn.lock().await;
        let limit = Duration::from_secs(60);
        let Some(pair) = &self.cx.plan.pair else { return Ok(()) };
        let (publisher, subscriber) = (
            self.cx.rig.session(pair.leaving(self.heading)).await?,
            self.cx.rig.session(pair.arriving(self.heading)).await?,
        );
        let token = new_token();
        let held = setup::hold_epoch(&self.cx.run, self.cx.epoch);
        let sql = format!("{held}{}", stream::write_token(self.heading, &self.cx.run, &token));
        publisher.batch("write a token", &sql).await?;
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(60_000);
        let wait = stream::await_token(self.heading, &token, None, limit_ms);
        subscriber.batch("wait for a token", &wait).await.map(drop)
    }
}
