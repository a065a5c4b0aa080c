//! PostgreSQL 15 to 18, where the target is a physical replica of the source (a streaming standby, a read replica of RDS)
//! that the window promotes.
//!
//! Such a replica has everything of the source: rows, sequences, roles, our schema, the publications, and the fence.
//! Nothing is copied, and after the promotion it is still fenced, until `promote` lifts the fence. The way back is the
//! usual logical stream. It can only be built when the replica takes writes, so that is done inside the window, behind
//! the commit point, while both sides are fenced: a slot on the one, a subscription to it on the other.
//!
//! What happens on the side that is left is the same as between two servers, and so is all of the way back: that is
//! asked of [`Postgres`]. The publication `pointsman_forward` is empty here, and only there for the statements in which
//! its points are set.

mod arm;
mod choose;
mod describe;
mod drain;
pub(super) mod finalize;
mod lag;
pub(super) mod old_blue;
mod physical;
mod preflight;
pub(super) mod promote;
mod replicate;
mod verify;

use async_trait::async_trait;
use serde_json::json;

use super::postgres::Postgres;
use super::promotion::Promotion;
use super::{Engine, Lag, Lines, Oldest, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::gates::GateContext;
use crate::journal::Move;
use crate::plan::{Choices, Plan};
use crate::preflight::Finding;
use crate::runbook::model::{Promote, Replicate, ReplicationLag, Sql, SqlGate, Verify};
use crate::steps::{Description, Observation};
use crate::systems;
use crate::systems::aws::Permission;
use crate::systems::comparison::Comparison;
use crate::systems::pair::{Flow, Heading};

/// The engine of a physical replica.
pub struct Replica;

#[async_trait]
impl Engine for Replica {
    fn version(&self, version: i32) -> String {
        Postgres.version(version)
    }

    async fn choose(&self, plan: &Plan, replicate: &Replicate) -> systems::Result<Choices> {
        choose::choose(plan, replicate).await
    }

    async fn preflight(&self, plan: &Plan, accept: &[String]) -> systems::Result<Vec<Finding>> {
        preflight::findings(plan, accept).await
    }

    fn describe_replicate(&self, plan: &Plan, step: &Replicate) -> Description {
        describe::replicate(plan, step)
    }

    async fn replicate(&self, cx: &Context, _state: &RunState, of: &Move, step: &Replicate) -> Outcome {
        replicate::apply(cx, of, step).await
    }

    async fn undo_replicate(&self, cx: &Context, _state: &RunState, step: &Replicate) -> Outcome {
        replicate::undo(cx, step).await
    }

    fn describe_arm(&self, plan: &Plan, way: Heading) -> Lines {
        describe::arm(plan, way)
    }

    async fn look_before(&self, cx: &Context, way: Heading) -> Outcome<()> {
        arm::look_before(cx, way).await
    }

    async fn arm(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
        match of.way {
            Heading::Forth => arm::arm(cx, of).await,
            Heading::Back => Postgres.arm(cx, state, of).await,
        }
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
        match way {
            Heading::Forth => describe::drain(plan),
            Heading::Back => Postgres.describe_drain(plan, way),
        }
    }

    async fn drain(&self, cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
        match of.way {
            Heading::Forth => drain::drain(cx, state, limit_ms).await,
            Heading::Back => Postgres.drain(cx, state, of, limit_ms).await,
        }
    }

    fn describe_carry(&self, plan: &Plan, way: Heading) -> Description {
        match way {
            Heading::Forth => Description::new("Nothing to do: the replica has the sequences, as it has everything"),
            Heading::Back => Postgres.describe_carry(plan, way),
        }
    }

    async fn carry(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome {
        match of.way {
            Heading::Forth => Ok(json!({})),
            Heading::Back => Postgres.carry(cx, state, of).await,
        }
    }

    fn waits(&self, plan: &Plan, way: Heading) -> Option<String> {
        (way == Heading::Forth).then(|| describe::waits(plan))
    }

    fn permissions(&self, plan: &Plan) -> Vec<Permission> {
        Promotion::of(plan).permissions(plan)
    }

    fn describe_promote(&self, plan: &Plan, way: Heading, step: &Promote) -> Lines {
        match way {
            Heading::Forth => describe::promote(plan, step),
            Heading::Back => Postgres.describe_promote(plan, way, step),
        }
    }

    async fn promote(&self, cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome {
        if of.way == Heading::Forth {
            promote::make_primary(cx, state, of, step).await?;
        }
        Postgres.promote(cx, state, of, step).await
    }

    async fn canary(&self, cx: &Context, endpoint: &str, url: &str, arriving: &str) -> Outcome<()> {
        Postgres.canary(cx, endpoint, url, arriving).await
    }

    async fn sessions_left(&self, cx: &Context, leaving: &str) -> Outcome<Option<String>> {
        Postgres.sessions_left(cx, leaving).await
    }

    async fn settle(&self, cx: &Context, way: Heading) -> Outcome<Option<String>> {
        let laid_now = way == Heading::Forth && cx.plan.keeps_way_back();
        match Promotion::of(&cx.plan) {
            Promotion::BlueGreen(_) if laid_now => old_blue::lay_way_back(cx).await.map(Some),
            _ => Ok(None),
        }
    }

    fn describe_finalize(&self, plan: &Plan) -> Lines {
        finalize::describe(plan)
    }

    async fn finalize(&self, cx: &Context, _state: &RunState) -> Outcome<()> {
        finalize::finalize(cx).await
    }

    async fn verify(&self, cx: &Context, of: &Move, writer: Heading, step: &Verify) -> Outcome<Comparison> {
        // Whoever let the run go on without a proof (a person, or `resume` behind the guard) has not laid it.
        if writer == Heading::Back && matches!(Promotion::of(&cx.plan), Promotion::BlueGreen(_)) {
            old_blue::lay_way_back(cx).await?;
        }
        Postgres.verify(cx, of, writer, step).await
    }

    async fn compare_now(&self, plan: &Plan) -> systems::Result<Comparison> {
        verify::compare_now(plan).await
    }

    async fn beat(&self, cx: &Context, heading: Heading) -> Outcome<()> {
        Postgres.beat(cx, heading).await
    }

    async fn lag(&self, gate: &ReplicationLag, flow: Flow<'_>, context: &GateContext<'_>) -> systems::Result<Lag> {
        match flow.heading {
            Heading::Forth => lag::measure(gate, flow, context).await,
            Heading::Back => Postgres.lag(gate, flow, context).await,
        }
    }

    fn describe_lag(&self, gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
        match flow.heading {
            Heading::Forth => lag::describe(gate, flow),
            Heading::Back => Postgres.describe_lag(gate, flow),
        }
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
