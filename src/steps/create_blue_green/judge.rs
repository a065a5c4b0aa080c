//! What a deployment would be made of, and what was made: pure judgements.

use std::fmt::Display;

use crate::preflight::blue_green::unsupported;
use crate::runbook::model::CreateBlueGreen;
use crate::systems::aws::rds::blue_green::Deployment;
use crate::systems::aws::rds::{Environment, Group, Instance, Kind, Parameters, Server};

impl CreateBlueGreen {
    /// What is to be otherwise, in words.
    pub(super) fn changes(&self) -> String {
        let text = |what: &str, value: Option<String>| value.map(|value| format!("{what} {value}"));
        let all = [
            text("version", self.engine_version.clone()),
            self.class.clone(),
            text("parameter group", self.parameter_group.clone()),
            text("parameter group of its instances", self.instance_parameter_group.clone()),
            text("storage", self.storage.map(|size| format!("{} GiB", size.0 >> 30))),
            self.storage_type.clone(),
            self.iops.map(|iops| format!("{iops} IOPS")),
            self.throughput.map(|mib| format!("{mib} MiB/s")),
        ];
        let all: Vec<String> = all.into_iter().flatten().collect();
        if all.is_empty() { "with its settings".to_owned() } else { all.join(", ") }
    }
}

/// Why it could not be made, or not so that our window can switch it over.
///
/// "Limitations and considerations" and "PostgreSQL replication methods for blue/green deployments" in the user guide; a
/// source of replicas has automated backups (`CreateDBInstanceReadReplica` in the API reference).
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/blue-green-deployments-considerations.html>
pub(super) fn unfit(step: &CreateBlueGreen, source: &Environment) -> Vec<String> {
    let mut all: Vec<String> = source.cluster.iter().flat_map(unsupported).collect();
    let Some(source) = source.server() else { return all };
    let engines: &[&str] = match source.kind {
        Kind::Instance => &["postgres", "mysql", "mariadb"],
        Kind::Cluster => &["aurora-postgresql"],
    };
    if engines.contains(&source.engine.as_str()) {
        all.extend(other_version(step.engine_version.as_deref(), source));
    } else {
        let words = "only RDS for PostgreSQL, MySQL and MariaDB, and Aurora PostgreSQL are switched over here";
        all.push(format!("it is {}, and {words}", source.engine));
    }
    if source.backup_days == 0 {
        all.push("it has no automated backups, and RDS copies no such instance".to_owned());
    }
    if source.secret.is_some() {
        let words = "RDS keeps its master password in Secrets Manager, which no Blue/Green deployment supports";
        all.push(words.to_owned());
    }
    all
}

/// From these minor versions on RDS replicates an instance to another major version, logically ("PostgreSQL replication methods
/// for blue/green deployments" in the user guide), and a cluster at all ("Supported Regions and Aurora DB engines for
/// Blue/Green Deployments" in Aurora's, where 17 begins with 17.4).
const LOGICAL_FROM: [(u32, u32); 6] = [(11, 21), (12, 16), (13, 12), (14, 9), (15, 4), (16, 1)];
const AURORA_17: (u32, u32) = (17, 4);

fn parts(version: &str) -> Option<Vec<u32>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// Whether another major version is wanted.
pub(super) fn is_other_major(step: &CreateBlueGreen, source: &Server) -> bool {
    let major = |version: &str| parts(version).and_then(|parts| parts.first().copied());
    let wanted = step.engine_version.as_deref().and_then(major);
    wanted.is_some() && wanted != major(&source.version)
}

/// Whether RDS will replicate it logically: a cluster always, an instance to another major version.
pub(super) fn is_logical(step: &CreateBlueGreen, source: &Server) -> bool {
    match source.kind {
        Kind::Instance => source.engine == "postgres" && is_other_major(step, source),
        Kind::Cluster => true,
    }
}

fn other_version(wanted: Option<&str>, source: &Server) -> Option<String> {
    let (is, cluster, postgres) = (source.version.as_str(), source.kind == Kind::Cluster, source.engine == "postgres");
    let (Some(has), wants) = (parts(is), wanted.map(|wanted| (wanted, parts(wanted)))) else { return None };
    match wants {
        Some((wanted, None)) => Some(format!("{wanted} is no version, such as {is}")),
        Some((wanted, Some(wants))) if wants < has => Some(format!("{wanted} is older than {is}")),
        Some((_, Some(wants))) if cluster || postgres && wants.first() != has.first() => too_old(&has, source),
        None if cluster => too_old(&has, source),
        _ => None,
    }
}

fn too_old(has: &[u32], source: &Server) -> Option<String> {
    let (more, what) = match source.kind {
        Kind::Instance => (None, "a deployment to another major version"),
        Kind::Cluster => (Some(&AURORA_17), "a deployment of a cluster"),
    };
    let (major, minor) = LOGICAL_FROM.iter().chain(more).find(|(major, _)| has.first() == Some(major))?;
    let too_old = has.get(1).is_none_or(|has| has < minor);
    too_old.then(|| format!("RDS makes {what} from {major}.{minor} on, and it is {}", source.version))
}

/// Why RDS could not replicate it logically, by the parameters that are in force: with those of its group, and the group's
/// status ("Preparing … for a blue/green deployment" in both user guides; a cluster's `synchronous_commit` in Aurora's).
pub(super) fn unpublished(kind: Kind, group: &Group, set: &Parameters) -> Option<String> {
    let (name, status) = (&group.name, group.status.as_str());
    let commit = set.get("synchronous_commit").filter(|value| kind == Kind::Cluster && *value != "on");
    let why = match kind {
        Kind::Instance => "RDS replicates to another major version logically",
        Kind::Cluster => "RDS replicates a cluster logically",
    };
    match (set.get("rds.logical_replication").map(String::as_str), status) {
        (Some("1"), "in-sync") => {
            commit.map(|value| format!("synchronous_commit is {value} in {name}, and must be on"))
        }
        (Some("1"), status) => {
            Some(format!("rds.logical_replication = 1 waits for a reboot ({name} is {status}), and {why}"))
        }
        (found, _) => Some(format!(
            "rds.logical_replication is {} in {name}, and {why}: set it to 1 in a group of its own, and reboot it (the step \
             `parameters` does both)",
            found.unwrap_or("not set")
        )),
    }
}

/// Why a parameter group can't be that of a green instance of MySQL or MariaDB: RDS wants its event scheduler off when it is
/// made ("Limitations and considerations" in the user guide), and the locks of accounts, which are our fence, must come to it.
pub(super) fn unfit_for_green(group: &str, set: &Parameters) -> Option<String> {
    let is_on = |name: &str| set.get(name).is_some_and(|value| value.eq_ignore_ascii_case("on") || value == "1");
    if is_on("event_scheduler") {
        return Some(format!("event_scheduler is ON in {group}, and RDS wants it off on the green one: {OWN_GROUP}"));
    }
    let filters = set.iter().filter(|(name, value)| {
        let name = name.replace('-', "_");
        !value.is_empty()
            && ["replicate_do", "replicate_ignore", "replicate_wild"].iter().any(|kind| name.starts_with(kind))
    });
    let filters: Vec<String> = filters.map(|(name, value)| format!("{name} = {value}")).collect();
    if filters.is_empty() {
        return None;
    }
    Some(format!("{group} has {}, and the green one must apply everything: {OWN_GROUP}", filters.join(", ")))
}

const OWN_GROUP: &str = "name a `parameter-group` of its own without that";

/// What of the green one is otherwise than planned.
pub(super) fn differs(step: &CreateBlueGreen, green: &Environment) -> Vec<String> {
    let kind = green.server().map(|server| server.kind);
    let (of_cluster, of_instances) = step.groups(kind);
    let version = green.server().map(|server| &server.version);
    let group = green.group().map(|group| group.name);
    let mut all = vec![
        other("version", step.engine_version.as_ref(), version),
        other("parameter group of the cluster", of_cluster, group.as_ref()),
    ];
    for instance in &green.instances {
        all.extend(settings(step, of_instances, instance));
    }
    all.into_iter().flatten().collect()
}

/// The same of an instance; what can't be said of a cluster is not said.
fn settings(step: &CreateBlueGreen, group: Option<&String>, green: &Instance) -> [Option<String>; 6] {
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let is = |number: Option<i32>| number.map(|number| number.to_string());
    [
        other("class", step.class.as_ref(), Some(&green.class)),
        other("parameter group", group, green.groups.first().map(|group| &group.name)),
        other("storage in GiB", number(step.storage.map(|size| size.0 >> 30)), is(green.server.storage_gib)),
        other("storage type", step.storage_type.as_ref(), green.storage_type.as_ref()),
        other("IOPS", number(step.iops.map(Into::into)), is(green.iops)),
        other("throughput in MiB/s", number(step.throughput.map(Into::into)), is(green.throughput)),
    ]
}

fn other<T: Display + PartialEq>(what: &str, planned: Option<T>, is: Option<T>) -> Option<String> {
    let planned = planned?;
    match is {
        Some(is) if is == planned => None,
        Some(is) => Some(format!("{what} {is}, planned {planned}")),
        None => Some(format!("{what} not told, planned {planned}")),
    }
}

/// How far it is, in RDS's own words.
pub(super) fn progress(found: &Deployment) -> String {
    let done = found.tasks.iter().filter(|(_, status)| status == "COMPLETED").count();
    let under_way = found.tasks.iter().filter(|(_, status)| status == "IN_PROGRESS" || status == "FAILED");
    let mut words = format!("{} is {}", found.name, found.words);
    if !found.tasks.is_empty() {
        words.push_str(&format!(", {done} of {} tasks done", found.tasks.len()));
    }
    words.extend(under_way.map(|(name, status)| format!(", {name} {status}")));
    words
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::types::{
        BlueGreenDeployment, BlueGreenDeploymentTask, DbCluster, DbInstance, DbParameterGroupStatus, MasterUserSecret,
    };

    use super::*;
    use crate::systems::aws::rds::Cluster;

    fn alone(instance: DbInstance) -> Environment {
        Environment { cluster: None, instances: vec![Instance::from(instance)] }
    }

    fn cluster(version: &str) -> Environment {
        let found = DbCluster::builder().engine("aurora-postgresql").engine_version(version).backup_retention_period(1);
        let found = Cluster::from(found.db_cluster_parameter_group("orders-16").build());
        let group = DbParameterGroupStatus::builder().db_parameter_group_name("writers").build();
        let member = Instance::from(instance(version).db_parameter_groups(group).build());
        Environment { cluster: Some(found), instances: vec![member] }
    }

    fn step(text: &str) -> CreateBlueGreen {
        serde_json::from_str(&format!("{{ \"of\": \"green\", \"from\": \"blue\" {text} }}")).unwrap()
    }

    fn instance(version: &str) -> aws_sdk_rds::types::builders::DbInstanceBuilder {
        DbInstance::builder().engine("postgres").engine_version(version).backup_retention_period(7)
    }

    #[test]
    fn what_can_not_be_switched_over_is_not_made() {
        let unfit = |wanted: &str, source: DbInstance| {
            unfit(&step(&format!(", \"engine-version\": \"{wanted}\"")), &alone(source)).join("; ")
        };
        assert_eq!(unfit("17.10", instance("17.4").build()), "", "versions are numbers");
        assert_eq!(unfit("17.4", instance("17.4").build()), "");
        assert_eq!(unfit("18.1", instance("17.4").build()), "", "RDS replicates it logically");
        assert_eq!(unfit("18.1", instance("15.4").build()), "");
        assert!(unfit("18.1", instance("15.3").build()).contains("from 15.4 on"));
        assert!(unfit("16.9", instance("17.4").build()).contains("16.9 is older than 17.4"));
        assert!(unfit("17.4", instance("17.10").build()).contains("17.4 is older than 17.10"));
        assert!(unfit("latest", instance("17.4").build()).contains("no version"));
        assert!(unfit("19.0", instance("19.0").engine("oracle-ee").build()).contains("it is oracle-ee"));
        assert_eq!(unfit("8.4.3", instance("8.0.39").engine("mysql").build()), "", "by the binary log");
        assert!(unfit("8.0.9", instance("8.0.39").engine("mysql").build()).contains("older"));
        assert!(unfit("17.4", instance("17.4").backup_retention_period(0).build()).contains("no automated backups"));
        let secret = MasterUserSecret::builder().secret_arn("arn:aws:secretsmanager:…").build();
        assert!(unfit("17.4", instance("17.4").master_user_secret(secret).build()).contains("Secrets Manager"));
    }

    #[test]
    fn to_another_major_version_it_must_publish_already() {
        let logical = |wanted: &str, engine: &str| {
            let source = Instance::from(instance("17.4").engine(engine).build()).server;
            is_logical(&step(&format!(", \"engine-version\": \"{wanted}\"")), &source)
        };
        assert!(logical("18.1", "postgres") && !logical("17.6", "postgres") && !logical("18.1", "mysql"));
        assert!(!is_logical(&step(""), &Instance::from(instance("17.4").build()).server));
    }

    #[test]
    fn what_does_not_publish_in_force_is_told() {
        let told = |kind, status: &str, set: &[(&str, &str)]| {
            let group = Group { name: "orders".into(), status: status.into() };
            let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            unpublished(kind, &group, &set).unwrap_or_default()
        };
        let publishes = ("rds.logical_replication", "1");
        for kind in [Kind::Instance, Kind::Cluster] {
            assert_eq!(told(kind, "in-sync", &[publishes, ("synchronous_commit", "on")]), "");
            assert!(told(kind, "pending-reboot", &[publishes]).contains("waits for a reboot"));
            assert!(told(kind, "in-sync", &[("rds.logical_replication", "0")]).contains("is 0 in orders"));
            assert!(told(kind, "in-sync", &[]).contains("is not set in orders"));
        }
        let lazy = [publishes, ("synchronous_commit", "off")];
        assert_eq!(told(Kind::Instance, "in-sync", &lazy), "", "it is a cluster's rule");
        assert!(told(Kind::Cluster, "in-sync", &lazy).contains("synchronous_commit is off in orders"));
    }

    #[test]
    fn a_cluster_is_copied_from_some_version_on_and_is_no_other_engine() {
        let told = |wanted: &str, source: &Environment| unfit(&step(wanted), source).join("; ");
        let to = |version: &str| format!(", \"engine-version\": \"{version}\"");
        assert_eq!(told("", &cluster("17.4")) + &told(&to("16.10"), &cluster("16.4")), "");
        assert_eq!(told(&to("17.4"), &cluster("15.4")), "");
        assert!(told("", &cluster("17.2")).contains("a deployment of a cluster from 17.4 on, and it is 17.2"));
        assert!(told(&to("15.8"), &cluster("15.3")).contains("from 15.4 on"), "the same major, too");
        assert!(told(&to("16.4"), &cluster("16.10")).contains("older"));
        assert!(is_logical(&step(""), cluster("17.4").server().unwrap()));
        let mut mysql = cluster("8.0");
        mysql.cluster.as_mut().unwrap().server.engine = "aurora-mysql".into();
        assert!(told("", &mysql).contains("it is aurora-mysql"));
        let mut global = cluster("17.4");
        global.cluster.as_mut().unwrap().global = Some("world".into());
        assert!(told("", &global).contains("global database world"));
    }

    #[test]
    fn the_groups_of_a_green_cluster_and_of_its_instances_are_two() {
        let planned = |of_cluster: &str, of_instances: &str| {
            let groups =
                format!(", \"parameter-group\": \"{of_cluster}\", \"instance-parameter-group\": \"{of_instances}\"");
            differs(&step(&groups), &cluster("16.4"))
        };
        assert!(planned("orders-16", "writers").is_empty());
        assert_eq!(planned("orders-17", "writers"), ["parameter group of the cluster orders-16, planned orders-17"]);
        assert_eq!(planned("orders-16", "readers"), ["parameter group writers, planned readers"]);
    }

    #[test]
    fn a_green_one_of_mysql_runs_no_events_and_applies_everything() {
        let unfit = |name: &str, value: &str| {
            unfit_for_green("orders", &Parameters::from([(name.to_owned(), value.to_owned())]))
        };
        assert_eq!(unfit("event_scheduler", "OFF"), None);
        assert!(unfit("event_scheduler", "ON").unwrap().contains("event_scheduler is ON in orders"));
        assert_eq!(unfit("replicate-wild-ignore-table", ""), None);
        assert!(unfit("replicate-wild-ignore-table", "mysql.%").unwrap().contains("= mysql.%, and the green"));
        assert!(unfit("replicate_ignore_db", "audit").is_some());
    }

    #[test]
    fn each_setting_that_differs_is_told_and_what_was_not_said_is_free() {
        let group = DbParameterGroupStatus::builder().db_parameter_group_name("orders-17").build();
        let green = instance("17.6").db_instance_class("db.m7g.large").allocated_storage(200).storage_type("gp3");
        let green = alone(green.iops(3000).db_parameter_groups(group).build());
        assert!(differs(&step(""), &green).is_empty());
        let planned = ", \"engine-version\": \"17.6\", \"class\": \"db.m7g.large\", \"storage\": \"200GiB\", \
                       \"storage-type\": \"gp3\", \"iops\": 3000, \"parameter-group\": \"orders-17\"";
        assert!(differs(&step(planned), &green).is_empty());
        let other = ", \"engine-version\": \"17.7\", \"class\": \"db.m7g.xlarge\", \"storage\": \"300GiB\", \
                     \"storage-type\": \"io2\", \"iops\": 6000, \"throughput\": 500, \"parameter-group\": \"orders-18\"";
        let found = differs(&step(other), &green);
        assert_eq!(found.len(), 7, "{found:?}");
        assert!(found.contains(&"storage in GiB 200, planned 300".to_owned()), "{found:?}");
        assert!(found.contains(&"throughput in MiB/s not told, planned 500".to_owned()), "{found:?}");
    }

    #[test]
    fn the_tasks_of_rds_are_its_progress() {
        let task = |name: &str, status: &str| BlueGreenDeploymentTask::builder().name(name).status(status).build();
        let found = BlueGreenDeployment::builder().blue_green_deployment_name("up").status("PROVISIONING");
        let found = found.tasks(task("CREATING_READ_REPLICA_OF_SOURCE", "COMPLETED"));
        let found =
            found.tasks(task("DB_ENGINE_VERSION_UPGRADE", "IN_PROGRESS")).tasks(task("CONFIGURE_BACKUPS", "PENDING"));
        let words = "up is PROVISIONING, 1 of 3 tasks done, DB_ENGINE_VERSION_UPGRADE IN_PROGRESS";
        assert_eq!(progress(&Deployment::from(found.build())), words);
    }
}
