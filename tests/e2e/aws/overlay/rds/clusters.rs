//! Clusters of Aurora, which the emulator has as `available` at once. It makes a cluster (so that its shape is not ours);
//! from then on it lives here.
//!
//! Aurora user guide: "Viewing DB cluster status" (`creating`, `promoting`, `renaming`, `stopping`, `starting`); "Stopping and
//! starting an Amazon Aurora DB cluster" (not one with a read replica in another Region); "Migrating data from an RDS for
//! PostgreSQL DB instance … using an Aurora read replica" (a replica cluster has one reader, and no writer until it is
//! promoted); "Working with DB cluster parameter groups" (a static parameter waits for a reboot of each instance). API
//! reference: PromoteReadReplicaDBCluster, StopDBCluster, ModifyDBCluster and CreateDBClusterSnapshot answer
//! `InvalidDBClusterStateFault` to a cluster in another state than theirs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    Answer, Form, Local, Node, State,
    instance::{Phase, Then, over},
    snapshots::Snapshot,
};

type Refused = (u16, &'static str, String);

pub(super) struct Cluster {
    pub node: Node,
    pub local: Option<Arc<dyn Local>>,
    pub phases: VecDeque<Phase>,
    /// How the cluster's parameter group stands on each member, where it is not in sync.
    pub waits: BTreeMap<String, &'static str>,
}

impl Cluster {
    pub fn identifier(&self) -> &str {
        self.node.text("DBClusterIdentifier")
    }

    pub fn status(&self) -> &str {
        self.phases.front().map_or_else(|| self.node.text("Status"), |phase| phase.status())
    }

    fn replicates(&self) -> &str {
        self.node.text("ReplicationSourceIdentifier")
    }
}

impl State {
    pub(super) fn cluster(&mut self, identifier: &str) -> Result<&mut Cluster, Refused> {
        let named = identifier.rsplit(':').next().unwrap_or(identifier);
        let found = self.clusters.iter_mut().find(|one| one.identifier().eq_ignore_ascii_case(named));
        found.ok_or_else(|| (404, "DBClusterNotFoundFault", format!("DBCluster {identifier} not found.")))
    }

    /// One that is asked to change must be at rest.
    pub(super) fn free(&mut self, form: Form) -> Result<&mut Cluster, Refused> {
        let found = self.cluster(form.text("DBClusterIdentifier"))?;
        let status = found.status().to_owned();
        if status == "available" {
            return Ok(found);
        }
        let message = format!("DbCluster {} is in {status} state.", found.identifier());
        Err((400, "InvalidDBClusterStateFault", message))
    }

    pub(super) fn made_cluster(&mut self, mut node: Node) -> Node {
        node.set("Status", "available");
        let identifier = node.text("DBClusterIdentifier").to_owned();
        let source = node.text("ReplicationSourceIdentifier").to_owned();
        if let Ok(source) = self.cluster(&source) {
            source.node.set_list("ReadReplicaIdentifiers", std::slice::from_ref(&identifier));
        }
        let phases = VecDeque::from([Phase::new("creating", self.looks, Then::Nothing)]);
        let local = self.locals.remove(&identifier);
        self.clusters.push(Cluster { node, local, phases, waits: BTreeMap::new() });
        self.shown(self.clusters.len() - 1)
    }

    /// The instances that were made in it, the first of which writes, unless it is a replica.
    fn members(&self, cluster: &Cluster) -> Vec<String> {
        self.members_of(cluster.identifier())
    }

    pub(super) fn members_of(&self, cluster: &str) -> Vec<String> {
        let of = |one: &&super::Instance| one.node.text("DBClusterIdentifier") == cluster;
        self.instances.iter().filter(of).map(|one| one.identifier().to_owned()).collect()
    }

    fn shown(&self, at: usize) -> Node {
        let one = &self.clusters[at];
        let mut node = one.node.clone();
        node.set("Status", one.status());
        if let Some(local) = &one.local {
            node.set("Endpoint", "127.0.0.1");
            node.set("Port", local.port().to_string());
        }
        let member = |(number, name): (usize, String)| {
            let writes = number == 0 && one.replicates().is_empty();
            let fields = [
                ("IsClusterWriter", writes.to_string()),
                ("DBClusterParameterGroupStatus", (*one.waits.get(&name).unwrap_or(&"in-sync")).to_owned()),
                ("DBInstanceIdentifier", name),
            ];
            Node::of("DBClusterMember", fields.map(|(name, text)| Node::leaf(name, text)).into())
        };
        let members = self.members(one).into_iter().enumerate().map(member).collect();
        node.put(Node::of("DBClusterMembers", members));
        node
    }

    pub(super) fn describe_clusters(&mut self, form: Form) -> Answer {
        self.go_on();
        for at in (0..self.clusters.len()).rev() {
            match over(&mut self.clusters[at].phases) {
                Some(Then::Promoted) => self.promoted_cluster(at),
                Some(Then::Renamed(to)) => self.renamed_cluster(at, &to),
                Some(Then::Deleted) => drop(self.clusters.remove(at)),
                _ => {}
            }
        }
        if let Some(identifier) = form.get("DBClusterIdentifier") {
            self.cluster(identifier)?;
        }
        let resource = form.filter("db-cluster-resource-id");
        let wanted = |one: &Cluster| {
            form.get("DBClusterIdentifier").is_none_or(|name| one.identifier().eq_ignore_ascii_case(name))
                && resource.as_ref().is_none_or(|ids| ids.contains(&one.node.text("DbClusterResourceId")))
        };
        let found = (0..self.clusters.len()).filter(|at| wanted(&self.clusters[*at]));
        Ok(vec![Node::of("DBClusters", found.map(|at| self.shown(at)).collect())])
    }

    /// What a change of a cluster answers.
    fn told(&self, identifier: &str) -> Vec<Node> {
        let at = self.clusters.iter().position(|one| one.identifier().eq_ignore_ascii_case(identifier));
        at.map(|at| self.shown(at)).into_iter().collect()
    }

    pub(super) fn promote_cluster(&mut self, form: Form) -> Answer {
        let looks = self.looks;
        let one = self.free(form)?;
        if one.replicates().is_empty() {
            let message = format!("DbCluster {} is not a read replica.", one.identifier());
            return Err((400, "InvalidDBClusterStateFault", message));
        }
        let promoting = Phase::new("promoting", looks, Then::Promoted);
        one.phases.push_back(match one.local.clone() {
            Some(local) => promoting.with(async move { local.promoted().await }),
            None => promoting,
        });
        Ok(self.told(form.text("DBClusterIdentifier")))
    }

    fn promoted_cluster(&mut self, at: usize) {
        let source = self.clusters[at].replicates().to_owned();
        self.clusters[at].node.remove("ReplicationSourceIdentifier");
        if let Ok(source) = self.cluster(&source) {
            source.node.set_list("ReadReplicaIdentifiers", &[]);
        }
    }

    /// It can be renamed only, here.
    pub(super) fn modify_cluster(&mut self, form: Form) -> Answer {
        let to = form.text("NewDBClusterIdentifier").to_lowercase();
        if self.cluster(&to).is_ok() {
            return Err((400, "DBClusterAlreadyExistsFault", format!("DB cluster already exists: {to}")));
        }
        let looks = self.looks;
        self.free(form)?.phases.push_back(Phase::new("renaming", looks, Then::Renamed(to)));
        Ok(self.told(form.text("DBClusterIdentifier")))
    }

    /// Its name, ARN and endpoints change; the resource id, and its instances' names, do not (user guide, "Renaming an Amazon
    /// Aurora DB cluster").
    pub(super) fn renamed_cluster(&mut self, at: usize, to: &str) {
        let one = &mut self.clusters[at];
        let from = one.identifier().to_owned();
        one.node.set("DBClusterIdentifier", to);
        for field in ["DBClusterArn", "Endpoint", "ReaderEndpoint"] {
            let text = one.node.text(field).replacen(&from, to, 1);
            one.node.set(field, text);
        }
        one.local.iter().for_each(|local| local.renamed(to));
        let mine = self.instances.iter_mut().filter(|one| one.node.text("DBClusterIdentifier") == from);
        mine.for_each(|one| one.node.set("DBClusterIdentifier", to));
    }

    pub(super) fn stop_cluster(&mut self, form: Form) -> Answer {
        let looks = self.looks;
        let one = self.free(form)?;
        if !one.replicates().is_empty() || !one.node.list("ReadReplicaIdentifiers").is_empty() {
            let message = format!("DbCluster {} is or has a read replica.", one.identifier());
            return Err((400, "InvalidDBClusterStateFault", message));
        }
        one.phases.push_back(Phase::new("stopping", looks, Then::Nothing));
        one.node.set("Status", "stopped");
        Ok(self.told(form.text("DBClusterIdentifier")))
    }

    pub(super) fn start_cluster(&mut self, form: Form) -> Answer {
        let looks = self.looks;
        let one = self.cluster(form.text("DBClusterIdentifier"))?;
        if one.status() != "stopped" {
            let message = format!("DbCluster {} is not stopped.", one.identifier());
            return Err((400, "InvalidDBClusterStateFault", message));
        }
        one.phases.push_back(Phase::new("starting", looks, Then::Nothing));
        one.node.set("Status", "available");
        Ok(self.told(form.text("DBClusterIdentifier")))
    }

    pub(super) fn snapshot_cluster(&mut self, form: Form) -> Answer {
        let identifier = form.text("DBClusterSnapshotIdentifier");
        if self.snapshots.iter().any(|one| one.identifier() == identifier) {
            let message = format!("A snapshot with the identifier {identifier} already exists.");
            return Err((400, "DBClusterSnapshotAlreadyExistsFault", message));
        }
        let (total, fails) = (self.looks.max(1), self.snapshots_fail);
        let cluster = &self.free(form)?.node;
        let mut node = Node::of("DBClusterSnapshot", vec![Node::leaf("DBClusterSnapshotIdentifier", identifier)]);
        for field in ["DBClusterIdentifier", "DbClusterResourceId", "Engine", "EngineVersion"] {
            node.set(field, cluster.text(field));
        }
        let snapshot = Snapshot::new(node, total, fails);
        let shown = snapshot.shown();
        self.snapshots.push(snapshot);
        Ok(vec![shown])
    }

    pub(super) fn describe_cluster_snapshots(&mut self, form: Form) -> Answer {
        let named = form.text("DBClusterSnapshotIdentifier");
        let found = self.snapshots.iter_mut().find(|one| one.is_of_cluster() && one.identifier() == named);
        let missing = || (404, "DBClusterSnapshotNotFoundFault", format!("DBClusterSnapshot {named} not found."));
        Ok(vec![Node::of("DBClusterSnapshots", vec![found.ok_or_else(missing)?.looked_at()])])
    }

    /// A static parameter of a group was changed: each instance of a cluster that has it waits.
    pub(super) fn cluster_group_changed(&mut self, group: &str) {
        for at in 0..self.clusters.len() {
            if self.clusters[at].node.text("DBClusterParameterGroup") == group {
                let members = self.members(&self.clusters[at]);
                self.clusters[at].waits.extend(members.into_iter().map(|name| (name, "pending-reboot")));
            }
        }
    }

    pub(super) fn member_rebooted(&mut self, instance: &str) {
        for one in &mut self.clusters {
            one.waits.remove(instance);
        }
    }
}
