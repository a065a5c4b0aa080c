//! Roles: which must be on the target, and which pass the fence.

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use crate::systems::postgres::ident;
use crate::systems::postgres::survey::LoginRole;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![missing(input), passwords(input), limits(input), superusers(input), own_sessions(input), exempt(input)]
}

/// Login roles that the application may use: not ours, not Amazon's, not superusers of the server.
fn applications(input: &PreflightInput) -> impl Iterator<Item = &LoginRole> {
    super::privileges::fenced(input).filter(|login| login.writes || login.sessions > 0)
}

fn missing(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "roles-missing",
        system: &input.target.system,
        why: "Roles belong to the server, not to the database: GRANT and OWNER of the schema fail without them, and \
              the application can't log in.",
    };
    let target = &input.target.roles.all;
    let mut wanted: Vec<&str> = input.source.roles.needed.iter().map(String::as_str).collect();
    wanted.extend(applications(input).map(|login| login.name.as_str()));
    wanted.sort_unstable();
    wanted.dedup();
    let missing: Vec<&str> = wanted.iter().copied().filter(|name| !target.iter().any(|role| role == name)).collect();
    if missing.is_empty() {
        return check.pass("every role is on the target", format!("{}.", names(wanted)));
    }
    let mut mend = vec![
        "-- pg_dumpall --roles-only (with --no-role-passwords from RDS) on the source, and psql on the target; or:"
            .to_owned(),
    ];
    mend.extend(missing.iter().map(|name| {
        let login = input.source.logins.iter().any(|login| login.name == *name);
        format!("CREATE ROLE {}{}", ident(name), if login { " LOGIN; -- PASSWORD as on the source" } else { ";" })
    }));
    check.fail(
        count(missing.len(), "role is missing on the target", "roles are missing on the target"),
        format!("{}.", names(missing)),
        mend,
    )
}

fn passwords(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "role-passwords",
        system: &input.target.system,
        why: "The application (and the pooler, which may hold only a SCRAM secret) logs in on the target with what \
              it has for the source.",
    };
    if !(input.source.role.superuser && input.target.role.superuser) {
        let mend = vec!["-- log in on the target as each application role, from the pooler's host".to_owned()];
        return check.warn("passwords can't be compared", "Only superusers on both sides see them.", mend);
    }
    let there = |name: &str| input.target.logins.iter().find(|login| login.name == name);
    let different: Vec<&str> = applications(input)
        .filter(|login| there(&login.name).is_none_or(|other| other.password_print != login.password_print))
        .map(|login| login.name.as_str())
        .collect();
    if different.is_empty() {
        return check.pass("application roles have the same passwords", "Their stored secrets are equal.");
    }
    let mend = vec![
        "-- pg_dumpall --roles-only on the source carries the stored secrets (ALTER ROLE ... PASSWORD)".to_owned(),
    ];
    let detail = format!(
        "No login, or another stored secret (SCRAM secrets differ even for the same password): {}.",
        names(different)
    );
    check.warn("passwords may differ on the target", detail, mend)
}

/// A role that may have fewer connections there, or whose password ends earlier.
fn limits(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "role-limits",
        system: &input.target.system,
        why: "A role that is limited differently on the target is refused there after the switch.",
    };
    let there = |name: &str| input.target.logins.iter().find(|login| login.name == name);
    let different: Vec<&LoginRole> = applications(input)
        .filter(|login| {
            there(&login.name).is_some_and(|other| {
                other.connection_limit != login.connection_limit || other.valid_until != login.valid_until
            })
        })
        .collect();
    if different.is_empty() {
        return check.pass("application roles have the same limits", "CONNECTION LIMIT and VALID UNTIL are equal.");
    }
    let mend = different
        .iter()
        .map(|login| {
            let until = login.valid_until.as_deref().unwrap_or("infinity");
            format!(
                "ALTER ROLE {} CONNECTION LIMIT {} VALID UNTIL '{until}';",
                ident(&login.name),
                login.connection_limit
            )
        })
        .collect();
    check.warn(
        "application roles have other limits on the target",
        format!("{}.", names(different.iter().map(|login| &login.name))),
        mend,
    )
}

fn superusers(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "superuser-sessions",
        system: &input.source.system,
        why: "A superuser passes the fence; if it writes after the drain, that write is lost.",
    };
    let sessions = input.source.activity.sessions.iter().filter(|group| {
        group.role != input.source.role.name
            && input.source.logins.iter().any(|login| login.superuser && login.name == group.role)
    });
    let found: Vec<String> =
        sessions.map(|group| format!("{} × {} ({})", group.pids.len(), group.role, group.application)).collect();
    if found.is_empty() {
        return check.pass("no superuser is connected", "Besides our own role.");
    }
    let mut mend: Vec<String> = input
        .source
        .logins
        .iter()
        .filter(|login| login.superuser && login.sessions > 0 && login.name != input.source.role.name)
        .map(|login| format!("ALTER ROLE {} NOSUPERUSER; -- if the application uses it", ident(&login.name)))
        .collect();
    mend.push("-- otherwise see that nobody writes with it in the window".to_owned());
    check.warn("superusers are connected", format!("{}.", names(&found)), mend)
}

fn own_sessions(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "own-role-sessions",
        system: &input.source.system,
        why: "The fence leaves our own role in; an application that uses it too would go on writing.",
    };
    let ours = &input.source.role.name;
    let found: Vec<String> = input
        .source
        .activity
        .sessions
        .iter()
        .filter(|group| group.role == *ours)
        .map(|group| format!("{} × {}", group.pids.len(), group.application))
        .collect();
    if found.is_empty() {
        return check.pass("nobody else uses our role", format!("Role {ours}."));
    }
    let mend = vec!["CREATE ROLE pointsman LOGIN SUPERUSER; -- or what RDS has for it; and use it in `url`".to_owned()];
    check.warn("somebody else is connected as our role", format!("{ours}: {}.", names(&found)), mend)
}

fn exempt(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "exempt-roles",
        system: &input.source.system,
        why: "The fence leaves these roles in, so they must not be able to write.",
    };
    let exempt = &input.wanted.exempt_roles;
    let writing: Vec<&String> = exempt
        .iter()
        .filter(|name| input.source.logins.iter().any(|login| login.name == **name && login.writes))
        .collect();
    if writing.is_empty() {
        let detail = if exempt.is_empty() { "None is exempt.".to_owned() } else { format!("{}.", names(exempt)) };
        return check.pass("no role that the fence leaves in may write", detail);
    }
    let mend = writing
        .iter()
        .map(|name| format!("-- remove {name} from `exempt-roles`, or REVOKE INSERT, UPDATE, DELETE, TRUNCATE from it"))
        .collect();
    check.fail("a role that the fence leaves in may write", format!("{}.", names(writing)), mend)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{judged, login};
    use super::*;
    use crate::systems::postgres::survey::SessionGroup;

    fn group(role: &str, application: &str, pids: &[i32]) -> SessionGroup {
        SessionGroup { role: role.into(), application: application.into(), address: None, pids: pids.to_vec() }
    }

    #[test]
    fn owners_grantees_and_applications_must_be_on_the_target() {
        let found = judged("roles-missing", "target", |input| {
            input.source.roles.needed.push("readers".into());
            input.source.logins.push(LoginRole { writes: false, ..login("idle") });
            input.source.logins.push(login("worker"));
        });
        assert_eq!((found.level, found.detail.as_str()), (Level::Fail, "readers, worker."));
        assert!(found.mend.contains(&r#"CREATE ROLE "readers";"#.to_owned()), "{:?}", found.mend);
        assert_eq!(judged("roles-missing", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn passwords_are_compared_when_they_can_be_seen() {
        let id = "role-passwords";
        assert_eq!(judged(id, "target", |_| ()).level, Level::Pass);
        assert_eq!(judged(id, "target", |input| input.target.role.superuser = false).level, Level::Warn);
        let other = judged(id, "target", |input| input.target.logins[0].password_print = Some("bb".into()));
        assert!(other.level == Level::Warn && other.detail.contains("app"));
    }

    #[test]
    fn limits_of_roles_are_carried() {
        let found = judged("role-limits", "target", |input| input.target.logins[0].connection_limit = 5);
        assert_eq!(
            (found.level, found.mend[0].as_str()),
            (Level::Warn, r#"ALTER ROLE "app" CONNECTION LIMIT -1 VALID UNTIL 'infinity';"#)
        );
        assert_eq!(judged("role-limits", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn who_passes_the_fence_is_named() {
        let superuser = judged("superuser-sessions", "source", |input| {
            input.source.logins.push(LoginRole { superuser: true, sessions: 2, ..login("postgres") });
            input.source.activity.sessions = vec![group("postgres", "rails", &[7, 8]), group("app", "web", &[9])];
        });
        assert!(superuser.level == Level::Warn && superuser.detail == "2 × postgres (rails).", "{superuser:?}");
        assert!(superuser.mend[0].starts_with(r#"ALTER ROLE "postgres" NOSUPERUSER;"#));
        let ours = judged("own-role-sessions", "source", |input| {
            input.source.activity.sessions = vec![group("pointsman", "psql", &[7])];
        });
        assert_eq!(ours.level, Level::Warn);
        assert_eq!(judged("superuser-sessions", "source", |_| ()).level, Level::Pass);
        assert_eq!(judged("own-role-sessions", "source", |_| ()).level, Level::Pass);
    }

    #[test]
    fn an_exempt_role_must_not_write() {
        let with = |writes| {
            judged("exempt-roles", "source", move |input| {
                input.source.logins.push(LoginRole { writes, ..login("backup") });
                input.wanted.exempt_roles = vec!["backup".into()];
            })
            .level
        };
        assert_eq!([with(true), with(false)], [Level::Fail, Level::Pass]);
    }
}
