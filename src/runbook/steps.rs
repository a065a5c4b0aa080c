//! Shapes of the `steps:` section: what is done, in order. A step is a map with one key, its kind, or just the kind
//! when it needs no words (`- drain`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gates::OnFail;
use super::model::{
    CreateBlueGreen, CreateInstance, Decommission, Failover, Name, Parameters, Program, Replicate, RunTask, Snapshot,
};
use super::units::{Share, Span};

/// One unit of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Look at everything that could go wrong, and refuse to start if it would.
    Preflight(Preflight),
    /// Make the target follow the source, and prepare the way back.
    Replicate(Replicate),
    /// Wait for gates.
    Wait(Wait),
    /// Move traffic in steps of weight.
    Shift(Shift),
    /// Ask a person.
    Approve(Approve),
    /// The steps during which writes wait.
    Window(Window),
    /// Hold the clients and fence the side that is left.
    Freeze(Freeze),
    /// Wait until the other side has everything, durably.
    Drain(Drain),
    /// Carry the sequences over.
    Sequences(Sequences),
    /// Turn replication round and open the other side for writes.
    Promote(Promote),
    /// Point the endpoints at the other side and let the clients go.
    Switch(Switch),
    /// Watch gates for a while.
    Bake(Bake),
    /// Compare both sides.
    Verify(Verify),
    /// Drop the way back: the point of no return.
    Finalize(Finalize),
    /// Statements of the author's.
    Sql(Sql),
    /// A program of the author's.
    Command(Command),
    /// A task of ECS that runs once, such as a migration of the schema.
    RunTask(RunTask),
    /// Take a snapshot of a server of RDS, and wait until it is there.
    Snapshot(Snapshot),
    /// Change parameters of a server of RDS, and bring them into force.
    Parameters(Parameters),
    /// Make an instance of RDS that is not there yet.
    CreateInstance(CreateInstance),
    /// Make a Blue/Green deployment of RDS that is not there yet.
    CreateBlueGreen(CreateBlueGreen),
    /// Take the side that was left out of service: nothing is deleted.
    Decommission(Decommission),
    /// Make another instance of a cluster of RDS its writer.
    Failover(Failover),
}

impl Step {
    /// The kind as the runbook spells it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Preflight(_) => "preflight",
            Self::Replicate(_) => "replicate",
            Self::Wait(_) => "wait",
            Self::Shift(_) => "shift",
            Self::Approve(_) => "approve",
            Self::Window(_) => "window",
            Self::Freeze(_) => "freeze",
            Self::Drain(_) => "drain",
            Self::Sequences(_) => "sequences",
            Self::Promote(_) => "promote",
            Self::Switch(_) => "switch",
            Self::Bake(_) => "bake",
            Self::Verify(_) => "verify",
            Self::Finalize(_) => "finalize",
            Self::Sql(_) => "sql",
            Self::Command(_) => "command",
            Self::RunTask(_) => "run-task",
            Self::Snapshot(_) => "snapshot",
            Self::Parameters(_) => "parameters",
            Self::CreateInstance(_) => "create-instance",
            Self::CreateBlueGreen(_) => "create-blue-green",
            Self::Decommission(_) => "decommission",
            Self::Failover(_) => "failover",
        }
    }

    /// Whether it changes nothing outside: there is nothing to take back.
    #[must_use]
    pub const fn only_looks(&self) -> bool {
        matches!(self, Self::Preflight(_) | Self::Wait(_) | Self::Approve(_) | Self::Bake(_) | Self::Verify(_))
    }

    /// The name the author gave it, if any.
    #[must_use]
    pub fn given_name(&self) -> Option<&str> {
        match self {
            Self::Preflight(step) => step.name.as_deref(),
            Self::Replicate(step) => step.name.as_deref(),
            Self::Wait(step) => step.name.as_deref(),
            Self::Shift(step) => step.name.as_deref(),
            Self::Approve(step) => step.name.as_deref(),
            Self::Window(step) => step.name.as_deref(),
            Self::Freeze(step) => step.name.as_deref(),
            Self::Drain(step) => step.name.as_deref(),
            Self::Sequences(step) => step.name.as_deref(),
            Self::Promote(step) => step.name.as_deref(),
            Self::Switch(step) => step.name.as_deref(),
            Self::Bake(step) => step.name.as_deref(),
            Self::Verify(step) => step.name.as_deref(),
            Self::Finalize(step) => step.name.as_deref(),
            Self::Sql(step) => step.name.as_deref(),
            Self::Command(step) => step.name.as_deref(),
            Self::RunTask(step) => step.name.as_deref(),
            Self::Snapshot(step) => step.name.as_deref(),
            Self::Parameters(step) => step.name.as_deref(),
            Self::CreateInstance(step) => step.name.as_deref(),
            Self::CreateBlueGreen(step) => step.name.as_deref(),
            Self::Decommission(step) => step.name.as_deref(),
            Self::Failover(step) => step.name.as_deref(),
        }
    }

    /// The gates it names.
    #[must_use]
    pub fn gates(&self) -> &[Name] {
        match self {
            Self::Wait(step) => &step.gates,
            Self::Shift(step) => &step.gates,
            Self::Window(step) => &step.gates,
            Self::Bake(step) => &step.gates,
            _ => &[],
        }
    }
}

/// Look at everything that could go wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Preflight {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// Findings (by their id, such as `large-objects`) that the author knows and accepts: they warn instead of fail.
    #[serde(default)]
    pub accept: Vec<String>,
}

/// Wait for gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wait {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// The gates that must all be open at the same time.
    pub gates: Vec<Name>,
    /// Hold when they are not open by then.
    pub timeout: Span,
}

/// Move traffic in steps of weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shift {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// The load balancer.
    pub traffic: Name,
    /// Shares that go to the new side, one after the other.
    pub weights: Vec<Share>,
    /// Stay at each share for this long.
    #[serde(default)]
    pub bake: Option<Span>,
    /// Gates that must be open at each share.
    #[serde(default)]
    pub gates: Vec<Name>,
    /// What a gate that does not open leads to.
    #[serde(default)]
    pub on_fail: OnFail,
    /// How far the share that is seen may be off, in percentage points.
    #[serde(default = "Shift::default_tolerance")]
    pub tolerance: Share,
    /// Requests to see at each share before it is believed.
    #[serde(default = "Shift::default_requests")]
    pub min_requests: u64,
    /// Each share must be seen by then.
    #[serde(default = "Shift::default_timeout")]
    pub timeout: Span,
    /// Shares that an undo goes through before it puts everything back, such as `[50, 10]`: for a side that went cold.
    /// Everything is put back at once when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo_weights: Vec<Share>,
    /// An undo stays at each of them for this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_bake: Option<Span>,
}

impl Shift {
    const fn default_tolerance() -> Share {
        Share(3.0)
    }

    const fn default_requests() -> u64 {
        100
    }

    const fn default_timeout() -> Span {
        Span::secs(600)
    }
}

/// Ask a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Approve {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// The question.
    pub message: String,
    /// Hold when nobody has answered by then.
    #[serde(default)]
    pub timeout: Option<Span>,
}

/// The steps during which writes wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Window {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// Writes never wait longer than this: past it, before the commit point, everything is thawed.
    pub budget: Span,
    /// Gates that must be open before writes are stopped.
    #[serde(default)]
    pub gates: Vec<Name>,
    /// What is done inside, in order: `freeze`, `drain`, `sequences`, `promote`, `switch`, and `sql` or `command`.
    pub steps: Vec<Step>,
}

/// Hold the clients and fence the database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Freeze {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// The database whose writes stop.
    pub database: Name,
    /// Poolers that hold the clients meanwhile; without one they see errors.
    #[serde(default)]
    pub through: Vec<Name>,
    /// A pooler that has not paused by then is let go again, and the run holds.
    #[serde(default = "Freeze::default_pause")]
    pub pause_timeout: Span,
    /// How clients that go round the poolers are kept out.
    #[serde(default)]
    pub fence: Fence,
}

impl Freeze {
    const fn default_pause() -> Span {
        Span::millis(500)
    }
}

/// How clients are kept out of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fence {
    /// PostgreSQL: `database` where our role is a superuser there, else `roles`. MySQL and MariaDB: `read-only` where
    /// our account may set it, else `accounts`.
    #[default]
    Auto,
    /// The database's connection limit at 0: one statement, covers every role that is not a superuser.
    Database,
    /// `NOLOGIN` for every login role but ours: holds for all databases of the server.
    Roles,
    /// MySQL and MariaDB: `super_read_only`; where there is none, `read_only` and account locks.
    ReadOnly,
    /// MySQL and MariaDB: account locks for every account but ours; what RDS allows.
    Accounts,
}

/// Wait until the other side has everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Drain {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
}

/// Carry the sequences over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sequences {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
}

/// Turn replication round and open the other side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Promote {
    /// Name of the step; its kind when absent.
    pub name: Option<Name>,
    /// Whether the source follows the target afterwards, so that a rollback loses no write.
    pub keep_way_back: bool,
    /// A read replica's promotion must have ended by then, or the run asks for a person; 30 min when absent. Writes wait
    /// for it, also beyond the window's budget: it comes behind the commit point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

impl Default for Promote {
    fn default() -> Self {
        Self { name: None, keep_way_back: true, timeout: None }
    }
}

/// Point the endpoints at the other side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Switch {
    /// Name of the step; its kind when absent.
    pub name: Option<Name>,
    /// The systems that shall lead to the other side.
    pub endpoints: Vec<Name>,
}

/// Watch gates for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bake {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// How long.
    #[serde(rename = "for")]
    pub span: Span,
    /// Gates that must stay open.
    #[serde(default)]
    pub gates: Vec<Name>,
    /// What a gate that closes leads to.
    #[serde(default)]
    pub on_fail: OnFail,
}

/// Compare both sides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Verify {
    /// Name of the step; its kind when absent.
    pub name: Option<Name>,
    /// How closely.
    pub compare: Compare,
    /// Tables to leave out, `schema.table`.
    pub except: Vec<String>,
    /// Must have ended by then; 6 h when absent.
    pub timeout: Option<Span>,
}

/// How closely both sides are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compare {
    /// The number of rows of each table.
    Rows,
    /// The content of each row, by checksum.
    #[default]
    Checksums,
}

/// Drop the way back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Finalize {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
}

/// Statements of the author's, each in a transaction of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sql {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// The database.
    pub system: Name,
    /// Statements that do it; they must be repeatable.
    pub run: Vec<String>,
    /// A query that says `true` when it is done: it settles what a crash left in doubt.
    #[serde(default)]
    pub observe: Option<String>,
    /// What takes it back.
    pub undo: UndoSql,
    /// Stopped after this long.
    #[serde(default = "Sql::default_timeout")]
    pub timeout: Span,
}

impl Sql {
    const fn default_timeout() -> Span {
        Span::secs(60)
    }
}

/// What takes statements back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UndoSql {
    /// These statements.
    Run(Vec<String>),
    /// Nothing needs to be taken back: it does no harm after a rollback.
    Nothing,
    /// It can't be taken back; the runbook must ask a person before it.
    Irreversible,
}

/// A program of the author's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Command {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// Does it; must be repeatable.
    pub apply: Program,
    /// Exits 0 when it is done and 1 when it is not: it settles what a crash left in doubt.
    #[serde(default)]
    pub observe: Option<Program>,
    /// What takes it back.
    pub undo: UndoProgram,
}

/// What takes a program's effect back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UndoProgram {
    /// This program.
    Run(Program),
    /// Nothing needs to be taken back: it does no harm after a rollback.
    Nothing,
    /// It can't be taken back; the runbook must ask a person before it.
    Irreversible,
}
