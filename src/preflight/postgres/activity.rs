//! What goes on now: transactions, prepared ones, slots and subscriptions, ours and others'.

use super::PreflightInput;
use super::finding::{Check, Finding, bytes, count, names};
use crate::systems::postgres::survey::{OldTransaction, Survey};
use crate::systems::postgres::{ident, literal};

/// Slots, subscriptions and publications of this name are ours.
const OURS: &str = "pointsman_";
/// Transactions that are older hold up slots and the pooler's pause noticeably.
const OLD_S: i64 = 30;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = vec![prepared(&input.source)];
    for side in input.sides() {
        findings.extend([transactions(side), leftovers(side), slots(side), subscriptions(side)]);
    }
    findings
}

fn prepared(side: &Survey) -> Finding {
    let check = Check {
        id: "prepared-transactions",
        system: &side.system,
        why: "COMMIT PREPARED passes every fence: it can commit after the drain, and its writes are lost; the slot's \
              start waits for it too.",
    };
    let found = &side.activity.prepared;
    let possible = side.number("max_prepared_transactions").unwrap_or(0);
    if found.is_empty() {
        return check.pass("there is no prepared transaction", format!("max_prepared_transactions is {possible}."));
    }
    let named = found.iter().map(|one| format!("{} of {} in {} ({} s)", one.gid, one.owner, one.database, one.age_s));
    let mend = found
        .iter()
        .map(|one| {
            format!(
                "ROLLBACK PREPARED {}; -- or COMMIT PREPARED, in database {}",
                literal(&one.gid).trim_start(),
                ident(&one.database)
            )
        })
        .collect();
    check.fail(count(found.len(), "prepared transaction", "prepared transactions"), format!("{}.", names(named)), mend)
}

fn transactions(side: &Survey) -> Finding {
    let check = Check {
        id: "long-transactions",
        system: &side.system,
        why: "A slot's start waits for every open transaction that writes, and the pooler's pause for every client \
              that sits in one.",
    };
    let old: Vec<&OldTransaction> = side.activity.transactions.iter().filter(|one| one.age_s >= OLD_S).collect();
    if old.is_empty() {
        if side.role.sees_sessions {
            return check.pass("no transaction is old", format!("None is older than {OLD_S} s."));
        }
        return check.warn(
            "old transactions can't be seen",
            "Our role does not see other roles' sessions.",
            vec![format!("GRANT pg_monitor TO {};", ident(&side.role.name))],
        );
    }
    let named = old.iter().map(|one| {
        format!(
            "pid {} of {} ({}) in {}: {} s, {}",
            one.pid,
            one.role.as_deref().unwrap_or("?"),
            one.application.as_deref().unwrap_or(""),
            one.database.as_deref().unwrap_or("?"),
            one.age_s,
            one.state.as_deref().unwrap_or("state hidden")
        )
    });
    let mend = old.iter().map(|one| format!("SELECT pg_terminate_backend({});", one.pid)).collect();
    check.warn(count(old.len(), "old transaction", "old transactions"), format!("{}.", names(named)), mend)
}

/// What an earlier run left.
fn leftovers(side: &Survey) -> Finding {
    let check = Check {
        id: "own-leftovers",
        system: &side.system,
        why: "An earlier run is still going on or was left unfinished: its slot keeps WAL, and its names are taken.",
    };
    let activity = &side.activity;
    let ours = |name: &str| name.starts_with(OURS);
    let mut found = Vec::new();
    let mut mend = vec![
        "-- an unfinished run: `pointsman runs`, then `pointsman rollback` or `pointsman resume`; if there is none:"
            .to_owned(),
    ];
    for one in activity.subscriptions.iter().filter(|one| ours(&one.name)) {
        let name = ident(&one.name);
        found.push(format!("subscription {}", one.name));
        let alter = format!("ALTER SUBSCRIPTION {name}");
        mend.push(format!("{alter} DISABLE; {alter} SET (slot_name = NONE); DROP SUBSCRIPTION {name};"));
    }
    for one in activity.slots.iter().filter(|one| ours(&one.name)) {
        found.push(format!("slot {}", one.name));
        mend.push(format!("SELECT pg_drop_replication_slot({});", literal(&one.name).trim_start()));
    }
    for one in activity.publications.iter().filter(|one| ours(&one.name)) {
        found.push(format!("publication {}", one.name));
        mend.push(format!("DROP PUBLICATION {};", ident(&one.name)));
    }
    if found.is_empty() {
        return check
            .pass("no earlier run left anything", format!("No slot, subscription or publication begins with {OURS}."));
    }
    check.fail("an earlier run left something", format!("{}.", names(&found)), mend)
}

fn slots(side: &Survey) -> Finding {
    let check = Check {
        id: "other-slots",
        system: &side.system,
        why: "Whoever reads from these slots (a standby, change data capture) does not follow to the target by \
              itself, and a stale one fills the disk.",
    };
    let found: Vec<_> = side.activity.slots.iter().filter(|slot| !slot.name.starts_with(OURS)).collect();
    if found.is_empty() {
        return check.pass("nobody else has a slot", "pg_replication_slots has none but ours.");
    }
    let named = found.iter().map(|slot| {
        let state = if slot.active { "active" } else { "nobody reads" };
        format!(
            "{} ({}, {state}, {}, keeps {})",
            slot.name,
            slot.plugin.as_deref().unwrap_or(&slot.kind),
            slot.wal_status.as_deref().unwrap_or("state unknown"),
            bytes(slot.kept_bytes.unwrap_or(0))
        )
    });
    let mut mend = vec!["-- set up each reader on the target before the switch, or tell its owner".to_owned()];
    mend.extend(found.iter().filter(|slot| !slot.active).map(|slot| {
        format!("SELECT pg_drop_replication_slot({}); -- if it is stale", literal(&slot.name).trim_start())
    }));
    check.warn(count(found.len(), "slot of somebody else", "slots of others"), format!("{}.", names(named)), mend)
}

fn subscriptions(side: &Survey) -> Finding {
    let check = Check {
        id: "other-subscriptions",
        system: &side.system,
        why: "A subscription writes without a client: past the fence on the source, and into a target that only we \
              should write to.",
    };
    let found: Vec<_> = side.activity.subscriptions.iter().filter(|one| !one.name.starts_with(OURS)).collect();
    if found.is_empty() {
        return check.pass("no other subscription writes here", "pg_subscription has none but ours.");
    }
    let named = found.iter().map(|one| format!("{} ({})", one.name, if one.enabled { "enabled" } else { "disabled" }));
    let mend = found.iter().map(|one| format!("ALTER SUBSCRIPTION {} DISABLE;", ident(&one.name))).collect();
    let title = count(found.len(), "subscription of somebody else", "subscriptions of others");
    if found.iter().any(|one| one.enabled) {
        return check.fail(title, format!("{}.", names(named)), mend);
    }
    check.warn(title, format!("{}.", names(named)), mend)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::judged;
    use super::*;
    use crate::systems::postgres::survey::{PreparedTransaction, Publication, Slot, Subscription};

    #[test]
    fn prepared_transactions_are_refused() {
        let found = judged("prepared-transactions", "source", |input| {
            input.source.activity.prepared = vec![PreparedTransaction {
                gid: "it's".into(),
                owner: "app".into(),
                database: "shop".into(),
                age_s: 9,
            }];
        });
        assert_eq!(found.level, Level::Fail);
        assert!(found.mend[0].starts_with("ROLLBACK PREPARED 'it''s';"));
        assert_eq!(judged("prepared-transactions", "source", |_| ()).level, Level::Pass);
    }

    #[test]
    fn old_transactions_are_named_with_their_pid() {
        let with = |age_s| {
            judged("long-transactions", "target", move |input| {
                input.target.activity.transactions =
                    vec![OldTransaction { pid: 42, age_s, ..OldTransaction::default() }];
            })
        };
        assert_eq!(with(10).level, Level::Pass);
        assert_eq!(
            (with(300).level, with(300).mend),
            (Level::Warn, vec!["SELECT pg_terminate_backend(42);".to_owned()])
        );
        let hidden = judged("long-transactions", "source", |input| input.source.role.sees_sessions = false);
        assert_eq!(hidden.level, Level::Warn);
    }

    #[test]
    fn what_an_earlier_run_left_is_told_from_others() {
        let ours = judged("own-leftovers", "target", |input| {
            let activity = &mut input.target.activity;
            activity.slots = vec![Slot { name: "pointsman_backward".into(), ..Slot::default() }];
            activity.subscriptions = vec![Subscription { name: "pointsman_forward".into(), ..Subscription::default() }];
            activity.publications = vec![Publication { name: "pointsman_backward".into(), ..Publication::default() }];
        });
        assert_eq!(ours.level, Level::Fail);
        assert!(ours.detail.contains("subscription pointsman_forward, slot pointsman_backward, publication"));
        assert!(ours.mend.contains(&"SELECT pg_drop_replication_slot('pointsman_backward');".to_owned()));
        for id in ["own-leftovers", "other-slots", "other-subscriptions"] {
            assert_eq!(judged(id, "source", |_| ()).level, Level::Pass, "{id}");
        }
    }

    #[test]
    fn slots_of_others_warn_and_their_subscriptions_are_refused() {
        let slot = judged("other-slots", "source", |input| {
            input.source.activity.slots =
                vec![Slot { name: "debezium".into(), plugin: Some("pgoutput".into()), ..Slot::default() }];
        });
        assert!(slot.level == Level::Warn && slot.detail.contains("debezium (pgoutput, nobody reads"), "{slot:?}");
        let subscription = |enabled| {
            judged("other-subscriptions", "source", move |input| {
                input.source.activity.subscriptions =
                    vec![Subscription { name: "feed".into(), enabled, ..Subscription::default() }];
            })
            .level
        };
        assert_eq!([subscription(true), subscription(false)], [Level::Fail, Level::Warn]);
    }
}
