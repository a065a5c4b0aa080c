//! Shapes of the `systems:` section: the outside things that a runbook touches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{
    Alb, AwsPlace, CloudMap, Dms, Ecs, Name, Naming, OnRds, Program, Rds, RdsNames, RdsProxy, Route53, SecretsManager,
    SsmParameter,
};
use super::units::Span;

/// An outside thing with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// A PostgreSQL database.
    Postgres(Postgres),
    /// A MySQL server.
    Mysql(Mysql),
    /// A MariaDB server.
    Mariadb(Mysql),
    /// A PgBouncer pooler, one or several instances in front of one database.
    Pgbouncer(Pgbouncer),
    /// An HAProxy load balancer, one or several nodes with the same backend.
    Haproxy(Haproxy),
    /// An Application Load Balancer of AWS.
    Alb(Box<Alb>),
    /// An HAProxy that leads connections (`mode tcp`) to one of the two databases.
    HaproxyTcp(HaproxyTcp),
    /// A record of Route 53.
    Route53(Route53),
    /// A secret of Secrets Manager.
    SecretsManager(SecretsManager),
    /// A parameter of Systems Manager.
    SsmParameter(SsmParameter),
    /// A cluster of ECS, and a service in it.
    Ecs(Ecs),
    /// An instance of Cloud Map.
    CloudMap(CloudMap),
    /// A database server of RDS: an instance, or a cluster of Aurora.
    Rds(Rds),
    /// What runs a task of DMS.
    Dms(Box<Dms>),
    /// An RDS Proxy.
    RdsProxy(RdsProxy),
    /// The identifier of a server of RDS, and its DNS name with it.
    RdsNames(RdsNames),
}

impl System {
    /// The kind as the runbook spells it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Mysql(_) => "mysql",
            Self::Mariadb(_) => "mariadb",
            Self::Pgbouncer(_) => "pgbouncer",
            Self::Haproxy(_) => "haproxy",
            Self::Alb(_) => "alb",
            Self::HaproxyTcp(_) => "haproxy-tcp",
            Self::Route53(_) => "route53",
            Self::SecretsManager(_) => "secrets-manager",
            Self::SsmParameter(_) => "ssm-parameter",
            Self::Ecs(_) => "ecs",
            Self::CloudMap(_) => "cloud-map",
            Self::Rds(_) => "rds",
            Self::Dms(_) => "dms",
            Self::RdsProxy(_) => "rds-proxy",
            Self::RdsNames(_) => "rds-names",
        }
    }

    /// Whether it divides traffic by weights: `shift` moves it.
    #[must_use]
    pub const fn divides_traffic(&self) -> bool {
        matches!(self, Self::Haproxy(_) | Self::Alb(_))
    }

    /// How it takes part in a cutover as an endpoint: a thing that clients go through, or read, to find their database.
    #[must_use]
    pub const fn endpoint(&self) -> Option<Manner> {
        match self {
            Self::Pgbouncer(_) => Some(Manner { holds: Holds::Wait, place: Place::Inside }),
            Self::HaproxyTcp(_) => Some(Manner { holds: Holds::Drain, place: Place::Inside }),
            Self::Route53(_)
            | Self::SecretsManager(_)
            | Self::SsmParameter(_)
            | Self::Ecs(_)
            | Self::CloudMap(_)
            | Self::RdsProxy(_)
            | Self::RdsNames(_) => Some(Manner { holds: Holds::Nothing, place: Place::Outside }),
            _ => None,
        }
    }

    /// Of an endpoint that only says where the database is: whether the runbook names what leads to the side that is
    /// left, and to the side that is moved to. A service that is deployed as it is says nothing itself.
    #[must_use]
    pub const fn names_ends(&self) -> Option<(bool, bool)> {
        match self {
            Self::Route53(spec) if spec.weighted.is_some() => Some((true, true)),
            Self::Route53(spec) => Some((spec.from.is_some(), spec.to.is_some())),
            Self::SecretsManager(spec) => Some((spec.from.is_some(), spec.to.is_some())),
            Self::SsmParameter(spec) => Some((spec.from.is_some(), spec.to.is_some())),
            Self::CloudMap(spec) => Some((spec.from.is_some(), spec.to.is_some())),
            Self::RdsProxy(_) | Self::RdsNames(_) => Some((true, true)),
            Self::Ecs(spec) => match &spec.set {
                Some(set) => Some((set.from.is_some(), set.to.is_some())),
                None => Some((true, true)),
            },
            _ => None,
        }
    }

    /// How a database names the `rds` system that it is.
    #[must_use]
    pub fn naming(&self) -> Option<Naming<'_>> {
        match self {
            Self::Postgres(spec) => spec.naming(),
            Self::Mysql(spec) | Self::Mariadb(spec) => spec.naming(),
            _ => None,
        }
    }

    /// Gives a database that names an `rds` system the URL that this stands for, made of references. What the URL is
    /// made of is taken away, so that no secret is asked for twice.
    pub fn spell_out(&mut self) {
        let scheme = self.kind();
        let url = self.naming().map(|naming| naming.url(scheme));
        match (self, url) {
            (Self::Postgres(spec), Some(url)) => {
                spec.url = url;
                (spec.secret, spec.user, spec.password, spec.database) = (None, None, None, None);
            }
            (Self::Mysql(spec) | Self::Mariadb(spec), Some(url)) => {
                spec.url = url;
                (spec.secret, spec.user, spec.password, spec.database) = (None, None, None, None);
            }
            _ => {}
        }
    }

    /// Where its calls to AWS go, of a system of AWS.
    #[must_use]
    pub fn aws(&self) -> Option<&AwsPlace> {
        match self {
            Self::Alb(spec) => Some(&spec.aws),
            Self::Route53(spec) => Some(&spec.aws),
            Self::SecretsManager(spec) => Some(&spec.aws),
            Self::SsmParameter(spec) => Some(&spec.aws),
            Self::Ecs(spec) => Some(&spec.aws),
            Self::CloudMap(spec) => Some(&spec.aws),
            Self::Rds(spec) => Some(&spec.aws),
            Self::Dms(spec) => Some(&spec.aws),
            Self::RdsProxy(spec) => Some(&spec.aws),
            Self::RdsNames(spec) => Some(&spec.aws),
            _ => None,
        }
    }

    /// The same, to be filled from the runbook's own `aws:`.
    pub fn aws_mut(&mut self) -> Option<&mut AwsPlace> {
        match self {
            Self::Alb(spec) => Some(&mut spec.aws),
            Self::Route53(spec) => Some(&mut spec.aws),
            Self::SecretsManager(spec) => Some(&mut spec.aws),
            Self::SsmParameter(spec) => Some(&mut spec.aws),
            Self::Ecs(spec) => Some(&mut spec.aws),
            Self::CloudMap(spec) => Some(&mut spec.aws),
            Self::Rds(spec) => Some(&mut spec.aws),
            Self::Dms(spec) => Some(&mut spec.aws),
            Self::RdsProxy(spec) => Some(&mut spec.aws),
            Self::RdsNames(spec) => Some(&mut spec.aws),
            _ => None,
        }
    }
}

/// How an endpoint takes part in a cutover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// What it can do with its clients while writes wait.
    pub holds: Holds,
    /// Where its `switch` may stand.
    pub place: Place,
}

/// What an endpoint can do with its clients while writes wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// They wait and see no error.
    Wait,
    /// They are disconnected, and what they send meanwhile waits or is refused.
    Drain,
    /// Nothing: it only says where the database is.
    Nothing,
}

/// Where the `switch` of an endpoint may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Inside a window: it takes effect at once.
    Inside,
    /// Before or after it: clients follow within minutes.
    Outside,
}

/// A PostgreSQL database, version 15 to 18.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Postgres {
    /// `postgresql://user:password@host:port/database` of a role that may replicate and fence (superuser, or
    /// `rds_superuser` with `rds_replication`). A secret reference, or a URL with one in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Name of an `rds` system of this runbook, instead of `url`: its endpoint is read from RDS for each connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rds: Option<Name>,
    /// With `rds`: a secret with the keys `username` and `password`, as RDS itself keeps them: `${aws-secret:NAME}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// With `rds`, instead of `secret`: our role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// With `rds`, instead of `secret`: its password, a secret reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// With `rds`: name of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The same database as the *other* server dials it for replication; `url` when absent.
    #[serde(default)]
    pub replication_url: Option<String>,
    /// `host:port` as poolers and applications reach it; that of `url` when absent.
    #[serde(default)]
    pub address: Option<String>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: Tls,
    /// Login roles that the fence leaves in (monitoring, backup): they must not write.
    #[serde(default)]
    pub exempt_roles: Vec<String>,
}

impl Postgres {
    /// How it names an `rds` system.
    #[must_use]
    pub fn naming(&self) -> Option<Naming<'_>> {
        let (secret, user, password) = (self.secret.as_deref(), self.user.as_deref(), self.password.as_deref());
        let database = self.database.as_deref();
        self.rds.as_deref().map(|rds| Naming { rds, secret, user, password, database })
    }
}

impl Mysql {
    /// How it names an `rds` system.
    #[must_use]
    pub fn naming(&self) -> Option<Naming<'_>> {
        let Some(OnRds::Named(rds)) = &self.rds else { return None };
        let (secret, user, password) = (self.secret.as_deref(), self.user.as_deref(), self.password.as_deref());
        Some(Naming { rds, secret, user, password, database: self.database.as_deref() })
    }

    /// Whether it is an RDS instance, where the runbook says so.
    #[must_use]
    pub fn is_rds(&self) -> Option<bool> {
        self.rds.as_ref().map(|rds| !matches!(rds, OnRds::Is(false)))
    }
}

/// A MySQL server, version 8.0 to 9.x, or a MariaDB server, 10.6 to 11.x. The key says which; the shape is the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mysql {
    /// `mysql://user:password@host:port` of an account that may replicate and fence (on RDS, the master user), with the
    /// schema behind it that statements of the runbook mean. A secret reference, or a URL with one in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Name of an `rds` system of this runbook, instead of `url`: its endpoint is read from RDS for each connection. Or,
    /// beside `url`, whether it is an RDS instance, where replication is changed by `mysql.rds_…` procedures only; found
    /// out when absent.
    #[serde(default)]
    pub rds: Option<OnRds>,
    /// With `rds`: a secret with the keys `username` and `password`, as RDS itself keeps them: `${aws-secret:NAME}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// With `rds`, instead of `secret`: our account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// With `rds`, instead of `secret`: its password, a secret reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// With `rds`: the schema that statements of the runbook mean when they name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The same server as the *other* server dials it for replication: an account with `REPLICATION SLAVE`. When
    /// absent, the other server dials where `url` leads, with an account of ours that lives as long as the streams.
    #[serde(default)]
    pub replication_url: Option<String>,
    /// `host:port` as load balancers and applications reach it; that of `url` when absent.
    #[serde(default)]
    pub address: Option<String>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: Tls,
    /// `verify-full`: file with the certificates to trust (PEM) on the host of the *other* server, which verifies this one
    /// when it replicates; that host's own trust store when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_ca: Option<String>,
    /// Users that the fence leaves in (monitoring, backup): they must not write.
    #[serde(default)]
    pub exempt_users: Vec<String>,
}

/// How a connection is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tls {
    /// What is asked of the server.
    #[serde(default)]
    pub mode: TlsMode,
    /// File with the certificates to trust (PEM), such as the RDS bundle; the machine's own when absent.
    #[serde(default)]
    pub ca: Option<String>,
}

/// What is asked of the server before anything is said to it; libpq's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS when the server has it, without looking at the certificate.
    #[default]
    Prefer,
    /// TLS, without looking at the certificate.
    Require,
    /// TLS with a certificate that a trusted authority signed, for the name that was dialled.
    VerifyFull,
}

/// A PgBouncer pooler: all instances that lead to the same database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pgbouncer {
    /// URL of the admin console of the only instance: `postgresql://admin@host:6432/pgbouncer`.
    #[serde(default)]
    pub admin: Option<String>,
    /// Every instance, when there are several.
    #[serde(default)]
    pub instances: Vec<PgbouncerInstance>,
    /// The entry of `[databases]` that the applications use.
    pub database: String,
    /// How the entry is pointed at another server.
    #[serde(default)]
    pub redirect: Option<Redirect>,
    /// URL of the entry as an application dials it, through the pooler. After the switch a row is written through it
    /// (into `pointsman.canary`) and looked for on the side that it must lead to.
    #[serde(default)]
    pub probe: Option<String>,
    /// What an instance has as `server_login_retry` after the switch; a failed login during the window would
    /// otherwise keep clients waiting for 15 s.
    #[serde(default = "Pgbouncer::default_login_retry")]
    pub login_retry: Span,
}

impl Pgbouncer {
    const fn default_login_retry() -> Span {
        Span::secs(0)
    }
}

/// One instance of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PgbouncerInstance {
    /// URL of its admin console.
    pub admin: String,
    /// How its entry is pointed at another server.
    pub redirect: Redirect,
}

/// How a pooler's entry is pointed at another server: PgBouncer has no command for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Redirect {
    /// Edit this configuration file on this machine, then `RELOAD`.
    Ini(String),
    /// Programs that do it elsewhere (ssh, configuration management), then `RELOAD`.
    Command(RedirectCommand),
    /// The entry names a DNS name that somebody else moves; `RECONNECT` follows it.
    Dns,
}

/// Programs that point a pooler elsewhere. `POINTSMAN_HOST`, `POINTSMAN_PORT` and `POINTSMAN_DATABASE` are in their
/// environment: where the entry shall lead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RedirectCommand {
    /// Points the entry at `POINTSMAN_HOST`; must be repeatable. It is its own undo: it is run with the former host.
    pub apply: Program,
}

/// An HAProxy load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Haproxy {
    /// Runtime sockets of all nodes: a path, or `host:port`. They need `level admin`.
    pub sockets: Vec<String>,
    /// The backend whose servers are weighed.
    pub backend: Name,
    /// Its servers that traffic leaves.
    pub from: Vec<Name>,
    /// Its servers that traffic moves to.
    pub to: Vec<Name>,
}

/// An HAProxy in TCP mode before both databases: one or several nodes with the same names. Its backend has servers for
/// the source, which take the connections at first, and servers for the target, which are `disabled`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HaproxyTcp {
    /// Runtime sockets of all nodes: a path, or `host:port`. They need `level admin`.
    pub sockets: Vec<String>,
    /// The frontend that clients of the database connect to, and nobody else.
    pub frontend: Name,
    /// Its backend.
    pub backend: Name,
    /// The servers of the backend that are the source.
    pub source: Vec<Name>,
    /// The servers of the backend that are the target.
    pub target: Vec<Name>,
    /// `maxconn` of the frontend, which a freeze sets to 0 and then back; what it is before the freeze when absent.
    #[serde(default)]
    pub maxconn: Option<u32>,
    /// URL of the frontend as an application dials it. After the switch a row is written through it and looked for on
    /// the side that it must lead to.
    #[serde(default)]
    pub probe: Option<String>,
}
