//! The way that RDS allows: the target's master user has no SUPER, and replication is set up, watched and torn down by
//! procedures of the names and signatures of RDS's, which truly change it.

use pointsman::sandbox::aws::Cloud;
use pointsman::sandbox::mysql::Mysql;
use pointsman::sandbox::{DATABASE, Role};
use tokio::process::Command;

use super::instances::become_rds;
use crate::aws::{Rds, Shown, proxy::Proxy};
use crate::mysql::pairs::{pair, sql, value};

const RUNBOOK: &str = r#"version: 1
name: to-rds
stage: rehearsal
systems:
  source: { mysql: { url: "${env:SOURCE_URL}" } }
  target: { mysql: { url: "${env:RDS_URL}", exempt-users: [ADMINISTRATOR] } }
gates:
  lag: { replication-lag: { max: 1MiB, max-age: 5s, interval: 200ms, for: 500ms, timeout: 60s } }
steps:
  - replicate: { from: source, to: target, timeout: 2m }
  - wait: { gates: [lag], timeout: 2m }
  - window:
      budget: 5s
      steps: [{ freeze: { database: source } }, drain: {}, sequences: {}, { promote: { keep-way-back: true } }, { switch: { endpoints: [] } }]
  - verify: { compare: checksums }
  - approve: { message: "Drop the way back?", timeout: 1s }
  - finalize
"#;

/// What mends a finding, as `check --output json` says it.
fn mends_of(said: &str, id: &str) -> Vec<String> {
    let line = said.lines().next().unwrap_or_default();
    let all: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {said}"));
    let found = all["findings"].as_array().unwrap().iter().find(|one| one["id"] == id);
    let mend = found.unwrap_or_else(|| panic!("no {id}: {said}"))["mend"].as_array().cloned().unwrap_or_default();
    mend.iter().filter_map(|statement| statement.as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_by_rds_procedures_without_super() {
    // What a parameter group must have where triggers or routines are copied.
    let pair = pair::<Mysql>(&[], &[("log_bin_trust_function_creators", "1")]).await;
    become_rds(&pair.target).await;
    sql(&pair.source, &format!("CREATE TABLE {DATABASE}.moved (id INT PRIMARY KEY)")).await;
    sql(&pair.source, &format!("INSERT INTO {DATABASE}.moved VALUES (1)")).await;
    let administrator = url::Url::parse(&pair.target.url(Role::Superuser, "mysql")).unwrap();
    let file = pair.folder().join("to-rds.yaml");
    std::fs::write(&file, RUNBOOK.replace("ADMINISTRATOR", administrator.username())).unwrap();
    let state = pair.folder().join("to-rds.db");
    let program = async |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.envs(pair.env()).env("RDS_URL", format!("mysql://admin:adm@127.0.0.1:{}", pair.target.port()));
        command.args(words).arg("--state").arg(&state);
        if !words.contains(&"--output") {
            command.args(["--output", "plain"]);
        }
        let output = command.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    // The sample shop's objects were defined by an administrator: what `check` says lets RDS's master user load them.
    let (_, said) = program(&["check", file.to_str().unwrap(), "--output", "json"]).await;
    let mend = mends_of(&said, "definer-privilege");
    assert!(!mend.is_empty(), "{said}");
    for statement in &mend {
        sql(&pair.target, statement).await;
    }
    // No filter of RDS's can keep the stream to some schemas.
    let some = pair.folder().join("some.yaml");
    std::fs::write(
        &some,
        std::fs::read_to_string(&file)
            .unwrap()
            .replace("timeout: 2m }\n  - wait", &format!("schemas: [{DATABASE}], timeout: 2m }}\n  - wait")),
    )
    .unwrap();
    let (code, said) = program(&["check", some.to_str().unwrap(), "--output", "json"]).await;
    assert!(code == Some(3) && !mends_of(&said, "schemas-filter").is_empty(), "{code:?} {said}");
    let (code, said) = program(&["run", some.to_str().unwrap(), "--confirm", "to-rds"]).await;
    assert!(code == Some(4) && said.contains("can't be kept to `schemas`"), "{code:?} {said}");
    let (code, said) = program(&["rollback", "--reason", "of no use"]).await;
    assert_eq!(code, Some(5), "{said}");
    let (code, said) = program(&["run", file.to_str().unwrap(), "--confirm", "to-rds"]).await;
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("window passed: writes go to the target"), "{said}");
    // The stream is the nameless one, as the procedures make it.
    let channel =
        "SELECT COUNT(*) FROM performance_schema.replication_connection_configuration WHERE CHANNEL_NAME = ''";
    assert_eq!(value(&pair.target, channel).await, "1");
    // Its binary log is kept for the way back, and no longer than that.
    let kept = "SELECT COALESCE(value, 'not') FROM mysql.rds_configuration";
    assert_eq!(value(&pair.target, kept).await, "24");
    sql(&pair.target, &format!("INSERT INTO {DATABASE}.moved VALUES (2)")).await;
    let (code, said) = program(&["rollback", "--reason", "try the way back"]).await;
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("window passed: writes go to the source"), "{said}");
    let moved = format!("SELECT GROUP_CONCAT(id ORDER BY id) FROM {DATABASE}.moved");
    assert_eq!(value(&pair.source, &moved).await, "1,2", "the row that was written on the target came back");
    assert_eq!(value(&pair.target, channel).await, "0");
    assert_eq!(value(&pair.target, kept).await, "not");
    let left = "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'pointsman'";
    assert_eq!((value(&pair.source, left).await, value(&pair.target, left).await), ("0".into(), "0".into()));
    sql(&pair.source, &format!("INSERT INTO {DATABASE}.moved VALUES (3)")).await;

    // The same, with a target that RDS names; nothing but where it is dialled is asked of AWS.
    rustls::crypto::ring::default_provider().install_default().ok();
    let nobody = "http://127.0.0.1:1".to_owned();
    let proxy = Proxy::start(nobody.clone(), nobody).await;
    let rds = std::sync::Arc::new(Rds::default());
    proxy.overlay(rds.clone());
    let port = Some(pair.target.port());
    rds.shows(&Shown { identifier: "orders", resource: "db-ONE", status: "available", port });
    let text = std::fs::read_to_string(&file).unwrap();
    let named =
        text.replace(r#"url: "${env:RDS_URL}""#, r#"rds: orders-rds, user: admin, password: "${env:RDS_PASSWORD}""#);
    let named = named.replacen("gates:", "  orders-rds: { rds: { instance: orders } }\ngates:", 1);
    std::fs::write(&file, named).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.envs(pair.env()).envs(Cloud::env_through(&proxy.url())).env("RDS_PASSWORD", "adm").args(["run"]).arg(&file);
    command.args(["--confirm", "to-rds", "--output", "plain", "--state"]).arg(&state);
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(4) && said.contains("window passed: writes go to the target"), "{said}");
    assert_eq!(value(&pair.target, &moved).await, "1,2,3");
    let asked: std::collections::BTreeSet<String> = proxy.names().into_iter().collect();
    assert_eq!(asked.into_iter().collect::<Vec<_>>(), ["rds DescribeDBInstances"]);
    pair.stop().await;
}
