//! Comparing rows of MySQL and MariaDB: no false alarm, no difference missed, and both while writes go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pointsman::sandbox::mysql::{Mariadb, Mysql, MysqlClient};
use pointsman::sandbox::server::{Kind, Server};
use pointsman::sandbox::{Role, Sandbox};
use pointsman::systems::comparison::{
    Barrier, CompareOptions, Comparison, NothingWrites, Progress, RowDifferences, Side, TableStatus,
};
use pointsman::systems::mysql::compare::{Following, PositionBarrier, compare};
use pointsman::systems::mysql::{Access, Flavour};

use super::pairs::{Settings, database, follow, pair, sql, value};

const ZOO: &str = include_str!("zoo.sql");

fn quiet(_: &Progress) {}

/// A comparison can be moved to another thread.
fn sent<F: Future + Send>(future: F) -> F {
    future
}

async fn run<K: Kind>(pair: &Sandbox<K>, options: &CompareOptions, barrier: &dyn Barrier) -> Comparison {
    let source = database("source", &pair.source, Role::Superuser);
    let target = database("target", &pair.target, Role::Superuser);
    sent(compare(&source, &target, options, barrier, &quiet)).await.unwrap()
}

fn of_zoo(writer: Side) -> CompareOptions {
    CompareOptions { schemas: vec!["zoo".into()], ..CompareOptions::new(writer) }
}

fn status<'c>(comparison: &'c Comparison, table: &str) -> &'c TableStatus {
    &comparison.tables.iter().find(|result| result.table == table).unwrap().status
}

fn differences<'c>(comparison: &'c Comparison, table: &str) -> &'c RowDifferences {
    match status(comparison, table) {
        TableStatus::Different(found) => found,
        other => panic!("{table}: {other:?}"),
    }
}

/// Servers whose defaults differ in what could change the text of a value.
async fn still<K: Kind<Client = MysqlClient>>() -> Sandbox<K> {
    let pair = pair::<K>(
        &[("default-time-zone", "-05:00"), ("sql-mode", "PAD_CHAR_TO_FULL_LENGTH")],
        &[("default-time-zone", "+09:00"), ("character-set-server", "latin1"), ("div-precision-increment", "8")],
    )
    .await;
    for server in [&pair.source, &pair.target] {
        sql(
            server,
            &format!(
                "SET NAMES utf8mb4; SET SESSION sql_mode = '', time_zone = '+00:00', div_precision_increment = 4; {ZOO}"
            ),
        )
        .await;
    }
    // The same text in another character set, the same columns and rows in another order, another collation of the key.
    sql(&pair.source, "SET NAMES utf8mb4; USE zoo; CREATE TABLE mixed (id int PRIMARY KEY, v varchar(20), t text) CHARACTER SET latin1; \
         INSERT INTO mixed VALUES (1, 'Größe', 'é'), (2, '', NULL); \
         CREATE TABLE turned (k varchar(9) COLLATE utf8mb4_bin PRIMARY KEY, v double); \
         INSERT INTO turned SELECT CONCAT('k', a.i, b.i), a.i * 0.25e0 FROM digits a, digits b").await;
    sql(&pair.target, "SET NAMES utf8mb4; USE zoo; CREATE TABLE mixed (id int PRIMARY KEY, t longtext, v varchar(30)) CHARACTER SET utf8mb4; \
         INSERT INTO mixed (id, v, t) VALUES (2, '', NULL), (1, 'Größe', 'é'); \
         SET SESSION div_precision_increment = 4; \
         CREATE TABLE turned (v double, k varchar(9) COLLATE utf8mb4_general_ci PRIMARY KEY); \
         INSERT INTO turned SELECT a.i * 0.25e0, CONCAT('k', a.i, b.i) FROM digits a, digits b ORDER BY 2 DESC").await;
    pair
}

async fn awkward_types_and_corruption<K: Kind<Client = MysqlClient>>() {
    let pair = still::<K>().await;
    let found = run(&pair, &of_zoo(Side::Source), &NothingWrites).await;
    assert!(found.equal(), "{:#?}", found.tables);
    assert!(found.tables.iter().all(|table| table.settled == 0), "{:#?}", found.tables);
    let rows = |table: &str| {
        let one = found.tables.iter().find(|result| result.table == table).unwrap();
        (one.rows_source, one.rows_target)
    };
    assert_eq!(
        (rows("wide"), rows("types"), rows("nokey"), rows("hollow")),
        ((30_000, 30_000), (4, 4), (3_000, 3_000), (0, 0))
    );
    if K::NAME == "MySQL" {
        // The server sorts the keys of its JSON.
        sql(&pair.target, r#"UPDATE zoo.types SET j = '{"a": [1.0, "x"], "b": 1}' WHERE id = 1"#).await;
        assert!(run(&pair, &of_zoo(Side::Source), &NothingWrites).await.equal());
    }

    sql(
        &pair.target,
        "USE zoo; SET NAMES utf8mb4; SET SESSION sql_mode = ''; \
         UPDATE types SET f = 0.10000001 WHERE id = 1; UPDATE types SET v = 'ab' WHERE id = 1; UPDATE types SET t = NULL WHERE id = 2; \
         UPDATE types SET lt = CONCAT(lt, 'x') WHERE id = 1; UPDATE types SET c = 'äb  c' WHERE id = 4; \
         DELETE FROM wide WHERE id IN (22, 23456); INSERT INTO wide VALUES (99999, 'x', NULL); \
         UPDATE wide SET at = at + INTERVAL 1 HOUR WHERE id = 15000; \
         UPDATE wide SET v = CASE id WHEN 44 THEN 'v45' ELSE 'v44' END WHERE id IN (44, 45); \
         UPDATE textkey SET k = LOWER(k) WHERE k = 'A É00-0'; UPDATE compound SET v = v + 1e-9 WHERE a = 11 AND b = 'ß22'; \
         UPDATE enumkey SET v = 9 WHERE k = 'ü'; DELETE FROM nokey WHERE a = 1 AND b = 'x5' LIMIT 1; INSERT INTO nokey VALUES (1, NULL); \
         CREATE TABLE stray (id int); DROP TABLE hollow; ALTER TABLE part ADD COLUMN extra int",
    )
    .await;
    let found = run(&pair, &of_zoo(Side::Source), &NothingWrites).await;
    let types = differences(&found, "types");
    let mut sample = types.sample.clone();
    sample.sort();
    assert_eq!(sample, ["id=1: differs in f, lt, v, virt", "id=2: differs in t", "id=4: differs in c"], "{types:?}");
    let wide = differences(&found, "wide");
    assert_eq!((wide.missing_on_target, wide.extra_on_target, wide.changed, wide.undecided), (2, 1, 3, 0), "{wide:?}");
    assert!(wide.sample.contains(&"id=15000: differs in at".to_owned()), "{wide:?}");
    let textkey = differences(&found, "textkey");
    assert!(textkey.sample.contains(&"k=A É00-0: missing on the target".to_owned()), "{textkey:?}");
    assert_eq!(differences(&found, "compound").sample, ["b=ß22, a=11: differs in v"]);
    assert_eq!(differences(&found, "enumkey").sample, ["k=ü: differs in v"]);
    let nokey = differences(&found, "nokey");
    assert_eq!((nokey.missing_on_target, nokey.extra_on_target), (1, 1), "{nokey:?}");
    assert_eq!(status(&found, "stray"), &TableStatus::Structure("the source lacks the table".into()));
    assert_eq!(status(&found, "hollow"), &TableStatus::Structure("the target lacks the table".into()));
    assert_eq!(status(&found, "part"), &TableStatus::Structure("columns only on the target: extra".into()));
    let equal = ["binkey", "digits", "mixed", "timekey", "turned", "uniquekey"];
    for table in equal {
        assert_eq!(status(&found, table), &TableStatus::Equal, "{table}");
    }
    let few = CompareOptions { max_keys: 2, except: vec!["zoo.types".into()], ..of_zoo(Side::Source) };
    let found = run(&pair, &few, &NothingWrites).await;
    assert!(
        matches!(status(&found, "wide"), TableStatus::Different(rows) if rows.undecided == 1),
        "{:?}",
        status(&found, "wide")
    );
    assert_eq!(found.skipped, ["zoo.types: the runbook leaves it out"]);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_awkward_types_are_no_alarm_and_corruption_is_named() {
    awkward_types_and_corruption::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_awkward_types_are_no_alarm_and_corruption_is_named() {
    awkward_types_and_corruption::<Mariadb>().await;
}

const LIVE: &str = "CREATE DATABASE zoo CHARACTER SET utf8mb4; USE zoo; \
    CREATE TABLE hot (id int PRIMARY KEY, n bigint NOT NULL, note text); \
    CREATE TABLE wide (id bigint PRIMARY KEY, v varchar(40), at timestamp(6) NULL); \
    CREATE TABLE fleeting (id int PRIMARY KEY, v text); CREATE TABLE loose (v varchar(20)); \
    CREATE TABLE digits (i int PRIMARY KEY); INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9); \
    INSERT INTO hot SELECT i, 0, '' FROM digits; INSERT INTO loose SELECT CONCAT('v', a.i) FROM digits a, digits b; \
    INSERT INTO wide SELECT a.i + b.i * 10 + c.i * 100 + d.i * 1000, 'v', NOW(6) FROM digits a, digits b, digits c, digits d;";

struct Live<K: Kind> {
    pair: Sandbox<K>,
    stop: Arc<AtomicBool>,
    writes: Arc<AtomicU64>,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

impl<K: Kind<Client = MysqlClient>> Live<K> {
    /// The target follows the source, with clients that write rows that everybody wants as fast as they can.
    async fn start() -> Self {
        let pair = pair::<K>(&[], &[]).await;
        sql(&pair.source, LIVE).await;
        follow(&pair.target, &pair.source).await;
        while value(&pair.target, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'zoo'").await
            != "5"
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (stop, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut writers = Vec::new();
        for client in 0..6_u64 {
            let session = pair.source.connect(Role::Superuser).await.unwrap();
            let (stop, writes) = (Arc::clone(&stop), Arc::clone(&writes));
            writers.push(tokio::spawn(write(session, client, stop, writes)));
        }
        Self { pair, stop, writes, writers }
    }

    async fn barrier(&self, timeout: Duration) -> PositionBarrier {
        let open = async |name: &str, server: &Server<K>| {
            database(name, server, Role::Superuser).connect(Access::ReadOnly).await.unwrap()
        };
        let writer = open("source", &self.pair.source).await;
        let following = if writer.flavour() == Flavour::Mysql { Following::GtidSet } else { Following::GtidPosition };
        let reader = tokio::sync::Mutex::new(open("target", &self.pair.target).await);
        PositionBarrier { writer, reader, following, timeout }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for writer in self.writers {
            writer.await.unwrap();
        }
        self.pair.stop().await;
    }
}

/// Counts up, flips between two values, makes rows and takes them away.
async fn write(session: MysqlClient, client: u64, stop: Arc<AtomicBool>, writes: Arc<AtomicU64>) {
    session.execute("SET SESSION innodb_lock_wait_timeout = 50").await.unwrap();
    let mut round = client;
    while !stop.load(Ordering::SeqCst) {
        round = round.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (hot, wide) = ((round >> 33) % 10, (round >> 40) % 9_000);
        let text = format!(
            "UPDATE zoo.hot SET n = n + 1 WHERE id = {hot}; \
             UPDATE zoo.wide SET v = IF(v = 'flip', 'flop', 'flip') WHERE id = {wide}; \
             INSERT IGNORE INTO zoo.fleeting VALUES ({client}, 'same'); INSERT INTO zoo.loose VALUES ('w{client}'); \
             DELETE FROM zoo.fleeting WHERE id = {client}; DELETE FROM zoo.loose WHERE v = 'w{client}' LIMIT 1"
        );
        session.execute(&text).await.unwrap();
        writes.fetch_add(1, Ordering::SeqCst);
    }
}

async fn writers_at_full_speed<K: Kind<Client = MysqlClient>>() {
    let live = Live::<K>::start().await;
    let barrier = live.barrier(Duration::from_secs(60)).await;
    let options = CompareOptions { rounds: 60, ..of_zoo(Side::Source) };
    // A quick machine may read both sides between two writes: it is tried until something had to be settled.
    let mut settled = 0;
    for _ in 0..20 {
        let before = live.writes.load(Ordering::SeqCst);
        let found = run(&live.pair, &options, &barrier).await;
        let written = live.writes.load(Ordering::SeqCst) - before;
        println!("{written} rounds of writes during {:.1} s; {:#?}", found.seconds, found.tables);
        assert!(written > 0, "no write meanwhile is no test");
        assert!(found.equal(), "{:#?}", found.tables);
        settled += found.tables.iter().map(|table| table.settled).sum::<u64>();
        if settled > 0 {
            break;
        }
    }
    assert!(settled > 0, "nothing had to be settled: no test");

    // One row that nobody writes now, one that comes from nowhere, one that is gone.
    sql(
        &live.pair.target,
        "UPDATE zoo.wide SET v = 'baad' WHERE id = 9901; DELETE FROM zoo.wide WHERE id = 9902; \
         INSERT INTO zoo.wide VALUES (40003, 'x', NULL)",
    )
    .await;
    let found = run(&live.pair, &options, &barrier).await;
    let wide = differences(&found, "wide");
    assert_eq!((wide.missing_on_target, wide.extra_on_target, wide.changed, wide.undecided), (1, 1, 1, 0), "{wide:?}");
    assert!(wide.sample.contains(&"id=9901: differs in v".to_owned()), "{wide:?}");
    for table in ["hot", "fleeting", "loose"] {
        assert!(!matches!(status(&found, table), TableStatus::Different(_)), "{:#?}", found.tables);
    }

    // Replication that stands still is not a pass.
    let stop = if K::NAME == "MariaDB" { "STOP SLAVE SQL_THREAD" } else { "STOP REPLICA SQL_THREAD" };
    sql(&live.pair.target, stop).await;
    let barrier = live.barrier(Duration::from_secs(1)).await;
    let found = run(&live.pair, &of_zoo(Side::Source), &barrier).await;
    let text = format!("{:?}", status(&found, "hot"));
    assert!(!found.equal() && text.starts_with("Failed"), "{text}");
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_writers_at_full_speed_are_no_alarm() {
    writers_at_full_speed::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_writers_at_full_speed_are_no_alarm() {
    writers_at_full_speed::<Mariadb>().await;
}

/// Without GTIDs the barrier is a file and a position.
#[tokio::test(flavor = "multi_thread")]
async fn mysql_file_and_position_are_a_barrier_too() {
    const OFF: Settings = &[("gtid-mode", "OFF"), ("enforce-gtid-consistency", "OFF")];
    let pair = pair::<Mysql>(OFF, OFF).await;
    let url = url::Url::parse(&pair.source.url(Role::Superuser, "shop")).unwrap();
    let (port, user, password) = (pair.source.port(), url.username(), url.password().unwrap());
    let log = "binlog.000001";
    sql(
        &pair.target,
        &format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = '{user}', \
             SOURCE_PASSWORD = '{password}', SOURCE_LOG_FILE = '{log}', SOURCE_LOG_POS = 4, GET_SOURCE_PUBLIC_KEY = 1 \
             FOR CHANNEL 'pointsman_forward'; START REPLICA"
        ),
    )
    .await;
    let open = async |name: &str, server: &Server<Mysql>| {
        database(name, server, Role::Superuser).connect(Access::ReadOnly).await.unwrap()
    };
    let barrier = PositionBarrier {
        writer: open("source", &pair.source).await,
        reader: tokio::sync::Mutex::new(open("target", &pair.target).await),
        following: Following::File { channel: "pointsman_forward".into() },
        timeout: Duration::from_secs(20),
    };
    for n in 0..20 {
        sql(&pair.source, &format!("INSERT INTO shop.probe (token, side) VALUES ('p{n}', 'x')")).await;
        barrier.pass().await.unwrap();
        assert_eq!(value(&pair.target, &format!("SELECT COUNT(*) FROM shop.probe WHERE token = 'p{n}'")).await, "1");
    }
    sql(&pair.target, "STOP REPLICA").await;
    sql(&pair.source, "INSERT INTO shop.probe (token, side) VALUES ('late', 'x')").await;
    let refused = barrier.pass().await.unwrap_err();
    assert!(refused.reason.contains("nothing is applied there"), "{refused}");
    pair.stop().await;
}
