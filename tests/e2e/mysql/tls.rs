//! The servers verify each other as they replicate: whoever is not who he should be is told beforehand, and refused.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pointsman::sandbox::mysql::{Mariadb, Mysql, MysqlClient};
use pointsman::sandbox::server::Kind;
use pointsman::sandbox::{Role, Sandbox, SandboxOptions};
use tokio::process::Command;

use crate::failures::tls::{authority, server};

fn runbook<K: Kind>(ca: &Path, there: &Path, more: &str) -> String {
    let kind = if K::NAME == "MariaDB" { "mariadb" } else { "mysql" };
    let side = |url: &str, more: &str| {
        format!(
            "{{ {kind}: {{ url: \"${{env:{url}}}\", tls: {{ mode: verify-full, ca: \"{}\" }}, replication-ca: \"{}\"{more} }} }}",
            ca.display(),
            there.display()
        )
    };
    format!(
        "version: 1\nname: identity\nstage: rehearsal\nsystems:\n  source: {}\n  target: {}\nsteps:\n  \
         - replicate: {{ from: source, to: target, timeout: 2m }}\n  - approve: {{ message: \"Enough?\", timeout: 1s }}\n  \
         - window: {{ budget: 5s, steps: [{{ freeze: {{ database: source }} }}, drain: {{}}, sequences: {{}}, {{ promote: {{ keep-way-back: true }} }}, {{ switch: {{ endpoints: [] }} }}] }}\n",
        side("SOURCE_URL", more),
        side("TARGET_URL", "")
    )
}

async fn program<K: Kind>(pair: &Sandbox<K>, text: &str, words: &[&str]) -> (Option<i32>, String) {
    let file = pair.folder().join("identity.yaml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.envs(pair.env()).arg(words[0]);
    if matches!(words[0], "run" | "check") {
        command.arg(&file);
    }
    command.args(&words[1..]).arg("--state").arg(pair.folder().join("identity.db"));
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

async fn identity<K: Kind<Client = MysqlClient>>(configuration: &str) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (right, right_file) = authority(folder.path(), "right");
    let (_, wrong_file) = authority(folder.path(), "wrong");
    let tls = Some(server(folder.path(), &right, &["127.0.0.1"]));
    let app_binary = Some(env!("CARGO_BIN_EXE_pointsman").into());
    let pair: Sandbox<K> = Sandbox::of(SandboxOptions { tls, app_binary, ..SandboxOptions::of::<K>() }).await.unwrap();

    // By another name than that of the certificate: the preflight goes there as the other server would.
    let url = pair.source.url(Role::Superuser, "").replace("127.0.0.1", "localhost");
    let elsewhere = runbook::<K>(&right_file, &right_file, &format!(", replication-url: \"{url}\""));
    let (code, said) = program(&pair, &elsewhere, &["check", "--output", "json"]).await;
    let found: serde_json::Value = serde_json::from_str(said.lines().next().unwrap_or_default()).unwrap();
    let failed = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["id"] == "replication-url" && one["level"] == "fail");
    let failed = failed.unwrap_or_else(|| panic!("{said}"));
    assert!(code == Some(3) && failed["detail"].as_str().unwrap().contains("certificate"), "{code:?} {failed}");

    // The right name, and a certificate that the other server has no reason to trust: it refuses.
    let distrusted = runbook::<K>(&right_file, &wrong_file, "");
    let (code, said) = program(&pair, &distrusted, &["run", "--confirm", "identity", "--output", "plain"]).await;
    assert!(code == Some(4) && said.contains("does not follow") && said.contains("certificate"), "{code:?} {said}");
    let (code, said) = program(&pair, &distrusted, &["rollback", "--reason", "mend", "--output", "plain"]).await;
    assert_eq!(code, Some(5), "{said}");

    let trusted = runbook::<K>(&right_file, &right_file, "");
    let (code, said) = program(&pair, &trusted, &["run", "--confirm", "identity", "--output", "plain"]).await;
    assert_eq!(code, Some(4), "{said}");
    let client = pair.target.connect(Role::Superuser).await.unwrap();
    let shown = format!("{:?}", client.query(configuration).await.unwrap());
    assert!(shown.contains(right_file.to_str().unwrap()), "{shown}");
    let (code, said) = program(&pair, &trusted, &["rollback", "--reason", "enough", "--output", "plain"]).await;
    assert_eq!(code, Some(5), "{said}");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_a_stream_takes_nobody_for_the_other_server() {
    identity::<Mysql>(
        "SELECT SSL_CA_FILE FROM performance_schema.replication_connection_configuration \
         WHERE CHANNEL_NAME = 'pointsman_forward' AND SSL_VERIFY_SERVER_CERTIFICATE = 'YES'",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_a_stream_takes_nobody_for_the_other_server() {
    identity::<Mariadb>("SHOW SLAVE 'pointsman_forward' STATUS").await;
}
