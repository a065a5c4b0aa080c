//! A Blue/Green deployment that a window switches over: what RDS's own guardrails ask, as far as one can look before, and
//! whether it replicates physically.

use super::{Check, Finding};
use crate::systems::aws::rds::blue_green::{Deployment, Standing};
use crate::systems::aws::rds::{Cluster, Kind, Server};
use crate::systems::mysql::replica::Follows;

/// What is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The `rds` system of the green one.
    pub system: String,
    /// The database that is left.
    pub source: String,
    /// The database that is moved to.
    pub target: String,
    /// The deployment; absent when it is gone.
    pub deployment: Option<Deployment>,
    /// The blue one.
    pub blue: Server,
    /// It, where it is a cluster.
    pub cluster: Option<Cluster>,
    /// The green one.
    pub green: Server,
}

/// What Blue/Green deployments don't support of a cluster, or our window does not ("Limitations and considerations for Amazon
/// Aurora blue/green deployments" in the user guide). Pure.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/blue-green-deployments-considerations.html>
#[must_use]
pub fn unsupported(cluster: &Cluster) -> Vec<String> {
    let region = |arn: &str| arn.split(':').nth(3).map(str::to_owned);
    let home = region(&cluster.server.arn);
    let elsewhere = |replica: &&String| region(replica).is_some_and(|there| Some(there) != home);
    let global = cluster.global.as_ref();
    let first = [
        global.map(|name| {
            format!("it is a part of the global database {name}, which is switched over as a whole, not here")
        }),
        (cluster.mode.as_deref() == Some("serverless")).then(|| "it is Aurora Serverless v1".to_owned()),
        cluster.server.replicates.as_ref().map(|source| format!("it is a replica of {source}")),
    ];
    let replicas = cluster.server.replicas.iter().filter(elsewhere);
    first
        .into_iter()
        .flatten()
        .chain(replicas.map(|name| format!("it has a replica in another Region: {name}")))
        .collect()
}

/// What is found of every kind of database. Pure.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Finding> {
    vec![status(facts)]
}

/// What is found besides of one that must replicate physically, with the logical slots and subscriptions of the blue one.
/// Pure.
#[must_use]
pub fn physical(facts: &Facts, logical: i64) -> Vec<Finding> {
    vec![version(facts), streams(facts, logical)]
}

/// What is found besides of one that replicates logically: with what the blue one replicates by itself, and why RDS's stream
/// does not carry everything. Pure.
#[must_use]
pub fn logical(facts: &Facts, own: &[String], lacks: Option<&str>) -> Vec<Finding> {
    let mut all = vec![upgrade(facts), publisher(facts, own), stream(facts, lacks)];
    all.extend(facts.cluster.as_ref().map(|cluster| limits(facts, cluster)));
    all
}

fn limits(facts: &Facts, cluster: &Cluster) -> Finding {
    let check = Check {
        id: "blue-green-limits",
        system: &facts.source,
        why: "RDS refuses, or makes invalid, a deployment of a cluster that it does not support.",
    };
    let found = unsupported(cluster);
    if found.is_empty() {
        return check.pass("it is a cluster that deployments support", "it stands alone, in one Region.");
    }
    let mend = vec!["-- mend it, and make the deployment anew; or leave out `through: blue-green`".to_owned()];
    check.fail("deployments do not support this cluster", format!("{}.", found.join("; ")), mend)
}

/// What is found besides of MySQL and MariaDB, which RDS replicates by the binary log; with whom the blue one follows itself.
/// Pure.
#[must_use]
pub fn binary_log(facts: &Facts, follows: &[Follows]) -> Vec<Finding> {
    vec![later(facts), external(facts, follows)]
}

fn later(facts: &Facts) -> Finding {
    let check = Check {
        id: "blue-green-version",
        system: &facts.system,
        why: "RDS follows by the binary log from an instance to one of the same kind that is no older.",
    };
    let (blue, green) = (&facts.blue, &facts.green);
    let detail = format!(
        "{} is {} {}, {} is {} {}.",
        blue.identifier, blue.engine, blue.version, green.identifier, green.engine, green.version
    );
    let known = ["mysql", "mariadb"].contains(&blue.engine.as_str()) && blue.engine == green.engine;
    let (was, is) = (numbers(&blue.version), numbers(&green.version));
    if known && !was.is_empty() && was <= is {
        return check.pass("RDS replicates it by the binary log", detail);
    }
    let mend = vec!["-- leave out `through: blue-green`: the servers' own replication moves it, too".into()];
    check.fail("this deployment is not switched over", detail, mend)
}

fn external(facts: &Facts, follows: &[Follows]) -> Finding {
    let check = Check {
        id: "blue-green-external",
        system: &facts.source,
        why: "RDS refuses the switchover of an instance that follows a server outside.",
    };
    let running: Vec<String> =
        follows.iter().filter(|one| one.trouble.is_none()).map(|one| format!("server_id {}", one.server_id)).collect();
    if running.is_empty() {
        return check.pass("it follows no other server", "No stream of its own runs.");
    }
    let mend = vec!["CALL mysql.rds_stop_replication;".to_owned()];
    check.fail("it follows another server", format!("{}.", running.join(", ")), mend)
}

fn upgrade(facts: &Facts) -> Finding {
    let check = Check {
        id: "blue-green-version",
        system: &facts.system,
        why: "RDS replicates to a later major version, and each cluster of Aurora, logically: without sequences, DDL and large \
              objects.",
    };
    let (blue, green) = (&facts.blue, &facts.green);
    let detail = format!(
        "{} is {} {}, {} is {} {}. Stop migrations, refreshes of materialized views and writes of large objects on {} until the \
         switch: RDS finds them, and switches over no more.",
        blue.identifier, blue.engine, blue.version, green.identifier, green.engine, green.version, facts.source
    );
    let engine = |engine: &str| blue.engine == engine && green.engine == engine;
    let (was, is) = (numbers(&blue.version), numbers(&green.version));
    let (fits, wanted) = match blue.kind {
        Kind::Instance => (
            engine("postgres") && was.first() < is.first(),
            "only RDS for PostgreSQL is switched over to a later major version",
        ),
        Kind::Cluster => (
            engine("aurora-postgresql") && !was.is_empty() && was <= is,
            "only Aurora PostgreSQL is switched over, to the same or a later version",
        ),
    };
    if fits {
        return check.pass("it replicates logically", detail);
    }
    let mend =
        vec!["-- leave out `through: blue-green`: the servers' own replication carries what RDS does not".into()];
    check.fail(wanted, detail, mend)
}

/// The numbers that a version begins with.
fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
}

fn publisher(facts: &Facts, own: &[String]) -> Finding {
    let check = Check {
        id: "blue-green-logical",
        system: &facts.source,
        why: "RDS refuses the switchover of whoever is a logical publisher or subscriber of anybody but the green one.",
    };
    if own.is_empty() {
        return check.pass("only RDS replicates from it logically", "every logical slot is read by the green one.");
    }
    let mend =
        vec!["SELECT slot_name FROM pg_replication_slots; SELECT subname FROM pg_subscription;  -- drop them".into()];
    check.fail("it is a logical publisher or subscriber", format!("{}.", own.join(", ")), mend)
}

fn stream(facts: &Facts, lacks: Option<&str>) -> Finding {
    let check = Check {
        id: "blue-green-stream",
        system: &facts.target,
        why: "What RDS does not carry is missing after the switchover.",
    };
    let Some(why) = lacks else {
        return check.pass("RDS carries every table", "its subscription follows them all, and its apply worker runs.");
    };
    let mend =
        vec!["aws rds describe-events --source-type blue-green-deployment  # then delete it, and make another".into()];
    check.fail("RDS does not carry everything", format!("{why}."), mend)
}

fn status(facts: &Facts) -> Finding {
    let check = Check {
        id: "blue-green-status",
        system: &facts.system,
        why: "RDS switches over only a deployment that is available.",
    };
    let wait = vec!["aws rds describe-blue-green-deployments  # wait until it is AVAILABLE".to_owned()];
    let Some(found) = &facts.deployment else {
        return check.fail("the deployment is gone", "there is none with the plan's identifier.", wait);
    };
    let detail = format!("{} ({}) is {}.", found.name, found.id, found.words);
    match found.standing {
        Standing::Available => check.pass("the deployment is available", detail),
        Standing::Failed => {
            let mend =
                vec!["-- mend what its events say (`aws rds describe-events`): the next one may fail as well".into()];
            check.warn("an earlier switchover of it failed", detail, mend)
        }
        _ => check.fail("the deployment can't be switched over", detail, wait),
    }
}

fn version(facts: &Facts) -> Finding {
    let check = Check {
        id: "blue-green-version",
        system: &facts.system,
        why: "Only between versions of one major does RDS for PostgreSQL replicate a deployment physically; to another major \
              it replicates logically, without sequences, DDL and large objects, and refuses our way back.",
    };
    let (blue, green) = (&facts.blue, &facts.green);
    let detail = format!(
        "{} is {} {}, {} is {} {}.",
        blue.identifier, blue.engine, blue.version, green.identifier, green.engine, green.version
    );
    let major = |server: &Server| server.version.split('.').next().map(str::to_owned);
    if blue.engine != "postgres" || green.engine != "postgres" {
        let mend = vec!["-- correct the `rds` systems: both databases are PostgreSQL".into()];
        return check.fail("these are no instances of RDS for PostgreSQL", detail, mend);
    }
    if major(blue) == major(green) {
        return check.pass("it replicates physically", detail);
    }
    let mend =
        vec!["-- leave out `through: blue-green`: the servers' own replication carries another major version".into()];
    check.fail("the green instance has another major version", detail, mend)
}

fn streams(facts: &Facts, logical: i64) -> Finding {
    let check = Check {
        id: "blue-green-logical",
        system: &facts.source,
        why: "RDS refuses the switchover of an instance that is a logical publisher or subscriber of anybody.",
    };
    let detail = format!("{logical} logical slots and subscriptions.");
    if logical == 0 {
        return check.pass("nobody replicates from or to it logically", detail);
    }
    let mend =
        vec!["SELECT slot_name FROM pg_replication_slots; SELECT subname FROM pg_subscription;  -- drop them".into()];
    check.fail("it is a logical publisher or subscriber", detail, mend)
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::types::{DbCluster, DbInstance};

    use super::super::Level;
    use super::*;
    use crate::systems::aws::rds::Instance;

    fn server(engine: &str, version: &str) -> Server {
        Instance::from(DbInstance::builder().engine(engine).engine_version(version).build()).server
    }

    fn facts() -> Facts {
        let deployment = Deployment {
            tasks: Vec::new(),
            tags: std::collections::BTreeMap::new(),
            id: "bgd-1".into(),
            name: "upgrade".into(),
            blue: String::new(),
            green: None,
            standing: Standing::Available,
            words: "AVAILABLE".into(),
        };
        let (system, source, target) = ("green".to_owned(), "source".to_owned(), "target".to_owned());
        let (blue, green) = (server("postgres", "15.8"), server("postgres", "15.10"));
        Facts { system, source, target, deployment: Some(deployment), blue, cluster: None, green }
    }

    fn worst(change: impl Fn(&mut Facts)) -> Vec<(String, Level)> {
        found(change, 0)
    }

    fn found(change: impl Fn(&mut Facts), logical: i64) -> Vec<(String, Level)> {
        let mut facts = facts();
        change(&mut facts);
        let found = [judge(&facts), physical(&facts, logical)]
            .concat()
            .into_iter()
            .filter(|finding| finding.level != Level::Pass);
        found.inspect(|finding| assert!(!finding.mend.is_empty())).map(|finding| (finding.id, finding.level)).collect()
    }

    #[test]
    fn what_rds_would_refuse_is_said_before() {
        let one = |id: &str, level| vec![(id.to_owned(), level)];
        assert_eq!(worst(|_| {}), []);
        assert_eq!(found(|_| {}, 1), one("blue-green-logical", Level::Fail));
        assert_eq!(worst(|facts| facts.deployment = None), one("blue-green-status", Level::Fail));
        let standing =
            |standing: Standing| worst(|facts| facts.deployment.as_mut().unwrap().standing = standing.clone());
        assert_eq!(standing(Standing::Failed), one("blue-green-status", Level::Warn));
        assert_eq!(standing(Standing::Completed), one("blue-green-status", Level::Fail));
    }

    #[test]
    fn only_what_replicates_physically_is_moved() {
        let version = vec![("blue-green-version".to_owned(), Level::Fail)];
        assert_eq!(worst(|facts| facts.green = server("postgres", "16.4")), version);
        assert_eq!(worst(|facts| facts.blue = server("mysql", "15.8")), version);
    }

    #[test]
    fn by_the_binary_log_it_follows_an_instance_that_is_no_later_and_follows_nobody() {
        let found = |blue: Server, green: Server, follows: &[Follows]| {
            let facts = Facts { blue, green, ..facts() };
            let failed = binary_log(&facts, follows).into_iter().filter(|finding| finding.level == Level::Fail);
            failed.inspect(|finding| assert!(!finding.mend.is_empty())).map(|finding| finding.id).collect::<Vec<_>>()
        };
        let mysql = |version: &str| server("mysql", version);
        assert_eq!(found(mysql("8.0.39"), mysql("8.4.3"), &[]), Vec::<String>::new());
        assert_eq!(found(mysql("8.0.39"), mysql("8.0.9"), &[]), ["blue-green-version"]);
        assert_eq!(found(mysql("8.0.39"), server("mariadb", "10.11.9"), &[]), ["blue-green-version"]);
        let stands = Follows { server_id: 7, trouble: Some("it does not receive".into()), ..Follows::default() };
        let runs = Follows { trouble: None, ..stands.clone() };
        assert_eq!(found(mysql("8.0.39"), mysql("8.0.39"), &[stands]), Vec::<String>::new());
        assert_eq!(found(mysql("8.0.39"), mysql("8.0.39"), &[runs]), ["blue-green-external"]);
    }

    #[test]
    fn to_a_later_major_version_it_must_carry_everything() {
        let found = |change: &dyn Fn(&mut Facts), own: &[String], lacks: Option<&str>| {
            let mut facts = facts();
            facts.green = server("postgres", "18.1");
            change(&mut facts);
            let found = logical(&facts, own, lacks).into_iter().filter(|finding| finding.level == Level::Fail);
            found.inspect(|finding| assert!(!finding.mend.is_empty())).map(|finding| finding.id).collect::<Vec<_>>()
        };
        assert_eq!(found(&|_| (), &[], None), Vec::<String>::new());
        assert_eq!(found(&|_| (), &["slot theirs".into()], None), ["blue-green-logical"]);
        assert_eq!(found(&|_| (), &[], Some("rds_bg does not follow public.t")), ["blue-green-stream"]);
        assert_eq!(found(&|facts| facts.green = server("postgres", "14.9"), &[], None), ["blue-green-version"]);
        assert_eq!(found(&|facts| facts.blue = server("mysql", "8.0"), &[], None), ["blue-green-version"]);
    }

    fn cluster(version: &str) -> Cluster {
        let found = DbCluster::builder().engine("aurora-postgresql").engine_version(version).engine_mode("provisioned");
        Cluster::from(found.db_cluster_arn("arn:aws:rds:eu-west-1:1:cluster:orders").build())
    }

    #[test]
    fn a_cluster_replicates_logically_whatever_its_version() {
        let fails = |blue: &str, green: &str, change: &dyn Fn(&mut Facts)| {
            let mut facts = facts();
            (facts.blue, facts.green) = (cluster(blue).server, cluster(green).server);
            facts.cluster = Some(cluster(blue));
            change(&mut facts);
            let found = logical(&facts, &[], None).into_iter().filter(|finding| finding.level == Level::Fail);
            found.inspect(|finding| assert!(!finding.mend.is_empty())).map(|finding| finding.id).collect::<Vec<_>>()
        };
        for (blue, green) in [("16.4", "16.4"), ("16.4", "16.10"), ("16.10", "17.4")] {
            assert_eq!(fails(blue, green, &|_| ()), Vec::<String>::new(), "{blue} to {green}");
        }
        for (blue, green) in [("16.10", "16.4"), ("17.4", "16.10"), ("next", "17.4")] {
            assert_eq!(fails(blue, green, &|_| ()), ["blue-green-version"], "{blue} to {green}");
        }
        assert_eq!(fails("16.4", "17.4", &|facts| facts.green = server("postgres", "17.4")), ["blue-green-version"]);
        let global = |facts: &mut Facts| facts.cluster.as_mut().unwrap().global = Some("world".into());
        assert_eq!(fails("16.4", "17.4", &global), ["blue-green-limits"]);
    }

    #[test]
    fn what_deployments_do_not_support_of_a_cluster_is_told() {
        let told = |change: &dyn Fn(&mut Cluster)| {
            let mut found = cluster("16.4");
            change(&mut found);
            unsupported(&found).join("; ")
        };
        let replica = |region: &str| format!("arn:aws:rds:{region}:1:cluster:orders-2");
        assert_eq!(told(&|found| found.server.replicas = vec![replica("eu-west-1"), "orders-3".into()]), "");
        assert!(told(&|found| found.server.replicas = vec![replica("us-east-1")]).contains("in another Region"));
        assert!(told(&|found| found.server.replicates = Some("orders-1".into())).contains("a replica of orders-1"));
        assert!(told(&|found| found.mode = Some("serverless".into())).contains("Serverless v1"));
        assert!(told(&|found| found.global = Some("world".into())).contains("global database world"));
    }
}
