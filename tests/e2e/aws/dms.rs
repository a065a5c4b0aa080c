//! Whole cutovers of PostgreSQL through DMS, under load. The control plane is an overlay, which is our belief about AWS;
//! the rows are carried for real, by `test_decoding` and with DMS's own logins, so that a fence, a right that is missing, a
//! circle or a token that comes too early shows.

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use pointsman::{
    executor::state::Side as Writer,
    journal::{Event, Outcome, halt},
    sandbox::{
        Role,
        aws::{Cloud, sdk_config},
        history::Side,
    },
};
use serde_json::json;

use super::{
    overlay::dms::Dms,
    proxy::{Fault, Proxy, at},
};
use crate::cutover::support::{DOOR, KILLED, Load, Scene, ended, summary, until};

/// Transactions a second.
const RATE: f64 = 150.0;
const SECRET: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dms-AbCdEf";
const PASSWORD: &str = "dms-has-a-word";

const REPLICATE: &str = "replicate: { from: source, to: target, through: dms, timeout: 3m, dms: { instance: carrier, \
     source: { role: dms, url: \"${env:DMS_SOURCE_URL}\", tls: none }, \
     target: { role: dms, url: \"${env:DMS_TARGET_URL}\", tls: none } } }";
const WINDOW: &str = "window: { budget: 20s, gates: [lag], steps: [{ freeze: { database: source, through: [pool] } }, \
     drain: {}, sequences: {}, { promote: { keep-way-back: true } }, { switch: { endpoints: [pool] } }] }";

struct Stage {
    scene: Scene,
    dms: Dms,
    /// What DMS has before a run, and after its way back.
    left: Vec<String>,
    proxy: Proxy,
    cloud: Cloud,
}

impl Stage {
    async fn new() -> Self {
        Self::with(Dms::with_instance("orders-dms"), "instance: orders-dms").await
    }

    async fn with(dms: Dms, instance: &str) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut scene = Scene::new().await;
        let cloud = Cloud::start(scene.sandbox.folder()).await.unwrap();
        let proxy = Proxy::start(cloud.moto(), cloud.ministack()).await;
        proxy.overlay(std::sync::Arc::new(dms.clone()));
        scene.add_env(Cloud::env_through(&proxy.url()));
        let (source, target) = (&scene.sandbox.source, &scene.sandbox.target);
        let (here, there) =
            (source.connect(Role::Superuser).await.unwrap(), target.connect(Role::Superuser).await.unwrap());
        let role = format!("CREATE ROLE dms LOGIN REPLICATION PASSWORD '{PASSWORD}'");
        here.batch_execute(&format!("{role}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO dms")).await.unwrap();
        there.batch_execute(&format!("{role}; GRANT SET ON PARAMETER session_replication_role TO dms")).await.unwrap();
        let url = |port: u16| format!("postgres://dms:{PASSWORD}@127.0.0.1:{port}/shop");
        let urls = [("DMS_SOURCE_URL", url(source.port())), ("DMS_TARGET_URL", url(target.port()))];
        scene.add_env(urls.map(|(name, url)| (name.to_owned(), url)));
        scene.settle().await;
        let left = dms.there();
        let stage = Self { scene, dms, left, proxy, cloud };
        stage.write(instance, &[REPLICATE, "wait: { gates: [lag], timeout: 1m }", WINDOW, "verify: { timeout: 2m }"]);
        stage
    }

    fn write(&self, instance: &str, steps: &[&str]) {
        let all: Vec<&str> =
            ["preflight: { accept: [dms-not-carried] }"].into_iter().chain(steps.iter().copied()).collect();
        self.scene.write(&all);
        let text = std::fs::read_to_string(&self.scene.runbook).unwrap();
        let text = text.replacen("systems:\n", &format!("systems:\n  carrier: {{ dms: {{ {instance} }} }}\n"), 1);
        let text = text.replace("max: 1MiB", "max-age: 10s");
        std::fs::write(&self.scene.runbook, text).unwrap();
    }

    async fn load(&self) -> Load {
        let load = self.scene.load(RATE);
        load.flows().await;
        load
    }

    /// Back on the source, nothing is left anywhere, and no write was lost.
    async fn all_is_as_before(&self, load: Load, when: &str) {
        load.flows().await;
        assert_eq!(self.scene.state().writer, Writer::Source, "{when}\n{}", self.scene.story());
        self.scene.assert_undone(when).await;
        assert_eq!(self.dms.there(), self.left, "{when}");
        let mut seen = load.stop().await;
        let switches = self.scene.entries().iter().filter(|entry| matches!(entry.event, Event::Passed { .. })).count();
        self.scene.audit(&mut seen, Side::Source, switches).await;
    }

    fn held(&self) -> String {
        self.scene.state().hold.unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forward_through_dms_under_load_and_back() {
    let stage = Stage::new().await;
    // In batches, where the token comes first of all, and with a login that DMS reads itself.
    let port = stage.scene.sandbox.target.port();
    stage.dms.secret(SECRET, json!({ "username": "dms", "password": PASSWORD, "host": "127.0.0.1", "port": port }));
    let login = format!("secret: \"{SECRET}\", access-role: \"arn:aws:iam::123456789012:role/dms\"");
    let replicate = REPLICATE.replace("url: \"${env:DMS_TARGET_URL}\"", &login);
    let replicate = |more: &str| replicate.replace("instance: carrier,", &format!("instance: carrier, {more},"));
    let steps = [&replicate("lob: { limited: 16B }"), "wait: { gates: [lag], timeout: 1m }", WINDOW];
    stage.write("instance: orders-dms", &steps);
    let checked = stage.scene.must(3, &["check", stage.scene.runbook.to_str().unwrap()]).await;
    assert!(
        checked.says("values are longer than DMS carries") && checked.says("accounts.settings ("),
        "{}",
        checked.out
    );
    let steps = [&replicate("batch-apply: true"), steps[1], WINDOW, "verify: { timeout: 2m }"];
    stage.write("instance: orders-dms", &steps);
    let load = stage.load().await;
    let plan = stage.scene.must(0, &["plan", stage.scene.runbook.to_str().unwrap()]).await;
    for words in ["CreateReplicationTask", "DO_NOTHING", "token_forward", "ALTER ROLE \"dms\" NOLOGIN", "remove-column"]
    {
        assert!(plan.says(words), "the plan does not say {words}: {}", plan.out);
    }
    assert!(stage.proxy.writes().is_empty(), "a plan changes nothing: {:?}", stage.proxy.names());
    stage.scene.run(0).await;
    load.flows().await;
    assert_eq!(stage.scene.state().writer, Writer::Target);
    assert!(stage.dms.applied() > 0, "nothing came through DMS behind the load\n{}", stage.scene.story());
    let task = stage.dms.there().into_iter().find(|name| name.ends_with("-task"));
    assert_eq!(task, None, "behind the switch the task is gone");
    let source = stage.scene.sandbox.source.connect(Role::Superuser).await.unwrap();
    let slots = source.query("SELECT slot_name::text FROM pg_replication_slots", &[]).await.unwrap();
    assert!(
        slots.iter().all(|row| !row.get::<_, String>(0).starts_with("dms")),
        "its slot would keep the log for ever"
    );

    stage.scene.must(5, &["rollback", "--output", "json"]).await;
    stage.all_is_as_before(load, "after a rollback").await;
    let journal = std::fs::read(stage.scene.journal.path()).unwrap();
    let wal = std::fs::read(stage.scene.journal.path().with_extension("db-wal")).unwrap_or_default();
    let holds = |bytes: &[u8]| bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
    assert!(!holds(&journal) && !holds(&wal), "a password is in the journal");
}

/// Serverless: no instance, and connections that are tested as it starts. A login that it can't use holds the run; replies
/// that are lost are settled by looking; back first as far as the load, then wholly.
#[tokio::test(flavor = "multi_thread")]
async fn serverless_forward_under_load_and_back() {
    let mut stage = Stage::with(Dms::default(), "serverless: { min-capacity: 1, max-capacity: 16 }").await;
    let runbook = stage.scene.runbook.to_str().unwrap().to_owned();
    let url =
        |password: &str| format!("postgres://dms:{password}@127.0.0.1:{}/shop", stage.scene.sandbox.target.port());
    let (right, wrong) = (url(PASSWORD), url("not-it"));
    stage.scene.add_env([("DMS_TARGET_URL".to_owned(), wrong)]);
    let load = stage.load().await;
    let plan = stage.scene.must(0, &["plan", &runbook]).await;
    for words in ["CreateReplicationConfig", "\"MaxCapacityUnits\":16", "resume-processing", "DeleteReplicationConfig"]
    {
        assert!(plan.says(words), "the plan does not say {words}: {}", plan.out);
    }
    assert!(!plan.says("ReplicationTaskArn") && !plan.says("TestConnection"), "of another way of DMS: {}", plan.out);
    stage.scene.run(4).await;
    assert!(stage.held().contains("Test connection failed") && stage.held().contains("28P01"), "{}", stage.held());
    stage.scene.add_env([("DMS_TARGET_URL".to_owned(), right)]);
    for action in ["CreateReplicationConfig", "StopReplication", "DeleteReplicationConfig"] {
        stage.proxy.plant(at("dms", action).times(1), Fault::ClosedAfter);
    }
    stage.proxy.plant(at("dms", "StartReplication").only(1), Fault::ClosedAfter);
    stage.proxy.plant(at("dms", "StartReplication").only(2), Fault::ErrorAfter(503));
    stage.proxy.plant(at("dms", "DescribeReplications").times(2), Fault::Throttled);
    stage.scene.must(0, &["retry"]).await;
    stage.scene.must(0, &["resume", "--output", "json"]).await;
    load.flows().await;
    assert_eq!(stage.scene.state().writer, Writer::Target);
    assert!(stage.dms.applied() > 0, "nothing came through DMS behind the load\n{}", stage.scene.story());
    assert_eq!(stage.dms.started(), 3, "the one that was refused, for the first time, and where it stopped");
    assert!(!stage.dms.there().iter().any(|name| name.ends_with("-task")), "{:?}", stage.dms.there());
    let policy = stage.scene.must(0, &["iam-policy", &runbook]).await.out;
    for name in stage.proxy.names().iter().filter(|name| name.starts_with("dms ")) {
        assert!(policy.contains(&format!("\"{}\"", name.replace(' ', ":"))), "{name} is not in {policy}");
    }
    stage.scene.must(5, &["rollback", "--to", "wait", "--output", "json"]).await;
    load.flows().await;
    assert_eq!(stage.scene.state().writer, Writer::Source, "{}", stage.scene.story());
    stage.scene.must(5, &["rollback", "--output", "json"]).await;
    stage.all_is_as_before(load, "after a rollback in two parts").await;
}

/// SIGKILL at some entries of a rollback behind the switch: the window back, and what is taken away behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_killed_goes_on() {
    let stage = Stage::new().await;
    for number in (4..).step_by(10) {
        let load = stage.load().await;
        stage.scene.run(0).await;
        let seq = stage.scene.state().seq + number;
        let words = ["rollback", "--output", "json"];
        let back = stage.scene.command(&words).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(back).await.code;
        if code == 5 {
            assert!(number > 20, "a rollback has more entries than {number}\n{}", stage.scene.story());
            return stage.all_is_as_before(load, "after a whole rollback").await;
        }
        assert_eq!(code, KILLED, "{}", stage.scene.story());
        let when = format!("killed at entry {seq}, {}", summary(&stage.scene.entries().last().unwrap().event));
        stage.scene.guard_gone().await;
        load.flows().await;
        if !matches!(stage.scene.state().outcome, Some((Outcome::RolledBack, _))) {
            let again = stage.scene.call(&words).await;
            assert_eq!(again.code, 5, "{when}: {again:?}\n{}", stage.scene.story());
        }
        stage.all_is_as_before(load, &when).await;
        println!("{when}");
    }
}

/// The very end, with an instance of the run's own: nothing is left in DMS.
#[tokio::test(flavor = "multi_thread")]
async fn behind_finalize_nothing_is_left_in_dms() {
    let create = "create: { class: dms.t3.medium, storage: 20GiB, subnet-group: orders }";
    let stage = Stage::with(Dms::default(), create).await;
    let end = [r#"approve: { message: "Drop the way back?" }"#, "finalize"];
    let steps = [REPLICATE, "wait: { gates: [lag], timeout: 1m }", WINDOW, "verify: { timeout: 2m }", end[0], end[1]];
    stage.write(create, &steps);
    let run = tokio::spawn(ended(stage.scene.command(&stage.scene.run_words()).spawn().unwrap()));
    stage.scene.until("it asks", |event| matches!(event, Event::Intent { of, .. } if of.step == "approve")).await;
    assert_eq!(stage.dms.there().len(), 3, "instance and endpoints: {:?}", stage.dms.there());
    stage.scene.must(0, &["approve"]).await;
    let run = run.await.unwrap();
    assert_eq!(run.code, 0, "{run:?}\n{}", stage.scene.story());
    assert_eq!(stage.dms.there(), Vec::<String>::new(), "{}", stage.scene.story());
    let target = stage.scene.sandbox.target.connect(Role::Superuser).await.unwrap();
    let logs_in = "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'dms'";
    assert!(!target.query_one(logs_in, &[]).await.unwrap().get::<_, bool>(0), "its login stays away");
    let always =
        "SELECT attidentity::text FROM pg_attribute WHERE attrelid = 'order_history'::regclass AND attname = 'id'";
    assert_eq!(target.query_one(always, &[]).await.unwrap().get::<_, String>(0), "a");
}

/// Replies that are lost, and calls that are too many: whatever DMS did is seen, and nothing is started twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_lost_is_settled_by_looking() {
    let stage = Stage::new().await;
    for action in
        ["CreateEndpoint", "TestConnection", "CreateReplicationTask", "StopReplicationTask", "DeleteReplicationTask"]
    {
        stage.proxy.plant(at("dms", action).times(1), Fault::ClosedAfter);
    }
    stage.proxy.plant(at("dms", "StartReplicationTask").only(1), Fault::ClosedAfter);
    stage.proxy.plant(at("dms", "StartReplicationTask").only(2), Fault::ErrorAfter(503));
    stage.proxy.plant(at("dms", "DescribeReplicationTasks").times(2), Fault::Throttled);
    stage.proxy.plant(at("dms", "DescribeTableStatistics").only(1), Fault::ErrorBefore(500));
    let load = stage.load().await;
    stage.scene.run(0).await;
    assert_eq!(stage.proxy.count("dms", "StartReplicationTask"), 2, "{:?}", stage.proxy.names());
    assert_eq!(stage.dms.started(), 2, "for the first time, and where it stopped");
    assert_eq!(stage.proxy.count("dms", "CreateReplicationTask"), 1);
    stage.proxy.plant(at("dms", "DeleteEndpoint").times(1), Fault::ClosedAfter);
    stage.scene.must(5, &["rollback", "--output", "json"]).await;
    stage.all_is_as_before(load, "after lost replies").await;
}

/// A login that DMS can't use, and a table that it can't load: the run holds and says so; mended, it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_dms_can_not_do_holds_the_run_until_it_is_mended() {
    let mut stage = Stage::new().await;
    let target = stage.scene.sandbox.target.connect(Role::Superuser).await.unwrap();
    target.batch_execute("ALTER ROLE dms PASSWORD 'another'").await.unwrap();
    stage.dms.fails("orders");
    let load = stage.load().await;
    stage.scene.run(4).await;
    assert!(stage.held().contains("DMS can't connect through") && stage.held().contains("28P01"), "{}", stage.held());
    let url = format!("postgres://dms:another@127.0.0.1:{}/shop", stage.scene.sandbox.target.port());
    stage.scene.add_env([("DMS_TARGET_URL".to_owned(), url)]);
    stage.scene.must(0, &["retry"]).await;
    stage.scene.must(4, &["resume", "--output", "json"]).await;
    assert!(
        stage.held().contains("DMS could not load public.orders (Table error"),
        "{}\n{}",
        stage.held(),
        stage.scene.story()
    );
    stage.scene.must(0, &["retry"]).await;
    stage.scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!(stage.scene.state().writer, Writer::Target);
    stage.scene.must(5, &["rollback", "--output", "json"]).await;
    stage.all_is_as_before(load, "after what was mended").await;
}

/// SIGKILL at every ninth entry, beginning with the third: inside and outside of the window.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_many_an_entry_nothing_is_lost() {
    let stage = Stage::new().await;
    for seq in (3..).step_by(9) {
        let load = stage.load().await;
        let run = stage.scene.command(&stage.scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(run).await.code;
        if code == 0 {
            assert!(seq > 30, "a run has more entries than {seq}\n{}", stage.scene.story());
            return;
        }
        assert_eq!(code, KILLED, "{}", stage.scene.story());
        let when = format!("killed at entry {seq}, {}", summary(&stage.scene.entries().last().unwrap().event));
        stage.scene.guard_gone().await;
        load.flows().await;
        assert!(stage.scene.state().passage.is_none(), "the window was not left\n{}", stage.scene.story());
        // Killed behind its last entry it has ended, and has nothing to be resumed.
        if stage.scene.state().outcome.is_none() {
            let goes_on = stage.scene.call(&["resume", "--output", "json"]).await;
            assert!(matches!(goes_on.code, 0 | 5), "{when}: {goes_on:?}\n{}", stage.scene.story());
        }
        if !matches!(stage.scene.state().outcome, Some((Outcome::RolledBack, _))) {
            stage.scene.must(5, &["rollback", "--output", "json"]).await;
        }
        stage.all_is_as_before(load, &when).await;
        println!("{when}");
    }
}

/// Rests on the emulator for CloudWatch. A latency that it knows closes the gate, however young the token is.
#[tokio::test(flavor = "multi_thread")]
async fn a_latency_that_cloudwatch_knows_closes_the_gate() {
    let stage = Stage::new().await;
    // The overlay numbers what it makes: an instance, two endpoints, the task.
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let datum = MetricDatum::builder()
        .metric_name("CDCLatencyTarget")
        .dimensions(dimension("ReplicationInstanceIdentifier", "orders-dms"))
        .dimensions(dimension("ReplicationTaskIdentifier", "X000000004"))
        .value(450.0)
        .build();
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&sdk_config(&stage.cloud.ministack()));
    cloudwatch.put_metric_data().namespace("AWS/DMS").metric_data(datum).send().await.unwrap();
    stage.write("instance: orders-dms", &[REPLICATE, "wait: { gates: [lag], timeout: 8s }"]);
    stage.scene.run(4).await;
    assert!(stage.held().contains("450 s old"), "{}", stage.held());
    stage.scene.must(5, &["rollback", "--output", "json"]).await;
}

/// What DMS finds different is told by name, and mended it is validated.
#[tokio::test(flavor = "multi_thread")]
async fn a_difference_that_dms_finds_closes_the_gate() {
    let stage = Stage::new().await;
    stage.write("instance: orders-dms", &[REPLICATE, DOOR, "wait: { gates: [validated], timeout: 20s }"]);
    let text = std::fs::read_to_string(&stage.scene.runbook).unwrap();
    let gate = "gates:\n  validated: { dms-validation: { interval: 300ms } }\n";
    let text = text.replacen("gates:\n", gate, 1);
    // Nothing waits for the lag here, and a gate that nobody waits for is only warned about.
    std::fs::write(&stage.scene.runbook, text).unwrap();
    stage.scene.run(4).await;
    let target = stage.scene.sandbox.target.connect(Role::Superuser).await.unwrap();
    target.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    let change = |rating: &str| format!("UPDATE accounts SET rating = {rating} WHERE id = 7");
    let rating = "SELECT coalesce(rating::text, 'NULL') FROM accounts WHERE id = 7";
    let before: String = target.query_one(rating, &[]).await.unwrap().get(0);
    target.batch_execute(&change("-1")).await.unwrap();
    until("DMS has looked", || stage.dms.validation("accounts") != "Validated").await;
    stage.scene.open_door();
    stage.scene.must(4, &["resume", "--output", "json"]).await;
    assert!(stage.held().contains("public.accounts"), "{}", stage.held());
    target.batch_execute(&change(&before)).await.unwrap();
    stage.scene.must(0, &["continue"]).await;
    stage.scene.must(0, &["resume", "--output", "json"]).await;
    stage.scene.must(5, &["rollback", "--output", "json"]).await;
}
