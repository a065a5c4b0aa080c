//! Secret references that AWS resolves: a whole cutover whose databases and pooler are reached by a secret and a
//! parameter, with what can be wrong with them.

use aws_sdk_ssm::types::ParameterType;
use pointsman::{
    executor::state::Side,
    journal::{Event, halt},
    sandbox::{
        DATABASE, Role,
        aws::{Cloud, sdk_config},
    },
};

use rustix::process::Signal;

use super::proxy::{Fault, Proxy, at};
use crate::cutover::support::{Called, DOOR, Scene, WINDOW, ended, lives, pid, process_state, signal, until};

const SECRETS: &str = "secretsmanager";
const HUSH: &str = "hush@first/secret";
const LATER: &str = "hush#second secret";

/// The scene of a cutover, with its URLs in AWS.
struct Stage {
    scene: Scene,
    proxy: Proxy,
    secrets: aws_sdk_secretsmanager::Client,
    _cloud: Cloud,
}

impl Stage {
    /// Our role on the source is known by a user and a password in one secret; the target's URL is a parameter.
    async fn new() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut scene = Scene::new().await;
        let cloud = Cloud::start(scene.sandbox.folder()).await.unwrap();
        let proxy = Proxy::start(cloud.moto(), cloud.ministack()).await;
        let config = sdk_config(&cloud.ministack());
        let (secrets, ssm) = (aws_sdk_secretsmanager::Client::new(&config), aws_sdk_ssm::Client::new(&config));
        let mut env: std::collections::BTreeMap<String, String> = scene.env().into_iter().collect();
        let source = url::Url::parse(&env["SOURCE_URL"]).unwrap();
        let host = format!("{}:{}", source.host_str().unwrap(), source.port().unwrap());
        let put =
            ssm.put_parameter().name("/shop/target").value(&env["TARGET_URL"]).r#type(ParameterType::SecureString);
        put.send().await.unwrap();
        env.retain(|name, _| name != "SOURCE_URL" && name != "TARGET_URL");
        scene.add_env([("SOURCE_URL".into(), "unused".into()), ("TARGET_URL".into(), "unused".into())]);
        scene.add_env(Cloud::env_through(&proxy.url()));
        let stage = Self { scene, proxy, secrets, _cloud: cloud };
        stage.secrets.create_secret().name("shop/source").secret_string(json(HUSH)).send().await.unwrap();
        stage.password(HUSH).await;
        let steps = [
            "preflight",
            "replicate: { from: source, to: target, timeout: 2m }",
            DOOR,
            "wait: { gates: [lag], timeout: 1m }",
            WINDOW,
        ];
        stage.scene.write(&steps);
        let text = std::fs::read_to_string(&stage.scene.runbook).unwrap();
        let reference = "postgresql://${aws-secret:shop/source#user}:${aws-secret:shop/source#password}@";
        let text = text.replacen("${env:SOURCE_URL}", &format!("{reference}{host}/{DATABASE}"), 1);
        std::fs::write(&stage.scene.runbook, text.replacen("${env:TARGET_URL}", "${ssm:/shop/target}", 1)).unwrap();
        stage
    }

    /// Rotates the password of our role on the source.
    async fn password(&self, password: &str) {
        let source = self.scene.sandbox.source.connect(Role::Superuser).await.unwrap();
        let sql = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'secretive') THEN \
                   CREATE ROLE secretive SUPERUSER LOGIN; END IF; END $$";
        source.batch_execute(sql).await.unwrap();
        source.batch_execute(&format!("ALTER ROLE secretive PASSWORD '{password}'")).await.unwrap();
    }

    /// Everything that was written down or said.
    fn tells_nothing(&self, called: &Called) {
        let entries: Vec<String> =
            self.scene.entries().iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
        let folder = self.scene.journal.path().parent().unwrap();
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
        // By another process: closing the store's files here would give up the locks that SQLite holds on them.
        let written = std::process::Command::new("cat").args(files).output().unwrap();
        let written = String::from_utf8_lossy(&written.stdout).into_owned();
        assert!(written.contains("aws-secret:shop/source"), "the references are looked for where they are");
        let encoded = |text: &str| text.replace('@', "%40").replace('/', "%2F").replace('#', "%23").replace(' ', "%20");
        for said in entries.iter().chain([&written, &called.out, &called.err]) {
            for value in [HUSH, LATER, &encoded(HUSH), &encoded(LATER)] {
                assert!(!said.contains(value), "{value} stands in {said}");
            }
        }
    }
}

fn json(password: &str) -> String {
    serde_json::json!({ "user": "secretive", "password": password }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cutover_reads_its_secrets_from_aws_and_follows_their_rotation() {
    let stage = Stage::new().await;
    let (scene, runbook) = (&stage.scene, stage.scene.runbook.to_str().unwrap());
    let checked = scene.must(0, &["check", runbook]).await;
    let planned = scene.must(0, &["plan", runbook]).await;
    assert!(planned.says(r#"GetSecretValue {"SecretId":"shop/source","VersionStage":"AWSCURRENT"}"#), "{planned:?}");
    assert!(planned.says(r#"GetParameter {"Name":"/shop/target","WithDecryption":true}"#), "{planned:?}");
    assert!(!checked.says(HUSH) && !planned.says(HUSH));
    let policy = scene.must(0, &["iam-policy", runbook]).await;
    assert!(policy.says("secretsmanager:GetSecretValue") && policy.says("secret:shop/source-??????"), "{policy:?}");
    assert!(policy.says("parameter/shop/target") && policy.says("kms:Decrypt"), "{policy:?}");
    assert!(stage.proxy.writes().is_empty(), "references are only read: {:?}", stage.proxy.writes());

    scene.run(4).await;
    // It is held at the door; meanwhile the password is rotated, and the run's credentials end.
    stage.password(LATER).await;
    stage.secrets.put_secret_value().secret_id("shop/source").secret_string(json(LATER)).send().await.unwrap();
    scene.open_door();
    stage.proxy.plant(at(SECRETS, "GetSecretValue"), Fault::Expired);
    let held = scene.must(4, &["resume", "--output", "json"]).await;
    let why = scene.state().hold.unwrap();
    assert!(why.contains("ExpiredToken") && why.contains("resume"), "{why}\n{}", scene.story());
    stage.tells_nothing(&held);
    stage.proxy.heal();
    let called = scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!(scene.state().writer, Side::Target, "{}", scene.story());
    stage.tells_nothing(&called);
    let report = scene.must(0, &["report", &scene.id()]).await;
    stage.tells_nothing(&report);
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(scene.state().writer, Side::Source, "{}", scene.story());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_denied_is_a_finding_that_says_what_to_do() {
    let stage = Stage::new().await;
    let runbook = stage.scene.runbook.to_str().unwrap();
    stage.proxy.plant(at("ssm", "GetParameter"), Fault::Denied);
    let denied = stage.scene.must(3, &["check", runbook]).await;
    assert!(denied.says("ssm:/shop/target") && denied.says("iam-policy"), "{denied:?}");
    stage.proxy.heal();
    stage.secrets.delete_secret().secret_id("shop/source").force_delete_without_recovery(true).send().await.unwrap();
    let missing = stage.scene.must(3, &["check", runbook]).await;
    assert!(missing.says("aws-secret:shop/source#password") && missing.says("correct its name"), "{missing:?}");
    stage.secrets.create_secret().name("shop/source").secret_string(r#"{"user":"hush"}"#).send().await.unwrap();
    let lacks = stage.scene.must(3, &["check", runbook]).await;
    assert!(lacks.says("has no key `password`") && !lacks.says("hush"), "{lacks:?}");
    assert_eq!(stage.scene.call(&stage.scene.run_words()).await.code, 1, "nothing is begun");
    assert!(stage.scene.journal.runs().unwrap().is_empty());
}

/// The executor hangs inside the window, AWS answers nobody, the secret is another one by now, and the guard's connections
/// are gone: it opens them again with what it read before, and leads out within the budget.
#[tokio::test(flavor = "multi_thread")]
async fn while_writes_wait_nobody_waits_for_aws() {
    let stage = Stage::new().await;
    let scene = &stage.scene;
    scene.open_door();
    let mut command = scene.command(&scene.run_words());
    let run = command.env(halt::STOP_AT, "done:drain").spawn().unwrap();
    let stopped = pid(&run);
    until("it stops itself", || process_state(stopped) == Some('T') || !lives(stopped)).await;
    stage.proxy.forget();
    stage.proxy.plant(at(SECRETS, "*"), Fault::HangsBefore);
    stage.proxy.plant(at("ssm", "*"), Fault::HangsBefore);
    let source = scene.sandbox.source.connect(Role::Superuser).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'secretive' AND \
               backend_type = 'client backend'";
    assert!(!source.query(cut, &[]).await.unwrap().is_empty());
    let led = |event: &Event| matches!(event, Event::Held { reason } if reason.contains("the executor hung"));
    scene.until("the guard has led it out", led).await;
    assert_eq!(scene.state().writer, Side::Source, "{}", scene.story());
    assert!(scene.state().passage.is_none(), "{}", scene.story());
    assert_eq!(stage.proxy.count(SECRETS, "GetSecretValue"), 0, "{}", scene.story());
    signal(stopped, Signal::CONT);
    let woken = ended(run).await;
    stage.tells_nothing(&woken);
    stage.proxy.heal();
    scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!(scene.state().writer, Side::Target, "{}", scene.story());
}
