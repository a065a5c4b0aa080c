//! The time of day, in a time zone, across midnight and across the change of the clocks.

use jiff::civil::{Time, Weekday};
use jiff::{Timestamp, Zoned};

use super::Reading;
use crate::runbook::model::{Day, TimeWindow};

pub fn measure(gate: &TimeWindow, now: Timestamp) -> Reading {
    let threshold = threshold(gate);
    match read(gate, now) {
        Ok((local, inside)) => Reading::known(inside, local.strftime("%a %H:%M %Z").to_string(), &threshold),
        Err(reason) => Reading::error(reason, &threshold),
    }
}

pub fn threshold(gate: &TimeWindow) -> String {
    let days: Vec<String> = gate.days.iter().map(|day| format!("{day:?}").to_lowercase()).collect();
    let days = if days.is_empty() { String::new() } else { format!(", {}", days.join(" ")) };
    format!("{} to {} {}{days}", gate.from, gate.to, gate.timezone)
}

fn read(gate: &TimeWindow, now: Timestamp) -> Result<(Zoned, bool), String> {
    let local = now.in_tz(&gate.timezone).map_err(|_| format!("`{}` is not a time zone", gate.timezone))?;
    let (from, to) = (clock_time(&gate.from)?, clock_time(&gate.to)?);
    let time = local.time();
    // Wall-clock times are compared, so an hour that the clocks skip is a short window, not a lost one.
    #[expect(clippy::comparison_chain, reason = "three cases in the order in which people think of them")]
    let (inside, began_today) = if from < to {
        (from <= time && time < to, true)
    } else if from == to {
        (true, time >= from)
    } else {
        (time >= from || time < to, time >= from)
    };
    let weekday = if began_today { local.weekday() } else { local.weekday().previous() };
    Ok((local, inside && (gate.days.is_empty() || gate.days.iter().any(|day| is_day(*day, weekday)))))
}

fn clock_time(text: &str) -> Result<Time, String> {
    let parts = text.split_once(':').and_then(|(hour, minute)| Some((hour.parse().ok()?, minute.parse().ok()?)));
    match parts {
        Some((24, 0)) => Some(Time::midnight()),
        Some((hour, minute)) => Time::new(hour, minute, 0, 0).ok(),
        None => None,
    }
    .ok_or_else(|| format!("`{text}` is not HH:MM"))
}

const fn is_day(day: Day, weekday: Weekday) -> bool {
    matches!(
        (day, weekday),
        (Day::Mon, Weekday::Monday)
            | (Day::Tue, Weekday::Tuesday)
            | (Day::Wed, Weekday::Wednesday)
            | (Day::Thu, Weekday::Thursday)
            | (Day::Fri, Weekday::Friday)
            | (Day::Sat, Weekday::Saturday)
            | (Day::Sun, Weekday::Sunday)
    )
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::runbook::model::GateRules;

    fn inside(from: &str, to: &str, days: &[Day], now: &str) -> bool {
        let (from, to, timezone) = (from.to_owned(), to.to_owned(), "Europe/Berlin".to_owned());
        let gate = TimeWindow { from, to, timezone, days: days.to_vec(), rules: GateRules::default() };
        measure(&gate, now.parse().unwrap()).verdict == Verdict::Pass
    }

    #[test]
    fn within_a_day() {
        assert!(inside("09:00", "17:00", &[], "2026-11-20T08:00:00Z"));
        assert!(!inside("09:00", "17:00", &[], "2026-11-20T07:59:59Z"));
        assert!(!inside("09:00", "17:00", &[], "2026-11-20T16:00:00Z"), "the end is outside");
        assert!(inside("09:00", "24:00", &[], "2026-11-20T22:59:00Z"));
    }

    #[test]
    fn across_midnight_belongs_to_the_day_it_began_on() {
        // 2026-11-20 is a Friday.
        assert!(inside("22:00", "04:00", &[Day::Fri], "2026-11-20T21:30:00Z"));
        assert!(inside("22:00", "04:00", &[Day::Fri], "2026-11-21T02:30:00Z"));
        assert!(!inside("22:00", "04:00", &[Day::Sat], "2026-11-21T02:30:00Z"));
        assert!(!inside("22:00", "04:00", &[Day::Fri], "2026-11-20T03:30:00Z".replace("-20T03", "-20T02").as_str()));
        assert!(!inside("22:00", "04:00", &[], "2026-11-20T12:00:00Z"));
    }

    #[test]
    fn follows_the_change_of_the_clocks() {
        // In Berlin the clocks skip 02:00 to 03:00 on 2026-03-29, and repeat it on 2026-10-25.
        assert!(!inside("03:00", "04:00", &[], "2026-03-29T00:59:00Z"));
        assert!(inside("03:00", "04:00", &[], "2026-03-29T01:00:00Z"));
        assert!(inside("02:00", "03:00", &[], "2026-10-25T00:30:00Z"));
        assert!(inside("02:00", "03:00", &[], "2026-10-25T01:30:00Z"));
    }

    #[test]
    fn what_is_no_time_is_an_error() {
        let gate = |from: &str, timezone: &str| TimeWindow {
            from: from.into(),
            to: "04:00".into(),
            timezone: timezone.into(),
            days: Vec::new(),
            rules: GateRules::default(),
        };
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        assert_eq!(measure(&gate("25:00", "UTC"), now).verdict, Verdict::Error);
        assert_eq!(measure(&gate("02:00", "Mars/Olympus"), now).verdict, Verdict::Error);
    }
}
