//! What our accounts may do: enough for the copy, the channels, the fence and the way out.

use super::PreflightInput;
use super::finding::{Check, Finding, names};
use super::mend::ours;
use crate::systems::mysql::survey::Survey;

/// A privilege on everything, and the older or larger ones that hold it.
#[derive(Clone)]
struct Need {
    /// As it is granted.
    grant: &'static str,
    /// As it is listed.
    any: &'static [&'static str],
}

const fn need(grant: &'static str, any: &'static [&'static str]) -> Need {
    Need { grant, any }
}

const COPY: &[Need] = &[
    need("SELECT", &["SELECT"]),
    need("SHOW VIEW", &["SHOW VIEW"]),
    need("TRIGGER", &["TRIGGER"]),
    need("EVENT", &["EVENT"]),
    need("LOCK TABLES", &["LOCK TABLES"]),
];
const MONITOR: &[Need] =
    &[need("PROCESS", &["PROCESS"]), need("REPLICATION CLIENT", &["REPLICATION CLIENT", "BINLOG MONITOR", "SUPER"])];
const CREATE: &[Need] = &[
    need("CREATE", &["CREATE"]),
    need("ALTER", &["ALTER"]),
    need("DROP", &["DROP"]),
    need("INSERT", &["INSERT"]),
    need("UPDATE", &["UPDATE"]),
    need("DELETE", &["DELETE"]),
    need("CREATE VIEW", &["CREATE VIEW"]),
    need("CREATE ROUTINE", &["CREATE ROUTINE"]),
    need("TRIGGER", &["TRIGGER"]),
    need("EVENT", &["EVENT"]),
    need("CREATE USER", &["CREATE USER"]),
];

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = vec![copy(input), create(input)];
    for side in input.sides() {
        findings.extend([monitor(side), channel(side, input), fence(side, input), end_sessions(side, input)]);
    }
    findings
}

fn lacking(side: &Survey, needs: &[Need]) -> Vec<&'static str> {
    needs.iter().filter(|need| !side.account.may(need.any)).map(|need| need.grant).collect()
}

/// A finding about privileges that are all there, or can be granted.
fn granted(check: Check<'_>, side: &Survey, needs: &[Need], may: &str) -> Finding {
    let lacking = lacking(side, needs);
    let who = &side.account.name;
    if lacking.is_empty() {
        return check.pass(format!("our account may {may}"), format!("Account {who}."));
    }
    let mend = vec![format!("GRANT {} ON *.* TO {};", lacking.join(", "), ours(side))];
    check.fail(format!("our account may not {may}"), format!("{who} lacks: {}.", names(lacking)), mend)
}

fn copy(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "copy-privilege",
        system: &input.source.system,
        why: "What our account can't read is missing from the copy, and some dumps say nothing about it.",
    };
    granted(check, &input.source, COPY, "read everything")
}

fn create(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "create-privilege",
        system: &input.target.system,
        why: "The copy makes schemas, tables, programs and accounts on the target, and our own schema beside them.",
    };
    granted(check, &input.target, CREATE, "make everything")
}

fn monitor(side: &Survey) -> Finding {
    let check = Check {
        id: "monitor-privilege",
        system: &side.system,
        why: "Without these our account sees its own sessions only, and no position: the fence could not tell who is left.",
    };
    granted(check, side, MONITOR, "see sessions and positions")
}

/// Whether global variables and channels are changed by RDS's procedures.
fn by_procedure(side: &Survey) -> bool {
    side.server.rds && !side.account.may(&["SUPER", "REPLICATION SLAVE ADMIN"])
}

/// The side that follows needs a channel: the target forth, the source back.
fn channel(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "replication-privilege",
        system: &side.system,
        why: "The side that follows is told whom to follow, and to stop, by our account.",
    };
    let who = &side.account.name;
    if side.system == input.source.system && !input.wanted.way_back {
        return check.pass("the source never follows", "There is no way back.");
    }
    if by_procedure(side) {
        let wanted = match () {
            () if side.is_mariadb() => ["rds_set_external_master_gtid", "rds_reset_external_master"],
            () if side.server.version.from(8, 4, 0) => ["rds_set_external_source", "rds_reset_external_source"],
            () => ["rds_set_external_master", "rds_reset_external_master"],
        };
        let missing: Vec<&str> = ["rds_start_replication", "rds_stop_replication"]
            .into_iter()
            .chain(wanted)
            .filter(|name| !side.account.can_call(name))
            .collect();
        if missing.is_empty() {
            return check.pass("replication is set up by RDS's procedures", format!("Account {who}."));
        }
        let mend =
            missing.iter().map(|name| format!("GRANT EXECUTE ON PROCEDURE mysql.{name} TO {};", ours(side))).collect();
        return check.fail("procedures of RDS are missing", format!("{}.", names(&missing)), mend);
    }
    if side.account.may(&["REPLICATION SLAVE ADMIN", "SUPER"]) {
        return check.pass("our account may set up replication", format!("Account {who}."));
    }
    let grant = if side.is_mariadb() { "REPLICATION SLAVE ADMIN" } else { "REPLICATION_SLAVE_ADMIN" };
    let mend = vec![format!("GRANT {grant} ON *.* TO {};", ours(side))];
    check.fail("our account may not set up replication", format!("{who} lacks {grant}."), mend)
}

/// Both sides are fenced: the target until the switch, the source from it on.
fn fence(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "fence-privilege",
        system: &side.system,
        why: "The fence keeps the application out while its last writes are carried over; without it an acknowledged \
              write can be lost.",
    };
    let who = &side.account.name;
    let variables = side.account.may(&["SYSTEM VARIABLES ADMIN", "SUPER", "READ ONLY ADMIN"]);
    let accounts = side.account.may(&["CREATE USER"]);
    if side.is_mariadb() && !side.server.rds {
        let needs = [need("READ_ONLY ADMIN", &["READ ONLY ADMIN", "SUPER"]), need("CREATE USER", &["CREATE USER"])];
        return granted(check, side, &needs, "fence: read_only, and a lock on each account that passes it");
    }
    if !side.server.rds {
        let needs = [need("SYSTEM_VARIABLES_ADMIN", &["SYSTEM VARIABLES ADMIN", "SUPER"])];
        let may_pass = need("CONNECTION_ADMIN", &["CONNECTION ADMIN", "SUPER"]);
        return granted(check, side, &[needs[0].clone(), may_pass], "fence: super_read_only");
    }
    if variables {
        return check.pass("the fence is super_read_only", format!("Account {who}."));
    }
    if accounts {
        return check.pass(
            "the fence is a lock on each account",
            format!("RDS lets nobody set super_read_only. Account {who}."),
        );
    }
    let mend = vec![format!("GRANT CREATE USER ON *.* TO {};", ours(side))];
    let level = format!("{who} may set no variable and lock no account.");
    if side.system == input.target.system {
        return check.warn("the target can't be kept shut until the switch", level, mend);
    }
    check.fail("the fence can't be put up", level, mend)
}

fn end_sessions(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "terminate-privilege",
        system: &side.system,
        why: "A session that is open when the fence goes up holds its locks and its connection to the old side until it \
              is ended.",
    };
    let may =
        side.account.may(&["CONNECTION ADMIN", "SUPER"]) || (side.server.rds && side.account.can_call("rds_kill"));
    if may {
        return check.pass("our account may end the sessions of others", format!("Account {}.", side.account.name));
    }
    let grant = if side.is_mariadb() { "CONNECTION ADMIN" } else { "CONNECTION_ADMIN" };
    let mend = vec![format!("GRANT {grant} ON *.* TO {};", ours(side))];
    let detail = format!("{} lacks {grant}.", side.account.name);
    if side.system == input.target.system && !input.wanted.way_back {
        return check.warn("our account may not end sessions", detail, mend);
    }
    check.fail("our account may not end sessions", detail, mend)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{judged, judged_mariadb, privileges};
    use super::super::{Finding, Level};

    /// The finding when our account on this side has these only.
    fn with(id: &str, side: &'static str, had: &'static [&'static str]) -> Finding {
        judged(id, side, move |input| {
            let survey = if side == "source" { &mut input.source } else { &mut input.target };
            survey.account.privileges = privileges(had);
        })
    }

    #[test]
    fn what_is_lacking_is_granted() {
        let found = with("copy-privilege", "source", &["SELECT", "TRIGGER", "EVENT", "LOCK TABLES"]);
        assert_eq!(
            (found.level, found.mend),
            (Level::Fail, vec!["GRANT SHOW VIEW ON *.* TO 'pointsman'@'%';".to_owned()])
        );
        assert_eq!(with("copy-privilege", "source", &["ALL PRIVILEGES"]).level, Level::Pass);
        let found = with("create-privilege", "target", &["CREATE"]);
        assert!(found.level == Level::Fail && found.mend[0].contains("CREATE USER"));
        assert_eq!(with("create-privilege", "target", &["ALL PRIVILEGES"]).level, Level::Pass);
        let found = with("monitor-privilege", "target", &["PROCESS"]);
        assert_eq!(found.mend, ["GRANT REPLICATION CLIENT ON *.* TO 'pointsman'@'%';"]);
        assert_eq!(with("monitor-privilege", "source", &["PROCESS", "REPLICATION CLIENT"]).level, Level::Pass);
    }

    #[test]
    fn who_follows_sets_up_a_channel() {
        let id = "replication-privilege";
        assert_eq!(with(id, "target", &["REPLICATION SLAVE ADMIN"]).level, Level::Pass);
        assert_eq!(with(id, "target", &[]).mend, ["GRANT REPLICATION_SLAVE_ADMIN ON *.* TO 'pointsman'@'%';"]);
        let no_way_back = judged(id, "source", |input| {
            input.source.account.privileges.clear();
            input.wanted.way_back = false;
        });
        assert_eq!(no_way_back.level, Level::Pass);
        let mariadb = judged_mariadb(id, "target", |input| input.target.account.privileges.clear());
        assert!(mariadb.mend[0].starts_with("GRANT REPLICATION SLAVE ADMIN ON"));
    }

    #[test]
    fn on_rds_it_takes_the_procedures() {
        let rds = |procedures: &'static [&'static str]| {
            judged("replication-privilege", "target", move |input| {
                input.target.server.rds = true;
                input.target.account.privileges = privileges(&["SELECT"]);
                input.target.account.rds_procedures = privileges(procedures);
            })
        };
        let all =
            ["rds_start_replication", "rds_stop_replication", "rds_set_external_source", "rds_reset_external_source"];
        assert_eq!(
            rds(&[
                "rds_start_replication",
                "rds_stop_replication",
                "rds_set_external_source",
                "rds_reset_external_source"
            ])
            .level,
            Level::Pass
        );
        let none = rds(&[]);
        assert_eq!((none.level, none.mend.len()), (Level::Fail, all.len()));
    }

    #[test]
    fn the_fence_goes_up_as_the_server_allows() {
        let id = "fence-privilege";
        assert_eq!(with(id, "source", &["SYSTEM VARIABLES ADMIN", "CONNECTION ADMIN"]).level, Level::Pass);
        let none = with(id, "source", &[]);
        assert_eq!(none.mend, ["GRANT SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN ON *.* TO 'pointsman'@'%';"]);
        let rds = |side: &'static str, had: &'static [&'static str]| {
            judged(id, side, move |input| {
                let survey = if side == "source" { &mut input.source } else { &mut input.target };
                survey.server.rds = true;
                survey.account.privileges = privileges(had);
            })
            .level
        };
        assert_eq!(
            [rds("source", &["CREATE USER"]), rds("source", &[]), rds("target", &[])],
            [Level::Pass, Level::Fail, Level::Warn]
        );
        let mariadb =
            judged_mariadb(id, "source", |input| input.source.account.privileges = privileges(&["CREATE USER"]));
        assert_eq!(mariadb.mend, ["GRANT READ_ONLY ADMIN ON *.* TO 'pointsman'@'%';"]);
    }

    #[test]
    fn sessions_must_be_ended() {
        let id = "terminate-privilege";
        assert_eq!(with(id, "source", &["CONNECTION ADMIN"]).level, Level::Pass);
        assert_eq!(with(id, "source", &[]).level, Level::Fail);
        let rds = judged(id, "target", |input| {
            input.target.server.rds = true;
            input.target.account.privileges.clear();
            input.target.account.rds_procedures = privileges(&["rds_kill"]);
        });
        assert_eq!(rds.level, Level::Pass);
        let never = judged(id, "target", |input| {
            input.target.account.privileges.clear();
            input.wanted.way_back = false;
        });
        assert_eq!(never.level, Level::Warn);
    }
}
