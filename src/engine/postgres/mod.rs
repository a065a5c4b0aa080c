//! PostgreSQL 15 to 18: two logical streams whose points are set inside the window.

pub(super) mod arm;
pub mod blue_green;
pub(super) mod carried;
pub(super) mod carrier;
pub(super) mod choose;
pub(super) mod drain;
mod finalize;
pub(super) mod freeze;
pub(super) mod lag;
mod long_transactions;
pub(super) mod preflight;
pub(super) mod promote;
mod prove;
mod query;
pub(super) mod replicate;
mod sequences;
pub(super) mod slots;
mod statements;
mod verify;

use async_trait::async_trait;

use super::{Engine, Lag, Lines, Oldest, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::gates::GateContext;
use crate::journal::Move;
use crate::plan::{Choices, Plan};
use crate::preflight::Finding;
use crate::runbook::model::{Promote, Replicate, ReplicationLag, Sql, SqlGate, Verify};
use crate::steps::{Description, Observation, new_token};
use crate::systems;
use crate::systems::comparison::Comparison;
use crate::systems::pair::{Flow, Heading};
use crate::systems::postgres::{Session, setup, stream};
use replicate::Replication;

/// The engine of PostgreSQL.
pub struct Postgres;

#[async_trait]
impl Engine for Postgres {
    fn version(&self, version: i32) -> String {
        format!("PostgreSQL {}", version / 10_000)
    }

    async fn choose(&self, plan: &Plan, replicate: &Replicate) -> systems::Result<Choices> {
        choose::choose(plan, replicate).await
    }

    async fn preflight(&self, plan: &Plan, accept: &[String]) -> systems::Result<Vec<Finding>> {
        preflight::findings(plan, accept).await
    }

    fn describe_replicate(&self, plan: &Plan, step: &Replicate) -> Description {
        Replication(step).describe(plan)
    }

    async fn replicate(&self, cx: &Context, state: &RunState, of: &Move, step: &Replicate) -> Outcome {
        Replication(step).apply(cx, state, of).await
    }

    async fn undo_replicate(&self, cx: &Context, state: &RunState, step: &Replicate) -> Outcome {
        Replication(step).undo(cx, state).await
    }

    fn describe_arm(&self, plan: &Plan, way: Heading) -> Lines {
        arm::describe(plan, way)
    }

    async fn look_before(&self, cx: &Context, way: Heading) -> Outcome<()> {
        arm::look_before(cx, way).await
    }

    async fn arm(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
        arm::arm(cx, state, of).await
    }

    fn describe_stop(&self, plan: &Plan, way: Heading, limit_ms: u64) -> (Lines, Lines) {
        freeze::describe(plan, way, limit_ms)
    }

    async fn stop_writes(&self, cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
        freeze::stop_writes(cx, state, of, limit_ms).await
    }

    async fn thaw(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
        freeze::thaw(cx, state, of).await
    }

    fn describe_drain(&self, plan: &Plan, way: Heading) -> Lines {
        drain::describe(plan, way)
    }

    async fn drain(&self, cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
        drain::drain(cx, state, of, limit_ms).await
    }

    fn describe_carry(&self, plan: &Plan, way: Heading) -> Description {
        sequences::describe(plan, way)
    }

    async fn carry(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome {
        sequences::carry(cx, state, of).await
    }

    fn describe_promote(&self, plan: &Plan, way: Heading, step: &Promote) -> Lines {
        promote::describe(plan, way, step)
    }

    async fn promote(&self, cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome {
        promote::promote(cx, state, of, step).await
    }

    async fn canary(&self, cx: &Context, endpoint: &str, url: &str, arriving: &str) -> Outcome<()> {
        prove::canary(cx, endpoint, url, arriving).await
    }

    async fn sessions_left(&self, cx: &Context, leaving: &str) -> Outcome<Option<String>> {
        prove::sessions_left(cx, leaving).await
    }

    fn describe_finalize(&self, plan: &Plan) -> Lines {
        finalize::describe(plan)
    }

    async fn finalize(&self, cx: &Context, _state: &RunState) -> Outcome<()> {
        finalize::finalize(cx).await
    }

    async fn verify(&self, cx: &Context, of: &Move, writer: Heading, step: &Verify) -> Outcome<Comparison> {
        verify::verify(cx, of, writer, step).await
    }

    async fn compare_now(&self, plan: &Plan) -> systems::Result<Comparison> {
        verify::compare_now(plan).await
    }

    async fn beat(&self, cx: &Context, heading: Heading) -> Outcome<()> {
        let session = cx.rig.postgres(cx.pair()?.leaving(heading)).await?;
        let held = setup::hold_epoch(&cx.run, cx.epoch);
        let sql = format!("{held}{}", stream::write_token(heading, &cx.run, &new_token()));
        session.batch("write a token", &sql).await?;
        Ok(())
    }

    async fn lag(&self, gate: &ReplicationLag, flow: Flow<'_>, context: &GateContext<'_>) -> systems::Result<Lag> {
        lag::measure(gate, flow, context).await
    }

    fn describe_lag(&self, gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
        lag::describe(gate, flow)
    }

    async fn oldest_transaction(&self, system: &str, context: &GateContext<'_>) -> systems::Result<Oldest> {
        let oldest = async |session: &Session| long_transactions::oldest(session).await;
        context.sessions.postgres.ask(context.world, system, oldest).await
    }

    fn describe_oldest_transaction(&self) -> &'static str {
        long_transactions::OLDEST
    }

    async fn ask(&self, gate: &SqlGate, context: &GateContext<'_>) -> systems::Result<Option<Option<String>>> {
        let first = async |session: &Session| query::first(session, &gate.query).await;
        context.sessions.postgres.ask(context.world, &gate.system, first).await
    }

    fn describe_ask(&self, gate: &SqlGate) -> Vec<String> {
        query::describe(gate)
    }

    async fn observe_statements(&self, cx: &Context, step: &Sql) -> Outcome<Observation> {
        statements::observe(cx, step).await
    }

    async fn run_statements(&self, cx: &Context, step: &Sql, statements: &[String]) -> Outcome {
        statements::run(cx, step, statements).await
    }
}
