//! The preflight of PostgreSQL. [`gather()`] reads both databases through read-only sessions into a [`PreflightInput`];
//! [`judge`] turns that into [`Finding`]s.

mod activity;
mod dump;
mod extensions;
mod gather;
mod input;
mod limits;
mod locale;
mod logic;
pub mod logical;
mod privileges;
mod reach;
pub mod replica;
mod roles;
mod sequences;
mod servers;
mod settings;
mod subscribing;
mod tables;
mod target;
#[cfg(test)]
pub(super) mod testing;
mod traffic;
mod wal;

use super::{Finding, accept, finding};
#[cfg(test)]
use super::{Level, passes};
pub use gather::gather;
pub use input::{PoolerFacts, PreflightInput, Wanted};

/// Every id that a finding about PostgreSQL can have.
pub const IDS: &[&str] = &[
    "around-pooler",
    "clock-skew",
    "collation",
    "collation-version",
    "copy-privilege",
    "create-privilege",
    "disk-room",
    "encoding",
    "event-triggers",
    "exempt-roles",
    "extension-versions",
    "extensions",
    "fence-privilege",
    "foreign-tables",
    "generated-columns",
    "host-based-authentication",
    "idle-replication-slot-timeout",
    "large-objects",
    "logical-workers",
    "long-transactions",
    "materialized-views",
    "max-connections",
    "max-slot-wal-keep-size",
    "monitor-privilege",
    "origin-privilege",
    "other-slots",
    "other-subscriptions",
    "own-leftovers",
    "own-role-sessions",
    "pending-restart",
    "pg-dump",
    "pooler-login-retry",
    "pooler-min-pool-size",
    "pooler-mode",
    "pooler-parameters",
    "pooler-paused",
    "pooler-query-wait-timeout",
    "pooler-route",
    "preload-libraries",
    "prepared-transactions",
    "read-only-default",
    "replica-identity",
    "replica-identity-full",
    "replication-address",
    "replication-origins",
    "replication-privilege",
    "replication-slots",
    "replication-url",
    "role-limits",
    "role-passwords",
    "roles-missing",
    "row-security",
    "rules",
    "same-database",
    "scheduled-jobs",
    "schemas",
    "sequence-cycle",
    "sequence-near-limit",
    "sequence-privilege",
    "sequences",
    "settings-meaning",
    "settings-of-roles",
    "settings-tuning",
    "slot-privilege",
    "standby",
    "subscription-privilege",
    "superuser-sessions",
    "sync-workers",
    "synchronous-standbys",
    "table-ownership",
    "target-columns",
    "target-content",
    "target-sessions",
    "temporary-tables",
    "terminate-privilege",
    "time-zone",
    "triggers-always",
    "unlogged-tables",
    "version",
    "version-order",
    "wal-level",
    "wal-sender-timeout",
    "wal-senders",
    "worker-processes",
];

type Topic = fn(&PreflightInput) -> Vec<Finding>;

/// Every topic, in the order that people read them.
const TOPICS: &[Topic] = &[
    servers::judge,
    wal::judge,
    limits::judge,
    privileges::judge,
    subscribing::judge,
    reach::judge,
    dump::judge,
    tables::judge,
    sequences::judge,
    logic::judge,
    extensions::judge,
    locale::judge,
    settings::judge,
    roles::judge,
    activity::judge,
    target::judge,
    traffic::judge,
];

/// What was found, failures first. Pure: the same input gives the same findings.
#[must_use]
pub fn judge(input: &PreflightInput) -> Vec<Finding> {
    accept(TOPICS.iter().flat_map(|topic| topic(input)).collect(), &input.accept)
}

#[cfg(test)]
mod tests {
    use super::testing::{find, input};
    use super::*;

    #[test]
    fn every_id_is_listed_and_every_listed_one_is_looked_at() {
        let mut input = input();
        input.poolers =
            vec![PoolerFacts { name: "pool".into(), host: Some("source.example".into()), ..PoolerFacts::default() }];
        let mut found: Vec<String> = judge(&input).into_iter().map(|finding| finding.id).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, IDS);
    }

    #[test]
    fn a_tidy_pair_of_databases_has_no_failure() {
        let findings = judge(&input());
        let failures: Vec<_> = findings.iter().filter(|finding| finding.level == Level::Fail).collect();
        assert!(failures.is_empty(), "{failures:#?}");
        assert!(passes(&findings));
    }

    #[test]
    fn every_finding_says_why_and_how_it_is_mended() {
        let mut input = input();
        input.source.settings.clear();
        input.target.settings.clear();
        input.target.server.version = 140_000;
        input.source.role.superuser = false;
        for finding in judge(&input) {
            assert!(!finding.title.is_empty() && finding.why.ends_with('.'), "{finding:?}");
            assert!(finding.level != Level::Fail || !finding.mend.is_empty(), "{finding:?}");
        }
    }

    #[test]
    fn failures_come_first_and_an_accepted_one_warns() {
        let mut input = input();
        input.source.objects.large_objects = 3;
        let findings = judge(&input);
        assert_eq!((findings[0].id.as_str(), findings[0].level), ("large-objects", Level::Fail));
        assert!(!passes(&findings));
        input.accept = vec!["large-objects".into()];
        let findings = judge(&input);
        let accepted = find(&findings, "large-objects", "source");
        assert_eq!(accepted.level, Level::Warn);
        assert!(accepted.detail.contains("accepted by the runbook"));
        assert!(passes(&findings));
    }

    #[test]
    fn what_makes_a_cutover_impossible_cannot_be_accepted() {
        let mut input = input();
        input.target.server.version = 140_010;
        input.accept = vec!["version".into()];
        let findings = judge(&input);
        let refused = find(&findings, "version", "target");
        assert_eq!(refused.level, Level::Fail);
        assert!(refused.detail.contains("can't be accepted"));
    }
}
