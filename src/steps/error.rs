//! Why a step failed, and what follows from it.

use thiserror::Error;

use crate::journal::{Failure, FailureKind, JournalError};
use crate::systems::{self, Certainty, DriverError};

/// Why a step did not succeed.
#[derive(Debug, Error)]
pub enum StepError {
    /// A person's word stopped it at a safe point.
    #[error("stopped at a safe point")]
    Interrupted,
    /// A system refused, or did not answer.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The journal could not be written, or another executor has the run.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Anything else, already in words.
    #[error("{message}", message = .0.message)]
    Told(Failure),
}

impl StepError {
    /// A failure in words.
    #[must_use]
    pub fn told(kind: FailureKind, message: impl Into<String>, hint: Option<&str>) -> Self {
        Self::Told(Failure { message: message.into(), hint: hint.map(str::to_owned), kind })
    }

    /// The plan or the journal misses something that must be there: a bug, said without a panic.
    #[must_use]
    pub fn broken(message: impl Into<String>) -> Self {
        Self::told(FailureKind::Refused, message, Some("this is a bug in pointsman; please report it with the journal"))
    }

    /// The stored form.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Told(failure) => failure,
            Self::Driver(error) => driver_failure(error),
            Self::Interrupted => Failure { message: self.to_string(), hint: None, kind: FailureKind::Refused },
            Self::Journal(error) => {
                let kind = match &error {
                    JournalError::Superseded { .. } => FailureKind::Superseded,
                    _ => FailureKind::Refused,
                };
                Failure { message: error.to_string(), hint: None, kind }
            }
        }
    }
}

fn driver_failure(error: DriverError) -> Failure {
    let kind = match error.certainty {
        _ if error.is_code(systems::STALE_EPOCH) => FailureKind::Superseded,
        Certainty::Unknown => FailureKind::Unknown,
        // Nothing happened, and it may well work the next time.
        Certainty::NotSent => FailureKind::Unknown,
        Certainty::Refused => FailureKind::Refused,
    };
    Failure { message: format!("{}: {}: {}", error.system, error.what, error.reason), hint: error.hint, kind }
}
