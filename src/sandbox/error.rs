//! What can go wrong while a sandbox is built or used.

use std::{io, path::PathBuf};

/// An error of the sandbox. It concerns only servers that the sandbox itself started.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A server program is not on this machine.
    #[error(
        "no {program} found (looked at {looked_at}). Install the servers with tools/install-servers.sh, or start them \
         with docker compose -f docker-compose.test.yml up"
    )]
    Missing {
        /// What is missing, as people call it.
        program: String,
        /// Where it was looked for.
        looked_at: String,
    },
    /// A file, folder or process could not be handled.
    #[error("sandbox: could not {doing}")]
    Io {
        /// The attempt, as the end of "could not ...".
        doing: String,
        /// The cause.
        source: io::Error,
    },
    /// A server did not come up, or went away while it was waited for.
    #[error("sandbox: {server} did not start: {reason}\nits log ({}) ends with:\n{tail}", log.display())]
    Start {
        /// The server's name in the sandbox.
        server: String,
        /// What was seen.
        reason: String,
        /// The server's log file.
        log: PathBuf,
        /// The last lines of that log.
        tail: String,
    },
    /// A database refused something.
    #[error("sandbox: could not {doing}: {reason}")]
    Database {
        /// The attempt, as the end of "could not ...".
        doing: String,
        /// The cause, in its own words.
        reason: String,
    },
    /// An HTTP client or server could not be set up.
    #[error("sandbox: could not {doing}: {reason}")]
    Http {
        /// The attempt, as the end of "could not ...".
        doing: String,
        /// The cause in words.
        reason: String,
    },
    /// The options contradict each other or this machine.
    #[error("sandbox: {0}")]
    Options(String),
}

impl SandboxError {
    /// For `map_err` on I/O: names the attempt.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Io { doing, source }
    }

    /// For `map_err` on SQL: names the attempt.
    pub(crate) fn database(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Database { doing, reason: explain(&error) }
    }
}

/// A database error with the server's own words; tokio-postgres alone says only "db error".
pub(crate) fn explain(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} {}: {}", db.severity(), db.code().code(), db.message()),
        None => std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
    }
}
