//! Blue/Green deployments of clusters of Aurora: the green cluster and its instances appear, a switchover renames all of them.
//!
//! Aurora user guide, "Overview of Amazon Aurora Blue/Green Deployments" (names of cluster and instances before and after),
//! "Creating a blue/green deployment in Amazon Aurora" (logical replication, in force on the writer; the green one has the
//! blue one's parameter group unless another is named), "Switching a blue/green deployment" (its actions: "the previous
//! production DB cluster only allows read operations until the writer instance is rebooted"), "Deleting a blue/green
//! deployment" ("the green environment is promoted to a standalone environment"). Its tasks and members: AWS CLI reference,
//! create-blue-green-deployment, "for an Aurora MySQL DB cluster". API reference, CreateBlueGreenDeployment: class and storage
//! don't apply to clusters; DeleteDBCluster.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    Answer, Form, Local, Node, State,
    blue_green::Deployment,
    clusters::Cluster,
    instance::{Instance, Phase, Then},
    snapshots::Snapshot,
};

type Refusal = (u16, &'static str, String);

/// What is told of a cluster that is copied.
const TASKS: [&str; 3] =
    ["CREATING_READ_REPLICA_OF_SOURCE", "DB_ENGINE_VERSION_UPGRADE", "CREATE_DB_INSTANCES_FOR_CLUSTER"];
/// What can't be asked for.
const NOT_HERE: [&str; 5] =
    ["TargetDBInstanceClass", "TargetAllocatedStorage", "TargetStorageType", "TargetIops", "TargetStorageThroughput"];

pub(super) fn arn(kind: &str, identifier: &str) -> String {
    format!("arn:aws:rds:us-east-1:123456789012:{kind}:{identifier}")
}

/// The tasks of a deployment of this kind.
pub(super) const fn tasks(of_cluster: bool, of_instance: [&'static str; 3]) -> [&'static str; 3] {
    if of_cluster { TASKS } else { of_instance }
}

impl State {
    pub(super) fn create_cluster_deployment(&mut self, form: Form) -> Answer {
        if let Some(asked) = NOT_HERE.iter().find(|name| form.get(name).is_some()) {
            let message = format!("{asked} can't be specified for a cluster.");
            return Err((400, "InvalidParameterCombination", message));
        }
        let number = self.number();
        let blue = form.text("Source").rsplit(':').next().unwrap_or_default().to_owned();
        let green = format!("{blue}-green");
        let of = self.cluster(&blue)?;
        if of.status() != "available" {
            return Err((400, "InvalidDBClusterStateFault", format!("{blue} is not available.")));
        }
        if of.node.at("MasterUserSecret/SecretArn").is_some() {
            let message = "Blue/green deployments don't support a master password in Secrets Manager.";
            return Err((400, "SourceClusterNotSupportedFault", message.into()));
        }
        let (mut node, waits) = (of.node.clone(), of.waits.clone());
        let members = self.members_of(&blue);
        let publishes = self.values_of(node.text("DBClusterParameterGroup"));
        let publishes = publishes.get("rds.logical_replication").is_some_and(|value| value == "1");
        if !publishes || members.first().is_some_and(|writer| waits.contains_key(writer)) {
            self.unmade = Some("rds.logical_replication must be 1, and in force on the writer".to_owned());
        }
        node.set("DBClusterIdentifier", &green);
        node.set("DBClusterArn", arn("cluster", &green));
        node.set("DbClusterResourceId", format!("cluster-LOCAL{number:021}"));
        for field in ["Endpoint", "ReaderEndpoint"] {
            let text = node.text(field).replacen(&blue, &green, 1);
            node.set(field, text);
        }
        for (asked, field) in
            [("TargetEngineVersion", "EngineVersion"), ("TargetDBClusterParameterGroupName", "DBClusterParameterGroup")]
        {
            if let Some(value) = form.get(asked) {
                node.set(field, value);
            }
        }
        let group = node.text("DBClusterParameterGroup").to_owned();
        if !self.groups.contains_key(&group) {
            let message = format!("DBClusterParameterGroup not found: {group}");
            return Err((404, "DBClusterParameterGroupNotFound", message));
        }
        let creating = Phase::new("creating", self.looks, Then::Nothing);
        let local = self.locals.get(&green).cloned();
        let phases = VecDeque::from([match local.clone() {
            Some(local) => creating.with(async move { local.follows().await }),
            None => creating,
        }]);
        self.clusters.push(Cluster { node, local, phases, waits: BTreeMap::new() });
        let members = members.into_iter().map(|name| self.green_member(&name, &green, form)).collect();
        let keys = form.list("Tags.Tag", ".Key").zip(form.list("Tags.Tag", ".Value"));
        let tags = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let name = form.text("BlueGreenDeploymentName").to_owned();
        let deployment = Deployment {
            id: format!("bgd-local{number}"),
            kind: "cluster",
            members,
            name,
            blue,
            green,
            status: "PROVISIONING",
            details: String::new(),
            looks: self.looks,
            work: None,
            tags,
        };
        let shown = deployment.shown();
        self.deployments.push(deployment);
        Ok(vec![Node::of("BlueGreenDeployment", shown)])
    }

    /// The name of an instance, and that of its copy.
    fn green_member(&mut self, name: &str, cluster: &str, form: Form) -> (String, String) {
        let (green, number) = (format!("{name}-green"), self.number());
        let mut node = self.find(name).expect("a member is there").node.clone();
        node.set("DBInstanceIdentifier", &green);
        node.set("DBInstanceArn", arn("db", &green));
        node.set("DbiResourceId", format!("db-LOCAL{number:021}"));
        node.set("DBClusterIdentifier", cluster);
        if let Some(version) = form.get("TargetEngineVersion") {
            node.set("EngineVersion", version);
        }
        let local = self.locals.remove(&green);
        let phases = VecDeque::from([Phase::new("creating", self.looks, Then::Nothing)]);
        let (pending, in_force) = (BTreeMap::new(), BTreeMap::new());
        let mut made = Instance { node, local, emulated: None, phases, pending, in_force };
        if let Some(group) = form.get("TargetDBParameterGroupName") {
            made.set_group(group, "in-sync");
        }
        self.instances.push(made);
        (name.to_owned(), green)
    }

    /// The server behind one side of a deployment.
    pub(super) fn behind(&mut self, kind: &str, name: &str) -> Option<Arc<dyn Local>> {
        match kind {
            "cluster" => self.cluster(name).ok()?.local.clone(),
            _ => self.find(name).ok()?.local.clone(),
        }
    }

    /// Whether the green one, and each of its instances, is at rest.
    pub(super) fn is_made(&mut self, at: usize) -> bool {
        let one = &self.deployments[at];
        let (kind, green) = (one.kind, one.green.clone());
        let mut names: Vec<String> = one.members.iter().map(|(_, green)| green.clone()).collect();
        if kind == "cluster" {
            drop(self.describe_clusters(Form(&serde_json::Value::Null)));
            if self.cluster(&green).is_ok_and(|green| green.status() != "available") {
                return false;
            }
        } else {
            names.push(green);
        }
        names.iter().all(|name| self.find(name).is_ok_and(|one| one.status() == "available"))
    }

    pub(super) fn cluster_switched(&mut self, at: usize) {
        let one = &self.deployments[at];
        let (blue, green, members) = (one.blue.clone(), one.green.clone(), one.members.clone());
        let old = |name: &str| format!("{name}-old1");
        for (from, to) in [(&blue, &old(&blue)), (&green, &blue)] {
            if let Some(at) = self.clusters.iter().position(|one| one.identifier() == from) {
                self.renamed_cluster(at, to);
            }
        }
        for (was, is) in &members {
            for (from, to) in [(was, &old(was)), (is, was)] {
                if let Some(at) = self.instances.iter().position(|one| one.identifier() == from) {
                    self.renamed(at, to);
                }
            }
        }
        self.deployments[at].members = members.into_iter().map(|(was, _)| (old(&was), was)).collect();
    }

    /// Its record is deleted before a switchover: what becomes of the green one.
    pub(super) fn green_cluster_left(&mut self, green: &str, with_green: bool) -> Result<(), Refusal> {
        let looks = self.looks;
        if with_green {
            for name in self.members_of(green) {
                self.find(&name)?.phases.push_back(Phase::new("deleting", looks, Then::Deleted));
            }
        }
        let one = self.cluster(green)?;
        let promoted = one.local.clone().filter(|_| !with_green);
        let (status, then) = if with_green { ("deleting", Then::Deleted) } else { ("promoting", Then::Nothing) };
        let phase = Phase::new(status, looks, then);
        one.phases.push_back(match promoted {
            Some(local) => phase.with(async move { local.promoted().await }),
            None => phase,
        });
        Ok(())
    }

    /// User guide, "Deleting Aurora DB clusters and DB instances": its instances are deleted first, and a protected one not at
    /// all; a final snapshot unless it is skipped.
    pub(super) fn delete_cluster(&mut self, form: Form) -> Answer {
        let (named, looks) = (form.text("DBClusterIdentifier").to_owned(), self.looks);
        let members = self.members_of(&named);
        if members.iter().any(|name| self.find(name).is_ok_and(|one| one.status() != "deleting")) {
            let message = "Cluster cannot be deleted, it still contains DB instances in non-deleting state.";
            return Err((400, "InvalidDBClusterStateFault", message.into()));
        }
        let node = self.free(form)?.node.clone();
        if node.text("DeletionProtection") == "true" {
            let message = "Cannot delete protected Cluster, please disable deletion protection and try again.";
            return Err((400, "InvalidParameterCombination", message.into()));
        }
        match form.get("FinalDBSnapshotIdentifier") {
            Some(snapshot) => {
                let name = vec![Node::leaf("DBClusterSnapshotIdentifier", snapshot)];
                let mut kept = Node::of("DBClusterSnapshot", name);
                for field in ["DBClusterIdentifier", "DbClusterResourceId", "Engine", "EngineVersion"] {
                    kept.set(field, node.text(field));
                }
                self.snapshots.push(Snapshot::new(kept, looks.max(1), false));
            }
            None if form.is("SkipFinalSnapshot") => {}
            None => {
                let message = "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.";
                return Err((400, "InvalidParameterCombination", message.into()));
            }
        }
        self.cluster(&named)?.phases.push_back(Phase::new("deleting", looks, Then::Deleted));
        Ok(vec![node])
    }
}
