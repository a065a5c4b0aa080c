//! Shapes of DMS, the Database Migration Service: what runs a task of it as a system, and what the task is told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aws::AwsPlace;
use super::model::Name;
use super::units::{Size, Span};

/// What runs a task of DMS: exactly one of `instance`, `create` and `serverless`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Dms {
    /// Where calls to AWS go.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// Identifier of an instance that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// An instance that the run makes, and deletes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<DmsInstance>,
    /// Capacity of DMS's own, which comes with the task and goes with it: DMS Serverless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serverless: Option<DmsServerless>,
}

impl Dms {
    /// Which of both ways of DMS it is.
    #[must_use]
    pub const fn runner(&self) -> DmsRunner {
        if self.serverless.is_some() { DmsRunner::Serverless } else { DmsRunner::Instance }
    }
}

/// The two ways in which DMS runs a task. Each has calls of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DmsRunner {
    /// As a replication task on a replication instance.
    #[default]
    Instance,
    /// As a serverless replication.
    Serverless,
}

impl DmsRunner {
    /// Whether it is the one of plans that say nothing.
    #[must_use]
    pub fn is_instance(&self) -> bool {
        *self == Self::Instance
    }
}

/// The capacity of a serverless replication, in units of 2 GiB of memory. DMS chooses within the bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DmsServerless {
    /// Units that it has at least; 1 when absent. DMS needs minutes for more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_capacity: Option<u16>,
    /// Units that it has at most: 1, 2, 4, 8, 16, 32, 64, 128, 192, 256 or 384.
    pub max_capacity: u16,
    /// The subnet group of DMS that it runs in; the account's default one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_group: Option<String>,
    /// Its security groups; the network's default one when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    /// Whether it has a standby in another zone.
    #[serde(default)]
    pub multi_az: bool,
}

impl DmsServerless {
    /// Capacities that DMS has (<https://docs.aws.amazon.com/dms/latest/APIReference/API_ComputeConfig.html>).
    pub const UNITS: [u16; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384];
}

/// A replication instance that the run makes. It has no address of its own on the internet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DmsInstance {
    /// Its class, such as `dms.c6i.large`.
    pub class: String,
    /// Its storage, for changes that wait, and logs; whole GiB.
    #[serde(default = "DmsInstance::default_storage")]
    pub storage: Size,
    /// The subnet group of DMS that it is made in; the account's default one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_group: Option<String>,
    /// Its security groups; the network's default one when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    /// Version of DMS, such as `3.5.4`; that of the day when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// Whether it has a standby in another zone.
    #[serde(default)]
    pub multi_az: bool,
    /// It must be there by then.
    #[serde(default = "DmsInstance::default_timeout")]
    pub timeout: Span,
}

impl DmsInstance {
    const fn default_storage() -> Size {
        Size(50 << 30)
    }

    const fn default_timeout() -> Span {
        Span::secs(45 * 60)
    }
}

/// How a task of DMS carries the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DmsTask {
    /// What runs the task: a `dms` system.
    pub instance: Name,
    /// How DMS logs in to the database that is left.
    pub source: DmsLogin,
    /// How DMS logs in to the database that is moved to. The run takes this login away at the switch.
    pub target: DmsLogin,
    /// How large values are carried.
    #[serde(default)]
    pub lob: Lob,
    /// Whether changes are applied in batches, table by table: faster, and out of order within a batch.
    #[serde(default)]
    pub batch_apply: bool,
    /// Whether DMS compares the rows by itself; the gate `dms-validation` reads what it finds.
    #[serde(default = "DmsTask::yes")]
    pub validation: bool,
    /// Whether the task writes a log; it needs the role `dms-cloudwatch-logs-role` in the account.
    #[serde(default)]
    pub logs: bool,
}

impl DmsTask {
    const fn yes() -> bool {
        true
    }
}

/// How DMS logs in to a database: with a URL, whose password is sent once, or with a secret that DMS reads itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DmsLogin {
    /// The login role, or MySQL's user: one that nobody but DMS has.
    pub role: String,
    /// `postgresql://role:password@host:port/database`, or `mysql://user:password@host:port`, as DMS dials it; a secret
    /// reference, or a URL with one in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// ARN of a secret of Secrets Manager with `username`, `password`, `host` and `port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// ARN of the role with which DMS reads the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_role: Option<String>,
    /// What DMS calls the kind of server; that of the database's own kind when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<DmsEngine>,
    /// Whether DMS insists on TLS.
    #[serde(default)]
    pub tls: DmsTls,
    /// ARN of a certificate that was imported into DMS: the server's must be by it. MySQL and MariaDB have no TLS in DMS
    /// without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// What DMS calls a kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DmsEngine {
    /// PostgreSQL, RDS for PostgreSQL too.
    Postgres,
    /// Aurora of PostgreSQL's kind.
    AuroraPostgresql,
    /// MySQL, RDS for MySQL too.
    Mysql,
    /// MariaDB, RDS for MariaDB too.
    Mariadb,
    /// Aurora of MySQL's kind.
    Aurora,
}

impl DmsEngine {
    /// Its name in calls.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::AuroraPostgresql => "aurora-postgresql",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Aurora => "aurora",
        }
    }

    /// The kind of database, as runbooks name it, that this can be.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Postgres | Self::AuroraPostgresql => "postgres",
            Self::Mysql | Self::Aurora => "mysql",
            Self::Mariadb => "mariadb",
        }
    }

    /// What a kind of database is called where nothing else is said.
    #[must_use]
    pub fn of(kind: &str) -> Self {
        match kind {
            "mysql" => Self::Mysql,
            "mariadb" => Self::Mariadb,
            _ => Self::Postgres,
        }
    }
}

/// How DMS protects a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DmsTls {
    /// Not at all.
    None,
    /// TLS, without looking at the certificate.
    #[default]
    Require,
}

/// How DMS carries large values (`text`, `bytea`, `json`, `jsonb`, `xml`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lob {
    /// Whole, whatever their size; slower.
    #[default]
    Full,
    /// Up to this size: what is longer is CUT OFF. The preflight looks for such values.
    Limited(Size),
}
