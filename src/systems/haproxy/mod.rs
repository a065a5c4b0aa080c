//! HAProxy 2.6 and newer, by its runtime socket. A [`Balancer`] is all nodes with the same backend; weights are written
//! to every node and read back from every node, since a reload of a node resets them.

mod front;
mod socket;
mod stats;
mod traffic;
mod weights;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

pub use crate::systems::traffic::Observed;
pub use front::{Front, FrontNow, Open, can_hold};
pub use stats::{NodeStats, ServerStat, Traffic, observed};
pub use weights::{WEIGHT_MAX, Weights};

use self::socket::Socket;
use super::{Certainty, DriverError, Result};
use crate::runbook::model::{Haproxy, Name};

/// All nodes of a load balancer.
#[derive(Clone, Debug)]
pub struct Balancer {
    name: String,
    backend: Name,
    from: Vec<Name>,
    to: Vec<Name>,
    sockets: Vec<Socket>,
}

/// The weights on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeWeights {
    /// Its socket.
    pub node: String,
    /// The weights of our servers there.
    pub weights: Weights,
}

impl Balancer {
    /// The load balancer of a runbook. Nothing is opened: the runtime socket takes one request a connection.
    #[must_use]
    pub fn new(name: &str, spec: &Haproxy) -> Self {
        let several = spec.sockets.len() > 1;
        let system = |address: &String| if several { format!("{name} ({address})") } else { name.to_owned() };
        let socket = |address: &String| Socket { system: system(address), address: address.clone() };
        Self {
            name: name.to_owned(),
            backend: spec.backend.clone(),
            from: spec.from.clone(),
            to: spec.to.clone(),
            sockets: spec.sockets.iter().map(socket).collect(),
        }
    }

    /// Its servers that traffic leaves.
    #[must_use]
    pub fn from(&self) -> &[Name] {
        &self.from
    }

    /// Its servers that traffic moves to.
    #[must_use]
    pub fn to(&self) -> &[Name] {
        &self.to
    }

    /// What every node counts now. Fails when a node does not answer or lacks one of our servers.
    pub async fn stats(&self) -> Result<Vec<NodeStats>> {
        let results = join_all(self.sockets.iter().map(|socket| self.node_stats(socket))).await;
        self.gathered("read the counters of", results)
    }

    async fn node_stats(&self, socket: &Socket) -> Result<NodeStats> {
        let what = format!("read the counters of backend {}", self.backend);
        let answer = socket.ask(&what, &self.describe_stats()).await?;
        let stats = NodeStats::read(&socket.address, &self.backend, &answer)
            .map_err(|reason| DriverError::new(&socket.system, &what, reason, Certainty::Refused))?;
        match self.from.iter().chain(&self.to).find(|name| stats.server(name).is_none()) {
            None => Ok(stats),
            Some(missing) => {
                let names: Vec<&str> = stats.servers.iter().map(|server| server.name.as_str()).collect();
                let reason = format!("it has no server {missing}; it has: {}", names.join(", "));
                Err(DriverError::new(&socket.system, &what, reason, Certainty::Refused))
            }
        }
    }

    /// The weights of our servers on every node: what is journaled before they are changed.
    pub async fn weights(&self) -> Result<Vec<NodeWeights>> {
        Ok(self.stats().await?.iter().map(|node| self.weights_of(node)).collect())
    }

    /// The weights of our servers in a counting.
    #[must_use]
    pub fn weights_of(&self, node: &NodeStats) -> NodeWeights {
        let ours = self.from.iter().chain(&self.to);
        let weights = ours.filter_map(|name| Some((name.clone(), node.server(name)?.weight))).collect();
        NodeWeights { node: node.node.clone(), weights: Weights(weights) }
    }

    /// Writes the same weights to every node and reads them back. Can be repeated.
    pub async fn set_all(&self, weights: &Weights) -> Result<()> {
        let each = self.sockets.iter().map(|socket| self.set_node(socket, weights));
        self.gathered("weigh the servers of", join_all(each).await).map(drop)
    }

    /// Puts back what [`Self::weights`] gave, node by node. A node that the runbook no longer has is an error.
    pub async fn restore(&self, nodes: &[NodeWeights]) -> Result<()> {
        let one = |node: &NodeWeights| {
            let socket = self.sockets.iter().find(|socket| socket.address == node.node).cloned();
            let (weights, name) = (node.weights.clone(), node.node.clone());
            async move {
                let socket = socket.ok_or_else(|| {
                    let reason = format!("the runbook has no node {name} any more");
                    DriverError::new(&self.name, "put the weights back", reason, Certainty::NotSent)
                })?;
                self.set_node(&socket, &weights).await
            }
        };
        let results = join_all(nodes.iter().map(one)).await;
        self.gathered("put back the weights of", results).map(drop)
    }

    /// Raises what grows before it lowers what shrinks, so that there is never a moment without a server.
    async fn set_node(&self, socket: &Socket, weights: &Weights) -> Result<()> {
        let before = self.weights_of(&self.node_stats(socket).await?).weights;
        let mut changes: Vec<(&Name, u32)> = weights.0.iter().map(|(name, weight)| (name, *weight)).collect();
        changes.retain(|(name, weight)| before.0.get(*name) != Some(weight));
        changes.sort_by_key(|(name, weight)| *weight < before.0.get(*name).copied().unwrap_or(0));
        for (server, weight) in changes {
            self.set_weight(socket, server, weight).await?;
        }
        self.read_back(socket, weights).await
    }

    async fn set_weight(&self, socket: &Socket, server: &str, weight: u32) -> Result<()> {
        let what = format!("weigh server {server} with {weight}");
        let answer = socket.ask(&what, &set_weight(&self.backend, server, weight)).await?;
        match answer.trim() {
            "" => Ok(()),
            refusal => Err(refused(socket, &what, refusal)),
        }
    }

    async fn read_back(&self, socket: &Socket, weights: &Weights) -> Result<()> {
        let now = self.weights_of(&self.node_stats(socket).await?).weights;
        let differs = |(name, weight): &(&Name, &u32)| now.0.get(*name) != Some(weight);
        match weights.0.iter().find(differs) {
            None => Ok(()),
            Some((name, weight)) => {
                let found = now.0.get(name).map_or("unknown".to_owned(), u32::to_string);
                let reason = format!("it was told to weigh {name} with {weight}, and has {found} now");
                let hint = "look for something else that sets weights: an agent check, a reload, another program";
                let what = "read the weights back";
                Err(DriverError::new(&socket.system, what, reason, Certainty::Unknown).with_hint(hint))
            }
        }
    }

    /// What [`Self::set_all`] sends to each node, in this order if all of them change.
    #[must_use]
    pub fn describe_set(&self, weights: &Weights) -> Vec<String> {
        weights.0.iter().map(|(server, weight)| set_weight(&self.backend, server, *weight)).collect()
    }

    /// What [`Self::stats`] sends to each node.
    #[must_use]
    pub fn describe_stats(&self) -> String {
        // 4: servers only; -1: all of them.
        format!("show info;show stat {} 4 -1", self.backend)
    }

    /// All values, or one error that says which nodes failed; the others did what was asked.
    fn gathered<T>(&self, what: &str, results: Vec<Result<T>>) -> Result<Vec<T>> {
        let total = results.len();
        let (values, mut errors): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        match (errors.len(), total) {
            (0, _) => values.into_iter().collect(),
            (1, 1) => errors.remove(0).map(|value| vec![value]),
            (failed, _) => {
                Err(self.partial(what, total, failed, &errors.into_iter().filter_map(Result::err).collect::<Vec<_>>()))
            }
        }
    }

    fn partial(&self, what: &str, total: usize, failed: usize, errors: &[DriverError]) -> DriverError {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let others = match total - failed {
            0 => String::new(),
            1 => "; the other node did it".to_owned(),
            count => format!("; the other {count} nodes did it"),
        };
        let reason = format!("{failed} of {total} nodes failed: {}{others}", lines.join(" | "));
        DriverError::new(&self.name, &format!("{what} backend {}", self.backend), reason, Certainty::Unknown)
    }
}

fn set_weight(backend: &str, server: &str, weight: u32) -> String {
    format!("set weight {backend}/{server} {weight}")
}

fn refused(socket: &Socket, what: &str, refusal: &str) -> DriverError {
    let hint = if refusal.starts_with("No such") {
        "compare the names with HAProxy's configuration"
    } else if refusal.contains("Permission denied") {
        "the socket needs `level admin`"
    } else if refusal.contains("static LB") {
        "the backend's `balance` must be one that weights can change, such as `roundrobin`"
    } else {
        "look into HAProxy's management guide for `set weight`"
    };
    let line = refusal.lines().next().unwrap_or(refusal);
    DriverError::new(&socket.system, what, line, Certainty::Refused).with_hint(hint)
}
