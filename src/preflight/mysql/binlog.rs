//! The binary log: whether it holds everything, as rows, for long enough.

use super::PreflightInput;
use super::finding::{Check, Finding, bytes};
use super::mend::change;
use crate::systems::mysql::{retention as kept_by_rds, survey::Survey};

const HOUR_S: i64 = 3600;
/// What a copy gets through at the least, in a second.
const COPIED_A_SECOND: i64 = 10 << 20;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = Vec::new();
    for side in input.sides() {
        findings.extend([
            enabled(side, input),
            format(side, input),
            image(side, input),
            filters(side),
            retention(side, input),
        ]);
    }
    findings.extend([forwards(&input.target, input), forwards(&input.source, input), durable(&input.target)]);
    findings
}

/// What is missing on the side that publishes only for the way back is a failure when one is kept.
fn missing(
    check: Check<'_>,
    side: &Survey,
    input: &PreflightInput,
    title: String,
    read: String,
    mend: Vec<String>,
) -> Finding {
    if side.system == input.source.system || input.wanted.way_back {
        return check.fail(title, read, mend);
    }
    check.warn(format!("{title}, so no way back can be kept"), read, mend)
}

fn enabled(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "binary-log",
        system: &side.system,
        why: "Changes are read from the binary log: forth from the source's, and on the way back from the target's.",
    };
    if side.is_on("log_bin") {
        return check.pass("the binary log is on", "log_bin is ON.");
    }
    let mend = if side.server.rds {
        vec!["-- RDS writes a binary log while automated backups are on: set the backup retention period to 1 day or more".to_owned()]
    } else {
        change(side, "log_bin", "binlog")
    };
    missing(check, side, input, "the binary log is off".to_owned(), "log_bin is OFF.".to_owned(), mend)
}

fn format(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "binlog-format",
        system: &side.system,
        why: "Statements may do something else on the other server; only rows are the same everywhere.",
    };
    let found = side.variable("binlog_format").unwrap_or("unknown");
    let read = format!("binlog_format is {found}; ROW is needed.");
    if found.eq_ignore_ascii_case("row") {
        return check.pass("changes are logged as rows", read);
    }
    let mut mend = change(side, "binlog_format", "ROW");
    mend.push("-- sessions that are open keep the old format: let the application connect again".to_owned());
    missing(check, side, input, format!("binlog_format is {found}"), read, mend)
}

fn image(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "binlog-row-image",
        system: &side.system,
        why: "With less than the full row the other side can't tell whether the row it changes is the row that was meant.",
    };
    let found = side.variable("binlog_row_image").unwrap_or("unknown");
    let read = format!("binlog_row_image is {found}; FULL is needed.");
    if found.eq_ignore_ascii_case("full") {
        return check.pass("whole rows are logged", read);
    }
    let mut mend = change(side, "binlog_row_image", "FULL");
    mend.push("-- sessions that are open keep the old image: let the application connect again".to_owned());
    missing(check, side, input, format!("binlog_row_image is {found}"), read, mend)
}

fn filters(side: &Survey) -> Finding {
    let check = Check {
        id: "binlog-filters",
        system: &side.system,
        why: "What a filter keeps out of the binary log is never carried, and nothing says so.",
    };
    let found: Vec<String> = ["binlog_do_db", "binlog_ignore_db"]
        .into_iter()
        .filter_map(|name| {
            side.variable(name).filter(|value| !value.is_empty()).map(|value| format!("{name} = {value}"))
        })
        .collect();
    if found.is_empty() {
        return check.pass("the binary log has no filter", "Neither binlog-do-db nor binlog-ignore-db.");
    }
    let mend =
        vec!["-- remove binlog-do-db and binlog-ignore-db from the configuration; restart the server".to_owned()];
    check.fail("the binary log is filtered", format!("{}.", found.join(", ")), mend)
}

/// How long the log is kept, in seconds; 0 is for ever.
fn kept(side: &Survey) -> Option<i64> {
    if side.server.rds && side.server.rds_retention_hours.is_none() {
        return None;
    }
    if let Some(hours) = side.server.rds_retention_hours {
        // Unset means that RDS removes a file as soon as nothing of its own needs it.
        return Some(hours.map_or(1, |hours| hours * HOUR_S));
    }
    let seconds = side.number("binlog_expire_logs_seconds");
    let days = side.variable("expire_logs_days").and_then(|text| text.parse::<f64>().ok());
    if side.variable("binlog_expire_logs_auto_purge").is_some_and(|value| value.eq_ignore_ascii_case("off")) {
        return Some(0);
    }
    match (seconds, days) {
        (Some(seconds), _) if seconds > 0 => Some(seconds),
        #[expect(clippy::cast_possible_truncation, reason = "at most 99 days")]
        (_, Some(days)) => Some((days * 86_400.0) as i64),
        (seconds, None) => seconds,
    }
}

fn retention(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "binlog-retention",
        system: &side.system,
        why: "The log must be kept from the beginning of the copy until the other side has read it, and on the way \
              back as long as that side may be away; a gap means to copy again.",
    };
    let target = side.system == input.target.system;
    // On an RDS target `replicate` sets it.
    let promised = if side.server.rds && target { kept_by_rds::hours(input.wanted.copy_limit) * HOUR_S } else { 0 };
    let Some(now) = kept(side) else {
        let (read, mend) = if side.server.rds {
            let mend = "-- have the master user GRANT SELECT ON mysql.rds_configuration to our account".to_owned();
            ("mysql.rds_configuration can't be read.", vec![mend])
        } else {
            ("binlog_expire_logs_seconds can't be read.", Vec::new())
        };
        return check.warn("it is not known how long the binary log is kept", read, mend);
    };
    if now == 0 {
        return check.pass("the binary log is kept until somebody purges it", "There is no expiry; watch the disk.");
    }
    let kept = now.max(promised);
    let copy = if side.system == input.source.system { input.bytes() / COPIED_A_SECOND } else { 0 };
    let needed = (copy * 2).max(HOUR_S);
    let planned = i64::try_from(input.wanted.copy_limit.0.as_secs()).unwrap_or(i64::MAX);
    let set =
        if promised > now { format!(", and `replicate` has it kept for {}", hours(promised)) } else { String::new() };
    let read = format!("It is kept for {}{set}; the copy may take until {}.", hours(now), hours(planned));
    let mend = keep_longer(side, planned.max(needed));
    if kept < needed {
        return check.fail("the binary log is not kept for long enough", read, mend);
    }
    if kept < planned {
        return check.warn("the binary log is kept for less than the copy may take", read, mend);
    }
    check.pass("the binary log is kept for long enough", read)
}

fn keep_longer(side: &Survey, seconds: i64) -> Vec<String> {
    if side.server.rds {
        let hours = seconds.div_euclid(HOUR_S) + 1;
        return vec![format!("CALL mysql.rds_set_configuration('binlog retention hours', {hours});")];
    }
    change(side, "binlog_expire_logs_seconds", &seconds.to_string())
}

fn hours(seconds: i64) -> String {
    match seconds {
        0..HOUR_S => format!("{seconds} s"),
        _ => format!("{} h", seconds / HOUR_S),
    }
}

/// A server that follows logs what it applies only with this: whoever follows *it* (a replica, the way back's reader of a
/// target that takes the backlog) needs it.
fn forwards(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "log-replica-updates",
        system: &side.system,
        why: "Without it a server's own log lacks what it was sent: replicas behind it miss that, and its GTIDs have \
              to be kept elsewhere.",
    };
    let name = if side.variable("log_replica_updates").is_some() { "log_replica_updates" } else { "log_slave_updates" };
    let read = format!("{name} is {}.", side.variable(name).unwrap_or("unknown"));
    if side.is_on(name) {
        return check.pass("what is applied is logged too", read);
    }
    if input.wanted.way_back || !side.activity.readers.is_empty() {
        return check.fail("what is applied is not logged", read, change(side, name, "ON"));
    }
    check.warn("what is applied is not logged", read, change(side, name, "ON"))
}

fn durable(side: &Survey) -> Finding {
    let check = Check {
        id: "durability",
        system: &side.system,
        why: "The barrier says that everything has arrived; without these a crash of the target right after it loses \
              the last second, and the source no longer has the traffic.",
    };
    let flush = side.variable("innodb_flush_log_at_trx_commit").unwrap_or("unknown");
    let sync = side.variable("sync_binlog").unwrap_or("unknown");
    let read = format!("innodb_flush_log_at_trx_commit is {flush}, sync_binlog is {sync}.");
    if flush == "1" && sync == "1" {
        return check.pass("a commit survives a crash", read);
    }
    let mut mend = change(side, "innodb_flush_log_at_trx_commit", "1");
    mend.extend(change(side, "sync_binlog", "1"));
    check.warn("a commit does not survive a crash", format!("{read} Both must be 1."), mend)
}

/// Bytes of the log, for people.
pub(super) fn size(side: &Survey) -> String {
    side.disk.binlog_bytes.map_or_else(|| "unknown".to_owned(), bytes)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{judged, judged_mariadb, set};
    use crate::runbook::units::Span;

    #[test]
    fn the_log_is_needed_on_both_sides_when_a_way_back_is_kept() {
        for (id, name, value) in [
            ("binary-log", "log_bin", "OFF"),
            ("binlog-format", "binlog_format", "MIXED"),
            ("binlog-row-image", "binlog_row_image", "MINIMAL"),
        ] {
            let with = |side: &'static str, way_back| {
                judged(id, side, move |input| {
                    input.wanted.way_back = way_back;
                    set(if side == "source" { &mut input.source } else { &mut input.target }, name, value);
                })
                .level
            };
            assert_eq!(
                [with("source", false), with("target", true), with("target", false)],
                [Level::Fail, Level::Fail, Level::Warn],
                "{id}"
            );
            assert_eq!(judged(id, "target", |_| ()).level, Level::Pass);
        }
        let rds = judged("binary-log", "target", |input| {
            input.target.server.rds = true;
            set(&mut input.target, "log_bin", "OFF");
        });
        assert!(rds.mend[0].contains("backup"));
    }

    #[test]
    fn a_filtered_log_is_refused() {
        let found = judged("binlog-filters", "source", |input| set(&mut input.source, "binlog_ignore_db", "audit"));
        assert!(found.level == Level::Fail && found.detail == "binlog_ignore_db = audit.");
        assert_eq!(judged("binlog-filters", "source", |_| ()).level, Level::Pass);
    }

    #[test]
    fn the_log_is_kept_for_the_planned_time() {
        let with = |seconds: &'static str| {
            judged("binlog-retention", "source", move |input| {
                set(&mut input.source, "binlog_expire_logs_seconds", seconds);
            })
            .level
        };
        assert_eq!(
            [with("2592000"), with("0"), with("7200"), with("60")],
            [Level::Pass, Level::Pass, Level::Warn, Level::Fail]
        );
        let large = judged("binlog-retention", "source", |input| {
            input.source.tables[0].bytes = 1 << 40;
            set(&mut input.source, "binlog_expire_logs_seconds", "86400");
        });
        assert_eq!(large.level, Level::Fail, "a terabyte is not copied in half a day");
        let days = judged_mariadb("binlog-retention", "source", |input| {
            set(&mut input.source, "binlog_expire_logs_seconds", "0");
            set(&mut input.source, "expire_logs_days", "0.5");
        });
        assert!(days.level == Level::Warn && days.detail.contains("12 h"));
    }

    #[test]
    fn rds_keeps_it_only_when_told_and_a_run_tells_the_target() {
        let source = |hours| {
            judged("binlog-retention", "source", move |input| {
                input.source.server.rds = true;
                input.source.server.rds_retention_hours = hours;
            })
        };
        let levels = [source(Some(None)), source(Some(Some(48))), source(None)].map(|finding| finding.level);
        assert_eq!(levels, [Level::Fail, Level::Pass, Level::Warn]);
        assert_eq!(source(Some(None)).mend, ["CALL mysql.rds_set_configuration('binlog retention hours', 25);"]);
        let target = |hours, limit: u64| {
            judged("binlog-retention", "target", move |input| {
                input.target.server.rds = true;
                input.target.server.rds_retention_hours = Some(hours);
                input.wanted.copy_limit = Span::secs(limit);
            })
        };
        let set = target(None, 24 * 3600);
        assert!(set.level == Level::Pass && set.detail.contains("`replicate` has it kept for 25 h"), "{}", set.detail);
        let enough = target(Some(48), 24 * 3600);
        assert!(enough.level == Level::Pass && !enough.detail.contains("`replicate`"), "{}", enough.detail);
        assert_eq!(target(None, 10 * 24 * 3600).level, Level::Warn, "RDS keeps it for seven days at most");
    }

    #[test]
    fn a_target_must_log_what_it_applies() {
        let off = |way_back| {
            judged("log-replica-updates", "target", move |input| {
                input.wanted.way_back = way_back;
                set(&mut input.target, "log_replica_updates", "OFF");
            })
            .level
        };
        assert_eq!([off(true), off(false)], [Level::Fail, Level::Warn]);
        assert_eq!(judged_mariadb("log-replica-updates", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn a_commit_on_the_target_must_survive_a_crash() {
        let found = judged("durability", "target", |input| set(&mut input.target, "sync_binlog", "0"));
        assert_eq!((found.level, found.mend[1].as_str()), (Level::Warn, "SET PERSIST sync_binlog = 1;"));
        assert_eq!(judged("durability", "target", |_| ()).level, Level::Pass);
    }
}
