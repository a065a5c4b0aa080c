//! Whole cutovers of MySQL and MariaDB through DMS, under load. The control plane is the same overlay as for PostgreSQL, our
//! belief about AWS; the rows are carried for real, out of the binary log and by ordinary statements, so that triggers
//! that fire twice, a cascade that happens twice or never, a fence that keeps DMS out and a circle show.

use pointsman::{
    executor::state::Side as Writer,
    journal::{Event, Outcome, halt},
    sandbox::{
        DATABASE, Role,
        aws::Cloud,
        history::Side,
        mysql::{Mariadb, Mysql, MysqlClient},
        server::Kind,
    },
};

use super::{overlay::dms::Dms, proxy::Proxy};
use crate::cutover::support::{DOOR, KILLED, Load, Scene, Staged, ended, summary};

/// Transactions a second: as many as one session follows on a machine that is busy with other tests.
const RATE: f64 = 60.0;
const PASSWORD: &str = "dms-has-a-word";

const REPLICATE: &str = "replicate: { from: source, to: target, through: dms, timeout: 3m, dms: { instance: carrier, \
     source: { role: dms, url: \"${env:DMS_SOURCE_URL}\", tls: none }, \
     target: { role: dms, url: \"${env:DMS_TARGET_URL}\", tls: none } } }";
const WINDOW: &str = "window: { budget: 20s, gates: [lag], steps: [{ freeze: { database: source, through: [front] } }, \
     drain: {}, sequences: {}, { promote: { keep-way-back: true } }, { switch: { endpoints: [front] } }] }";

/// What only a foreign key, or a column that counts up by itself, does.
const FAMILIES: &str = "CREATE TABLE parents (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL);
    CREATE TABLE children (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, parent INT, note TEXT, UNIQUE KEY one (note(20)),
      CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE);
    INSERT INTO parents VALUES (1, 'first'), (2, 'it''s \\\\ 2nd'), (3, 'dritte \u{e4}\u{1f600}'), (4, '');
    INSERT INTO children (parent, note) VALUES (1, 'a'), (1, 'b'), (2, 'c'), (3, NULL), (4, 'd')";
/// While DMS follows.
const LIFE: &str =
    "DELETE FROM parents WHERE id = 1; UPDATE parents SET name = CONCAT(name, '\n''\\\\x41') WHERE id = 2;
    UPDATE accounts SET picture = x'00ff27', rating = -1.25, settings = '{\"a\": [1, \"\u{e9}\"]}' WHERE id = 3;
    SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; INSERT INTO parents VALUES (0, 'zero');
    DELETE FROM children WHERE parent = 4";

struct Stage<K: Staged> {
    scene: Scene<K>,
    dms: Dms,
    proxy: Proxy,
    _cloud: Cloud,
}

impl<K: Staged + Kind<Client = MysqlClient>> Stage<K> {
    async fn new() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut scene = Scene::<K>::of_kind().await;
        let (dms, cloud) = (Dms::with_instance("orders-dms"), Cloud::start(scene.sandbox.folder()).await.unwrap());
        let reader = if K::NAME == "MariaDB" { "bin/mariadb-binlog" } else { "bin/mysqlbinlog" };
        dms.reads_with(scene.sandbox.source.programs().join(reader));
        let proxy = Proxy::start(cloud.moto(), cloud.ministack()).await;
        proxy.overlay(std::sync::Arc::new(dms.clone()));
        scene.add_env(Cloud::env_through(&proxy.url()));
        let (source, target) = (&scene.sandbox.source, &scene.sandbox.target);
        let url = |port: u16| format!("mysql://dms:{PASSWORD}@127.0.0.1:{port}");
        let urls = [("DMS_SOURCE_URL", url(source.port())), ("DMS_TARGET_URL", url(target.port()))];
        let user = format!("SET SESSION sql_log_bin = 0; CREATE USER dms@'%' IDENTIFIED BY '{PASSWORD}'");
        let (may, both) = ("SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX", [DATABASE, "pointsman"]);
        let here = both.map(|schema| format!("GRANT SELECT ON {schema}.* TO dms@'%';")).concat();
        let there = both.map(|schema| format!("GRANT {may} ON {schema}.* TO dms@'%';")).concat();
        let follows = "GRANT REPLICATION CLIENT, REPLICATION SLAVE ON *.* TO dms@'%'";
        let root = K::open(&source.url(Role::Superuser, DATABASE)).await.unwrap();
        root.execute(&format!("{user}; {here} {follows}")).await.unwrap();
        let root = K::open(&source.url(Role::Superuser, DATABASE)).await.unwrap();
        root.execute(FAMILIES).await.unwrap();
        let root = K::open(&target.url(Role::Superuser, "mysql")).await.unwrap();
        root.execute(&format!("{user}; {there} SET GLOBAL local_infile = ON")).await.unwrap();
        scene.add_env(urls.map(|(name, url)| (name.to_owned(), url)));
        scene.settle().await;
        let stage = Self { scene, dms, proxy, _cloud: cloud };
        stage.write(&[REPLICATE, "wait: { gates: [lag], timeout: 1m }", WINDOW, "verify: { timeout: 2m }"]);
        stage
    }

    fn write(&self, steps: &[&str]) {
        let first = "preflight: { accept: [dms-not-carried] }";
        self.scene.write(&[first].into_iter().chain(steps.iter().copied()).collect::<Vec<_>>());
        let text = std::fs::read_to_string(&self.scene.runbook).unwrap();
        let text = text.replacen("systems:\n", "systems:\n  carrier: { dms: { instance: orders-dms } }\n", 1);
        std::fs::write(&self.scene.runbook, text.replace("max: 1MiB", "max-age: 10s")).unwrap();
    }

    async fn load(&self) -> Load {
        let load = self.scene.load(RATE);
        load.flows().await;
        load
    }

    async fn source(&self, sql: &str) {
        let root = K::open(&self.scene.sandbox.source.url(Role::Superuser, DATABASE)).await.unwrap();
        root.execute(sql).await.unwrap();
    }

    /// How each table is made, and what the server runs itself, without the numbers that count up.
    async fn outline(&self, url: &str) -> Vec<String> {
        let client = K::open(url).await.unwrap();
        let mut found = Vec::new();
        let tables = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop' ORDER BY 1";
        for table in client.query(tables).await.unwrap().into_iter().flatten().flatten() {
            let made = client.query(&format!("SHOW CREATE TABLE shop.`{table}`")).await.unwrap();
            let made = made[0][1].clone().unwrap();
            let mut lines: Vec<&str> = made.lines().map(|line| line.trim_end_matches(',')).collect();
            lines.retain(|line| !line.starts_with(')'));
            lines.sort_unstable();
            found.push(lines.join("\n"));
        }
        for programs in [
            "SELECT TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop'",
            "SELECT ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'shop'",
            "SELECT EVENT_NAME, STATUS, EVENT_DEFINITION FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'shop'",
        ] {
            let rows = client.query(programs).await.unwrap();
            assert_eq!(rows.len(), 1, "{programs}: {rows:?}");
            found.push(format!("{rows:?}"));
        }
        found
    }

    /// Back on the source, nothing is left anywhere, and no write was lost.
    async fn all_is_as_before(&self, load: Load, when: &str) {
        load.flows().await;
        assert_eq!(self.scene.state().writer, Writer::Source, "{when}\n{}", self.scene.story());
        self.scene.assert_undone(when).await;
        assert_eq!(self.dms.there(), ["orders-dms"], "{when}");
        let mut seen = load.stop().await;
        let switches = self.scene.entries().iter().filter(|entry| matches!(entry.event, Event::Passed { .. })).count();
        self.scene.clean(&mut seen, Side::Source, switches).await;
    }
}

async fn there_under_load_and_back<K: Staged + Kind<Client = MysqlClient>>() {
    let stage = Stage::<K>::new().await;
    let load = stage.load().await;
    stage.write(&[REPLICATE, DOOR, "wait: { gates: [lag], timeout: 1m }", WINDOW, "verify: { timeout: 2m }"]);
    let plan = stage.scene.must(0, &["plan", stage.scene.runbook.to_str().unwrap()]).await;
    for words in ["CreateReplicationTask", "DO_NOTHING", "way_back", "pointsman_trial", "NO_AUTO_VALUE_ON_ZERO"] {
        assert!(plan.says(words), "the plan does not say {words}: {}", plan.out);
    }
    assert!(stage.proxy.writes().is_empty(), "a plan changes nothing: {:?}", stage.proxy.names());
    let source = stage.scene.sandbox.source.url(Role::Superuser, DATABASE);
    let outline = stage.outline(&source).await;
    stage.scene.run(4).await;
    assert!(stage.scene.state().hold.unwrap_or_default().contains("door"), "{}", stage.scene.story());
    stage.source(LIFE).await;
    stage.scene.open_door();
    stage.scene.must(0, &["resume", "--output", "json"]).await;
    load.flows().await;
    assert_eq!(stage.scene.state().writer, Writer::Target);
    assert!(stage.dms.applied() > 0, "nothing came through DMS behind the load\n{}", stage.scene.story());
    assert!(!stage.dms.there().iter().any(|name| name.ends_with("-task")), "behind the switch the task is gone");
    let target = stage.scene.sandbox.target.url(Role::Superuser, DATABASE);
    assert_eq!(stage.outline(&target).await, outline, "everything is made that DMS leaves out");

    // Back first as far as the load: the writes are at the source again, and the target is kept.
    stage.scene.must(5, &["rollback", "--to", "wait", "--output", "json"]).await;
    assert_eq!(stage.scene.state().writer, Writer::Source, "{}", stage.scene.story());
    stage.scene.must(5, &["rollback", "--output", "json"]).await;
    stage.all_is_as_before(load, "after a rollback in two parts").await;
    let journal = std::fs::read(stage.scene.journal.path()).unwrap();
    let holds = |bytes: &[u8]| bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
    assert!(!holds(&journal), "a password is in the journal");
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_there_under_load_and_back() {
    there_under_load_and_back::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_there_under_load_and_back() {
    there_under_load_and_back::<Mariadb>().await;
}

/// SIGKILL at every ninth entry, beginning with the fifth: inside and outside of the window.
#[tokio::test(flavor = "multi_thread")]
async fn mysql_killed_at_many_an_entry_nothing_is_lost() {
    let stage = Stage::<Mysql>::new().await;
    for seq in (5..).step_by(9) {
        let load = stage.load().await;
        let run = stage.scene.command(&stage.scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(run).await.code;
        if code == 0 {
            assert!(seq > 30, "a run has more entries than {seq}\n{}", stage.scene.story());
            return;
        }
        assert_eq!(code, KILLED, "{}", stage.scene.story());
        let when = format!("killed at entry {seq}, {}", summary(&stage.scene.entries().last().unwrap().event));
        stage.scene.guard_gone().await;
        load.flows().await;
        assert!(stage.scene.state().passage.is_none(), "the window was not left\n{}", stage.scene.story());
        if stage.scene.state().outcome.is_none() {
            let goes_on = stage.scene.call(&["resume", "--output", "json"]).await;
            assert!(matches!(goes_on.code, 0 | 5), "{when}: {goes_on:?}\n{}", stage.scene.story());
        }
        if !matches!(stage.scene.state().outcome, Some((Outcome::RolledBack, _))) {
            stage.scene.must(5, &["rollback", "--output", "json"]).await;
        }
        stage.all_is_as_before(load, &when).await;
        println!("{when}");
    }
}

/// SIGKILL in one and the same rollback behind the switch, again and again, each time three entries later than before:
/// in the window back, which is left and passed anew until the commit point, and behind it.
#[tokio::test(flavor = "multi_thread")]
async fn mysql_a_rollback_that_is_killed_goes_on() {
    let stage = Stage::<Mysql>::new().await;
    let load = stage.load().await;
    stage.scene.run(0).await;
    let words = ["rollback", "--output", "json"];
    for kills in 0.. {
        let seq = stage.scene.state().seq + 4 + 3 * kills;
        let back = stage.scene.command(&words).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(back).await.code;
        if code == 5 {
            assert!(kills >= 3, "a rollback has more entries than that\n{}", stage.scene.story());
            return stage.all_is_as_before(load, "after a rollback that was killed").await;
        }
        let when = format!("killed at entry {seq}, {}", summary(&stage.scene.entries().last().unwrap().event));
        assert_eq!(code, KILLED, "{when}\n{}", stage.scene.story());
        assert!(kills < 20, "it does not get on: {when}\n{}", stage.scene.story());
        stage.scene.guard_gone().await;
        load.flows().await;
        println!("{when}");
    }
}
