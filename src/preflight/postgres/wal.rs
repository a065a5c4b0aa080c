//! Write-ahead log: its level, how long it is kept, and the room for it.

use super::PreflightInput;
use super::finding::{Check, Finding, bytes};
use super::settings::change;
use crate::systems::postgres::survey::Survey;

const MIB: i64 = 1 << 20;
/// Room that we take for enough for WAL whatever the size of the database.
const PLENTY: i64 = 64 << 30;
const DAY_S: i64 = 24 * 3600;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = vec![level(&input.source, true, input), level(&input.target, false, input)];
    for side in input.sides() {
        findings.extend([keep_size(side, input), idle_timeout(side), sender_timeout(side)]);
    }
    findings.extend([source_room(input), target_room(input)]);
    findings
}

fn level(side: &Survey, is_source: bool, input: &PreflightInput) -> Finding {
    let why = if is_source {
        "Logical replication reads changes from the log, and only wal_level = logical writes them there."
    } else {
        "The way back replicates from the target to the source, so the target's log must have the changes in it too."
    };
    let check = Check { id: "wal-level", system: &side.system, why };
    let level = side.setting("wal_level").unwrap_or("unknown");
    let read = format!("wal_level is {level}; logical is needed.");
    if level == "logical" {
        return check.pass("wal_level is logical", read);
    }
    if !is_source && !input.wanted.way_back {
        return check.warn(
            format!("wal_level is {level}, so no way back can be kept"),
            read,
            change(side, "wal_level", "logical"),
        );
    }
    check.fail(format!("wal_level is {level}"), read, change(side, "wal_level", "logical"))
}

fn keep_size(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "max-slot-wal-keep-size",
        system: &side.system,
        why: "A slot whose reader stalls keeps WAL until the disk is full (no limit), or is lost and the copy begins \
              again (limit too small).",
    };
    let Some(limit) = side.number("max_slot_wal_keep_size") else {
        return check.warn(
            "max_slot_wal_keep_size can't be read",
            "It is not known how much WAL a slot may keep.",
            Vec::new(),
        );
    };
    if limit < 0 {
        if side.disk.free_bytes.is_some_and(|free| free > PLENTY.unsigned_abs()) {
            return check.pass(
                "a slot may keep any amount of WAL",
                "max_slot_wal_keep_size is -1, and there is plenty of room.",
            );
        }
        let mut mend = vec!["-- as much as the disk can spare:".to_owned()];
        mend.extend(change(side, "max_slot_wal_keep_size", "50GB"));
        mend.push(
            "SELECT slot_name, wal_status, restart_lsn FROM pg_replication_slots; -- watch it meanwhile".to_owned(),
        );
        return check.warn(
            "a slot may keep WAL until the disk is full",
            "max_slot_wal_keep_size is -1: no limit.",
            mend,
        );
    }
    let (limit, whole) = (limit.saturating_mul(MIB), input.source.database.bytes);
    let read = format!("max_slot_wal_keep_size is {}; the source database has {}.", bytes(limit), bytes(whole));
    if limit < whole {
        let wanted = format!("{}MB", whole / MIB + 1);
        return check.warn(
            "a slot may be lost during the initial copy",
            read,
            change(side, "max_slot_wal_keep_size", &wanted),
        );
    }
    check.pass("a slot may keep WAL, up to a limit", read)
}

fn idle_timeout(side: &Survey) -> Finding {
    let check = Check {
        id: "idle-replication-slot-timeout",
        system: &side.system,
        why: "A slot that nobody reads for that long is invalidated: the way back waits unread until the window, and \
              a held run reads nothing.",
    };
    match side.number("idle_replication_slot_timeout") {
        None | Some(0) => {
            check.pass("idle slots are kept", "idle_replication_slot_timeout is 0, or the server has none (before 18).")
        }
        Some(seconds) => {
            let read = format!("idle_replication_slot_timeout is {seconds} s; 0 is needed while the run lasts.");
            let mend = change(side, "idle_replication_slot_timeout", "0");
            if seconds < DAY_S {
                return check.fail("idle slots are soon invalidated", read, mend);
            }
            check.warn("idle slots are invalidated after a while", read, mend)
        }
    }
}

fn sender_timeout(side: &Survey) -> Finding {
    let check = Check {
        id: "wal-sender-timeout",
        system: &side.system,
        why: "Too short, and a slow network or a large transaction breaks the stream again and again; 0, and a dead \
              peer is never noticed.",
    };
    let Some(timeout) = side.number("wal_sender_timeout") else {
        return check.warn("wal_sender_timeout can't be read", "It is not known.", Vec::new());
    };
    let read = format!("wal_sender_timeout is {timeout} ms; 60000 is usual.");
    if timeout < 10_000 {
        return check.warn("wal_sender_timeout is unusual", read, change(side, "wal_sender_timeout", "60s"));
    }
    check.pass("wal_sender_timeout is sensible", read)
}

fn source_room(input: &PreflightInput) -> Finding {
    let side = &input.source;
    let check = Check {
        id: "disk-room",
        system: &side.system,
        why: "While the copy runs and whenever the target stalls, the source keeps the WAL written since; a full \
              disk stops production.",
    };
    let whole = side.database.bytes;
    let wal = side.disk.wal_bytes.map_or_else(|| "unknown".to_owned(), bytes);
    let read = format!("The database has {}, pg_wal {wal}.", bytes(whole));
    let Some(free) = free(side) else {
        return check.warn(
            "room for WAL on the source is not known",
            format!("{read} PostgreSQL can't tell free room."),
            look(side),
        );
    };
    let read = format!("{read} Free: {}.", bytes(free));
    if free < whole.min(PLENTY) {
        return check.warn("there may be too little room for WAL", read, look(side));
    }
    check.pass("there is room for WAL", read)
}

fn target_room(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "disk-room",
        system: &side.system,
        why: "The target takes the whole database, its indexes and the WAL of writing them; a full disk stops the \
              copy at its end.",
    };
    let whole = input.source.database.bytes;
    let Some(free) = free(side) else {
        let needed = bytes(whole.saturating_mul(3) / 2);
        let read = format!(
            "The source database has {}; at least {needed} should be free. PostgreSQL can't tell free room.",
            bytes(whole)
        );
        return check.warn("room on the target is not known", read, look(side));
    };
    let read = format!("Free: {}; the source database has {}.", bytes(free), bytes(whole));
    if free < whole {
        return check.fail("the database does not fit on the target", read, look(side));
    }
    if free < whole.saturating_mul(3) / 2 {
        return check.warn("the database barely fits on the target", read, look(side));
    }
    check.pass("the database fits on the target", read)
}

fn free(side: &Survey) -> Option<i64> {
    side.disk.free_bytes.map(|free| i64::try_from(free).unwrap_or(i64::MAX))
}

/// How a person finds out, and makes room.
fn look(side: &Survey) -> Vec<String> {
    if side.server.rds {
        return vec!["-- look at CloudWatch FreeStorageSpace; enlarge allocated storage if needed".to_owned()];
    }
    let folder = side.disk.data_directory.as_deref().unwrap_or("the data directory (SHOW data_directory)");
    vec![format!("-- on the server: df -h {folder} {folder}/pg_wal")]
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{judged, set};

    #[test]
    fn wal_level_is_needed_on_both_sides_when_a_way_back_is_kept() {
        let with = |side: &'static str, level: &'static str, way_back| {
            judged("wal-level", side, move |input| {
                input.wanted.way_back = way_back;
                let survey = if side == "source" { &mut input.source } else { &mut input.target };
                set(survey, "wal_level", level);
            })
        };
        assert_eq!(with("source", "logical", true).level, Level::Pass);
        assert_eq!(with("source", "replica", false).level, Level::Fail);
        assert_eq!(with("target", "replica", true).level, Level::Fail);
        assert_eq!(with("target", "replica", false).level, Level::Warn);
        assert_eq!(with("target", "replica", true).mend[0], "ALTER SYSTEM SET wal_level = 'logical';");
    }

    #[test]
    fn rds_is_told_its_parameter() {
        let found = judged("wal-level", "target", |input| {
            input.target.server.rds = true;
            set(&mut input.target, "wal_level", "replica");
        });
        assert!(found.mend[0].contains("rds.logical_replication = 1") && found.mend[0].contains("reboot"), "{found:?}");
    }

    #[test]
    fn wal_kept_without_limit_or_too_short_warns() {
        let with = |limit: &'static str, free| {
            judged("max-slot-wal-keep-size", "source", move |input| {
                set(&mut input.source, "max_slot_wal_keep_size", limit);
                input.source.disk.free_bytes = free;
            })
            .level
        };
        assert_eq!(with("10240", None), Level::Pass);
        assert_eq!(with("-1", None), Level::Warn);
        assert_eq!(with("-1", Some(100 << 30)), Level::Pass);
        assert_eq!(with("1", None), Level::Warn);
    }

    #[test]
    fn a_short_idle_timeout_is_refused() {
        let with = |seconds: &'static str| {
            let id = "idle-replication-slot-timeout";
            judged(id, "target", move |input| set(&mut input.target, "idle_replication_slot_timeout", seconds)).level
        };
        assert_eq!([with("0"), with("3600"), with("604800")], [Level::Pass, Level::Fail, Level::Warn]);
        let before_18 = judged("idle-replication-slot-timeout", "source", |input| {
            input.source.settings.remove("idle_replication_slot_timeout");
        });
        assert_eq!(before_18.level, Level::Pass);
    }

    #[test]
    fn unusual_sender_timeouts_warn() {
        let with = |millis: &'static str| {
            judged("wal-sender-timeout", "source", move |input| set(&mut input.source, "wal_sender_timeout", millis))
                .level
        };
        assert_eq!([with("60000"), with("0"), with("5000")], [Level::Pass, Level::Warn, Level::Warn]);
    }

    #[test]
    fn room_is_judged_when_known_and_asked_for_when_not() {
        let target = |free, size| {
            judged("disk-room", "target", move |input| {
                input.target.disk.free_bytes = free;
                input.source.database.bytes = size;
            })
        };
        assert_eq!(target(Some(20 << 30), 10 << 30).level, Level::Pass);
        assert_eq!(target(Some(11 << 30), 10 << 30).level, Level::Warn);
        assert_eq!(target(Some(9 << 30), 10 << 30).level, Level::Fail);
        assert!(target(None, 10 << 30).mend[0].contains("df -h /data"));
        let source = |free| {
            judged("disk-room", "source", move |input| {
                input.source.disk.free_bytes = free;
                input.source.database.bytes = 10 << 30;
            })
            .level
        };
        assert_eq!(
            [source(Some(20 << 30)), source(Some(1 << 30)), source(None)],
            [Level::Pass, Level::Warn, Level::Warn]
        );
    }
}
