//! What runs inside the servers: triggers, cascades, events, and whose privileges they have.

use std::collections::BTreeSet;

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use super::mend::change;
use crate::systems::mysql::survey::{Account, Program, ProgramKind, Survey};

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![triggers(input), cascades(input), events(input), definers(input), definer_privilege(input), creation(input)]
}

fn carried(input: &PreflightInput, kind: ProgramKind) -> Vec<&Program> {
    input.source.programs.iter().filter(|one| one.kind == kind && input.carries(&one.schema)).collect()
}

fn triggers(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "triggers",
        system: &input.target.system,
        why: "Rows that a trigger wrote are carried as rows; if the other side fired its trigger for carried rows too, \
              they would be there twice.",
    };
    let found = carried(input, ProgramKind::Trigger);
    if found.is_empty() {
        return check.pass("there is no trigger", "Nothing fires.");
    }
    let detail = format!("{}.", names(found.iter().map(|one| one.full_name())));
    for side in input.sides() {
        let fires = side.variable("slave_run_triggers_for_rbr").unwrap_or("NO");
        if !fires.eq_ignore_ascii_case("no") {
            let read = format!("slave_run_triggers_for_rbr of {} is {fires}. {detail}", side.system);
            return check.fail(
                "triggers fire for carried rows",
                read,
                change(side, "slave_run_triggers_for_rbr", "NO"),
            );
        }
    }
    check.pass("triggers do not fire for carried rows", format!("Their rows are carried instead. {detail}"))
}

fn cascades(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "foreign-keys",
        system: &input.source.system,
        why: "Rows that a cascade changes are not in the log (until the server logs them itself, from 9.6 on): each side \
              repeats the cascade, and it needs the same key and the same rows for that. No trigger fires for them either.",
    };
    let found: Vec<_> = input.source.foreign_keys.iter().filter(|key| input.carries(&key.schema)).collect();
    if found.is_empty() {
        return check.pass("there is no foreign key", "Nothing cascades.");
    }
    let outside: Vec<String> = found
        .iter()
        .filter(|key| !input.carries(&key.to_schema))
        .map(|key| format!("{}.{} refers to {}.{}", key.schema, key.table, key.to_schema, key.to_table))
        .collect();
    if !outside.is_empty() {
        let mend = vec!["-- carry those schemas too: add them to `schemas` of `replicate`".to_owned()];
        return check.fail("foreign keys lead to tables that stay behind", format!("{}.", names(&outside)), mend);
    }
    let acting: Vec<String> = found
        .iter()
        .filter(|key| key.cascades())
        .map(|key| format!("{}.{} ({})", key.schema, key.table, key.name))
        .collect();
    if acting.is_empty() {
        return check.pass("no foreign key changes other rows", format!("{} foreign keys restrict only.", found.len()));
    }
    let native = |side: &Survey| {
        side.variable("innodb_native_foreign_keys").is_none_or(|value| value.eq_ignore_ascii_case("on"))
    };
    let detail = format!("{}.", names(&acting));
    if native(&input.source) != native(&input.target) {
        let mend = vec![
            "-- rehearse with both versions and `verify` afterwards: one side logs what cascades change, the other repeats it"
                .to_owned(),
        ];
        return check.warn("the sides log cascades differently", detail, mend);
    }
    check.pass("cascades are repeated by the other side", detail)
}

fn events(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "events",
        system: &input.source.system,
        why: "An event writes without a client: on the source it would write past the fence, on the target before its \
              time; so it must run on the side that takes the writes, and only there.",
    };
    let enabled = |one: &&Program| one.about.eq_ignore_ascii_case("enabled");
    let found: Vec<&Program> = carried(input, ProgramKind::Event).into_iter().filter(enabled).collect();
    let early: Vec<&Program> =
        input.target.programs.iter().filter(|one| one.kind == ProgramKind::Event && enabled(one)).collect();
    if !early.is_empty() && scheduler_runs(&input.target) {
        let mend = change(&input.target, "event_scheduler", "OFF");
        let detail = format!("On the target: {}.", names(early.iter().map(|one| one.full_name())));
        return check.fail("events run on the target already", detail, mend);
    }
    if found.is_empty() {
        return check.pass("there is no event", "Nothing runs by itself.");
    }
    let detail = format!("{}.", names(found.iter().map(|one| one.full_name())));
    if scheduler_runs(&input.source) {
        return check.pass(
            count(found.len(), "event moves with the writes", "events move with the writes"),
            format!("{detail} The copy switches them off on the side that follows, `promote` on where writes go."),
        );
    }
    check.pass("events do not run", format!("event_scheduler is off. {detail}"))
}

fn scheduler_runs(side: &Survey) -> bool {
    side.is_on("event_scheduler")
}

fn definers(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "definers",
        system: &input.target.system,
        why: "A view, routine, trigger or event with the privileges of an account that is not there fails when it is used, \
              on the side that takes the writes.",
    };
    let needed: BTreeSet<String> = input
        .source
        .programs
        .iter()
        .filter(|one| input.carries(&one.schema) && (one.as_definer || one.kind == ProgramKind::Event))
        .map(|one| one.definer.clone())
        .collect();
    if needed.is_empty() {
        return check.pass("nothing has somebody else's privileges", "There is no definer.");
    }
    let Some(accounts) = &input.target.accounts else {
        let mend = vec![format!("GRANT SELECT ON mysql.* TO {};", super::mend::ours(&input.target))];
        return check.warn("it is not known whether the definers are there", format!("{}.", names(&needed)), mend);
    };
    // One that is carried must not be made beforehand: it would be left without its password.
    let there = |definer: &String| {
        accounts.iter().any(|account| account.name() == *definer) || super::accounts::is_carried(input, definer)
    };
    let missing: Vec<&String> = needed.iter().filter(|definer| !there(definer)).collect();
    if missing.is_empty() {
        return check.pass("every definer is on the target", format!("{}.", names(&needed)));
    }
    let mend = missing.iter().map(|definer| made(definer)).collect();
    check.fail("definers are missing on the target", format!("{}.", names(missing)), mend)
}

/// Everything that is loaded names its definer, whether or not it has that account's privileges.
pub(super) fn definer_privilege(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "definer-privilege",
        system: &side.system,
        why: "Only an account with a privilege for it may load what somebody else defined, and only one with SYSTEM_USER \
              what an administrator did: the copy would end in the middle.",
    };
    let definers = |one: &&Program| input.carries(&one.schema) && one.definer != side.account.name;
    let needed: BTreeSet<&str> =
        input.source.programs.iter().filter(definers).map(|one| one.definer.as_str()).collect();
    if needed.is_empty() {
        return check.pass("nothing was defined by somebody else", "There is no definer but our account.");
    }
    if !side.account.may(&["SUPER", "SET USER", "SET USER ID", "SET ANY DEFINER"]) {
        let detail = format!("{} lacks it; defined by: {}.", side.account.name, names(&needed));
        return check.fail("our account can't load what others defined", detail, may_define(side));
    }
    let administrators: Vec<&Account> = side
        .accounts
        .iter()
        .flatten()
        .filter(|account| account.is_administrator() && needed.contains(account.name().as_str()))
        .collect();
    if administrators.is_empty() || side.is_mariadb() || side.account.may(&["SYSTEM USER"]) {
        return check.pass("our account can load what others defined", format!("{}.", names(&needed)));
    }
    let detail = format!("{}.", names(administrators.iter().map(|account| account.name())));
    check.fail("our account can't load what administrators defined", detail, as_administrators(side, &administrators))
}

fn may_define(side: &Survey) -> Vec<String> {
    let privilege = match () {
        () if side.is_mariadb() => "SET USER",
        () if side.server.version.from(8, 2, 0) => "SET_ANY_DEFINER",
        () => "SET_USER_ID",
    };
    let mut mend = vec![format!("GRANT {privilege} ON *.* TO {};", super::mend::ours(side))];
    if side.server.rds {
        mend.push(
            "-- where RDS's master user has not got it (rds_superuser_role does from 8.0.36 on): make these programs again on \
             the source, with our account's name on the target as DEFINER"
                .to_owned(),
        );
    }
    mend
}

/// RDS gives SYSTEM_USER to nobody, so there it is the definer that must not have it.
fn as_administrators(side: &Survey, administrators: &[&Account]) -> Vec<String> {
    if !side.server.rds {
        return vec![format!("GRANT SYSTEM_USER ON *.* TO {};", super::mend::ours(side))];
    }
    let revoke = |account: &&Account| format!("REVOKE SYSTEM_USER ON *.* FROM {};", account.sql_name());
    administrators.iter().map(revoke).collect()
}

/// An account that nobody can log in as until somebody gives it a password.
fn made(name: &str) -> String {
    let (user, host) = name.rsplit_once('@').unwrap_or((name, "%"));
    let account = format!("{}@{}", crate::systems::mysql::literal(user), crate::systems::mysql::literal(host));
    format!("CREATE USER {account} ACCOUNT LOCK; -- and its grants: SHOW GRANTS FOR {account} on the source")
}

fn creation(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "routine-creation",
        system: &side.system,
        why: "With a binary log, a server lets only a SUPER account make functions and triggers unless it is told to \
              trust their makers.",
    };
    let found: Vec<&Program> =
        [ProgramKind::Trigger, ProgramKind::Routine].into_iter().flat_map(|kind| carried(input, kind)).collect();
    if found.is_empty() {
        return check.pass("there is no routine and no trigger", "Nothing has to be made.");
    }
    let trusts = side.is_on("log_bin_trust_function_creators");
    let read = format!(
        "log_bin_trust_function_creators is {}; {} to make.",
        side.variable("log_bin_trust_function_creators").unwrap_or("unknown"),
        count(found.len(), "routine or trigger", "routines and triggers")
    );
    if trusts || side.account.may(&["SUPER"]) || !side.is_on("log_bin") {
        return check.pass("functions and triggers can be made on the target", read);
    }
    check.fail(
        "functions and triggers can't be made on the target",
        read,
        change(side, "log_bin_trust_function_creators", "ON"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{account, judged, judged_mariadb, set};
    use super::super::{Finding, Level};
    use super::*;
    use crate::systems::mysql::survey::ForeignKey;

    fn program(kind: ProgramKind) -> Program {
        Program {
            kind,
            schema: "shop".into(),
            name: "p".into(),
            definer: "app@%".into(),
            as_definer: true,
            about: "ENABLED".into(),
        }
    }

    fn with(id: &str, system: &str, kind: ProgramKind) -> Finding {
        judged(id, system, move |input| input.source.programs = vec![program(kind)])
    }

    #[test]
    fn triggers_must_not_fire_for_carried_rows() {
        assert_eq!(with("triggers", "target", ProgramKind::Trigger).level, Level::Pass);
        let fires = judged_mariadb("triggers", "target", |input| {
            input.source.programs = vec![program(ProgramKind::Trigger)];
            set(&mut input.target, "slave_run_triggers_for_rbr", "YES");
        });
        assert_eq!((fires.level, fires.mend[0].as_str()), (Level::Fail, "SET GLOBAL slave_run_triggers_for_rbr = NO;"));
        assert_eq!(judged("triggers", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn cascades_are_repeated_unless_the_sides_log_them_differently() {
        let with = |rule: &'static str, to: &'static str, logs: bool| {
            judged("foreign-keys", "source", move |input| {
                let key = ForeignKey {
                    schema: "shop".into(),
                    to_schema: to.into(),
                    on_delete: rule.into(),
                    ..ForeignKey::default()
                };
                input.source.foreign_keys = vec![key];
                input.wanted.schemas = vec!["shop".into()];
                for side in [&mut input.source, &mut input.target] {
                    side.variables.remove("innodb_native_foreign_keys");
                }
                if logs {
                    set(&mut input.target, "innodb_native_foreign_keys", "OFF");
                }
            })
            .level
        };
        assert_eq!(with("CASCADE", "shop", false), Level::Pass);
        assert_eq!(with("CASCADE", "shop", true), Level::Warn);
        assert_eq!(with("RESTRICT", "shop", true), Level::Pass);
        assert_eq!(with("RESTRICT", "other", false), Level::Fail);
        assert_eq!(judged("foreign-keys", "source", |_| ()).level, Level::Pass);
    }

    #[test]
    fn events_run_on_one_side_only() {
        let with = |source: &'static str, target: &'static str, early| {
            judged("events", "source", move |input| {
                input.source.programs = vec![program(ProgramKind::Event)];
                if early {
                    input.target.programs = vec![program(ProgramKind::Event)];
                }
                set(&mut input.source, "event_scheduler", source);
                set(&mut input.target, "event_scheduler", target);
            })
        };
        assert!(with("ON", "ON", false).title.ends_with("moves with the writes"));
        assert_eq!(with("OFF", "OFF", true).level, Level::Pass);
        let early = with("ON", "ON", true);
        assert_eq!((early.level, early.mend[0].as_str()), (Level::Fail, "SET PERSIST event_scheduler = OFF;"));
        assert_eq!(judged("events", "source", |_| ()).level, Level::Pass);
    }

    #[test]
    fn definers_must_be_on_the_target() {
        assert_eq!(with("definers", "target", ProgramKind::View).level, Level::Pass);
        let missing = judged("definers", "target", |input| {
            input.source.programs = vec![Program { definer: "old dba@10.%".into(), ..program(ProgramKind::View) }];
        });
        assert_eq!(missing.level, Level::Fail);
        assert!(missing.mend[0].starts_with("CREATE USER 'old dba'@'10.%' ACCOUNT LOCK;"), "{:?}", missing.mend);
        let carried = judged("definers", "target", |input| {
            input.source.programs = vec![Program { definer: "shop@%".into(), ..program(ProgramKind::Event) }];
            input.source.accounts = Some(vec![account("shop")]);
        });
        assert_eq!(carried.level, Level::Pass, "an account that is carried is there in time");
        let invoker = judged("definers", "target", |input| {
            input.source.programs =
                vec![Program { definer: "x@%".into(), as_definer: false, ..program(ProgramKind::Routine) }];
        });
        assert_eq!(invoker.level, Level::Pass);
        let hidden = judged("definers", "target", |input| {
            input.source.programs = vec![program(ProgramKind::View)];
            input.target.accounts = None;
        });
        assert_eq!(hidden.level, Level::Warn);
        assert_eq!(account("app").name(), "app@%");
    }

    #[test]
    fn what_others_defined_needs_a_privilege_to_load() {
        let with = |own: &'static [&'static str], of_definer: &'static str, rds| {
            judged("definer-privilege", "target", move |input| {
                input.source.programs = vec![program(ProgramKind::View)];
                input.target.server.rds = rds;
                input.target.account.privileges = own.iter().map(|&name| name.to_owned()).collect();
                input.target.accounts = Some(vec![Account { privileges: vec![of_definer.into()], ..account("app") }]);
            })
        };
        assert_eq!(with(&["ALL PRIVILEGES"], "SYSTEM USER", false).level, Level::Pass);
        assert_eq!(with(&["SET USER ID"], "", true).level, Level::Pass);
        let none = with(&["CREATE"], "", true);
        assert_eq!((none.level, none.mend.len()), (Level::Fail, 2));
        assert_eq!(none.mend[0], "GRANT SET_ANY_DEFINER ON *.* TO 'pointsman'@'%';");
        let administrator = with(&["SET ANY DEFINER"], "SYSTEM USER", false);
        assert_eq!(administrator.mend, ["GRANT SYSTEM_USER ON *.* TO 'pointsman'@'%';"]);
        let on_rds = with(&["SET ANY DEFINER"], "SYSTEM USER", true);
        assert_eq!(on_rds.mend, ["REVOKE SYSTEM_USER ON *.* FROM 'app'@'%';"]);
        let mariadb = judged_mariadb("definer-privilege", "target", |input| {
            input.source.programs = vec![program(ProgramKind::Routine)];
            input.target.account.privileges = vec!["CREATE".into()];
        });
        assert_eq!(mariadb.mend, ["GRANT SET USER ON *.* TO 'pointsman'@'%';"]);
        assert_eq!(judged("definer-privilege", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn functions_need_super_or_trust() {
        let with = |trust: &'static str, privilege: &'static str| {
            judged("routine-creation", "target", move |input| {
                input.source.programs = vec![program(ProgramKind::Trigger)];
                input.target.account.privileges = vec![privilege.into()];
                set(&mut input.target, "log_bin_trust_function_creators", trust);
            })
            .level
        };
        assert_eq!(
            [with("OFF", "SUPER"), with("ON", "CREATE"), with("OFF", "CREATE")],
            [Level::Pass, Level::Pass, Level::Fail]
        );
        assert_eq!(judged("routine-creation", "target", |_| ()).level, Level::Pass);
    }
}
