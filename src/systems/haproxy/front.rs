//! HAProxy in TCP mode before two databases, by its runtime socket: which of them its connections go to, and whether
//! new ones wait. Connections that are open stay where they are until they are shut.
//!
//! New connections wait in the kernel's queue of the frontend while its limit (`maxconn`) is 0. Some versions hang for
//! ever when such a limit is raised again (see [`can_hold`]): there they are not held.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;

use super::socket::Socket;
use super::stats::{NodeStats, ServerStat, columns_of};
use crate::runbook::model::{HaproxyTcp, Name};
use crate::systems::{Certainty, DriverError, Result};

/// All nodes with the same frontend, backend and servers.
#[derive(Debug)]
pub struct Front {
    name: String,
    spec: HaproxyTcp,
    nodes: Vec<Node>,
}

/// One node, with the limit that its frontend had when it was last seen with one.
#[derive(Debug)]
struct Node {
    socket: Socket,
    limit: AtomicU32,
}

/// What one node says now.
#[derive(Clone, Debug)]
pub struct FrontNow {
    /// Its socket.
    pub node: String,
    /// Its version.
    pub version: String,
    /// The limit of its frontend; at 0 new connections wait.
    pub limit: u32,
    /// The limit of the whole process.
    process_limit: u32,
    /// The servers of its backend.
    servers: Vec<ServerStat>,
}

/// Which of the databases connections go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Only the source.
    Source,
    /// Only the target.
    Target,
    /// Both: new connections would write to either.
    Both,
    /// None.
    None,
}

impl Open {
    /// The other of the two databases.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Source => Self::Target,
            Self::Target => Self::Source,
            other => other,
        }
    }
}

impl Front {
    /// The load balancer of a runbook. Nothing is opened: the runtime socket takes one request a connection.
    #[must_use]
    pub fn new(name: &str, spec: &HaproxyTcp) -> Self {
        let several = spec.sockets.len() > 1;
        let system = |address: &String| if several { format!("{name} ({address})") } else { name.to_owned() };
        let node = |address: &String| Node {
            socket: Socket { system: system(address), address: address.clone() },
            limit: AtomicU32::new(0),
        };
        Self { name: name.to_owned(), spec: spec.clone(), nodes: spec.sockets.iter().map(node).collect() }
    }

    /// Its name in the runbook.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What every node says now.
    pub async fn look(&self) -> Result<Vec<FrontNow>> {
        self.ask_all("read the state of its servers", &self.looking()).await
    }

    /// Lets no new connection in, on the nodes that can.
    pub async fn hold(&self) -> Result<()> {
        let able = self.look().await?.into_iter().map(|node| can_hold(&node.version)).collect::<Vec<_>>();
        let held = self.nodes.iter().zip(able).filter(|(_, able)| *able);
        let each = join_all(held.map(|(node, _)| self.tell(node, "hold new connections", self.limit_to(0)))).await;
        each.into_iter().collect()
    }

    /// Lets new connections in again, up to the limit that there was.
    pub async fn release(&self) -> Result<()> {
        let nodes = self.look().await?;
        let held = self.nodes.iter().zip(nodes).filter(|(_, now)| now.limit == 0);
        let each = held.map(|(node, now)| {
            let known = Some(node.limit.load(Ordering::Relaxed)).filter(|limit| *limit > 0);
            let limit = self.spec.maxconn.or(known).unwrap_or(now.process_limit);
            self.tell(node, "let new connections in", self.limit_to(limit))
        });
        join_all(each).await.into_iter().collect()
    }

    /// Leads every node to one of the databases, ends the connections to the other one, and reads back where it leads.
    pub async fn lead(&self, to: Open) -> Result<Vec<FrontNow>> {
        let what = "lead its connections to the other database";
        let line = format!("{};{}", self.describe_lead(to).join(";"), self.looking());
        let nodes = self.ask_all(what, &line).await?;
        match nodes.iter().find(|node| self.open(node) != to) {
            None => Ok(nodes),
            Some(node) => {
                let reason = format!("node {} was told to, and has now: {}", node.node, node.words());
                let hint = "look for something else that sets these states: a reload, an agent check, another program";
                Err(DriverError::new(&self.name, what, reason, Certainty::Unknown).with_hint(hint))
            }
        }
    }

    /// Which of the databases this node's connections go to.
    #[must_use]
    pub fn open(&self, node: &FrontNow) -> Open {
        let any = |names: &[Name]| names.iter().filter_map(|name| node.server(name)).any(takes_connections);
        match (any(&self.spec.source), any(&self.spec.target)) {
            (true, true) => Open::Both,
            (true, false) => Open::Source,
            (false, true) => Open::Target,
            (false, false) => Open::None,
        }
    }

    /// Connections that this node has to one of the databases.
    #[must_use]
    pub fn connections(&self, node: &FrontNow, to: Open) -> u64 {
        self.servers(to).iter().filter_map(|name| node.server(name)).map(|server| server.sessions).sum()
    }

    /// What [`Self::hold`] sends to each node.
    #[must_use]
    pub fn describe_hold(&self) -> Vec<String> {
        vec![self.limit_to(0)]
    }

    /// What [`Self::release`] sends to each node that was held.
    #[must_use]
    pub fn describe_release(&self) -> Vec<String> {
        let limit = self.spec.maxconn.map_or_else(|| "(what it was)".to_owned(), |limit| limit.to_string());
        vec![format!("set maxconn frontend {} {limit}", self.spec.frontend)]
    }

    /// What [`Self::lead`] sends to each node.
    #[must_use]
    pub fn describe_lead(&self, to: Open) -> Vec<String> {
        let backend = &self.spec.backend;
        let ready = self.servers(to).iter().map(|name| format!("set server {backend}/{name} state ready"));
        let left = self.servers(to.opposite());
        let maint = left.iter().map(|name| format!("set server {backend}/{name} state maint"));
        let shut = left.iter().map(|name| format!("shutdown sessions server {backend}/{name}"));
        ready.chain(maint).chain(shut).collect()
    }

    fn servers(&self, of: Open) -> &[Name] {
        if of == Open::Target { &self.spec.target } else { &self.spec.source }
    }

    fn limit_to(&self, limit: u32) -> String {
        format!("set maxconn frontend {} {limit}", self.spec.frontend)
    }

    /// 1: frontends only, 4: servers only; -1: all of them.
    fn looking(&self) -> String {
        format!("show info;show stat {} 4 -1;show stat {} 1 -1", self.spec.backend, self.spec.frontend)
    }

    /// Sends the same to every node, at the same time; the line ends with [`Self::looking`].
    async fn ask_all(&self, what: &str, line: &str) -> Result<Vec<FrontNow>> {
        let each =
            self.nodes.iter().map(|node| async move { self.read(node, what, &node.socket.ask(what, line).await?) });
        join_all(each).await.into_iter().collect()
    }

    /// Sends what is answered with nothing but empty lines when it is done.
    async fn tell(&self, node: &Node, what: &str, line: String) -> Result<()> {
        no_complaint(node, what, &node.socket.ask(what, &line).await?)
    }

    /// Reads the answer to [`Self::looking`]; what was sent before it must have been done without a word.
    fn read(&self, node: &Node, what: &str, answer: &str) -> Result<FrontNow> {
        let odd = |reason: String| DriverError::new(&node.socket.system, what, reason, Certainty::Refused);
        let (before, info) =
            answer.split_once("Name: ").ok_or_else(|| odd(format!("it answered `{}`", answer.trim())))?;
        no_complaint(node, what, before)?;
        let stats = NodeStats::read(&node.socket.address, &self.spec.backend, info).map_err(odd)?;
        if stats.servers.is_empty() {
            return Err(odd(format!("HAProxy has no backend {} with servers", self.spec.backend)));
        }
        if let Some(missing) =
            self.spec.source.iter().chain(&self.spec.target).find(|name| stats.server(name).is_none())
        {
            let names: Vec<&str> = stats.servers.iter().map(|server| server.name.as_str()).collect();
            return Err(odd(format!(
                "backend {} has no server {missing}; it has: {}",
                self.spec.backend,
                names.join(", ")
            )));
        }
        let limit = frontend_limit(&self.spec.frontend, info)
            .ok_or_else(|| odd(format!("it has no frontend {}", self.spec.frontend)))?;
        let process = info.lines().find_map(|line| line.strip_prefix("Maxconn:")?.trim().parse().ok());
        if limit > 0 {
            node.limit.store(limit, Ordering::Relaxed);
        }
        let (node, version, servers) = (stats.node, stats.version, stats.servers);
        Ok(FrontNow { node, version, limit, process_limit: process.unwrap_or(limit), servers })
    }
}

impl FrontNow {
    fn server(&self, name: &str) -> Option<&ServerStat> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// Its servers with their states, for people.
    #[must_use]
    pub fn words(&self) -> String {
        let server =
            |server: &ServerStat| format!("{} {} with {} connections", server.name, server.status, server.sessions);
        self.servers.iter().map(server).collect::<Vec<_>>().join(", ")
    }
}

/// Neither in maintenance nor being drained. One that is down is still led to.
fn takes_connections(server: &ServerStat) -> bool {
    !server.status.starts_with("MAINT") && !server.status.starts_with("DRAIN")
}

fn no_complaint(node: &Node, what: &str, answer: &str) -> Result<()> {
    match answer.lines().find(|line| !line.trim().is_empty()) {
        None => Ok(()),
        Some(refusal) => Err(super::refused(&node.socket, what, refusal)),
    }
}

fn frontend_limit(frontend: &str, answer: &str) -> Option<u32> {
    let (_, table) = answer.split_once("# pxname,")?;
    let columns = columns_of(table);
    let rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let row = rows.into_iter().find(|row| row.first() == Some(&frontend) && row.get(1) == Some(&"FRONTEND"))?;
    row.get(*columns.get("slim")?)?.parse().ok()
}

/// Whether a limit of 0 can be raised again. Older versions take the proxy's lock twice then and kill themselves
/// (haproxy/haproxy#2726): mended in 3.1, and in these releases of the branches before it.
#[must_use]
pub fn can_hold(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let [major, minor, patch] = [numbers.next(), numbers.next(), numbers.next()].map(Option::unwrap_or_default);
    match (major, minor) {
        (2, 6) => patch >= 20,
        (2, 8 | 9) => patch >= 12,
        (3, 0) => patch >= 6,
        other => other >= (3, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_can_hold() {
        assert!(["3.2.26-1", "3.1.0", "3.0.6", "2.8.12", "2.6.20-0"].into_iter().all(can_hold));
        assert!(!["2.6.12-1+deb12u4", "2.8.11", "3.0.5-1", "2.7.9", "2.4.99", "odd", ""].into_iter().any(can_hold));
    }

    fn front() -> Front {
        let names = |name: &str| vec![name.to_owned()];
        Front::new(
            "front",
            &HaproxyTcp {
                sockets: vec!["/run/haproxy.sock".into()],
                frontend: "db".into(),
                backend: "databases".into(),
                source: names("source"),
                target: names("target"),
                maxconn: None,
                probe: None,
            },
        )
    }

    #[test]
    fn what_is_sent_leads_one_way_and_back() {
        let there = front().describe_lead(Open::Target);
        assert_eq!(
            there,
            [
                "set server databases/target state ready",
                "set server databases/source state maint",
                "shutdown sessions server databases/source"
            ]
        );
        assert_eq!(front().describe_lead(Open::Source)[0], "set server databases/source state ready");
    }

    #[test]
    fn an_answer_with_a_complaint_is_an_error() {
        let front = front();
        let answer = "\nNo such server.\n\nName: HAProxy\nVersion: 3.2.26\n";
        let error = front.read(&front.nodes[0], "lead", answer).unwrap_err().to_string();
        assert!(error.contains("No such server."), "{error}");
    }
}
