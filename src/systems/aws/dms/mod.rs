//! DMS: replication instances, endpoints, connections, tasks and what they say of their tables. What is read is in structs
//! of our own, since in the SDK's all fields are optional.
//!
//! A task runs on a replication instance, or serverless: there it is a replication configuration and its one replication,
//! with calls and words of their own. To everybody else both are a task.
//!
//! Everything has an identifier that its maker gives, by which it is found again after an answer was lost; the calls that
//! use it want the ARN, which DMS gives.

mod change;
mod read;
mod task;

pub use change::{
    Credentials, NewEndpoint, NewInstance, SOURCE_ATTRIBUTES, Settings, TAG, TARGET_SCRIPT, create_endpoint,
    create_instance, delete_endpoint, delete_instance, gibibytes, test, tls_word,
};
pub use read::{connection, endpoint, instance, tables, task};
pub use task::{NewTask, On, Operations, Start, State, create_task, delete_task, start, stop};

/// Code of the answer when there is no such thing, or none that the filter lets through.
pub const MISSING: &str = "ResourceNotFoundFault";
/// Code of the answer when there is one of this identifier already.
pub const EXISTS: &str = "ResourceAlreadyExistsFault";
/// Code of the answer when the state of a thing does not allow the call.
pub const STATE: &str = "InvalidResourceStateFault";

/// A replication instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its ARN.
    pub arn: String,
    /// Its identifier.
    pub identifier: String,
    /// `available` when tasks can run on it.
    pub status: String,
    /// Its class.
    pub class: String,
    /// Version of DMS.
    pub version: String,
}

/// An endpoint: how DMS reaches one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its ARN.
    pub arn: String,
    /// Its identifier.
    pub identifier: String,
    /// Its status.
    pub status: String,
}

/// The last test of a connection from an instance to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `testing`, `successful` or `failed`.
    pub status: String,
    /// Why it failed.
    pub failure: String,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its ARN.
    pub arn: String,
    /// What DMS calls its state.
    pub status: String,
    /// What that means.
    pub state: State,
    /// Why it stopped, in DMS's words, such as `Stop Reason STOPPED_AFTER_CACHED_EVENTS`.
    pub stop_reason: String,
    /// Why it failed last.
    pub failure: String,
}

impl Task {
    /// Whether it stopped by itself because everything was loaded, and what came meanwhile was applied.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.state == State::Stopped && self.stop_reason.contains("STOPPED_AFTER_CACHED_EVENTS")
    }

    /// The last part of its ARN: what CloudWatch calls it.
    #[must_use]
    pub fn resource(&self) -> &str {
        self.arn.rsplit(':').next().unwrap_or(&self.arn)
    }
}

/// What a task says of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Such as `Full load`, `Table completed` or `Table error`.
    pub state: String,
    /// Rows that were loaded.
    pub loaded: i64,
    /// Rows that could not be loaded.
    pub errors: i64,
    /// Such as `Validated`, `Pending records`, `Mismatched records` or `No primary key`.
    pub validation: String,
    /// Records that are not compared yet.
    pub pending: i64,
    /// Records that differ.
    pub failed: i64,
    /// Records that could not be compared.
    pub suspended: i64,
}

impl Table {
    /// `schema.table`.
    #[must_use]
    pub fn full(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Whether all of it was loaded.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.state == "Table completed"
    }

    /// Whether DMS has given it up, or left out rows of it.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.errors > 0 || ["Table error", "Table cancelled"].contains(&self.state.as_str())
    }
}
