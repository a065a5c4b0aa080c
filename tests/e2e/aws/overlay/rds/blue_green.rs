//! Blue/Green deployments, which the emulator makes and switches over at once, always with success, and never anything
//! behind them. Here a deployment is made in time, its green instance really follows, and a switchover is really made: by
//! the servers behind both instances.
//!
//! User guide, "Switching a blue/green deployment in Amazon RDS" and "Creating a blue/green deployment in Amazon RDS"; API
//! reference, `BlueGreenDeployment` (its statuses), `BlueGreenDeploymentTask` (theirs), CreateBlueGreenDeployment,
//! SwitchoverBlueGreenDeployment (30 to 3600 seconds; 300 by default), DeleteBlueGreenDeployment. Words of events: user guide,
//! "Amazon RDS event categories and event messages", "Blue/green deployment events".

use std::{collections::BTreeMap, collections::VecDeque, sync::Arc};

use futures_util::FutureExt;
use tokio::task::JoinHandle;

use super::{
    Answer, Form, Local, Node, State,
    cluster_deployments::{arn, tasks},
    instance::{Instance, Phase, Then},
};

pub(super) struct Deployment {
    pub id: String,
    /// `db` or `cluster`, as in an ARN.
    pub kind: &'static str,
    /// The instances of a cluster: those of the blue one, and of the green one.
    pub members: Vec<(String, String)>,
    pub name: String,
    /// The identifiers as they are now.
    pub blue: String,
    pub green: String,
    pub status: &'static str,
    pub details: String,
    /// Looks until it goes on.
    pub looks: usize,
    /// Ends with the reason when RDS takes everything back.
    pub work: Option<JoinHandle<Option<String>>>,
    pub tags: Vec<(String, String)>,
}

/// What RDS does to make one (user guide, "Viewing a blue/green deployment": its tasks).
const TASKS: [&str; 3] = ["CREATING_READ_REPLICA_OF_SOURCE", "DB_ENGINE_VERSION_UPGRADE", "CONFIGURE_BACKUPS"];
/// What of a request becomes which field of the green instance.
const TARGETS: [(&str, &str); 6] = [
    ("TargetEngineVersion", "EngineVersion"),
    ("TargetDBInstanceClass", "DBInstanceClass"),
    ("TargetAllocatedStorage", "AllocatedStorage"),
    ("TargetStorageType", "StorageType"),
    ("TargetIops", "Iops"),
    ("TargetStorageThroughput", "StorageThroughput"),
];
const DEPLOYMENT: &str = "blue-green-deployment";

impl Deployment {
    pub fn name(&self) -> &str {
        &self.name
    }

    fn tasks(&self) -> Node {
        let status = |number: usize| match (self.status, number) {
            ("PROVISIONING", 0) => "COMPLETED",
            ("PROVISIONING", 1) => "IN_PROGRESS",
            ("PROVISIONING", _) => "PENDING",
            ("INVALID_CONFIGURATION", 1) => "FAILED",
            _ => "COMPLETED",
        };
        let task = |(number, name): (usize, &&str)| {
            Node::of("member", vec![Node::leaf("Name", *name), Node::leaf("Status", status(number))])
        };
        let tasks = tasks(self.kind == "cluster", TASKS);
        Node::of("Tasks", tasks.iter().enumerate().map(task).collect())
    }

    /// API reference, `SwitchoverDetail`: each member, the green one of which is shown when it is there.
    fn switchover_details(&self) -> Node {
        let whole = (arn(self.kind, &self.blue), arn(self.kind, &self.green));
        let members = self.members.iter().map(|(blue, green)| (arn("db", blue), arn("db", green)));
        let detail = |(blue, green): (String, String)| {
            let mut fields = vec![Node::leaf("SourceMember", blue), Node::leaf("Status", self.status)];
            fields.extend((self.status != "PROVISIONING").then(|| Node::leaf("TargetMember", green)));
            Node::of("member", fields)
        };
        Node::of("SwitchoverDetails", [whole].into_iter().chain(members).map(detail).collect())
    }

    pub(super) fn shown(&self) -> Vec<Node> {
        let arn = |identifier: &str| arn(self.kind, identifier);
        let tag =
            |(key, value): &(String, String)| Node::of("Tag", vec![Node::leaf("Key", key), Node::leaf("Value", value)]);
        let mut fields = vec![
            Node::leaf("BlueGreenDeploymentIdentifier", &self.id),
            Node::leaf("BlueGreenDeploymentName", &self.name),
            Node::leaf("Source", arn(&self.blue)),
            Node::leaf("Status", self.status),
            Node::of("TagList", self.tags.iter().map(tag).collect()),
            self.tasks(),
            self.switchover_details(),
        ];
        if self.status != "PROVISIONING" {
            fields.push(Node::leaf("Target", arn(&self.green)));
        }
        if !self.details.is_empty() {
            fields.push(Node::leaf("StatusDetails", &self.details));
        }
        fields
    }
}

type Refusal = (u16, &'static str, String);

impl State {
    /// API reference, CreateBlueGreenDeployment: the name is taken only once; the source must be available. User guide,
    /// "Creating a blue/green deployment": RDS makes the green instance, with a name made from the blue one's, and has it
    /// follow; automated backups must be on. "Limitations and considerations": no master password in Secrets Manager.
    pub(super) fn create_deployment(&mut self, form: Form) -> Answer {
        let name = form.text("BlueGreenDeploymentName");
        if self.deployments.iter().any(|one| one.name == name) {
            let message = format!("A blue/green deployment named {name} already exists.");
            return Err((400, "BlueGreenDeploymentAlreadyExistsFault", message));
        }
        if form.text("Source").contains(":cluster:") {
            return self.create_cluster_deployment(form);
        }
        let blue = form.text("Source").rsplit(':').next().unwrap_or_default().to_owned();
        let number = self.number();
        let green = format!("{blue}-green");
        let of = self.find(&blue)?;
        if of.status() != "available" || of.node.text("BackupRetentionPeriod") == "0" {
            return Err((
                400,
                "InvalidDBInstanceState",
                format!("{blue} is not available, or has no automated backups."),
            ));
        }
        if of.node.at("MasterUserSecret/SecretArn").is_some() {
            let message = "Blue/green deployments don't support a master password in Secrets Manager.";
            return Err((400, "SourceDatabaseNotSupportedFault", message.into()));
        }
        let mut node = of.node.clone();
        // User guide, "Preparing an RDS for PostgreSQL DB instance for a blue/green deployment": to another major version the
        // blue one's own group must have logical replication on, in force.
        let publishes = of.in_force.get("rds.logical_replication").is_some_and(|value| value == "1");
        let of_version = &of.node.text("EngineVersion").to_owned();
        node.set("DBInstanceIdentifier", &green);
        node.set("DBInstanceArn", format!("arn:aws:rds:us-east-1:123456789012:db:{green}"));
        node.set("DbiResourceId", format!("db-LOCAL{number:021}"));
        for (asked, field) in TARGETS {
            if let Some(value) = form.get(asked) {
                node.set(field, value);
            }
        }
        if let Some(group) = form.get("TargetDBParameterGroupName") {
            if !self.groups.contains_key(group) {
                return Err((404, "DBParameterGroupNotFound", format!("DBParameterGroup not found: {group}")));
            }
            let fields = vec![Node::leaf("DBParameterGroupName", group), Node::leaf("ParameterApplyStatus", "in-sync")];
            node.put(Node::of("DBParameterGroups", vec![Node::of("DBParameterGroup", fields)]));
        }
        let major = |version: &str| version.split('.').next().unwrap_or_default().to_owned();
        let (was, is) = (major(of_version), major(node.text("EngineVersion")));
        if was != is && form.get("TargetDBParameterGroupName").is_none() {
            let group = format!("default.postgres{is}");
            let fields = vec![Node::leaf("DBParameterGroupName", group), Node::leaf("ParameterApplyStatus", "in-sync")];
            node.put(Node::of("DBParameterGroups", vec![Node::of("DBParameterGroup", fields)]));
        }
        if node.text("Engine") == "postgres" && was != is && !publishes {
            self.unmade = Some("of incompatible parameter settings: rds.logical_replication must be 1".to_owned());
        }
        let creating = Phase::new("creating", self.looks, Then::Nothing);
        let in_force = self.values_of(node.text("DBParameterGroups/DBParameterGroup/DBParameterGroupName"));
        let local = self.locals.get(&green).cloned();
        let phases = VecDeque::from([match local.clone() {
            Some(local) => creating.with(async move { local.follows().await }),
            None => creating,
        }]);
        self.instances.push(Instance { node, local, emulated: None, phases, pending: BTreeMap::new(), in_force });
        let keys = form.list("Tags.Tag", ".Key").zip(form.list("Tags.Tag", ".Value"));
        let deployment = Deployment {
            id: format!("bgd-local{number}"),
            kind: "db",
            members: Vec::new(),
            name: name.to_owned(),
            blue,
            green,
            status: "PROVISIONING",
            details: String::new(),
            looks: self.looks,
            work: None,
            tags: keys.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        };
        let shown = deployment.shown();
        self.deployments.push(deployment);
        Ok(vec![Node::of("BlueGreenDeployment", shown)])
    }

    pub(super) fn describe_deployments(&mut self, form: Form) -> Answer {
        self.go_on_with_deployments();
        let named = form.get("BlueGreenDeploymentIdentifier");
        if let Some(id) = named {
            self.deployment(id)?;
        }
        let (by_name, by_id) =
            (form.filter("blue-green-deployment-name"), form.filter("blue-green-deployment-identifier"));
        let fits = |asked: &Option<Vec<&str>>, value: &str| asked.as_ref().is_none_or(|asked| asked.contains(&value));
        let wanted = |one: &&Deployment| {
            named.is_none_or(|id| id == one.id) && fits(&by_name, &one.name) && fits(&by_id, &one.id)
        };
        let shown = self.deployments.iter().filter(wanted).map(|one| Node::of("member", one.shown())).collect();
        Ok(vec![Node::of("BlueGreenDeployments", shown)])
    }

    fn deployment(&mut self, id: &str) -> Result<&mut Deployment, Refusal> {
        let missing = || (404, "BlueGreenDeploymentNotFoundFault", format!("BlueGreenDeployment {id} not found."));
        self.deployments.iter_mut().find(|one| one.id == id).ok_or_else(missing)
    }

    /// Only one that is available, or whose last switchover failed, is switched over.
    pub(super) fn switch_over(&mut self, form: Form) -> Answer {
        let seconds: u32 = form.get("SwitchoverTimeout").map_or(300, |text| text.parse().unwrap_or(0));
        if !(30..=3600).contains(&seconds) {
            return Err((400, "InvalidParameterValue", "SwitchoverTimeout must be between 30 and 3600.".into()));
        }
        let (looks, refused) = (self.looks, self.guardrail.clone());
        let found = self.deployment(form.text("BlueGreenDeploymentIdentifier"))?;
        if !matches!(found.status, "AVAILABLE" | "SWITCHOVER_FAILED") {
            let message = format!("The blue/green deployment is in the state {}.", found.status);
            return Err((400, "InvalidBlueGreenDeploymentStateFault", message));
        }
        (found.status, found.looks, found.details) = ("SWITCHOVER_IN_PROGRESS", looks, String::new());
        let (id, kind, blue, green) = (found.id.clone(), found.kind, found.blue.clone(), found.green.clone());
        let shown = found.shown();
        if let (None, Some(blue), Some(green)) = (refused, self.behind(kind, &blue), self.behind(kind, &green)) {
            let work = tokio::spawn(really(blue, green));
            self.deployment(&id)?.work = Some(work);
        }
        let message = format!("Switchover from {blue} to {green} started.");
        self.tell_of(DEPLOYMENT, &id, "notification", &message);
        Ok(vec![Node::of("BlueGreenDeployment", shown)])
    }

    fn made_or_not(&mut self, at: usize) {
        let id = self.deployments[at].id.clone();
        if let Some(why) = self.unmade.clone() {
            (self.deployments[at].status, self.deployments[at].details) = ("INVALID_CONFIGURATION", why.clone());
            let message = format!("Creation of blue/green deployment failed because {why}");
            return self.tell_of(DEPLOYMENT, &id, "failure", &message);
        }
        // It makes progress by itself.
        drop(self.describe(Form(&serde_json::Value::Null)));
        if self.is_made(at) {
            self.deployments[at].status = "AVAILABLE";
            let message = "Blue/green deployment tasks completed. You can make more modifications to the green environment \
                           databases or switch over the deployment.";
            self.tell_of(DEPLOYMENT, &id, "creation", message);
        }
    }

    fn go_on_with_deployments(&mut self) {
        for at in 0..self.deployments.len() {
            let one = &mut self.deployments[at];
            one.looks = one.looks.saturating_sub(1);
            let works = one.work.as_ref().is_some_and(|work| !work.is_finished());
            if one.looks > 0 || works {
                continue;
            }
            match one.status {
                "PROVISIONING" => self.made_or_not(at),
                "SWITCHOVER_IN_PROGRESS" => self.switched_or_not(at),
                _ => {}
            }
        }
    }

    /// User guide, "Switching a blue/green deployment": the green one gets the blue one's name, the blue one `-old1`; when a
    /// switchover fails, all of it is taken back.
    fn switched_or_not(&mut self, at: usize) {
        let (blue, green) = (self.deployments[at].blue.clone(), self.deployments[at].green.clone());
        let told = self.deployments[at].work.take().and_then(FutureExt::now_or_never);
        let told =
            told.and_then(|done| done.unwrap_or_else(|panic| Some(format!("a rule of the overlay broke: {panic}"))));
        if let Some(why) = self.guardrail.clone().or(told) {
            (self.deployments[at].status, self.deployments[at].details) = ("SWITCHOVER_FAILED", why);
            let id = self.deployments[at].id.clone();
            return self.tell_of(DEPLOYMENT, &id, "failure", "Switchover canceled on blue/green deployment.");
        }
        let old = format!("{blue}-old1");
        if self.deployments[at].kind == "cluster" {
            self.cluster_switched(at);
        }
        for (from, to) in [(&blue, &old), (&green, &blue)] {
            if let Some(at) = self.instances.iter().position(|one| one.identifier() == from) {
                self.renamed(at, to);
            }
        }
        let one = &mut self.deployments[at];
        (one.blue, one.green, one.status) = (old, blue, "SWITCHOVER_COMPLETED");
        let id = one.id.clone();
        self.tell_of(DEPLOYMENT, &id, "notification", "Switchover completed on blue/green deployment.");
    }

    /// API reference, DeleteBlueGreenDeployment: DeleteTarget can't be given after a switchover. User guide, "Deleting a
    /// blue/green deployment": the green one must have no deletion protection then; otherwise both instances stay, and before a
    /// switchover the green one "is promoted to a standalone environment".
    pub(super) fn delete_deployment(&mut self, form: Form) -> Answer {
        let (looks, with_green) = (self.looks, form.is("DeleteTarget"));
        let found = self.deployment(form.text("BlueGreenDeploymentIdentifier"))?;
        if found.status == "SWITCHOVER_IN_PROGRESS" || (with_green && found.status == "SWITCHOVER_COMPLETED") {
            let message = format!("The blue/green deployment is in the state {}.", found.status);
            return Err((400, "InvalidBlueGreenDeploymentStateFault", message));
        }
        let (id, green, shown, switched) =
            (found.id.clone(), found.green.clone(), found.shown(), found.status == "SWITCHOVER_COMPLETED");
        let of_cluster = self.deployments.iter().any(|one| one.id == id && one.kind == "cluster");
        if of_cluster && !switched {
            self.green_cluster_left(&green, with_green)?;
        } else if let Ok(green) = self.find(&green)
            && !switched
        {
            let promoted = green.local.clone().filter(|_| !with_green);
            let phase = match with_green {
                true if green.node.text("DeletionProtection") == "true" => {
                    let message = "The green DB instance has deletion protection enabled.".to_owned();
                    return Err((400, "InvalidBlueGreenDeploymentStateFault", message));
                }
                true => Phase::new("deleting", looks, Then::Deleted),
                false => Phase::new("modifying", looks, Then::Nothing),
            };
            green.phases.push_back(match promoted {
                Some(local) => phase.with(async move { local.promoted().await }),
                None => phase,
            });
        }
        self.deployments.retain(|one| one.id != id);
        self.tell_of(DEPLOYMENT, &id, "deletion", "Blue/green deployment deleted.");
        Ok(vec![Node::of("BlueGreenDeployment", shown)])
    }

    /// Both have the names of before, the green one follows under another resource id, and another deployment has the name.
    pub(super) fn deployment_again(&mut self, name: &str) {
        let number = self.number();
        let Some(one) = self.deployments.iter_mut().find(|one| one.name == name) else { return };
        let (blue, green) = (one.blue.clone(), one.green.clone());
        let was = green.clone();
        one.id = format!("bgd-local{number}");
        (one.status, one.details, one.work) = ("AVAILABLE", String::new(), None);
        if blue.ends_with("-old1") {
            let renames = [(green, format!("{was}-green")), (blue, was.clone())];
            (one.blue, one.green) = (was.clone(), format!("{was}-green"));
            for (from, to) in renames {
                let at = self.instances.iter().position(|one| one.identifier() == from).unwrap();
                self.renamed(at, &to);
                self.instances[at].phases.clear();
            }
        }
        let green = self.deployments.iter().find(|one| one.name == name).unwrap().green.clone();
        if let Ok(green) = self.find(&green) {
            green.node.set("DbiResourceId", format!("db-LOCAL{number:021}"));
        }
    }

    /// The status of the deployment of this name, without a look that would count.
    pub(super) fn deployment_status(&self, name: &str) -> String {
        self.deployments.iter().find(|one| one.name == name).map(|one| one.status.to_owned()).unwrap_or_default()
    }
}

/// User guide, "Switching a blue/green deployment", the actions of a switchover: writes are stopped and connections dropped on
/// both sides, and new ones refused; the green one catches up; the former one allows only reads until it is rebooted.
async fn really(blue: Arc<dyn Local>, green: Arc<dyn Local>) -> Option<String> {
    let refused = green.refuses().await;
    if refused.is_some() {
        return refused;
    }
    blue.shut().await;
    green.shut().await;
    green.caught_up().await;
    blue.left_behind().await;
    green.promoted().await;
    None
}
