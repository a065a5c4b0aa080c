//! What the preflight judges: two surveys, the endpoints, and what the runbook wants.

use serde::{Deserialize, Serialize};

use crate::runbook::units::Span;
use crate::systems::mysql::survey::{Reach, Survey, Table};

/// Everything that is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreflightInput {
    /// The server that is left.
    pub source: Survey,
    /// The server that is moved to.
    pub target: Survey,
    /// What the runbook wants.
    pub wanted: Wanted,
    /// The endpoints that the window switches.
    pub endpoints: Vec<EndpointFacts>,
    /// How each server is dialled by the other.
    pub reach: Vec<Reach>,
    /// Ids of findings that the author accepts.
    pub accept: Vec<String>,
}

/// What the runbook wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Schemas to carry; all of the application's when empty.
    pub schemas: Vec<String>,
    /// Whether schema and rows are copied to the target.
    pub copy_schema: bool,
    /// The initial copy ends by then.
    pub copy_limit: Span,
    /// Whether a way back is kept.
    pub way_back: bool,
    /// Accounts that the source's fence leaves in.
    pub exempt_accounts: Vec<String>,
    /// The window's budget, when the runbook has a window.
    pub budget: Option<Span>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            schemas: Vec::new(),
            copy_schema: true,
            copy_limit: Span::secs(24 * 3600),
            way_back: true,
            exempt_accounts: Vec::new(),
            budget: None,
        }
    }
}

/// What was read through one endpoint, as an application goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointFacts {
    /// Name of the system in the runbook.
    pub name: String,
    /// Where it was dialled: `host:port`; `None` when the runbook has no `probe` for it.
    pub dialled: Option<String>,
    /// `server_uuid` behind it, where the server has one.
    pub uuid: Option<String>,
    /// `server_id` behind it.
    pub server_id: Option<i64>,
    /// Where the server sees connections through it come from, without the port.
    pub seen_from: Option<String>,
    /// Why it could not be dialled.
    pub failure: Option<String>,
}

impl PreflightInput {
    /// Tables that are to be carried.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.source.tables.iter().filter(|table| self.carries(&table.schema))
    }

    /// Whether a schema is to be carried.
    #[must_use]
    pub fn carries(&self, schema: &str) -> bool {
        self.wanted.schemas.is_empty() || self.wanted.schemas.iter().any(|name| name == schema)
    }

    /// Source, then target.
    #[must_use]
    pub const fn sides(&self) -> [&Survey; 2] {
        [&self.source, &self.target]
    }

    /// Bytes that are to be carried.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        self.tables().map(|table| table.bytes).sum()
    }
}
