//! The runbook as its author wrote it: typed, units read, names not yet looked up.
//!
//! These shapes are the single description of the format. The reader (`read`) fills them from YAML, the JSON Schema
//! (`pointsman schema`) is derived from them, and the frozen plan stores them. Keys are `kebab-case`; unknown keys are
//! refused. Text fields may hold `${var:NAME}` (replaced when the file is read) and secret references such as
//! `${env:NAME}`, `${file:PATH}`, `${aws-secret:NAME}` or `${ssm:NAME}` (kept as references until a connection is opened).

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Share, Size, Span};

pub use super::alb::*;
pub use super::aws::*;
pub use super::endpoints::*;
pub use super::gates::*;
pub use super::named::*;
pub use super::rds::*;
pub use super::rds_steps::*;
pub use super::replicate::*;
pub use super::steps::*;
pub use super::systems::*;

/// A name given by the author: letters, digits, `-` and `_`.
pub type Name = String;

/// A whole runbook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Runbook {
    /// Version of the runbook format: 1.
    pub version: u32,
    /// Name of the runbook; it names the runs and is what a person types to confirm.
    pub name: Name,
    /// What this runbook moves, in a sentence; shown by `plan`.
    #[serde(default)]
    pub description: Option<String>,
    /// Values to use as `${var:NAME}`.
    #[serde(default)]
    pub vars: BTreeMap<Name, String>,
    /// Marks the environment that people must not mistake: `production` is shown as a warning everywhere.
    #[serde(default)]
    pub stage: Stage,
    /// Where calls to AWS go, and as whom; systems and gates may say otherwise for themselves.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// The outside things that this runbook touches, by name.
    pub systems: IndexMap<Name, System>,
    /// Named questions that steps wait for.
    #[serde(default)]
    pub gates: IndexMap<Name, Gate>,
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// Overlays chosen with `--env NAME`: each may replace parts of `vars`, `stage`, `aws`, `systems` and `gates`. The
    /// overlay is merged into the file before it is read into these shapes, so this is empty in a read runbook.
    #[serde(default, skip_serializing)]
    pub environments: IndexMap<Name, Overlay>,
}

/// What kind of place a run works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Real users are behind it.
    #[default]
    Production,
    /// A place to try.
    Staging,
    /// A sandbox of this machine.
    Rehearsal,
}

/// The parts of a runbook that may differ between environments. Maps are merged key by key, anything else is replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Overlay {
    /// Replaces `stage`.
    #[serde(default)]
    pub stage: Option<Stage>,
    /// Merged into `vars`.
    #[serde(default)]
    pub vars: BTreeMap<Name, String>,
    /// Merged into `aws`.
    #[serde(default)]
    pub aws: BTreeMap<Name, serde_json::Value>,
    /// Merged into `systems`.
    #[serde(default)]
    pub systems: BTreeMap<Name, serde_json::Value>,
    /// Merged into `gates`.
    #[serde(default)]
    pub gates: BTreeMap<Name, serde_json::Value>,
}

/// A program of this machine, started without a shell: `run: [ssh, pool-1, systemctl, reload, pgbouncer]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Program {
    /// The program and its arguments, one list element each; no shell reads them.
    pub run: Vec<String>,
    /// Variables added to its environment; may be secret references.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Killed after this long.
    #[serde(default = "Program::default_timeout")]
    pub timeout: Span,
}

impl Program {
    const fn default_timeout() -> Span {
        Span::secs(60)
    }
}

/// What a reading of a number or a text must be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Expect {
    /// Passes when the reading is at most this number.
    #[serde(default)]
    pub max: Option<f64>,
    /// Passes when the reading is at least this number.
    #[serde(default)]
    pub min: Option<f64>,
    /// Passes when the reading, as text, is exactly this.
    #[serde(default)]
    pub equals: Option<String>,
}

/// A limit in bytes, for the places that speak of them.
pub type Bytes = Size;
/// A traffic share.
pub type Percent = Share;
