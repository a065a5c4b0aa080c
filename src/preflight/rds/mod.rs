//! The preflight of servers of RDS: `gather` reads one through Describe calls into [`Facts`], [`judge`] turns that into
//! [`Finding`]s. What a server itself says (its settings in force, privileges, extensions) is in the preflight of its
//! kind of database.

mod facts;
mod gather;
mod groups;
mod hours;
mod keeping;
mod parameters;
mod room;
mod state;
#[cfg(test)]
mod testing;
mod ways;

use super::finding::Check;
use super::{Finding, finding};
use crate::plan::Plan;
use crate::runbook::model::System;
use crate::systems::Result;
use crate::systems::aws::rds;
use crate::systems::aws::{Permission, Service};
use crate::systems::world::World;
pub use facts::{Facts, Part};
pub use groups::Client;

/// Every id that a finding about RDS can have.
pub const IDS: &[&str] = &[
    "rds-backup-window",
    "rds-backups",
    "rds-certificate",
    "rds-class",
    "rds-engine",
    "rds-events",
    "rds-force-ssl",
    "rds-maintenance-window",
    "rds-multi-az",
    "rds-parameter-status",
    "rds-parameters",
    "rds-pending",
    "rds-protection",
    "rds-public",
    "rds-security-groups",
    "rds-status",
    "rds-storage",
    "rds-tls",
    "rds-unread",
];

type Topic = fn(&Facts) -> Vec<Finding>;

/// Every topic, in the order that people read them.
const TOPICS: &[Topic] =
    &[state::judge, parameters::judge, keeping::judge, hours::judge, room::judge, ways::judge, groups::judge];

/// What was found. Pure: the same facts give the same findings.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Finding> {
    TOPICS.iter().flat_map(|topic| topic(facts)).collect()
}

/// Looks at every server of RDS that a plan names; reads only.
pub(super) async fn findings(plan: &Plan, world: &World) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let named = servers(plan);
    let bytes = if named.is_empty() { None } else { room::of_source(plan, world).await };
    for name in named {
        match gather::read(plan, world, name, bytes).await {
            Ok(facts) => findings.extend(judge(&facts)),
            Err(error) => findings.push(state::absent(name, gather::named(plan, name).is_some(), &error)),
        }
    }
    Ok(findings)
}

fn servers(plan: &Plan) -> Vec<&String> {
    plan.systems.iter().filter(|(_, system)| matches!(system, System::Rds(_))).map(|(name, _)| name).collect()
}

/// What reading a server, and who is let in there, must be allowed.
#[must_use]
pub fn permissions(plan: &Plan, name: &str) -> Vec<Permission> {
    let mut all = rds::reading(plan.kind_of_rds(name));
    all.push(Permission::anywhere(Service::Ec2, "DescribeSecurityGroups"));
    if plan.systems.values().any(|system| matches!(system, System::Ecs(_))) {
        all.push(Permission::anywhere(Service::Ecs, "DescribeServices"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::testing::facts;
    use super::*;

    #[test]
    fn every_id_is_listed_and_every_listed_one_is_looked_at() {
        let mut found: Vec<String> = judge(&facts()).into_iter().map(|finding| finding.id).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, IDS);
    }

    #[test]
    fn a_tidy_server_has_nothing_to_mend() {
        let found: Vec<Finding> = judge(&facts()).into_iter().filter(|finding| finding.level != Level::Pass).collect();
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn every_finding_says_why_and_what_is_wrong_says_how_it_is_mended() {
        let mut bad = facts();
        (bad.parameters, bad.part.source_bytes) = (Some(rds::Parameters::new()), Some(1 << 50));
        let instance = bad.instance.as_mut().unwrap();
        instance.server.backup_days = 0;
        instance.server.protected = false;
        instance.server.security_groups.clear();
        instance.public = true;
        for finding in judge(&bad) {
            assert!(!finding.title.is_empty() && finding.why.ends_with('.'), "{finding:?}");
            assert!(finding.level == Level::Pass || !finding.mend.is_empty(), "{finding:?}");
        }
    }
}
