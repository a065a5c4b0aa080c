//! MySQL and MariaDB through DMS: a task of DMS carries the rows forward. The servers' own replication is the way back only,
//! and begins exactly where the target opens.

mod choose;
mod lag;
mod preflight;
mod replicate;
mod schema;
mod window;

use std::time::Duration;

use async_trait::async_trait;

use super::Mysql;
use crate::engine::dms::around::step;
use crate::engine::dms::calls;
use crate::engine::dms::works::Works;
use crate::engine::{Engine, Lag, Lines, Oldest, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::gates::GateContext;
use crate::journal::Move;
use crate::plan::{Choices, Plan};
use crate::preflight::Finding;
use crate::runbook::model::{Promote, Replicate, ReplicationLag, Sql, SqlGate, Verify};
use crate::steps::{Description, Observation};
use crate::systems;
use crate::systems::comparison::Comparison;
use crate::systems::mysql::Flavour;
use crate::systems::pair::{Flow, Heading};

/// The engine of both flavours where DMS carries the rows.
pub struct ThroughDms(pub Flavour);

impl ThroughDms {
    /// What an error of DMS calls it.
    const NAME: &'static str = "DMS";
}

#[async_trait]
impl Engine for ThroughDms {
    fn version(&self, version: i32) -> String {
        Mysql(self.0).version(version)
    }

    async fn choose(&self, plan: &Plan, replicate: &Replicate) -> systems::Result<Choices> {
        choose::choose(plan, replicate).await
    }

    async fn preflight(&self, plan: &Plan, accept: &[String]) -> systems::Result<Vec<Finding>> {
        preflight::findings(plan, self.0, accept).await
    }

    fn describe_replicate(&self, plan: &Plan, step: &Replicate) -> Description {
        replicate::describe(plan, step)
    }

    async fn replicate(&self, cx: &Context, state: &RunState, of: &Move, step: &Replicate) -> Outcome {
        replicate::apply(cx, state, of, step).await
    }

    async fn undo_replicate(&self, cx: &Context, state: &RunState, step: &Replicate) -> Outcome {
        replicate::undo(cx, state, step).await
    }

    fn describe_arm(&self, plan: &Plan, way: Heading) -> Lines {
        window::describe_arm(plan, way)
    }

    async fn look_before(&self, cx: &Context, way: Heading) -> Outcome<()> {
        window::look_before(cx, way).await
    }

    async fn arm(&self, cx: &Context, _state: &RunState, of: &Move) -> Outcome<()> {
        window::arm(cx, of).await
    }

    async fn await_near(&self, cx: &Context, way: Heading, budget: Duration) -> Outcome<()> {
        match way {
            Heading::Forth => Ok(()),
            Heading::Back => Mysql(self.0).await_near(cx, way, budget).await,
        }
    }

    fn describe_stop(&self, plan: &Plan, way: Heading, limit_ms: u64) -> (Lines, Lines) {
        Mysql(self.0).describe_stop(plan, way, limit_ms)
    }

    async fn stop_writes(&self, cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
        Mysql(self.0).stop_writes(cx, state, of, limit_ms).await
    }

    async fn thaw(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
        Mysql(self.0).thaw(cx, state, of).await
    }

    fn describe_drain(&self, plan: &Plan, way: Heading) -> Lines {
        match way {
            Heading::Forth => window::describe_drain(plan),
            Heading::Back => Mysql(self.0).describe_drain(plan, way),
        }
    }

    async fn drain(&self, cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
        match of.way {
            Heading::Forth => window::drain(cx, state, limit_ms).await,
            Heading::Back => Mysql(self.0).drain(cx, state, of, limit_ms).await,
        }
    }

    fn describe_carry(&self, plan: &Plan, way: Heading) -> Description {
        Mysql(self.0).describe_carry(plan, way)
    }

    async fn carry(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome {
        Mysql(self.0).carry(cx, state, of).await
    }

    fn describe_promote(&self, plan: &Plan, way: Heading, step: &Promote) -> Lines {
        window::describe_promote(plan, way, step)
    }

    async fn promote(&self, cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome {
        window::promote(cx, state, of, step).await
    }

    async fn canary(&self, cx: &Context, endpoint: &str, url: &str, arriving: &str) -> Outcome<()> {
        Mysql(self.0).canary(cx, endpoint, url, arriving).await
    }

    async fn sessions_left(&self, cx: &Context, leaving: &str) -> Outcome<Option<String>> {
        Mysql(self.0).sessions_left(cx, leaving).await
    }

    async fn complete(&self, cx: &Context, way: Heading) -> Outcome<()> {
        Mysql(self.0).complete(cx, way).await
    }

    async fn settle(&self, cx: &Context, way: Heading) -> Outcome<Option<String>> {
        window::settle(cx, way).await
    }

    fn describe_finalize(&self, plan: &Plan) -> Lines {
        let mut lines = calls::deletions(plan);
        let native = Mysql(self.0).describe_finalize(plan).into_iter();
        lines.extend(native.filter(|(_, sql)| !sql.contains(Heading::Forth.stream())));
        lines
    }

    async fn finalize(&self, cx: &Context, state: &RunState) -> Outcome<()> {
        let works = Works::of(cx, step(cx)?, "finalize", false).await?;
        works.delete_all().await?;
        Mysql(self.0).finalize(cx, state).await
    }

    async fn verify(&self, cx: &Context, of: &Move, writer: Heading, step: &Verify) -> Outcome<Comparison> {
        window::verify(cx, of, writer, step).await
    }

    async fn compare_now(&self, plan: &Plan) -> systems::Result<Comparison> {
        Mysql(self.0).compare_now(plan).await
    }

    async fn beat(&self, cx: &Context, heading: Heading) -> Outcome<()> {
        Mysql(self.0).beat(cx, heading).await
    }

    async fn lag(&self, gate: &ReplicationLag, flow: Flow<'_>, context: &GateContext<'_>) -> systems::Result<Lag> {
        lag::measure(self.0, gate, flow, context).await
    }

    fn describe_lag(&self, gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
        lag::describe(self.0, gate, flow)
    }

    async fn oldest_transaction(&self, system: &str, context: &GateContext<'_>) -> systems::Result<Oldest> {
        Mysql(self.0).oldest_transaction(system, context).await
    }

    fn describe_oldest_transaction(&self) -> &'static str {
        Mysql(self.0).describe_oldest_transaction()
    }

    async fn ask(&self, gate: &SqlGate, context: &GateContext<'_>) -> systems::Result<Option<Option<String>>> {
        Mysql(self.0).ask(gate, context).await
    }

    fn describe_ask(&self, gate: &SqlGate) -> Vec<String> {
        Mysql(self.0).describe_ask(gate)
    }

    async fn observe_statements(&self, cx: &Context, step: &Sql) -> Outcome<Observation> {
        Mysql(self.0).observe_statements(cx, step).await
    }

    async fn run_statements(&self, cx: &Context, step: &Sql, statements: &[String]) -> Outcome {
        Mysql(self.0).run_statements(cx, step, statements).await
    }
}
