//! The sandbox itself: that it comes up, that its ledger can find a fault, and that it leaves nothing behind.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use pointsman::sandbox::{
    Age, DATABASE, Role, Sandbox, SandboxOptions, Servers, connect,
    haproxy::{Haproxy, HaproxyMode, StartHaproxy},
    history::Side,
    ledger::Ledger,
    postgres::TlsFiles,
    probe::Probes,
    stop_folder, sweep,
};

/// In memory, where the machine has such a folder.
fn base() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

fn options() -> SandboxOptions {
    let app_binary = Some(env!("CARGO_BIN_EXE_pointsman").into());
    SandboxOptions { base: Some(base()), app_binary, ..SandboxOptions::default() }
}

/// Waits for something that comes sooner or later; the limit is far away and only keeps a broken test from hanging.
async fn until(happened: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never happened");
}

async fn write_for(sandbox: &Sandbox, seconds: f64, rate: f64) -> Ledger {
    let workload = sandbox.workload(8, 4, rate).unwrap();
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    workload.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_is_there() {
    let sandbox = Sandbox::start(options()).await.unwrap();
    let workload = sandbox.workload(8, 4, 1000.0).unwrap();
    let from = workload.mark();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let report = workload.report_between(from, workload.mark());
    let ledger = workload.stop().await;
    let audit = ledger.audit(&sandbox.source.connect(Role::App).await.unwrap()).await.unwrap();
    println!("{report:?}\n{}", audit.acknowledged);
    assert!(audit.is_clean(), "{audit:?}");
    assert_eq!((report.failed, report.unknown, audit.failed), (0, 0, 0), "{report:?}");
    assert!(audit.acknowledged >= 100 && audit.acknowledged >= report.acknowledged, "{audit:?}");
    // All HTTP traffic is on the old instance at first, and clients past the application write too.
    assert_eq!(report.by_via.keys().collect::<Vec<_>>(), ["direct", "old"]);
    let folder = sandbox.folder().to_owned();
    sandbox.stop().await;
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_pooler_and_balancer_work_too_and_several_of_them() {
    let old = SandboxOptions { pgbouncer: Age::Old, haproxy: Age::Old, pgbouncers: 2, haproxies: 2, ..options() };
    let sandbox = Sandbox::start(old).await.unwrap();
    let ledger = write_for(&sandbox, 1.0, 300.0).await;
    let audit = ledger.audit(&sandbox.source.connect(Role::App2).await.unwrap()).await.unwrap();
    assert!(audit.is_clean() && audit.failed == 0 && audit.acknowledged > 0, "{audit:?}");
    let env = sandbox.env();
    assert!(env.contains_key("POOL_INI_2") && env.contains_key("HAPROXY_SOCKET_2"), "{:?}", env.keys());
    // The runtime interface answers both ways.
    assert!(env["HAPROXY_SOCKET"].ends_with("haproxy-1/sock") && Path::new(&env["HAPROXY_SOCKET"]).exists());
    let mut admin = std::net::TcpStream::connect(&env["HAPROXY_ADDRESS"]).unwrap();
    std::io::Write::write_all(&mut admin, b"show stat\n").unwrap();
    let answer = std::io::read_to_string(admin).unwrap();
    assert!(answer.contains("app,old,") && answer.contains("app,new,"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_application_is_counted_and_loses_nothing() {
    let mut sandbox = Sandbox::start(options()).await.unwrap();
    let workload = sandbox.workload(8, 0, 400.0).unwrap();
    until(|| workload.acknowledged() >= 50).await;
    sandbox.app_old.kill9();
    // The load balancer tries a few times to reach it, then says so.
    let from = workload.mark();
    until(|| workload.report_between(from, workload.mark()).failed > 0).await;
    sandbox.app_old.restart().await.unwrap();
    let before = workload.acknowledged();
    until(|| workload.acknowledged() >= before + 50).await;
    let ledger = workload.stop().await;
    let audit = ledger.audit(&sandbox.source.connect(Role::App).await.unwrap()).await.unwrap();
    assert!(audit.failed > 0, "{audit:?}");
    assert!(audit.is_clean(), "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_finds_a_lost_and_a_doubled_row_and_a_sequence_left_behind() {
    let sandbox = Sandbox::start(options()).await.unwrap();
    let ledger = write_for(&sandbox, 0.5, 200.0).await;
    let db = sandbox.source.connect(Role::Superuser).await.unwrap();
    let row = db.query_one("DELETE FROM ledger WHERE id = (SELECT min(id) FROM ledger) RETURNING token", &[]).await;
    let lost: String = row.unwrap().get(0);
    let twice = "INSERT INTO ledger (client, n, token, via, ticket)
                 SELECT client, n, token, via, nextval('tickets') FROM ledger WHERE id = (SELECT max(id) FROM ledger)
                 RETURNING token";
    let doubled: String = db.query_one(twice, &[]).await.unwrap().get(0);
    let audit = ledger.audit(&db).await.unwrap();
    assert_eq!((&audit.lost, &audit.duplicated), (&vec![lost], &vec![doubled]));
    assert!(audit.sequence_anomalies.is_empty(), "{audit:?}");
    db.batch_execute("SELECT setval('tickets', 1); ALTER SEQUENCE ledger_id_seq RESTART").await.unwrap();
    let audit = ledger.audit(&db).await.unwrap();
    let named = |sequence| audit.sequence_anomalies.iter().any(|anomaly: &String| anomaly.starts_with(sequence));
    assert!(named("tickets ") && named("ledger_id_seq "), "{audit:?}");
    assert!(!audit.is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_see_when_both_databases_take_writes() {
    let sandbox = Sandbox::start(options()).await.unwrap();
    let urls = [sandbox.source.url(Role::App, DATABASE), sandbox.target.url(Role::App, DATABASE)];
    let probes = Probes::start(&urls[0], &urls[1], Duration::from_millis(5));
    // The target has no tables yet, so it takes nothing.
    until(|| probes.so_far().accepted_by(Side::Source) >= 20 && probes.so_far().refused[1] >= 20).await;
    assert_eq!(probes.so_far().overlap(0), None);
    let target = sandbox.target.connect(Role::Superuser).await.unwrap();
    let table = "CREATE TABLE probe (token text PRIMARY KEY, side text, at timestamptz DEFAULT clock_timestamp());
                 GRANT ALL ON probe TO app";
    target.batch_execute(table).await.unwrap();
    until(|| probes.so_far().accepted_by(Side::Target) >= 20).await;
    let source = sandbox.source.connect(Role::Superuser).await.unwrap();
    let mut history = probes.stop().await;
    history.resolve(&source).await.unwrap();
    assert!(history.overlap(1).is_some(), "both took writes for a while");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashed_or_hung_is_itself_again() {
    let mut sandbox = Sandbox::start(options()).await.unwrap();
    let ledger = write_for(&sandbox, 0.5, 200.0).await;
    sandbox.source.kill9();
    assert!(connect(&sandbox.source.url(Role::App, DATABASE)).await.is_err());
    sandbox.source.restart().await.unwrap();
    let db = sandbox.source.connect(Role::App).await.unwrap();
    assert!(ledger.audit(&db).await.unwrap().is_clean());
    sandbox.source.pause();
    let asked = tokio::time::timeout(Duration::from_millis(300), db.simple_query("SELECT 1")).await;
    assert!(asked.is_err(), "it answers although it is stopped");
    sandbox.source.cont();
    db.simple_query("SELECT 1").await.unwrap();
}

/// The kernel keeps a killed server's segment until somebody removes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_killed_leaves_no_shared_memory() {
    let mut sandbox = Sandbox::start(options()).await.unwrap();
    let file = std::fs::read_to_string(sandbox.source.data().join("postmaster.pid")).unwrap();
    let named: Vec<String> = file.lines().nth(6).unwrap().split_whitespace().map(str::to_owned).collect();
    let is_there = || {
        let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
        table.lines().any(|line| line.split_whitespace().take(2).eq(named.iter().map(String::as_str)))
    };
    sandbox.source.kill9();
    assert!(is_there(), "it left nothing: this test shows nothing");
    sandbox.stop().await;
    assert!(!is_there());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mover_is_no_superuser_and_can_do_what_rds_allows() {
    let sandbox = Sandbox::start(options()).await.unwrap();
    let db = sandbox.source.connect(Role::Mover).await.unwrap();
    let row = db.query_one("SELECT rolsuper, rolreplication FROM pg_roles WHERE rolname = current_user", &[]).await;
    let row = row.unwrap();
    assert_eq!((row.get::<_, bool>(0), row.get::<_, bool>(1)), (false, true));
    db.batch_execute(
        "ALTER ROLE app NOLOGIN; ALTER ROLE app LOGIN; ALTER TABLE ledger SET (fillfactor = 90);
         CREATE PUBLICATION p FOR TABLE ledger; DROP PUBLICATION p",
    )
    .await
    .unwrap();
    let target = sandbox.target.connect(Role::Mover).await.unwrap();
    target.batch_execute("ALTER ROLE app NOLOGIN; ALTER ROLE app LOGIN; CREATE TABLE t ()").await.unwrap();
    let env = sandbox.env_as(Role::Mover);
    assert!(env["SOURCE_URL"].starts_with("postgres://mover:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_with_tls_behind_a_balancer_of_connections() {
    let files = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = TlsFiles { certificate: files.path().join("crt"), key: files.path().join("key") };
    std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    let sandbox = Sandbox::start(SandboxOptions { tls: Some(tls), ..options() }).await.unwrap();
    let balancer = Haproxy::start(StartHaproxy {
        name: "haproxy-tcp".into(),
        program: Servers::find().haproxy(Age::New).unwrap().clone(),
        root: sandbox.folder().into(),
        mode: HaproxyMode::Tcp,
        old_port: sandbox.source.port(),
        new_port: sandbox.target.port(),
    })
    .await
    .unwrap();
    let through = format!(":{}/", balancer.port());
    let url = sandbox.source.url(Role::App, DATABASE).replace(&format!(":{}/", sandbox.source.port()), &through);
    let db = connect(&url).await.unwrap();
    let row = db.query_one("SELECT current_setting('ssl'), current_setting('port')", &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), ("on", sandbox.source.port().to_string().as_str()));
}

/// Not a test by itself: the next one runs it in a process of its own, and kills that.
#[tokio::test(flavor = "multi_thread")]
async fn sandbox_that_waits_to_be_killed() {
    let Some(base) = std::env::var_os("SANDBOX_TO_KILL") else { return };
    let sandbox = Sandbox::start(SandboxOptions { base: Some(base.into()), ..options() }).await.unwrap();
    std::fs::write(sandbox.folder().join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

#[test]
fn what_a_killed_sandbox_left_is_swept() {
    let base = tempfile::Builder::new().prefix("sweep").tempdir_in(base()).unwrap();
    std::fs::set_permissions(base.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sandbox::sandbox_that_waits_to_be_killed"])
        .env("SANDBOX_TO_KILL", base.path())
        .spawn()
        .unwrap();
    let folder = wait_for_ready(base.path(), &mut child);
    assert_eq!(sweep(base.path()), Vec::<PathBuf>::new(), "a sandbox whose owner lives is left alone");
    let processes = pids(&folder);
    assert!(processes.len() >= 5 && processes.iter().all(|pid| is_running(pid)), "{processes:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(processes.iter().any(|pid| is_running(pid)), "nothing was left to sweep");
    assert_eq!(sweep(base.path()), std::slice::from_ref(&folder));
    assert!(!folder.exists());
    assert!(processes.iter().all(|pid| !is_running(pid)), "{processes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_sandbox_stays_until_it_is_ended() {
    let base = tempfile::Builder::new().prefix("keep").tempdir_in(base()).unwrap();
    std::fs::set_permissions(base.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let sandbox = Sandbox::start(SandboxOptions { base: Some(base.path().into()), ..options() }).await.unwrap();
    assert_eq!(sandbox.folder().parent(), Some(base.path()), "{:?}", sandbox.notes());
    let (folder, url) = (sandbox.folder().to_owned(), sandbox.source.url(Role::App, DATABASE));
    let words = sandbox.keep().unwrap();
    assert!(words.contains("sandbox-stop"), "{words}");
    assert_eq!(sweep(base.path()), Vec::<PathBuf>::new());
    connect(&url).await.unwrap();
    stop_folder(&folder).unwrap();
    assert!(!folder.exists() && connect(&url).await.is_err());
}

fn wait_for_ready(base: &Path, child: &mut std::process::Child) -> PathBuf {
    for _ in 0..6000 {
        assert!(child.try_wait().unwrap().is_none(), "the sandbox's process ended");
        let folder = std::fs::read_dir(base).unwrap().flatten().next();
        match folder.map(|entry| entry.path()).filter(|folder| folder.join("ready").exists()) {
            Some(folder) => return folder,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    child.kill().unwrap();
    panic!("no sandbox came up below {}", base.display());
}

fn pids(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder.join("pids")).unwrap().flatten();
    files.filter_map(|file| Some(std::fs::read_to_string(file.path()).ok()?.split(' ').next()?.to_owned())).collect()
}

fn is_running(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
