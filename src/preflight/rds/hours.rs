//! Maintenance and backup windows of RDS that the run may fall into. Both are in UTC.

use jiff::{SignedDuration, Timestamp};

use super::finding::Finding;
use super::{Check, Facts};
use crate::gates;

const DAY: i64 = 24 * 60;
const WEEK: i64 = 7 * DAY;
/// A run takes longer than it waits.
const MARGIN: i64 = 120;
/// Moments are looked at in these steps, in minutes.
const STEP: usize = 5;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    vec![maintenance(facts), backup(facts)]
}

/// A span that comes again: minutes from the beginning of its period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Again {
    from: i64,
    minutes: i64,
    period: i64,
}

impl Again {
    /// `sun:05:00-sun:05:30`, or `04:00-04:30`.
    fn read(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, period) = minute(from)?;
        let (to, _) = minute(to)?;
        Some(Self { from, minutes: (to - from).rem_euclid(period), period })
    }

    fn holds(self, at: Timestamp) -> bool {
        // 1970 began on a Thursday.
        let now = at.as_second().div_euclid(60) + 3 * DAY;
        (now - self.from).rem_euclid(self.period) < self.minutes
    }
}

fn minute(text: &str) -> Option<(i64, i64)> {
    let (day, time) = match text.split_once(':')? {
        (day, time) if time.contains(':') => (Some(day), time),
        _ => (None, text),
    };
    let (hours, minutes) = time.split_once(':')?;
    let of_day = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    match day {
        None => Some((of_day, DAY)),
        Some(day) => Some((i64::try_from(DAYS.iter().position(|name| *name == day)?).ok()? * DAY + of_day, WEEK)),
    }
}

/// The first moment at which the span holds while the run may be at it: within the hours that the runbook names, in the
/// next week; else from now on, for as long as it takes.
fn meets(facts: &Facts, span: Again) -> Option<Timestamp> {
    let part = &facts.part;
    let horizon = if part.hours.is_empty() { part.minutes.saturating_add(MARGIN).min(WEEK) } else { WEEK };
    let at_work = |at: Timestamp| {
        part.hours.iter().all(|gate| gates::time_window::measure(gate, at).verdict == gates::Verdict::Pass)
    };
    let moments =
        (0..horizon).step_by(STEP).filter_map(|minute| part.now.checked_add(SignedDuration::from_mins(minute)).ok());
    moments.into_iter().find(|at| span.holds(*at) && at_work(*at))
}

fn maintenance(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-maintenance-window",
        system: &facts.system,
        why: "In its maintenance window RDS may restart the server, in the middle of the copy or of the window.",
    };
    let text = facts.server().and_then(|server| server.maintenance_window.clone()).unwrap_or_default();
    let Some(at) = Again::read(&text).and_then(|span| meets(facts, span)) else {
        return check.pass("its maintenance window is at another time", format!("{text} UTC."));
    };
    let minor = facts.instance.as_ref().is_some_and(|instance| instance.minor_upgrades);
    let waits = !facts.maintenance.is_empty() || facts.instance.as_ref().is_some_and(|it| !it.pending.is_empty());
    let why = match (waits, minor) {
        (true, _) => "and something waits for it",
        (false, true) => "and minor versions are installed by themselves",
        (false, false) => "and nothing waits for it now",
    };
    let detail = format!("{text} UTC, next at {at}, {why}.");
    let mend = vec![facts.modify("--preferred-maintenance-window DAY:HH:MM-DAY:HH:MM  -- another day;")];
    if waits {
        return check.fail("maintenance would fall into the run", detail, mend);
    }
    check.warn("its maintenance window falls into the run", detail, mend)
}

fn backup(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-backup-window",
        system: &facts.system,
        why: "While a backup begins, I/O of a server in one zone can stand still for seconds.",
    };
    let Some(server) = facts.server().filter(|server| server.backup_days > 0) else {
        return check.pass("no backup will begin", "none are made.");
    };
    let text = server.backup_window.clone().unwrap_or_default();
    let met = Again::read(&text).and_then(|span| meets(facts, span));
    match met.filter(|_| !server.multi_az && facts.cluster.is_none()) {
        None => check.pass("no backup gets in the way", format!("{text} UTC.")),
        Some(at) => {
            let mend = vec![facts.modify("--preferred-backup-window HH:MM-HH:MM")];
            check.warn("a backup may begin during the run", format!("{text} UTC, next at {at}."), mend)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::judged;
    use super::*;
    use crate::preflight::Level;

    #[test]
    fn spans_come_again_every_week_or_day() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let weekly = Again::read("sun:23:45-mon:00:15").unwrap();
        assert_eq!((weekly.minutes, weekly.period), (30, WEEK));
        // 2026-11-29 is a Sunday.
        assert!(weekly.holds(at("2026-11-29T23:45:00Z")) && weekly.holds(at("2026-11-30T00:14:00Z")));
        assert!(!weekly.holds(at("2026-11-30T00:15:00Z")) && !weekly.holds(at("2026-11-28T23:50:00Z")));
        let daily = Again::read("04:00-04:30").unwrap();
        assert!(daily.holds(at("2026-11-25T04:29:00Z")) && !daily.holds(at("2026-11-25T04:30:00Z")));
        assert_eq!(Again::read("whenever"), None);
    }

    /// The facts are of a Wednesday, 10:00, and the run takes an hour at least.
    #[test]
    fn maintenance_must_not_fall_into_the_run() {
        let of = |window: &'static str, pending: bool| {
            judged("rds-maintenance-window", move |facts| {
                facts.instance().server.maintenance_window = Some(window.into());
                if pending {
                    facts.maintenance = vec![("system-update".into(), None)];
                }
            })
            .level
        };
        assert_eq!((of("wed:11:00-wed:11:30", false), of("wed:11:00-wed:11:30", true)), (Level::Warn, Level::Fail));
        assert_eq!((of("wed:09:00-wed:10:00", true), of("sun:05:00-sun:05:30", true)), (Level::Pass, Level::Pass));
    }

    #[test]
    fn the_hours_that_the_runbook_names_count() {
        let of = |window: &'static str| {
            judged("rds-maintenance-window", move |facts| {
                let gate = serde_json::json!({ "from": "02:00", "to": "05:00", "timezone": "Europe/Berlin" });
                facts.part.hours = vec![serde_json::from_value(gate).unwrap()];
                facts.instance().server.maintenance_window = Some(window.into());
            })
            .level
        };
        // 05:00 in Berlin is 04:00 in winter.
        assert_eq!((of("sun:03:50-sun:04:20"), of("sun:04:00-sun:04:30")), (Level::Warn, Level::Pass));
    }

    #[test]
    fn backups_disturb_servers_in_one_zone() {
        let of = |multi_az| {
            judged("rds-backup-window", move |facts| {
                let server = &mut facts.instance().server;
                (server.multi_az, server.backup_window) = (multi_az, Some("11:00-11:30".into()));
            })
            .level
        };
        assert_eq!((of(true), of(false)), (Level::Pass, Level::Warn));
    }
}
