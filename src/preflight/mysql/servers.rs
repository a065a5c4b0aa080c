//! The two servers: versions, whether one can follow the other, who they are, clocks.

use super::PreflightInput;
use super::finding::{Check, Finding};
use super::mend::change;
use crate::systems::mysql::Flavour;
use crate::systems::mysql::survey::Survey;

/// A skew above this makes times in logs and in rows of the two servers hard to compare.
const SKEW_MS: i64 = 1_000;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings: Vec<Finding> = input.sides().into_iter().map(version).collect();
    findings.extend([direction(input), same(input), server_id(input), clock_skew(input)]);
    findings
}

/// What is known of a series: too old, known, or too new.
fn known(side: &Survey) -> std::cmp::Ordering {
    let (oldest, newest) = match side.server.flavour {
        Flavour::Mysql => ((8, 0), (9, 99)),
        Flavour::Mariadb => ((10, 6), (11, 99)),
    };
    let series = side.server.series();
    if series < oldest {
        std::cmp::Ordering::Less
    } else if series > newest {
        std::cmp::Ordering::Greater
    } else {
        std::cmp::Ordering::Equal
    }
}

fn version(side: &Survey) -> Finding {
    let check = Check {
        id: "version",
        system: &side.system,
        why: "Older servers lack what the window relies on (statements that wait for a position, roles, a readable \
              status), and nothing here is tested with them.",
    };
    let (flavour, shown) = (side.server.flavour.name(), side.server.shown());
    let range = if side.is_mariadb() { "10.6 to 11" } else { "8.0 to 9" };
    match known(side) {
        std::cmp::Ordering::Less => check.fail(
            format!("{shown} is too old"),
            format!("{flavour} {range} is needed."),
            vec![format!("-- upgrade this server to {flavour} {} first", range.split(' ').next().unwrap_or_default())],
        ),
        std::cmp::Ordering::Greater => check.warn(
            format!("{shown} is newer than what is known"),
            format!("{flavour} {range} is known."),
            vec!["-- rehearse the runbook with a server of this version first".to_owned()],
        ),
        std::cmp::Ordering::Equal => check.pass(shown, format!("{flavour} {range} is needed.")),
    }
}

fn direction(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "direction",
        system: &input.target.system,
        why: "A server follows its like of the same or an older version; MySQL and MariaDB have different GTIDs, and \
              MySQL can't read MariaDB's log.",
    };
    let (source, target) = (&input.source.server, &input.target.server);
    let way = format!("From {} to {}.", source.shown(), target.shown());
    if source.flavour != target.flavour {
        let mend = vec![format!(
            "-- move to a {} server; a change of kind takes a dump while nobody writes, and no way back",
            source.flavour.name()
        )];
        return check.fail("one can't follow the other", way, mend);
    }
    let (from, to) = (source.series(), target.series());
    if from > to {
        let mend = vec![
            format!("-- move to {} {}.{} or later", source.flavour.name(), from.0, from.1),
            "-- or rehearse with both versions, and accept `direction`".to_owned(),
        ];
        return check.fail(
            "the target is older than the source",
            format!("{way} It may not understand the source's log."),
            mend,
        );
    }
    if from < to && input.wanted.way_back {
        let detail = format!(
            "{way} On the way back an older server follows a newer one: it stops at what it does not know (collations, \
             types, DDL of the newer version)."
        );
        let mend = vec![
            "-- use nothing that is new in the target until `finalize`; rehearse a rollback with both versions"
                .to_owned(),
        ];
        return check.warn("the way back goes from newer to older", detail, mend);
    }
    check.pass("each can follow the other", way)
}

fn same(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "same-database",
        system: &input.target.system,
        why: "A server that is moved onto itself ends with its own fence around it.",
    };
    let (source, target) = (&input.source, &input.target);
    let mend = || vec!["-- correct the `url` of one of the systems".to_owned()];
    if source.dialled.endpoint() == target.dialled.endpoint() {
        return check.fail(
            "source and target are the same server",
            format!("Both lead to {}.", source.dialled.endpoint()),
            mend(),
        );
    }
    match (&source.server.uuid, &target.server.uuid) {
        (Some(one), Some(other)) if one == other => {
            let mut lines = mend();
            lines.push(
                "-- or, if the target is a clone of the source's files: stop it, remove auto.cnf from its data folder, start it"
                    .to_owned(),
            );
            check.fail("source and target have the same server_uuid", format!("Both are {one}."), lines)
        }
        (Some(_), Some(_)) => check.pass("source and target are different servers", "Their server_uuid differ."),
        _ => check.pass(
            "source and target are dialled at different places",
            format!(
                "{} and {}; these servers have no server_uuid.",
                source.dialled.endpoint(),
                target.dialled.endpoint()
            ),
        ),
    }
}

fn server_id(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "server-id",
        system: &side.system,
        why: "A server leaves out what bears its own server_id, taking it for its own: with equal ids nothing would \
              be carried.",
    };
    let (source, target) = (input.source.number("server_id").unwrap_or(0), side.number("server_id").unwrap_or(0));
    let read = format!("server_id is {source} on the source and {target} on the target.");
    if source == 0 {
        return check.fail(
            "the source has no server_id",
            read,
            change(&input.source, "server_id", &other_than(target)),
        );
    }
    if target == 0 || source == target {
        return check.fail(
            "the target needs a server_id of its own",
            read,
            change(side, "server_id", &other_than(source)),
        );
    }
    check.pass("the servers have different ids", read)
}

fn other_than(id: i64) -> String {
    (id % 4_000_000_000 + 1).to_string()
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
        let mend = vec!["-- set up time synchronisation (chrony) on both hosts".to_owned()];
        return check.warn("the servers' clocks disagree", detail, mend);
    }
    check.pass("the servers' clocks agree", detail)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{judged, judged_mariadb, set};
    use super::Flavour;
    use crate::systems::mysql::Version;

    #[test]
    fn versions_that_are_known_pass() {
        let version =
            |number| judged("version", "source", move |input| input.source.server.version = Version(number)).level;
        assert_eq!([80_042, 80_405, 90_704].map(version), [Level::Pass; 3]);
        assert_eq!([50_744, 100_000].map(version), [Level::Fail, Level::Warn]);
        let version = |number| {
            judged_mariadb("version", "source", move |input| input.source.server.version = Version(number)).level
        };
        assert_eq!([100_621, 101_119, 110_405].map(version), [Level::Pass; 3]);
        assert_eq!([100_527, 120_001].map(version), [Level::Fail, Level::Warn]);
    }

    #[test]
    fn a_server_follows_its_like_of_the_same_or_an_older_version() {
        let way = |from, to, way_back| {
            judged("direction", "target", move |input| {
                (input.source.server.version, input.target.server.version) = (Version(from), Version(to));
                input.wanted.way_back = way_back;
            })
            .level
        };
        assert_eq!(way(90_704, 90_701, true), Level::Pass);
        assert_eq!(way(80_042, 80_405, false), Level::Pass);
        assert_eq!(way(80_042, 80_405, true), Level::Warn);
        assert_eq!(way(80_405, 80_042, true), Level::Fail);
        let other = judged("direction", "target", |input| input.target.server.flavour = Flavour::Mariadb);
        assert!(other.level == Level::Fail && other.title == "one can't follow the other");
    }

    #[test]
    fn the_same_server_on_both_sides_is_refused() {
        let same = judged("same-database", "target", |input| input.target.dialled = input.source.dialled.clone());
        assert_eq!(same.level, Level::Fail);
        let cloned = judged("same-database", "target", |input| {
            input.target.server.uuid = input.source.server.uuid.clone();
        });
        assert!(cloned.level == Level::Fail && cloned.mend[1].contains("auto.cnf"));
        assert_eq!(judged("same-database", "target", |_| ()).level, Level::Pass);
        assert_eq!(judged_mariadb("same-database", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn every_server_needs_an_id_of_its_own() {
        let ids = |source: &'static str, target: &'static str| {
            judged("server-id", "target", move |input| {
                set(&mut input.source, "server_id", source);
                set(&mut input.target, "server_id", target);
            })
        };
        assert_eq!(ids("1", "2").level, Level::Pass);
        assert_eq!(ids("7", "7").mend, ["SET PERSIST server_id = 8;"]);
        assert_eq!([ids("0", "2").level, ids("1", "0").level], [Level::Fail; 2]);
    }

    #[test]
    fn clocks_may_differ_within_what_can_be_measured() {
        assert_eq!(judged("clock-skew", "target", |input| input.target.clock.ahead_ms = 90_000).level, Level::Warn);
        assert_eq!(judged("clock-skew", "target", |_| ()).level, Level::Pass);
    }
}
