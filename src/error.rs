//! Errors as people see them: what happened, what to do next, and the exit code. The one place that words them.

use std::fmt;
use std::process::ExitCode;

use crate::executor::{Conclusion, DriveError};
use crate::journal::{JournalError, Outcome};
use crate::plan::CompileError;
use crate::runbook::Diagnostics;
use crate::systems::DriverError;
use crate::systems::aws::account::is_about_credentials;

/// Exit codes; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Something failed.
    Error = 1,
    /// Wrong words, or an invalid runbook.
    Usage = 2,
    /// Refused before anything was changed.
    Refused = 3,
    /// Held: waits for a person.
    Held = 4,
    /// Rolled back.
    RolledBack = 5,
    /// A rollback could not finish.
    Stuck = 6,
    /// Another executor has the run.
    Taken = 7,
    /// Verify found differences.
    Differs = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// What the conclusion of an executor means for a script.
    #[must_use]
    pub const fn of(conclusion: &Conclusion) -> Self {
        match conclusion {
            Conclusion::Ended(Outcome::Done, _) => Self::Done,
            Conclusion::Ended(Outcome::Refused, _) => Self::Refused,
            Conclusion::Ended(Outcome::RolledBack, _) => Self::RolledBack,
            Conclusion::Held(_) => Self::Held,
            Conclusion::Stuck(_) => Self::Stuck,
        }
    }

    /// The meaning of another process's exit code; none when it is not one of ours.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        const ALL: [Exit; 9] = [
            Exit::Done,
            Exit::Error,
            Exit::Usage,
            Exit::Refused,
            Exit::Held,
            Exit::RolledBack,
            Exit::Stuck,
            Exit::Taken,
            Exit::Differs,
        ];
        ALL.into_iter().find(|exit| *exit as u8 == code)
    }
}

/// An error for a person.
#[derive(Debug)]
pub struct CliError {
    /// What happened, and what state things are in.
    pub message: String,
    /// What to do next.
    pub hints: Vec<String>,
    /// The exit code.
    pub exit: Exit,
}

impl CliError {
    /// An error with a message.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), exit }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

impl From<JournalError> for CliError {
    fn from(error: JournalError) -> Self {
        let text = error.to_string();
        match error {
            JournalError::Leased { .. } => Self::new(Exit::Taken, text),
            JournalError::Superseded { run, .. } => Self::new(Exit::Taken, text).hint(format!(
                "this one has stopped and changes nothing more; `pointsman status {run}` says how the run stands"
            )),
            JournalError::NoSuchRun(_) | JournalError::NoRuns(_) => Self::new(Exit::Usage, text),
            JournalError::Store { .. } => Self::new(Exit::Error, text)
                .hint("nothing was changed after that; make room or mend the file, then `pointsman resume`"),
            JournalError::Unreadable { .. } => {
                Self::new(Exit::Error, text).hint("use the version of pointsman that wrote it")
            }
        }
    }
}

impl From<DriveError> for CliError {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Journal(error) => error.into(),
            DriveError::Unrecorded(..) => Self::new(Exit::Error, error.to_string())
                .hint("make room or mend the file, then `pointsman resume`: it looks first, then goes on"),
            DriveError::Illegal(illegal) => Self::new(Exit::Error, illegal.to_string()),
        }
    }
}

impl From<DriverError> for CliError {
    fn from(error: DriverError) -> Self {
        let message = format!("{}: {}: {}", error.system, error.what, error.reason);
        let told = Self::new(Exit::Error, message);
        error.hint.into_iter().fold(told, Self::hint)
    }
}

impl From<CompileError> for CliError {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::System(error) => {
                let refused = is_about_credentials(&error);
                let told = Self::from(error).hint("nothing was changed");
                if refused { Self { exit: Exit::Refused, ..told } } else { told }
            }
        }
    }
}

impl From<Diagnostics> for CliError {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::new(Exit::Usage, diagnostics.to_string())
    }
}

impl CliError {
    /// What went wrong with a file or a folder.
    pub fn at(path: &std::path::Path) -> impl Fn(std::io::Error) -> Self + '_ {
        move |error| Self::new(Exit::Error, format!("{}: {error}", path.display()))
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Error, error.to_string())
    }
}
