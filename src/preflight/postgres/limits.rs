//! Slots, senders and workers: what is needed on each side, and what is free.
//!
//! Forward, the source needs one slot and one sender, and one more of each for every table that is copied at the same
//! time; the target an apply worker, the sync workers and an origin for each. The way back needs a slot and a sender
//! on the target, an apply worker and an origin on the source.

use super::PreflightInput;
use super::finding::{Check, Finding};
use super::settings::change;
use crate::systems::postgres::survey::Survey;

/// One limit of one side.
struct Need {
    id: &'static str,
    why: &'static str,
    setting: &'static str,
    used: Option<i64>,
    needed: i64,
}

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let sync = input.sync_workers();
    let back = i64::from(input.wanted.way_back);
    let mut findings = Vec::new();
    for need in published(&input.source, 1 + sync).into_iter().chain(subscribed(&input.source, back)) {
        findings.push(limit(&input.source, &need));
    }
    for need in published(&input.target, back).into_iter().chain(subscribed(&input.target, 1 + sync)) {
        findings.push(limit(&input.target, &need));
    }
    findings.push(sync_workers(input));
    findings
}

fn published(side: &Survey, needed: i64) -> [Need; 2] {
    [
        Need {
            id: "replication-slots",
            why: "Without a free slot the subscription or the way back can't be made, or a table's copy waits for \
                  ever.",
            setting: "max_replication_slots",
            used: Some(side.usage.slots),
            needed,
        },
        Need {
            id: "wal-senders",
            why: "Each subscription and each table that is being copied holds one sender; without a free one they \
                  retry for ever.",
            setting: "max_wal_senders",
            used: Some(side.usage.senders),
            needed,
        },
    ]
}

fn subscribed(side: &Survey, needed: i64) -> [Need; 3] {
    // Until 17 the limit of slots is the limit of origins too, counted apart.
    let origins = if side.major() >= 18 { "max_active_replication_origins" } else { "max_replication_slots" };
    [
        Need {
            id: "logical-workers",
            why: "One worker applies, one copies each table; without a free one replication does not start, and says \
                  so only in the log.",
            setting: "max_logical_replication_workers",
            used: Some(side.usage.logical_workers),
            needed,
        },
        Need {
            id: "worker-processes",
            why: "Logical replication workers, parallel queries and extensions share these; without a free one a \
                  worker does not start.",
            setting: "max_worker_processes",
            used: side.usage.worker_processes,
            needed,
        },
        Need {
            id: "replication-origins",
            why: "A subscription and each table that is being copied remember how far they are in an origin.",
            setting: origins,
            used: Some(side.usage.origins),
            needed,
        },
    ]
}

fn limit(side: &Survey, need: &Need) -> Finding {
    let check = Check { id: need.id, system: &side.system, why: need.why };
    let Need { setting, needed, .. } = *need;
    let Some(limit) = side.number(setting) else {
        return check.warn(format!("{setting} can't be read"), format!("{needed} free are needed."), Vec::new());
    };
    // The launcher is always there; what else runs is hidden from a role that does not see other sessions.
    let used = need.used.unwrap_or(1 + side.usage.logical_workers);
    let free = limit - used;
    let read = format!("{setting} is {limit}, {used} in use, {free} free; {needed} free are needed.");
    if free < needed {
        return check.fail(
            format!("{setting} is too small"),
            read,
            change(side, setting, &(used + needed).to_string()),
        );
    }
    check.pass(format!("{setting} is enough"), read)
}

fn sync_workers(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "sync-workers",
        system: &side.system,
        why: "Tables are copied by this many workers at the same time, whatever the runbook asks for.",
    };
    let setting = "max_sync_workers_per_subscription";
    let wanted = i64::from(input.wanted.workers);
    let Some(limit) = side.number(setting) else {
        return check.warn(format!("{setting} can't be read"), format!("{wanted} are wanted."), Vec::new());
    };
    let read = format!("{setting} is {limit}; the runbook's `workers` is {wanted}.");
    let mend = change(side, setting, &wanted.max(1).to_string());
    match limit {
        0 => check.fail("no table can be copied", read, mend),
        limit if limit < wanted => check.warn("fewer tables are copied at the same time than wanted", read, mend),
        _ => check.pass("as many tables are copied at the same time as wanted", read),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{judged, set};

    /// Level with `free` left of `setting` beyond what is in use.
    fn with(id: &str, side: &'static str, setting: &'static str, limit: &'static str) -> super::Finding {
        judged(id, side, move |input| {
            let survey = if side == "source" { &mut input.source } else { &mut input.target };
            survey.usage.slots = 2;
            survey.usage.senders = 2;
            survey.usage.logical_workers = 2;
            survey.usage.worker_processes = Some(2);
            survey.usage.origins = 2;
            set(survey, setting, limit);
        })
    }

    #[test]
    fn forward_needs_one_and_the_sync_workers() {
        for (id, setting) in [("replication-slots", "max_replication_slots"), ("wal-senders", "max_wal_senders")] {
            assert_eq!(with(id, "source", setting, "7").level, Level::Pass);
            let refused = with(id, "source", setting, "6");
            assert_eq!(refused.level, Level::Fail);
            assert!(refused.detail.contains("2 in use, 4 free; 5 free are needed"), "{}", refused.detail);
            assert_eq!(refused.mend[0], format!("ALTER SYSTEM SET {setting} = '7';"));
        }
        for (id, setting) in [
            ("logical-workers", "max_logical_replication_workers"),
            ("worker-processes", "max_worker_processes"),
            ("replication-origins", "max_active_replication_origins"),
        ] {
            assert_eq!(with(id, "target", setting, "7").level, Level::Pass);
            assert_eq!(with(id, "target", setting, "6").level, Level::Fail);
        }
    }

    #[test]
    fn the_way_back_needs_one_of_each_on_the_other_side() {
        for (id, side, setting) in [
            ("replication-slots", "target", "max_replication_slots"),
            ("wal-senders", "target", "max_wal_senders"),
            ("logical-workers", "source", "max_logical_replication_workers"),
            ("worker-processes", "source", "max_worker_processes"),
            ("replication-origins", "source", "max_replication_slots"),
        ] {
            assert_eq!(with(id, side, setting, "3").level, Level::Pass, "{id}");
            assert_eq!(with(id, side, setting, "2").level, Level::Fail, "{id}");
        }
        let without = judged("wal-senders", "target", |input| {
            input.wanted.way_back = false;
            set(&mut input.target, "max_wal_senders", "0");
        });
        assert_eq!(without.level, Level::Pass);
    }

    #[test]
    fn hidden_workers_are_estimated() {
        let hidden = judged("worker-processes", "target", |input| {
            input.target.usage.worker_processes = None;
            set(&mut input.target, "max_worker_processes", "5");
        });
        assert_eq!(hidden.level, Level::Fail);
        assert!(hidden.detail.contains("1 in use"));
    }

    #[test]
    fn sync_workers_bound_what_the_runbook_wants() {
        let with = |limit: &'static str| {
            judged("sync-workers", "target", move |input| {
                set(&mut input.target, "max_sync_workers_per_subscription", limit);
            })
        };
        assert_eq!([with("4").level, with("2").level, with("0").level], [Level::Pass, Level::Warn, Level::Fail]);
        let bounded = judged("wal-senders", "source", |input| {
            set(&mut input.target, "max_sync_workers_per_subscription", "2");
            set(&mut input.source, "max_wal_senders", "3");
        });
        assert_eq!(bounded.level, Level::Pass, "only 2 are used at the same time");
    }
}
