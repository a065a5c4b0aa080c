//! RDS for PostgreSQL, where the target is the green one of a Blue/Green deployment that RDS replicates logically: an instance
//! of another major version ("PostgreSQL replication methods for blue/green deployments" in the user guide), or a cluster of
//! Aurora, whatever its version.
//!
//! RDS's own subscriptions carry the rows forward, and RDS finds each change of the schema on the blue side: then it switches
//! over no more ("RDS for PostgreSQL limitations for blue/green deployments with logical replication"). So nothing of ours is
//! made there before the switchover: the run's epoch is held by a setting of our role ([`hold`]), the barrier is a message in
//! the write-ahead log, and the drain is proved by what the green side has confirmed to RDS's slot, which the blue side shows.
//!
//! The window is the usual one. Behind the commit point RDS switches over. The slot of the way back is made before the new
//! side opens, while both are fenced; the old one is rebooted and subscribed behind the switch. From there on everything is as
//! between any two servers, and is asked of [`Postgres`].
//!
//! [`hold`]: crate::systems::postgres::hold

mod arm;
mod choose;
mod drain;
mod feed;
mod finalize;
mod freeze;
mod kind;
mod lag;
mod preflight;
mod promote;
mod replicate;
mod verify;
mod way_back;

use async_trait::async_trait;
pub use choose::replicated;

use super::Postgres;
use crate::engine::promotion::Promotion;
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
use crate::systems::aws::Permission;
use crate::systems::comparison::Comparison;
use crate::systems::pair::{Flow, Heading};

/// The engine of a Blue/Green deployment of PostgreSQL that RDS replicates logically.
pub struct BlueGreen;

#[async_trait]
impl Engine for BlueGreen {
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
        replicate::describe(plan, step)
    }

    async fn replicate(&self, cx: &Context, state: &RunState, of: &Move, step: &Replicate) -> Outcome {
        replicate::apply(cx, state, of, step).await
    }

    async fn undo_replicate(&self, cx: &Context, state: &RunState, step: &Replicate) -> Outcome {
        replicate::undo(cx, state, step).await
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
        match way {
            Heading::Forth => freeze::describe(plan, limit_ms),
            Heading::Back => Postgres.describe_stop(plan, way, limit_ms),
        }
    }

    async fn stop_writes(&self, cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
        match of.way {
            Heading::Forth => freeze::stop_writes(cx, state, of, limit_ms).await,
            Heading::Back => Postgres.stop_writes(cx, state, of, limit_ms).await,
        }
    }

    async fn thaw(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
        match of.way {
            Heading::Forth => freeze::thaw(cx, state).await,
            Heading::Back => Postgres.thaw(cx, state, of).await,
        }
    }

    fn describe_drain(&self, plan: &Plan, way: Heading) -> Lines {
        match way {
            Heading::Forth => drain::describe(plan),
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
        Postgres.describe_carry(plan, way)
    }

    async fn carry(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome {
        Postgres.carry(cx, state, of).await
    }

    fn waits(&self, plan: &Plan, way: Heading) -> Option<String> {
        (way == Heading::Forth).then(|| promote::waits(plan))
    }

    fn permissions(&self, plan: &Plan) -> Vec<Permission> {
        Promotion::of(plan).permissions(plan)
    }

    fn describe_promote(&self, plan: &Plan, way: Heading, step: &Promote) -> Lines {
        promote::describe(plan, way, step)
    }

    async fn promote(&self, cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome {
        promote::promote(cx, state, of, step).await
    }

    async fn canary(&self, cx: &Context, endpoint: &str, url: &str, arriving: &str) -> Outcome<()> {
        Postgres.canary(cx, endpoint, url, arriving).await
    }

    async fn sessions_left(&self, cx: &Context, leaving: &str) -> Outcome<Option<String>> {
        Postgres.sessions_left(cx, leaving).await
    }

    async fn settle(&self, cx: &Context, way: Heading) -> Outcome<Option<String>> {
        match way {
            Heading::Forth if cx.plan.keeps_way_back() => way_back::lay(cx).await.map(Some),
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
        verify::verify(cx, of, writer, step).await
    }

    async fn compare_now(&self, plan: &Plan) -> systems::Result<Comparison> {
        verify::compare_now(plan).await
    }

    async fn beat(&self, cx: &Context, heading: Heading) -> Outcome<()> {
        match heading {
            Heading::Forth => {
                let blue = cx.rig.postgres(&cx.pair()?.source).await?;
                feed::beat(cx, &blue).await.map(drop)
            }
            Heading::Back => Postgres.beat(cx, heading).await,
        }
    }

    async fn lag(&self, gate: &ReplicationLag, flow: Flow<'_>, context: &GateContext<'_>) -> systems::Result<Lag> {
        match flow.heading {
            Heading::Forth => lag::measure(gate, flow, context).await,
            Heading::Back => Postgres.lag(gate, flow, context).await,
        }
    }

    fn describe_lag(&self, gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
        match flow.heading {
            Heading::Forth => lag::describe(flow),
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
