//! MySQL 8.0 to 9.x and MariaDB 10.6 to 11.x: two streams that are both live from `replicate` on, so that the window
//! neither starts nor stops any replication. What keeps rows from going round in a circle is that each transaction
//! keeps the id of the server that it was made on, and that only one side is ever open for writes.

mod arm;
mod back;
mod choose;
mod common;
mod complete;
pub mod dms;
mod drain;
mod finalize;
mod freeze;
mod lag;
mod long_transactions;
mod means;
mod near;
mod preflight;
mod promote;
mod prove;
pub mod replica;
mod replicate;
mod retention;
mod sequences;
mod statements;
mod verify;

use std::time::Duration;

use async_trait::async_trait;

use super::{Engine, Lag, Lines, Oldest, Outcome};
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::gates::GateContext;
use crate::journal::Move;
use crate::plan::{Choices, Plan};
use crate::preflight::Finding;
use crate::runbook::model::{Promote, Replicate, ReplicationLag, Sql, SqlGate, Verify};
use crate::steps::{Description, Observation, new_token};
use crate::systems;
use crate::systems::comparison::Comparison;
use crate::systems::mysql::{Flavour, Session, Version, setup};
use crate::systems::pair::{Flow, Heading};
use replicate::Replication;

/// The engine of both flavours.
pub struct Mysql(pub Flavour);

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

    async fn arm(&self, cx: &Context, _state: &RunState, of: &Move) -> Outcome<()> {
        arm::arm(cx, of).await
    }

    async fn await_near(&self, cx: &Context, way: Heading, budget: Duration) -> Outcome<()> {
        arm::await_near(cx, way, budget).await
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

    async fn complete(&self, cx: &Context, way: Heading) -> Outcome<()> {
        complete::complete(cx, way).await
    }

    fn describe_finalize(&self, plan: &Plan) -> Lines {
        finalize::describe(plan)
    }

    async fn finalize(&self, cx: &Context, state: &RunState) -> Outcome<()> {
        finalize::finalize(cx, state).await
    }

    fn left_shut(&self, plan: &Plan, state: &RunState) -> Option<String> {
        let source = &plan.pair.as_ref()?.source;
        finalize::left_shut(source, &remembered(state, "window", &format!("open_{source}"))?)
    }

    async fn verify(&self, cx: &Context, of: &Move, writer: Heading, step: &Verify) -> Outcome<Comparison> {
        verify::verify(cx, of, writer, step).await
    }

    async fn compare_now(&self, plan: &Plan) -> systems::Result<Comparison> {
        verify::compare_now(plan).await
    }

    async fn beat(&self, cx: &Context, heading: Heading) -> Outcome<()> {
        let session = cx.rig.mysql(cx.pair()?.leaving(heading)).await?;
        let written = setup::write_token(heading, &cx.run, &new_token());
        setup::send_held(&session, "write a token", (&cx.run, cx.epoch), &written).await?;
        Ok(())
    }

    async fn lag(&self, gate: &ReplicationLag, flow: Flow<'_>, context: &GateContext<'_>) -> systems::Result<Lag> {
        lag::measure(self.0, gate, flow, context).await
    }

    fn describe_lag(&self, gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
        lag::describe(self.0, gate, flow)
    }

    async fn oldest_transaction(&self, system: &str, context: &GateContext<'_>) -> systems::Result<Oldest> {
        let oldest = async |session: &Session| long_transactions::oldest(session).await;
        context.sessions.mysql.ask(context.world, system, oldest).await
    }

    fn describe_oldest_transaction(&self) -> &'static str {
        long_transactions::OLDEST
    }

    async fn ask(&self, gate: &SqlGate, context: &GateContext<'_>) -> systems::Result<Option<Option<String>>> {
        let schema = context.world.mysql(&gate.system)?.target()?.schema;
        let first = async |session: &Session| statements::first(session, schema.as_deref(), &gate.query).await;
        context.sessions.mysql.ask(context.world, &gate.system, first).await
    }

    fn describe_ask(&self, gate: &SqlGate) -> Vec<String> {
        statements::describe_ask(gate)
    }

    async fn observe_statements(&self, cx: &Context, step: &Sql) -> Outcome<Observation> {
        statements::observe(cx, step).await
    }

    async fn run_statements(&self, cx: &Context, step: &Sql, statements: &[String]) -> Outcome {
        statements::run(cx, step, statements).await
    }
}
