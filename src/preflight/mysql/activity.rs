//! What goes on now: transactions, and prepared ones.

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use super::mend::ours;
use crate::systems::mysql::survey::{OldTransaction, Survey};

/// Transactions that are older hold up the copy's start and the fence noticeably.
const OLD_S: i64 = 30;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = vec![prepared(&input.source)];
    findings.extend(input.sides().map(transactions));
    findings
}

fn prepared(side: &Survey) -> Finding {
    let check = Check {
        id: "prepared-transactions",
        system: &side.system,
        why: "XA COMMIT of a prepared transaction passes super_read_only: it can commit after the drain, and its writes \
              are lost.",
    };
    let Some(found) = &side.activity.prepared else {
        let mend = vec![format!("GRANT XA_RECOVER_ADMIN ON *.* TO {};", ours(side))];
        return check.fail("prepared transactions can't be seen", "Our account may not ask XA RECOVER.", mend);
    };
    if found.is_empty() {
        return check.pass("there is no prepared transaction", "XA RECOVER is empty.");
    }
    let mend = found.iter().map(|id| format!("XA ROLLBACK {id}; -- or XA COMMIT")).collect();
    check.fail(count(found.len(), "prepared transaction", "prepared transactions"), format!("{}.", names(found)), mend)
}

fn transactions(side: &Survey) -> Finding {
    let check = Check {
        id: "long-transactions",
        system: &side.system,
        why: "The copy's start and the fence wait for statements that run, everybody else queues behind them, and a \
              transaction that is open across the fence fails at its COMMIT.",
    };
    let Some(all) = &side.activity.transactions else {
        let mend = vec![format!("GRANT PROCESS ON *.* TO {};", ours(side))];
        return check.warn("old transactions can't be seen", "Our account lacks PROCESS.", mend);
    };
    let old: Vec<&OldTransaction> = all.iter().filter(|one| one.age_s >= OLD_S).collect();
    if old.is_empty() {
        return check.pass("no transaction is old", format!("None is older than {OLD_S} s."));
    }
    let named = names(old.iter().map(|one| {
        let state = if one.state.is_empty() { "idle" } else { &one.state };
        format!("{} of {}@{}: {} s, {state}, {} rows changed", one.id, one.user, one.host, one.age_s, one.changed)
    }));
    let kill = |id: u64| if side.server.rds { format!("CALL mysql.rds_kill({id});") } else { format!("KILL {id};") };
    let mend = old.iter().map(|one| kill(one.id)).collect();
    check.warn(count(old.len(), "old transaction", "old transactions"), format!("{named}."), mend)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::judged;
    use super::*;

    #[test]
    fn prepared_transactions_are_refused_seen_or_hidden() {
        let with = |found: Option<Vec<String>>| {
            judged("prepared-transactions", "source", move |input| input.source.activity.prepared = found)
        };
        let one = with(Some(vec!["X'61',X'62',1".into()]));
        assert_eq!((one.level, one.mend[0].as_str()), (Level::Fail, "XA ROLLBACK X'61',X'62',1; -- or XA COMMIT"));
        assert_eq!([with(None).level, with(Some(Vec::new())).level], [Level::Fail, Level::Pass]);
    }

    #[test]
    fn old_transactions_are_named_with_their_connection() {
        let with = |age_s, rds| {
            judged("long-transactions", "target", move |input| {
                input.target.server.rds = rds;
                input.target.activity.transactions =
                    Some(vec![OldTransaction { id: 42, age_s, ..OldTransaction::default() }]);
            })
        };
        assert_eq!(with(10, false).level, Level::Pass);
        assert_eq!((with(300, false).level, with(300, false).mend), (Level::Warn, vec!["KILL 42;".to_owned()]));
        assert_eq!(with(300, true).mend, ["CALL mysql.rds_kill(42);"]);
        assert_eq!(
            judged("long-transactions", "source", |input| input.source.activity.transactions = None).level,
            Level::Warn
        );
    }
}
