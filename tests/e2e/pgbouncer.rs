//! The PgBouncer driver against 1.18 and 1.26.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pointsman::runbook::model::{Pgbouncer, PgbouncerInstance, Program, Redirect, RedirectCommand};
use pointsman::runbook::units::Span;
use pointsman::sandbox::delay::DelayProxy;
use pointsman::systems::Certainty;
use pointsman::systems::pgbouncer::{Address, PAUSE_NOT_GRANTED, Pooler};

use crate::support_proxies::{Bouncer, Pg, connect, until};

const BOTH: [&str; 2] = ["PGBOUNCER_OLD", "PGBOUNCER_NEW"];
const NAME: &str = "orders-1";

fn entry(pg: &Pg) -> String {
    format!("{NAME} = host=127.0.0.1 port={} dbname=postgres", pg.port)
}

fn address(pg: &Pg) -> Address {
    Address { host: "127.0.0.1".into(), port: pg.port, dbname: Some("postgres".into()) }
}

/// Long enough for a machine under load; what is tested ends long before.
const PLENTY: Duration = Duration::from_secs(20);

/// A pooler that leads to a server, and what drives it.
async fn started(version: &str, pg: &Pg) -> (Bouncer, Pooler) {
    let bouncer = Bouncer::start(version, &entry(pg)).await;
    let pooler = Pooler::connect("pool", &bouncer.spec(NAME)).await.unwrap();
    (bouncer, pooler)
}

async fn one(url: &str) -> Result<String, tokio_postgres::Error> {
    let client = connect(url).await;
    Ok(client.query_one("SELECT current_setting('port')", &[]).await?.get(0))
}

#[tokio::test]
async fn pauses_and_resumes_again_and_again() {
    let pg = Pg::start("PG15_BIN").await;
    for version in BOTH {
        let (bouncer, pooler) = started(version, &pg).await;
        // A client that comes while it is paused has a login begun for it, which the pause breaks off.
        pooler.set_login_retry(Span::secs(0)).await.unwrap();
        pooler.resume().await.unwrap();
        pooler.pause(PLENTY).await.unwrap();
        pooler.pause(PLENTY).await.unwrap();
        assert!(pooler.entries().await.unwrap()[0].paused);
        let waiting = tokio::spawn({
            let url = bouncer.url(NAME);
            async move { one(&url).await.unwrap() }
        });
        let instance = &pooler.instances()[0];
        until("a client waits", async || instance.pools().await.unwrap().clients_waiting == 1).await;
        pooler.resume().await.unwrap();
        pooler.resume().await.unwrap();
        assert_eq!(waiting.await.unwrap(), pg.port.to_string());
        assert!(!pooler.entries().await.unwrap()[0].paused);
        pooler.kill().await.unwrap();
        assert!(pooler.entries().await.unwrap()[0].paused, "KILL leaves it paused");
        pooler.resume().await.unwrap();
        one(&bouncer.url(NAME)).await.unwrap();
    }
}

#[tokio::test]
async fn f22_a_pause_behind_an_idle_transaction_is_taken_back_and_names_the_client() {
    let pg = Pg::start("PG15_BIN").await;
    for version in BOTH {
        let (bouncer, pooler) = started(version, &pg).await;
        let blocker = connect(&format!("{}?application_name=nightly-export", bouncer.url(NAME))).await;
        blocker.batch_execute("BEGIN; SELECT 1").await.unwrap();
        let began = Instant::now();
        let error = pooler.pause(Duration::from_millis(300)).await.unwrap_err();
        assert!(began.elapsed() >= Duration::from_millis(300));
        assert!(error.is_code(PAUSE_NOT_GRANTED), "{error}");
        assert_eq!(error.certainty, Certainty::Refused);
        let text = error.to_string();
        assert!(
            text.contains("nightly-export") && text.contains("127.0.0.1:") && text.contains("silent for"),
            "{text}"
        );
        assert!(text.contains("server process"), "{text}");
        assert!(!pooler.entries().await.unwrap()[0].paused, "taken back");
        one(&bouncer.url(NAME)).await.unwrap();
        let instance = &pooler.instances()[0];
        until("only the blocker holds one", async || instance.holders().await.unwrap().len() == 1).await;
        blocker.batch_execute("COMMIT").await.unwrap();
        pooler.pause(PLENTY).await.unwrap();
        pooler.resume().await.unwrap();
    }
}

#[tokio::test]
async fn a_resume_gets_past_a_pause_that_hangs() {
    let pg = Pg::start("PG15_BIN").await;
    for version in BOTH {
        let (bouncer, pooler) = started(version, &pg).await;
        let blocker = connect(&bouncer.url(NAME)).await;
        blocker.batch_execute("BEGIN; SELECT 1").await.unwrap();
        // The future is dropped in the middle, as a lapsed budget does it.
        let dropped = tokio::time::timeout(Duration::from_millis(200), pooler.pause(PLENTY)).await;
        assert!(dropped.is_err());
        assert!(pooler.entries().await.unwrap()[0].paused);
        pooler.resume().await.unwrap();
        assert!(!pooler.entries().await.unwrap()[0].paused);
        one(&bouncer.url(NAME)).await.unwrap();
    }
}

/// Transactions on a connection of its own with a moment in between, until `ends`; gives how many there were.
async fn transactions(url: String, between: Duration, ends: Arc<AtomicBool>) -> Result<u64, tokio_postgres::Error> {
    let client = connect(&url).await;
    let mut count = 0;
    while !ends.load(Ordering::Relaxed) {
        client.batch_execute("SELECT pg_sleep(0.003)").await?;
        tokio::time::sleep(between).await;
        count += 1;
    }
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_a_pool_that_grows_breaks_off_no_login() {
    let pg = Pg::start("PG15_BIN").await;
    for version in BOTH {
        let far =
            async |port| DelayProxy::start(([127, 0, 0, 1], port).into(), Duration::from_millis(5)).await.unwrap();
        // Logins take their time, and much happens between a look and the pause behind it.
        let server = far(pg.port).await;
        let entry = format!("{NAME} = host=127.0.0.1 port={} dbname=postgres", server.address().port());
        let bouncer = Bouncer::start(version, &entry).await;
        let far_console = far(bouncer.port).await;
        let mut spec = bouncer.spec(NAME);
        spec.admin = Some(format!("postgresql://postgres@{}/pgbouncer", far_console.address()));
        let pooler = Pooler::connect("pool", &spec).await.unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let client = |number| transactions(bouncer.url(NAME), Duration::from_millis(number), Arc::clone(&ends));
        let clients: Vec<_> = (0..12).map(|number| tokio::spawn(client(number))).collect();
        // Each pause leaves an empty pool, which grows by one login after the other; whoever is idle at the end of a pause
        // comes while the first one is under way.
        for _ in 0..25 {
            let active = async || pooler.instances()[0].pools().await.unwrap().servers_active > 0;
            until("transactions run", active).await;
            pooler.pause(PLENTY).await.unwrap();
            pooler.open_doors().await.unwrap();
        }
        ends.store(true, Ordering::Relaxed);
        for client in clients {
            assert!(client.await.unwrap().unwrap() > 0);
        }
    }
}

#[tokio::test]
async fn a_pause_leaves_the_limit_of_connections_as_it_was() {
    let pg = Pg::start("PG15_BIN").await;
    for version in BOTH {
        let (bouncer, pooler) = started(version, &pg).await;
        let limit = async || pooler.instances()[0].config("max_user_connections").await.unwrap();
        let console = connect(&bouncer.admin()).await;
        console.simple_query("SET max_user_connections='40'").await.unwrap();
        pooler.pause(PLENTY).await.unwrap();
        assert_eq!(limit().await, "40");
        pooler.open_doors().await.unwrap();
        assert_eq!(limit().await, "40", "what somebody has SET stays");
        let blocker = connect(&bouncer.url(NAME)).await;
        blocker.batch_execute("BEGIN; SELECT 1").await.unwrap();
        pooler.pause(Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(limit().await, "40", "also when the pause is taken back");
        // Somebody was killed just before the pause.
        console.simple_query("SET max_user_connections='1'").await.unwrap();
        pooler.open_doors().await.unwrap();
        assert_eq!(limit().await, "0", "as its file says");
        assert_eq!(pooler.login_retries().await.unwrap(), [Span::secs(0)], "set after the reload");
    }
}

#[tokio::test]
async fn points_elsewhere_and_back_under_pause() {
    let (from, to) = (Pg::start("PG15_BIN").await, Pg::start("PG18_BIN").await);
    for version in BOTH {
        let bouncer = Bouncer::start(version, &format!("; kept\n{} pool_size=7", entry(&from))).await;
        let before = std::fs::read_to_string(bouncer.ini()).unwrap();
        let pooler = Pooler::connect("pool", &bouncer.spec(NAME)).await.unwrap();
        let old = pooler.login_retries().await.unwrap();
        assert_eq!(old, [Span::secs(15)]);
        assert_eq!(one(&bouncer.url(NAME)).await.unwrap(), from.port.to_string());
        let switch = pooler.prepare(&address(&to)).unwrap();
        pooler.pause(PLENTY).await.unwrap();
        let entries = pooler.switch(switch).await.unwrap();
        assert!(entries[0].leads_to(&address(&to)) && entries[0].paused);
        pooler.open_doors().await.unwrap();
        assert_eq!(one(&bouncer.url(NAME)).await.unwrap(), to.port.to_string());
        assert_eq!(pooler.login_retries().await.unwrap(), [Span::secs(0)], "set after the reload");
        pooler.redirect(&address(&to)).await.unwrap();
        // Back, with what 1.26 needs on the way from 16 or newer to 15.
        let kill = pooler.needs_kill(18, 15).await.unwrap();
        assert_eq!(kill, version == "PGBOUNCER_NEW");
        pooler.pause(PLENTY).await.unwrap();
        pooler.redirect(&address(&from)).await.unwrap();
        if kill {
            pooler.kill().await.unwrap();
        }
        pooler.open_doors().await.unwrap();
        assert_eq!(one(&bouncer.url(NAME)).await.unwrap(), from.port.to_string());
        pooler.set_login_retry(old[0]).await.unwrap();
        assert_eq!(pooler.login_retries().await.unwrap(), old);
        assert_eq!(std::fs::read_to_string(bouncer.ini()).unwrap(), before, "the very same file");
    }
}

#[tokio::test]
async fn a_fallback_entry_moves_only_our_database() {
    let (from, to) = (Pg::start("PG15_BIN").await, Pg::start("PG18_BIN").await);
    for version in BOTH {
        let bouncer = Bouncer::start(version, &format!("* = host=127.0.0.1 port={}", from.port)).await;
        one(&bouncer.url("postgres")).await.unwrap();
        let pooler = Pooler::connect("pool", &bouncer.spec("postgres")).await.unwrap();
        pooler.pause(PLENTY).await.unwrap();
        let entries = pooler.redirect(&address(&to)).await.unwrap();
        assert!(entries[0].paused, "a database of its own stays paused");
        pooler.open_doors().await.unwrap();
        assert_eq!(one(&bouncer.url("postgres")).await.unwrap(), to.port.to_string());
        assert_eq!(one(&bouncer.url("template1")).await.unwrap(), from.port.to_string());
    }
}

#[tokio::test]
async fn a_file_that_pgbouncer_does_not_take_is_noticed() {
    let (from, to) = (Pg::start("PG15_BIN").await, Pg::start("PG15_BIN").await);
    for version in BOTH {
        let bouncer = Bouncer::start(version, &entry(&from)).await;
        let other = bouncer.folder.path().join("other.ini");
        std::fs::copy(bouncer.ini(), &other).unwrap();
        let mut spec = bouncer.spec(NAME);
        spec.redirect = Some(Redirect::Ini(other.display().to_string()));
        let pooler = Pooler::connect("pool", &spec).await.unwrap();
        let error = pooler.redirect(&address(&to)).await.unwrap_err().to_string();
        assert!(
            error.contains(&format!("leads to 127.0.0.1:{}", from.port)) && error.contains("not be the one"),
            "{error}"
        );
        // A file that it can't read: 1.18 says RELOAD was fine, 1.26 says that it was not.
        let text = std::fs::read_to_string(bouncer.ini()).unwrap();
        std::fs::write(bouncer.ini(), format!("garbage\n{text}")).unwrap();
        let pooler = Pooler::connect("pool", &bouncer.spec(NAME)).await.unwrap();
        pooler.redirect(&address(&to)).await.unwrap_err();
        assert!(pooler.entries().await.unwrap()[0].leads_to(&address(&from)));
        let missing = Pooler::connect("pool", &bouncer.spec("nosuch")).await.unwrap();
        let error = missing.prepare(&address(&to)).unwrap_err().to_string();
        assert!(error.contains("no entry `nosuch`"), "{error}");
        assert!(missing.entries().await.unwrap_err().to_string().contains("it has: orders-1"));
    }
}

#[tokio::test]
async fn a_command_points_it_elsewhere() {
    let (from, to) = (Pg::start("PG15_BIN").await, Pg::start("PG15_BIN").await);
    let bouncer = Bouncer::start("PGBOUNCER_NEW", &entry(&from)).await;
    let script = format!("sed -i \"s/port=[0-9]* dbname/port=$POINTSMAN_PORT dbname/\" {}", bouncer.ini().display());
    let run = vec!["sh".to_owned(), "-c".to_owned(), script];
    let apply = Program { run, env: std::collections::BTreeMap::new(), timeout: Span::secs(20) };
    let mut spec = bouncer.spec(NAME);
    spec.redirect = Some(Redirect::Command(RedirectCommand { apply }));
    let pooler = Pooler::connect("pool", &spec).await.unwrap();
    assert!(pooler.redirect(&address(&to)).await.unwrap()[0].leads_to(&address(&to)));
    assert!(pooler.describe_switch(&address(&to))[0].starts_with("POINTSMAN_HOST=127.0.0.1"));
}

#[tokio::test]
async fn a_pooler_killed_while_paused_is_found_not_paused() {
    let pg = Pg::start("PG15_BIN").await;
    for version in BOTH {
        let (mut bouncer, pooler) = started(version, &pg).await;
        pooler.pause(PLENTY).await.unwrap();
        bouncer.server.kill();
        let error = pooler.resume().await.unwrap_err();
        assert_ne!(error.certainty, Certainty::Refused, "{error}");
        bouncer.restart().await;
        assert!(!pooler.entries().await.unwrap()[0].paused, "a restart forgets the pause");
        pooler.resume().await.unwrap();
    }
}

fn several(bouncers: [&Bouncer; 2]) -> Pgbouncer {
    let instance = |bouncer: &Bouncer| PgbouncerInstance { admin: bouncer.admin(), redirect: bouncer.redirect() };
    let mut spec = bouncers[0].spec(NAME);
    spec.admin = None;
    spec.redirect = None;
    spec.instances = bouncers.map(instance).to_vec();
    spec
}

#[tokio::test]
async fn one_instance_that_does_not_answer_is_named_and_the_other_does_not_stay_paused() {
    let (from, to) = (Pg::start("PG15_BIN").await, Pg::start("PG15_BIN").await);
    let (old, mut new) = (Bouncer::start(BOTH[0], &entry(&from)).await, Bouncer::start(BOTH[1], &entry(&from)).await);
    let pooler = Pooler::connect("pool", &several([&old, &new])).await.unwrap();
    pooler.pause(PLENTY).await.unwrap();
    assert!(pooler.entries().await.unwrap().iter().all(|entry| entry.paused));
    pooler.redirect(&address(&to)).await.unwrap();
    pooler.open_doors().await.unwrap();

    let blocker = connect(&new.url(NAME)).await;
    blocker.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let error = pooler.pause(Duration::from_millis(300)).await.unwrap_err();
    assert!(error.is_code(PAUSE_NOT_GRANTED), "{error}");
    assert!(pooler.entries().await.unwrap().iter().all(|entry| !entry.paused), "neither stays paused");
    drop(blocker);

    new.server.kill();
    let error = pooler.pause(PLENTY).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.certainty, Certainty::Unknown);
    assert!(text.contains("1 of 2 instances failed"), "{text}");
    assert!(text.contains(&format!("pool (127.0.0.1:{}): done; it is not paused", old.port)), "{text}");
    assert!(text.contains(&format!("pool (127.0.0.1:{})", new.port)) && text.contains("state is not known"), "{text}");
    one(&old.url(NAME)).await.unwrap();
    assert!(Pooler::connect("pool", &several([&old, &new])).await.is_err());
}
