//! MySQL 8.0 to 9.x and MariaDB 10.6 to 11.x: two streams that are both live from `replicate` on, so that the window
//! neither starts nor stops any replication. What keeps rows from going round in a circle is that each transaction
//! keeps the id of the server that it was made on, and that only one side is ever open for writes.

mod choose;
mod preflight;
mod verify;

use async_trait::async_trait;

use super::{Engine, Lag, Lines, Oldest, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::gates::GateContext;
use crate::journal::{FailureKind, Move};
use crate::plan::{Choices, Plan};
use crate::preflight::Finding;
use crate::runbook::model::{Promote, Replicate, ReplicationLag, Sql, SqlGate, Verify};
use crate::steps::{Description, Observation, StepError};
use crate::systems;
use crate::systems::comparison::Comparison;
use crate::systems::mysql::{Flavour, Version};
use crate::systems::pair::{Flow, Heading};

/// The engine of both flavours.
pub struct Mysql(pub Flavour);

fn unwritten<T>() -> Outcome<T> {
    Err(StepError::told(FailureKind::Refused, "cutovers of MySQL are not written yet", None))
}

#[async_trait]
impl Engine for Mysql {
    fn version(&self, version: i32) -> String {
        let (major, minor) = Version(version).series();
        format!("{} {major}.{minor}", self.0.name())
    }

    async fn choose(&self, plan: &Plan, replicate: &Replicate) -> systems::Result<Choices> {
        choose::choose(plan, replicate).await
    }

    async fn preflight(&self, plan: &Plan, accept: &[String]) -> systems::Result<Vec<Finding>> {
        preflight::findings(plan, accept).await
    }

    fn describe_replicate(&self, _plan: &Plan, _step: &Replicate) -> Description {
        Description::default()
    }

    async fn replicate(&self, _cx: &Context, _state: &RunState, _of: &Move, _step: &Replicate) -> Outcome {
        unwritten()
    }

    async fn undo_replicate(&self, _cx: &Context, _state: &RunState, _step: &Replicate) -> Outcome {
        unwritten()
    }

    fn describe_arm(&self, _plan: &Plan, _way: Heading) -> Lines {
        Vec::new()
    }

    async fn look_before(&self, _cx: &Context, _way: Heading) -> Outcome<()> {
        unwritten()
    }

    async fn arm(&self, _cx: &Context, _state: &RunState, _of: &Move) -> Outcome<()> {
        unwritten()
    }

    fn describe_stop(&self, _plan: &Plan, _way: Heading, _limit_ms: u64) -> (Lines, Lines) {
        (Vec::new(), Vec::new())
    }

    async fn stop_writes(&self, _cx: &Context, _state: &RunState, _of: &Move, _limit_ms: u64) -> Outcome {
        unwritten()
    }

    async fn thaw(&self, _cx: &Context, _state: &RunState, _of: &Move) -> Outcome<()> {
        unwritten()
    }

    fn describe_drain(&self, _plan: &Plan, _way: Heading) -> Lines {
        Vec::new()
    }

    async fn drain(&self, _cx: &Context, _state: &RunState, _of: &Move, _limit_ms: u64) -> Outcome {
        unwritten()
    }

    fn describe_carry(&self, _plan: &Plan, _way: Heading) -> Description {
        Description::default()
    }

    async fn carry(&self, _cx: &Context, _state: &RunState, _of: &Move) -> Outcome {
        unwritten()
    }

    fn describe_promote(&self, _plan: &Plan, _way: Heading, _step: &Promote) -> Lines {
        Vec::new()
    }

    async fn promote(&self, _cx: &Context, _state: &RunState, _of: &Move, _step: &Promote) -> Outcome {
        unwritten()
    }

    async fn canary(&self, _cx: &Context, _endpoint: &str, _url: &str, _arriving: &str) -> Outcome<()> {
        unwritten()
    }

    async fn sessions_left(&self, _cx: &Context, _leaving: &str) -> Outcome<Option<String>> {
        unwritten()
    }

    fn describe_finalize(&self, _plan: &Plan) -> Lines {
        Vec::new()
    }

    async fn finalize(&self, _cx: &Context) -> Outcome<()> {
        unwritten()
    }

    async fn verify(&self, cx: &Context, of: &Move, writer: Heading, step: &Verify) -> Outcome<Comparison> {
        verify::verify(cx, of, writer, step).await
    }

    async fn compare_now(&self, plan: &Plan) -> systems::Result<Comparison> {
        verify::compare_now(plan).await
    }

    async fn beat(&self, _cx: &Context, _heading: Heading) -> Outcome<()> {
        unwritten()
    }

    async fn lag(&self, _gate: &ReplicationLag, _flow: Flow<'_>, _context: &GateContext<'_>) -> systems::Result<Lag> {
        Ok(Lag::Nothing("not written yet".into()))
    }

    fn describe_lag(&self, _gate: &ReplicationLag, _flow: Flow<'_>) -> Vec<String> {
        Vec::new()
    }

    async fn oldest_transaction(&self, _system: &str, _context: &GateContext<'_>) -> systems::Result<Oldest> {
        Ok(Oldest::Hidden("not written yet".into()))
    }

    fn describe_oldest_transaction(&self) -> &'static str {
        ""
    }

    async fn ask(&self, _gate: &SqlGate, _context: &GateContext<'_>) -> systems::Result<Option<Option<String>>> {
        Ok(None)
    }

    fn describe_ask(&self, _gate: &SqlGate) -> Vec<String> {
        Vec::new()
    }

    async fn observe_statements(&self, _cx: &Context, _step: &Sql) -> Outcome<Observation> {
        unwritten()
    }

    async fn run_statements(&self, _cx: &Context, _step: &Sql, _statements: &[String]) -> Outcome {
        unwritten()
    }
}
