//! `check`, `plan` and `verify` by the real program, on real servers behind a HAProxy: they look, and change nothing.

use std::process::Output;

use pointsman::sandbox::Sandbox;
use pointsman::sandbox::mysql::{Mariadb, Mysql, MysqlClient};
use pointsman::sandbox::server::Kind;
use serde_json::Value;
use tokio::process::Command;

use super::pairs::{fingerprint, follow, pair, sql};

/// A whole cutover of a kind of database.
fn runbook(kind: &str) -> String {
    format!(
        r#"version: 1
name: look
stage: rehearsal
systems:
  source: {{ {kind}: {{ url: "${{env:SOURCE_URL}}" }} }}
  target: {{ {kind}: {{ url: "${{env:TARGET_URL}}" }} }}
  front:
    haproxy-tcp: {{ sockets: ["${{env:FRONT_SOCKET}}"], frontend: db, backend: databases, source: [source], target: [target], probe: "${{env:FRONT_URL}}" }}
steps:
  - preflight
  - replicate: {{ from: source, to: target, timeout: 2m }}
  - window: {{ budget: 2s, steps: [{{ freeze: {{ database: source, through: [front] }} }}, drain: {{}}, sequences: {{}}, {{ promote: {{ keep-way-back: true }} }}, {{ switch: {{ endpoints: [front] }} }}] }}
  - verify: {{ compare: checksums }}
"#
    )
}

async fn program<K: Kind>(pair: &Sandbox<K>, words: &[&str]) -> Output {
    let kind = if K::NAME == "MariaDB" { "mariadb" } else { "mysql" };
    let file = pair.folder().join("runbook.yaml");
    std::fs::write(&file, runbook(kind)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.envs(pair.env()).arg(words[0]).arg(&file).args(&words[1..]);
    command.output().await.unwrap()
}

fn object(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// The level of a finding of `check --output json`.
fn level(findings: &Value, id: &str, system: &str) -> String {
    let found = findings["findings"].as_array().unwrap().iter().find(|one| one["id"] == id && one["system"] == system);
    found.unwrap_or_else(|| panic!("no {id} on {system}: {findings}"))["level"].as_str().unwrap().to_owned()
}

async fn they_look_and_change_nothing<K: Kind<Client = MysqlClient>>() {
    let pair = pair::<K>(&[], &[]).await;
    let before = (fingerprint(&pair.source).await, fingerprint(&pair.target).await);
    let checked = program(&pair, &["check", "--output", "json"]).await;
    let findings = object(&checked);
    assert_eq!(checked.status.code(), Some(0), "{findings}");
    assert_eq!(level(&findings, "endpoint-route", "front"), "pass", "{findings}");
    assert_eq!(level(&findings, "around-endpoint", "source"), "pass", "{findings}");
    let planned = program(&pair, &["plan"]).await;
    let text = String::from_utf8_lossy(&planned.stdout);
    assert_eq!(planned.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&planned.stderr));
    // The target is empty: that is a difference, which `verify` tells by its exit code.
    let verified = program(&pair, &["verify", "--output", "json"]).await;
    assert_eq!(verified.status.code(), Some(8), "{}", String::from_utf8_lossy(&verified.stdout));
    let after = (fingerprint(&pair.source).await, fingerprint(&pair.target).await);
    assert!(before == after, "something was changed:\n{before:?}\n{after:?}");

    // Once the target follows, both sides are equal, while the application writes.
    let workload = pair.workload(4, 4, 200.0).unwrap();
    follow(&pair.target, &pair.source).await;
    let mut equal = false;
    for _ in 0..20 {
        let verified = program(&pair, &["verify", "--output", "json"]).await;
        equal = verified.status.code() == Some(0);
        if equal {
            break;
        }
        println!("{}", String::from_utf8_lossy(&verified.stdout));
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    assert!(equal, "it never became equal");
    assert!(workload.acknowledged() > 0, "nobody wrote");
    drop(workload.stop().await);
    // A row is gone there; and a target that is not empty is refused.
    sql(&pair.target, "DELETE FROM shop.order_history ORDER BY id LIMIT 1").await;
    let verified = program(&pair, &["verify"]).await;
    assert_eq!(verified.status.code(), Some(8));
    assert!(String::from_utf8_lossy(&verified.stdout).contains("missing on the target"), "{verified:?}");
    let checked = program(&pair, &["check", "--output", "json"]).await;
    let findings = object(&checked);
    assert_eq!(checked.status.code(), Some(3), "{findings}");
    assert_eq!(level(&findings, "target-content", "target"), "fail");
    assert_eq!(level(&findings, "other-channels", "target"), "fail");
    assert_eq!(level(&findings, "other-readers", "source"), "warn");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_check_plan_and_verify_change_nothing() {
    they_look_and_change_nothing::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_check_plan_and_verify_change_nothing() {
    they_look_and_change_nothing::<Mariadb>().await;
}
