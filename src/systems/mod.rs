//! Drivers: how to talk to each kind of outside system. They know no policy: what to do with an answer is decided in
//! `steps`, `gates` and `executor`.

pub mod address;
pub mod aws;
pub mod comparison;
pub mod haproxy;
pub mod mysql;
pub mod pair;
pub mod pgbouncer;
pub mod postgres;
pub mod program;
pub mod survey;
pub mod traffic;
pub mod world;

use std::fmt;

use thiserror::Error;

use crate::secret::SecretError;

/// How sure a driver is that a failed call had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// It never left this machine.
    NotSent,
    /// The system answered that it did not do it.
    Refused,
    /// It was sent and no answer came: it is in doubt, and settled by observing.
    Unknown,
}

/// SQLSTATE of our own refusal in a database: another executor has taken the run.
pub const STALE_EPOCH: &str = "PM001";

/// A call to a system that failed.
#[derive(Debug, Error)]
#[error("{system}: {what}: {reason}{}", Hint(.hint.as_deref()))]
pub struct DriverError {
    /// Name of the system in the runbook.
    pub system: String,
    /// What was tried, as a phrase: "pause database orders".
    pub what: String,
    /// What came back, masked.
    pub reason: String,
    /// What a person can do about it.
    pub hint: Option<String>,
    /// Whether it may have had an effect.
    pub certainty: Certainty,
    /// The system's own code, such as a SQLSTATE.
    pub code: Option<String>,
}

struct Hint<'a>(Option<&'a str>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl DriverError {
    /// An error whose text is masked.
    pub fn new(system: &str, what: &str, reason: impl fmt::Display, certainty: Certainty) -> Self {
        Self {
            system: system.to_owned(),
            what: what.to_owned(),
            reason: crate::secret::mask(&reason.to_string()),
            hint: None,
            certainty,
            code: None,
        }
    }

    /// A reference that could not be resolved: nothing was sent.
    pub fn unresolved(system: &str, what: &str, error: SecretError) -> Self {
        let mut told = Self::new(system, what, &error, Certainty::NotSent);
        if let SecretError::Source { hint, code, .. } = error {
            (told.hint, told.code) = (hint, code);
        }
        told
    }

    /// Adds what a person can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Of a connection to a server of RDS that was not made: security groups swallow what they do not let in, so that
    /// nobody answers at all.
    #[must_use]
    pub fn dialled_at(self, rds: Option<&str>) -> Self {
        let silent = ["no answer within", "timed out"].iter().any(|sign| self.reason.contains(sign));
        match rds {
            Some(rds) if silent && self.hint.is_none() => self.with_hint(format!(
                "nobody answered, which is what a security group does that lets this machine not in: look whether one of \
                 `{rds}` has a rule for its address and the port, and at the route there"
            )),
            _ => self,
        }
    }

    /// Whether the system's own code is `code`.
    #[must_use]
    pub fn is_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

/// What a driver's call gives.
pub type Result<T> = std::result::Result<T, DriverError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_of_a_server_of_rds_points_to_its_security_groups() {
        let of = |reason: &str, rds| DriverError::new("db", "connect", reason, Certainty::NotSent).dialled_at(rds).hint;
        let hint = of("no answer within 10 s", Some("orders-rds")).unwrap();
        assert!(hint.contains("security group") && hint.contains("`orders-rds`"), "{hint}");
        assert!(of("error connecting to server: connection timed out", Some("orders-rds")).is_some());
        // Who refuses is there, and who is no server of RDS may have no such groups.
        assert_eq!(of("connection refused", Some("orders-rds")), None);
        assert_eq!(of("no answer within 10 s", None), None);
    }
}
