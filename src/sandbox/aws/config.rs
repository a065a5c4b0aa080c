//! The configuration of a node: a backend for each rule, and in it a server for each target of each group.

use std::{fmt::Write, path::Path};

use super::read::{Group, Route, Weights};

/// HAProxy's largest weight.
const WEIGHT_MAX: u32 = 256;
/// Where nobody listens: a group without targets answers 503 to its share, as ALB does.
const NOBODY: &str = "127.0.0.1:1";

/// What the nodes carry: fixed when they start, except for the weights.
#[derive(Debug, Clone)]
pub(crate) struct Structure {
    pub(crate) routes: Vec<Route>,
    pub(crate) groups: Vec<Group>,
}

impl Structure {
    /// The name of a rule's backend.
    pub(crate) fn backend(route: usize) -> String {
        format!("r{route}")
    }

    /// The servers of a group, each with its address.
    pub(crate) fn servers(&self, group: usize) -> Vec<(String, String)> {
        let targets = &self.groups[group].targets;
        if targets.is_empty() {
            return vec![(format!("g{group}none"), NOBODY.to_owned())];
        }
        targets.iter().enumerate().map(|(number, address)| (format!("g{group}t{number}"), address.clone())).collect()
    }

    /// Every server of a backend with its weight.
    pub(crate) fn weighed(&self, weights: &Weights) -> Vec<(String, u32)> {
        let share = |group: usize| {
            let weight = weights.get(&self.groups[group].arn).copied().unwrap_or(0);
            f64::from(weight) / f64::from(u32::try_from(self.servers(group).len()).unwrap_or(u32::MAX))
        };
        let shares: Vec<f64> = (0..self.groups.len()).map(share).collect();
        let largest = shares.iter().copied().fold(0.0, f64::max);
        // Small whole numbers are taken as they are, so that their ratio is exact.
        let whole = shares.iter().all(|share| share.fract() == 0.0 && *share <= f64::from(WEIGHT_MAX));
        let scale = if whole || largest == 0.0 { 1.0 } else { f64::from(WEIGHT_MAX) / largest };
        let servers = |group: usize| {
            let weight = rounded(shares[group] * scale);
            self.servers(group).into_iter().map(move |(name, _)| (name, weight))
        };
        (0..self.groups.len()).flat_map(servers).collect()
    }

    /// The text of a node's configuration file.
    pub(crate) fn text(&self, socket: &Path, port: u16) -> String {
        let mut text = format!(
            "global\n    maxconn 4000\n    stats socket {} mode 600 level admin\n    stats timeout 10m\n\n\
             defaults\n    mode http\n    timeout connect 2s\n    timeout check 2s\n    timeout client 5m\n\
             \x20   timeout server 5m\n\n\
             frontend web\n    bind 127.0.0.1:{port}\n",
            socket.display()
        );
        for (number, route) in self.routes.iter().enumerate() {
            writeln!(text, "    use_backend {}{}", Self::backend(number), condition(route)).ok();
        }
        for (number, route) in self.routes.iter().enumerate() {
            self.backend_text(&mut text, number, route);
        }
        text
    }

    fn backend_text(&self, text: &mut String, number: usize, route: &Route) {
        let name = Self::backend(number);
        write!(text, "\nbackend {name}\n    balance roundrobin\n    option httpchk GET /healthz\n").ok();
        if let Some(seconds) = route.sticky_seconds {
            writeln!(text, "    cookie AWSALBTG insert indirect nocache maxlife {seconds}s").ok();
        }
        for (server, weight) in self.weighed(&route.weights) {
            let group = Self::group_of(&server);
            let address = self.servers(group).into_iter().find(|(name, _)| *name == server).map(|(_, to)| to);
            let address = address.unwrap_or_default();
            let check = if address == NOBODY { "" } else { " check inter 200ms fall 2 rise 1" };
            let cookie = if route.sticky_seconds.is_some() { format!(" cookie {server}") } else { String::new() };
            writeln!(text, "    server {server} {address} weight {weight}{check}{cookie}").ok();
        }
    }

    /// The group that a server's name tells.
    pub(crate) fn group_of(server: &str) -> usize {
        let digits: String = server.chars().skip(1).take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a weight is between 0 and 256")]
fn rounded(weight: f64) -> u32 {
    // A small share is still a share.
    if weight > 0.0 { weight.round().max(1.0) as u32 } else { 0 }
}

/// ALB's patterns have `*` and `?`; paths tell large from small letters, hosts do not.
fn condition(route: &Route) -> String {
    let any = |fetch: &str, patterns: &[String]| {
        let regexes: Vec<String> = patterns.iter().map(|pattern| regex(pattern)).collect();
        if regexes.is_empty() { String::new() } else { format!(" {{ {fetch} {} }}", regexes.join(" ")) }
    };
    let tests = any("path -m reg", &route.paths) + &any("hdr(host) -i -m reg", &route.hosts);
    if tests.is_empty() { String::new() } else { format!(" if{tests}") }
}

fn regex(pattern: &str) -> String {
    let mut text = String::from("^");
    for letter in pattern.chars() {
        match letter {
            '*' => text.push_str(".*"),
            '?' => text.push('.'),
            letter if letter.is_ascii_alphanumeric() || "/-_".contains(letter) => text.push(letter),
            letter => text.extend(['[', letter, ']']),
        }
    }
    text + "$"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure() -> Structure {
        let group = |arn: &str, targets: &[&str]| Group {
            arn: arn.into(),
            targets: targets.iter().map(|t| (*t).into()).collect(),
        };
        let weights = Weights::from([("old".into(), 99), ("new".into(), 1)]);
        let route = |paths: &[&str], sticky| Route {
            arn: "rule".into(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            hosts: Vec::new(),
            weights: weights.clone(),
            sticky_seconds: sticky,
        };
        let groups = vec![group("old", &["127.0.0.1:8001"]), group("new", &["127.0.0.1:8002"])];
        Structure { routes: vec![route(&["/api/*"], Some(60)), route(&[], None)], groups }
    }

    #[test]
    fn weights_become_haproxys() {
        let two = structure();
        let weighed = |old: u32, new: u32| {
            let weights = Weights::from([("old".into(), old), ("new".into(), new)]);
            two.weighed(&weights).into_iter().map(|(_, weight)| weight).collect::<Vec<_>>()
        };
        assert_eq!(weighed(99, 1), [99, 1]);
        assert_eq!(weighed(998, 1), [256, 1]);
        assert_eq!(weighed(0, 999), [0, 256]);
        assert_eq!(weighed(0, 0), [0, 0]);
    }

    #[test]
    fn a_group_with_two_targets_keeps_its_share_and_an_empty_one_too() {
        let mut three = structure();
        three.groups[0].targets.push("127.0.0.2:8001".into());
        three.groups.push(Group { arn: "empty".into(), targets: Vec::new() });
        let weights = Weights::from([("old".into(), 100), ("new".into(), 50), ("empty".into(), 50)]);
        let names: Vec<_> = three.weighed(&weights);
        let want = [("g0t0", 50), ("g0t1", 50), ("g1t0", 50), ("g2none", 50)];
        assert_eq!(names, want.map(|(name, weight)| (name.to_owned(), weight)));
    }

    #[test]
    fn the_configuration_of_a_node() {
        let text = structure().text(Path::new("/run/sock"), 8000);
        assert!(text.contains("    use_backend r0 if { path -m reg ^/api/.*$ }\n    use_backend r1\n"), "{text}");
        assert!(text.contains("server g1t0 127.0.0.1:8002 weight 1 check inter 200ms fall 2 rise 1 cookie g1t0"));
        assert_eq!(text.matches("cookie AWSALBTG").count(), 1);
        assert_eq!(regex("*.example.com"), "^.*[.]example[.]com$");
    }
}
