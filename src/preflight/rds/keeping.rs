//! What keeps data when something goes wrong: backups, a second zone, protection.

use super::finding::Finding;
use super::{Check, Facts};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    vec![backups(facts), multi_az(facts), protection(facts)]
}

fn backups(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-backups",
        system: &facts.system,
        why: "Without automatic backups there is no way to an earlier moment, and MySQL and MariaDB write no binary log.",
    };
    let days = facts.server().map_or(0, |server| server.backup_days);
    if days > 0 {
        return check.pass("backups are made", format!("kept for {days} days."));
    }
    let mend = vec![facts.modify("--backup-retention-period 7")];
    if facts.sends() && !facts.is_postgres() {
        return check.fail("it writes no binary log", "the backup retention is 0 days.", mend);
    }
    check.warn("no backups are made", "the backup retention is 0 days.", mend)
}

fn multi_az(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-multi-az",
        system: &facts.system,
        why: "In one zone only, the failure of that zone is an outage; a second zone is best added before users come.",
    };
    let several = match &facts.cluster {
        Some(cluster) => cluster.members.len() > 1,
        None => facts.server().is_some_and(|server| server.multi_az),
    };
    if several {
        return check.pass("it stands in several zones", "a failover has somewhere to go.");
    }
    let mend = match &facts.cluster {
        Some(_) => vec!["-- add a second instance to the cluster, in another zone".to_owned()],
        None => vec![facts.modify("--multi-az")],
    };
    check.warn("it stands in one zone", "a failover has nowhere to go.", mend)
}

fn protection(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-protection",
        system: &facts.system,
        why: "A server that takes users should not be deleted by a slip.",
    };
    if facts.server().is_some_and(|server| server.protected) {
        return check.pass("it can't be deleted by a slip", "deletion protection is on.");
    }
    check.warn(
        "it can be deleted by a slip",
        "deletion protection is off.",
        vec![facts.modify("--deletion-protection")],
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::judged;
    use crate::preflight::Level;

    #[test]
    fn mysql_without_backups_has_no_log() {
        let of = |engine: &'static str| {
            judged("rds-backups", move |facts| {
                (facts.instance().server.engine, facts.instance().server.backup_days) = (engine.into(), 0);
            })
        };
        assert_eq!(
            (of("postgres").level, of("mysql").level, of("mariadb").level),
            (Level::Warn, Level::Fail, Level::Fail)
        );
        assert_eq!(
            of("mysql").mend[0],
            "aws rds modify-db-instance --db-instance-identifier orders --backup-retention-period 7 --apply-immediately"
        );
    }

    #[test]
    fn one_zone_and_no_protection_warn() {
        assert_eq!(judged("rds-multi-az", |facts| facts.instance().server.multi_az = false).level, Level::Warn);
        assert_eq!(judged("rds-protection", |facts| facts.instance().server.protected = false).level, Level::Warn);
    }
}
