//! The preflight against real MySQL and MariaDB servers.

use std::collections::BTreeSet;
use std::time::Duration;

use pointsman::preflight::mysql::{PreflightInput, Wanted, gather, judge};
use pointsman::preflight::{Finding, Level, render};
use pointsman::sandbox::mysql::{Mariadb, Mysql, MysqlClient};
use pointsman::sandbox::server::{Kind, Server};
use pointsman::sandbox::{Role, Sandbox};

use super::pairs::{Settings, database, fingerprint, pair, sql, value};

/// Ids of what is not as it should be, `id@system`.
fn ids(findings: &[Finding], level: Level) -> BTreeSet<String> {
    findings.iter().filter(|one| one.level == level).map(|one| format!("{}@{}", one.id, one.system)).collect()
}

fn find<'a>(findings: &'a [Finding], id: &str, system: &str) -> &'a Finding {
    findings.iter().find(|one| one.id == id && one.system == system).unwrap_or_else(|| panic!("no {id} on {system}"))
}

async fn gathered<K: Kind>(pair: &Sandbox<K>, role: Role, wanted: Wanted) -> PreflightInput {
    let source = database("source", &pair.source, role);
    let target = database("target", &pair.target, role);
    gather(&source, &target, wanted, Vec::new(), Vec::new()).await.unwrap()
}

async fn found<K: Kind>(pair: &Sandbox<K>) -> Vec<Finding> {
    judge(&gathered(pair, Role::Superuser, Wanted::default()).await)
}

/// Two servers as the sandbox makes them: nothing fails, and looking changes nothing.
async fn tidy<K: Kind<Client = MysqlClient>>() {
    let pair = pair::<K>(&[], &[]).await;
    let before = (fingerprint(&pair.source).await, fingerprint(&pair.target).await);
    let input = gathered(&pair, Role::Superuser, Wanted::default()).await;
    let after = (fingerprint(&pair.source).await, fingerprint(&pair.target).await);
    assert!(before == after, "gathering changed something:\n{before:?}\n{after:?}");
    let findings = judge(&input);
    let text = render(&findings, true);
    println!("{text}");
    assert_eq!(ids(&findings, Level::Fail), BTreeSet::new(), "{text}");
    for id in [
        "version",
        "binary-log",
        "disk-room",
        "prepared-transactions",
        "replication-url",
        "replication-address",
        "fence-privilege",
    ] {
        assert_eq!(find(&findings, id, "source").level, Level::Pass, "{id}:\n{text}");
    }
    assert!(find(&findings, "events", "source").detail.contains("shop.tidy"), "{text}");
    assert!(find(&findings, "schemas", "source").title.contains("tables are carried"), "{text}");
    let stored = serde_json::to_string(&input).unwrap();
    let url = url::Url::parse(&pair.source.url(Role::Superuser, "shop")).unwrap();
    assert!(!stored.contains(url.password().unwrap()), "a survey holds a secret");
    assert_eq!(serde_json::from_str::<PreflightInput>(&stored).unwrap(), input);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_a_tidy_pair_has_no_failure_and_stays_as_it_is() {
    tidy::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_a_tidy_pair_has_no_failure_and_stays_as_it_is() {
    tidy::<Mariadb>().await;
}

/// One of nearly everything that replication trips over.
const TROUBLE: &str = "CREATE DATABASE odd; USE odd; \
    CREATE TABLE hits (id int PRIMARY KEY) ENGINE = MyISAM; CREATE TABLE keyless (note text); \
    CREATE TABLE `Odd Name` (code int NOT NULL UNIQUE, price float, twice int GENERATED ALWAYS AS (code * 2) VIRTUAL); \
    CREATE TABLE parent (id int PRIMARY KEY); \
    CREATE TABLE child (id int PRIMARY KEY, parent int, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE); \
    CREATE USER gone@'10.%' IDENTIFIED BY 'gone-secret'; \
    CREATE DEFINER = lost@'10.%' VIEW seen AS SELECT 1; \
    CREATE TRIGGER touch BEFORE INSERT ON parent FOR EACH ROW SET NEW.id = NEW.id; \
    CREATE EVENT sweep ON SCHEDULE EVERY 1 DAY DO DELETE FROM odd.keyless; \
    XA START 'half', 'b'; INSERT INTO odd.parent VALUES (7); XA END 'half', 'b'; XA PREPARE 'half', 'b'";

const SOURCE: Settings = &[
    ("server-id", "77"),
    ("binlog-row-image", "MINIMAL"),
    ("binlog-ignore-db", "audit"),
    ("max-allowed-packet", "32M"),
    ("max-connections", "400"),
    ("event-scheduler", "ON"),
];

const TARGET: Settings = &[
    ("server-id", "77"),
    ("max-allowed-packet", "4M"),
    ("group-concat-max-len", "4096"),
    ("replicate-ignore-db", "audit"),
    ("default-time-zone", "+09:00"),
    ("event-scheduler", "OFF"),
];

/// What fails whatever the server is.
const FAILURES: [&str; 11] = [
    "binlog-filters@source",
    "binlog-row-image@source",
    "definers@target",
    "engines@source",
    "max-allowed-packet@target",
    "own-leftovers@target",
    "prepared-transactions@source",
    "read-only@source",
    "replication-filters@target",
    "server-id@target",
    "target-content@target",
];

const WARNINGS: &[&str] = &[
    "auto-increment@target",
    "durability@target",
    "errant-gtids@target",
    "event-scheduler@target",
    "float-columns@source",
    "long-transactions@source",
    "max-connections@target",
    "primary-keys@source",
    "settings-meaning@target",
    "sql-mode@target",
    "target-sessions@target",
    "time-zone@target",
];

/// Runs the statements of a finding, each alone, as the superuser.
async fn mend<K: Kind<Client = MysqlClient>>(server: &Server<K>, findings: &[Finding], id: &str, system: &str) {
    let client = server.connect(Role::Superuser).await.unwrap();
    for statement in &find(findings, id, system).mend {
        if statement.starts_with("--") {
            continue;
        }
        client.execute(statement).await.unwrap_or_else(|error| panic!("{id}: {statement}: {error:?}"));
    }
}

/// Each mischief has its finding, and what the finding says mends it.
async fn mischief<K: Kind<Client = MysqlClient>>() {
    let pair = pair::<K>(SOURCE, TARGET).await;
    let (source, target) = (&pair.source, &pair.target);
    sql(source, TROUBLE).await;
    sql(source, "SET GLOBAL auto_increment_increment = 2; SET GLOBAL read_only = ON").await;
    sql(
        target,
        "CREATE DATABASE odd; CREATE TABLE odd.parent (id int PRIMARY KEY); CREATE DATABASE pointsman; \
         CREATE USER pointsman_repl@'%' IDENTIFIED BY 'left-behind'; \
         SET GLOBAL sync_binlog = 0; SET GLOBAL sql_mode = 'ANSI_QUOTES'",
    )
    .await;
    let (sitter, guest) = (source.connect(Role::Superuser).await.unwrap(), target.connect(Role::App).await.unwrap());
    sitter.execute("BEGIN; INSERT INTO odd.parent VALUES (1)").await.unwrap();
    guest.value("SELECT 1").await.unwrap();
    let mut input = gathered(&pair, Role::Superuser, Wanted::default()).await;
    // It shows transactions that are older than five seconds; those of thirty warn.
    while !input.source.activity.transactions.iter().flatten().any(|one| one.user == "root" && one.age_s < 60) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        input = gathered(&pair, Role::Superuser, Wanted::default()).await;
    }
    for transaction in input.source.activity.transactions.iter_mut().flatten() {
        transaction.age_s += 30;
    }
    let findings = judge(&input);
    let text = render(&findings, true);
    println!("{text}");
    let failures = ids(&findings, Level::Fail);
    for id in FAILURES {
        assert!(failures.contains(id), "{id} is missing:\n{text}");
    }
    let warnings = ids(&findings, Level::Warn);
    for id in WARNINGS {
        assert!(warnings.contains(*id), "{id} is missing:\n{text}");
    }
    assert!(find(&findings, "definers", "target").detail.contains("lost@10.%"));
    assert!(find(&findings, "own-leftovers", "target").detail.contains("account pointsman_repl@%"), "{text}");
    assert!(find(&findings, "foreign-keys", "source").detail.contains("odd.child"), "{text}");
    assert!(find(&findings, "generated-columns", "source").detail.contains("odd.Odd Name (twice)"));
    assert!(find(&findings, "primary-keys", "source").detail.contains("odd.keyless"));
    assert!(find(&findings, "primary-keys", "source").detail.contains("keyless") && !text.contains("gone-secret"));

    sitter.execute("ROLLBACK").await.unwrap();
    let here = ["read-only", "prepared-transactions", "binlog-row-image", "engines"];
    for id in here {
        mend(source, &findings, id, "source").await;
    }
    // A key for the table that has none; the one with a unique key is for a person.
    mend(source, &findings, "primary-keys", "source").await;
    let there = [
        "server-id",
        "max-allowed-packet",
        "definers",
        "durability",
        "own-leftovers",
        "target-content",
        "settings-meaning",
        "sql-mode",
        "time-zone",
        "auto-increment",
        "max-connections",
        "event-scheduler",
        "replication-filters",
        "errant-gtids",
    ];
    for id in there {
        mend(target, &findings, id, "target").await;
    }
    let after = found(&pair).await;
    let text = render(&after, true);
    for (ids, system) in [(&here[..], "source"), (&there[..], "target")] {
        for id in ids {
            assert_eq!(find(&after, id, system).level, Level::Pass, "{id} on {system}:\n{text}");
        }
    }
    assert!(!find(&after, "primary-keys", "source").detail.contains("keyless"), "{text}");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_what_the_preflight_says_mends_what_it_found() {
    mischief::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_what_the_preflight_says_mends_what_it_found() {
    mischief::<Mariadb>().await;
}

/// With what RDS gives to its master user, and with hardly anything.
#[tokio::test(flavor = "multi_thread")]
async fn mysql_privileges_that_are_missing_are_told_and_granted() {
    let pair = pair::<Mysql>(&[], &[]).await;
    let findings = judge(&gathered(&pair, Role::Mover, Wanted::default()).await);
    let text = render(&findings, true);
    println!("{text}");
    let failures = ids(&findings, Level::Fail);
    for id in [
        "definer-privilege@target",
        "replication-privilege@target",
        "fence-privilege@source",
        "terminate-privilege@source",
        "prepared-transactions@source",
    ] {
        assert!(failures.contains(id), "{id} is missing:\n{text}");
    }
    assert_eq!(find(&findings, "copy-privilege", "source").level, Level::Pass, "{text}");
    assert_eq!(find(&findings, "create-privilege", "target").level, Level::Pass, "{text}");
    for (server, system) in [(&pair.source, "source"), (&pair.target, "target")] {
        for id in ["fence-privilege", "terminate-privilege", "replication-privilege"] {
            mend(server, &findings, id, system).await;
        }
    }
    mend(&pair.source, &findings, "prepared-transactions", "source").await;
    mend(&pair.target, &findings, "routine-creation", "target").await;
    // What the administrator of the sample shop defined needs two: to name others, and to name administrators.
    mend(&pair.target, &findings, "definer-privilege", "target").await;
    let again = judge(&gathered(&pair, Role::Mover, Wanted::default()).await);
    assert_eq!(find(&again, "definer-privilege", "target").mend, ["GRANT SYSTEM_USER ON *.* TO 'mover'@'%';"]);
    mend(&pair.target, &again, "definer-privilege", "target").await;
    let after = judge(&gathered(&pair, Role::Mover, Wanted::default()).await);
    let text = render(&after, true);
    let failures = ids(&after, Level::Fail);
    assert!(!failures.iter().any(|id| id.contains("privilege") || id.contains("prepared")), "{failures:?}\n{text}");

    let guest = judge(&gathered(&pair, Role::App, Wanted::default()).await);
    let failures = ids(&guest, Level::Fail);
    for id in [
        "copy-privilege@source",
        "create-privilege@target",
        "fence-privilege@source",
        "monitor-privilege@source",
        "prepared-transactions@source",
        "replication-privilege@target",
        "replication-url@source",
        "terminate-privilege@source",
    ] {
        assert!(failures.contains(id), "{id} is missing:\n{}", render(&guest, true));
    }
    assert_eq!(find(&guest, "accounts-missing", "target").level, Level::Warn);
    assert_eq!(find(&guest, "own-account-sessions", "source").level, Level::Warn);
    assert_eq!(
        value(&pair.source, "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'pointsman'").await,
        "0"
    );
    pair.stop().await;
}
