//! A target that is a physical replica of the source: most of what two servers are asked is no question then, and some
//! other things are.

use super::{Finding, PoolerFacts, PreflightInput, TOPICS, accept};
use crate::preflight::Check;
use crate::runbook::units::Span;
use crate::systems::Result;
use crate::systems::postgres::survey::Survey;
use crate::systems::postgres::{Access, Database};

/// What is only asked of two servers of which one is copied to the other.
const NO_QUESTION: &[&str] = &[
    "collation",
    "copy-privilege",
    "create-privilege",
    "disk-room",
    "encoding",
    "extension-versions",
    "extensions",
    "foreign-tables",
    "large-objects",
    "materialized-views",
    "pg-dump",
    "role-passwords",
    "roles-missing",
    "same-database",
    "sequence-cycle",
    "settings-of-roles",
    "sync-workers",
    "target-columns",
    "target-content",
    "target-sessions",
    "version-order",
];

/// What is read of a replica beyond the survey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `recovery_min_apply_delay`, in milliseconds.
    pub delay_ms: i64,
    /// `max_standby_streaming_delay`, in milliseconds; -1: a query holds the replay up for as long as it likes.
    pub hold_up_ms: i64,
    /// The slot of the source that it receives from, if we may see it.
    pub slot: Option<String>,
    /// Whether our role may promote it itself.
    pub may_promote: bool,
    /// Subscriptions of the source, which the replica has too.
    pub subscriptions: i64,
}

const OF_REPLICA: &str = "SELECT (SELECT setting::bigint FROM pg_settings WHERE name = 'recovery_min_apply_delay'), \
    (SELECT setting::bigint FROM pg_settings WHERE name = 'max_standby_streaming_delay'), \
    (SELECT slot_name FROM pg_stat_wal_receiver LIMIT 1), \
    has_function_privilege('pg_promote(boolean, integer)', 'EXECUTE'), \
    (SELECT count(*) FROM pg_subscription WHERE subenabled)";

impl Facts {
    /// Reads them of the replica.
    pub async fn read(target: &Database) -> Result<Self> {
        let session = target.connect(Access::ReadOnly).await?;
        let rows = session.rows("read how it replicates", OF_REPLICA, &[]).await?;
        let row = &rows[0];
        Ok(Self {
            delay_ms: row.get(0),
            hold_up_ms: row.get(1),
            slot: row.get::<_, Option<String>>(2).filter(|slot| !slot.is_empty()),
            may_promote: row.get(3),
            subscriptions: row.get(4),
        })
    }
}

/// What was found; `by_server` where the server itself is asked for the promotion.
#[must_use]
pub fn judge(input: &PreflightInput, facts: &Facts, by_server: bool) -> Vec<Finding> {
    let mut findings: Vec<Finding> = TOPICS.iter().flat_map(|topic| topic(input)).collect();
    // A standby is what the target must be.
    let asked = |finding: &Finding| {
        let standby = finding.id == "standby" && finding.system == input.target.system;
        !standby && !NO_QUESTION.contains(&finding.id.as_str())
    };
    findings.retain(asked);
    findings.extend([replicates(input), delay(input, facts), held_up(input, facts), synchronous(&input.source)]);
    findings.extend([subscriptions(input, facts), slot(input, facts), readers(&input.target), objects(input)]);
    if by_server {
        findings.push(promotion(&input.target, facts));
    } else {
        findings.extend(input.poolers.iter().map(patience));
    }
    accept(findings, &input.accept)
}

fn replicates(input: &PreflightInput) -> Finding {
    let (source, target) = (&input.source, &input.target);
    let check = Check {
        id: "replica-of-source",
        system: &target.system,
        why: "Only a physical replica of this very source can be promoted in its place.",
    };
    let same = source.server.system_identifier == target.server.system_identifier;
    let read = format!(
        "System identifiers {} and {}; pg_is_in_recovery() is {}.",
        source.server.system_identifier.as_deref().unwrap_or("unknown"),
        target.server.system_identifier.as_deref().unwrap_or("unknown"),
        target.server.in_recovery
    );
    if same && source.server.system_identifier.is_some() && target.server.in_recovery {
        return check.pass(format!("it is a physical replica of {}", source.system), read);
    }
    let mend = vec![format!("-- make a replica of {} (pg_basebackup -R; RDS: create a read replica)", source.system)];
    check.fail(format!("it is no physical replica of {}", source.system), read, mend)
}

fn delay(input: &PreflightInput, facts: &Facts) -> Finding {
    let check = Check {
        id: "replica-delay",
        system: &input.target.system,
        why: "A replica that replays late on purpose never has everything in time.",
    };
    if facts.delay_ms == 0 {
        return check.pass("it replays at once", "recovery_min_apply_delay is 0.");
    }
    let mend = super::settings::change(&input.target, "recovery_min_apply_delay", "0");
    check.fail("it replays late on purpose", format!("recovery_min_apply_delay is {} ms.", facts.delay_ms), mend)
}

/// A reader that conflicts with the replay.
fn held_up(input: &PreflightInput, facts: &Facts) -> Finding {
    let check = Check {
        id: "replica-held-up",
        system: &input.target.system,
        why: "A query on the replica may hold its replay up; inside the window the drain waits for it.",
    };
    let read = format!("max_standby_streaming_delay is {} ms.", facts.hold_up_ms);
    let within = |budget: Span| {
        facts.hold_up_ms >= 0 && u128::try_from(facts.hold_up_ms).is_ok_and(|ms| ms <= budget.0.as_millis() * 7 / 10)
    };
    if input.wanted.budget.is_none_or(within) {
        return check.pass("queries hold its replay up for less than the window lasts", read);
    }
    let mend = super::settings::change(&input.target, "max_standby_streaming_delay", "1s");
    check.warn("a query may hold its replay up for longer than the window lasts", read, mend)
}

fn synchronous(source: &Survey) -> Finding {
    let check = Check {
        id: "replica-synchronous",
        system: &source.system,
        why: "When the replica is promoted it confirms nothing any more: a source that waits for it in each commit would \
              not take the way back.",
    };
    let names = source.setting("synchronous_standby_names").unwrap_or_default();
    let seen = source.usage.synchronous_standbys;
    let read = format!("synchronous_standby_names is `{names}`.");
    if names.is_empty() {
        return check.pass("the source waits for no replica", read);
    }
    if seen.is_some_and(|seen| seen > 1) {
        return check.warn(
            "the source waits for replicas",
            format!("{read} See that others confirm, too."),
            Vec::new(),
        );
    }
    let mend = super::settings::change(source, "synchronous_standby_names", "");
    check.fail("the source may wait for the replica that is promoted", read, mend)
}

fn subscriptions(input: &PreflightInput, facts: &Facts) -> Finding {
    let check = Check {
        id: "replica-subscriptions",
        system: &input.source.system,
        why: "The replica has the source's subscriptions: when it is promoted both read the same slots, and rows go to one \
              of them only.",
    };
    if facts.subscriptions == 0 {
        return check.pass("the source subscribes to nothing", "pg_subscription has no enabled one.");
    }
    let mend =
        vec!["ALTER SUBSCRIPTION … DISABLE; -- before the window; on the side that takes writes ENABLE".to_owned()];
    check.fail("the replica would run the source's subscriptions", format!("{} enabled.", facts.subscriptions), mend)
}

fn slot(input: &PreflightInput, facts: &Facts) -> Finding {
    let check = Check {
        id: "replica-slot",
        system: &input.source.system,
        why: "Nobody reads the replica's slot after its promotion, and it keeps the source's log until the disk is full.",
    };
    let Some(slot) = &facts.slot else {
        return check.pass("no slot is seen behind the replica", "It names none, or we may not see it.");
    };
    let mend = vec![format!("SELECT pg_drop_replication_slot('{slot}'); -- on the source, after the promotion")];
    check.warn("a slot is left over after the promotion", format!("The replica reads from {slot}."), mend)
}

fn readers(target: &Survey) -> Finding {
    let check = Check {
        id: "replica-readers",
        system: &target.system,
        why: "Who reads on the replica is disconnected in the window, and comes back to a server that takes writes.",
    };
    let others = target.activity.sessions.iter().filter(|group| group.role != target.role.name);
    let names: Vec<String> = others.map(|group| format!("{} × {}", group.pids.len(), group.role)).collect();
    if names.is_empty() {
        return check.pass("nobody else is connected to the replica", "Besides our own role.");
    }
    check.warn("others are connected to the replica", format!("{}.", names.join(", ")), Vec::new())
}

/// They come with the replica, but not back.
pub(super) fn objects(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "large-objects",
        system: &input.source.system,
        why: "The replica has them, but the way back carries no change of them.",
    };
    let number = input.source.objects.large_objects;
    if number == 0 || !input.wanted.way_back {
        return check.pass("no large object is left behind", "None, or no way back is kept.");
    }
    let mend = vec!["-- move them into bytea columns, or go back only while none was written".to_owned()];
    check.warn("large objects are not carried back", format!("{number} are there."), mend)
}

fn promotion(target: &Survey, facts: &Facts) -> Finding {
    let check = Check {
        id: "replica-promotion",
        system: &target.system,
        why: "The promotion comes behind the commit point, where the only way is forward.",
    };
    if facts.may_promote {
        return check.pass("our role may promote it", "EXECUTE on pg_promote().");
    }
    let mend = vec![
        "GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO …; -- on the source".to_owned(),
        "-- a replica of RDS is promoted by RDS: name its system, `postgres: { rds: NAME, … }`".to_owned(),
    ];
    check.fail("our role may not promote it", "No EXECUTE on pg_promote().", mend)
}

/// How long a promotion by RDS takes, generously.
const MINUTES_S: f64 = 900.0;

/// Clients that wait for a promotion by RDS wait for minutes.
pub(super) fn patience(pooler: &PoolerFacts) -> Finding {
    let check = Check {
        id: "replica-waiting-clients",
        system: &pooler.name,
        why: "Writes wait in the pooler until RDS has promoted the replica, which takes minutes; it disconnects those that \
              have waited for too long.",
    };
    let read = format!("query_wait_timeout is {} s.", pooler.query_wait_timeout_s);
    if pooler.query_wait_timeout_s == 0.0 || pooler.query_wait_timeout_s >= MINUTES_S {
        return check.pass("the pooler lets clients wait for the promotion", read);
    }
    let mend = vec![format!("SET query_wait_timeout = {MINUTES_S}; -- in the pooler, and in its ini file")];
    check.warn("clients of the pooler see errors while RDS promotes", read, mend)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{find, input};
    use super::*;

    fn facts() -> Facts {
        Facts { delay_ms: 0, hold_up_ms: 1000, slot: None, may_promote: true, subscriptions: 0 }
    }

    /// A source and its replica.
    fn pair() -> PreflightInput {
        let mut input = input();
        input.target.server.version = input.source.server.version;
        input.target.server.system_identifier = input.source.server.system_identifier.clone();
        input.target.server.in_recovery = true;
        for found in input.reach.iter_mut().filter_map(|reach| reach.found.as_mut()) {
            found.system_identifier = input.source.server.system_identifier.clone();
        }
        input.wanted.copy_schema = false;
        input.wanted.budget = Some(Span::secs(5));
        input
    }

    fn judged(id: &str, system: &str, spoil: impl FnOnce(&mut PreflightInput, &mut Facts)) -> Finding {
        let (mut input, mut facts) = (pair(), facts());
        spoil(&mut input, &mut facts);
        find(&judge(&input, &facts, true), id, system).clone()
    }

    #[test]
    fn a_tidy_replica_has_no_failure() {
        let findings = judge(&pair(), &facts(), true);
        let failures: Vec<_> = findings.iter().filter(|finding| finding.level == Level::Fail).collect();
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn only_a_replica_of_this_source_will_do() {
        let level =
            |spoil: fn(&mut PreflightInput)| judged("replica-of-source", "target", |input, _| spoil(input)).level;
        assert_eq!(level(|_| ()), Level::Pass);
        assert_eq!(level(|input| input.target.server.in_recovery = false), Level::Fail);
        assert_eq!(level(|input| input.target.server.system_identifier = Some("9".into())), Level::Fail);
        assert_eq!(level(|input| input.source.server.system_identifier = None), Level::Fail);
    }

    #[test]
    fn what_stands_in_the_way_of_a_replica_is_told() {
        let level =
            |id: &str, system: &str, spoil: fn(&mut PreflightInput, &mut Facts)| judged(id, system, spoil).level;
        assert_eq!(level("replica-delay", "target", |_, facts| facts.delay_ms = 60_000), Level::Fail);
        assert_eq!(level("replica-held-up", "target", |_, facts| facts.hold_up_ms = 30_000), Level::Warn);
        assert_eq!(level("replica-held-up", "target", |_, facts| facts.hold_up_ms = -1), Level::Warn);
        assert_eq!(level("replica-subscriptions", "source", |_, facts| facts.subscriptions = 1), Level::Fail);
        assert_eq!(level("replica-slot", "source", |_, facts| facts.slot = Some("s".into())), Level::Warn);
        assert_eq!(level("replica-promotion", "target", |_, facts| facts.may_promote = false), Level::Fail);
        assert_eq!(level("large-objects", "source", |input, _| input.source.objects.large_objects = 1), Level::Warn);
        let waits = |input: &mut PreflightInput, seen| {
            super::super::testing::set(&mut input.source, "synchronous_standby_names", "r");
            input.source.usage.synchronous_standbys = Some(seen);
        };
        assert_eq!(judged("replica-synchronous", "source", |input, _| waits(input, 1)).level, Level::Fail);
        assert_eq!(judged("replica-synchronous", "source", |input, _| waits(input, 2)).level, Level::Warn);
    }
}
