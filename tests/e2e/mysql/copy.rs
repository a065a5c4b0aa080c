//! The initial copy: what it carries.

use pointsman::sandbox::mysql::{Mariadb, Mysql, MysqlClient};
use pointsman::sandbox::server::Kind;
use pointsman::sandbox::{DATABASE, Role, Sandbox};
use tokio::process::Command;

use super::pairs::{pair, value};

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
fn program<K: Kind>(pair: &Sandbox<K>, with: &str, words: &[&str]) -> Command {
    let file = pair.folder().join("copying.yaml");
    std::fs::write(&file, RUNBOOK.replace("KIND", kind::<K>()).replace("WITH", with)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.envs(pair.env()).arg(words[0]);
    if matches!(words[0], "run" | "plan") {
        command.arg(&file);
    }
    command.args(&words[1..]).arg("--state").arg(pair.folder().join("copying.db")).args(["--output", "plain"]);
    command
}

async fn said(mut command: Command) -> (Option<i32>, String) {
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
