//! Shapes of the steps that change servers of RDS.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::Name;
use super::units::{Size, Span};

/// Take a snapshot, and wait until it is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Snapshot {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// The `rds` system that is backed up.
    pub of: Name,
    /// It is available by then.
    #[serde(default = "Snapshot::default_timeout")]
    pub timeout: Span,
}

impl Snapshot {
    const fn default_timeout() -> Span {
        Span::secs(4 * 3600)
    }
}

/// Change parameters of a server's parameter group, and bring them into force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Parameters {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// The `rds` system whose parameter group is changed.
    pub of: Name,
    /// Parameters and their values.
    pub set: BTreeMap<String, String>,
    /// Whether a reboot brings into force what needs one.
    #[serde(default)]
    pub reboot: Reboot,
    /// They are in force by then.
    #[serde(default = "Parameters::default_timeout")]
    pub timeout: Span,
}

impl Parameters {
    const fn default_timeout() -> Span {
        Span::secs(1800)
    }
}

/// Whether a server is rebooted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reboot {
    /// When a parameter waits for it.
    #[default]
    WhenNeeded,
    /// Not by this step: what needs a reboot waits for somebody else's.
    Never,
}

/// Make an instance that is not there yet, and wait until it is available.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CreateInstance {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// The `rds` system of the instance: its identifier comes from there.
    pub of: Name,
    /// `postgres`, `mysql` or `mariadb`.
    pub engine: String,
    /// Such as `17.4`.
    pub engine_version: String,
    /// Such as `db.m7g.large`.
    pub class: String,
    /// Whole GiB, such as `200GiB`.
    pub storage: Size,
    /// Such as `gp3`; RDS's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<String>,
    /// Whether a standby stands in another zone.
    #[serde(default)]
    pub multi_az: bool,
    /// Its subnet group; the default one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_group: Option<String>,
    /// Its security groups; the network's default one when empty.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// Its parameter group; the default one, which can't be changed, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_group: Option<String>,
    /// A database that is made in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The master user.
    pub user: String,
    /// A reference to its password, such as `${aws-secret:prod/orders#password}`; RDS makes one and keeps it in Secrets
    /// Manager when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Days that automatic backups are kept.
    #[serde(default = "CreateInstance::default_days")]
    pub backup_days: u32,
    /// Whether it can't be deleted before somebody says that it can.
    #[serde(default = "CreateInstance::yes")]
    pub deletion_protection: bool,
    /// Whether it is encrypted at rest.
    #[serde(default = "CreateInstance::yes")]
    pub encrypted: bool,
    /// What takes it back.
    #[serde(default)]
    pub undo: UndoCreate,
    /// It is available by then.
    #[serde(default = "CreateInstance::default_timeout")]
    pub timeout: Span,
}

impl CreateInstance {
    const fn yes() -> bool {
        true
    }

    const fn default_days() -> u32 {
        7
    }

    const fn default_timeout() -> Span {
        Span::secs(3600)
    }
}

/// Make a Blue/Green deployment of an instance of RDS, or of a cluster of Aurora PostgreSQL, and wait until its green one follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CreateBlueGreen {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// The `rds` system of the deployment (`blue-green`): its name comes from there.
    pub of: Name,
    /// The `rds` system of the instance or cluster that is copied.
    pub from: Name,
    /// Version of the green one, such as `17.6`, not older; that of the copied one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// Class of the green instance, such as `db.m7g.large`; that of the copied one when absent. Not of a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Parameter group of the green one, of a cluster that of the cluster; that of the copied one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_group: Option<String>,
    /// Parameter group of the instances of a green cluster; that of the copied ones when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_parameter_group: Option<String>,
    /// Storage of the green instance in whole GiB, such as `200GiB`; that of the copied one when absent. Not of a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Size>,
    /// `gp2`, `gp3`, `io1` or `io2`; that of the copied one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<String>,
    /// Provisioned I/O operations a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iops: Option<u32>,
    /// Throughput of `gp3` in MiB a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<u32>,
    /// What becomes of the green one when the step is taken back. The record of the deployment is deleted in any case.
    #[serde(default)]
    pub undo: UndoCreate,
    /// It is available by then.
    #[serde(default = "CreateBlueGreen::default_timeout")]
    pub timeout: Span,
}

impl CreateBlueGreen {
    const fn default_timeout() -> Span {
        Span::secs(12 * 3600)
    }
}

/// What takes an instance or a cluster back that was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UndoCreate {
    /// Nothing: it is kept.
    #[default]
    Keep,
    /// It is deleted, with a last snapshot; only if this run has made it.
    DeleteWithSnapshot,
}

/// Take the side that was left out of service: nothing is deleted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Decommission {
    /// Name of the step; its kind when absent.
    pub name: Option<Name>,
    /// `alb` systems: their old target group leaves the rules.
    pub rules: Vec<Name>,
    /// `ecs` systems, whose service gets no tasks any more, and `rds` systems, which are stopped after a last snapshot.
    pub stop: Vec<Name>,
    /// Each is stopped by then.
    pub timeout: Option<Span>,
}

impl Decommission {
    /// Each is stopped by then.
    #[must_use]
    pub fn patience(&self) -> Span {
        self.timeout.unwrap_or(Span::secs(4 * 3600))
    }
}
