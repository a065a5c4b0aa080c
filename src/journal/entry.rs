//! What is stored: the entries of a run's journal.
//!
//! This is the stored form. A reader of a later version must read it for ever, so fields are only added, with a
//! default; the fixtures below `tests/fixtures/journals` hold every past form.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gates::Reading;
use crate::plan::Plan;
use crate::systems::pair::Heading;

/// Name of a step in the plan.
pub type StepId = String;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Position in the run's journal, from 1 without a gap.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// Epoch of the lease under which it was written.
    pub epoch: u64,
    /// Who wrote it.
    pub by: Actor,
    /// What happened.
    pub event: Event,
}

/// A process and the person behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Login name.
    pub user: String,
    /// Machine.
    pub host: String,
    /// Process.
    pub pid: u32,
    /// Start of the process in clock ticks since boot: tells it from a later one with the same number.
    #[serde(default)]
    pub started: u64,
}

/// Whether a step is done or taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Do it.
    Apply,
    /// Take it back.
    Undo,
}

/// What a step is about to do, does or did. `way` is [`Heading::Back`] for the steps of a window that is passed a
/// second time with source and target exchanged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Move {
    /// The step.
    pub step: StepId,
    /// Done or taken back.
    pub act: Act,
    /// In which direction the window is passed.
    pub way: Heading,
}

/// Something that happened to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// The first entry: the whole plan.
    RunStarted {
        /// The frozen plan.
        plan: Box<Plan>,
        /// Its SHA-256.
        hash: String,
    },
    /// A process took the run: at the start, by `resume`, or as the guard.
    Took {
        /// Why.
        reason: TakeReason,
    },
    /// The intent: what follows may or may not have happened when nothing comes after it.
    Intent {
        /// What is about to happen.
        of: Move,
        /// Counts from 1.
        attempt: u32,
    },
    /// What a step must remember before it goes on (former state, positions).
    Noted {
        /// The step.
        of: Move,
        /// Merged into the step's notes by key.
        note: Value,
    },
    /// It happened.
    Done {
        /// What.
        of: Move,
        /// Merged into the step's notes by key.
        note: Value,
        /// How long it took, in milliseconds.
        millis: f64,
    },
    /// It did not happen, or not whole.
    Failed {
        /// What.
        of: Move,
        /// Why.
        failure: Failure,
    },
    /// It stopped at a safe point because of a person's word; it will be done again from there.
    Interrupted {
        /// What.
        of: Move,
    },
    /// A gate's verdict that let a step go on or stopped it.
    Judged {
        /// The step that asked.
        step: StepId,
        /// Name of the gate.
        gate: String,
        /// The deciding reading.
        reading: Reading,
    },
    /// The commit point of a window: recovery goes forward from here.
    Committed {
        /// In which direction.
        way: Heading,
    },
    /// The window was left without passing the commit point: writes go on where they were.
    Thawed {
        /// In which direction it was tried.
        way: Heading,
        /// How long writes waited, in milliseconds.
        millis: f64,
    },
    /// The window was passed.
    Passed {
        /// In which direction.
        way: Heading,
        /// From pause to resume, in milliseconds.
        millis: f64,
    },
    /// A window that was passed was looked at from outside.
    Proved {
        /// In which direction it was passed.
        way: Heading,
        /// What was seen.
        summary: String,
    },
    /// The run stands still at a safe point.
    Held {
        /// Why, and what to do.
        reason: String,
    },
    /// A person spoke.
    Said {
        /// What.
        word: Word,
        /// Who.
        who: String,
        /// Why.
        #[serde(default)]
        why: Option<String>,
    },
    /// A person's word could not be taken.
    Refused {
        /// What was said.
        word: Word,
        /// Who.
        who: String,
        /// Why it could not be taken.
        reason: String,
    },
    /// The run turns back.
    TurnedBack {
        /// Undo down to this step, which stays done; everything when absent.
        to: Option<StepId>,
        /// Why.
        reason: String,
    },
    /// The end.
    Ended {
        /// How.
        outcome: Outcome,
        /// In words.
        reason: String,
    },
}

/// Why a process took a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TakeReason {
    /// A new run.
    Start,
    /// A person resumed it.
    Resume,
    /// A person asked for the rollback of a run that nobody executed.
    Rollback,
    /// The guard: the executor died or hung inside the window.
    Guard,
}

/// A person's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "kebab-case")]
pub enum Word {
    /// Yes to the question of this step.
    Approve {
        /// The `approve` step (or the approval gate's step).
        step: StepId,
    },
    /// Stand still at the next safe point.
    Hold,
    /// Go on.
    Continue,
    /// Try the failed step again.
    Retry,
    /// The same, and take what somebody else changed as it is now.
    Adopt,
    /// The same, and put what somebody else changed back to what the run left.
    Restore,
    /// Leave this step out.
    Skip {
        /// Which.
        step: StepId,
    },
    /// Go back.
    Rollback {
        /// Undo down to this step, which stays done.
        to: Option<StepId>,
    },
}

impl Word {
    /// The word as the command line spells it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Hold => "hold",
            Self::Continue => "continue",
            Self::Retry => "retry",
            Self::Adopt => "retry --adopt",
            Self::Restore => "retry --restore",
            Self::Skip { .. } => "skip",
            Self::Rollback { .. } => "rollback",
        }
    }
}

/// Why something failed, in words for a tired person, with what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened, on which system.
    pub message: String,
    /// What can be done about it.
    #[serde(default)]
    pub hint: Option<String>,
    /// What kind of failure it is.
    pub kind: FailureKind,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The system refused, or it was never sent: nothing happened.
    Refused,
    /// Whether it happened is not known: in doubt.
    Unknown,
    /// A gate did not open and the runbook says hold.
    GateHold,
    /// A gate did not open and the runbook says roll back.
    GateRollback,
    /// Preflight found something that must be mended first.
    Preflight,
    /// Both sides differ.
    Differs,
    /// A deadline passed.
    Deadline,
    /// Another executor has the run.
    Superseded,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every step is done.
    Done,
    /// Refused before anything was changed.
    Refused,
    /// Everything (or down to the step that was named) was taken back.
    RolledBack,
}
