//! Instances and clusters of RDS, which the emulator has as `available` at once, under one and the same resource id, never really
//! promoted, and overwritten by a rename. The emulator makes an instance (so that its shape is not ours); from then on it
//! lives here. Where it leads is a real server of the test.
//!
//! Taken from the Amazon RDS API reference and the user guide; each rule names its page. Rests on it: what a test says of
//! states, promotion, names, pending values, parameter groups, snapshots and events of RDS is our belief about AWS.

mod blue_green;
mod changes;
mod cluster_deployments;
mod clusters;
mod events;
mod form;
mod groups;
mod instance;
mod offer;
mod replicas;
mod snapshots;
mod xml;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

pub use self::xml::Node;
use self::{
    blue_green::Deployment, clusters::Cluster, events::Event, form::Form, groups::Group, instance::Instance,
    snapshots::Snapshot,
};
use crate::aws::proxy::{Asked, Overlay, Protocol, Reply, refusal};

/// The real server that stands behind an instance. What AWS does with the instance is truly done to it.
#[async_trait]
pub trait Local: Send + Sync {
    /// Where it listens, on 127.0.0.1.
    fn port(&self) -> u16;

    /// PromoteReadReplica: it stops to follow, and takes writes from now on.
    async fn promoted(&self) {}

    /// It is made as the green instance of a deployment: it has everything of the blue one, and follows it.
    async fn follows(&self) {}

    /// Why RDS's guardrails stop a switchover to it, as the servers are now.
    async fn refuses(&self) -> Option<String> {
        None
    }

    /// A switchover of a Blue/Green deployment begins: connections are dropped, and nobody gets in until it has a name again.
    async fn shut(&self) {}

    /// Waits until it has everything of the server that it follows.
    async fn caught_up(&self) {}

    /// The switchover leaves it behind: it allows only reads until it is rebooted.
    async fn left_behind(&self) {}

    /// It is called so from now on, and reached by that name.
    fn renamed(&self, _to: &str) {}

    /// Settings that come into force; `restarted` when by a reboot.
    async fn set(&self, _values: BTreeMap<String, String>, _restarted: bool) {}
}

/// A server to which nothing is done.
impl Local for u16 {
    fn port(&self) -> u16 {
        *self
    }
}

/// Everything of one account and region.
pub struct Rds {
    state: Mutex<State>,
}

struct State {
    /// How many looks each state lasts.
    looks: usize,
    /// What is made next gets this number.
    next: usize,
    locals: BTreeMap<String, Arc<dyn Local>>,
    instances: Vec<Instance>,
    clusters: Vec<Cluster>,
    snapshots: Vec<Snapshot>,
    deployments: Vec<Deployment>,
    /// Why switchovers fail from now on, if they do.
    guardrail: Option<String>,
    /// Why deployments that are made from now on can't be, if they can't.
    unmade: Option<String>,
    snapshots_fail: bool,
    groups: BTreeMap<String, Group>,
    events: Vec<Event>,
}

/// What is answered: the elements of the result, or a refusal's status, code and message.
type Answer = Result<Vec<Node>, (u16, &'static str, String)>;

impl Default for Rds {
    fn default() -> Self {
        let state = State {
            looks: 2,
            next: 1,
            locals: BTreeMap::new(),
            instances: Vec::new(),
            clusters: Vec::new(),
            snapshots: Vec::new(),
            deployments: Vec::new(),
            guardrail: None,
            unmade: None,
            snapshots_fail: false,
            groups: BTreeMap::new(),
            events: Vec::new(),
        };
        Self { state: Mutex::new(state) }
    }
}

impl Rds {
    /// The instance that is called so now, or will be made, is this server; it stays so when it is renamed.
    pub fn serves(&self, identifier: &str, local: Arc<dyn Local>) {
        let mut state = self.lock();
        match state.find(identifier) {
            Ok(found) => found.local = Some(local),
            Err(_) => drop(state.locals.insert(identifier.into(), local)),
        }
    }

    /// From now on each state of an instance or a snapshot lasts for so many looks.
    pub fn each_state_lasts(&self, looks: usize) {
        self.lock().looks = looks;
    }

    /// Whether snapshots that are made from now on end as `failed`.
    pub fn snapshots_fail(&self, fail: bool) {
        self.lock().snapshots_fail = fail;
    }

    /// Why switchovers that begin from now on fail; `None`: they don't.
    pub fn switchovers_fail(&self, why: Option<&str>) {
        self.lock().guardrail = why.map(str::to_owned);
    }

    /// Why deployments that are made from now on end as invalid; `None`: they don't.
    pub fn deployments_fail(&self, why: Option<&str>) {
        self.lock().unmade = why.map(str::to_owned);
    }

    /// Names of the deployments, without a look that would count.
    pub fn deployments(&self) -> Vec<String> {
        self.lock().deployments.iter().map(|one| one.name().to_owned()).collect()
    }

    /// Of a deployment that was switched over, everything again as it was before, with another identifier.
    pub fn deployment_again(&self, name: &str) {
        self.lock().deployment_again(name);
    }

    /// How a deployment stands, without a look that would count.
    pub fn deployment_status(&self, name: &str) -> String {
        self.lock().deployment_status(name)
    }

    /// Identifier and status of each instance, without a look that would count.
    pub fn instances(&self) -> Vec<(String, String)> {
        let state = self.lock();
        state.instances.iter().map(|one| (one.identifier().to_owned(), one.status().to_owned())).collect()
    }

    /// Identifier and status of each snapshot, without a look that would count.
    pub fn snapshots(&self) -> Vec<(String, String)> {
        let state = self.lock();
        state.snapshots.iter().map(|one| (one.identifier().to_owned(), one.status().to_owned())).collect()
    }

    /// Identifier and status of each cluster, without a look that would count.
    pub fn clusters(&self) -> Vec<(String, String)> {
        let state = self.lock();
        state.clusters.iter().map(|one| (one.identifier().to_owned(), one.status().to_owned())).collect()
    }

    /// An element of an instance as the next look would show it, by its path, such as `Endpoint/Port`.
    pub fn shows(&self, identifier: &str, path: &str) -> String {
        let mut state = self.lock();
        state.find(identifier).map_or_else(|_| String::new(), |one| one.shown().text(path).to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Overlay for Rds {
    fn instead(&self, asked: &Asked) -> Option<Reply> {
        if asked.service != "rds" {
            return None;
        }
        let (mut state, form) = (self.lock(), Form(&asked.parameters));
        let answer = match asked.action.as_str() {
            "DescribeDBInstances" => state.describe(form),
            // Its own copy must know that, too, or it will not forget the instance later.
            "ModifyDBInstance" if form.get("DeletionProtection").is_some() && state.is_emulated(form) => return None,
            "ModifyDBInstance" => state.modify(form),
            "RebootDBInstance" => state.reboot(form),
            "StopDBInstance" => state.stop(form),
            "StartDBInstance" => state.start(form),
            "DeleteDBInstance" => state.delete(form)?,
            "CreateDBInstanceReadReplica" => state.create_replica(form),
            "PromoteReadReplica" => state.promote(form),
            "CreateBlueGreenDeployment" => state.create_deployment(form),
            "DescribeBlueGreenDeployments" => state.describe_deployments(form),
            "SwitchoverBlueGreenDeployment" => state.switch_over(form),
            "DeleteBlueGreenDeployment" => state.delete_deployment(form),
            "CreateDBSnapshot" => state.create_snapshot(form),
            "DescribeDBSnapshots" => state.describe_snapshots(form),
            "DeleteDBSnapshot" => state.delete_snapshot(form),
            "ModifyDBParameterGroup" => state.modify_group(form),
            "ResetDBParameterGroup" => state.reset_group(form),
            "DescribeDBParameters" => state.describe_parameters(form),
            "DescribeEvents" => state.describe_events(form),
            "DescribeDBEngineVersions" => Ok(vec![offer::versions(form)]),
            "DescribeOrderableDBInstanceOptions" => Ok(vec![offer::options(form)]),
            "DescribeDBClusters" => state.describe_clusters(form),
            "ModifyDBCluster" => state.modify_cluster(form),
            "PromoteReadReplicaDBCluster" => state.promote_cluster(form),
            "DeleteDBCluster" => state.delete_cluster(form),
            "StopDBCluster" => state.stop_cluster(form),
            "StartDBCluster" => state.start_cluster(form),
            "CreateDBClusterSnapshot" => state.snapshot_cluster(form),
            "DescribeDBClusterSnapshots" => state.describe_cluster_snapshots(form),
            "ModifyDBClusterParameterGroup" => state.modify_group(form),
            "ResetDBClusterParameterGroup" => state.reset_group(form),
            "DescribeDBClusterParameters" => state.describe_parameters(form),
            _ => return None,
        };
        Some(reply(&asked.action, answer))
    }

    fn amend(&self, asked: &Asked, made: &mut Reply) {
        if asked.service != "rds" || made.status != 200 {
            return;
        }
        let (mut state, form) = (self.lock(), Form(&asked.parameters));
        match asked.action.as_str() {
            "CreateDBInstance" => {
                let document = Node::parse(&made.text());
                let instance = document.at("CreateDBInstanceResult/DBInstance").expect("an instance was made").clone();
                *made = reply(&asked.action, Ok(vec![state.made(instance)]));
            }
            "CreateDBCluster" => {
                let document = Node::parse(&made.text());
                let cluster = document.at("CreateDBClusterResult/DBCluster").expect("a cluster was made").clone();
                *made = reply(&asked.action, Ok(vec![state.made_cluster(cluster)]));
            }
            "CreateDBParameterGroup" | "CreateDBClusterParameterGroup" => state.made_group(form),
            "ModifyDBInstance" if form.get("DeletionProtection").is_some() && state.is_emulated(form) => {
                *made = reply(&asked.action, state.modify(form));
            }
            "DeleteDBInstance" if state.is_emulated(form) => *made = reply(&asked.action, state.deleted(form)),
            _ => {}
        }
    }
}

fn reply(action: &str, answer: Answer) -> Reply {
    let result = match answer {
        Ok(result) => Node::of(&format!("{action}Result"), result).write(),
        Err((status, code, message)) => return refusal(Protocol::Query, status, code, &message),
    };
    let body = format!(
        "<{action}Response xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\">{result}<ResponseMetadata><RequestId>\
         00000000-0000-4000-8000-000000000000</RequestId></ResponseMetadata></{action}Response>"
    );
    Reply::new(200, "text/xml", body)
}
