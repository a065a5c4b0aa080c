//! Shapes of what RDS has: a database server (an instance, or a cluster of Aurora), and a proxy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aws::AwsPlace;
use super::model::Name;
use super::units::Span;

/// An instance of RDS, a cluster of Aurora, or the green one of a Blue/Green deployment: exactly one of the three.
/// Steps change it, and a database may name it instead of a URL.
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
    /// Name of a Blue/Green deployment; its green instance, or cluster, is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blue_green: Option<String>,
}

/// An RDS Proxy that clients connect to. It leads to one database; `switch` exchanges that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RdsProxy {
    /// Where calls to AWS go.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// Name of the proxy.
    pub proxy: String,
    /// Its target group.
    #[serde(default = "RdsProxy::default_group")]
    pub target_group: Name,
    /// The `rds` system of the database that is left.
    pub from: Name,
    /// The `rds` system of the database that is moved to.
    pub to: Name,
    /// URL as an application dials it, through the proxy; a canary is written through it.
    #[serde(default)]
    pub probe: Option<String>,
    /// It leads clients to the other database by then.
    #[serde(default = "RdsProxy::default_timeout")]
    pub timeout: Span,
}

impl RdsProxy {
    fn default_group() -> Name {
        "default".to_owned()
    }

    const fn default_timeout() -> Span {
        Span::secs(900)
    }
}

/// The identifier of a server of RDS, which has its DNS name: `switch` gives it to another server. The one that has it is
/// called otherwise from then on. Both restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RdsNames {
    /// Where calls to AWS go.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// The `rds` system whose identifier clients know.
    pub from: Name,
    /// The `rds` system that shall have it.
    pub to: Name,
    /// What the former one is called then; its identifier with `-old` when absent.
    #[serde(default)]
    pub former: Option<String>,
    /// URL as an application dials it, by the name; a canary is written through it.
    #[serde(default)]
    pub probe: Option<String>,
    /// Both have their names by then.
    #[serde(default = "RdsNames::default_timeout")]
    pub timeout: Span,
}

impl RdsNames {
    const fn default_timeout() -> Span {
        Span::secs(1800)
    }
}

/// Make another instance of a cluster its writer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Failover {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// The `rds` system of the cluster.
    pub of: Name,
    /// Identifier of the instance that shall be its writer.
    pub to: String,
    /// It is by then.
    #[serde(default = "Failover::default_timeout")]
    pub timeout: Span,
}

impl Failover {
    const fn default_timeout() -> Span {
        Span::secs(600)
    }
}
