//! Settings that the target was left with, and how a setting is changed.

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use crate::systems::postgres::survey::{MEANING, OwnSetting, Survey, TUNING};
use crate::systems::postgres::{ident, literal};

/// Settings that take effect without a restart.
const RELOADED: &[&str] = &[
    "max_sync_workers_per_subscription",
    "max_slot_wal_keep_size",
    "idle_replication_slot_timeout",
    "wal_sender_timeout",
    "synchronous_standby_names",
    "default_transaction_read_only",
];

/// How a server's setting is changed: on RDS only through its parameter group.
pub(super) fn change(side: &Survey, name: &str, value: &str) -> Vec<String> {
    let reload = RELOADED.contains(&name);
    if side.server.rds {
        let (parameter, value) = if name == "wal_level" { ("rds.logical_replication", "1") } else { (name, value) };
        let apply = if reload { "takes effect by itself" } else { "static: reboot the instance afterwards" };
        return vec![format!("-- RDS parameter group: {parameter} = {value} ({apply})")];
    }
    let then = if reload { "SELECT pg_reload_conf();" } else { "-- restart the server" };
    vec![format!("ALTER SYSTEM SET {name} = {};", setting_value(name, value)), then.to_owned()]
}

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = vec![meaning(input), tuning(input), own_settings(input), libraries(input), connections(input)];
    findings.extend(input.sides().map(read_only));
    findings.extend(input.sides().map(pending));
    findings
}

fn meaning(input: &PreflightInput) -> Finding {
    let (source, target) = (&input.source, &input.target);
    let check = Check {
        id: "settings-meaning",
        system: &target.system,
        why: "The same statement means or does something else under another setting, and the application notices \
              after the switch.",
    };
    let different: Vec<_> = MEANING
        .iter()
        .filter_map(|name| {
            let (ours, theirs) = (source.settings.get(*name)?, target.settings.get(*name)?);
            (ours.value != theirs.value)
                .then(|| (format!("{name} ({} / {})", ours.shown(), theirs.shown()), *name, &ours.value))
        })
        .collect();
    if different.is_empty() {
        return check.pass("statements mean the same on both sides", format!("{} settings compared.", MEANING.len()));
    }
    let mend = different.iter().map(|(_, name, value)| in_database(target, name, value)).collect();
    let detail = format!("Source / target: {}.", names(different.iter().map(|(shown, ..)| shown)));
    check.warn(
        count(different.len(), "setting that changes meaning differs", "settings that change meaning differ"),
        detail,
        mend,
    )
}

/// `ALTER DATABASE ... SET`, which RDS allows too.
pub(super) fn in_database(side: &Survey, name: &str, value: &str) -> String {
    format!("ALTER DATABASE {} SET {} = {};", ident(&side.database.name), ident(name), setting_value(name, value))
}

/// Lists of names are written as lists: quoted as one text they would be one name.
fn setting_value(name: &str, value: &str) -> String {
    const LISTS: &[&str] = &[
        "search_path",
        "temp_tablespaces",
        "shared_preload_libraries",
        "session_preload_libraries",
        "local_preload_libraries",
    ];
    if LISTS.contains(&name) && !value.is_empty() {
        return value.to_owned();
    }
    literal(value).trim_start().to_owned()
}

fn tuning(input: &PreflightInput) -> Finding {
    let (source, target) = (&input.source, &input.target);
    let check = Check {
        id: "settings-tuning",
        system: &target.system,
        why: "A target that was never tuned is slow only when the load arrives: after the switch.",
    };
    let forgotten: Vec<_> = TUNING
        .iter()
        .filter_map(|name| {
            let (ours, theirs) = (source.settings.get(*name)?, target.settings.get(*name)?);
            (!ours.is_default() && theirs.is_default() && ours.value != theirs.value)
                .then(|| (format!("{name} ({} / {})", ours.shown(), theirs.shown()), *name, ours))
        })
        .collect();
    if forgotten.is_empty() {
        return check.pass("no tuned setting was left at its default", format!("{} settings compared.", TUNING.len()));
    }
    let mend = forgotten
        .iter()
        .map(|(_, name, setting)| set_raw(target, name, &setting.value, setting.unit.as_deref()))
        .collect();
    let detail = format!(
        "Tuned on the source, default on the target (source / target): {}.",
        names(forgotten.iter().map(|(shown, ..)| shown))
    );
    check.warn(format!("the target has defaults where the source is tuned ({})", forgotten.len()), detail, mend)
}

/// A number without a unit is in the setting's own unit, as it was read.
fn set_raw(side: &Survey, name: &str, value: &str, unit: Option<&str>) -> String {
    if side.server.rds {
        let unit = unit.map(|unit| format!(", in units of {unit}")).unwrap_or_default();
        return format!("-- RDS parameter group: {name} = {value}{unit} (or what suits the instance class)");
    }
    format!("ALTER SYSTEM SET {name} = {};", literal(value).trim_start())
}

fn own_settings(input: &PreflightInput) -> Finding {
    let (source, target) = (&input.source, &input.target);
    let check = Check {
        id: "settings-of-roles",
        system: &target.system,
        why: "What ALTER DATABASE ... SET and ALTER ROLE ... SET left is not in a dump of a database, so the \
              application loses it.",
    };
    let missing: Vec<&OwnSetting> =
        source.own_settings.iter().filter(|own| !target.own_settings.contains(own)).collect();
    if missing.is_empty() {
        return check.pass(
            "settings of the database and of roles are the same",
            format!("{} compared.", source.own_settings.len()),
        );
    }
    let shown = missing
        .iter()
        .map(|own| format!("{} = {} for {}", own.name, own.value, own.role.as_deref().unwrap_or("every role")));
    let detail = format!("Not on the target: {}.", names(shown));
    let mend = missing.iter().map(|own| carry(target, own)).collect();
    check.warn(
        count(missing.len(), "setting of a database or role is missing", "settings of databases or roles are missing"),
        detail,
        mend,
    )
}

fn carry(target: &Survey, own: &OwnSetting) -> String {
    let value = setting_value(&own.name, &own.value);
    let (name, database) = (ident(&own.name), ident(&target.database.name));
    match (&own.role, own.in_database) {
        (Some(role), true) => format!("ALTER ROLE {} IN DATABASE {database} SET {name} = {value};", ident(role)),
        (Some(role), false) => format!("ALTER ROLE {} SET {name} = {value};", ident(role)),
        (None, true) => format!("ALTER DATABASE {database} SET {name} = {value};"),
        (None, false) => format!("ALTER ROLE ALL SET {name} = {value};"),
    }
}

fn libraries(input: &PreflightInput) -> Finding {
    let (source, target) = (&input.source, &input.target);
    let check = Check {
        id: "preload-libraries",
        system: &target.system,
        why: "An extension that needs its library at start does nothing, or fails, without it.",
    };
    let split = |side: &Survey| -> Vec<String> {
        let text = side.setting("shared_preload_libraries").unwrap_or_default();
        text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    };
    let (wanted, there) = (split(source), split(target));
    let missing: Vec<&String> = wanted.iter().filter(|name| !there.contains(name)).collect();
    if missing.is_empty() {
        return check.pass(
            "no preloaded library is missing",
            format!("The source preloads: {}.", if wanted.is_empty() { "nothing".to_owned() } else { names(&wanted) }),
        );
    }
    let all = there.iter().chain(missing.iter().copied()).map(|name| ident(name)).collect::<Vec<_>>().join(", ");
    let mend = change(target, "shared_preload_libraries", &all);
    check.warn("libraries are not preloaded on the target", format!("Missing: {}.", names(missing)), mend)
}

fn connections(input: &PreflightInput) -> Finding {
    let (source, target) = (&input.source, &input.target);
    let check = Check {
        id: "max-connections",
        system: &target.system,
        why: "After the switch every client connects at once, and those beyond the limit are refused.",
    };
    let (Some(had), Some(has)) = (source.number("max_connections"), target.number("max_connections")) else {
        return check.warn(
            "max_connections can't be read",
            "It is not known whether the target takes all clients.",
            Vec::new(),
        );
    };
    let read = format!(
        "max_connections is {had} on the source and {has} on the target; CONNECTION LIMIT of the databases {} and {}.",
        source.database.connection_limit, target.database.connection_limit
    );
    let limit = target.database.connection_limit;
    if limit >= 0 && (source.database.connection_limit < 0 || limit < source.database.connection_limit) {
        let mend = vec![format!(
            "ALTER DATABASE {} CONNECTION LIMIT {};",
            ident(&target.database.name),
            source.database.connection_limit
        )];
        return check.warn("the target database takes fewer connections", read, mend);
    }
    if has < had {
        return check.warn(
            "the target takes fewer connections",
            read,
            change(target, "max_connections", &had.to_string()),
        );
    }
    check.pass("the target takes as many connections", read)
}

fn read_only(side: &Survey) -> Finding {
    let check = Check {
        id: "read-only-default",
        system: &side.system,
        why: "A database whose sessions begin read-only refuses the application's writes; somebody has put that sign \
              up, perhaps another cutover.",
    };
    let Some(setting) = side.settings.get("default_transaction_read_only") else {
        return check.warn(
            "default_transaction_read_only can't be read",
            "It is not known whether sessions begin read-only.",
            Vec::new(),
        );
    };
    let read = format!("default_transaction_read_only is {} (from: {}).", setting.value, setting.source);
    if setting.value == "off" {
        return check.pass("sessions may write", read);
    }
    let mend = match setting.source.as_str() {
        "database" => {
            vec![format!("ALTER DATABASE {} RESET default_transaction_read_only;", ident(&side.database.name))]
        }
        "user" => vec![format!("ALTER ROLE {} RESET default_transaction_read_only;", ident(&side.role.name))],
        _ => change(side, "default_transaction_read_only", "off"),
    };
    check.fail("sessions begin read-only", read, mend)
}

fn pending(side: &Survey) -> Finding {
    let check = Check {
        id: "pending-restart",
        system: &side.system,
        why: "A setting that is configured but not in force looks right in the file and in the parameter group.",
    };
    let waiting: Vec<&String> =
        side.settings.iter().filter(|(_, setting)| setting.pending_restart).map(|(name, _)| name).collect();
    if waiting.is_empty() {
        return check.pass("no setting waits for a restart", "Nothing is pending.");
    }
    let how = if side.server.rds { "-- reboot the instance" } else { "-- restart the server" };
    check.warn(
        "settings wait for a restart",
        format!("Configured, not in force: {}.", names(waiting)),
        vec![how.to_owned()],
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{find, input, judged, set};
    use super::*;

    #[test]
    fn a_setting_is_changed_as_the_server_allows() {
        let mut side = input().source;
        assert_eq!(
            change(&side, "wal_level", "logical"),
            ["ALTER SYSTEM SET wal_level = 'logical';", "-- restart the server"]
        );
        assert_eq!(change(&side, "wal_sender_timeout", "60s")[1], "SELECT pg_reload_conf();");
        side.server.rds = true;
        let mend = change(&side, "wal_level", "logical");
        assert_eq!(
            mend,
            ["-- RDS parameter group: rds.logical_replication = 1 (static: reboot the instance afterwards)"]
        );
    }

    #[test]
    fn a_setting_that_changes_meaning_is_named_with_both_values() {
        let found = judged("settings-meaning", "target", |input| set(&mut input.target, "IntervalStyle", "iso_8601"));
        assert_eq!(found.level, Level::Warn);
        assert!(found.detail.contains("IntervalStyle (postgres / iso_8601)"), "{}", found.detail);
        assert_eq!(found.mend, [r#"ALTER DATABASE "shop" SET "IntervalStyle" = 'postgres';"#]);
        assert_eq!(judged("settings-meaning", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn search_path_is_carried_as_a_list() {
        let found = judged("settings-meaning", "target", |input| {
            set(&mut input.source, "search_path", "app, public");
            set(&mut input.target, "search_path", "public");
        });
        assert_eq!(found.mend, [r#"ALTER DATABASE "shop" SET "search_path" = app, public;"#]);
    }

    #[test]
    fn defaults_on_a_target_of_a_tuned_source_are_named() {
        let found = judged("settings-tuning", "target", |input| {
            let setting = input.source.settings.get_mut("work_mem").unwrap();
            (setting.value, setting.source) = ("65536".into(), "configuration file".into());
        });
        assert_eq!(found.level, Level::Warn);
        assert_eq!(found.mend, ["ALTER SYSTEM SET work_mem = '65536';"]);
        assert_eq!(judged("settings-tuning", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn settings_of_roles_and_databases_are_carried_word_for_word() {
        let own = |role: Option<&str>, in_database| OwnSetting {
            role: role.map(str::to_owned),
            in_database,
            name: "statement_timeout".into(),
            value: "5s".into(),
        };
        let found = judged("settings-of-roles", "target", |input| {
            input.source.own_settings = vec![own(Some("app"), false), own(Some("app"), true), own(None, true)];
        });
        assert_eq!(found.level, Level::Warn);
        assert_eq!(found.mend[0], r#"ALTER ROLE "app" SET "statement_timeout" = '5s';"#);
        assert_eq!(found.mend[1], r#"ALTER ROLE "app" IN DATABASE "shop" SET "statement_timeout" = '5s';"#);
        assert_eq!(found.mend[2], r#"ALTER DATABASE "shop" SET "statement_timeout" = '5s';"#);
        assert_eq!(judged("settings-of-roles", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn preloaded_libraries_are_added_to_those_there() {
        let found = judged("preload-libraries", "target", |input| {
            set(&mut input.source, "shared_preload_libraries", "pg_stat_statements, auto_explain");
            set(&mut input.target, "shared_preload_libraries", "auto_explain");
        });
        assert_eq!(found.level, Level::Warn);
        assert_eq!(
            found.mend[0],
            r#"ALTER SYSTEM SET shared_preload_libraries = "auto_explain", "pg_stat_statements";"#
        );
        assert_eq!(judged("preload-libraries", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn fewer_connections_on_the_target_warn() {
        let id = "max-connections";
        assert_eq!(judged(id, "target", |_| ()).level, Level::Pass);
        assert_eq!(judged(id, "target", |input| set(&mut input.target, "max_connections", "20")).level, Level::Warn);
        let limited = judged(id, "target", |input| input.target.database.connection_limit = 10);
        assert_eq!(limited.mend, [r#"ALTER DATABASE "shop" CONNECTION LIMIT -1;"#]);
        assert_eq!(
            judged(id, "target", |input| drop(input.target.settings.remove("max_connections"))).level,
            Level::Warn
        );
    }

    #[test]
    fn a_read_only_sign_is_taken_down_where_it_hangs() {
        let with = |source: &'static str| {
            judged("read-only-default", "target", move |input| {
                set(&mut input.target, "default_transaction_read_only", "on");
                input.target.settings.get_mut("default_transaction_read_only").unwrap().source = source.into();
            })
        };
        assert_eq!(with("database").level, Level::Fail);
        assert!(with("database").mend[0].starts_with("ALTER DATABASE"));
        assert!(with("user").mend[0].starts_with("ALTER ROLE"));
        assert!(with("configuration file").mend[0].starts_with("ALTER SYSTEM"));
        assert_eq!(judged("read-only-default", "source", |_| ()).level, Level::Pass);
    }

    #[test]
    fn a_setting_that_waits_for_a_restart_is_named() {
        let mut input = input();
        input.target.settings.get_mut("wal_level").unwrap().pending_restart = true;
        let findings = super::super::judge(&input);
        assert_eq!(find(&findings, "pending-restart", "target").level, Level::Warn);
        assert_eq!(find(&findings, "pending-restart", "source").level, Level::Pass);
    }
}
