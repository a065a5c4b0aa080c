//! What runs inside the servers: triggers, cascades, events, and whose privileges they have.

use std::collections::BTreeSet;

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use super::mend::change;
use crate::systems::mysql::survey::{Program, ProgramKind, Survey};

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![triggers(input), cascades(input), events(input), definers(input), creation(input)]
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
