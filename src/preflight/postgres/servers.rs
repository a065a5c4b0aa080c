//! The two servers: versions, who they are, standbys, clocks.

use super::PreflightInput;
use super::finding::{Check, Finding};
use crate::systems::postgres::survey::Survey;

const OLDEST: i64 = 15;
const NEWEST: i64 = 18;
/// A skew above this makes times in logs and in rows of the two servers hard to compare.
const SKEW_MS: i64 = 1_000;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = Vec::new();
    for side in input.sides() {
        findings.extend([version(side), standby(side), synchronous(side)]);
    }
    findings.extend([same_database(input), clock_skew(input), order(input)]);
    findings
}

fn version(side: &Survey) -> Finding {
    let check = Check {
        id: "version",
        system: &side.system,
        why: "Before 15 a subscription has no row filters, no `disable_on_error` and no collation versions, and \
              nothing here is tested with it; after 18 nothing is known yet.",
    };
    let (major, text) = (side.major(), &side.server.version_text);
    if major < OLDEST {
        let detail = format!("PostgreSQL {text}; {OLDEST} to {NEWEST} is needed.");
        let mend = vec![format!(
            "-- upgrade this server to PostgreSQL {OLDEST} or later first (pg_upgrade, or RDS: modify the engine \
             version)"
        )];
        return check.fail(format!("PostgreSQL {text} is too old"), detail, mend);
    }
    if major > NEWEST {
        let detail = format!("PostgreSQL {text}; {OLDEST} to {NEWEST} is known.");
        let mend = vec!["-- rehearse the runbook with a server of this version first".to_owned()];
        return check.warn(format!("PostgreSQL {text} is newer than what is known"), detail, mend);
    }
    check.pass(format!("PostgreSQL {text}"), format!("{OLDEST} to {NEWEST} is needed."))
}

fn order(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "version-order",
        system: &input.target.system,
        why: "The way back and `origin = none` depend on the versions of both sides.",
    };
    let (source, target) = (input.source.major(), input.target.major());
    if source > target {
        let detail =
            format!("From {source} to {target}: a schema that uses what only {source} has can't be restored there.");
        let mend =
            vec![format!("-- restore `pg_dump --schema-only` of the source into an empty PostgreSQL {target} to see")];
        return check.warn("the target is older than the source", detail, mend);
    }
    let early = source.min(target) >= 16;
    let way = if early {
        "can run before the window (`origin = none`)"
    } else {
        "is positioned inside the window (before 16 there is no `origin = none`)"
    };
    check.pass(format!("from {source} to {target}"), format!("The way back {way}."))
}

fn standby(side: &Survey) -> Finding {
    let check = Check {
        id: "standby",
        system: &side.system,
        why: "A standby takes no writes: publications, subscriptions and the fence can't be made on it.",
    };
    if side.server.in_recovery {
        let detail = format!("pg_is_in_recovery() is true at {}.", side.dialled.endpoint());
        return check.fail(
            "the server is a standby",
            detail,
            vec!["-- name the primary in the system's `url`".to_owned()],
        );
    }
    let timeline = side.server.timeline.map_or_else(|| "unknown".to_owned(), |timeline| timeline.to_string());
    check.pass("the server is a primary", format!("Timeline {timeline}."))
}

fn same_database(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "same-database",
        system: &input.target.system,
        why: "A database that is moved onto itself ends with its own fence around it.",
    };
    let (source, target) = (&input.source, &input.target);
    let same_server =
        source.server.system_identifier.is_some() && source.server.system_identifier == target.server.system_identifier;
    let same_name = source.database.name == target.database.name;
    let same_address = source.dialled.endpoint() == target.dialled.endpoint();
    if same_name && (same_server || same_address) {
        let detail = format!(
            "Both systems lead to database {} of the same server ({}).",
            source.database.name,
            source.dialled.endpoint()
        );
        return check.fail(
            "source and target are the same database",
            detail,
            vec!["-- correct the `url` of one of the systems".to_owned()],
        );
    }
    if same_server || same_address {
        let detail = format!(
            "Databases {} and {} of one server: creating a subscription waits for its own slot for ever, and \
             server-wide settings and roles are shared.",
            source.database.name, target.database.name
        );
        return check.fail(
            "source and target are on the same server",
            detail,
            vec!["-- move to a database of another server".to_owned()],
        );
    }
    if source.server.system_identifier.is_none() || target.server.system_identifier.is_none() {
        let mend =
            vec!["GRANT EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint() TO our_role;".to_owned()];
        return check.warn(
            "it is not proved that the servers differ",
            "The system identifier of one side can't be read.",
            mend,
        );
    }
    check.pass("source and target are different servers", "Their system identifiers differ.")
}

fn clock_skew(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "clock-skew",
        system: &input.target.system,
        why: "Lag in seconds and the times in both servers' logs can only be compared when their clocks agree.",
    };
    let (source, target) = (input.source.clock, input.target.clock);
    let skew = (target.ahead_ms - source.ahead_ms).abs();
    let uncertain = i64::midpoint(source.uncertain_ms, target.uncertain_ms);
    let detail = format!("The clocks differ by {skew} ms, give or take {uncertain} ms.");
    if skew > SKEW_MS + uncertain {
        return check.warn(
            "the servers' clocks disagree",
            detail,
            vec!["-- set up time synchronisation (chrony) on both hosts".to_owned()],
        );
    }
    check.pass("the servers' clocks agree", detail)
}

fn synchronous(side: &Survey) -> Finding {
    let check = Check {
        id: "synchronous-standbys",
        system: &side.system,
        why: "A commit that waits for a standby which is gone hangs for ever, and the barrier inside the window is a \
              commit.",
    };
    let names = side.setting("synchronous_standby_names").unwrap_or_default();
    if names.is_empty() {
        return check.pass("commits wait for no standby", "synchronous_standby_names is empty.");
    }
    let seen = side.usage.synchronous_standbys;
    let read = format!(
        "synchronous_standby_names is `{names}`; synchronous standbys connected: {}.",
        seen.map_or_else(|| "unknown".to_owned(), |seen| seen.to_string())
    );
    let mend = super::settings::change(side, "synchronous_standby_names", "");
    if seen == Some(0) {
        return check.fail("commits wait for a standby that is not there", read, mend);
    }
    if names.contains('*') {
        let detail = format!("{read} `*` would also take our own subscription for a standby.");
        return check.warn("any client of replication may count as a standby", detail, mend);
    }
    check.warn("commits wait for a standby", format!("{read} Its lag is added to every wait of the window."), mend)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{find, input, judged, set};
    use super::super::{Level, judge};

    #[test]
    fn versions_from_15_to_18_either_way() {
        for (source, target) in [(15, 18), (18, 15), (16, 17), (15, 15)] {
            let mut input = input();
            input.source.server.version = source * 10_000 + 4;
            input.target.server.version = target * 10_000 + 1;
            let findings = judge(&input);
            assert_eq!(find(&findings, "version", "source").level, Level::Pass);
            assert_eq!(find(&findings, "version", "target").level, Level::Pass);
            let expected = if source > target { Level::Warn } else { Level::Pass };
            assert_eq!(find(&findings, "version-order", "target").level, expected);
        }
        assert_eq!(judged("version", "source", |input| input.source.server.version = 140_011).level, Level::Fail);
        assert_eq!(judged("version", "target", |input| input.target.server.version = 190_000).level, Level::Warn);
    }

    #[test]
    fn a_standby_is_refused() {
        assert_eq!(judged("standby", "source", |input| input.source.server.in_recovery = true).level, Level::Fail);
        assert_eq!(judged("standby", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn the_same_server_on_both_sides_is_refused() {
        let same = judged("same-database", "target", |input| {
            input.target.server.system_identifier = input.source.server.system_identifier.clone();
        });
        assert_eq!((same.level, same.title.as_str()), (Level::Fail, "source and target are the same database"));
        let sibling = judged("same-database", "target", |input| {
            input.target.server.system_identifier = input.source.server.system_identifier.clone();
            input.target.database.name = "other".into();
        });
        assert_eq!((sibling.level, sibling.title.as_str()), (Level::Fail, "source and target are on the same server"));
        let unknown = judged("same-database", "target", |input| input.target.server.system_identifier = None);
        assert_eq!(unknown.level, Level::Warn);
    }

    #[test]
    fn clocks_may_differ_within_what_can_be_measured() {
        assert_eq!(judged("clock-skew", "target", |input| input.target.clock.ahead_ms = 90_000).level, Level::Warn);
        let slow = judged("clock-skew", "target", |input| {
            input.target.clock.ahead_ms = 1_400;
            input.target.clock.uncertain_ms = 1_000;
        });
        assert_eq!(slow.level, Level::Pass);
    }

    #[test]
    fn a_synchronous_standby_that_is_gone_is_refused() {
        let id = "synchronous-standbys";
        let with = |names: &'static str, seen| {
            judged(id, "source", move |input| {
                set(&mut input.source, "synchronous_standby_names", names);
                input.source.usage.synchronous_standbys = seen;
            })
        };
        assert_eq!(with("", None).level, Level::Pass);
        assert_eq!(with("a", Some(0)).level, Level::Fail);
        assert_eq!(with("a", Some(1)).level, Level::Warn);
        assert_eq!(with("a", None).level, Level::Warn);
        assert!(with("*", Some(1)).detail.contains("our own subscription"));
    }
}
