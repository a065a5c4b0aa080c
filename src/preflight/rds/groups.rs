//! Whom the server's security groups let in: this program, which was there, and what the runbook runs within AWS.

use super::finding::{Finding, names};
use super::{Check, Facts};
use crate::systems::aws::ec2::{Peer, Rule, SecurityGroup};

/// Everybody, in either version of the protocol.
const EVERYBODY: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// What dials the server from within AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Such as `the service web`.
    pub name: String,
    /// Its security groups; `None` when it has none of its own, or they could not be read.
    pub groups: Option<Vec<String>>,
}

/// How the rules take somebody.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// By this group or these addresses.
    In(String),
    /// Nobody here knows, because of this.
    Unknown(String),
    /// No rule lets him in.
    Out,
}

/// What is not as it should be.
struct Trouble {
    title: &'static str,
    words: String,
    mend: String,
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    vec![security_groups(facts)]
}

fn security_groups(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-security-groups",
        system: &facts.system,
        why: "Who is not let in waits for a connection that never comes, and notices it when traffic has moved.",
    };
    let Some(server) = facts.server() else { return check.pass("nothing is known", "") };
    let reached = reached(facts);
    if server.security_groups.is_empty() {
        let mend = vec![facts.modify("--vpc-security-group-ids sg-…")];
        return check.warn("no security group of its own is told", format!("{reached}."), mend);
    }
    let waiting = server.security_groups.iter().filter(|(_, status)| status != "active");
    let waiting: Vec<String> = waiting.map(|(group, status)| format!("{group} is {status}")).collect();
    if !waiting.is_empty() {
        let mend = vec!["-- wait until they are active".to_owned()];
        return check.fail("a security group is not in force", format!("{}; {reached}.", names(waiting)), mend);
    }
    let groups = names(server.security_groups.iter().map(|(group, _)| group));
    let Some(rules) = &facts.rules else {
        let detail = format!("{groups}; {reached}. Their rules could not be read, and were not looked at.");
        return check.warn("who is let in was not looked at", detail, vec![permission()]);
    };
    judged(&check, facts, rules, &format!("{groups}; {reached}"))
}

fn reached(facts: &Facts) -> String {
    match (&facts.part.database, facts.part.side) {
        (Some((database, _)), Some(_)) => format!("this machine was let in as {database}"),
        _ => "it was not dialled from here".to_owned(),
    }
}

fn permission() -> String {
    "pointsman iam-policy RUNBOOK > policy.json  -- and attach it".to_owned()
}

fn judged(check: &Check<'_>, facts: &Facts, rules: &[SecurityGroup], known: &str) -> Finding {
    let (group, port) = (first_group(facts), port(facts));
    let mut words = vec![known.to_owned()];
    let nobody = nobody(facts, rules);
    // Where nobody is let in, no client is, and one command mends it for all.
    let clients = if nobody.is_some() { &[][..] } else { &facts.clients };
    let mut troubles: Vec<Trouble> = missing(facts, rules).into_iter().chain(nobody).collect();
    troubles.extend(open(rules, port));
    for client in clients {
        match way(client, rules, port) {
            Way::In(by) => words.push(format!("{} is let in by {by}", client.name)),
            other => troubles.push(kept_out(client, other, &group, port)),
        }
    }
    words.extend(troubles.iter().map(|trouble| trouble.words.clone()));
    let detail =
        format!("{}. Routes, network ACLs and what others are let out to are not looked at.", words.join("; "));
    let Some(first) = troubles.first() else {
        return check.pass("its security groups let in who dials it", detail);
    };
    check.warn(first.title, detail, troubles.iter().map(|trouble| trouble.mend.clone()).collect())
}

fn first_group(facts: &Facts) -> String {
    facts.server().and_then(|server| server.security_groups.first()).map(|(group, _)| group.clone()).unwrap_or_default()
}

fn port(facts: &Facts) -> u16 {
    let usual = if facts.is_postgres() { 5432 } else { 3306 };
    facts.server().and_then(|server| server.address.as_ref()).map_or(usual, |address| address.port)
}

/// The rules for a port, with the groups that they stand in.
fn for_port(rules: &[SecurityGroup], port: u16) -> impl Iterator<Item = (&SecurityGroup, &Rule)> {
    let all = rules.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
    all.filter(move |(_, rule)| rule.is_for(port))
}

/// A group that the server names, and EC2 does not tell of.
fn missing(facts: &Facts, rules: &[SecurityGroup]) -> Option<Trouble> {
    let server = facts.server()?;
    let told = |id: &str| rules.iter().any(|group| group.id == id);
    let missing: Vec<&String> = server.security_groups.iter().map(|(id, _)| id).filter(|id| !told(id)).collect();
    (!missing.is_empty()).then(|| Trouble {
        title: "a security group is not told of",
        words: format!("EC2 knows nothing of {}", names(missing)),
        mend: "-- find out whose it is: a network that another account shares tells of its groups there".to_owned(),
    })
}

fn nobody(facts: &Facts, rules: &[SecurityGroup]) -> Option<Trouble> {
    let (group, port) = (first_group(facts), port(facts));
    let anybody = for_port(rules, port).any(|(_, rule)| !rule.from.is_empty());
    (!anybody && !rules.is_empty()).then(|| Trouble {
        title: "its security groups let nobody in",
        words: format!("no rule lets anybody in on port {port}"),
        mend: authorize(&group, port, "SG-OF-THE-APPLICATION"),
    })
}

fn authorize(group: &str, port: u16, from: &str) -> String {
    format!(
        "aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp --port {port} --source-group {from}"
    )
}

/// Rules for everybody in the world.
fn open(rules: &[SecurityGroup], port: u16) -> Vec<Trouble> {
    let from = |(group, rule): (&SecurityGroup, &Rule), all: &str| Trouble {
        title: "its security groups let everybody in",
        words: format!("{} lets in {all}, which is everybody", group.id),
        mend: revoke(&group.id, rule, all),
    };
    let of = |one: (&'_ SecurityGroup, &'_ Rule)| -> Vec<Trouble> {
        let named = |all: &&str| one.1.from.contains(&Peer::Addresses((*all).to_owned()));
        EVERYBODY.iter().copied().filter(|all| named(all)).map(|all| from(one, all)).collect()
    };
    for_port(rules, port).flat_map(of).collect()
}

/// A rule is taken back by its very words.
fn revoke(group: &str, rule: &Rule, all: &str) -> String {
    let ports = match rule.ports {
        (Some(first), Some(last)) => format!(",FromPort={first},ToPort={last}"),
        _ => String::new(),
    };
    let ranges = if all.contains(':') {
        format!("Ipv6Ranges=[{{CidrIpv6={all}}}]")
    } else {
        format!("IpRanges=[{{CidrIp={all}}}]")
    };
    format!(
        "aws ec2 revoke-security-group-ingress --group-id {group} --ip-permissions \
         'IpProtocol={}{ports},{ranges}'  -- when who needs it is let in by a rule of his own",
        rule.protocol
    )
}

/// How the rules for a port take a client.
fn way(client: &Client, rules: &[SecurityGroup], port: u16) -> Way {
    let from: Vec<&Peer> = for_port(rules, port).flat_map(|(_, rule)| &rule.from).collect();
    let everybody = from.iter().find_map(|from| match from {
        Peer::Addresses(all) if EVERYBODY.contains(&all.as_str()) => Some(all.clone()),
        _ => None,
    });
    if let Some(all) = everybody {
        return Way::In(all);
    }
    let Some(groups) = client.groups.as_ref().filter(|groups| !groups.is_empty()) else {
        return Way::Unknown(
            "its security groups are not known: it has none of its own, or they could not be read".into(),
        );
    };
    if let Some(group) = groups.iter().find(|group| from.contains(&&Peer::Group((*group).clone()))) {
        return Way::In(group.clone());
    }
    let addresses = from.iter().filter_map(|from| match from {
        Peer::Addresses(addresses) | Peer::List(addresses) => Some(addresses),
        Peer::Group(_) => None,
    });
    let addresses: Vec<&String> = addresses.collect();
    if addresses.is_empty() {
        return Way::Out;
    }
    Way::Unknown(format!(
        "no rule names {}, and whether its addresses are in {} is not known",
        names(groups),
        names(addresses)
    ))
}

fn kept_out(client: &Client, way: Way, group: &str, port: u16) -> Trouble {
    let own = client.groups.as_ref().and_then(|groups| groups.first()).map_or("SG-OF-ITS-HOST", String::as_str);
    let mend = format!("{}  -- unless a pooler or a proxy dials in its place", authorize(group, port, own));
    match way {
        Way::Unknown(why) => Trouble {
            title: "it is not known whether its clients are let in",
            words: format!("{}: {why}", client.name),
            mend,
        },
        _ => Trouble {
            title: "a client is not let in",
            words: format!("no rule lets {} ({own}) in on port {port}", client.name),
            mend,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::judged;
    use super::*;
    use crate::preflight::Level;

    /// The finding with these rules of `sg-0a` for PostgreSQL's port, and a service that has these groups.
    fn with(from: Vec<Peer>, groups: Option<&[&str]>) -> Finding {
        let rule = Rule { protocol: "tcp".into(), ports: (Some(5432), Some(5432)), from };
        let groups = groups.map(|groups| groups.iter().map(|group| (*group).to_owned()).collect());
        judged("rds-security-groups", |facts| {
            facts.rules = Some(vec![SecurityGroup { id: "sg-0a".into(), rules: vec![rule] }]);
            facts.clients = vec![Client { name: "the service web".into(), groups }];
        })
    }

    fn group(id: &str) -> Peer {
        Peer::Group(id.into())
    }

    fn addresses(range: &str) -> Peer {
        Peer::Addresses(range.into())
    }

    #[test]
    fn a_client_is_let_in_by_a_rule_that_names_its_group() {
        let found = with(vec![group("sg-x"), group("sg-web")], Some(&["sg-other", "sg-web"]));
        assert_eq!(found.level, Level::Pass, "{found:?}");
        assert!(found.detail.contains("the service web is let in by sg-web"), "{found:?}");
        assert!(found.detail.contains("this machine was let in as target"), "{found:?}");
    }

    #[test]
    fn who_is_not_let_in_is_told_with_the_command_that_lets_him_in() {
        let found = with(vec![group("sg-x")], Some(&["sg-web"]));
        assert_eq!((found.level, found.title.as_str()), (Level::Warn, "a client is not let in"));
        assert!(found.detail.contains("no rule lets the service web (sg-web) in on port 5432"), "{found:?}");
        let command = "aws ec2 authorize-security-group-ingress --group-id sg-0a --protocol tcp --port 5432 \
                       --source-group sg-web  -- unless a pooler or a proxy dials in its place";
        assert_eq!(found.mend, [command]);
    }

    #[test]
    fn addresses_and_hosts_are_not_known_and_no_pass() {
        for (from, groups) in [
            (addresses("10.0.0.0/16"), Some(&["sg-web"][..])),
            (Peer::List("pl-1".into()), Some(&["sg-web"])),
            (group("sg-web"), None),
            (group("sg-web"), Some(&[])),
        ] {
            let found = with(vec![from], groups);
            assert_eq!(found.title, "it is not known whether its clients are let in", "{found:?}");
            assert_eq!(found.level, Level::Warn);
        }
    }

    #[test]
    fn everybody_is_too_many_and_lets_the_client_in() {
        for (range, words) in [("0.0.0.0/0", "IpRanges=[{CidrIp=0.0.0.0/0}]"), ("::/0", "Ipv6Ranges=[{CidrIpv6=::/0}]")]
        {
            let found = with(vec![addresses(range)], Some(&["sg-web"]));
            assert_eq!((found.level, found.title.as_str()), (Level::Warn, "its security groups let everybody in"));
            let command = format!(
                "aws ec2 revoke-security-group-ingress --group-id sg-0a --ip-permissions \
                 'IpProtocol=tcp,FromPort=5432,ToPort=5432,{words}'"
            );
            assert!(found.mend.len() == 1 && found.mend[0].starts_with(&command), "{found:?}");
        }
    }

    #[test]
    fn nobody_at_all_is_told_whatever_this_machine_has_seen() {
        let spoil = |facts: &mut Facts| {
            let from = vec![addresses("0.0.0.0/0")];
            let rule = Rule { protocol: "tcp".into(), ports: (Some(3306), Some(3306)), from };
            facts.rules = Some(vec![SecurityGroup { id: "sg-0a".into(), rules: vec![rule] }]);
            facts.clients = vec![Client { name: "the service web".into(), groups: None }];
        };
        let found = judged("rds-security-groups", spoil);
        assert_eq!((found.level, found.title.as_str()), (Level::Warn, "its security groups let nobody in"));
        assert!(found.detail.contains("no rule lets anybody in on port 5432") && found.mend.len() == 1, "{found:?}");
        let beside = judged("rds-security-groups", |facts| {
            spoil(facts);
            facts.part.side = None;
        });
        assert!(beside.detail.contains("it was not dialled from here"), "{beside:?}");
    }

    #[test]
    fn what_was_not_read_is_not_fine() {
        let unread = judged("rds-security-groups", |facts| facts.rules = None);
        assert_eq!((unread.level, unread.title.as_str()), (Level::Warn, "who is let in was not looked at"));
        let gone = judged("rds-security-groups", |facts| facts.rules = Some(Vec::new()));
        assert!(gone.level == Level::Warn && gone.detail.contains("EC2 knows nothing of sg-0a"), "{gone:?}");
        let adding = judged("rds-security-groups", |facts| {
            facts.instance().server.security_groups = vec![("sg-1".into(), "adding".into())];
        });
        assert!(adding.level == Level::Fail && adding.detail.contains("sg-1 is adding"), "{adding:?}");
    }
}
