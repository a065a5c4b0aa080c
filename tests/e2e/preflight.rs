//! The preflight against PostgreSQL 15 and 18.

use std::collections::BTreeSet;
use std::time::Duration;

use pointsman::preflight::postgres::{PreflightInput, Wanted, gather, judge};
use pointsman::preflight::{Finding, Level, render};
use tokio_postgres::Client;

use crate::support_preflight::Cluster;

/// One of nearly everything that logical replication trips over.
const TROUBLE: &str = r#"
CREATE TABLE keyed (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
CREATE TABLE keyless (note text);
CREATE TABLE "Odd Name" (code int NOT NULL UNIQUE);
CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE);
CREATE TABLE nothing (id int PRIMARY KEY);
ALTER TABLE nothing REPLICA IDENTITY NOTHING;
CREATE TABLE whole (doc json);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE UNLOGGED TABLE cache (id int PRIMARY KEY);
CREATE TABLE computed (a int PRIMARY KEY, b int GENERATED ALWAYS AS (a * 2) STORED);
CREATE TABLE parts (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE secured (id int PRIMARY KEY);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
INSERT INTO keyed (note) SELECT 'x' FROM generate_series(1, 100);
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM keyed;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER audit BEFORE INSERT ON keyed FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE keyed ENABLE ALWAYS TRIGGER audit;
CREATE FUNCTION ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch_ddl ON ddl_command_end EXECUTE FUNCTION ddl();
CREATE RULE swallow AS ON DELETE TO nothing DO INSTEAD NOTHING;
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER dummy;
CREATE FOREIGN TABLE far (id int) SERVER elsewhere;
SELECT lo_create(4711);
CREATE SEQUENCE narrow AS smallint;
SELECT setval('narrow', 32000);
CREATE SEQUENCE round CYCLE MAXVALUE 10;
CREATE EXTENSION adminpack;
CREATE ROLE reader;
GRANT SELECT ON keyed TO reader;
CREATE ROLE app LOGIN PASSWORD 'app-secret' CONNECTION LIMIT 50;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
ALTER ROLE app SET statement_timeout = '5s';
ALTER DATABASE shop SET "IntervalStyle" = 'iso_8601';
SELECT pg_create_physical_replication_slot('standby_1');
CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 dbname=x password=feed-secret' PUBLICATION p
  WITH (connect = false, slot_name = 'feed');
CREATE PUBLICATION pointsman_forward FOR TABLE keyed;
"#;

/// What of `TROUBLE` is refused.
const FAILURES: [&str; 13] = [
    "extensions@target",
    "idle-replication-slot-timeout@target",
    "large-objects@source",
    "own-leftovers@source",
    "prepared-transactions@source",
    "replica-identity-full@source",
    "replica-identity@source",
    "replication-slots@source",
    "roles-missing@target",
    "target-content@target",
    "triggers-always@source",
    "wal-level@source",
    "wal-level@target",
];

/// What of `TROUBLE` is warned about.
const WARNINGS: &[&str] = &[
    // Made with `connect = false`, so it is disabled and only warns.
    "other-subscriptions@source",
    "other-slots@source",
    "event-triggers@source",
    "rules@source",
    "foreign-tables@source",
    "materialized-views@source",
    "temporary-tables@source",
    "unlogged-tables@source",
    "sequence-near-limit@source",
    "sequence-cycle@source",
    "settings-of-roles@target",
    "settings-meaning@target",
    "settings-tuning@target",
    "time-zone@target",
    "sync-workers@target",
    "own-role-sessions@source",
    "around-pooler@source",
];

async fn troubled() -> (Cluster, Cluster) {
    let source = Cluster::start(
        "PG15_BIN",
        &[
            "wal_level=replica",
            "max_replication_slots=2",
            "max_wal_senders=4",
            "max_prepared_transactions=4",
            "TimeZone=Asia/Tokyo",
            "work_mem=16MB",
        ],
    );
    let target = Cluster::start(
        "PG18_BIN",
        &[
            "wal_level=replica",
            "idle_replication_slot_timeout=1h",
            "max_sync_workers_per_subscription=2",
            "TimeZone=UTC",
        ],
    );
    let (source, target) = tokio::join!(source, target);
    source.run("postgres", "CREATE DATABASE shop").await;
    source.run("shop", TROUBLE).await;
    source.run("shop", "BEGIN; INSERT INTO keyed (note) VALUES ('p'); PREPARE TRANSACTION 'half'").await;
    target.run("postgres", "CREATE DATABASE shop").await;
    target.run("shop", "CREATE TABLE keyed (id int PRIMARY KEY); INSERT INTO keyed VALUES (1)").await;
    (source, target)
}

/// Ids of what is not as it should be, `id@system`.
fn ids(findings: &[Finding], level: Level) -> BTreeSet<String> {
    findings.iter().filter(|one| one.level == level).map(|one| format!("{}@{}", one.id, one.system)).collect()
}

fn find<'a>(findings: &'a [Finding], id: &str, system: &str) -> &'a Finding {
    findings.iter().find(|one| one.id == id && one.system == system).unwrap_or_else(|| panic!("no {id} on {system}"))
}

/// What a server would show if anything had been changed; autovacuum is off, so only we could.
async fn fingerprint(cluster: &Cluster, client: &Client) -> String {
    let rows = client
        .query(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text UNION ALL
             SELECT name || '=' || coalesce(reset_val, '') FROM pg_settings WHERE name <> 'application_name' UNION ALL
             SELECT slot_name || coalesce(restart_lsn::text, '') FROM pg_replication_slots UNION ALL
             SELECT r::text FROM pg_authid r UNION ALL SELECT d::text FROM pg_database d UNION ALL
             SELECT gid FROM pg_prepared_xacts ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    format!("{}\n{}", lines.join("\n"), cluster.dump())
}

async fn gathered(source: &Cluster, target: &Cluster, credentials: &str, wanted: Wanted) -> PreflightInput {
    let pg_dump = Some(source.bin.join("pg_dump").display().to_string());
    let wanted = Wanted { pg_dump, ..wanted };
    let (from, to) = (source.database("source", credentials, "shop"), target.database("target", credentials, "shop"));
    gather(&from, &to, wanted, Vec::new(), Vec::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflight_finds_everything_and_changes_nothing() {
    let (source, target) = troubled().await;
    let sitter = source.client("app", "shop").await;
    sitter.batch_execute("CREATE TEMP TABLE mine (a int)").await.unwrap();
    sitter.batch_execute("BEGIN; INSERT INTO keyless VALUES ('open')").await.unwrap();
    let (at_source, at_target) = (source.client("postgres", "shop").await, target.client("postgres", "shop").await);
    let before = (fingerprint(&source, &at_source).await, fingerprint(&target, &at_target).await);
    let mut input = gathered(&source, &target, "postgres", Wanted::default()).await;
    while input.source.activity.transactions.is_empty() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        input = gathered(&source, &target, "postgres", Wanted::default()).await;
    }
    let after = (fingerprint(&source, &at_source).await, fingerprint(&target, &at_target).await);
    assert!(before == after, "gathering changed something");

    let findings = judge(&input);
    let text = render(&findings, true);
    println!("{text}");
    let expected: BTreeSet<String> = FAILURES.map(str::to_owned).into();
    assert_eq!(ids(&findings, Level::Fail), expected, "{text}");
    let warnings = ids(&findings, Level::Warn);
    for id in WARNINGS {
        assert!(warnings.contains(*id), "{id} is missing:\n{text}");
    }
    let identity = find(&findings, "replica-identity", "source");
    for word in [
        "public.keyless (default, no primary key)",
        "public.deferred (default, primary key deferrable",
        "public.nothing (nothing)",
        "public.Odd Name",
    ] {
        assert!(identity.detail.contains(word), "{word}: {}", identity.detail);
    }
    assert!(!identity.detail.contains("parts") && !identity.detail.contains("computed"), "{}", identity.detail);
    assert!(
        identity.mend.contains(
            &r#"ALTER TABLE "public"."Odd Name" REPLICA IDENTITY USING INDEX "Odd Name_code_key";"#.to_owned()
        ),
        "{:?}",
        identity.mend
    );
    assert!(find(&findings, "time-zone", "target").detail.contains("Asia/Tokyo on the source, UTC on the target"));
    assert_eq!(find(&findings, "replication-url", "source").level, Level::Pass);
    assert_eq!(find(&findings, "host-based-authentication", "source").level, Level::Pass);
    assert_eq!(input.source.activity.transactions[0].role.as_deref(), Some("app"));
    assert!(input.source.disk.free_bytes.is_some(), "both run on this machine");
    assert!(
        input.source.tables.iter().any(|table| table.name == "keyed" && table.publications == ["pointsman_forward"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_preflight_says_mends_what_it_found() {
    let (source, target) = troubled().await;
    let findings = judge(&gathered(&source, &target, "postgres", Wanted::default()).await);
    let by_hand = "SELECT lo_unlink(4711); DROP EXTENSION adminpack";
    source.run("shop", by_hand).await;
    let here = [
        "replica-identity",
        "prepared-transactions",
        "triggers-always",
        "own-leftovers",
        "unlogged-tables",
        "sequence-near-limit",
    ];
    mend(&source, &findings, "source", &here).await;
    mend(
        &target,
        &findings,
        "target",
        &["roles-missing", "target-content", "settings-of-roles", "settings-meaning", "time-zone"],
    )
    .await;
    source.run("shop", r#"DROP TABLE whole; ALTER TABLE "deferred" REPLICA IDENTITY FULL"#).await;
    let after = judge(&gathered(&source, &target, "postgres", Wanted::default()).await);
    let text = render(&after, false);
    for (ids, system) in [
        (here.as_slice(), "source"),
        (
            &["extensions", "roles-missing", "target-content", "settings-of-roles", "settings-meaning", "time-zone"],
            "target",
        ),
    ] {
        for id in ids {
            assert_eq!(find(&after, id, system).level, Level::Pass, "{id} on {system}:\n{text}");
        }
    }
}

/// Runs the statements of findings, each alone: some can't be in a transaction.
async fn mend(cluster: &Cluster, findings: &[Finding], system: &str, ids: &[&str]) {
    let client = cluster.client("postgres", "shop").await;
    for id in ids {
        for statement in &find(findings, id, system).mend {
            client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{id}: {statement}: {error:?}"));
        }
    }
}

/// Roles as Amazon RDS has them; nobody but `postgres` is a superuser.
const RDS: &str = "
CREATE ROLE rds_superuser CREATEROLE;
CREATE ROLE rds_replication;
CREATE ROLE app LOGIN PASSWORD 'app-secret';
CREATE ROLE mover LOGIN CREATEROLE PASSWORD 'mover-secret';
GRANT rds_superuser, rds_replication, pg_monitor, pg_signal_backend TO mover;
GRANT app TO mover WITH ADMIN OPTION;
CREATE ROLE guest LOGIN PASSWORD 'guest-secret';
CREATE ROLE rdsadmin LOGIN SUPERUSER";

async fn managed(bin_variable: &str) -> Cluster {
    let cluster = Cluster::start(bin_variable, &["wal_level=replica"]).await;
    cluster.run("postgres", RDS).await;
    cluster.run("postgres", "CREATE DATABASE shop OWNER app").await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflight_works_with_the_roles_of_rds() {
    let (source, target) = tokio::join!(managed("PG15_BIN"), managed("PG18_BIN"));
    let app = source.client("app", "shop").await;
    app.batch_execute(
        "CREATE SCHEMA app; CREATE TABLE app.orders (id serial PRIMARY KEY); INSERT INTO app.orders DEFAULT VALUES",
    )
    .await
    .unwrap();
    let input = gathered(&source, &target, "mover:mover-secret", Wanted::default()).await;
    let findings = judge(&input);
    let text = render(&findings, true);
    println!("{text}");
    assert_eq!(
        ids(&findings, Level::Fail),
        BTreeSet::from(["wal-level@source".to_owned(), "wal-level@target".to_owned()]),
        "{text}"
    );
    for id in
        ["replication-privilege", "create-privilege", "table-ownership", "subscription-privilege", "monitor-privilege"]
    {
        for system in ["source", "target"] {
            assert_eq!(find(&findings, id, system).level, Level::Pass, "{id} on {system}:\n{text}");
        }
    }
    for id in ["fence-privilege", "terminate-privilege", "sequence-privilege"] {
        assert_eq!(find(&findings, id, "source").level, Level::Pass, "{id}:\n{text}");
    }
    assert_eq!(find(&findings, "copy-privilege", "source").level, Level::Pass, "{text}");
    assert!(find(&findings, "wal-level", "source").mend[0].contains("rds.logical_replication = 1"));
    assert_eq!(find(&findings, "host-based-authentication", "source").level, Level::Warn);
    assert_eq!(find(&findings, "role-passwords", "target").title, "passwords can't be compared");
    assert!(!find(&findings, "fence-privilege", "source").detail.contains("rdsadmin"));

    let stored = serde_json::to_string(&input).unwrap();
    assert!(!stored.contains("secret"), "a survey holds a secret");
    assert_eq!(serde_json::from_str::<PreflightInput>(&stored).unwrap(), input);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflight_works_with_hardly_any_privilege_and_says_what_is_missing() {
    let (source, target) = tokio::join!(managed("PG15_BIN"), managed("PG18_BIN"));
    let app = source.client("app", "shop").await;
    app.batch_execute("CREATE SCHEMA app; CREATE TABLE app.orders (id serial PRIMARY KEY)").await.unwrap();
    let findings = judge(&gathered(&source, &target, "guest:guest-secret", Wanted::default()).await);
    let failures = ids(&findings, Level::Fail);
    for id in [
        "replication-privilege@source",
        "create-privilege@target",
        "table-ownership@source",
        "subscription-privilege@target",
        "subscription-privilege@source",
        "fence-privilege@source",
        "terminate-privilege@source",
        "sequence-privilege@source",
        "replication-url@source",
        "copy-privilege@source",
    ] {
        assert!(failures.contains(id), "{id} is missing:\n{}", render(&findings, true));
    }
}
