//! The plan: a runbook with every choice made, frozen and hashed. A run executes a plan and never reads the runbook
//! again.

mod accounts;
mod compile;
mod kinds;
mod permissions;
pub mod references;
pub mod show;

pub use accounts::right_accounts;
pub use compile::{CompileError, assemble, compile};
pub use permissions::permissions;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::journal::StepId;
use crate::runbook::model::{AwsPlace, Fence, Gate, Name, Stage, Step, System, Window};
use crate::systems::aws::alb::State;
use crate::systems::aws::rds::Server;
use crate::systems::pair::Pair;
use crate::systems::{Certainty, DriverError};

/// Version of the stored form.
pub const FORMAT: u32 = 1;

/// A runbook with every choice made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of the stored form.
    pub format: u32,
    /// Version of the program that made it.
    pub program: String,
    /// Name of the runbook.
    pub runbook: Name,
    /// File it came from, for people.
    pub file: String,
    /// SHA-256 of that file.
    pub file_sha256: String,
    /// Environment chosen with `--env`.
    pub environment: Option<Name>,
    /// What kind of place it works on.
    pub stage: Stage,
    /// Where calls to AWS go that belong to no system, such as secret references.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// The systems, with secrets still as references.
    pub systems: IndexMap<Name, System>,
    /// The gates.
    pub gates: IndexMap<Name, Gate>,
    /// The steps in the order of execution; those of a window follow it.
    pub steps: Vec<PlanStep>,
    /// The databases, when the runbook replicates.
    pub pair: Option<Pair>,
    /// What was chosen by looking at the systems.
    pub choices: Choices,
}

/// One step of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    /// Its name: given, or its kind, with a number when it is not the first.
    pub id: StepId,
    /// What it is. Of a window, the steps inside follow on their own and its list is empty.
    pub step: Step,
    /// Position of the window it stands in.
    pub window: Option<usize>,
}

/// What was chosen by looking at the systems.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// About the source.
    pub source: SideChoices,
    /// About the target.
    pub target: SideChoices,
    /// The tables that are carried, `(schema, table)`.
    pub tables: Vec<(String, String)>,
    /// Sequences of the source, `(schema, sequence)`; read again at the window.
    pub sequences: Vec<(String, String)>,
    /// The application's schemas.
    pub schemas: Vec<String>,
    /// What stands in the load balancers of AWS, by system: the calls that the plan shows are made from it.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub routes: IndexMap<Name, State>,
    /// The servers of RDS that `rds` systems name, by system; those that are not there yet are left out.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub servers: IndexMap<Name, RdsServer>,
    /// The Blue/Green deployment that is switched over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blue_green: Option<BlueGreen>,
    /// What only MySQL and MariaDB need to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mysql: Option<MysqlChoices>,
    /// What only DMS needs to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dms: Option<DmsChoices>,
}

/// A Blue/Green deployment as a plan means it: its name can be given to another one when it is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlueGreen {
    /// `BlueGreenDeploymentIdentifier`.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// What was chosen for a task of DMS: columns, `(schema, table, column)`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DmsChoices {
    /// Columns that the target computes itself: the task leaves them out.
    pub generated: Vec<(String, String, String)>,
    /// Identities that take no value from outside: they do, until the target opens.
    pub identities: Vec<(String, String, String)>,
    /// MySQL: whether the source logs what its foreign keys do to other rows, so that DMS carries it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cascades_logged: bool,
}

/// A server of RDS as a plan means it: its identifier can be given to another one meanwhile, its resource id can't.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdsServer {
    /// `DbiResourceId`, or `DbClusterResourceId`.
    pub resource_id: String,
    /// What it was called.
    pub identifier: String,
}

/// What was chosen for the streams between two MySQL or MariaDB servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MysqlChoices {
    /// How a stream knows where it is.
    pub follow: Follow,
    /// Why it is so.
    pub why: String,
    /// Whether the streams carry only the named schemas.
    #[serde(default)]
    pub filtered: bool,
    /// Events that run on the side that is written: `(schema, event, definer)`.
    #[serde(default)]
    pub events: Vec<(String, String, String)>,
    /// Routines, triggers and views that the copy takes along, counted for people.
    #[serde(default)]
    pub objects: String,
    /// How the first copy is made.
    #[serde(default)]
    pub copy_by: CopyBy,
    /// Why it is so.
    #[serde(default)]
    pub copy_why: String,
    /// User of the source by which the target follows, where the target is a replica already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_user: Option<String>,
}

/// How the first copy of MySQL or MariaDB is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyBy {
    /// The server's dump program, loaded by its client.
    #[default]
    Dump,
    /// The clone plugin: the target fetches every page by itself.
    Clone,
    /// `mydumper` reads the rows with several sessions, and several clients load them.
    Mydumper,
}

/// How a stream of MySQL or MariaDB knows where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Follow {
    /// By global transaction ids.
    #[default]
    Gtid,
    /// By file and position of the binary log.
    Position,
}

/// What was chosen for one MySQL or MariaDB server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MysqlSide {
    /// `server_id`.
    pub server_id: u32,
    /// Whether replication and the fence go through RDS's procedures and account locks.
    #[serde(default)]
    pub rds: bool,
    /// Whether what was applied must be flushed by a statement: the server does not flush every commit.
    #[serde(default)]
    pub flush: bool,
    /// MariaDB's `gtid_domain_id`.
    #[serde(default)]
    pub domain: u32,
    /// Whether it has names of version 8.4 and later for RDS's procedures.
    #[serde(default)]
    pub new_words: bool,
}

/// What was chosen for one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SideChoices {
    /// `server_version_num`.
    pub version: i32,
    /// How clients are kept out of it: never [`Fence::Auto`].
    pub fence: Fence,
    /// Whether our role is a superuser there.
    pub superuser: bool,
    /// `system_identifier`: another one means that another server answers.
    pub system_identifier: String,
    /// Name of the database on the server.
    pub database: String,
    /// Our role.
    pub role: String,
    /// What only MySQL and MariaDB need to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mysql: Option<MysqlSide>,
    /// The server of RDS that answered, of a database that names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rds: Option<RdsSide>,
}

/// A server of RDS: an identifier can be renamed, and given to another one; the resource id can't.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdsSide {
    /// `DbiResourceId`, or `DbClusterResourceId`.
    pub resource_id: String,
    /// What it was called.
    pub identifier: String,
    /// Where it was dialled: who takes the run up inside of a window need not wait for RDS.
    #[serde(default)]
    pub host: String,
    /// Its port.
    #[serde(default)]
    pub port: String,
}

impl Choices {
    /// Whether a server of RDS is the one that the plan means by a system; a run changes no other.
    pub fn same_server(&self, system: &str, found: &Server) -> Result<(), DriverError> {
        let Some(planned) = self.servers.get(system) else {
            // It was not there when the plan was made: the run itself made it.
            return Ok(());
        };
        if planned.resource_id == found.resource_id {
            return Ok(());
        }
        let reason = format!(
            "what is called {} now is another {} than that of the plan ({}, planned {})",
            found.identifier,
            found.kind.word(),
            found.resource_id,
            planned.resource_id
        );
        Err(DriverError::new(system, "look whether it is the same", reason, Certainty::NotSent)
            .with_hint("somebody has renamed it: nothing was changed. Put it right, or make a new plan"))
    }
}

impl Plan {
    /// SHA-256 of the stored form.
    #[must_use]
    pub fn hash(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(Sha256::digest(text))
    }

    /// Position of a step.
    #[must_use]
    pub fn position(&self, id: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.id == id)
    }

    /// The step at a position.
    #[must_use]
    pub fn step(&self, position: usize) -> Option<&PlanStep> {
        self.steps.get(position)
    }

    /// Positions of the steps inside the window at `window`.
    pub fn inside(&self, window: usize) -> impl DoubleEndedIterator<Item = usize> + '_ {
        (0..self.steps.len()).filter(move |&position| self.steps[position].window == Some(window))
    }

    /// The window, if there is one.
    #[must_use]
    pub fn window(&self) -> Option<(usize, &Window)> {
        self.steps.iter().enumerate().find_map(|(position, step)| match &step.step {
            Step::Window(window) => Some((position, window)),
            _ => None,
        })
    }

    /// Position of `finalize`, the point of no return.
    #[must_use]
    pub fn point_of_no_return(&self) -> Option<usize> {
        self.steps.iter().position(|step| matches!(step.step, Step::Finalize(_)))
    }

    /// Whether the source follows the target after the window, so that a rollback loses no write.
    #[must_use]
    pub fn keeps_way_back(&self) -> bool {
        self.steps.iter().any(|step| matches!(&step.step, Step::Promote(promote) if promote.keep_way_back))
    }

    /// The `freeze` step and its position.
    #[must_use]
    pub fn freeze(&self) -> Option<(usize, &crate::runbook::model::Freeze)> {
        self.steps.iter().enumerate().find_map(|(position, step)| match &step.step {
            Step::Freeze(freeze) => Some((position, freeze)),
            _ => None,
        })
    }

    /// The endpoints that the window's `switch` points at the other side.
    #[must_use]
    pub fn endpoints(&self) -> &[Name] {
        let mut inside = self.steps.iter().filter(|step| step.window.is_some());
        inside
            .find_map(|step| match &step.step {
                Step::Switch(switch) => Some(switch.endpoints.as_slice()),
                _ => None,
            })
            .unwrap_or(&[])
    }
}
