//! MySQL and MariaDB, where the target is a replica of the source already (a replica of one's own, a read replica of RDS, the
//! green instance of a Blue/Green deployment) that the window promotes.
//!
//! Such a replica has everything that the source's binary log carries: rows, accounts, our schema. Nothing is copied, and
//! nothing at all is written on it before it is promoted: a transaction of its own would be one that no other server knows.
//! What the run needs there is written on the source. The promotion comes behind the commit point. Then the place where the
//! target is when nothing carries rows there any more is kept on it, and the way back begins exactly there.
//!
//! What happens on the side that is left is the same as between two servers, and so is all of the way back: that is asked
//! of [`Mysql`].

mod choose;
mod describe;
mod old_blue;
mod preflight;
mod promotion;
mod replicate;
mod undo;
mod window;

use std::time::Duration;

use async_trait::async_trait;

use super::{Mysql, complete};
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
use crate::systems::mysql::Flavour;
use crate::systems::pair::{Flow, Heading};

/// The engine of both flavours where the target is a replica.
pub struct Replica(pub Flavour);

#[async_trait]
impl Engine for Replica {
    fn version(&self, version: i32) -> String {
        Mysql(self.0).version(version)
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

    async fn replicate(&self, cx: &Context, state: &RunState, of: &Move, step: &Replicate) -> Outcome {
        replicate::apply(cx, state, of, step).await
    }

    async fn undo_replicate(&self, cx: &Context, state: &RunState, step: &Replicate) -> Outcome {
        undo::undo(cx, state, step).await
    }

    fn describe_arm(&self, plan: &Plan, way: Heading) -> Lines {
        describe::arm(plan, way)
    }

    async fn look_before(&self, cx: &Context, way: Heading) -> Outcome<()> {
        window::look_before(cx, way).await
    }

    async fn arm(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
        match of.way {
            Heading::Forth => window::arm(cx, of).await,
            Heading::Back => Mysql(self.0).arm(cx, state, of).await,
        }
    }

    async fn await_near(&self, cx: &Context, way: Heading, budget: Duration) -> Outcome<()> {
        Mysql(self.0).await_near(cx, way, budget).await
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
        Mysql(self.0).describe_drain(plan, way)
    }

    async fn drain(&self, cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
        Mysql(self.0).drain(cx, state, of, limit_ms).await
    }

    fn describe_carry(&self, plan: &Plan, way: Heading) -> Description {
        match way {
            Heading::Forth => {
                Description::new("Nothing to do: what counts up by itself comes through the replica's stream")
            }
            Heading::Back => Mysql(self.0).describe_carry(plan, way),
        }
    }

    /// A draw from a sequence beyond its cache is a row of the log, and what was cached is never given again.
    async fn carry(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome {
        match of.way {
            Heading::Forth => Ok(serde_json::json!({})),
            Heading::Back => Mysql(self.0).carry(cx, state, of).await,
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
            Heading::Back => Mysql(self.0).describe_promote(plan, way, step),
        }
    }

    async fn promote(&self, cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome {
        if of.way == Heading::Forth {
            window::make_primary(cx, state, of, step).await?;
        }
        Mysql(self.0).promote(cx, state, of, step).await
    }

    async fn canary(&self, cx: &Context, endpoint: &str, url: &str, arriving: &str) -> Outcome<()> {
        Mysql(self.0).canary(cx, endpoint, url, arriving).await
    }

    async fn sessions_left(&self, cx: &Context, leaving: &str) -> Outcome<Option<String>> {
        Mysql(self.0).sessions_left(cx, leaving).await
    }

    async fn complete(&self, cx: &Context, way: Heading) -> Outcome<()> {
        Mysql(self.0).complete(cx, way).await?;
        match way {
            Heading::Forth => {
                complete::events_rest_elsewhere(cx, way).await?;
                window::stays_open(cx).await
            }
            Heading::Back => Ok(()),
        }
    }

    async fn settle(&self, cx: &Context, way: Heading) -> Outcome<Option<String>> {
        window::settle(cx, way).await
    }

    fn describe_finalize(&self, plan: &Plan) -> Lines {
        describe::finalize(plan)
    }

    async fn finalize(&self, cx: &Context, state: &RunState) -> Outcome<()> {
        Mysql(self.0).finalize(cx, state).await?;
        match Promotion::of(&cx.plan) {
            Promotion::BlueGreen(deployment) => deployment.delete_record(cx).await,
            _ => Ok(()),
        }
    }

    fn left_shut(&self, plan: &Plan, state: &RunState) -> Option<String> {
        Mysql(self.0).left_shut(plan, state)
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
        Mysql(self.0).lag(gate, flow, context).await
    }

    fn describe_lag(&self, gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
        Mysql(self.0).describe_lag(gate, flow)
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
