//! Shape of a database server of RDS: an instance, or a cluster of Aurora.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aws::AwsPlace;

/// An instance of RDS, or a cluster of Aurora: exactly one of the two. Steps change it, and a database may name it
/// instead of a URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rds {
    /// Where calls to AWS go.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// Identifier of the instance, such as `orders-prod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Identifier of the cluster; its writer is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}
