//! What our role may do on each side: publish, own, fence, end sessions, read and set sequences.

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use crate::runbook::model::Fence;
use crate::systems::postgres::ident;
use crate::systems::postgres::survey::{LoginRole, Survey};

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = Vec::new();
    for side in input.sides() {
        findings.extend([replicate(side), create(side), own(side, input), origins(side), monitor(side)]);
    }
    findings.extend([fence(input), end_sessions(input), sequences(input)]);
    findings
}

fn who(side: &Survey) -> String {
    ident(&side.role.name)
}

fn replicate(side: &Survey) -> Finding {
    let check = Check {
        id: "replication-privilege",
        system: &side.system,
        why: "Making, advancing and dropping a slot takes the right to replicate.",
    };
    let role = &side.role;
    if role.superuser || role.replication || role.is_member("rds_replication") {
        return check.pass("our role may replicate", format!("Role {}.", role.name));
    }
    let mend = if side.server.rds {
        format!("GRANT rds_replication TO {};", who(side))
    } else {
        format!("ALTER ROLE {} REPLICATION;", who(side))
    };
    let detail = format!("Role {} is neither superuser nor REPLICATION nor a member of rds_replication.", role.name);
    check.fail("our role may not replicate", detail, vec![mend])
}

fn create(side: &Survey) -> Finding {
    let check = Check {
        id: "create-privilege",
        system: &side.system,
        why: "The publication and our schema `pointsman` with the barrier are made in this database.",
    };
    if side.role.creates_in_database {
        return check.pass("our role may create in the database", format!("Role {} has CREATE.", side.role.name));
    }
    let mend = vec![format!("GRANT CREATE ON DATABASE {} TO {};", ident(&side.database.name), who(side))];
    check.fail("our role may not create in the database", format!("Role {} has no CREATE on it.", side.role.name), mend)
}

fn own(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "table-ownership",
        system: &side.system,
        why: "Only an owner adds a table to a publication, and the apply worker acts as the owner of each table.",
    };
    let others: Vec<_> = side.tables.iter().filter(|table| !table.ours && input.carries(&table.schema)).collect();
    if others.is_empty() {
        return check.pass("our role may act as owner of every table", format!("Role {}.", side.role.name));
    }
    let mut owners: Vec<&str> = others.iter().map(|table| table.owner.as_str()).collect();
    owners.sort_unstable();
    owners.dedup();
    let mend = owners.iter().map(|owner| format!("GRANT {} TO {};", ident(owner), who(side))).collect();
    let detail = format!("Not ours: {}.", names(others.iter().map(|table| table.full_name())));
    check.fail(count(others.len(), "table belongs to another role", "tables belong to other roles"), detail, mend)
}

fn origins(side: &Survey) -> Finding {
    let check = Check {
        id: "origin-privilege",
        system: &side.system,
        why: "It is the quick proof that what was applied is on disk; without it the slower one is used.",
    };
    if side.role.reads_origins {
        return check.pass("our role may read replication origins", "pg_replication_origin_progress can be called.");
    }
    let grant =
        format!("GRANT EXECUTE ON FUNCTION pg_catalog.pg_replication_origin_progress(text, boolean) TO {};", who(side));
    let detail =
        "pg_replication_origin_progress may not be called; the slot's confirmed_flush_lsn is 0.2 to 0.6 s late.";
    check.warn("our role may not read replication origins", detail, vec![grant])
}

fn monitor(side: &Survey) -> Finding {
    let check = Check {
        id: "monitor-privilege",
        system: &side.system,
        why: "Who is connected, from where, and how long their transactions are open decides when a window may begin.",
    };
    if side.role.sees_sessions {
        return check.pass("our role sees every session", format!("Role {}.", side.role.name));
    }
    let detail = format!("Role {} sees only its own sessions in full.", side.role.name);
    check.warn(
        "our role does not see other roles' sessions",
        detail,
        vec![format!("GRANT pg_monitor TO {};", who(side))],
    )
}

/// Login roles that the fence keeps out. The roles that Amazon keeps for itself can't be touched and don't write.
pub(super) fn fenced(input: &PreflightInput) -> impl Iterator<Item = &LoginRole> {
    let (ours, exempt) = (&input.source.role.name, &input.wanted.exempt_roles);
    let rds = input.source.server.rds;
    let amazons = move |login: &LoginRole| rds && login.name.starts_with("rds");
    let left_in = move |login: &LoginRole| login.superuser || login.name == *ours || exempt.contains(&login.name);
    input.source.logins.iter().filter(move |login| !left_in(login) && !amazons(login))
}

/// Whether the fence is the database's connection limit.
fn by_database(input: &PreflightInput) -> bool {
    match input.wanted.fence {
        Fence::Database | Fence::ReadOnly => true,
        Fence::Roles | Fence::Accounts => false,
        Fence::Auto => input.source.role.superuser,
    }
}

fn fence(input: &PreflightInput) -> Finding {
    let side = &input.source;
    let check = Check {
        id: "fence-privilege",
        system: &side.system,
        why: "The fence keeps the application out while its last writes are carried over; without it an acknowledged \
              write can be lost.",
    };
    let kept: Vec<&LoginRole> = fenced(input).collect();
    let named = names(kept.iter().map(|login| &login.name));
    if by_database(input) {
        if side.role.superuser {
            return check.pass("the fence is the database's connection limit", format!("It keeps out: {named}."));
        }
        let mend = vec![
            "-- use `fence: roles`, or give a superuser's url: a connection limit of 0 would keep our own role out too"
                .to_owned(),
        ];
        return check.fail(
            "our role would fence itself out",
            format!("Role {} is no superuser.", side.role.name),
            mend,
        );
    }
    let locked: Vec<&&LoginRole> = kept.iter().filter(|login| !login.we_may_alter).collect();
    if locked.is_empty() {
        return check.pass("the fence is NOLOGIN for each role", format!("It keeps out: {named}."));
    }
    let mut mend = vec![format!("ALTER ROLE {} CREATEROLE;", who(side))];
    if side.major() >= 16 {
        mend.extend(
            locked.iter().map(|login| format!("GRANT {} TO {} WITH ADMIN OPTION;", ident(&login.name), who(side))),
        );
    }
    mend.push("-- or name the roles that never write in the system's `exempt-roles`".to_owned());
    let detail = format!("Role {} may not alter: {}.", side.role.name, names(locked.iter().map(|login| &login.name)));
    check.fail("the fence can't be put up for every role", detail, mend)
}

fn end_sessions(input: &PreflightInput) -> Finding {
    let side = &input.source;
    let check = Check {
        id: "terminate-privilege",
        system: &side.system,
        why: "NOLOGIN and a connection limit stop new sessions only: those that are open have to be ended.",
    };
    let out_of_reach: Vec<&LoginRole> = fenced(input).filter(|login| !login.we_may_end).collect();
    if out_of_reach.is_empty() {
        return check.pass("our role may end the sessions of the application", format!("Role {}.", side.role.name));
    }
    let detail = format!(
        "Role {} may not end sessions of: {}.",
        side.role.name,
        names(out_of_reach.iter().map(|login| &login.name))
    );
    check.fail("our role may not end sessions", detail, vec![format!("GRANT pg_signal_backend TO {};", who(side))])
}

fn sequences(input: &PreflightInput) -> Finding {
    let side = &input.source;
    let check = Check {
        id: "sequence-privilege",
        system: &side.system,
        why: "Sequences are not replicated: their values are read here and set there, and the other way round when \
              going back.",
    };
    let locked: Vec<String> = side
        .sequences
        .iter()
        .filter(|sequence| input.carries(&sequence.schema) && !(sequence.readable && sequence.settable))
        .map(|sequence| format!("{}.{}", ident(&sequence.schema), ident(&sequence.name)))
        .collect();
    if locked.is_empty() {
        return check.pass("our role may read and set every sequence", format!("{} sequences.", side.sequences.len()));
    }
    let mend = locked.iter().map(|name| format!("GRANT SELECT, UPDATE ON SEQUENCE {name} TO {};", who(side))).collect();
    let detail = format!("Not readable or not settable: {}.", names(&locked));
    check.fail(count(locked.len(), "sequence is out of reach", "sequences are out of reach"), detail, mend)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{judged, login, sequence, table};
    use super::super::{Level, PreflightInput};
    use super::*;
    use crate::systems::postgres::survey::{Sequence, Table};

    /// An ordinary role of RDS on the source.
    fn rds(input: &mut PreflightInput) {
        let role = &mut input.source.role;
        (role.superuser, role.replication) = (false, false);
        role.member_of = vec!["rds_superuser".into(), "rds_replication".into()];
        input.source.server.rds = true;
        input.source.logins = vec![login("app"), login("pointsman"), login("rdsadmin")];
        input.source.logins[2].we_may_alter = false;
    }

    #[test]
    fn a_superuser_and_an_rds_role_both_pass() {
        for id in [
            "replication-privilege",
            "create-privilege",
            "table-ownership",
            "fence-privilege",
            "terminate-privilege",
            "sequence-privilege",
        ] {
            assert_eq!(judged(id, "source", |_| ()).level, Level::Pass, "{id}");
            assert_eq!(judged(id, "source", rds).level, Level::Pass, "{id} on RDS");
        }
    }

    #[test]
    fn the_right_to_replicate_is_granted_the_way_of_the_server() {
        let plain =
            |input: &mut PreflightInput| (input.target.role.superuser, input.target.role.replication) = (false, false);
        let here = judged("replication-privilege", "target", plain);
        assert_eq!((here.level, here.mend[0].as_str()), (Level::Fail, r#"ALTER ROLE "pointsman" REPLICATION;"#));
        let there = judged("replication-privilege", "target", |input| {
            plain(input);
            input.target.server.rds = true;
        });
        assert_eq!(there.mend, [r#"GRANT rds_replication TO "pointsman";"#]);
    }

    #[test]
    fn what_our_role_may_not_is_granted_by_name() {
        let create = judged("create-privilege", "source", |input| input.source.role.creates_in_database = false);
        assert_eq!(
            (create.level, create.mend[0].as_str()),
            (Level::Fail, r#"GRANT CREATE ON DATABASE "shop" TO "pointsman";"#)
        );
        let own = judged("table-ownership", "source", |input| {
            input.source.tables = vec![foreign("a"), foreign("b")];
        });
        assert_eq!(
            (own.level, own.mend.as_slice()),
            (Level::Fail, [r#"GRANT "owner" TO "pointsman";"#.to_owned()].as_slice())
        );
        let origins = judged("origin-privilege", "target", |input| input.target.role.reads_origins = false);
        assert_eq!(origins.level, Level::Warn);
        let monitor = judged("monitor-privilege", "source", |input| input.source.role.sees_sessions = false);
        assert_eq!((monitor.level, monitor.mend[0].as_str()), (Level::Warn, r#"GRANT pg_monitor TO "pointsman";"#));
        let sequences = judged("sequence-privilege", "source", |input| {
            input.source.sequences = vec![Sequence { readable: false, ..sequence("s") }];
        });
        assert_eq!(
            (sequences.level, sequences.mend[0].as_str()),
            (Level::Fail, r#"GRANT SELECT, UPDATE ON SEQUENCE "public"."s" TO "pointsman";"#)
        );
    }

    /// A table of another role.
    fn foreign(name: &str) -> Table {
        Table { ours: false, owner: "owner".into(), ..table(name) }
    }

    #[test]
    fn tables_of_schemas_that_stay_do_not_count() {
        let own = judged("table-ownership", "source", |input| {
            input.source.tables = vec![foreign("a")];
            input.wanted.schemas = vec!["other".into()];
        });
        assert_eq!(own.level, Level::Pass);
    }

    #[test]
    fn a_role_that_cannot_be_fenced_is_named() {
        let locked = |version| {
            judged("fence-privilege", "source", move |input| {
                rds(input);
                input.source.server.version = version;
                input.source.logins[0].we_may_alter = false;
            })
        };
        let found = locked(160_004);
        assert_eq!(found.level, Level::Fail);
        assert!(found.detail.contains("app") && !found.detail.contains("rdsadmin"), "{}", found.detail);
        assert!(found.mend.contains(&r#"GRANT "app" TO "pointsman" WITH ADMIN OPTION;"#.to_owned()));
        assert!(!locked(150_004).mend.iter().any(|line| line.contains("ADMIN")));
    }

    #[test]
    fn exempt_roles_need_not_be_fenced() {
        let found = judged("fence-privilege", "source", |input| {
            rds(input);
            input.source.logins[0].we_may_alter = false;
            input.wanted.exempt_roles = vec!["app".into()];
        });
        assert_eq!(found.level, Level::Pass);
    }

    #[test]
    fn a_connection_limit_would_keep_our_own_role_out() {
        let found = judged("fence-privilege", "source", |input| {
            rds(input);
            input.wanted.fence = Fence::Database;
        });
        assert_eq!(found.level, Level::Fail);
    }

    #[test]
    fn sessions_that_cannot_be_ended_are_named() {
        let found = judged("terminate-privilege", "source", |input| input.source.logins[0].we_may_end = false);
        assert_eq!((found.level, found.mend[0].as_str()), (Level::Fail, r#"GRANT pg_signal_backend TO "pointsman";"#));
    }
}
