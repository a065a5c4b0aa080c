//! Servers without GTIDs, of which one schema is carried: there by file and position, and back. The application is asked to
//! queue its writes meanwhile, and to go on when the window was left.

use pointsman::sandbox::mysql::Mysql;
use tokio::process::Command;

use super::copy::until;
use super::pairs::{Settings, pair, sql, value};

const OFF: Settings = &[("gtid-mode", "OFF"), ("enforce-gtid-consistency", "OFF")];

const RUNBOOK: &str = r#"version: 1
name: by-position
stage: rehearsal
systems:
  source: { mysql: { url: "${env:SOURCE_URL}" } }
  target: { mysql: { url: "${env:TARGET_URL}" } }
gates:
  lag: { replication-lag: { max: 1MiB, max-age: 5s, interval: 200ms, for: 500ms, timeout: 60s } }
steps:
  - replicate: { from: source, to: target, schemas: [shop], timeout: 2m }
  - wait: { gates: [lag], timeout: 2m }
  - window:
      budget: 5s
      steps:
        - command: { name: queue, apply: { run: [sh, -c, "echo queue >> TOLD"] }, undo: { run: { run: [sh, -c, "echo write >> TOLD"] } } }
        - freeze: { database: source }
        - drain
        - command: { name: ready, apply: { run: [test, -e, READY] }, undo: nothing }
        - sequences
        - promote: { keep-way-back: true }
        - switch: { endpoints: [] }
        - command: { name: write, apply: { run: [sh, -c, "echo write >> TOLD"] }, undo: nothing }
  - verify: { compare: checksums }
  - approve: { message: "Drop the way back?", timeout: 1s }
  - finalize
"#;

/// What the hold names.
const FILTER: &str = "STOP REPLICA FOR CHANNEL 'pointsman_forward'; CHANGE REPLICATION FILTER REPLICATE_WILD_DO_TABLE = \
    ('shop.%', 'pointsman.%') FOR CHANNEL 'pointsman_forward'; START REPLICA FOR CHANNEL 'pointsman_forward'";

#[tokio::test(flavor = "multi_thread")]
async fn one_schema_there_and_back_by_file_and_position() {
    let pair = pair::<Mysql>(OFF, OFF).await;
    sql(&pair.source, "CREATE DATABASE other; CREATE TABLE other.stays (id int PRIMARY KEY)").await;
    sql(&pair.source, "CREATE TABLE shop.moved (id int PRIMARY KEY); INSERT INTO shop.moved VALUES (1)").await;
    let (file, told, ready) =
        (pair.folder().join("by-position.yaml"), pair.folder().join("told"), pair.folder().join("ready"));
    let text = RUNBOOK.replace("TOLD", told.to_str().unwrap()).replace("READY", ready.to_str().unwrap());
    std::fs::write(&file, text).unwrap();
    let program = async |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.envs(pair.env()).args(words).args(["--output", "plain", "--state"]);
        let output = command.arg(pair.folder().join("by-position.db")).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    let asked = || std::fs::read_to_string(&told).unwrap_or_default().replace('\n', " ");

    let (code, said) = program(&["plan", file.to_str().unwrap()]).await;
    assert!(code == Some(0) && said.contains("follow by file and position (gtid_mode is OFF"), "{code:?} {said}");
    // The window is left before its commit point: the application is told to write again.
    let (code, said) = program(&["run", file.to_str().unwrap(), "--confirm", "by-position"]).await;
    assert_eq!((code, asked().as_str()), (Some(4), "queue write "), "{said}");
    // Until then the side that was to be left was told to stay shut over a restart: that is taken back, too.
    let shut = "SELECT COUNT(*) FROM performance_schema.persisted_variables \
                WHERE VARIABLE_NAME = 'super_read_only' AND VARIABLE_VALUE = 'ON'";
    assert_eq!(value(&pair.source, shut).await, "0");
    // A server that starts again forgets what its stream is kept to: no window then.
    pair.target.restart().await.unwrap();
    let (code, said) = program(&["resume"]).await;
    assert!(code == Some(4) && said.contains("target has started again, and forgot the filter"), "{code:?} {said}");
    sql(&pair.target, FILTER).await;
    // The way back dials a server that was away once a second, and a window begins only where it is there.
    let receives = "SELECT COUNT(*) FROM performance_schema.replication_connection_status WHERE SERVICE_STATE = 'ON'";
    until("the way back receives", async || value(&pair.source, receives).await == "1").await;
    sql(&pair.source, "INSERT INTO shop.moved VALUES (2); INSERT INTO other.stays VALUES (1)").await;
    std::fs::write(&ready, "").unwrap();
    let (code, said) = program(&["resume"]).await;
    assert_eq!((code, asked().as_str()), (Some(4), "queue write queue write "), "{said}");
    assert!(said.contains("window passed: writes go to the target"), "{said}");
    let schemas = "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'other'";
    assert_eq!(value(&pair.target, schemas).await, "0");
    // The side that was left stays shut when it is started again, and the other one open.
    assert_eq!((value(&pair.source, shut).await, value(&pair.target, shut).await), ("1".into(), "0".into()));
    sql(&pair.target, "INSERT INTO shop.moved VALUES (3)").await;
    let (code, said) = program(&["rollback", "--to", "wait", "--reason", "try the way back"]).await;
    assert_eq!(code, Some(5), "{said}");
    assert_eq!((value(&pair.source, shut).await, value(&pair.target, shut).await), ("0".into(), "1".into()));
    let moved = "SELECT GROUP_CONCAT(id ORDER BY id) FROM shop.moved";
    assert_eq!(value(&pair.source, moved).await, "1,2,3", "what was written on the target came back");
    assert_eq!(asked(), "queue write queue write queue write ");
    let (code, said) = program(&["rollback", "--reason", "all of it"]).await;
    assert_eq!(code, Some(5), "{said}");

    // Once more, for good: who stays out of the source is told.
    let (code, said) = program(&["run", file.to_str().unwrap(), "--confirm", "by-position"]).await;
    assert_eq!(code, Some(4), "{said}");
    let (code, said) = program(&["approve"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = program(&["resume"]).await;
    assert!(code == Some(0) && said.contains("on source these accounts stay locked: "), "{code:?} {said}");
    assert_eq!(value(&pair.target, moved).await, "1,2,3");
    pair.stop().await;
}
