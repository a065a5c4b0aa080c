//! The data plane: nodes that follow the weights which the emulator holds, each after a delay of its own.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_elasticloadbalancingv2::Client;
use tokio::task::JoinHandle;

use super::super::Program;
use super::{
    Balancer, Cloud, SandboxError,
    config::Structure,
    metrics,
    node::{self, Counted, Node},
    read::{self, Weights},
    sdk::sdk_config,
};
use crate::clock;

/// How often the emulator is asked.
const EVERY: Duration = Duration::from_millis(150);
/// How long a node takes to follow, where nothing else was said.
const DELAY: Duration = Duration::from_millis(200);

/// What to start nodes for.
#[derive(Debug, Clone)]
pub struct StartPlane {
    /// The sandbox's folder.
    pub root: PathBuf,
    /// Which HAProxy.
    pub program: Program,
    /// The emulator that holds the rules.
    pub moto: String,
    /// The emulator that takes the metrics.
    pub ministack: String,
    /// The load balancer.
    pub balancer: Balancer,
    /// How long each node takes to follow: one node for each.
    pub delays: Vec<Duration>,
}

impl StartPlane {
    /// One node before a load balancer.
    pub fn before(cloud: &Cloud, balancer: &Balancer, root: &Path, program: Program) -> Self {
        Self {
            root: root.to_owned(),
            program,
            moto: cloud.moto(),
            ministack: cloud.ministack(),
            balancer: balancer.clone(),
            delays: vec![DELAY],
        }
    }
}

/// The nodes of a load balancer. Dropping it ends them.
#[derive(Debug)]
pub struct Plane {
    nodes: Vec<Node>,
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

/// What the tasks of a plane share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) structure: Structure,
    pub(crate) sockets: Vec<PathBuf>,
    delays: Mutex<Vec<Duration>>,
}

/// What a target got, through all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetCount {
    /// The rule (or the listener, for its default) that sent it there.
    pub rule: String,
    /// Its target group.
    pub group: String,
    /// `address:port`.
    pub target: String,
    /// Requests since the nodes started.
    pub requests: u64,
    /// Answers with a 5xx status.
    pub errors_5xx: u64,
    /// Whether every node finds it healthy.
    pub healthy: bool,
}

impl Plane {
    /// Reads the load balancer's rules and starts the nodes.
    ///
    /// # Errors
    /// When the emulator does not answer or a node does not start.
    pub async fn start(start: StartPlane) -> Result<Self, SandboxError> {
        let client = Client::new(&sdk_config(&start.moto));
        let routes = read::routes(&client, &start.balancer.listener).await?;
        let groups = read::groups(&client, &[start.balancer.from.clone(), start.balancer.to.clone()]).await?;
        let structure = Structure { routes, groups };
        let mut nodes = Vec::new();
        for number in 0..start.delays.len() {
            nodes.push(Node::start(&format!("alb-{number}"), &start.program, &start.root, &structure).await?);
        }
        let sockets = nodes.iter().map(|node| node.socket.clone()).collect();
        let shared = Arc::new(Shared { structure, sockets, delays: Mutex::new(start.delays.clone()) });
        let tasks = [
            tokio::spawn(follow(Arc::clone(&shared), client, start.balancer.listener.clone())),
            tokio::spawn(metrics::publish(Arc::clone(&shared), start.ministack.clone(), start.balancer.arn.clone())),
        ];
        Ok(Self { nodes, shared, tasks })
    }

    /// The address of each node, as `http://127.0.0.1:port`.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("http://127.0.0.1:{}", node.port)).collect()
    }

    /// From now on the node follows after this long.
    pub fn set_delay(&self, node: usize, delay: Duration) {
        if let Some(own) = lock(&self.shared.delays).get_mut(node) {
            *own = delay;
        }
    }

    /// What every target got, and whether it is healthy, by rule.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn targets(&self) -> Result<Vec<TargetCount>, SandboxError> {
        self.shared.targets().await.map_err(SandboxError::io("ask a node of the load balancer"))
    }

    pub(crate) fn leave_running(&mut self) {
        self.nodes.iter_mut().for_each(Node::leave_running);
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    pub(crate) async fn targets(&self) -> std::io::Result<Vec<TargetCount>> {
        let mut found: BTreeMap<(usize, String), TargetCount> = BTreeMap::new();
        for socket in &self.sockets {
            for counted in node::counted(socket).await? {
                let key = (counted.route, counted.server.clone());
                let sum = found.entry(key).or_insert_with(|| self.target(&counted));
                sum.requests += counted.requests;
                sum.errors_5xx += counted.errors_5xx;
                sum.healthy &= counted.up;
            }
        }
        Ok(found.into_values().collect())
    }

    fn target(&self, counted: &Counted) -> TargetCount {
        let group = Structure::group_of(&counted.server);
        let servers = self.structure.servers(group).into_iter();
        let address = servers.into_iter().find(|(name, _)| *name == counted.server).map(|(_, address)| address);
        TargetCount {
            rule: self.structure.routes[counted.route].arn.clone(),
            group: self.structure.groups[group].arn.clone(),
            target: address.unwrap_or_default(),
            requests: 0,
            errors_5xx: 0,
            healthy: true,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Weights that a node has not followed yet: when they were seen, of which rule.
type Waiting = VecDeque<(Instant, usize, Weights)>;

/// Asks the emulator for ever; a node gets what it holds when the node's delay is over.
async fn follow(shared: Arc<Shared>, client: Client, listener: String) {
    let mut known: Vec<Weights> = shared.structure.routes.iter().map(|route| route.weights.clone()).collect();
    let mut waiting: Vec<Waiting> = vec![Waiting::new(); shared.sockets.len()];
    loop {
        tokio::time::sleep(EVERY).await;
        let now = clock::monotonic();
        for (route, weights) in changed(&shared, &client, &listener, &known).await {
            for node in &mut waiting {
                node.push_back((now, route, weights.clone()));
            }
            known[route] = weights;
        }
        for (node, waiting) in waiting.iter_mut().enumerate() {
            let delay = lock(&shared.delays)[node];
            while waiting.front().is_some_and(|(seen, _, _)| now >= *seen + delay) {
                let Some((_, route, weights)) = waiting.pop_front() else { break };
                node::weigh(&shared.sockets[node], &shared.structure, route, &weights).await.ok();
            }
        }
    }
}

/// The rules whose weights are not those that were seen last.
async fn changed(shared: &Shared, client: &Client, listener: &str, known: &[Weights]) -> Vec<(usize, Weights)> {
    let Ok(found) = read::routes(client, listener).await else { return Vec::new() };
    let position = |arn: &str| shared.structure.routes.iter().position(|route| route.arn == arn);
    let found = found.into_iter().filter_map(|route| Some((position(&route.arn)?, route.weights)));
    found.filter(|(route, weights)| known[*route] != *weights).collect()
}
