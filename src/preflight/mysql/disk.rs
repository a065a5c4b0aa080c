//! Room for the rows and for the log.

use super::PreflightInput;
use super::finding::{Check, Finding, bytes};
use crate::systems::mysql::survey::Survey;

/// Room that we take for enough for the log whatever the size of the data.
const PLENTY: i64 = 64 << 30;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![source(input), target(input)]
}

fn source(input: &PreflightInput) -> Finding {
    let side = &input.source;
    let check = Check {
        id: "disk-room",
        system: &side.system,
        why: "The log must be kept until the target has read it, so it grows meanwhile; a full disk stops production.",
    };
    let whole = input.bytes();
    let read = format!("The tables have {}, the binary log {}.", bytes(whole), super::binlog::size(side));
    let Some(free) = free(side) else {
        return check.warn(
            "room for the log on the source is not known",
            format!("{read} SQL can't tell free room."),
            look(side),
        );
    };
    let read = format!("{read} Free: {}.", bytes(free));
    if free < whole.min(PLENTY) {
        return check.warn("there may be too little room for the log", read, look(side));
    }
    check.pass("there is room for the log", read)
}

fn target(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "disk-room",
        system: &side.system,
        why: "The target takes all tables, the log of writing them and the relay log; a full disk stops the copy at its end.",
    };
    let whole = input.bytes();
    let needed = whole.saturating_mul(2);
    let Some(free) = free(side) else {
        let read = format!(
            "The tables have {}; at least {} should be free. SQL can't tell free room.",
            bytes(whole),
            bytes(needed)
        );
        return check.warn("room on the target is not known", read, look(side));
    };
    let read = format!("Free: {}; the tables have {}.", bytes(free), bytes(whole));
    if free < whole {
        return check.fail("the tables do not fit on the target", read, look(side));
    }
    if free < needed {
        return check.warn("the tables barely fit on the target", read, look(side));
    }
    check.pass("the tables fit on the target", read)
}

fn free(side: &Survey) -> Option<i64> {
    side.disk.free_bytes.map(|free| i64::try_from(free).unwrap_or(i64::MAX))
}

/// How a person finds out, and makes room.
fn look(side: &Survey) -> Vec<String> {
    if side.server.rds {
        return vec!["-- look at CloudWatch FreeStorageSpace; enlarge allocated storage if needed".to_owned()];
    }
    let folder = side.disk.folder.as_deref().unwrap_or("the data folder (SELECT @@datadir)");
    vec![format!("-- on the server: df -h {folder}")]
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::judged;

    #[test]
    fn room_is_judged_when_known_and_asked_for_when_not() {
        let with = |system: &'static str, free| {
            judged("disk-room", system, move |input| {
                input.source.tables[0].bytes = 10 << 30;
                input.source.disk.free_bytes = free;
                input.target.disk.free_bytes = free;
            })
        };
        let target = [Some(30 << 30), Some(11 << 30), Some(9 << 30), None].map(|free| with("target", free).level);
        assert_eq!(target, [Level::Pass, Level::Warn, Level::Fail, Level::Warn]);
        let source = [Some(30 << 30), Some(1 << 30), None].map(|free| with("source", free).level);
        assert_eq!(source, [Level::Pass, Level::Warn, Level::Warn]);
        assert!(with("target", None).mend[0].contains("df -h /data"));
    }
}
