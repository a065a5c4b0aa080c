//! The journal: an append-only record of each run, in a store that several processes of several terminals can read and
//! speak through.

pub mod entry;
#[cfg(debug_assertions)]
pub mod halt;
pub mod sqlite;

pub use entry::{Act, Actor, Entry, Event, Failure, FailureKind, Move, Outcome, StepId, TakeReason, Word};
pub use sqlite::Journal;

use jiff::Timestamp;
use thiserror::Error;

/// How soon an entry must survive a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the call returns.
    Synced,
    /// Survives the death of this process at once, a loss of power with the next synced entry. Order is kept.
    Ordered,
}

/// A word waiting to be heard by the executor.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// Its number in the store.
    pub id: i64,
    /// When it was said.
    pub at: Timestamp,
    /// What.
    pub word: Word,
    /// Who.
    pub who: String,
    /// Why.
    pub why: Option<String>,
}

/// Who has a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Grows with each taking; effects carry it.
    pub epoch: u64,
    /// The process.
    pub holder: Option<Actor>,
    /// When it was last renewed.
    pub renewed: Timestamp,
}

/// One run in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Id of the run.
    pub id: String,
    /// Name of the runbook.
    pub runbook: String,
    /// Environment chosen with `--env`.
    pub environment: Option<String>,
    /// When it began.
    pub started: Timestamp,
}

/// The store could not do what was asked.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The store itself failed.
    #[error("the journal {path} can't be used: {reason}")]
    Store {
        /// Where it is.
        path: String,
        /// What SQLite said.
        reason: String,
    },
    /// An entry can't be read.
    #[error("the journal {path} has an entry that this version can't read (run {run}, entry {seq}): {reason}")]
    Unreadable {
        /// Where it is.
        path: String,
        /// The run.
        run: String,
        /// The entry.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// Another executor has taken the run.
    #[error("another executor has run {run}: this one has epoch {mine}, the lease is at {theirs}")]
    Superseded {
        /// The run.
        run: String,
        /// Ours.
        mine: u64,
        /// Theirs.
        theirs: u64,
    },
    /// The lease is held by a living executor.
    #[error("{holder} has run {run}; look with `pointsman watch {run}`, or speak to it with `pointsman hold {run}`")]
    Leased {
        /// The run.
        run: String,
        /// Who has it.
        holder: String,
    },
    /// No such run.
    #[error("there is no run {0}; `pointsman runs` lists them")]
    NoSuchRun(String),
    /// No run at all.
    #[error("there are no runs in {0}; `pointsman run RUNBOOK` begins one")]
    NoRuns(String),
}

/// What the store gives.
pub type Result<T> = std::result::Result<T, JournalError>;
