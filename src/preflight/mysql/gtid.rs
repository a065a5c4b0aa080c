//! GTIDs: whether both sides have them, whether every transaction can, and whether the target has some of its own.

use super::PreflightInput;
use super::finding::{Check, Finding};
use super::mend::change;
use crate::systems::mysql::survey::Survey;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    if input.source.is_mariadb() {
        return vec![domain(input), errant(input)];
    }
    let mut findings = Vec::new();
    for side in input.sides() {
        findings.extend([mode(side, input), consistency(side)]);
    }
    findings.push(errant(input));
    findings
}

/// The states on the way to ON; a server takes one at a time.
const MODES: [&str; 4] = ["OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"];

fn mode(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "gtid-mode",
        system: &side.system,
        why: "With GTIDs both sides know by themselves what the other has; without, a file and a position must be kept \
              right, and a way back can't be proved to begin at the right place.",
    };
    let found = side.variable("gtid_mode").unwrap_or("unknown");
    let read = format!("gtid_mode is {found}.");
    if found.eq_ignore_ascii_case("on") {
        return check.pass("GTIDs are on", read);
    }
    let mut mend = change(side, "enforce_gtid_consistency", "ON");
    let now = MODES.iter().position(|mode| mode.eq_ignore_ascii_case(found)).unwrap_or(0);
    for mode in &MODES[now + 1..] {
        mend.extend(change(side, "gtid_mode", mode));
    }
    if mend.len() > 2 && !side.server.rds {
        mend.insert(
            mend.len() - 1,
            "-- wait until SHOW STATUS LIKE 'ongoing_anonymous_transaction_count' is 0, then:".to_owned(),
        );
    }
    let other = if side.system == input.source.system { &input.target } else { &input.source };
    if other.variable("gtid_mode").is_some_and(|mode| mode.eq_ignore_ascii_case("on")) {
        return check.fail(
            "the other side has GTIDs and this one has not",
            format!("{read} One can't follow the other."),
            mend,
        );
    }
    check.warn("GTIDs are off", format!("{read} File and position are used."), mend)
}

fn consistency(side: &Survey) -> Finding {
    let check = Check {
        id: "gtid-consistency",
        system: &side.system,
        why: "Transactions that can't have one GTID (some that mix engines) must be refused, or they are carried in \
              pieces.",
    };
    let found = side.variable("enforce_gtid_consistency").unwrap_or("unknown");
    let read = format!("enforce_gtid_consistency is {found}.");
    if side.is_on("enforce_gtid_consistency") {
        return check.pass("every transaction can have a GTID", read);
    }
    let mut mend =
        vec!["-- first WARN, and look into the error log for a while whether the application trips over it".to_owned()];
    mend.extend(change(side, "enforce_gtid_consistency", "ON"));
    if side.variable("gtid_mode").is_some_and(|mode| mode.eq_ignore_ascii_case("off")) {
        return check.warn("transactions without a GTID are possible", read, mend);
    }
    check.fail("transactions without a GTID are possible", read, mend)
}

/// MariaDB: a target that writes under the source's domain makes numbers that the source makes too.
fn domain(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "gtid-domain",
        system: &side.system,
        why: "Each GTID of MariaDB bears a domain: what each side writes is told apart by it on the way back.",
    };
    let of = |side: &Survey| side.variable("gtid_domain_id").unwrap_or("unknown").to_owned();
    let (source, target) = (of(&input.source), of(side));
    let read = format!("gtid_domain_id is {source} on the source and {target} on the target.");
    match (source == target, side.server.rds) {
        (false, _) => check.pass("each side writes under a domain of its own", read),
        (true, false) => check.pass("the run gives what the target writes a domain of its own", read),
        (true, true) => {
            let other = source.parse::<u32>().map_or(1, |domain| domain.wrapping_add(1));
            let mend = change(side, "gtid_domain_id", &other.to_string());
            check.fail("both sides write under the same domain", read, mend)
        }
    }
}

fn errant(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "errant-gtids",
        system: &side.system,
        why: "Transactions that only the target has are what somebody wrote there: they collide with what is carried, and \
              on the way back the source would be sent them.",
    };
    let Some(errant) = &side.activity.errant else {
        return check.warn(
            "it is not known whether the target has transactions of its own",
            "Its GTIDs could not be compared with the source's.",
            vec!["-- compare @@GLOBAL.gtid_executed (MariaDB: @@GLOBAL.gtid_current_pos) of both sides".to_owned()],
        );
    };
    if errant.is_empty() {
        return check
            .pass("the target has no transactions of its own", "Everything that it has executed, the source has too.");
    }
    // Before the copy the target is what its provider made of it, and the copy begins by taking the source's GTIDs.
    let detail = format!("Only on the target: {errant}.");
    let mend = if side.server.rds {
        vec![
            "-- make the target anew, or restore it from the source's backup; what RDS itself writes there stays"
                .to_owned(),
        ]
    } else if side.is_mariadb() {
        vec!["RESET MASTER; -- on the target, if what was written there is known and wanted by nobody".to_owned()]
    } else if side.server.version.from(8, 2, 0) {
        vec![
            "RESET BINARY LOGS AND GTIDS; -- on the target, if what was written there is known and wanted by nobody"
                .to_owned(),
        ]
    } else {
        vec!["RESET MASTER; -- on the target, if what was written there is known and wanted by nobody".to_owned()]
    };
    if input.wanted.copy_schema {
        return check.warn(
            "the target has transactions of its own",
            format!("{detail} The copy replaces its GTIDs."),
            mend,
        );
    }
    check.fail("the target has transactions of its own", detail, mend)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{judged, judged_mariadb, set};

    #[test]
    fn both_sides_have_gtids_or_neither() {
        let one = judged("gtid-mode", "target", |input| set(&mut input.target, "gtid_mode", "OFF"));
        assert_eq!(one.level, Level::Fail);
        let sets: Vec<&String> = one.mend.iter().filter(|line| line.starts_with("SET PERSIST gtid_mode")).collect();
        assert_eq!(sets.len(), 3, "{:?}", one.mend);
        assert!(one.mend[4].starts_with("SET PERSIST gtid_mode = ON_PERMISSIVE") || one.mend[3].starts_with("-- wait"));
        let neither = judged("gtid-mode", "source", |input| {
            set(&mut input.source, "gtid_mode", "OFF");
            set(&mut input.target, "gtid_mode", "OFF");
        });
        assert_eq!(neither.level, Level::Warn);
        let last = judged("gtid-mode", "source", |input| set(&mut input.source, "gtid_mode", "ON_PERMISSIVE"));
        assert_eq!(last.mend, ["SET PERSIST enforce_gtid_consistency = ON;", "SET PERSIST gtid_mode = ON;"]);
        assert_eq!(judged("gtid-mode", "source", |_| ()).level, Level::Pass);
    }

    #[test]
    fn gtid_mode_needs_consistency() {
        let with = |mode: &'static str| {
            judged("gtid-consistency", "source", move |input| {
                set(&mut input.source, "enforce_gtid_consistency", "WARN");
                set(&mut input.source, "gtid_mode", mode);
            })
            .level
        };
        assert_eq!([with("ON"), with("OFF")], [Level::Fail, Level::Warn]);
        assert_eq!(judged("gtid-consistency", "source", |_| ()).level, Level::Pass);
    }

    #[test]
    fn transactions_of_the_targets_own_are_told() {
        let with = |copy_schema, errant: Option<&'static str>| {
            judged("errant-gtids", "target", move |input| {
                input.wanted.copy_schema = copy_schema;
                input.target.activity.errant = errant.map(str::to_owned);
            })
        };
        assert_eq!(with(true, Some("")).level, Level::Pass);
        assert_eq!([with(true, Some("u:1-3")).level, with(false, Some("u:1-3")).level], [Level::Warn, Level::Fail]);
        assert_eq!(with(true, None).level, Level::Warn);
        assert!(with(true, Some("u:1")).mend[0].starts_with("RESET BINARY LOGS AND GTIDS;"));
    }

    #[test]
    fn mariadbs_domains_are_compared() {
        let with = |domain: &'static str, rds| {
            judged_mariadb("gtid-domain", "target", move |input| {
                input.target.server.rds = rds;
                set(&mut input.target, "gtid_domain_id", domain);
            })
        };
        let levels = [with("5", false), with("5", true), with("0", false), with("0", true)].map(|found| found.level);
        assert_eq!(levels, [Level::Pass, Level::Pass, Level::Pass, Level::Fail], "the run can't set it on RDS");
        assert!(with("0", true).mend[0].contains("gtid_domain_id = 1"), "{:?}", with("0", true).mend);
    }
}
