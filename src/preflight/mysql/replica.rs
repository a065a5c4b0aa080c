//! A target that is a replica of the source already: most of what two servers are asked is no question then, and some
//! other things are.

use super::finding::{Check, Finding, count, names};
use super::mend::{change, ours};
use super::{PreflightInput, TOPICS, accept};
use crate::systems::mysql::catalog::Identity;
use crate::systems::mysql::gtid::GtidSet;
use crate::systems::mysql::replica::{Follows, only};
use crate::systems::mysql::survey::{ProgramKind, SessionGroup, Survey};

/// What is only asked of two servers of which one is copied to the other, and made to follow.
const NO_QUESTION: &[&str] = &[
    "copy-privilege",
    "create-privilege",
    "definer-privilege",
    "float-columns",
    "routine-creation",
    "schemas-filter",
    "target-columns",
    "target-content",
    "target-sessions",
];
/// Asked of the other side only: the target is read-only, and follows and is followed as a replica is.
const NOT_OF_TARGET: &[&str] = &["other-channels", "other-readers", "read-only", "replication-privilege"];
/// The source is dialled by nobody anew; the target is, on the way back.
const NOT_OF_SOURCE: &[&str] = &["replication-url", "replication-address", "replication-tls"];
/// What keeps statements about accounts out of a stream.
const APART: &str = "mysql.%";

/// What is read of the pair beyond the surveys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whom the target follows.
    pub follows: Vec<Follows>,
    /// Replicas that commits of the source wait for, now; `None` where they wait for none.
    pub waited_for: Option<i64>,
}

/// What was found; `by_server` where the server itself is asked for the promotion.
#[must_use]
pub fn judge(input: &PreflightInput, facts: &Facts, by_server: bool) -> Vec<Finding> {
    let asked = &as_of_replica(input, facts);
    let mut findings: Vec<Finding> = TOPICS.iter().flat_map(|topic| topic(asked)).collect();
    let (source, target) = (&input.source.system, &input.target.system);
    findings.retain(|found| {
        let id = found.id.as_str();
        !(NO_QUESTION.contains(&id)
            || (!by_server && of_rds(input, found))
            || (found.system == *target && NOT_OF_TARGET.contains(&id))
            || (found.system == *source && NOT_OF_SOURCE.contains(&id)))
    });
    for found in findings.iter_mut().filter(|found| found.system == *target && !found.mend.is_empty()) {
        match found.id.as_str() {
            "accounts-missing" | "account-passwords" => found.mend.insert(0, QUIETLY.to_owned()),
            // It would forget what it has of the source, too.
            "errant-gtids" => found.mend = ERRANT.map(str::to_owned).to_vec(),
            _ => {}
        }
    }
    findings.extend([of_source(asked, facts), runs(input, facts), delay(input, facts), shut(&input.target)]);
    findings.extend([synchronous(&input.source, facts), readers(&input.target), behind(&input.target)]);
    findings.extend([account(&input.source, facts), apart(input), events(asked)]);
    if by_server {
        findings.push(promotion(&input.target));
    }
    accept(findings, &input.accept)
}

/// What is no question where RDS replicates and promotes: it keeps the source's log for its own replicas; and what it wrote
/// on the target before lies before the place where the way back begins, by file and position, or in MariaDB's domains.
fn of_rds(input: &PreflightInput, found: &Finding) -> bool {
    found.id == "errant-gtids" || (found.system == input.source.system && found.id == "binlog-retention")
}

const EVENTS: &str = "Events rest on a replica and are switched on when it takes writes: only an account with a privilege for it \
                      may do that to what somebody else defined, and only one with SYSTEM_USER to what an administrator did.";

/// Nothing is loaded; but events are switched on where writes go, under their definers' names.
fn events(asked: &PreflightInput) -> Finding {
    let mut asked = asked.clone();
    asked.source.programs.retain(|program| program.kind == ProgramKind::Event);
    let mut found = super::logic::definer_privilege(&asked);
    EVENTS.clone_into(&mut found.why);
    if !found.mend.is_empty() {
        found.mend.insert(0, "-- on the source, from where it comes to the replica:".to_owned());
    }
    found
}

const ERRANT: [&str; 2] = [
    "-- see what was written there (mysqlbinlog --include-gtids), and make the replica anew;",
    "-- or, where nobody needs it, on the source for each: SET gtid_next = '…'; BEGIN; COMMIT; SET gtid_next = 'AUTOMATIC';",
];
const QUIETLY: &str = "SET SESSION sql_log_bin = 0; -- first, on the replica: it must have no transaction of its own";

/// The user that the target follows by.
fn user(facts: &Facts) -> Option<&str> {
    facts.follows.first().map(|found| found.user.as_str()).filter(|user| !user.is_empty())
}

/// The input as it is asked of two servers. Both were read at the same time, and the target may have what was written
/// meanwhile: that bears the source's own id. The source's reader is the target; and a filter that keeps statements about
/// accounts out of the way back is as it must be.
fn as_of_replica(input: &PreflightInput, facts: &Facts) -> PreflightInput {
    let mut asked = input.clone();
    asked.wanted.copy_schema = false;
    asked.wanted.exempt_accounts.extend(user(facts).map(str::to_owned));
    if let (Some(errant), Some(uuid)) = (&mut asked.target.activity.errant, &input.source.server.uuid)
        && let Ok(set) = GtidSet::read(errant)
    {
        *errant = set.without(&set.of_server(uuid)).to_string();
    }
    let own = |reader: &String| user(facts).is_some_and(|user| reader.split('@').next() == Some(user));
    let readers = &mut asked.source.activity.readers;
    if let Some(at) = readers.iter().position(own) {
        readers.remove(at);
    }
    if filter(&input.source) == APART {
        asked.source.variables.remove("replicate_wild_ignore_table");
    }
    asked
}

fn filter(side: &Survey) -> &str {
    side.variable("replicate_wild_ignore_table").unwrap_or_default()
}

fn of_source(input: &PreflightInput, facts: &Facts) -> Finding {
    let (source, target) = (&input.source, &input.target);
    let check = Check {
        id: "replica-of-source",
        system: &target.system,
        why: "Only a replica of this very source, and of nobody else, can be promoted in its place.",
    };
    let server_id = source.number("server_id").and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
    let here = Identity { uuid: source.server.uuid.clone(), server_id, ..Identity::default() };
    match only(&facts.follows, &here) {
        Ok(found) => {
            let detail = format!("It follows server_id {} as {}.", found.server_id, found.user);
            check.pass(format!("it is a replica of {}", source.system), detail)
        }
        Err(why) => {
            let mend = vec![format!("-- make a replica of {} (RDS: create a read replica)", source.system)];
            check.fail(format!("it is no replica of {}", source.system), format!("{why}."), mend)
        }
    }
}

fn runs(input: &PreflightInput, facts: &Facts) -> Finding {
    let target = &input.target;
    let check =
        Check { id: "replica-runs", system: &target.system, why: "A replica that stands still never has everything." };
    let Some(trouble) = facts.follows.iter().find_map(|found| found.trouble.clone()) else {
        return check.pass("its replication runs", "It receives and applies.");
    };
    let start = if target.server.rds {
        "CALL mysql.rds_start_replication;"
    } else if target.is_mariadb() {
        "START SLAVE '';"
    } else {
        "START REPLICA FOR CHANNEL '';"
    };
    let mend = vec!["-- mend what the error says, then:".to_owned(), start.to_owned()];
    check.fail("its replication does not run", format!("{trouble}."), mend)
}

fn delay(input: &PreflightInput, facts: &Facts) -> Finding {
    let target = &input.target;
    let check = Check {
        id: "replica-delay",
        system: &target.system,
        why: "A replica that applies late on purpose never has everything in time.",
    };
    let seconds = facts.follows.iter().map(|found| found.delay).max().unwrap_or(0);
    if seconds == 0 {
        return check.pass("it applies at once", "It has no delay.");
    }
    let mend = if target.server.rds {
        vec!["CALL mysql.rds_set_source_delay(0); -- before 8.4: rds_set_master_delay".to_owned()]
    } else if target.is_mariadb() {
        vec!["STOP SLAVE ''; CHANGE MASTER '' TO MASTER_DELAY = 0; START SLAVE '';".to_owned()]
    } else {
        vec![
            "STOP REPLICA SQL_THREAD; CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 0; START REPLICA SQL_THREAD;"
                .to_owned(),
        ]
    };
    check.fail("it applies late on purpose", format!("By {seconds} s."), mend)
}

/// Nobody but its own replication writes there before it is promoted.
fn shut(side: &Survey) -> Finding {
    let check = Check {
        id: "replica-read-only",
        system: &side.system,
        why: "Who dials a replica that is open writes to it beside the source: that breaks its replication, and is on no \
              other server.",
    };
    let read = |name: &str| format!("{name} is {}", side.variable(name).unwrap_or("unknown"));
    let detail = if side.is_mariadb() {
        format!("{}.", read("read_only"))
    } else {
        format!("{}, {}.", read("read_only"), read("super_read_only"))
    };
    let is_shut = |name: &str| side.variable(name).is_some_and(|value| !matches!(value, "" | "0" | "OFF"));
    let at_start =
        |name: &str| side.persisted.get(name).is_some_and(|value| !matches!(value.as_str(), "" | "0" | "OFF"));
    if !is_shut("read_only") {
        let name = if side.is_mariadb() { "read_only" } else { "super_read_only" };
        return check.fail("the replica is open for writes", detail, change(side, name, "ON"));
    }
    if side.is_mariadb() && !side.server.rds && at_start("read_only") {
        let mend = vec!["-- take read_only out of its configuration behind the switch".to_owned()];
        return check.warn("a restart would shut it again when it is promoted", detail, mend);
    }
    check.pass("the replica is read-only", detail)
}

/// Semi-synchronous commits.
fn synchronous(source: &Survey, facts: &Facts) -> Finding {
    let check = Check {
        id: "replica-synchronous",
        system: &source.system,
        why: "When the replica is promoted it confirms nothing any more: a source that waits for it in each commit would \
              be slow to take the way back, or hang.",
    };
    match facts.waited_for {
        None => check.pass("commits wait for no replica", "Semi-synchronous replication is off."),
        Some(others @ 2..) => check.warn(
            "commits wait for replicas",
            format!("{others} confirm; see that enough of them stay."),
            Vec::new(),
        ),
        Some(number) => {
            let names = ["rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"];
            let name = names.into_iter().find(|name| source.variable(name).is_some()).unwrap_or(names[0]);
            check.fail(
                "commits may wait for the replica that is promoted",
                format!("{name} is ON, and {number} replica(s) confirm."),
                change(source, name, "OFF"),
            )
        }
    }
}

fn readers(side: &Survey) -> Finding {
    let check = Check {
        id: "replica-readers",
        system: &side.system,
        why: "Who reads on the replica is disconnected when it is promoted, and comes back to a server that takes writes.",
    };
    let found: Vec<&SessionGroup> = side.activity.sessions.iter().flatten().collect();
    if found.is_empty() {
        return check.pass("nobody else is connected to the replica", "No session but ours.");
    }
    let shown = names(found.iter().map(|group| format!("{} × {} from {}", group.ids.len(), group.user, group.host)));
    check.warn("others are connected to the replica", format!("{shown}."), Vec::new())
}

/// They follow along; but nobody else looks at them.
fn behind(side: &Survey) -> Finding {
    let check = Check {
        id: "replica-behind",
        system: &side.system,
        why: "Who follows the replica goes on to follow it when it is promoted, and stays with it after a rollback.",
    };
    let found = &side.activity.readers;
    if found.is_empty() {
        return check.pass("nobody follows the replica", "No session dumps its binary log.");
    }
    let title = count(found.len(), "server follows the replica", "servers follow the replica");
    check.warn(title, format!("{}.", names(found)), vec!["-- after a rollback lead them to the source".to_owned()])
}

/// The fence leaves it in, or the replica would lose its source in the middle of the window.
fn account(source: &Survey, facts: &Facts) -> Finding {
    let check = Check {
        id: "replica-account",
        system: &source.system,
        why: "The fence leaves in the account that the replica follows by: what a client writes with it after the barrier is \
              lost.",
    };
    let Some(user) = user(facts) else {
        return check.pass("the replica has no account that a client could use", "It names none.");
    };
    let of_user = |group: &&SessionGroup| group.user == user;
    let clients: usize = source.activity.sessions.iter().flatten().filter(of_user).map(|group| group.ids.len()).sum();
    if clients == 0 || source.account.name.split('@').next() == Some(user) {
        return check.pass("the replica's account is its own", format!("{user}."));
    }
    let mend = vec!["-- give the replica an account of its own, with REPLICATION SLAVE only".to_owned()];
    check.fail("clients use the replica's account", format!("{clients} sessions of {user}."), mend)
}

/// Where locks of accounts are logged, only a filter keeps those of one side from the other.
fn apart(input: &PreflightInput) -> Finding {
    let side = &input.source;
    let check = Check {
        id: "replica-accounts",
        system: &side.system,
        why: "On RDS the fence is a lock on each account, which goes into the binary log: unlocked on the target for the \
              switch, they would be unlocked on the source by the way back.",
    };
    if !side.server.rds || !input.wanted.way_back {
        return check
            .pass("locks of accounts stay where they are set", "They are not logged, or are filtered out by the run.");
    }
    if filter(side).split(',').any(|pattern| pattern.trim() == APART) {
        return check
            .pass("locks of accounts stay where they are set", format!("replicate_wild_ignore_table is {APART}."));
    }
    let mend = vec![format!(
        "-- in its parameter group: replicate-wild-ignore-table = {APART}; MariaDB: replicate_wild_ignore_table"
    )];
    check.fail("the way back would open the source", "replicate_wild_ignore_table has not mysql.%.", mend)
}

fn promotion(side: &Survey) -> Finding {
    let check = Check {
        id: "replica-promotion",
        system: &side.system,
        why: "The promotion comes behind the commit point, where the only way is forward.",
    };
    let needs: &[(&str, &str)] = if side.is_mariadb() {
        &[("REPLICATION SLAVE ADMIN", "REPLICATION SLAVE ADMIN"), ("READ_ONLY ADMIN", "READ ONLY ADMIN")]
    } else {
        &[
            ("REPLICATION_SLAVE_ADMIN", "REPLICATION SLAVE ADMIN"),
            ("SYSTEM_VARIABLES_ADMIN", "SYSTEM VARIABLES ADMIN"),
            ("CONNECTION_ADMIN", "CONNECTION ADMIN"),
        ]
    };
    let lacking: Vec<&str> =
        needs.iter().filter(|(_, listed)| !side.account.may(&[listed, "SUPER"])).map(|(grant, _)| *grant).collect();
    if lacking.is_empty() {
        return check.pass("our account may promote it", format!("Account {}.", side.account.name));
    }
    let mend = vec![
        format!("GRANT {} ON *.* TO {}; -- on the source", lacking.join(", "), ours(side)),
        "-- a replica of RDS is promoted by RDS: name its system, `mysql: { rds: NAME, … }`".to_owned(),
    ];
    check.fail("our account may not promote it", format!("It lacks {}.", names(&lacking)), mend)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{find, input, mariadb, session, set};
    use super::*;
    use crate::systems::mysql::survey::Program;

    fn facts() -> Facts {
        let of = |input: &PreflightInput| Follows {
            uuid: input.source.server.uuid.clone(),
            server_id: 1,
            user: "repl".into(),
            ..Follows::default()
        };
        Facts { follows: vec![of(&input())], waited_for: None }
    }

    /// A source and its replica.
    fn pair(mut input: PreflightInput) -> PreflightInput {
        input.target.tables = input.source.tables.clone();
        for name in ["read_only", "super_read_only"] {
            set(&mut input.target, name, "ON");
        }
        input
    }

    fn judged(id: &str, system: &str, spoil: impl FnOnce(&mut PreflightInput, &mut Facts)) -> Finding {
        let (mut input, mut facts) = (pair(input()), facts());
        spoil(&mut input, &mut facts);
        find(&judge(&input, &facts, true), id, system).clone()
    }

    #[test]
    fn a_tidy_replica_has_no_failure() {
        let mut of_mariadb = facts();
        of_mariadb.follows[0].uuid = None;
        for (input, facts) in [(input(), facts()), (mariadb(), of_mariadb)] {
            let findings = judge(&pair(input), &facts, true);
            let failures: Vec<_> = findings.iter().filter(|finding| finding.level == Level::Fail).collect();
            assert!(failures.is_empty(), "{failures:#?}");
        }
    }

    #[test]
    fn only_a_replica_of_this_source_that_runs_will_do() {
        let of = |id: &str, spoil: fn(&mut Follows)| {
            judged(id, "target", |_, facts| facts.follows.iter_mut().for_each(spoil)).level
        };
        assert_eq!(of("replica-of-source", |_| ()), Level::Pass);
        assert_eq!(of("replica-of-source", |follows| follows.server_id = 9), Level::Fail);
        assert_eq!(of("replica-of-source", |follows| follows.name = "feed".into()), Level::Fail);
        assert_eq!(judged("replica-of-source", "target", |_, facts| facts.follows.clear()).level, Level::Fail);
        assert_eq!(of("replica-runs", |follows| follows.trouble = Some("it does not apply".into())), Level::Fail);
        assert_eq!(of("replica-delay", |follows| follows.delay = 60), Level::Fail);
    }

    #[test]
    fn what_stands_in_the_way_of_a_replica_is_told() {
        let level =
            |id: &str, system: &str, spoil: fn(&mut PreflightInput, &mut Facts)| judged(id, system, spoil).level;
        let open = |input: &mut PreflightInput, _: &mut Facts| set(&mut input.target, "read_only", "OFF");
        assert_eq!(level("replica-read-only", "target", open), Level::Fail);
        assert_eq!(level("replica-synchronous", "source", |_, facts| facts.waited_for = Some(1)), Level::Fail);
        assert_eq!(level("replica-synchronous", "source", |_, facts| facts.waited_for = Some(2)), Level::Warn);
        let follower = |input: &mut PreflightInput, _: &mut Facts| input.target.activity.readers = vec!["r@h".into()];
        assert_eq!(level("replica-behind", "target", follower), Level::Warn);
        let reader = |input: &mut PreflightInput, _: &mut Facts| {
            input.target.activity.sessions = Some(vec![session("bi", "10.0.0.7")]);
        };
        assert_eq!(level("replica-readers", "target", reader), Level::Warn);
        let shared = |input: &mut PreflightInput, _: &mut Facts| {
            input.source.activity.sessions = Some(vec![session("repl", "10.0.0.7")]);
        };
        assert_eq!(level("replica-account", "source", shared), Level::Fail);
        let weak = |input: &mut PreflightInput, _: &mut Facts| input.target.account.privileges = vec!["SELECT".into()];
        assert_eq!(level("replica-promotion", "target", weak), Level::Fail);
    }

    #[test]
    fn what_was_written_while_both_were_read_is_not_errant() {
        let uuid = input().source.server.uuid.unwrap();
        let with = |errant: String| {
            judged("errant-gtids", "target", move |input, _| input.target.activity.errant = Some(errant)).level
        };
        assert_eq!(with(format!("{uuid}:7-9")), Level::Pass);
        let other = "4e11fa47-71ca-11e1-9e33-c80aa9429562:1";
        assert_eq!(with(format!("{uuid}:7-9,{other}")), Level::Fail);
        let mended =
            judged("errant-gtids", "target", |input, _| input.target.activity.errant = Some(other.into())).mend;
        assert!(!mended.concat().contains("RESET"), "a replica that is reset takes everything again: {mended:?}");
        let reader = |readers: &'static [&'static str]| {
            judged("other-readers", "source", move |input, _| {
                input.source.activity.readers = readers.iter().map(|&name| name.to_owned()).collect();
            })
            .level
        };
        assert_eq!([reader(&["repl@h"]), reader(&["repl@h", "repl@i"])], [Level::Pass, Level::Warn]);
    }

    #[test]
    fn of_what_others_defined_only_events_are_touched() {
        let with = |kind: ProgramKind| {
            judged("definer-privilege", "target", move |input, _| {
                input.source.programs = vec![Program { kind, ..program() }];
                input
                    .target
                    .account
                    .privileges
                    .retain(|privilege| privilege != "ALL PRIVILEGES" && privilege != "SUPER");
                input.target.account.privileges.retain(|privilege| !privilege.starts_with("SET"));
            })
        };
        assert_eq!(with(ProgramKind::View).level, Level::Pass);
        let found = with(ProgramKind::Event);
        assert!(found.level == Level::Fail && found.mend[0].contains("on the source"), "{found:?}");
    }

    fn program() -> Program {
        Program {
            kind: ProgramKind::Event,
            schema: "shop".into(),
            name: "x".into(),
            definer: "app@%".into(),
            as_definer: true,
            about: "ENABLED".into(),
        }
    }

    #[test]
    fn where_rds_promotes_its_own_transactions_and_its_own_log_are_no_question() {
        let mut input = pair(input());
        input.target.activity.errant = Some("4e11fa47-71ca-11e1-9e33-c80aa9429562:1".into());
        set(&mut input.source, "binlog_expire_logs_seconds", "60");
        let failed = |by_server| {
            let findings = judge(&input, &facts(), by_server).into_iter();
            findings.filter(|found| found.level == Level::Fail).map(|found| found.id).collect::<Vec<_>>()
        };
        assert_eq!(failed(false), Vec::<String>::new());
        let mut by_server = failed(true);
        by_server.sort();
        assert_eq!(by_server, ["binlog-retention", "errant-gtids"]);
    }

    #[test]
    fn on_rds_a_filter_keeps_the_locks_of_accounts_apart() {
        let with = |id: &str, pattern: &'static str| {
            judged(id, "source", move |input, _| {
                input.source.server.rds = true;
                set(&mut input.source, "replicate_wild_ignore_table", pattern);
            })
            .level
        };
        assert_eq!([with("replica-accounts", ""), with("replica-accounts", "mysql.%")], [Level::Fail, Level::Pass]);
        let filters = ["mysql.%", "audit.%", "audit.%,mysql.%"].map(|pattern| with("replication-filters", pattern));
        assert_eq!(filters, [Level::Pass, Level::Fail, Level::Fail]);
        assert_eq!(judged("replica-accounts", "source", |_, _| ()).level, Level::Pass);
    }
}
