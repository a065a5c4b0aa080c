//! What the nodes count, and what two countings say about the traffic in between.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::runbook::model::Name;
use crate::systems::traffic::Observed;

/// One server of a backend, as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServerStat {
    /// Its name.
    pub name: Name,
    /// Its weight, 0 to 256, as it was written.
    pub weight: u32,
    /// HAProxy's word: `UP`, `DOWN`, `MAINT`, `no check`, `UP 1/3`.
    pub status: String,
    /// Requests (in TCP mode connections) that it was given since HAProxy started.
    pub requests: u64,
    /// Sessions now.
    pub sessions: u64,
    /// Answers with a 5xx status since HAProxy started; nothing in TCP mode.
    pub errors_5xx: Option<u64>,
}

impl ServerStat {
    /// Whether it gets traffic. One that is not checked always does.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.status.starts_with("UP") || self.status == "no check"
    }
}

/// What one node counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeStats {
    /// Its socket.
    pub node: String,
    /// Its version.
    pub version: String,
    /// Its process: counters begin anew with another one.
    pub pid: u64,
    /// The servers of the backend.
    pub servers: Vec<ServerStat>,
}

impl NodeStats {
    /// Reads the answer to `show info;show stat BACKEND 4 -1`. `Err` says what is odd about it.
    pub(super) fn read(node: &str, backend: &str, answer: &str) -> Result<Self, String> {
        let (info, table) = answer.split_once("# pxname,").ok_or_else(|| odd(answer))?;
        let field = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let servers = servers(backend, table)?;
        Ok(Self {
            node: node.to_owned(),
            version: field("Version:").unwrap_or_default().to_owned(),
            pid: field("Pid:").and_then(|pid| pid.parse().ok()).ok_or_else(|| odd(answer))?,
            servers,
        })
    }

    /// A server by name.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<&ServerStat> {
        self.servers.iter().find(|server| server.name == name)
    }
}

fn odd(answer: &str) -> String {
    let line = answer.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    format!("it answered `{line}`")
}

/// The table without the `# pxname,` it begins with.
fn servers(backend: &str, table: &str) -> Result<Vec<ServerStat>, String> {
    let columns = columns_of(table);
    let rows = table.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let ours = rows.filter(|row| row.first() == Some(&backend));
    ours.map(|row| server(&row, &columns).ok_or_else(|| odd(&row.join(",")))).collect()
}

/// Where each column stands, by the table's first line.
pub(super) fn columns_of(table: &str) -> HashMap<&str, usize> {
    table.lines().next().unwrap_or_default().split(',').enumerate().map(|(at, name)| (name, at + 1)).collect()
}

fn server(row: &[&str], columns: &HashMap<&str, usize>) -> Option<ServerStat> {
    let text = |column: &str| row.get(*columns.get(column)?).copied().filter(|text| !text.is_empty());
    let number = |column: &str| text(column)?.parse::<u64>().ok();
    Some(ServerStat {
        name: text("svname")?.to_owned(),
        weight: u32::try_from(number("uweight").or_else(|| number("weight"))?).ok()?,
        status: text("status")?.to_owned(),
        requests: number("stot")?,
        sessions: number("scur")?,
        errors_5xx: number("hrsp_5xx"),
    })
}

/// What was seen at each node and in all; a node is `None` when its counters began anew in between, or when it was not
/// read both times. Then the total is not known either.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Traffic {
    /// Each node of the later counting.
    pub nodes: Vec<(String, Option<Observed>)>,
    /// All nodes.
    pub total: Option<Observed>,
}

/// Compares two countings.
#[must_use]
pub fn observed(before: &[NodeStats], after: &[NodeStats], from: &[Name], to: &[Name]) -> Traffic {
    let deltas: Vec<Option<(u64, u64)>> = after
        .iter()
        .map(|after| {
            let before = before.iter().find(|node| node.node == after.node)?;
            Some((delta(before, after, from)?, delta(before, after, to)?))
        })
        .collect();
    let complete = !after.is_empty() && before.len() == after.len();
    let sums = deltas.iter().try_fold((0, 0), |(from, to), delta| delta.map(|(f, t)| (from + f, to + t)));
    let names = after.iter().map(|node| node.node.clone());
    Traffic {
        nodes: names.zip(deltas.iter().map(|delta| delta.map(share))).collect(),
        total: sums.filter(|_| complete).map(share),
    }
}

/// Requests that the named servers were given; nothing when a counter went back.
fn delta(before: &NodeStats, after: &NodeStats, names: &[Name]) -> Option<u64> {
    if before.pid != after.pid {
        return None;
    }
    let one = |name: &Name| after.server(name)?.requests.checked_sub(before.server(name)?.requests);
    names.iter().map(one).sum()
}

fn share((from, to): (u64, u64)) -> Observed {
    Observed::of(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, pid: u64, blue: u64, green: u64) -> NodeStats {
        let server = |name: &str, requests| ServerStat {
            name: name.into(),
            weight: 1,
            status: "UP".into(),
            requests,
            sessions: 0,
            errors_5xx: None,
        };
        let servers = vec![server("blue", blue), server("green", green)];
        NodeStats { node: name.into(), version: "3.2".into(), pid, servers }
    }

    fn seen(before: &[NodeStats], after: &[NodeStats]) -> Traffic {
        observed(before, after, &["blue".into()], &["green".into()])
    }

    #[test]
    fn sums_the_nodes() {
        let traffic = seen(&[node("a", 1, 0, 0), node("b", 2, 5, 5)], &[node("a", 1, 75, 25), node("b", 2, 105, 5)]);
        assert_eq!(traffic.nodes[0].1, Some(Observed { share: Some(25.0), requests: 100 }));
        assert_eq!(traffic.nodes[1].1, Some(Observed { share: Some(0.0), requests: 100 }));
        assert_eq!(traffic.total, Some(Observed { share: Some(12.5), requests: 200 }));
    }

    #[test]
    fn counters_that_began_anew_are_not_known() {
        let before = [node("a", 1, 50, 50)];
        assert_eq!(seen(&before, &[node("a", 2, 60, 60)]).total, None, "another process");
        assert_eq!(seen(&before, &[node("a", 1, 60, 0)]).total, None, "counters were cleared");
        assert_eq!(seen(&before, &[]).total, None, "a node was not read");
        assert_eq!(seen(&before, &before).total, Some(Observed { share: None, requests: 0 }), "no traffic");
    }

    #[test]
    fn refuses_answers_without_a_table() {
        let error = NodeStats::read("a", "app", "Name: HAProxy\nPid: 7\n\nNo such proxy.\n\n").unwrap_err();
        assert_eq!(error, "it answered `No such proxy.`");
    }
}
