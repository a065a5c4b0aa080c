//! The preflight of MySQL and MariaDB. [`gather()`] reads both servers through read-only sessions into a
//! [`PreflightInput`]; [`judge`] turns that into [`Finding`]s.

mod accounts;
mod activity;
mod binlog;
mod channels;
mod disk;
mod endpoints;
mod gather;
mod gtid;
mod input;
mod logic;
mod mend;
mod passing;
mod privileges;
mod reach;
pub mod replica;
mod servers;
mod settings;
mod tables;
mod target;
#[cfg(test)]
mod testing;
mod words;

use super::{Finding, accept, finding};
#[cfg(test)]
use super::{Level, passes};
pub use gather::gather;
pub use input::{EndpointFacts, PreflightInput, Wanted};

/// Every id that a finding about MySQL or MariaDB can have.
pub const IDS: &[&str] = &[
    "account-passwords",
    "accounts-missing",
    "around-endpoint",
    "authentication-plugins",
    "auto-increment",
    "binary-log",
    "binlog-filters",
    "binlog-format",
    "binlog-retention",
    "binlog-row-image",
    "character-sets",
    "clock-skew",
    "collations",
    "copy-privilege",
    "create-privilege",
    "definer-privilege",
    "definers",
    "direction",
    "disk-room",
    "durability",
    "encryption",
    "endpoint-route",
    "engines",
    "errant-gtids",
    "event-scheduler",
    "events",
    "fence-bypass",
    "fence-privilege",
    "float-columns",
    "foreign-keys",
    "generated-columns",
    "gtid-consistency",
    "gtid-domain",
    "gtid-mode",
    "invisible-columns",
    "log-replica-updates",
    "long-transactions",
    "lower-case-table-names",
    "max-allowed-packet",
    "max-connections",
    "monitor-privilege",
    "other-channels",
    "other-readers",
    "own-account-sessions",
    "own-leftovers",
    "parallel-apply",
    "prepared-transactions",
    "primary-keys",
    "read-only",
    "replication-address",
    "replication-filters",
    "replication-privilege",
    "replication-tls",
    "replication-url",
    "routine-creation",
    "same-database",
    "schemas",
    "schemas-filter",
    "server-id",
    "settings-meaning",
    "settings-tuning",
    "sql-mode",
    "target-columns",
    "target-content",
    "target-sessions",
    "terminate-privilege",
    "time-zone",
    "triggers",
    "version",
];

type Topic = fn(&PreflightInput) -> Vec<Finding>;

/// Every topic, in the order that people read them.
const TOPICS: &[Topic] = &[
    servers::judge,
    binlog::judge,
    gtid::judge,
    channels::judge,
    privileges::judge,
    reach::judge,
    tables::judge,
    logic::judge,
    words::judge,
    settings::judge,
    accounts::judge,
    passing::judge,
    activity::judge,
    target::judge,
    disk::judge,
    endpoints::judge,
];

/// What was found, failures first. Pure: the same input gives the same findings.
#[must_use]
pub fn judge(input: &PreflightInput) -> Vec<Finding> {
    accept(TOPICS.iter().flat_map(|topic| topic(input)).collect(), &input.accept)
}

#[cfg(test)]
mod tests {
    use super::testing::{find, input, mariadb};
    use super::*;
    use crate::systems::mysql::Version;

    fn ids(input: &PreflightInput) -> Vec<String> {
        let mut found: Vec<String> = judge(input).into_iter().map(|finding| finding.id).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn every_id_is_listed_and_every_listed_one_is_looked_at() {
        let mut found = ids(&input());
        found.extend(ids(&mariadb()));
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, IDS);
    }

    #[test]
    fn a_tidy_pair_of_servers_has_no_failure() {
        for input in [input(), mariadb()] {
            let findings = judge(&input);
            let failures: Vec<_> = findings.iter().filter(|finding| finding.level == Level::Fail).collect();
            assert!(failures.is_empty(), "{failures:#?}");
            assert!(passes(&findings));
        }
    }

    #[test]
    fn every_finding_says_why_and_how_it_is_mended() {
        for mut input in [input(), mariadb()] {
            for side in [&mut input.source, &mut input.target] {
                side.variables.clear();
                side.accounts = None;
                side.account.privileges.clear();
                side.activity.sessions = None;
            }
            input.target.server.version = Version(50_744);
            for finding in judge(&input) {
                assert!(!finding.title.is_empty() && finding.why.ends_with('.'), "{finding:?}");
                assert!(finding.detail.ends_with(['.', ')']), "{finding:?}");
                assert!(finding.level != Level::Fail || !finding.mend.is_empty(), "{finding:?}");
            }
        }
    }

    #[test]
    fn an_accepted_failure_warns_unless_it_makes_the_cutover_impossible() {
        let mut input = input();
        input.source.tables[0].engine = "MyISAM".into();
        input.target.server.version = Version(50_744);
        assert!(!passes(&judge(&input)));
        input.accept = vec!["engines".into(), "version".into()];
        let findings = judge(&input);
        assert_eq!(find(&findings, "engines", "source").level, Level::Warn);
        assert_eq!(find(&findings, "version", "target").level, Level::Fail);
    }
}
