//! Shapes of the endpoints that only say where the database is: DNS, secrets, parameters, services that read them.
//! Clients follow them within minutes, so that they are switched outside of a window.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aws::AwsPlace;
use super::model::Name;
use super::units::Span;

/// Which part of an address stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The host.
    Host,
    /// The port.
    Port,
    /// `host:port`.
    HostPort,
    /// A URL: its host and port are replaced, all else stays.
    Url,
}

/// A record of a hosted zone of Route 53.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Route53 {
    /// Where calls to AWS go.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// Id of the hosted zone, such as `Z0123456789ABC`.
    pub zone: String,
    /// Name of the record, such as `db.example.com`.
    pub record: String,
    /// What kind of record it is.
    #[serde(rename = "type", default)]
    pub kind: RecordKind,
    /// Value that leads to the side that is left; the source's host when absent. Not for weighted records.
    #[serde(default)]
    pub from: Option<String>,
    /// Value that leads to the side that is moved to; the target's host when absent. Not for weighted records.
    #[serde(default)]
    pub to: Option<String>,
    /// Set identifiers of two weighted records: the weight moves from one to the other.
    #[serde(default)]
    pub weighted: Option<Weighted>,
    /// The longest TTL that is accepted: clients follow when it has passed.
    #[serde(default = "Route53::default_ttl")]
    pub max_ttl: Span,
    /// When the TTL was lowered, and from what: caches keep the former one for that long.
    #[serde(default)]
    pub lowered: Option<Lowered>,
    /// URL as an application dials it, through the record; a canary is written through it.
    #[serde(default)]
    pub probe: Option<String>,
    /// All servers of Route 53 must have it by then.
    #[serde(default = "Route53::default_timeout")]
    pub timeout: Span,
}

impl Route53 {
    const fn default_ttl() -> Span {
        Span::secs(60)
    }

    const fn default_timeout() -> Span {
        Span::secs(300)
    }
}

/// Kind of a DNS record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordKind {
    /// A name that stands for another name.
    #[default]
    Cname,
    /// An IPv4 address.
    A,
}

/// Two weighted records of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Weighted {
    /// Set identifier of the record that leads to the side that is left.
    pub from: String,
    /// Set identifier of the record that leads to the side that is moved to.
    pub to: String,
}

/// When a TTL was lowered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lowered {
    /// When, such as `2026-11-25T01:00:00Z`.
    pub at: String,
    /// The TTL before.
    pub from: Span,
}

/// A secret of Secrets Manager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecretsManager {
    /// Where calls to AWS go.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// Name or ARN of the secret.
    pub secret: String,
    /// Keys of a JSON secret, and which part of the address stands under each: `{ host: host, port: port }`.
    #[serde(default)]
    pub keys: BTreeMap<String, Part>,
    /// For a secret that is no JSON: which part of the address it is.
    #[serde(default)]
    pub text: Option<Part>,
    /// `host:port` of the side that is left; the source's address when absent.
    #[serde(default)]
    pub from: Option<String>,
    /// `host:port` of the side that is moved to; the target's address when absent.
    #[serde(default)]
    pub to: Option<String>,
}

/// A parameter of Systems Manager's Parameter Store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SsmParameter {
    /// Where calls to AWS go.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// Name of the parameter, such as `/prod/orders/database-host`.
    pub parameter: String,
    /// Keys of a JSON parameter, and which part of the address stands under each.
    #[serde(default)]
    pub keys: BTreeMap<String, Part>,
    /// For a parameter that is no JSON: which part of the address it is.
    #[serde(default)]
    pub text: Option<Part>,
    /// `host:port` of the side that is left; the source's address when absent.
    #[serde(default)]
    pub from: Option<String>,
    /// `host:port` of the side that is moved to; the target's address when absent.
    #[serde(default)]
    pub to: Option<String>,
}

/// A cluster of ECS, and a service in it whose tasks read where the database is when they start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Ecs {
    /// Where calls to AWS go.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// Name or ARN of the cluster.
    pub cluster: String,
    /// Name of the service; needed for a `switch`.
    #[serde(default)]
    pub service: Option<Name>,
    /// The one value that a new revision of its task definition changes. Without it the service is deployed anew as it
    /// is, so that its tasks read secrets and parameters again.
    #[serde(default)]
    pub set: Option<EcsValue>,
    /// Every task must be new and healthy by then.
    #[serde(default = "Ecs::default_timeout")]
    pub timeout: Span,
}

impl Ecs {
    const fn default_timeout() -> Span {
        Span::secs(1800)
    }
}

/// One value of a task definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EcsValue {
    /// The container.
    pub container: Name,
    /// Name of the environment variable, or of the secret.
    pub name: String,
    /// For an environment variable: which part of the address it is.
    #[serde(default)]
    pub part: Option<Part>,
    /// The value that leads to the side that is left: `host:port` with `part`; without it the whole value, such as a
    /// secret's ARN. The source's address when absent.
    #[serde(default)]
    pub from: Option<String>,
    /// The value that leads to the side that is moved to.
    #[serde(default)]
    pub to: Option<String>,
}

/// An instance that is registered in Cloud Map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CloudMap {
    /// Where calls to AWS go.
    #[serde(default, skip_serializing_if = "AwsPlace::is_empty")]
    pub aws: AwsPlace,
    /// Id of the service, such as `srv-abcdefgh`.
    pub service: String,
    /// Id of the instance.
    pub instance: String,
    /// Its attributes, and which part of the address stands in each: `{ AWS_INSTANCE_CNAME: host }`.
    pub attributes: BTreeMap<String, Part>,
    /// `host:port` of the side that is left; the source's address when absent.
    #[serde(default)]
    pub from: Option<String>,
    /// `host:port` of the side that is moved to; the target's address when absent.
    #[serde(default)]
    pub to: Option<String>,
    /// URL as an application dials it, through the name; a canary is written through it.
    #[serde(default)]
    pub probe: Option<String>,
    /// The registration must be done by then.
    #[serde(default = "CloudMap::default_timeout")]
    pub timeout: Span,
}

impl CloudMap {
    const fn default_timeout() -> Span {
        Span::secs(300)
    }
}

/// A task of ECS that runs once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RunTask {
    /// Name of the step; its kind when absent.
    #[serde(default)]
    pub name: Option<Name>,
    /// The `ecs` system in whose cluster it runs.
    pub cluster: Name,
    /// Its task definition: `family`, `family:revision` or ARN; that of the system's service when absent.
    #[serde(default)]
    pub task_definition: Option<String>,
    /// The container that runs the command and whose exit code counts; the first of the task definition when absent.
    #[serde(default)]
    pub container: Option<Name>,
    /// What the container runs, one list element each; what its definition says when empty.
    #[serde(default)]
    pub command: Vec<String>,
    /// Variables of the container. Everybody who may describe tasks can read them: no place for secrets.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Its network; that of the system's service when absent.
    #[serde(default)]
    pub network: Option<TaskNetwork>,
    /// The database whose schema it changes: an advisory lock there keeps a second actor out meanwhile.
    #[serde(default)]
    pub database: Option<Name>,
    /// What takes it back.
    pub undo: UndoTask,
    /// It must have ended by then; it is not stopped.
    #[serde(default = "RunTask::default_timeout")]
    pub timeout: Span,
}

impl RunTask {
    const fn default_timeout() -> Span {
        Span::secs(1800)
    }
}

/// The network of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TaskNetwork {
    /// Its subnets.
    pub subnets: Vec<String>,
    /// Its security groups.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// Whether it gets a public address.
    #[serde(default)]
    pub public_ip: bool,
}

/// What takes a task back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UndoTask {
    /// The same task with this command.
    Run(Vec<String>),
    /// Nothing needs to be taken back: the schema also fits the former application.
    Nothing,
    /// It can't be taken back; the runbook must ask a person before it.
    Irreversible,
}
