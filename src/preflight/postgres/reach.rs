//! Whether each server can dial the other. The one that follows dials, so the way there and the way back go opposite
//! ways. From here only hints can be had; `CREATE SUBSCRIPTION` in `replicate` is the proof.

use super::PreflightInput;
use super::finding::{Check, Finding, names};
use crate::systems::postgres::survey::{Found, HbaRule, Reach, Survey, Table};
use crate::systems::postgres::{ident, literal};

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = Vec::new();
    for reach in &input.reach {
        let Some((from, to)) = ends(input, reach) else { continue };
        findings.extend([dial(reach, to), address(reach, from), hba(reach, from, to)]);
        if let Some(found) = &reach.found {
            findings.push(copy_rights(reach, found, to, input));
        }
    }
    findings
}

fn ends<'a>(input: &'a PreflightInput, reach: &Reach) -> Option<(&'a Survey, &'a Survey)> {
    let side = |name: &str| input.sides().into_iter().find(|side| side.system == name);
    Some((side(&reach.from)?, side(&reach.to)?))
}

fn dial(reach: &Reach, to: &Survey) -> Finding {
    let check = Check {
        id: "replication-url",
        system: &reach.to,
        why: "The other server dials this URL for replication; wrong credentials would stop `replicate`, or leave no \
              way back.",
    };
    let at = format!("{}/{} as {}", reach.dialled.endpoint(), reach.dialled.database, reach.dialled.user);
    let correct = || vec![format!("-- correct `replication-url` (or `url`) of {}", reach.to)];
    let Some(found) = &reach.found else {
        let reason = reach.failure.as_deref().unwrap_or("no answer");
        let mend = vec![format!(
            "-- correct `replication-url` of {}, or open the way to it; if only {}'s network reaches it, accept \
             `replication-url`",
            reach.to, reach.from
        )];
        return check.fail("the replication URL leads nowhere from here", format!("{at}: {reason}."), mend);
    };
    let elsewhere = found.database != to.database.name
        || matches!((&found.system_identifier, &to.server.system_identifier), (Some(there), Some(here)) if there != here);
    if elsewhere {
        return check.fail(
            "the replication URL leads to another database",
            format!("{at} is not the database of `url`."),
            correct(),
        );
    }
    if !found.replicates {
        let grant = if to.server.rds {
            format!("GRANT rds_replication TO {};", ident(&found.role))
        } else {
            format!("ALTER ROLE {} REPLICATION;", ident(&found.role))
        };
        return check.fail("the role of the replication URL may not replicate", format!("{at}."), vec![grant]);
    }
    let detail = format!(
        "{at} answers from here. That {} can dial it too is proved when `replicate` makes the subscription.",
        reach.from
    );
    check.pass("the replication URL works from here", detail)
}

fn address(reach: &Reach, from: &Survey) -> Finding {
    let check = Check {
        id: "replication-address",
        system: &reach.to,
        why: "A name or an address can mean something else on the other server's host than it does here.",
    };
    let (host, dialler) = (&reach.dialled.host, &from.dialled);
    let read = format!("{} dials `{host}` to reach {}.", reach.from, reach.to);
    let mend = || vec![format!("-- give {} a `replication-url` with an address that {} reaches", reach.to, reach.from)];
    if reach.dialled.is_loopback() {
        if dialler.is_loopback() {
            return check.pass("both servers are on this machine", read);
        }
        let detail = format!("{read} There it means the server's own host ({}).", dialler.host);
        return check.fail("the address means the dialling server itself", detail, mend());
    }
    if reach.dialled.is_private() && !dialler.is_private() && !dialler.is_loopback() {
        return check.warn(
            "the address is a private one",
            format!("{read} It must be in {}'s network, or routed to it.", reach.from),
            mend(),
        );
    }
    check.pass(
        "the address means the same everywhere",
        format!("{read} Firewalls and security groups must let it through."),
    )
}

/// A logical sender is matched by its database's name; the keyword `replication` is for physical ones.
fn hba(reach: &Reach, from: &Survey, to: &Survey) -> Finding {
    let check = Check {
        id: "host-based-authentication",
        system: &reach.to,
        why: "pg_hba.conf decides whether the other server may connect, and its address is not ours.",
    };
    let Some(rules) = &to.hba else {
        let detail =
            "Only a superuser may read pg_hba.conf (on RDS it lets every address in, and the security group decides).";
        let mend = vec![format!(
            "-- on {}: SELECT * FROM pg_hba_file_rules; or look at the security group for {}'s address",
            reach.to, reach.from
        )];
        return check.warn("pg_hba.conf can't be read", detail, mend);
    };
    let (user, database) = (&reach.dialled.user, &reach.dialled.database);
    let matching: Vec<&HbaRule> = rules.iter().filter(|rule| rule.matches(user, database)).collect();
    let allowing: Vec<&&HbaRule> = matching.iter().filter(|rule| rule.method.as_deref() != Some("reject")).collect();
    let line = format!("host {} {} <address of {}>/32 scram-sha-256", hba_word(database), hba_word(user), reach.from);
    let mend = vec![format!("-- add to pg_hba.conf of {}: {line}", reach.to), "SELECT pg_reload_conf();".to_owned()];
    if allowing.is_empty() {
        let detail = format!("No line lets role {user} into database {database} over the network.");
        return check.fail("pg_hba.conf lets nobody in", detail, mend);
    }
    let addresses = names(allowing.iter().map(|rule| rule.address.as_deref().unwrap_or("any")));
    let detail = format!("Lines for role {user} and database {database} are for: {addresses}.");
    if allowing.iter().all(|rule| rule.is_local()) && !from.dialled.is_loopback() {
        return check.fail("pg_hba.conf lets in its own host only", detail, mend);
    }
    check.pass("pg_hba.conf has lines for the replication role", detail)
}

fn hba_word(text: &str) -> String {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') { text.to_owned() } else { ident(text) }
}

impl HbaRule {
    fn matches(&self, user: &str, database: &str) -> bool {
        let network = self.kind.as_deref().is_some_and(|kind| kind.starts_with("host"));
        let by_user = self.users.iter().any(|name| name == "all" || name == user || name.starts_with(['+', '/']));
        let by_database = self.databases.iter().any(|name| {
            name == "all"
                || name == database
                || name.starts_with('/')
                || name == "samerole"
                || (name == "sameuser" && user == database)
        });
        network && by_user && by_database
    }

    fn is_local(&self) -> bool {
        self.address.as_deref().is_some_and(|address| {
            address.starts_with("127.") || address == "::1" || address == "localhost" || address == "samehost"
        })
    }
}

/// The initial copy reads as the role of the source's URL; the way back copies nothing.
fn copy_rights(reach: &Reach, found: &Found, to: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "copy-privilege",
        system: &reach.to,
        why: "The initial copy reads every table as the role of the replication URL; what row level security hides \
              from it would be missing.",
    };
    if to.system != input.source.system {
        return check.pass("the way back copies nothing", "It begins where the window ends.");
    }
    let who = ident(&found.role);
    let carried = |name: &&String| input.tables().any(|table| table.full_name() == **name);
    let unreadable: Vec<&String> = found.unreadable.iter().filter(carried).collect();
    if !unreadable.is_empty() {
        let mut mend: Vec<String> = input
            .tables()
            .filter(|table| unreadable.contains(&&table.full_name()))
            .map(|table| format!("GRANT SELECT ON {} TO {who};", table.sql_name()))
            .collect();
        mend.push(format!("-- or: GRANT pg_read_all_data TO {who};"));
        return check.fail(
            "the replication role can't read every table",
            format!("Not readable by {}: {}.", found.role, names(unreadable)),
            mend,
        );
    }
    let secured: Vec<String> = input.tables().filter(|table| table.row_security).map(Table::full_name).collect();
    if !secured.is_empty() && !found.bypasses_rls {
        let detail = format!("Row level security on {}; role {} does not bypass it.", names(&secured), found.role);
        return check.fail(
            "row level security hides rows from the copy",
            detail,
            vec![format!("ALTER ROLE {who} BYPASSRLS; -- for {}", literal(&secured[0]).trim_start())],
        );
    }
    check.pass("the replication role can read every table", format!("Role {}.", found.role))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::Level;
    use super::super::testing::{judged, table};
    use super::*;

    #[test]
    fn a_url_that_does_not_answer_leads_elsewhere_or_may_not_replicate_is_refused() {
        let id = "replication-url";
        let passed = judged(id, "source", |_| ());
        assert_eq!(passed.level, Level::Pass);
        assert!(passed.detail.contains("proved when `replicate` makes the subscription"));
        let dead = judged(id, "source", |input| {
            (input.reach[0].found, input.reach[0].failure) = (None, Some("connection refused".into()));
        });
        assert_eq!(dead.level, Level::Fail);
        assert!(dead.detail.contains("connection refused"));
        let change =
            |spoil: fn(&mut Found)| judged(id, "target", |input| spoil(input.reach[1].found.as_mut().unwrap()));
        assert_eq!(
            change(|found| found.database = "other".into()).title,
            "the replication URL leads to another database"
        );
        assert_eq!(change(|found| found.system_identifier = Some("7009".into())).level, Level::Fail);
        assert_eq!(change(|found| found.system_identifier = None).level, Level::Pass);
        assert_eq!(change(|found| found.replicates = false).mend, [r#"ALTER ROLE "pointsman" REPLICATION;"#]);
    }

    #[test]
    fn loopback_is_fine_only_when_both_are_here() {
        let id = "replication-address";
        let local = |dialled: &mut crate::systems::postgres::survey::Dialled| {
            (dialled.host, dialled.addresses) = ("127.0.0.1".into(), vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        };
        let away = judged(id, "source", |input| local(&mut input.reach[0].dialled));
        assert_eq!(away.level, Level::Fail);
        let here = judged(id, "source", |input| {
            local(&mut input.reach[0].dialled);
            local(&mut input.target.dialled);
        });
        assert_eq!(here.level, Level::Pass);
        let private = judged(id, "source", |input| {
            input.reach[0].dialled.addresses = vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7))];
        });
        assert_eq!(private.level, Level::Warn);
        assert_eq!(judged(id, "target", |_| ()).level, Level::Pass);
    }

    fn rule(database: &str, user: &str, address: &str, method: &str) -> HbaRule {
        HbaRule {
            line: 1,
            kind: Some("host".into()),
            databases: vec![database.into()],
            users: vec![user.into()],
            address: Some(address.into()),
            method: Some(method.into()),
        }
    }

    #[test]
    fn host_based_authentication_must_have_a_line() {
        let with =
            |rules: Vec<HbaRule>| judged("host-based-authentication", "source", |input| input.source.hba = Some(rules));
        assert_eq!(judged("host-based-authentication", "source", |_| ()).level, Level::Warn);
        assert_eq!(with(vec![rule("all", "all", "0.0.0.0", "scram-sha-256")]).level, Level::Pass);
        assert_eq!(with(vec![rule("shop", "pointsman", "10.0.0.0", "md5")]).level, Level::Pass);
        assert_eq!(with(vec![rule("all", "all", "127.0.0.1", "trust")]).title, "pg_hba.conf lets in its own host only");
        assert_eq!(with(vec![rule("replication", "all", "0.0.0.0", "md5")]).level, Level::Fail);
        assert_eq!(with(vec![rule("all", "app", "0.0.0.0", "md5")]).level, Level::Fail);
        assert_eq!(with(vec![rule("all", "all", "0.0.0.0", "reject")]).level, Level::Fail);
    }

    #[test]
    fn the_copy_must_see_every_row() {
        let id = "copy-privilege";
        let hidden = judged(id, "source", |input| {
            input.source.tables = vec![Table { row_security: true, ..table("orders") }];
            input.reach[0].found.as_mut().unwrap().bypasses_rls = false;
        });
        assert_eq!(hidden.title, "row level security hides rows from the copy");
        let unreadable = judged(id, "source", |input| {
            input.reach[0].found.as_mut().unwrap().unreadable =
                vec!["public.orders".into(), "other.left_behind".into()];
        });
        assert_eq!(unreadable.level, Level::Fail);
        assert_eq!(unreadable.mend[0], r#"GRANT SELECT ON "public"."orders" TO "pointsman";"#);
        assert_eq!(judged(id, "source", |_| ()).level, Level::Pass);
        assert_eq!(judged(id, "target", |_| ()).level, Level::Pass);
    }
}
