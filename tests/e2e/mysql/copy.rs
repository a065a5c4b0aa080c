//! The initial copy: what it carries, by each of its means, and through the death of the executor.

use std::time::Duration;

use pointsman::sandbox::mysql::{Mariadb, Mysql, MysqlClient};
use pointsman::sandbox::server::Kind;
use pointsman::sandbox::{DATABASE, Role, Sandbox};
use tokio::process::Command;

use super::pairs::{pair, sql, value};

/// A run that ends behind the copy, held.
const RUNBOOK: &str = r#"version: 1
name: copying
stage: rehearsal
systems:
  source: { KIND: { url: "${env:SOURCE_URL}" } }
  target: { KIND: { url: "${env:TARGET_URL}" } }
steps:
  - replicate: { from: source, to: target, timeout: 2mWITH }
  - approve: { message: "Enough?", timeout: 1s }
  - window: { budget: 5s, steps: [{ freeze: { database: source } }, drain: {}, sequences: {}, { promote: { keep-way-back: true } }, { switch: { endpoints: [] } }] }
"#;

fn kind<K: Kind>() -> &'static str {
    if K::NAME == "MariaDB" { "mariadb" } else { "mysql" }
}

/// The program, with more keys for `replicate` such as `, copy: dump`.
pub(super) fn program<K: Kind>(pair: &Sandbox<K>, with: &str, words: &[&str]) -> Command {
    let file = pair.folder().join("copying.yaml");
    std::fs::write(&file, RUNBOOK.replace("KIND", kind::<K>()).replace("WITH", with)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.envs(pair.env()).arg(words[0]);
    if matches!(words[0], "run" | "plan" | "verify") {
        command.arg(&file);
    }
    command.args(&words[1..]).arg("--state").arg(pair.folder().join("copying.db")).args(["--output", "plain"]);
    command
}

pub(super) async fn said(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

/// As people make them in a client: several statements in one request leave a semicolon in the body, and a comment may
/// stand behind it.
const AWKWARD: &[&str] = &[
    "CREATE TABLE awkward (id int PRIMARY KEY, `delimiter` int)",
    "CREATE TRIGGER kept BEFORE UPDATE ON awkward FOR EACH ROW SET NEW.id = NEW.id; DO 1",
    "CREATE TRIGGER whole BEFORE INSERT ON awkward FOR EACH ROW BEGIN SET NEW.id = NEW.id; SET @x = ';;'; END; DO 1",
    "CREATE TRIGGER remark BEFORE DELETE ON awkward FOR EACH ROW SET @x = 1 -- */ said",
    "CREATE PROCEDURE talk() BEGIN\nSELECT 1; -- ;;\nSELECT `delimiter` FROM awkward;\nSELECT \"it's ;;\"; END; DO 1",
    "CREATE EVENT often ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM awkward WHERE id = 1; DELETE FROM awkward WHERE id = 2; END; DO 1",
];

const BODIES: &str = "SELECT GROUP_CONCAT(CONCAT(name, ': ', TRIM(TRAILING ';' FROM TRIM(body))) ORDER BY name SEPARATOR '\n') FROM (
    SELECT TRIGGER_NAME name, ACTION_STATEMENT body FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_TABLE = 'awkward'
    UNION ALL SELECT ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_NAME = 'talk'
    UNION ALL SELECT EVENT_NAME, EVENT_DEFINITION FROM information_schema.EVENTS WHERE EVENT_NAME = 'often') programs";

async fn awkward_bodies<K: Kind<Client = MysqlClient>>() {
    let pair = pair::<K>(&[], &[]).await;
    let client = K::open(&pair.source.url(Role::Superuser, DATABASE)).await.unwrap();
    for statement in AWKWARD {
        client.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let (code, said) = said(program(&pair, "", &["run", "--confirm", "copying"])).await;
    assert_eq!(code, Some(4), "{said}");
    let (here, there) = (value(&pair.source, BODIES).await, value(&pair.target, BODIES).await);
    assert_eq!(here.lines().filter(|line| line.contains(": ")).count(), 5, "{here}");
    assert_eq!(here, there);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_bodies_of_programs_are_carried_as_they_are() {
    awkward_bodies::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_bodies_of_programs_are_carried_as_they_are() {
    awkward_bodies::<Mariadb>().await;
}

/// Rows that take a moment to copy.
pub(super) async fn make_rows<K: Kind<Client = MysqlClient>>(pair: &Sandbox<K>, rows: u32) {
    let client = K::open(&pair.source.url(Role::Superuser, DATABASE)).await.unwrap();
    let digits = "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 \
                  UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
    client.execute("CREATE TABLE wide (id int AUTO_INCREMENT PRIMARY KEY, note varchar(400))").await.unwrap();
    let some = format!(
        "INSERT INTO wide (note) SELECT REPEAT(SHA2(RAND(), 256), 5) FROM {digits} a, {digits} b, {digits} c, {digits} d"
    );
    for _ in 0..rows.div_ceil(10_000) {
        client.execute(&some).await.unwrap();
    }
}

pub(super) const ROWS: &str = "SELECT CONCAT(COUNT(*), ' ', SUM(CRC32(note))) FROM shop.wide";

/// Waits for something that comes.
pub(super) async fn until(what: &str, mut came: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !came().await {
        assert!(began.elapsed() < Duration::from_secs(120), "{what} has not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the target has a table, or is away.
pub(super) async fn has_begun<K: Kind<Client = MysqlClient>>(pair: &Sandbox<K>, query: &str) -> bool {
    let Ok(client) = pair.target.connect(Role::Superuser).await else { return true };
    client.value(query).await.is_ok_and(|found| found.is_some_and(|count| count != "0"))
}

/// SIGKILL in the middle of the copy, and `resume`.
async fn killed_in_the_dump<K: Kind<Client = MysqlClient>>() {
    let pair = pair::<K>(&[], &[]).await;
    make_rows(&pair, 300_000).await;
    let mut run = program(&pair, ", copy: dump", &["run", "--confirm", "copying"]).spawn().unwrap();
    let begun = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 'wide'";
    until("the table", async || has_begun(&pair, begun).await).await;
    run.kill().await.unwrap();
    run.wait().await.unwrap();
    let (code, said) = said(program(&pair, ", copy: dump", &["resume"])).await;
    assert_eq!(code, Some(4), "{said}");
    assert_eq!(value(&pair.target, ROWS).await, value(&pair.source, ROWS).await, "{said}");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_a_dump_that_was_killed_is_begun_again() {
    killed_in_the_dump::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_a_dump_that_was_killed_is_begun_again() {
    killed_in_the_dump::<Mariadb>().await;
}

async fn with_plugin(pair: &Sandbox<Mysql>) {
    for server in [&pair.source, &pair.target] {
        sql(server, "INSTALL PLUGIN clone SONAME 'mysql_clone.so'").await;
        sql(server, "GRANT BACKUP_ADMIN, CLONE_ADMIN ON *.* TO root@'%'").await;
    }
}

/// What systemd and `mysqld_safe` do: they start a server that ends with 16, which asks for it.
struct Supervised(tokio::process::Child);

impl Supervised {
    fn start(pair: &Sandbox<Mysql>) -> Self {
        let server = pair.target.programs().join("sbin/mysqld");
        let options = pair.target.data().join("server.cnf");
        let user = if rustix::process::geteuid().is_root() { " --user=nobody" } else { "" };
        let script = format!(
            "export MYSQLD_PARENT_PID=$$; trap 'kill $pid; wait $pid; exit' TERM; \
             while {} --defaults-file={}{user} & pid=$!; wait $pid; [ $? = 16 ]; do :; done",
            server.display(),
            options.display()
        );
        Self(Command::new("sh").args(["-c", &script]).kill_on_drop(true).spawn().unwrap())
    }

    async fn stop(mut self) {
        let pid = i32::try_from(self.0.id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::TERM)
            .unwrap();
        self.0.wait().await.unwrap();
    }
}

/// What an undo has to give back. Passwords are the source's after a clone: the same, with another salt.
async fn outline(pair: &Sandbox<Mysql>) -> Vec<String> {
    let mut found = Vec::new();
    for query in [
        "SELECT GROUP_CONCAT(SCHEMA_NAME ORDER BY 1) FROM information_schema.SCHEMATA",
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop'",
        "SELECT GROUP_CONCAT(CONCAT_WS(' ', User, Host, account_locked) ORDER BY 1) FROM mysql.user",
        "SELECT CONCAT_WS(' ', @@GLOBAL.read_only, @@GLOBAL.super_read_only, @@GLOBAL.event_scheduler, @@GLOBAL.server_uuid)",
        "SELECT COUNT(*) FROM performance_schema.persisted_variables",
    ] {
        found.push(value(&pair.target, query).await);
    }
    found
}

/// A target that something supervises: cloned, followed, taken back.
#[tokio::test(flavor = "multi_thread")]
async fn mysql_a_target_is_cloned_under_load_and_given_back() {
    let pair = pair::<Mysql>(&[], &[]).await;
    with_plugin(&pair).await;
    make_rows(&pair, 100_000).await;
    pair.target.stop().await;
    let supervised = Supervised::start(&pair);
    until("the target", async || pair.target.connect(Role::Superuser).await.is_ok()).await;
    let before = outline(&pair).await;
    let (code, planned) = said(program(&pair, "", &["plan"])).await;
    assert_eq!(code, Some(0), "{planned}");
    assert!(
        planned.contains("CLONE INSTANCE FROM") && planned.contains("both servers have the clone plugin"),
        "{planned}"
    );
    let workload = pair.workload(0, 4, 100.0).unwrap();
    let (code, cloned) = said(program(&pair, "", &["run", "--confirm", "copying"])).await;
    assert_eq!(code, Some(4), "{cloned}");
    assert_eq!(value(&pair.target, "SELECT @@GLOBAL.server_uuid").await, before[3].split(' ').next_back().unwrap());
    workload.stop().await;
    sql(&pair.source, "INSERT INTO shop.wide (note) VALUES ('afterwards')").await;
    let counts = "SELECT CONCAT((SELECT COUNT(*) FROM shop.ledger), ' ', (SELECT COUNT(*) FROM shop.wide))";
    let here = value(&pair.source, counts).await;
    until("the last row", async || value(&pair.target, counts).await == here).await;
    assert_eq!(value(&pair.target, ROWS).await, value(&pair.source, ROWS).await);
    // The event came along, and must not run on both sides.
    let events = "SELECT GROUP_CONCAT(STATUS) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'shop'";
    assert!(!value(&pair.target, events).await.contains("ENABLED"));
    let (code, back) = said(program(&pair, "", &["rollback", "--reason", "enough"])).await;
    assert_eq!(code, Some(5), "{back}");
    assert_eq!(outline(&pair).await, before, "{back}");
    supervised.stop().await;
    pair.stop().await;
}

/// A target that nobody starts again, and an executor that is killed in the middle: `resume` waits for a person, who
/// starts it.
#[tokio::test(flavor = "multi_thread")]
async fn mysql_a_clone_goes_on_when_the_executor_is_killed() {
    let pair = pair::<Mysql>(&[], &[]).await;
    with_plugin(&pair).await;
    make_rows(&pair, 200_000).await;
    let mut run = program(&pair, ", copy: clone", &["run", "--confirm", "copying"]).spawn().unwrap();
    let begun = "SELECT COUNT(*) FROM performance_schema.clone_status WHERE STATE <> 'Not Started'";
    until("the clone", async || has_begun(&pair, begun).await).await;
    run.kill().await.unwrap();
    run.wait().await.unwrap();
    let resumed = tokio::spawn(said(program(&pair, ", copy: clone", &["resume"])));
    // It refuses logins while it is cloned; its port is shut only when it ends.
    let address = ("127.0.0.1", pair.target.port());
    until("its end", async || std::net::TcpStream::connect(address).is_err()).await;
    pair.target.restart().await.unwrap();
    let (code, said) = resumed.await.unwrap();
    assert_eq!(code, Some(4), "{said}");
    assert_eq!(value(&pair.target, ROWS).await, value(&pair.source, ROWS).await, "{said}");
    pair.stop().await;
}
