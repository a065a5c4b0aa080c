//! Comparing rows: no false alarm, no difference missed, and both while writes go on.
#![expect(clippy::unwrap_used, clippy::panic, clippy::similar_names, reason = "a test ends by a panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pointsman::runbook::model::Compare;
use pointsman::systems::Result;
use pointsman::systems::postgres::compare::{
    Barrier, CompareOptions, Comparison, NothingWrites, PositionBarrier, Progress, RowDifferences, Side, TableStatus,
    compare,
};
use pointsman::systems::postgres::{Access, Session};

use crate::support_verify::Cluster;

const TYPES: &str = include_str!("types.sql");

/// A comparison can be moved to another thread.
fn sent<F: Future + Send>(future: F) -> F {
    future
}

fn quiet(_: &Progress) {}

async fn run(source: &Cluster, target: &Cluster, options: &CompareOptions, barrier: &dyn Barrier) -> Comparison {
    let (source, target) = (source.database("source"), target.database("target"));
    sent(compare(&source, &target, options, barrier, &quiet)).await.unwrap()
}

async fn still(source: &Cluster, target: &Cluster) -> Comparison {
    run(source, target, &CompareOptions::new(Side::Source), &NothingWrites).await
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

/// Servers whose defaults differ in everything that could change the text of a value.
fn pair() -> (Cluster, Cluster) {
    let source = Cluster::start_with(15, &["timezone='America/New_York'", "datestyle='German'", "bytea_output=escape"]);
    let target = Cluster::start_with(
        18,
        &["timezone='Asia/Tokyo'", "datestyle='SQL, DMY'", "extra_float_digits=-5", "intervalstyle=iso_8601"],
    );
    (source, target)
}

#[tokio::test]
async fn equal_rows_of_every_awkward_type_are_no_alarm() {
    let (source, target) = pair();
    for cluster in [&source, &target] {
        cluster.sql("SET timezone = 'UTC'; SET datestyle = 'ISO'").await;
        cluster.sql(&format!("SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; {TYPES}")).await;
    }
    // The same columns in another order, and the same rows in another order.
    source.sql("CREATE TABLE turned(a int PRIMARY KEY, b text, c float8); INSERT INTO turned SELECT g, 'b' || g, g / 7.0 FROM generate_series(1, 5000) g").await;
    target.sql("CREATE TABLE turned(c float8, b text, a int PRIMARY KEY); INSERT INTO turned SELECT g / 7.0, 'b' || g, g FROM generate_series(5000, 1, -1) g").await;
    let found = still(&source, &target).await;
    assert!(found.equal(), "{:#?}", found.tables);
    assert!(found.tables.iter().all(|table| table.settled == 0), "{:#?}", found.tables);
    let turned = found.tables.iter().find(|table| table.table == "turned").unwrap();
    assert_eq!((turned.rows_source, turned.rows_target), (5000, 5000));
    assert_eq!(found.skipped, ["public.unlogged: it is unlogged, and replication doesn't carry it"]);
    let rows = CompareOptions { mode: Compare::Rows, ..CompareOptions::new(Side::Source) };
    assert!(run(&source, &target, &rows, &NothingWrites).await.equal());
    for table in ["types", "part", "textkey", "nokey"] {
        assert_eq!(status(&found, table), &TableStatus::Equal);
    }
}

#[tokio::test]
async fn each_kind_of_corruption_is_found_and_named() {
    let (source, target) = pair();
    for cluster in [&source, &target] {
        cluster
            .sql(
                "CREATE TABLE t(id int, part text, v text, n numeric, b bytea, PRIMARY KEY (id, part)); \
                 INSERT INTO t SELECT g, 'p''' || g % 3, 'v' || g, g, sha256(g::text::bytea) FROM generate_series(1, 20000) g; \
                 ANALYZE t; CREATE TABLE nokey(a int, b text); INSERT INTO nokey SELECT g % 10, 'x' FROM generate_series(1, 1000) g; \
                 CREATE SEQUENCE behind; CREATE SEQUENCE ahead; CREATE SEQUENCE down INCREMENT -1",
            )
            .await;
    }
    assert!(still(&source, &target).await.equal());
    target
        .sql(
            "UPDATE t SET b = set_byte(b, 7, (get_byte(b, 7) + 1) % 256) WHERE id = 11; DELETE FROM t WHERE id = 22; \
             INSERT INTO t VALUES (33333, 'p', 'v', 1, ''); UPDATE t SET v = CASE id WHEN 44 THEN 'v45' ELSE 'v44' END WHERE id IN (44, 45); \
             UPDATE t SET v = NULL WHERE id = 55; UPDATE t SET n = n || '.0' WHERE id = 66; \
             UPDATE t SET n = 1, v = v || ' ' WHERE id = 77; \
             DELETE FROM nokey WHERE ctid IN (SELECT min(ctid) FROM nokey WHERE a = 3); INSERT INTO nokey VALUES (4, 'x'), (4, NULL)"
                .replace("n || '.0'", "(n::text || '.0')::numeric")
                .as_str(),
        )
        .await;
    source.sql("UPDATE t SET v = '' WHERE id = 55; SELECT nextval('behind'), nextval('behind'), nextval('down')").await;
    target.sql("SELECT nextval('behind'), nextval('ahead'), nextval('down'), nextval('down')").await;
    let found = still(&source, &target).await;
    let t = differences(&found, "t");
    assert_eq!((t.missing_on_target, t.extra_on_target, t.changed, t.undecided), (1, 1, 6, 0), "{t:?}");
    let mut sample = t.sample.clone();
    sample.sort();
    assert_eq!(
        sample,
        [
            "id=11, part=p'2: differs in b",
            "id=22, part=p'1: missing on the target",
            "id=33333, part=p: only on the target",
            "id=44, part=p'2: differs in v",
            "id=45, part=p'0: differs in v",
            "id=55, part=p'1: differs in v",
            "id=66, part=p'0: differs in n",
            "id=77, part=p'2: differs in n, v",
        ]
    );
    let nokey = differences(&found, "nokey");
    assert_eq!((nokey.missing_on_target, nokey.extra_on_target, nokey.changed), (1, 2, 0), "{nokey:?}");
    let carried: Vec<_> = found.sequences.iter().map(|one| (one.sequence.as_str(), one.carried)).collect();
    assert_eq!(carried, [("ahead", true), ("behind", false), ("down", true)]);
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap().tables, found.tables);
}

#[tokio::test]
async fn what_cannot_be_compared_is_never_a_pass() {
    let (source, target) = pair();
    source
        .sql(
            "CREATE TABLE lost(id int); CREATE TABLE wide(id int, extra int); CREATE TABLE rls(id int PRIMARY KEY); \
                CREATE TABLE many(id int PRIMARY KEY); INSERT INTO many SELECT generate_series(1, 500)",
        )
        .await;
    target
        .sql(
            "CREATE TABLE made(id int); CREATE TABLE wide(id int); CREATE TABLE rls(id int PRIMARY KEY); \
                CREATE TABLE many(id int PRIMARY KEY)",
        )
        .await;
    target.sql("BEGIN; LOCK TABLE rls; COMMIT").await;
    let options = CompareOptions { max_keys: 100, ..CompareOptions::new(Side::Source) };
    let found = run(&source, &target, &options, &NothingWrites).await;
    assert!(!found.equal());
    assert_eq!(status(&found, "lost"), &TableStatus::Structure("the target lacks the table".into()));
    assert_eq!(status(&found, "made"), &TableStatus::Structure("the source lacks the table".into()));
    assert_eq!(status(&found, "wide"), &TableStatus::Structure("columns only on the source: extra".into()));
    let many = differences(&found, "many");
    assert_eq!((many.missing_on_target, many.undecided, many.sample.len()), (100, 1, 20), "{many:?}");
    let options = CompareOptions { except: vec!["public.many".into()], ..options };
    assert_eq!(
        run(&source, &target, &options, &NothingWrites).await.skipped,
        ["public.many: the runbook leaves it out"]
    );
}

/// A token that goes through the stream, as the steps of a run send it.
struct Token {
    writer: Session,
    reader: Session,
    last: AtomicU64,
}

#[async_trait]
impl Barrier for Token {
    async fn pass(&self) -> Result<()> {
        let token = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        let sql = format!("UPDATE public.token SET n = {token} WHERE id = 1");
        self.writer.batch("send a token", &sql).await?;
        loop {
            let seen: i64 =
                self.reader.value("look for the token", "SELECT n FROM public.token WHERE id = 1", &[]).await?;
            if seen.unsigned_abs() >= token {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

const LIVE: &str = "CREATE TABLE hot(id int PRIMARY KEY, n bigint NOT NULL, note text); \
    CREATE TABLE wide(id bigint PRIMARY KEY, v text, at timestamptz); CREATE TABLE fleeting(id int PRIMARY KEY, v text); \
    CREATE TABLE token(id int PRIMARY KEY, n bigint);";

struct Live {
    source: Cluster,
    target: Cluster,
    stop: Arc<AtomicBool>,
    writes: Arc<AtomicU64>,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

impl Live {
    /// Replicates from 15 to 18, with 8 clients that write rows that everybody wants as fast as they can.
    async fn start() -> Self {
        let (source, target) = pair();
        source
            .sql(&format!(
                "{LIVE} INSERT INTO hot SELECT g, 0, '' FROM generate_series(1, 20) g; INSERT INTO token VALUES (1, 0); \
                 INSERT INTO wide SELECT g, 'v' || g, now() FROM generate_series(1, 30000) g; ANALYZE"
            ))
            .await;
        target.sql(LIVE).await;
        source.sql("CREATE PUBLICATION p FOR ALL TABLES").await;
        let create = format!("CREATE SUBSCRIPTION s CONNECTION '{}' PUBLICATION p", source.url("postgres"));
        target.sql(&create).await;
        while target.text("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel").await != "t" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (stop, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut writers = Vec::new();
        for client in 0..8_u32 {
            let session = source.session().await;
            let (stop, writes) = (Arc::clone(&stop), Arc::clone(&writes));
            writers.push(tokio::spawn(write(session, client, stop, writes)));
        }
        Self { source, target, stop, writes, writers }
    }

    async fn barrier(&self) -> Token {
        let writer = self.source.session().await;
        let reader = self.target.database("target").connect(Access::ReadOnly).await.unwrap();
        Token { writer, reader, last: AtomicU64::new(0) }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for writer in self.writers {
            writer.await.unwrap();
        }
    }
}

/// Counts up, flips between two values, makes rows and takes them away.
async fn write(session: Session, client: u32, stop: Arc<AtomicBool>, writes: Arc<AtomicU64>) {
    let mut round = u64::from(client);
    while !stop.load(Ordering::SeqCst) {
        round = round.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (hot, wide) = ((round >> 33) % 20 + 1, (round >> 40) % 30_000 + 1);
        let sql = format!(
            "UPDATE public.hot SET n = n + 1 WHERE id = {hot}; \
             UPDATE public.wide SET v = CASE v WHEN 'flip' THEN 'flop' ELSE 'flip' END WHERE id = {wide}; \
             INSERT INTO public.fleeting VALUES ({client}, 'same') ON CONFLICT DO NOTHING"
        );
        session.batch("write", &sql).await.unwrap();
        session.batch("write", &format!("DELETE FROM public.fleeting WHERE id = {client}")).await.unwrap();
        writes.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_writers_at_full_speed_are_no_alarm_and_one_bad_row_is_found() {
    let live = Live::start().await;
    let barrier = live.barrier().await;
    let options = CompareOptions { rounds: 60, ..CompareOptions::new(Side::Source) };
    // A quick machine may read both sides between two writes: it is tried until something had to be settled.
    let mut settled = 0;
    for _ in 0..20 {
        let before = live.writes.load(Ordering::SeqCst);
        let found = run(&live.source, &live.target, &options, &barrier).await;
        let written = live.writes.load(Ordering::SeqCst) - before;
        eprintln!("{written} transactions during {:.1} s; {:#?}", found.seconds, found.tables);
        assert!(written > 0, "no transaction meanwhile is no test");
        assert!(found.equal(), "{:#?}", found.tables);
        settled += found.tables.iter().map(|table| table.settled).sum::<u64>();
        if settled > 0 {
            break;
        }
    }
    assert!(settled > 0, "nothing had to be settled: no test");

    // One row that nobody writes now, one that comes from nowhere, one that is gone.
    live.source.sql("INSERT INTO wide VALUES (40001, 'good', now()), (40002, 'good', now())").await;
    barrier.pass().await.unwrap();
    live.target
        .sql("UPDATE wide SET v = 'baad' WHERE id = 40001; DELETE FROM wide WHERE id = 40002; INSERT INTO wide VALUES (40003, 'x', now())")
        .await;
    let found = run(&live.source, &live.target, &options, &barrier).await;
    let wide = differences(&found, "wide");
    assert_eq!((wide.missing_on_target, wide.extra_on_target, wide.changed, wide.undecided), (1, 1, 1, 0), "{wide:?}");
    assert!(wide.sample.contains(&"id=40001: differs in v".to_owned()), "{wide:?}");
    for table in ["hot", "fleeting", "token"] {
        assert!(!matches!(status(&found, table), TableStatus::Different(_)), "{:#?}", found.tables);
    }
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_is_a_barrier_that_only_reads() {
    let live = Live::start().await;
    let writer = live.source.database("source").connect(Access::ReadOnly).await.unwrap();
    let barrier = PositionBarrier { writer, slot: "s".into(), timeout: Duration::from_secs(60) };
    let options = CompareOptions { rounds: 60, ..CompareOptions::new(Side::Source) };
    let found = run(&live.source, &live.target, &options, &barrier).await;
    assert!(found.equal(), "{:#?}", found.tables);
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replication_that_stands_still_is_not_a_pass() {
    let live = Live::start().await;
    live.target.sql("ALTER SUBSCRIPTION s DISABLE").await;
    let writer = live.source.database("source").connect(Access::ReadOnly).await.unwrap();
    let barrier = PositionBarrier { writer, slot: "s".into(), timeout: Duration::from_secs(1) };
    let found = run(&live.source, &live.target, &CompareOptions::new(Side::Source), &barrier).await;
    assert!(!found.equal());
    let text = format!("{:?}", status(&found, "hot"));
    assert!(text.starts_with("Failed") && text.contains("was not replayed through the slot s"), "{text}");
    live.end().await;
}
