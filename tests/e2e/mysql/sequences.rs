//! MariaDB's sequences: through the stream, through the window, and back.

use pointsman::sandbox::Sandbox;
use pointsman::sandbox::mysql::Mariadb;
use tokio::process::Command;

use super::pairs::{pair, sql, value};

const RUNBOOK: &str = r#"version: 1
name: numbers
stage: rehearsal
systems:
  source: { mariadb: { url: "${env:SOURCE_URL}" } }
  target: { mariadb: { url: "${env:TARGET_URL}" } }
gates:
  lag: { replication-lag: { max: 1MiB, max-age: 5s, interval: 200ms, for: 500ms, timeout: 60s } }
steps:
  - replicate: { from: source, to: target, timeout: 2m }
  - wait: { gates: [lag], timeout: 2m }
  # As if a row of the stream had been lost: behind, and out of the log, so that nothing else puts it right.
  - sql: { system: target, run: ["SET SESSION sql_log_bin = 0; ALTER SEQUENCE shop.bill RESTART 1000; SET SESSION sql_log_bin = 1"], undo: nothing }
  - window:
      budget: 5s
      steps: [{ freeze: { database: source } }, drain: {}, sequences: {}, { promote: { keep-way-back: true } }, { switch: { endpoints: [] } }]
  - approve: { message: "Drop the way back?", timeout: 1s }
"#;

async fn program(pair: &Sandbox<Mariadb>, words: &[&str]) -> (Option<i32>, String) {
    let file = pair.folder().join("numbers.yaml");
    std::fs::write(&file, RUNBOOK).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.envs(pair.env()).arg(words[0]);
    if matches!(words[0], "run" | "verify") {
        command.arg(&file);
    }
    command.args(&words[1..]).arg("--state").arg(pair.folder().join("numbers.db"));
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

/// Which sequences `verify` finds carried.
async fn carried(pair: &Sandbox<Mariadb>) -> Vec<(String, bool)> {
    let (_, said) = program(pair, &["verify", "--output", "json"]).await;
    let found: serde_json::Value =
        serde_json::from_str(said.lines().next().unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {said}"));
    let sequences =
        found["comparison"]["sequences"].as_array().unwrap_or_else(|| panic!("no sequences: {said}")).clone();
    sequences.iter().map(|one| (one["sequence"].as_str().unwrap().to_owned(), one["carried"] == true)).collect()
}

/// The next number of each sequence, drawn.
async fn draw(server: &pointsman::sandbox::server::Server<Mariadb>) -> [i64; 3] {
    let mut drawn = [0; 3];
    for (number, name) in drawn.iter_mut().zip(NAMES) {
        *number = value(server, &format!("SELECT NEXTVAL(shop.{name})")).await.parse().unwrap();
    }
    drawn
}

const NAMES: [&str; 3] = ["bare", "bill", "down"];

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_no_number_is_given_twice_there_or_back() {
    let pair = pair::<Mariadb>(&[], &[]).await;
    sql(
        &pair.source,
        "CREATE SEQUENCE shop.bill START WITH 1000 CACHE 50; CREATE SEQUENCE shop.bare NOCACHE; \
         CREATE SEQUENCE shop.down START WITH -5 INCREMENT BY -2 MAXVALUE -1 MINVALUE -100000 CACHE 10",
    )
    .await;
    draw(&pair.source).await;
    assert!(carried(&pair).await.iter().all(|(_, carried)| !carried), "the target has none yet");
    let exhausted = "CREATE SEQUENCE shop.spent MAXVALUE 2 NOCACHE; DO NEXTVAL(shop.spent); DO NEXTVAL(shop.spent)";
    sql(&pair.source, exhausted).await;
    let (code, said) = program(&pair, &["run", "--confirm", "numbers", "--output", "plain"]).await;
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("window passed: writes go to the target"), "{said}");
    let everywhere = || NAMES.into_iter().chain(["spent"]).map(|name| (name.to_owned(), true)).collect::<Vec<_>>();
    assert_eq!(carried(&pair).await, everywhere());
    let there = draw(&pair.target).await;
    assert!(there[0] > 1 && there[1] > 1000 && there[2] < -5, "{there:?}");
    for _ in 0..120 {
        draw(&pair.target).await;
    }
    let last = draw(&pair.target).await;
    let (code, said) = program(&pair, &["rollback", "--reason", "back", "--output", "plain"]).await;
    assert_eq!(code, Some(5), "{said}");
    let here = draw(&pair.source).await;
    assert!(here[0] > last[0] && here[1] > last[1] && here[2] < last[2], "{here:?} after {last:?}");
    pair.stop().await;
}
