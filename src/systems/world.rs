//! The systems of one plan, by name: where steps and gates get their drivers from.

use indexmap::IndexMap;

use super::postgres::Database;
use super::{Certainty, DriverError, Result};
use crate::runbook::model::{Haproxy, Name, Pgbouncer, Postgres, System};

/// The systems of one plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    systems: IndexMap<Name, System>,
}

impl World {
    /// The systems of a runbook or a plan.
    #[must_use]
    pub const fn new(systems: IndexMap<Name, System>) -> Self {
        Self { systems }
    }

    /// The PostgreSQL database of this name.
    pub fn database(&self, name: &str) -> Result<Database> {
        match self.systems.get(name) {
            Some(System::Postgres(spec)) => Ok(Database { name: name.to_owned(), spec: Postgres::clone(spec) }),
            other => Err(Self::wrong(name, "postgres", other)),
        }
    }

    /// The pooler of this name.
    pub fn pgbouncer(&self, name: &str) -> Result<&Pgbouncer> {
        match self.systems.get(name) {
            Some(System::Pgbouncer(spec)) => Ok(spec),
            other => Err(Self::wrong(name, "pgbouncer", other)),
        }
    }

    /// The load balancer of this name.
    pub fn haproxy(&self, name: &str) -> Result<&Haproxy> {
        match self.systems.get(name) {
            Some(System::Haproxy(spec)) => Ok(spec),
            other => Err(Self::wrong(name, "haproxy", other)),
        }
    }

    /// Every system.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &System)> {
        self.systems.iter()
    }

    fn wrong(name: &str, kind: &str, found: Option<&System>) -> DriverError {
        let reason = match found {
            Some(system) => format!("it is a {}, not a {kind}", system.kind()),
            None => format!("the plan has no system of this name (a {kind} is wanted)"),
        };
        DriverError::new(name, "look it up", reason, Certainty::NotSent)
    }
}
