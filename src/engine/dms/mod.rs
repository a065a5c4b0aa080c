//! PostgreSQL through DMS: a task of DMS carries the rows forward, and everything else is as between any two servers of
//! PostgreSQL: the fence, the token, the sequences, the way back by their own replication.

pub(in crate::engine) mod around;
pub(in crate::engine) mod calls;
mod choose;
pub(in crate::engine) mod lag;
pub(in crate::engine) mod load;
pub(crate) mod preflight;
pub(in crate::engine) mod replicate;
pub(in crate::engine) mod words;
pub(in crate::engine) mod works;

use async_trait::async_trait;

use super::postgres::Postgres;
use super::{Engine, Lag, Lines, Oldest, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::gates::GateContext;
use crate::journal::Move;
use crate::plan::{Choices, Plan};
use crate::preflight::Finding;
use crate::runbook::model::{Fence, Promote, Replicate, ReplicationLag, Sql, SqlGate, Verify};
use crate::steps::{Description, Observation};
use crate::systems;
use crate::systems::comparison::Comparison;
use crate::systems::pair::{Flow, Heading};
pub(crate) use lag::running;

/// The engine of PostgreSQL where DMS carries the rows.
pub struct Dms;

#[async_trait]
impl Engine for Dms {
    fn version(&self, version: i32) -> String {
        Postgres.version(version)
    }

    /// DMS must log in while a fence stands: a fence of roles can leave one in, the database's connection limit can't.
    async fn choose(&self, plan: &Plan, replicate: &Replicate) -> systems::Result<Choices> {
        let mut choices = Postgres.choose(plan, replicate).await?;
        (choices.source.fence, choices.target.fence) = (Fence::Roles, Fence::Roles);
        choices.dms = Some(choose::columns(plan, replicate, &choices).await?);
        Ok(choices)
    }

    async fn preflight(&self, plan: &Plan, accept: &[String]) -> systems::Result<Vec<Finding>> {
        preflight::findings(plan, accept).await
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
        let forward = Heading::Forth.token_table();
        let mut lines = Postgres.describe_arm(plan, way);
        // On the way back DMS carries nothing any more, and is asked nothing.
        lines.retain(|(_, sql)| way == Heading::Forth || !sql.contains(forward));
        lines
    }

    async fn look_before(&self, cx: &Context, way: Heading) -> Outcome<()> {
        around::look_before(cx, way).await
    }

    async fn arm(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
        Postgres.arm(cx, state, of).await
    }

    fn describe_stop(&self, plan: &Plan, way: Heading, limit_ms: u64) -> (Lines, Lines) {
        Postgres.describe_stop(plan, way, limit_ms)
    }

    async fn stop_writes(&self, cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
        Postgres.stop_writes(cx, state, of, limit_ms).await
    }

    async fn thaw(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
        Postgres.thaw(cx, state, of).await
    }

    fn describe_drain(&self, plan: &Plan, way: Heading) -> Lines {
        around::describe_drain(plan, way)
    }

    async fn drain(&self, cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
        around::drain(cx, state, of, limit_ms).await
    }

    fn describe_carry(&self, plan: &Plan, way: Heading) -> Description {
        Postgres.describe_carry(plan, way)
    }

    async fn carry(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome {
        Postgres.carry(cx, state, of).await
    }

    fn describe_promote(&self, plan: &Plan, way: Heading, step: &Promote) -> Lines {
        Postgres.describe_promote(plan, way, step)
    }

    async fn promote(&self, cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome {
        Postgres.promote(cx, state, of, step).await
    }

    async fn canary(&self, cx: &Context, endpoint: &str, url: &str, arriving: &str) -> Outcome<()> {
        Postgres.canary(cx, endpoint, url, arriving).await
    }

    async fn sessions_left(&self, cx: &Context, leaving: &str) -> Outcome<Option<String>> {
        Postgres.sessions_left(cx, leaving).await
    }

    async fn settle(&self, cx: &Context, way: Heading) -> Outcome<Option<String>> {
        around::settle(cx, way).await
    }

    fn describe_finalize(&self, plan: &Plan) -> Lines {
        let mut lines = calls::deletions(plan);
        lines
            .extend(Postgres.describe_finalize(plan).into_iter().filter(|(_, sql)| !sql.contains("pointsman_forward")));
        lines
    }

    async fn finalize(&self, cx: &Context, state: &RunState) -> Outcome<()> {
        around::finalize(cx, state).await
    }

    async fn verify(&self, cx: &Context, of: &Move, writer: Heading, step: &Verify) -> Outcome<Comparison> {
        Postgres.verify(cx, of, writer, step).await
    }

    async fn compare_now(&self, plan: &Plan) -> systems::Result<Comparison> {
        Postgres.compare_now(plan).await
    }

    async fn beat(&self, cx: &Context, heading: Heading) -> Outcome<()> {
        Postgres.beat(cx, heading).await
    }

    async fn lag(&self, gate: &ReplicationLag, flow: Flow<'_>, context: &GateContext<'_>) -> systems::Result<Lag> {
        lag::measure(gate, flow, context).await
    }

    fn describe_lag(&self, gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
        lag::describe(gate, flow)
    }

    async fn oldest_transaction(&self, system: &str, context: &GateContext<'_>) -> systems::Result<Oldest> {
        Postgres.oldest_transaction(system, context).await
    }

    fn describe_oldest_transaction(&self) -> &'static str {
        Postgres.describe_oldest_transaction()
    }

    async fn ask(&self, gate: &SqlGate, context: &GateContext<'_>) -> systems::Result<Option<Option<String>>> {
        Postgres.ask(gate, context).await
    }

    fn describe_ask(&self, gate: &SqlGate) -> Vec<String> {
        Postgres.describe_ask(gate)
    }

    async fn observe_statements(&self, cx: &Context, step: &Sql) -> Outcome<Observation> {
        Postgres.observe_statements(cx, step).await
    }

    async fn run_statements(&self, cx: &Context, step: &Sql, statements: &[String]) -> Outcome {
        Postgres.run_statements(cx, step, statements).await
    }
}
