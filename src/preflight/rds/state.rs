//! What the server is, how it stands, and what has happened to it.

use super::finding::{Finding, names};
use super::{Check, Facts};
use crate::systems::DriverError;
use crate::systems::aws::rds;

/// Kinds of events that a run should not begin in the middle of.
const RESTLESS: [&str; 5] = ["failover", "failure", "low storage", "maintenance", "recovery"];
/// How many events are shown.
const SHOWN: usize = 5;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    vec![status(facts), engine(facts), pending(facts), events(facts), unread(facts)]
}

const STATUS: &str = "A server that is being changed or restarted may leave in the middle of the copy.";

/// A server that can't be read.
pub(super) fn absent(system: &str, named: bool, error: &DriverError) -> Finding {
    let check = Check { id: "rds-status", system, why: STATUS };
    let missing =
        [rds::NO_INSTANCE, rds::NO_CLUSTER, rds::blue_green::NO_DEPLOYMENT].iter().any(|code| error.is_code(code));
    if missing && !named {
        let mend = vec!["-- nothing, when a step makes it; else correct the identifier".to_owned()];
        return check.warn("it is not there yet", format!("{}.", error.reason), mend);
    }
    let hint = error.hint.clone().unwrap_or_else(|| "make it, or correct the identifier".to_owned());
    check.fail("it could not be looked at", format!("{}.", error.reason), vec![format!("-- {hint}")])
}

fn status(facts: &Facts) -> Finding {
    let check = Check { id: "rds-status", system: &facts.system, why: STATUS };
    let Some(server) = facts.server() else { return check.pass("nothing is known", "") };
    let word = server.kind.word();
    let detail =
        format!("the {word} {} is {} ({} {}).", server.identifier, server.status, server.engine, server.version);
    if server.is_available() {
        return check.pass("it is available", detail);
    }
    let wait = format!("aws rds wait db-{word}-available --db-{word}-identifier {}", server.identifier);
    if server.address.is_none() || ["stopped", "stopping", "deleting", "failed"].contains(&server.status.as_str()) {
        return check.fail("it takes no connections", detail, vec![wait]);
    }
    check.warn("something is under way", detail, vec![wait])
}

fn engine(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-engine",
        system: &facts.system,
        why: "A database of another kind can't be followed, and does not even speak the same protocol.",
    };
    let (Some(server), Some((database, kind))) = (facts.server(), &facts.part.database) else {
        return check.pass("no database names it", "steps may change it.");
    };
    let engine = server.engine.as_str();
    let fits = match *kind {
        "postgres" => ["postgres", "aurora-postgresql"].contains(&engine),
        "mysql" => ["mysql", "aurora-mysql"].contains(&engine),
        kind => engine == kind,
    };
    if fits {
        return check
            .pass("its engine is the runbook's", format!("{database} is a {kind}, {engine} {}.", server.version));
    }
    let mend = vec![format!("-- name another `rds` system in {database}, or correct its kind")];
    check.fail("its engine is another one", format!("{database} is a {kind}, and the server {engine}."), mend)
}

fn pending(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-pending",
        system: &facts.system,
        why: "What waits for the maintenance window changes or restarts the server later, when nobody thinks of it.",
    };
    let waiting = facts.instance.as_ref().map_or(&[][..], |instance| &instance.pending);
    let mut all: Vec<String> = waiting.iter().map(|(what, to)| format!("{what}: {to}")).collect();
    all.extend(facts.maintenance.iter().map(|(what, at)| match at {
        Some(at) => format!("{what} by itself from {at}"),
        None => what.clone(),
    }));
    if all.is_empty() {
        return check.pass("no change waits", "neither a value nor maintenance.");
    }
    let arn = facts.server().map_or("", |server| &server.arn);
    let mut mend = Vec::new();
    if !waiting.is_empty() {
        mend.push(format!("{}  -- before the run", facts.modify("").replace("  ", " ")));
    }
    mend.extend(facts.maintenance.iter().map(|(what, _)| {
        format!("aws rds apply-pending-maintenance-action --resource-identifier {arn} --apply-action {what} --opt-in-type immediate")
    }));
    check.warn("changes wait for the maintenance window", format!("{}.", names(all)), mend)
}

fn events(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-events",
        system: &facts.system,
        why: "A server that failed over, ran full or was restarted a moment ago may do so again.",
    };
    let shown: Vec<String> =
        facts.events.iter().rev().take(SHOWN).map(|event| format!("{} {}", event.at, event.message)).collect();
    let restless = |words: &[String]| words.iter().any(|word| RESTLESS.contains(&word.as_str()));
    if facts.events.is_empty() {
        return check.pass("nothing happened in the last 6 hours", "");
    }
    if facts.events.iter().any(|event| restless(&event.categories)) {
        let mend = vec!["-- find out why, and wait until it is quiet".to_owned()];
        return check.warn("it was restless in the last 6 hours", format!("{}.", shown.join("; ")), mend);
    }
    check.pass("nothing bad happened in the last 6 hours", format!("{}.", shown.join("; ")))
}

fn unread(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-unread",
        system: &facts.system,
        why: "What could not be read was not judged: unknown is no pass.",
    };
    if facts.unread.is_empty() {
        return check.pass("everything could be read", "");
    }
    let mend = vec!["pointsman iam-policy RUNBOOK > policy.json  -- and attach it".to_owned()];
    check.warn("not everything could be read", format!("{}.", facts.unread.join("; ")), mend)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{facts, judged};
    use crate::preflight::Level;
    use crate::systems::aws::rds::{self, Event};
    use crate::systems::{Certainty, DriverError};

    #[test]
    fn a_server_must_stand_there_and_be_of_the_kind() {
        let status =
            |status: &'static str| judged("rds-status", |facts| facts.instance().server.status = status.into());
        assert_eq!(status("backing-up").level, Level::Warn);
        assert_eq!(status("stopped").level, Level::Fail);
        assert!(status("modifying").mend[0].starts_with("aws rds wait db-instance-available"));
        let engine = judged("rds-engine", |facts| facts.instance().server.engine = "mysql".into());
        assert!(engine.level == Level::Fail && engine.detail.contains("target is a postgres"), "{engine:?}");
    }

    #[test]
    fn what_a_step_may_make_need_not_be_there() {
        let mut error = DriverError::new("r", "read it", "DBInstanceNotFound: none", Certainty::Refused);
        error.code = Some(rds::NO_INSTANCE.to_owned());
        let level = |named| super::absent("r", named, &error).level;
        assert_eq!((level(false), level(true)), (Level::Warn, Level::Fail));
    }

    #[test]
    fn what_waits_and_what_happened_is_told() {
        let pending = judged("rds-pending", |facts| {
            facts.instance().pending = vec![("class".into(), "db.m7g.xlarge".into())];
            facts.maintenance = vec![("system-update".into(), Some("2026-11-26T00:00:00Z".into()))];
        });
        assert_eq!((pending.level, pending.mend.len()), (Level::Warn, 2));
        assert!(pending.detail.contains("class: db.m7g.xlarge") && pending.detail.contains("system-update by itself"));
        let event = |category: &str| {
            let categories = vec![category.into()];
            let event = Event { at: "10:00".into(), message: "Something".into(), categories, ..Event::default() };
            judged("rds-events", |facts| facts.events = vec![event]).level
        };
        assert_eq!((event("failover"), event("creation")), (Level::Warn, Level::Pass));
        assert_eq!(judged("rds-unread", |facts| facts.unread = vec!["x: denied".into()]).level, Level::Warn);
        assert!(facts().server().is_some());
    }
}
