//! Gates against real servers.

use pointsman::gates::{Baselines, GateContext, Reading, Sessions, Verdict, describe, measure};
use pointsman::runbook::model::{
    Expect, Gate, GateRules, LongTransactions, ReplicationLag, SqlGate, System, TargetHealth, TrafficShare,
};
use pointsman::runbook::units::{Share, Size, Span};
use pointsman::systems::pair::{Flow, Heading, Pair};
use pointsman::systems::world::World;

use crate::haproxy::{BOTH, Node, app, spec};
use crate::support_proxies::{Pg, connect, until, world};

struct Look {
    world: World,
    pair: Option<Pair>,
    heading: Heading,
    sessions: Sessions,
    baselines: Baselines,
}

impl Look {
    fn new(world: World) -> Self {
        Self {
            world,
            pair: None,
            heading: Heading::Forth,
            sessions: Sessions::default(),
            baselines: Baselines::default(),
        }
    }

    fn context(&self) -> GateContext<'_> {
        let flow = self.pair.as_ref().map(|pair| Flow { pair, heading: self.heading });
        GateContext { world: &self.world, flow, sessions: &self.sessions, baselines: &self.baselines, since: None }
    }

    async fn at(&self, gate: &Gate) -> Reading {
        measure(gate, &self.context()).await
    }
}

fn sql(query: &str) -> Gate {
    let (system, query) = ("source".to_owned(), query.to_owned());
    Gate::Sql(SqlGate { system, query, expect: Expect::default(), rules: GateRules::default() })
}

#[tokio::test]
async fn a_query_only_reads() {
    let mut pg = Pg::start("PG15_BIN").await;
    pg.sql("postgres", "CREATE TABLE t (a int); INSERT INTO t VALUES (1)").await;
    let look = Look::new(world([("source", pg.system("postgres"))]));
    assert_eq!(look.at(&sql("SELECT count(*) = 1 FROM t")).await.verdict, Verdict::Pass);
    assert_eq!(look.at(&sql("SELECT count(*) = 2 FROM t")).await.verdict, Verdict::Fail);
    assert_eq!(look.at(&sql("SELECT a FROM t WHERE a = 7")).await.verdict, Verdict::NoData);
    assert_eq!(look.at(&sql("SELECT NULL")).await.verdict, Verdict::NoData);
    assert_eq!(look.at(&sql("SELECT nosuch")).await.verdict, Verdict::Error);
    for write in ["DELETE FROM t RETURNING true", "COMMIT; DELETE FROM t; SELECT true", "SELECT true; SELECT true"] {
        let reading = look.at(&sql(write)).await;
        assert_eq!(reading.verdict, Verdict::Error, "{write}: {reading:?}");
    }
    assert_eq!(look.at(&sql("SELECT count(*) = 1 FROM t")).await.verdict, Verdict::Pass, "and goes on afterwards");
    pg.restart().await;
    until("it connects again", async || look.at(&sql("SELECT true")).await.verdict == Verdict::Pass).await;
    pg.server.kill();
    assert_eq!(look.at(&sql("SELECT true")).await.verdict, Verdict::Error);
}

#[tokio::test]
async fn long_transactions_are_named() {
    let pg = Pg::start("PG15_BIN").await;
    pg.sql("postgres", "CREATE TABLE t (a int); CREATE ROLE limited LOGIN").await;
    let look = Look::new(world([("source", pg.system("postgres"))]));
    let gate =
        |max| Gate::LongTransactions(LongTransactions { system: "source".into(), max, rules: GateRules::default() });
    assert_eq!(look.at(&gate(Span::secs(0))).await.verdict, Verdict::Pass);
    let client = connect(&format!("{}?application_name=export", pg.url("postgres"))).await;
    client.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let reading = look.at(&gate(Span::secs(0))).await;
    assert_eq!(reading.verdict, Verdict::Fail);
    assert!(reading.detail.unwrap().contains("application export"));
    assert_eq!(look.at(&gate(Span::secs(3600))).await.verdict, Verdict::Pass);
    let url = pg.url("postgres").replace("postgres@", "limited@");
    let mut system = pg.system("postgres");
    if let System::Postgres(spec) = &mut system {
        spec.url = url;
    }
    let limited = Look::new(world([("source", system)]));
    assert_eq!(limited.at(&gate(Span::secs(3600))).await.verdict, Verdict::NoData, "hidden is not absent");
    client.batch_execute("COMMIT").await.unwrap();
    pg.sql("postgres", "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'left'").await;
    let reading = look.at(&gate(Span::secs(0))).await;
    assert!(reading.detail.as_deref().unwrap_or_default().contains("'left'"), "{reading:?}");
}

const SCHEMA: &str = "CREATE SCHEMA pointsman; CREATE TABLE pointsman.token_forward (id int PRIMARY KEY, run text, token text, \
     written_at timestamptz); CREATE TABLE t (a int PRIMARY KEY)";
const TOKEN: &str = "INSERT INTO pointsman.token_forward VALUES (1, 'run', gen_random_uuid()::text, clock_timestamp()) \
     ON CONFLICT (id) DO UPDATE SET token = excluded.token, written_at = excluded.written_at";

fn lag(max_age: Option<Span>) -> Gate {
    Gate::ReplicationLag(ReplicationLag { max: Some(Size(1 << 20)), max_age, rules: GateRules::default() })
}

#[tokio::test]
async fn f41_a_stream_that_does_not_run_has_no_lag() {
    let (source, target) = (Pg::start("PG15_BIN").await, Pg::start("PG18_BIN").await);
    let mut look = Look::new(world([("source", source.system("postgres")), ("target", target.system("postgres"))]));
    assert_eq!(look.at(&lag(None)).await.verdict, Verdict::NoData, "no pair");
    look.pair = Some(Pair::new("source", "target"));
    assert_eq!(look.at(&lag(None)).await.verdict, Verdict::NoData, "no subscription");
    for pg in [&source, &target] {
        pg.sql("postgres", SCHEMA).await;
    }
    source.sql("postgres", "CREATE PUBLICATION pointsman_forward FOR ALL TABLES").await;
    let subscribe = format!(
        "CREATE SUBSCRIPTION pointsman_forward CONNECTION '{}' PUBLICATION pointsman_forward",
        source.url("postgres")
    );
    target.sql("postgres", &subscribe).await;
    until("the lag is known and small", async || look.at(&lag(None)).await.verdict == Verdict::Pass).await;
    assert_eq!(describe(&lag(Some(Span::secs(1))), &look.context()).len(), 4);

    let aged = lag(Some(Span::secs(3)));
    assert_eq!(look.at(&aged).await.verdict, Verdict::NoData, "no token yet");
    until("a fresh token passes", async || {
        source.sql("postgres", TOKEN).await;
        look.at(&aged).await.verdict == Verdict::Pass
    })
    .await;
    source.sql("postgres", "UPDATE pointsman.token_forward SET written_at = written_at - interval '1 min'").await;
    until("a heartbeat that stopped is no data", async || {
        let reading = look.at(&aged).await;
        assert_ne!(reading.verdict, Verdict::Fail, "{reading:?}");
        reading.detail.is_some_and(|detail| detail.contains("nobody has written"))
    })
    .await;

    let lock = connect(&target.url("postgres")).await;
    lock.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    source.sql("postgres", "INSERT INTO t SELECT generate_series(1, 40000)").await;
    until("bytes pile up behind a lock", async || look.at(&lag(None)).await.verdict == Verdict::Fail).await;
    lock.batch_execute("ROLLBACK").await.unwrap();
    until("and are worked off", async || look.at(&lag(None)).await.verdict == Verdict::Pass).await;

    target.sql("postgres", "ALTER SUBSCRIPTION pointsman_forward DISABLE").await;
    // More than the sockets in between can hold.
    source.sql("postgres", "INSERT INTO t SELECT generate_series(50000, 450000)").await;
    lock.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    target.sql("postgres", "ALTER SUBSCRIPTION pointsman_forward ENABLE").await;
    until("a stream that was stopped is behind, not unknown", async || {
        let reading = look.at(&lag(None)).await;
        reading.verdict == Verdict::Fail && reading.detail.is_some_and(|detail| detail.contains("catches up"))
    })
    .await;
    lock.batch_execute("ROLLBACK").await.unwrap();
    until("until it has caught up", async || look.at(&lag(None)).await.verdict == Verdict::Pass).await;

    target.sql("postgres", "ALTER SUBSCRIPTION pointsman_forward DISABLE").await;
    let reading = look.at(&lag(None)).await;
    assert_eq!(reading.verdict, Verdict::NoData, "{reading:?}");
    look.heading = Heading::Back;
    assert_eq!(look.at(&lag(None)).await.verdict, Verdict::NoData, "the other heading has its own stream");
}

#[tokio::test]
async fn a_conflict_that_stops_the_apply_worker_never_passes() {
    let (source, target) = (Pg::start("PG18_BIN").await, Pg::start("PG15_BIN").await);
    let mut look = Look::new(world([("source", source.system("postgres")), ("target", target.system("postgres"))]));
    look.pair = Some(Pair::new("source", "target"));
    for pg in [&source, &target] {
        pg.sql("postgres", SCHEMA).await;
    }
    source.sql("postgres", "CREATE PUBLICATION pointsman_forward FOR ALL TABLES").await;
    let subscribe = format!(
        "CREATE SUBSCRIPTION pointsman_forward CONNECTION '{}' PUBLICATION pointsman_forward",
        source.url("postgres")
    );
    target.sql("postgres", &subscribe).await;
    until("it follows", async || look.at(&lag(None)).await.verdict == Verdict::Pass).await;
    target.sql("postgres", "INSERT INTO t VALUES (1)").await;
    source.sql("postgres", "INSERT INTO t VALUES (1)").await;
    until("the worker is gone", async || look.at(&lag(None)).await.verdict == Verdict::NoData).await;
}

#[tokio::test]
async fn the_balancers_gates_read_every_node() {
    let (blue, green) = (app().await, app().await);
    let mut nodes = [Node::start(BOTH[0], blue, green, false).await, Node::start(BOTH[1], blue, green, false).await];
    let look = Look::new(world([("web", System::Haproxy(spec(&nodes)))]));
    let health = |min| Gate::TargetHealth(TargetHealth { traffic: "web".into(), min, rules: GateRules::default() });
    until("green is up", async || look.at(&health(1)).await.verdict == Verdict::Pass).await;
    assert_eq!(look.at(&health(2)).await.verdict, Verdict::Fail);

    let share = |share: Option<f64>| {
        Gate::TrafficShare(TrafficShare {
            traffic: "web".into(),
            share: share.map(Share),
            tolerance: Share(3.0),
            min_requests: 20,
            rules: GateRules::default(),
        })
    };
    assert_eq!(look.at(&share(None)).await.verdict, Verdict::NoData, "one reading is none");
    assert_eq!(look.at(&share(Some(50.0))).await.verdict, Verdict::NoData);
    nodes[0].requests(5).await;
    assert_eq!(look.at(&share(None)).await.verdict, Verdict::NoData, "too few");
    nodes[1].requests(20).await;
    let reading = look.at(&share(None)).await;
    assert_eq!((reading.verdict, reading.number), (Verdict::Pass, Some(0.0)), "{reading:?}");
    assert_eq!(look.at(&share(Some(50.0))).await.verdict, Verdict::Fail);
    nodes[1].restart().await;
    assert_eq!(look.at(&share(None)).await.verdict, Verdict::NoData, "counters began anew");
    nodes[1].server.kill();
    assert_eq!(look.at(&health(1)).await.verdict, Verdict::Error);
    assert_eq!(look.at(&share(None)).await.verdict, Verdict::Error);
}
