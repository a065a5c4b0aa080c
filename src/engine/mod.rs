//! What a cutover asks of a kind of database. The steps keep the order, the endpoints, the intents and the budget;
//! everything that only one kind of database knows lies behind [`Engine`]. A runbook's pair is of one kind, and
//! [`of`] gives its engine.

pub mod dms;
pub mod mysql;
pub mod postgres;
pub mod promotion;
pub mod replica;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::gates::GateContext;
use crate::journal::Move;
use crate::plan::{Choices, Plan};
use crate::preflight::Finding;
use crate::runbook::model::{Means, Promote, Replicate, ReplicationLag, Sql, SqlGate, System, Verify};
use crate::steps::{Description, Observation, StepError};
use crate::systems;
use crate::systems::aws::Permission;
use crate::systems::comparison::Comparison;
use crate::systems::mysql::Flavour;
use crate::systems::pair::{Flow, Heading, Pair, Replicated};

/// What is sent, and where to: `(system, statement)`.
pub type Lines = Vec<(String, String)>;
/// What a step gives.
pub type Outcome<T = Value> = Result<T, StepError>;

/// One kind of database: what a cutover between two of them does. Every effect can be repeated.
#[async_trait]
pub trait Engine: Send + Sync {
    /// A version as people write it: `PostgreSQL 18`.
    fn version(&self, version: i32) -> String;

    /// Looks at both databases through read-only sessions and makes every choice of the plan.
    async fn choose(&self, plan: &Plan, replicate: &Replicate) -> systems::Result<Choices>;

    /// Looks for everything that could go wrong; reads only.
    async fn preflight(&self, plan: &Plan, accept: &[String]) -> systems::Result<Vec<Finding>>;

    /// `replicate`, as the plan shows it.
    fn describe_replicate(&self, plan: &Plan, step: &Replicate) -> Description;
    /// Fences the target, copies, makes it follow, and lays the way back.
    async fn replicate(&self, cx: &Context, state: &RunState, of: &Move, step: &Replicate) -> Outcome;
    /// Takes all of it back, and nothing else.
    async fn undo_replicate(&self, cx: &Context, state: &RunState, step: &Replicate) -> Outcome;

    /// What arming the window sends to the databases.
    fn describe_arm(&self, plan: &Plan, way: Heading) -> Lines;
    /// The servers are those of the plan, what is there is carried, and every stream that is needed carries a token now.
    async fn look_before(&self, cx: &Context, way: Heading) -> Outcome<()>;
    /// Remembers what the window needs, and tries its statements.
    async fn arm(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome<()>;

    /// Waits, with everything armed, for a moment in which the side that follows is near; refuses where none comes and what is
    /// left would use up the budget.
    async fn await_near(&self, _cx: &Context, _way: Heading, _budget: Duration) -> Outcome<()> {
        Ok(())
    }

    /// What [`Engine::stop_writes`] sends, and what takes it back.
    fn describe_stop(&self, plan: &Plan, way: Heading, limit_ms: u64) -> (Lines, Lines);
    /// Fences the side that is left, ends its sessions within the limit, and writes the barrier, which it gives.
    async fn stop_writes(&self, cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome;
    /// Opens that side again, and the stream with it.
    async fn thaw(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome<()>;

    /// What [`Engine::drain`] sends.
    fn describe_drain(&self, plan: &Plan, way: Heading) -> Lines;
    /// Waits until the barrier has arrived on the other side, durably.
    async fn drain(&self, cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome;

    /// `sequences`, as the plan shows it.
    fn describe_carry(&self, plan: &Plan, way: Heading) -> Description;
    /// Carries over what counts up by itself, only ever forward.
    async fn carry(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome;

    /// What it asks of IAM by itself.
    fn permissions(&self, _plan: &Plan) -> Vec<Permission> {
        Vec::new()
    }
    /// What writes wait for behind the commit point, beyond the window's budget, if for anything.
    fn waits(&self, _plan: &Plan, _way: Heading) -> Option<String> {
        None
    }
    /// What [`Engine::promote`] sends.
    fn describe_promote(&self, plan: &Plan, way: Heading, step: &Promote) -> Lines;
    /// Opens the other side for writes; the stream back carries them from exactly there.
    async fn promote(&self, cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome;

    /// Writes a row through an endpoint, as an application does, and looks for it on the side that it must lead to.
    async fn canary(&self, cx: &Context, endpoint: &str, url: &str, arriving: &str) -> Outcome<()>;
    /// The application's sessions that are left on a side, and how a person sees them; `None` without any.
    async fn sessions_left(&self, cx: &Context, leaving: &str) -> Outcome<Option<String>>;

    /// What the window leaves to do at once when writes go on: quick, and repeatable.
    async fn complete(&self, _cx: &Context, _way: Heading) -> Outcome<()> {
        Ok(())
    }

    /// What is to be ended behind the switch, when nobody waits any more; what was seen, in words.
    async fn settle(&self, _cx: &Context, _way: Heading) -> Outcome<Option<String>> {
        Ok(None)
    }

    /// What [`Engine::finalize`] sends.
    fn describe_finalize(&self, plan: &Plan) -> Lines;
    /// Drops both streams and everything of ours.
    async fn finalize(&self, cx: &Context, state: &RunState) -> Outcome<()>;
    /// What stays shut behind it on the side that was left, and what opens it; for a person.
    fn left_shut(&self, _plan: &Plan, _state: &RunState) -> Option<String> {
        None
    }

    /// Compares both sides within a run, while one of them is written.
    async fn verify(&self, cx: &Context, of: &Move, writer: Heading, step: &Verify) -> Outcome<Comparison>;
    /// Compares both sides now, whether or not a run is under way; reads only.
    async fn compare_now(&self, plan: &Plan) -> systems::Result<Comparison>;

    /// Writes the token whose age a lag gate measures.
    async fn beat(&self, cx: &Context, heading: Heading) -> Outcome<()>;
    /// How far the side that carries the writes is ahead.
    async fn lag(&self, gate: &ReplicationLag, flow: Flow<'_>, context: &GateContext<'_>) -> systems::Result<Lag>;
    /// The queries of [`Engine::lag`].
    fn describe_lag(&self, gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String>;
    /// The oldest open transaction of a database.
    async fn oldest_transaction(&self, system: &str, context: &GateContext<'_>) -> systems::Result<Oldest>;
    /// The query of [`Engine::oldest_transaction`].
    fn describe_oldest_transaction(&self) -> &'static str;
    /// The first value of the author's query, as text; the outer level says whether there was a row.
    async fn ask(&self, gate: &SqlGate, context: &GateContext<'_>) -> systems::Result<Option<Option<String>>>;
    /// The statements of [`Engine::ask`].
    fn describe_ask(&self, gate: &SqlGate) -> Vec<String>;

    /// Whether the author's statements were run already.
    async fn observe_statements(&self, cx: &Context, step: &Sql) -> Outcome<Observation>;
    /// Runs the author's statements, held by the epoch.
    async fn run_statements(&self, cx: &Context, step: &Sql, statements: &[String]) -> Outcome;
}

/// How far a stream is behind.
#[derive(Clone, Debug, PartialEq)]
pub enum Lag {
    /// It is known.
    Known {
        /// Bytes that the other side has not applied; unknown where something else than the servers carries them.
        bytes: Option<f64>,
        /// Seconds since the last token that has arrived was written.
        age: Option<f64>,
    },
    /// It runs, and is not in step yet.
    Behind(String),
    /// Nothing is known, and why.
    Nothing(String),
}

/// The oldest open transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Oldest {
    /// None is open.
    None,
    /// One is, for so long.
    Open {
        /// Its age.
        seconds: f64,
        /// Whose it is, in words.
        who: String,
    },
    /// It can't be seen, and why.
    Hidden(String),
}

/// The engine of a database; PostgreSQL's, where none is meant, since it was the only one in the beginning.
#[must_use]
pub fn of(system: Option<&System>) -> &'static dyn Engine {
    match system {
        Some(System::Mysql(_)) => &mysql::Mysql(Flavour::Mysql),
        Some(System::Mariadb(_)) => &mysql::Mysql(Flavour::Mariadb),
        _ => &postgres::Postgres,
    }
}

/// The engine of a plan's pair.
#[must_use]
pub fn of_plan(plan: &Plan) -> &'static dyn Engine {
    match &plan.pair {
        Some(pair) => of_pair(pair, plan.systems.get(&pair.source)),
        None => of(None),
    }
}

/// The engine of a pair; `source` is its source.
#[must_use]
pub fn of_pair(pair: &Pair, source: Option<&System>) -> &'static dyn Engine {
    match pair.through {
        Means::Native => of(source),
        Means::BlueGreen if pair.replicated == Replicated::Logically => &postgres::blue_green::BlueGreen,
        Means::ReadReplica | Means::BlueGreen => match source {
            Some(System::Mysql(_)) => &mysql::replica::Replica(Flavour::Mysql),
            Some(System::Mariadb(_)) => &mysql::replica::Replica(Flavour::Mariadb),
            _ => &replica::Replica,
        },
        Means::Dms => match source {
            Some(System::Mysql(_)) => &mysql::dms::ThroughDms(Flavour::Mysql),
            Some(System::Mariadb(_)) => &mysql::dms::ThroughDms(Flavour::Mariadb),
            _ => &dms::Dms,
        },
    }
}
