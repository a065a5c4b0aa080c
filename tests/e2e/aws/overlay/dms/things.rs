//! What DMS keeps: things with a state that passes, connections, tasks.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::watch;

use super::{
    LOOKS, lock,
    rows::{Login, TableOf},
};

/// Something with a state that passes.
#[derive(Clone, Default)]
pub(super) struct Thing {
    pub(super) arn: String,
    pub(super) name: String,
    pub(super) status: &'static str,
    pub(super) looks: usize,
    pub(super) asked: Value,
}

#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) thing: Thing,
    pub(super) login: Login,
}

#[derive(Clone, Default)]
pub(super) struct Connection {
    pub(super) status: &'static str,
    pub(super) failure: String,
    pub(super) looks: usize,
    pub(super) outcome: Option<Result<(), String>>,
}

/// What a task runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum On {
    /// The instance of this ARN.
    Instance(String),
    Serverless,
}

/// The states of a serverless replication from its start, one after the other.
pub(super) const STARTING: [&str; 5] =
    ["initializing", "testing_connection", "provisioning_capacity", "replication_starting", "running"];

pub(super) struct Task {
    pub(super) thing: Thing,
    pub(super) source: String,
    pub(super) target: String,
    pub(super) on: On,
    /// What it says of itself, shared with what carries its rows.
    pub(super) told: Arc<Mutex<Told>>,
    pub(super) started: usize,
    pub(super) stop: Option<watch::Sender<bool>>,
    pub(super) loaded: bool,
}

/// What a task's worker says.
#[derive(Default)]
pub(super) struct Told {
    pub(super) ended: Option<Ended>,
    pub(super) tables: Vec<TableOf>,
    /// Transactions that were applied behind the load.
    pub(super) applied: u64,
    pub(super) last_lsn: Option<u64>,
    /// MySQL: file and place in the source's binary log up to which all is applied.
    pub(super) place: Option<(String, u64)>,
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Loaded,
    Stopped,
    Failed(String),
}

impl Thing {
    /// A state that passes has passed after some looks.
    pub(super) fn look(&mut self, from: &str, to: &'static str) {
        if self.status == from {
            self.looks += 1;
            if self.looks > LOOKS {
                (self.status, self.looks) = (to, 0);
            }
        }
    }

    pub(super) fn is_gone(&mut self) -> bool {
        self.look("deleting", "gone");
        self.status == "gone"
    }
}

impl Connection {
    pub(super) fn look(&mut self) {
        self.looks += 1;
        let Some(outcome) = self.outcome.clone().filter(|_| self.looks > LOOKS) else { return };
        match outcome {
            Ok(()) => self.status = "successful",
            Err(failure) => (self.status, self.failure) = ("failed", failure),
        }
    }
}

impl Task {
    pub(super) fn look(&mut self) {
        self.thing.look("creating", "ready");
        self.thing.look("starting", "running");
        let ended = lock(&self.told).ended.clone();
        if let Some(at) = STARTING[..4].iter().position(|state| *state == self.thing.status) {
            // Its connections are tested as it starts.
            let refused = at > 0 && matches!(ended, Some(Ended::Failed(_)));
            self.thing.status = if refused { "failed" } else { STARTING[at + 1] };
            return;
        }
        match (self.thing.status, ended) {
            ("running", Some(Ended::Loaded)) => (self.thing.status, self.loaded) = ("stopped", true),
            ("running", Some(Ended::Failed(_))) => self.thing.status = "failed",
            ("stopping", Some(_)) => self.thing.look("stopping", "stopped"),
            _ => {}
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        ["running", "starting", "stopping"].contains(&self.thing.status) || STARTING.contains(&self.thing.status)
    }

    pub(super) fn words(&self) -> (&'static str, String) {
        match &lock(&self.told).ended {
            Some(Ended::Loaded) => ("Stop Reason STOPPED_AFTER_CACHED_EVENTS", String::new()),
            Some(Ended::Stopped) => ("Stop Reason NORMAL", String::new()),
            Some(Ended::Failed(why)) => ("Stop Reason FATAL_ERROR", why.clone()),
            None => ("", String::new()),
        }
    }
}
