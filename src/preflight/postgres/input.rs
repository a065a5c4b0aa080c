//! What the preflight judges: two surveys, the poolers, and what the runbook wants.

use serde::{Deserialize, Serialize};

use crate::runbook::model::Fence;
use crate::runbook::units::Span;
use crate::systems::postgres::survey::{Reach, Survey, Table};

/// Everything that is judged. Frozen in the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreflightInput {
    /// The database that is left.
    pub source: Survey,
    /// The database that is moved to.
    pub target: Survey,
    /// What the runbook wants.
    pub wanted: Wanted,
    /// One entry an instance of each pooler that the window goes through.
    pub poolers: Vec<PoolerFacts>,
    /// The `pg_dump` that reads the source, or why there is none; absent where no schema is copied.
    #[serde(default)]
    pub pg_dump: Option<std::result::Result<String, String>>,
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
    /// Whether the schema is copied to the target.
    pub copy_schema: bool,
    /// The `pg_dump` that the author names.
    #[serde(default)]
    pub pg_dump: Option<String>,
    /// Tables that are copied at the same time.
    pub workers: u32,
    /// Whether a way back is kept.
    pub way_back: bool,
    /// How clients are kept out of the source.
    pub fence: Fence,
    /// Login roles that the source's fence leaves in.
    pub exempt_roles: Vec<String>,
    /// The window's budget, when the runbook has a window.
    pub budget: Option<Span>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            schemas: Vec::new(),
            copy_schema: true,
            pg_dump: None,
            workers: 4,
            way_back: true,
            fence: Fence::Auto,
            exempt_roles: Vec::new(),
            budget: None,
        }
    }
}

/// What was read from one instance of a pooler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolerFacts {
    /// Name of the system in the runbook.
    pub name: String,
    /// Which instance: `host:port` of its admin console.
    pub instance: String,
    /// Such as `1.18.0`.
    pub version: String,
    /// The entry that the applications use.
    pub entry: String,
    /// Where the entry leads: host; `None` when the pooler has no such entry.
    pub host: Option<String>,
    /// Where the entry leads: port.
    pub port: u16,
    /// Where the entry leads: database.
    pub database: String,
    /// `session`, `transaction` or `statement`.
    pub pool_mode: String,
    /// Whether the entry is paused already.
    pub paused: bool,
    /// `query_wait_timeout` in seconds; 0 is none.
    pub query_wait_timeout_s: f64,
    /// `server_login_retry` in seconds.
    pub server_login_retry_s: f64,
    /// Whether the run sets `server_login_retry` itself in the window.
    pub login_retry_is_set: bool,
    /// The least number of server connections that a pool keeps.
    pub min_pool_size: u64,
    /// Roles that its clients log in as.
    pub users: Vec<String>,
    /// Backends of its server connections (`remote_pid` of `SHOW SERVERS`): the proof of where they lead.
    pub server_pids: Vec<i32>,
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

    /// Workers that copy tables at the same time: what is wanted, as far as the target lets it.
    #[must_use]
    pub fn sync_workers(&self) -> i64 {
        let limit = self.target.number("max_sync_workers_per_subscription").unwrap_or(2).max(1);
        i64::from(self.wanted.workers).min(limit)
    }
}
