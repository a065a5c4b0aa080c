//! Poolers: whether they lead to the source, how they will behave in the window, and who goes round them.

use super::finding::{Check, Finding, names};
use super::{PoolerFacts, PreflightInput};
use crate::systems::pgbouncer::needs_kill;
use crate::systems::postgres::survey::SessionGroup;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings: Vec<Finding> = input.poolers.iter().flat_map(|pooler| each(pooler, input)).collect();
    findings.push(around(input));
    findings
}

fn each(pooler: &PoolerFacts, input: &PreflightInput) -> Vec<Finding> {
    let Some(host) = &pooler.host else { return vec![no_entry(pooler)] };
    vec![
        route(pooler, host, input),
        mode(pooler),
        paused(pooler),
        patience(pooler, input),
        retry(pooler),
        warmth(pooler),
        known_defect(pooler, input),
    ]
}

const ROUTE: &str =
    "A pooler that leads elsewhere is paused and switched for nothing, while the application writes on past it.";

fn no_entry(pooler: &PoolerFacts) -> Finding {
    let check = Check { id: "pooler-route", system: &pooler.name, why: ROUTE };
    let detail = format!("{} has no entry `{}` in [databases].", pooler.instance, pooler.entry);
    check.fail("the pooler has no such entry", detail, vec![format!("-- correct `database` of {}", pooler.name)])
}

/// The backends of its server connections prove where it leads; without any, addresses are compared.
fn route(pooler: &PoolerFacts, host: &str, input: &PreflightInput) -> Finding {
    let check = Check { id: "pooler-route", system: &pooler.name, why: ROUTE };
    let source = &input.source;
    let entry = format!("{}: `{}` leads to {host}:{}/{}", pooler.instance, pooler.entry, pooler.port, pooler.database);
    let mend = || {
        vec![format!(
            "-- correct the entry `{}` or the `url` of {}; `address` of {} says how poolers reach it",
            pooler.entry, source.system, source.system
        )]
    };
    if pooler.database != source.database.name {
        return check.fail(
            "the pooler leads to another database",
            format!("{entry}; the source is database {}.", source.database.name),
            mend(),
        );
    }
    let ours = source
        .activity
        .sessions
        .iter()
        .flat_map(|group| &group.pids)
        .filter(|pid| pooler.server_pids.contains(pid))
        .count();
    if ours > 0 {
        return check
            .pass("the pooler leads to the source", format!("{entry}; {ours} of its backends are the source's."));
    }
    let addresses = [source.dialled.endpoint()]
        .into_iter()
        .chain(source.address.clone())
        .chain(source.dialled.addresses.iter().map(|ip| format!("{ip}:{}", source.dialled.port)));
    let same = addresses.into_iter().any(|address| address == format!("{host}:{}", pooler.port));
    match (same, pooler.server_pids.is_empty()) {
        (true, true) => {
            check.pass("the pooler leads to the source", format!("{entry}, by address: it has no connection open."))
        }
        (false, true) => check.warn(
            "it is not proved that the pooler leads to the source",
            format!("{entry}, and has no connection open."),
            mend(),
        ),
        (_, false) => check.fail(
            "the pooler does not lead to the source",
            format!("{entry}; none of its {} backends is the source's.", pooler.server_pids.len()),
            mend(),
        ),
    }
}

fn mode(pooler: &PoolerFacts) -> Finding {
    let check = Check {
        id: "pooler-mode",
        system: &pooler.name,
        why: "In session mode PAUSE waits until clients disconnect, so the window does not begin while anybody stays \
              connected.",
    };
    if pooler.pool_mode == "session" {
        let mend = vec![format!(
            "-- pgbouncer.ini of {}: pool_mode = transaction (if the application allows it), then RELOAD",
            pooler.instance
        )];
        return check.warn("the pooler pools sessions", format!("{}: pool_mode is session.", pooler.instance), mend);
    }
    check.pass(
        format!("the pooler pools {}s", pooler.pool_mode),
        format!("{}, PgBouncer {}.", pooler.instance, pooler.version),
    )
}

fn paused(pooler: &PoolerFacts) -> Finding {
    let check = Check {
        id: "pooler-paused",
        system: &pooler.name,
        why: "Somebody has paused it already: its clients wait now, and it would be resumed by our run.",
    };
    if pooler.paused {
        return check.fail(
            "the pooler is paused",
            pooler.instance.clone(),
            vec![format!("RESUME {}; -- on its admin console, after asking who paused it", pooler.entry)],
        );
    }
    check.pass("the pooler is not paused", pooler.instance.clone())
}

fn patience(pooler: &PoolerFacts, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "pooler-query-wait-timeout",
        system: &pooler.name,
        why: "A client that waits longer than that in the window gets an error instead of a delay.",
    };
    let budget = input.wanted.budget.map_or(0.0, |budget| budget.0.as_secs_f64());
    let timeout = pooler.query_wait_timeout_s;
    let read = format!(
        "{}: query_wait_timeout is {timeout} s (0 is none); the window's budget is {budget} s.",
        pooler.instance
    );
    if timeout > 0.0 && timeout <= budget {
        return check.fail(
            "clients give up before the window's budget ends",
            read,
            vec![format!("SET query_wait_timeout = {}; -- on its admin console, and in its ini", budget.ceil() + 10.0)],
        );
    }
    check.pass("clients wait longer than the window's budget", read)
}

fn retry(pooler: &PoolerFacts) -> Finding {
    let check = Check {
        id: "pooler-login-retry",
        system: &pooler.name,
        why: "A login that was under way when the pooler paused counts as failed, and the pool then waits this long \
              before it tries the target.",
    };
    let read = format!("{}: server_login_retry is {} s.", pooler.instance, pooler.server_login_retry_s);
    if pooler.login_retry_is_set {
        return check
            .pass("the run sets server_login_retry itself", format!("{read} Step `switch` sets it after RELOAD."));
    }
    if pooler.server_login_retry_s > 1.0 {
        return check.warn(
            "a failed login holds clients up",
            read,
            vec!["SET server_login_retry = 0; -- after the last RELOAD before the window, or in its ini".to_owned()],
        );
    }
    check.pass("a failed login is tried again at once", read)
}

/// It dials three times a second for its least number of connections, also while a database is paused, and breaks those
/// logins off at once (`check_pool_size` and `per_loop_pause` in its sources; measured with 1.18 and 1.26).
fn warmth(pooler: &PoolerFacts) -> Finding {
    let check = Check {
        id: "pooler-min-pool-size",
        system: &pooler.name,
        why: "A login that PgBouncer begins while it is paused counts as failed, and clients that come just behind the \
              window get `server login has been failing` until one has succeeded.",
    };
    let read = format!("{}: min_pool_size is {}.", pooler.instance, pooler.min_pool_size);
    if pooler.min_pool_size > 0 {
        let mend =
            "-- min_pool_size = 0 in its ini, and RELOAD, until the window is over; also in the entry, if it has one";
        return check.warn("the pooler dials while it is paused", read, vec![mend.to_owned()]);
    }
    check.pass("the pooler dials for clients only", read)
}

/// Newer PgBouncers track parameters for their clients, `scram_iterations` (16 and later) among them. The same rule as
/// the switch has, so that no `KILL` comes unannounced.
fn known_defect(pooler: &PoolerFacts, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "pooler-parameters",
        system: &pooler.name,
        why: "PgBouncer carries a parameter of the newer server over to the older one, which does not know it: \
              clients get `invalid server parameter`.",
    };
    let version = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    };
    let major = |side: i64| u32::try_from(side).unwrap_or(0);
    let (newer, older) = (major(input.target.major()), major(input.source.major()));
    let kills = version(&pooler.version).is_none_or(|version| needs_kill(version, newer, older));
    if kills && newer >= 16 && older < 16 && input.wanted.way_back {
        let detail = format!(
            "{}: PgBouncer {}; going back from {} to {} uses KILL before RESUME, which costs each client one \
             disconnect.",
            pooler.instance,
            pooler.version,
            input.target.major(),
            input.source.major()
        );
        return check.warn(
            "a rollback disconnects the pooler's clients once",
            detail,
            vec!["-- none needed: it only matters when going back".to_owned()],
        );
    }
    check.pass("a rollback keeps the pooler's clients", format!("{}: PgBouncer {}.", pooler.instance, pooler.version))
}

fn around(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "around-pooler",
        system: &input.source.system,
        why: "The pooler holds only its own clients; those that go round it see errors while the source is fenced, \
              and stay on it afterwards.",
    };
    let source = &input.source;
    let exempt =
        |group: &&SessionGroup| group.role != source.role.name && !input.wanted.exempt_roles.contains(&group.role);
    let behind = |pid: &&i32| input.poolers.iter().any(|pooler| pooler.server_pids.contains(pid));
    let mut found = Vec::new();
    for group in source.activity.sessions.iter().filter(exempt) {
        let direct = group.pids.iter().filter(|pid| !behind(pid)).count();
        if direct > 0 {
            found.push(format!(
                "{direct} × {} ({}) from {}",
                group.role,
                group.application,
                group.address.as_deref().unwrap_or("an unknown address or its own host")
            ));
        }
    }
    if found.is_empty() {
        return check.pass(
            "every client comes through a pooler",
            format!("{} groups of sessions seen.", source.activity.sessions.len()),
        );
    }
    let title = if input.poolers.is_empty() { "no pooler holds the clients" } else { "clients go round the pooler" };
    check.warn(
        title,
        format!("{}.", names(&found)),
        vec!["-- point them at the pooler, or prepare them for a reconnect and switch their addresses too".to_owned()],
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::judged;
    use super::super::{Finding, Level};
    use super::*;
    use crate::runbook::units::Span;

    fn pooler() -> PoolerFacts {
        PoolerFacts {
            name: "pool".into(),
            instance: "pool-1:6432".into(),
            version: "1.18.0".into(),
            entry: "shop".into(),
            host: Some("source.example".into()),
            port: 5432,
            database: "shop".into(),
            pool_mode: "transaction".into(),
            query_wait_timeout_s: 120.0,
            server_login_retry_s: 15.0,
            login_retry_is_set: true,
            ..PoolerFacts::default()
        }
    }

    fn with(id: &str, spoil: impl FnOnce(&mut PoolerFacts)) -> Finding {
        let mut pooler = pooler();
        spoil(&mut pooler);
        judged(id, "pool", |input| {
            input.poolers = vec![pooler];
            input.wanted.budget = Some(Span::secs(5));
            input.source.activity.sessions =
                vec![SessionGroup { role: "app".into(), pids: vec![11, 12], ..SessionGroup::default() }];
        })
    }

    #[test]
    fn where_the_pooler_leads_is_proved_by_its_backends() {
        let id = "pooler-route";
        let proved = with(id, |pooler| (pooler.host, pooler.server_pids) = (Some("10.0.0.9".into()), vec![12, 99]));
        assert!(proved.level == Level::Pass && proved.detail.contains("1 of its backends"), "{proved:?}");
        assert_eq!(with(id, |pooler| pooler.server_pids = vec![99]).level, Level::Fail);
        assert_eq!(with(id, |_| ()).level, Level::Pass);
        assert_eq!(with(id, |pooler| pooler.host = Some("203.0.113.1".into())).level, Level::Pass);
        assert_eq!(with(id, |pooler| pooler.host = Some("elsewhere".into())).level, Level::Warn);
        assert_eq!(with(id, |pooler| pooler.database = "other".into()).level, Level::Fail);
        assert_eq!(with(id, |pooler| pooler.host = None).title, "the pooler has no such entry");
    }

    #[test]
    fn how_the_pooler_behaves_in_the_window() {
        assert_eq!(with("pooler-mode", |_| ()).level, Level::Pass);
        assert_eq!(with("pooler-mode", |pooler| pooler.pool_mode = "session".into()).level, Level::Warn);
        assert_eq!(with("pooler-paused", |_| ()).level, Level::Pass);
        assert_eq!(with("pooler-paused", |pooler| pooler.paused = true).level, Level::Fail);
        assert_eq!(with("pooler-query-wait-timeout", |_| ()).level, Level::Pass);
        assert_eq!(with("pooler-query-wait-timeout", |pooler| pooler.query_wait_timeout_s = 0.0).level, Level::Pass);
        assert_eq!(with("pooler-query-wait-timeout", |pooler| pooler.query_wait_timeout_s = 5.0).level, Level::Fail);
        assert_eq!(with("pooler-login-retry", |_| ()).level, Level::Pass);
        assert_eq!(with("pooler-login-retry", |pooler| pooler.login_retry_is_set = false).level, Level::Warn);
        assert_eq!(with("pooler-min-pool-size", |_| ()).level, Level::Pass);
        assert_eq!(with("pooler-min-pool-size", |pooler| pooler.min_pool_size = 4).level, Level::Warn);
    }

    #[test]
    fn the_defect_of_newer_poolers_is_announced() {
        assert_eq!(with("pooler-parameters", |_| ()).level, Level::Pass);
        let newer = with("pooler-parameters", |pooler| pooler.version = "1.26.1".into());
        assert!(newer.level == Level::Warn && newer.detail.contains("KILL"));
    }

    #[test]
    fn who_goes_round_the_pooler_is_named() {
        let around = |pids: Vec<i32>| {
            judged("around-pooler", "source", move |input| {
                input.poolers = vec![PoolerFacts { server_pids: vec![11, 12], ..pooler() }];
                let group = SessionGroup {
                    role: "app".into(),
                    application: "cron".into(),
                    address: Some("10.1.1.1".into()),
                    pids,
                };
                input.source.activity.sessions = vec![group];
            })
        };
        assert_eq!(around(vec![11, 12]).level, Level::Pass);
        let found = around(vec![11, 12, 13]);
        assert!(found.level == Level::Warn && found.detail == "1 × app (cron) from 10.1.1.1.", "{found:?}");
        assert_eq!(judged("around-pooler", "source", |_| ()).level, Level::Pass);
    }
}
