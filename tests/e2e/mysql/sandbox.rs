//! The sandbox of MySQL and of MariaDB: that it comes up, that its ledger can find a fault, and that a refused commit is
//! a refused commit.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use pointsman::sandbox::{
    DATABASE, Refusal, Role, Sandbox, SandboxOptions, Shop,
    history::Side,
    mysql::{Mariadb, Mysql, MysqlClient},
    probe::Probes,
    server::Kind,
};

fn options<K: Kind>() -> SandboxOptions {
    let memory = Path::new("/dev/shm");
    let base: PathBuf = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
    let app_binary = Some(env!("CARGO_BIN_EXE_pointsman").into());
    SandboxOptions { base: Some(base), app_binary, ..SandboxOptions::of::<K>() }
}

async fn until(happened: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never happened");
}

fn code(refusal: &Refusal) -> &str {
    refusal.words.split(' ').nth(1).unwrap_or_default()
}

/// Clients of the application and direct ones write; the ledger knows all, and finds what is wrong.
async fn writes_and_counts<K: Kind<Client = MysqlClient>>() {
    let sandbox = Sandbox::<K>::of(options::<K>()).await.unwrap();
    assert!(sandbox.notes().is_empty(), "{:?}", sandbox.notes());
    let workload = sandbox.workload(8, 4, 200.0).unwrap();
    let from = workload.mark();
    until(|| workload.acknowledged() >= 300).await;
    let report = workload.report_between(from, workload.mark());
    let ledger = workload.stop().await;
    let db = sandbox.source.connect(Role::Superuser).await.unwrap();
    let audit = ledger.audit(&db).await.unwrap();
    println!("{}: {report:?}", sandbox.source.title());
    assert!(audit.is_clean() && audit.acknowledged >= 300, "{audit:?}");
    assert_eq!((report.failed, report.unknown, audit.failed), (0, 0, 0), "{report:?}");
    assert_eq!(report.by_via.keys().collect::<Vec<_>>(), ["direct", "old"]);

    // Now with faults.
    let lost = db.value("SELECT token FROM ledger ORDER BY id LIMIT 1").await.unwrap().unwrap();
    let doubled = db.value("SELECT token FROM ledger ORDER BY id DESC LIMIT 1").await.unwrap().unwrap();
    db.execute(&format!(
        "DELETE FROM ledger WHERE token = '{lost}'; INSERT INTO tickets (drawn_by) VALUES (0);
         INSERT INTO ledger (client, n, token, via, ticket)
           SELECT client, n, token, via, LAST_INSERT_ID() FROM ledger WHERE token = '{doubled}'"
    ))
    .await
    .unwrap();
    let audit = ledger.audit(&db).await.unwrap();
    assert_eq!((&audit.lost, &audit.duplicated), (&vec![lost], &vec![doubled]));
    assert!(audit.sequence_anomalies.is_empty(), "{audit:?}");
    db.execute("UPDATE ledger SET ticket = 1001 ORDER BY id LIMIT 2").await.unwrap();
    let audit = ledger.audit(&db).await.unwrap();
    assert_eq!(audit.sequence_anomalies, ["ticket 1001 was given twice"], "{audit:?}");
    let folder = sandbox.folder().to_owned();
    sandbox.stop().await;
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_writes_and_counts() {
    writes_and_counts::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_writes_and_counts() {
    writes_and_counts::<Mariadb>().await;
}

/// Read-only comes while a transaction is open. Its COMMIT is refused; sent again after the thaw it is answered with OK,
/// and nothing is written. What a client may count is the first answer.
async fn a_refused_commit_is_not_a_write<K: Kind<Client = MysqlClient>>(freeze: &str, thaw: &str) {
    let sandbox = Sandbox::<K>::of(options::<K>()).await.unwrap();
    let (root, app) = tokio::join!(sandbox.source.connect(Role::Superuser), sandbox.source.connect(Role::App));
    let (root, app) = (root.unwrap(), app.unwrap());
    app.execute("BEGIN; INSERT INTO probe (token, side) VALUES ('open', 'source')").await.unwrap();
    let workload = sandbox.workload(4, 4, 400.0).unwrap();
    until(|| workload.acknowledged() >= 50).await;
    let from = workload.mark();
    root.execute(freeze).await.unwrap();
    let refused = app.run("COMMIT").await.unwrap_err();
    assert_eq!((code(&refused), refused.sure), ("1290", true), "{refused:?}");
    until(|| workload.report_between(from, workload.mark()).failed >= 8).await;
    root.execute(thaw).await.unwrap();
    // The trap: it is answered as if it had been done.
    app.run("COMMIT").await.unwrap();
    assert_eq!(root.value("SELECT count(*) FROM probe").await.unwrap().as_deref(), Some("0"));
    let before = workload.acknowledged();
    until(|| workload.acknowledged() >= before + 50).await;
    let ledger = workload.stop().await;
    let audit = ledger.audit(&root).await.unwrap();
    assert!(audit.is_clean() && audit.failed >= 8, "{audit:?}");
    assert_eq!(audit.unknown_present + audit.unknown_absent, 0, "{audit:?}");
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_a_refused_commit_is_not_a_write() {
    let thaw = "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF";
    a_refused_commit_is_not_a_write::<Mysql>("SET GLOBAL super_read_only = ON", thaw).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_a_refused_commit_is_not_a_write() {
    a_refused_commit_is_not_a_write::<Mariadb>("SET GLOBAL read_only = ON", "SET GLOBAL read_only = OFF").await;
}

/// A server that was killed has every acknowledged write; one that hangs goes on; both take writes when both may.
async fn crashes_hangs_and_probes<K: Kind<Client = MysqlClient>>() {
    let mut sandbox = Sandbox::<K>::of(options::<K>()).await.unwrap();
    let workload = sandbox.workload(4, 4, 200.0).unwrap();
    until(|| workload.acknowledged() >= 100).await;
    sandbox.source.kill9();
    let from = workload.mark();
    until(|| workload.report_between(from, workload.mark()).failed > 0).await;
    sandbox.source.restart().await.unwrap();
    let before = workload.acknowledged();
    until(|| workload.acknowledged() >= before + 50).await;
    let ledger = workload.stop().await;
    let db = sandbox.source.connect(Role::App).await.unwrap();
    let audit = ledger.audit(&db).await.unwrap();
    assert!(audit.is_clean(), "{audit:?}");
    sandbox.source.pause();
    // A signal reaches the last of many threads a moment later.
    let mut answers = 0;
    while tokio::time::timeout(Duration::from_millis(500), db.value("SELECT 1")).await.is_ok() {
        answers += 1;
        assert!(answers < 100, "it answers although it is stopped");
    }
    sandbox.source.cont();
    let db = sandbox.source.connect(Role::App).await.unwrap();
    db.value("SELECT 1").await.unwrap();

    let urls = [sandbox.source.url(Role::App, DATABASE), sandbox.target.url(Role::App, DATABASE)];
    let probes = Probes::start(&urls[0], &urls[1], Duration::from_millis(5));
    // The target has no tables yet, so it takes nothing.
    until(|| probes.so_far().accepted_by(Side::Source) >= 20 && probes.so_far().refused[1] >= 20).await;
    assert_eq!(probes.so_far().overlap(0), None);
    let target = sandbox.target.connect(Role::Superuser).await.unwrap();
    target.execute("CREATE TABLE probe (token VARCHAR(64) PRIMARY KEY, side VARCHAR(16))").await.unwrap();
    until(|| probes.so_far().accepted_by(Side::Target) >= 20).await;
    let mut history = probes.stop().await;
    history.resolve(&sandbox.source.connect(Role::Superuser).await.unwrap()).await.unwrap();
    assert!(history.overlap(1).is_some(), "both took writes for a while");
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_crashes_hangs_and_probes() {
    crashes_hangs_and_probes::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_crashes_hangs_and_probes() {
    crashes_hangs_and_probes::<Mariadb>().await;
}

/// What is made on a new server is not replicated: a target has no transaction of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_target_has_no_transaction_of_its_own() {
    let sandbox = Sandbox::<Mysql>::of(options::<Mysql>()).await.unwrap();
    let (source, target) = (&sandbox.source, &sandbox.target);
    let (source, target) =
        (source.connect(Role::Superuser).await.unwrap(), target.connect(Role::Superuser).await.unwrap());
    assert_eq!(target.value("SELECT @@GLOBAL.gtid_executed").await.unwrap().as_deref(), Some(""));
    assert_ne!(source.value("SELECT @@GLOBAL.gtid_executed").await.unwrap().as_deref(), Some(""));
    let uuids = [&source, &target].map(|db| db.value("SELECT @@server_uuid"));
    let [first, second] = uuids;
    assert_ne!(first.await.unwrap(), second.await.unwrap(), "copies of one template are one server");
    let mover = sandbox.source.connect(Role::Mover).await.unwrap();
    let refused = mover.run("SET GLOBAL super_read_only = ON").await.unwrap_err();
    assert_eq!(code(&refused), "1227", "{refused:?}");
    sandbox.stop().await;
}
