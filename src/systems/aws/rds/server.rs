//! What is read of an instance or a cluster.

use std::collections::BTreeMap;

use aws_sdk_rds::types::{DbCluster, DbInstance, PendingModifiedValues};

use crate::systems::address::Address;

/// Which of the two a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One instance.
    Instance,
    /// A cluster of Aurora.
    Cluster,
}

impl Kind {
    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Cluster => "cluster",
        }
    }

    /// Of what an ARN names: `arn:aws:rds:REGION:ACCOUNT:cluster:NAME`, or `…:db:NAME`; `None` where it is neither, as with
    /// the `global-cluster` of a global database.
    #[must_use]
    pub fn of_arn(arn: &str) -> Option<Self> {
        match arn.split(':').nth(5) {
            Some("db") => Some(Self::Instance),
            Some("cluster") => Some(Self::Cluster),
            _ => None,
        }
    }

    /// Of what has a resource id: `db-ABCDEFGHIJKL01234`, `cluster-ABCDEFGHIJKL01234` ("Creating and using an IAM policy for
    /// IAM database access" in the Aurora user guide).
    #[must_use]
    pub fn of_resource(id: &str) -> Self {
        if id.starts_with("cluster-") { Self::Cluster } else { Self::Instance }
    }
}

/// What an instance and a cluster have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Which it is.
    pub kind: Kind,
    /// Its identifier now.
    pub identifier: String,
    /// `DbiResourceId` or `DbClusterResourceId`: stays when the identifier changes.
    pub resource_id: String,
    /// Its ARN, which has the identifier in it.
    pub arn: String,
    /// `postgres`, `mysql`, `mariadb`, `aurora-postgresql`, `aurora-mysql`, …
    pub engine: String,
    /// Such as `17.4`.
    pub version: String,
    /// Such as `available`, `creating`, `modifying`, `rebooting`.
    pub status: String,
    /// Where it (of a cluster: its writer) is reached; absent while it is made.
    pub address: Option<Address>,
    /// The first database, if it was made with one.
    pub database: Option<String>,
    /// The master user.
    pub master: Option<String>,
    /// The ARN of the secret that RDS itself keeps for the master user.
    pub secret: Option<String>,
    /// Days that automatic backups are kept; 0: none are made.
    pub backup_days: i32,
    /// Daily, in UTC, such as `04:00-04:30`.
    pub backup_window: Option<String>,
    /// Weekly, in UTC, such as `sun:05:00-sun:05:30`.
    pub maintenance_window: Option<String>,
    /// Whether it can't be deleted.
    pub protected: bool,
    /// Whether it stands in several Availability Zones.
    pub multi_az: bool,
    /// Whether it is encrypted at rest.
    pub encrypted: bool,
    /// Allocated storage in GiB.
    pub storage_gib: Option<i32>,
    /// The server that it replicates, by identifier or ARN: then it is a replica.
    pub replicates: Option<String>,
    /// Its replicas, by identifier or ARN.
    pub replicas: Vec<String>,
    /// Security groups, and whether each is in force: `(id, status)`.
    pub security_groups: Vec<(String, String)>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Server {
    /// Whether it takes connections and changes.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.status == "available"
    }
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What a cluster has, too.
    pub server: Server,
    /// Such as `db.m7g.large`.
    pub class: String,
    /// The cluster that it is a member of.
    pub cluster: Option<String>,
    /// Its parameter groups.
    pub groups: Vec<Group>,
    /// Changes that wait for the next maintenance window or a reboot: `(what, to what)`.
    pub pending: Vec<(String, String)>,
    /// Whether it has a public address.
    pub public: bool,
    /// Whether minor versions are installed by themselves.
    pub minor_upgrades: bool,
    /// Its zone.
    pub zone: Option<String>,
    /// Type of its storage, such as `gp3`.
    pub storage_type: Option<String>,
    /// Provisioned I/O operations a second.
    pub iops: Option<i32>,
    /// Throughput of its storage in MiB a second.
    pub throughput: Option<i32>,
    /// Identifier of its certificate authority.
    pub authority: Option<String>,
    /// When its certificate ends.
    pub certificate_until: Option<String>,
}

/// A parameter group of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// `in-sync`, `applying`, `pending-reboot`.
    pub status: String,
}

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// What an instance has, too.
    pub server: Server,
    /// Its instances.
    pub members: Vec<Member>,
    /// Its parameter group.
    pub group: Option<String>,
    /// Where readers are reached.
    pub reader: Option<Address>,
    /// `provisioned`, or `serverless` of the first version of Aurora Serverless.
    pub mode: Option<String>,
    /// The global database that it is a part of.
    pub global: Option<String>,
}

impl Cluster {
    /// The instance that takes writes.
    #[must_use]
    pub fn writer(&self) -> Option<&str> {
        self.members.iter().find(|member| member.writer).map(|member| member.instance.as_str())
    }
}

/// An instance of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its identifier.
    pub instance: String,
    /// Whether it takes writes.
    pub writer: bool,
    /// `in-sync`, `pending-reboot`: how the cluster's parameter group stands on it.
    pub group_status: Option<String>,
}

/// A text that is there and not empty: emulators and old services answer with `""` where AWS leaves a field out.
fn some(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn address(host: Option<String>, port: Option<i32>) -> Option<Address> {
    Some(Address { host: some(host)?, port: u16::try_from(port?).ok()?, dbname: None })
}

impl From<DbInstance> for Instance {
    fn from(found: DbInstance) -> Self {
        let text = |text: Option<String>| text.unwrap_or_default();
        let group = |group: aws_sdk_rds::types::DbParameterGroupStatus| Group {
            name: text(group.db_parameter_group_name),
            status: text(group.parameter_apply_status),
        };
        let certificate = found.certificate_details;
        let until = certificate.and_then(|details| details.valid_till).map(|at| at.to_string());
        let (host, port) = found.endpoint.map_or((None, None), |endpoint| (endpoint.address, endpoint.port));
        let replicas = found.read_replica_db_instance_identifiers.unwrap_or_default().into_iter();
        let replicas = replicas.chain(found.read_replica_db_cluster_identifiers.unwrap_or_default());
        let groups = found.vpc_security_groups.unwrap_or_default().into_iter();
        let server = Server {
            kind: Kind::Instance,
            identifier: text(found.db_instance_identifier),
            resource_id: text(found.dbi_resource_id),
            arn: text(found.db_instance_arn),
            engine: text(found.engine),
            version: text(found.engine_version),
            status: text(found.db_instance_status),
            address: address(host, port),
            database: some(found.db_name),
            master: some(found.master_username),
            secret: found.master_user_secret.and_then(|secret| secret.secret_arn),
            backup_days: found.backup_retention_period.unwrap_or_default(),
            backup_window: some(found.preferred_backup_window),
            maintenance_window: some(found.preferred_maintenance_window),
            protected: found.deletion_protection.unwrap_or_default(),
            multi_az: found.multi_az.unwrap_or_default(),
            encrypted: found.storage_encrypted.unwrap_or_default(),
            storage_gib: found.allocated_storage,
            replicates: some(found.read_replica_source_db_instance_identifier)
                .or(some(found.read_replica_source_db_cluster_identifier)),
            replicas: replicas.filter(|name| !name.is_empty()).collect(),
            security_groups: groups.map(|group| (text(group.vpc_security_group_id), text(group.status))).collect(),
            tags: tags(found.tag_list),
        };
        Self {
            server,
            class: text(found.db_instance_class),
            cluster: some(found.db_cluster_identifier),
            groups: found.db_parameter_groups.unwrap_or_default().into_iter().map(group).collect(),
            pending: found.pending_modified_values.map(pending).unwrap_or_default(),
            public: found.publicly_accessible.unwrap_or_default(),
            minor_upgrades: found.auto_minor_version_upgrade.unwrap_or_default(),
            zone: some(found.availability_zone),
            storage_type: some(found.storage_type),
            iops: found.iops,
            throughput: found.storage_throughput,
            authority: some(found.ca_certificate_identifier),
            certificate_until: until,
        }
    }
}

/// Without the password, of which AWS tells only that it changes.
fn pending(values: PendingModifiedValues) -> Vec<(String, String)> {
    let number = |number: Option<i32>| number.map(|number| number.to_string());
    let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
    let all = [
        ("class", some(values.db_instance_class)),
        ("storage", number(values.allocated_storage)),
        ("password", values.master_user_password.map(|_| "another".to_owned())),
        ("port", number(values.port)),
        ("backup retention", number(values.backup_retention_period)),
        ("Multi-AZ", flag(values.multi_az)),
        ("version", some(values.engine_version)),
        ("identifier", some(values.db_instance_identifier)),
        ("storage type", some(values.storage_type)),
        ("certificate authority", some(values.ca_certificate_identifier)),
        ("iops", number(values.iops)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Tags by their keys.
pub(super) fn tags(list: Option<Vec<aws_sdk_rds::types::Tag>>) -> BTreeMap<String, String> {
    let pair = |tag: aws_sdk_rds::types::Tag| Some((tag.key?, tag.value.unwrap_or_default()));
    list.unwrap_or_default().into_iter().filter_map(pair).collect()
}

impl From<DbCluster> for Cluster {
    fn from(found: DbCluster) -> Self {
        let text = |text: Option<String>| text.unwrap_or_default();
        let member = |member: aws_sdk_rds::types::DbClusterMember| Member {
            instance: text(member.db_instance_identifier),
            writer: member.is_cluster_writer.unwrap_or_default(),
            group_status: some(member.db_cluster_parameter_group_status),
        };
        let replicas = found.read_replica_identifiers.unwrap_or_default();
        let groups = found.vpc_security_groups.unwrap_or_default().into_iter();
        let server = Server {
            kind: Kind::Cluster,
            identifier: text(found.db_cluster_identifier),
            resource_id: text(found.db_cluster_resource_id),
            arn: text(found.db_cluster_arn),
            engine: text(found.engine),
            version: text(found.engine_version),
            status: text(found.status),
            address: address(found.endpoint, found.port),
            database: some(found.database_name),
            master: some(found.master_username),
            secret: found.master_user_secret.and_then(|secret| secret.secret_arn),
            backup_days: found.backup_retention_period.unwrap_or_default(),
            backup_window: some(found.preferred_backup_window),
            maintenance_window: some(found.preferred_maintenance_window),
            protected: found.deletion_protection.unwrap_or_default(),
            multi_az: found.multi_az.unwrap_or_default(),
            encrypted: found.storage_encrypted.unwrap_or_default(),
            storage_gib: found.allocated_storage,
            replicates: some(found.replication_source_identifier),
            replicas: replicas.into_iter().filter(|name| !name.is_empty()).collect(),
            security_groups: groups.map(|group| (text(group.vpc_security_group_id), text(group.status))).collect(),
            tags: tags(found.tag_list),
        };
        Self {
            server,
            members: found.db_cluster_members.unwrap_or_default().into_iter().map(member).collect(),
            group: some(found.db_cluster_parameter_group),
            reader: address(found.reader_endpoint, found.port),
            mode: some(found.engine_mode),
            global: some(found.global_cluster_identifier),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::types::{DbClusterMember, Endpoint};

    use super::*;

    #[test]
    fn what_is_left_out_or_empty_is_absent() {
        let endpoint = Endpoint::builder().address("db.example.com").port(5432).build();
        let found = DbInstance::builder().db_instance_identifier("a").dbi_resource_id("db-1").endpoint(endpoint);
        let pending = PendingModifiedValues::builder().master_user_password("hush").multi_az(true).build();
        let found = found.read_replica_source_db_instance_identifier("").pending_modified_values(pending);
        let read = Instance::from(found.db_instance_status("available").build());
        assert_eq!(read.server.replicates, None, "an empty source is none");
        assert_eq!(read.server.address.as_ref().map(|at| (at.host.as_str(), at.port)), Some(("db.example.com", 5432)));
        assert_eq!(read.pending, [("password", "another"), ("Multi-AZ", "true")].map(|(a, b)| (a.into(), b.into())));
        assert!(read.server.is_available() && read.cluster.is_none());
        let creating = Instance::from(DbInstance::builder().db_instance_status("creating").build());
        assert!(creating.server.address.is_none() && !creating.server.is_available());
    }

    #[test]
    fn a_cluster_knows_its_writer() {
        let member = |name: &str, writer| {
            DbClusterMember::builder().db_instance_identifier(name).is_cluster_writer(writer).build()
        };
        let found = DbCluster::builder().db_cluster_members(member("a", false)).db_cluster_members(member("b", true));
        let read = Cluster::from(found.endpoint("w").reader_endpoint("r").port(3306).build());
        assert_eq!((read.writer(), read.reader.as_ref().map(|at| at.host.as_str())), (Some("b"), Some("r")));
    }

    #[test]
    fn an_arn_and_a_resource_id_say_which_kind_it_is() {
        let arn = |kind: &str| Kind::of_arn(&format!("arn:aws:rds:eu-west-1:1:{kind}:orders"));
        assert_eq!((arn("db"), arn("cluster")), (Some(Kind::Instance), Some(Kind::Cluster)));
        assert_eq!((arn("global-cluster"), Kind::of_arn("orders")), (None, None));
        let of = Kind::of_resource;
        assert_eq!((of("db-ABCDEFGHIJKL01234"), of("cluster-ABCDEFGHIJKL01234")), (Kind::Instance, Kind::Cluster));
    }
}
