//! Shapes of the steps that change servers of RDS.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::Name;
use super::units::Span;

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
