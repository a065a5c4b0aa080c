//! Endpoints that only say where the database is, and one-off tasks: led there and back, with everything that can happen
//! to a call on the way. Services and tasks of ECS rest on the overlay, which is our belief about AWS; task definitions
//! are moto's, all else is MiniStack's.

use std::sync::Arc;

use aws_sdk_ecs::types::{ContainerDefinition, KeyValuePair};
use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType};
use aws_sdk_servicediscovery as discovery;
use pointsman::{
    journal::{Event, Outcome, halt},
    sandbox::aws::{NewBalancer, sdk_config},
};

use super::{
    overlay::ecs::{Ecs, Fate, Rollout},
    proxy::{Fault, at},
    support::Scene,
};
use crate::cutover::support::{KILLED, ended};

const HUSH: &str = "hush-hush-hush";
const SECRET: &str = "{ \"password\": \"hush-hush-hush\",\n  \"host\":\"old.internal\", \"port\": 5432 }\n";
const PARAMETER: &str = "postgresql://app:hush-hush-hush@old.internal:5432/shop";

/// A secret, a parameter and a record, and what the runbook says of them.
struct Told {
    scene: Scene,
    zone: String,
    /// Version of the secret before.
    version: String,
}

/// What stands in the three.
#[derive(Debug, PartialEq)]
struct Says {
    secret: String,
    parameter: String,
    record: String,
}

fn before() -> Says {
    Says { secret: SECRET.into(), parameter: PARAMETER.into(), record: "old.internal".into() }
}

fn after() -> Says {
    let moved = |text: &str| text.replace("old.internal", "new.internal").replace("5432", "6432");
    Says { secret: moved(SECRET), parameter: moved(PARAMETER), record: "new.internal".into() }
}

fn set(value: &str) -> ResourceRecordSet {
    let record = ResourceRecord::builder().value(value).build().unwrap();
    let set = ResourceRecordSet::builder().name("db.example.com").r#type(RrType::Cname).ttl(1);
    set.resource_records(record).build().unwrap()
}

impl Told {
    async fn new() -> Self {
        let scene = Scene::new(NewBalancer::default()).await;
        let direct = scene.direct();
        let secret = direct.secrets.create_secret().name("shop/database").secret_string(SECRET).send().await.unwrap();
        let put = direct.ssm.put_parameter().name("/shop/url").value(PARAMETER);
        put.r#type(aws_sdk_ssm::types::ParameterType::SecureString).send().await.unwrap();
        let zone =
            direct.route53.create_hosted_zone().name("example.com").caller_reference("one").send().await.unwrap();
        let zone = zone.hosted_zone.unwrap().id.replace("/hostedzone/", "");
        let told = Self { scene, zone, version: secret.version_id.unwrap() };
        told.set_record(ChangeAction::Create, "old.internal").await;
        let runbook = format!(
            "version: 1\nname: told\nstage: rehearsal\nsystems:\n\
             \x20 secret: {{ secrets-manager: {{ secret: shop/database, keys: {{ host: host, port: port }}, \
             from: \"old.internal:5432\", to: \"new.internal:6432\" }} }}\n\
             \x20 parameter: {{ ssm-parameter: {{ parameter: /shop/url, text: url, \
             from: \"old.internal:5432\", to: \"new.internal:6432\" }} }}\n\
             \x20 dns: {{ route53: {{ zone: {}, record: db.example.com, from: old.internal, to: new.internal }} }}\n\
             steps:\n  - switch: {{ endpoints: [secret, parameter, dns] }}\n",
            told.zone
        );
        told.scene.write(&runbook);
        told
    }

    async fn set_record(&self, action: ChangeAction, value: &str) {
        let change = Change::builder().action(action).resource_record_set(set(value)).build().unwrap();
        let batch = ChangeBatch::builder().changes(change).build().unwrap();
        let route53 = self.scene.direct().route53;
        route53.change_resource_record_sets().hosted_zone_id(&self.zone).change_batch(batch).send().await.unwrap();
    }

    async fn says(&self) -> Says {
        let direct = self.scene.direct();
        let secret = direct.secrets.get_secret_value().secret_id("shop/database").version_stage("AWSCURRENT");
        let parameter = direct.ssm.get_parameter().name("/shop/url").with_decryption(true).send().await.unwrap();
        let parameter = parameter.parameter.unwrap();
        assert_eq!(parameter.r#type.unwrap().as_str(), "SecureString");
        let sets = direct.route53.list_resource_record_sets().hosted_zone_id(&self.zone).send().await.unwrap();
        let ours = sets.resource_record_sets.into_iter().find(|set| set.r#type == RrType::Cname).unwrap();
        assert_eq!(ours.ttl, Some(1), "the TTL stays");
        Says {
            secret: secret.send().await.unwrap().secret_string.unwrap(),
            parameter: parameter.value.unwrap(),
            record: ours.resource_records()[0].value().to_owned(),
        }
    }

    async fn is_led(&self) {
        assert_eq!(self.says().await, after(), "{}", self.scene.story());
    }

    /// Going back gives everything back, and the secret its former version.
    async fn goes_back(&self) {
        self.scene.must(5, &["rollback", "--output", "json"]).await;
        assert_eq!(self.says().await, before(), "{}", self.scene.story());
        let secrets = self.scene.direct().secrets;
        let now = secrets.get_secret_value().secret_id("shop/database").version_stage("AWSCURRENT").send().await;
        assert_eq!(now.unwrap().version_id.unwrap(), self.version, "{}", self.scene.story());
        self.tells_no_secret();
    }

    /// Neither the journal nor what the run said has a value in it.
    fn tells_no_secret(&self) {
        for entry in self.scene.entries() {
            let text = serde_json::to_string(&entry).unwrap();
            assert!(!text.contains(HUSH), "{text}");
        }
    }
}

/// A run that was killed goes on; one that was killed behind its last entry has ended.
async fn goes_on(scene: &Scene, code: i32) {
    if scene.state().outcome.is_none() {
        scene.must(code, &["resume", "--output", "json"]).await;
    }
}

/// A rollback that was killed is said again, where it had not ended.
async fn goes_back_again(scene: &Scene) {
    if !matches!(scene.state().outcome, Some((Outcome::RolledBack, _))) {
        scene.must(5, &["rollback", "--output", "json"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_a_parameter_and_a_record_are_led_there_and_back() {
    let told = Told::new().await;
    for words in ["check", "plan"] {
        let called = told.scene.must(0, &[words, told.scene.runbook.to_str().unwrap()]).await;
        assert!(!format!("{called:?}").contains(HUSH));
    }
    assert!(told.scene.proxy.writes().is_empty(), "check and plan change nothing: {:?}", told.scene.proxy.writes());
    let called = told.scene.run(0).await;
    assert!(!format!("{called:?}").contains(HUSH));
    told.is_led().await;
    told.goes_back().await;
}

/// An answer that was lost after the call took effect, everywhere at once, is read back.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_are_read_back() {
    let told = Told::new().await;
    let lose = || {
        told.scene.proxy.plant(at("secretsmanager", "PutSecretValue").only(1), Fault::ClosedAfter);
        told.scene.proxy.plant(at("secretsmanager", "UpdateSecretVersionStage").only(1), Fault::ErrorAfter(503));
        told.scene.proxy.plant(at("ssm", "PutParameter").only(1), Fault::HalfReply);
    };
    lose();
    // Its id is lost, too, so that the time is waited for which AWS names.
    told.scene.proxy.plant(at("route53", "ChangeResourceRecordSets").only(1), Fault::ClosedAfter);
    told.scene.run(0).await;
    told.is_led().await;
    assert_eq!(told.scene.proxy.count("secretsmanager", "UpdateSecretVersionStage"), 1);
    assert_eq!(told.scene.proxy.count("ssm", "PutParameter"), 1);
    assert_eq!(told.scene.proxy.count("route53", "ChangeResourceRecordSets"), 1);
    told.scene.proxy.heal();
    lose();
    told.goes_back().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_throttled_or_never_arrives_is_sent_again() {
    let told = Told::new().await;
    for service in ["secretsmanager", "ssm", "route53"] {
        told.scene.proxy.plant(at(service, "*").only(2), Fault::Throttled);
        told.scene.proxy.plant(at(service, "*").only(4), Fault::ClosedBefore);
    }
    let busy = Fault::Refused(400, "PriorRequestNotComplete", "The request was rejected because another is under way.");
    told.scene.proxy.plant(at("route53", "ChangeResourceRecordSets").only(1), busy);
    told.scene.run(0).await;
    told.is_led().await;
    told.goes_back().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_expire_hold_the_run_and_it_goes_on() {
    let told = Told::new().await;
    told.scene.proxy.plant(at("ssm", "*"), Fault::Expired);
    told.scene.run(4).await;
    let held = told.scene.held();
    assert!(held.contains("ExpiredToken"), "{held}");
    assert!(told.says().await.secret.contains("new.internal"), "what was done stays");
    told.scene.proxy.heal();
    told.scene.must(0, &["resume", "--output", "json"]).await;
    told.is_led().await;
    // A permission is missing on the way back: it is stuck there, and goes on.
    told.scene.proxy.plant(at("route53", "ChangeResourceRecordSets"), Fault::Denied);
    told.scene.must(6, &["rollback", "--output", "json"]).await;
    told.scene.proxy.heal();
    told.scene.must(5, &["resume", "--output", "json"]).await;
    assert_eq!(told.says().await, before(), "{}", told.scene.story());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_names_what_a_run_asks_for() {
    let told = Told::new().await;
    let printed = told.scene.must(0, &["iam-policy", told.scene.runbook.to_str().unwrap()]).await.out;
    told.scene.run(0).await;
    let asked: std::collections::BTreeSet<String> =
        told.scene.proxy.names().iter().map(|name| name.replace(' ', ":")).collect();
    for action in asked {
        assert!(printed.contains(&format!("\"{action}\"")), "{action} is not in {printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_changed_is_left_alone() {
    let told = Told::new().await;
    told.set_record(ChangeAction::Upsert, "third.internal").await;
    let checked = told.scene.must(3, &["check", told.scene.runbook.to_str().unwrap()]).await;
    assert!(checked.out.contains("it says third.internal"), "{checked:?}");
    told.scene.run(4).await;
    let held = told.scene.held();
    assert!(held.contains("dns leads to neither side") && held.contains("third.internal"), "{held}");
    assert_eq!(told.says().await.record, "third.internal");
    told.set_record(ChangeAction::Upsert, "old.internal").await;

    // Somebody comes between the look and the write: Route 53 itself refuses.
    let stop = told.scene.proxy.stop_before(at("route53", "ChangeResourceRecordSets").only(1));
    let resumed = told.scene.command(&["resume", "--output", "json"]).spawn().unwrap();
    stop.reached().await;
    told.set_record(ChangeAction::Upsert, "fourth.internal").await;
    stop.release();
    assert_eq!(ended(resumed).await.code, 4, "{}", told.scene.story());
    assert_eq!(told.says().await.record, "fourth.internal", "it was not overwritten");
    told.set_record(ChangeAction::Upsert, "old.internal").await;
    told.scene.must(0, &["resume", "--output", "json"]).await;
    told.is_led().await;
    told.goes_back().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_somebody_writes_meanwhile_is_not_lost() {
    let told = Told::new().await;
    let stop = told.scene.proxy.stop_before(at("secretsmanager", "UpdateSecretVersionStage").only(1));
    let run = told.scene.start();
    stop.reached().await;
    let other = SECRET.replace(HUSH, "rotated");
    let secrets = told.scene.direct().secrets;
    secrets.put_secret_value().secret_id("shop/database").secret_string(&other).send().await.unwrap();
    stop.release();
    ended(run).await;
    // Whether it was tried again from the rotated one or held: the rotated password is what stands there.
    let now = told.says().await.secret;
    assert!(now.contains("rotated"), "the rotation was overwritten: {now}\n{}", told.scene.story());
    if now.contains("old.internal") {
        told.scene.must(0, &["resume", "--output", "json"]).await;
    }
    assert_eq!(told.says().await.secret, other.replace("old.internal", "new.internal").replace("5432", "6432"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_anywhere_goes_on_and_back() {
    let told = Told::new().await;
    for seq in 1.. {
        let run = told.scene.command(&told.scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(run).await.code;
        if code != 0 {
            assert_eq!(code, KILLED, "{}", told.scene.story());
            goes_on(&told.scene, 0).await;
        }
        told.is_led().await;
        let last = told.scene.state().seq;
        let back = ["rollback", "--output", "json"];
        let back = told.scene.command(&back).env(halt::KILL_AT, (last + seq).to_string()).spawn().unwrap();
        match ended(back).await.code {
            5 => {}
            KILLED => goes_back_again(&told.scene).await,
            code => panic!("{code}\n{}", told.scene.story()),
        }
        assert_eq!(told.says().await, before(), "killed at {seq}\n{}", told.scene.story());
        told.tells_no_secret();
        if code == 0 {
            assert!(seq > 12, "a run has more entries than {seq}\n{}", told.scene.story());
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ttl_that_was_not_lowered_is_refused() {
    let told = Told::new().await;
    let text = std::fs::read_to_string(&told.scene.runbook).unwrap();
    let late = pointsman::clock::now().to_string();
    let lowered = format!("to: new.internal, lowered: {{ at: \"{late}\", from: 1h }} }} }}");
    told.scene.write(&text.replace("to: new.internal } }", &lowered));
    let checked = told.scene.must(3, &["check", told.scene.runbook.to_str().unwrap()]).await;
    assert!(checked.out.contains("dns-ttl"), "{checked:?}");
    told.scene.run(4).await;
    assert!(told.scene.held().contains("lowered too late"), "{}", told.scene.held());
    assert_eq!(told.says().await.record, "old.internal");
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_move_whole_and_an_instance_is_registered_anew() {
    let scene = Scene::new(NewBalancer::default()).await;
    let (direct, config) = (scene.direct(), sdk_config(&scene.sandbox.cloud.ministack()));
    let zone = direct.route53.create_hosted_zone().name("example.com").caller_reference("one").send().await.unwrap();
    let zone = zone.hosted_zone.unwrap().id.replace("/hostedzone/", "");
    for (name, weight) in [("blue", 200), ("green", 0)] {
        let mut weighted = set(&format!("{name}.internal"));
        (weighted.set_identifier, weighted.weight) = (Some(name.into()), Some(weight));
        let change = Change::builder().action(ChangeAction::Create).resource_record_set(weighted).build().unwrap();
        let batch = ChangeBatch::builder().changes(change).build().unwrap();
        direct.route53.change_resource_record_sets().hosted_zone_id(&zone).change_batch(batch).send().await.unwrap();
    }
    let map = discovery::Client::new(&config);
    let space = map.create_http_namespace().name("shop").creator_request_id("a").send().await.unwrap();
    let operation = map.get_operation().operation_id(space.operation_id.unwrap()).send().await.unwrap();
    let targets = operation.operation.unwrap().targets.unwrap();
    let space = targets.values().next().unwrap();
    let service =
        map.create_service().name("db").namespace_id(space).send().await.unwrap().service.unwrap().id.unwrap();
    let register = map.register_instance().service_id(&service).instance_id("main").creator_request_id("b");
    let register = register.attributes("AWS_INSTANCE_IPV4", "10.0.0.1").attributes("AWS_INSTANCE_PORT", "5432");
    register.attributes("zone", "a").send().await.unwrap();
    scene.write(&format!(
        "version: 1\nname: told\nstage: rehearsal\nsystems:\n\
         \x20 dns: {{ route53: {{ zone: {zone}, record: db.example.com, weighted: {{ from: blue, to: green }} }} }}\n\
         \x20 map: {{ cloud-map: {{ service: {service}, instance: main, from: \"10.0.0.1:5432\", to: \"10.0.0.2:6432\", \
         attributes: {{ AWS_INSTANCE_IPV4: host, AWS_INSTANCE_PORT: port }} }} }}\n\
         steps:\n  - switch: {{ endpoints: [dns, map] }}\n"
    ));
    let weights = async || {
        let sets = direct.route53.list_resource_record_sets().hosted_zone_id(&zone).send().await.unwrap();
        let mut found: Vec<(String, i64)> =
            sets.resource_record_sets.into_iter().filter_map(|set| Some((set.set_identifier?, set.weight?))).collect();
        found.sort();
        found
    };
    let instance = async || {
        let found = map.get_instance().service_id(&service).instance_id("main").send().await.unwrap();
        let attributes = found.instance.unwrap().attributes.unwrap();
        ["AWS_INSTANCE_IPV4", "AWS_INSTANCE_PORT", "zone"].map(|key| attributes.get(key).cloned().unwrap_or_default())
    };
    scene.proxy.plant(at("servicediscovery", "RegisterInstance").only(1), Fault::ClosedAfter);
    scene.run(0).await;
    assert_eq!(weights().await, [("blue".into(), 0), ("green".into(), 200)]);
    assert_eq!(instance().await, ["10.0.0.2", "6432", "a"]);
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(weights().await, [("blue".into(), 200), ("green".into(), 0)]);
    assert_eq!(instance().await, ["10.0.0.1", "5432", "a"]);
}

/// A service with a task definition in moto, and a runbook that gives it another host.
async fn service() -> (Scene, Arc<Ecs>, String) {
    let scene = Scene::new(NewBalancer::default()).await;
    let host = KeyValuePair::builder().name("DB_HOST").value("old.internal").build();
    let container = ContainerDefinition::builder().name("app").image("app:1").memory(128).environment(host).build();
    let register = scene.direct().ecs.register_task_definition().family("web").container_definitions(container);
    let revision = register.send().await.unwrap().task_definition.unwrap().task_definition_arn.unwrap();
    let ecs = Arc::new(Ecs::new("shop", "web", &revision, 2));
    scene.proxy.overlay(ecs.clone());
    scene.write(
        "version: 1\nname: rolled\nstage: rehearsal\nsystems:\n\
         \x20 app: { ecs: { cluster: shop, service: web, timeout: 60s, set: { container: app, name: DB_HOST, part: host, \
         from: \"old.internal:5432\", to: \"new.internal:5432\" } } }\n\
         \x20 again: { ecs: { cluster: shop, service: web, timeout: 60s } }\n\
         steps:\n  - switch: { endpoints: [app] }\n",
    );
    (scene, ecs, revision)
}

async fn host(scene: &Scene, ecs: &Ecs) -> String {
    let found = scene.direct().ecs.describe_task_definition().task_definition(ecs.revision()).send().await.unwrap();
    let definition = found.task_definition.unwrap();
    definition.container_definitions()[0].environment()[0].value().unwrap().to_owned()
}

async fn revisions(scene: &Scene) -> usize {
    scene.direct().ecs.list_task_definitions().family_prefix("web").send().await.unwrap().task_definition_arns().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_rolled_there_and_back_to_its_former_revision() {
    let (scene, ecs, first) = service().await;
    scene.proxy.plant(at("ecs", "RegisterTaskDefinition").only(1), Fault::ClosedAfter);
    scene.proxy.plant(at("ecs", "UpdateService").only(1), Fault::ClosedAfter);
    scene.run(0).await;
    assert_eq!(host(&scene, &ecs).await, "new.internal");
    assert_eq!(revisions(&scene).await, 2, "a revision whose answer was lost is used");
    assert_eq!(scene.proxy.count("ecs", "UpdateService"), 1);
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(ecs.revision(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_ecs_takes_back_is_told() {
    let (scene, ecs, first) = service().await;
    ecs.rolls(Rollout::Breaks);
    scene.run(4).await;
    let held = scene.held();
    assert!(held.contains("ECS has rolled it back") && held.contains("failed to start"), "{held}");
    assert_eq!(ecs.revision(), first);
    ecs.rolls(Rollout::Completes);
    scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!(host(&scene, &ecs).await, "new.internal");
    assert_eq!(revisions(&scene).await, 2, "the revision was registered before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_deployed_anew_once_whatever_kills_the_run() {
    let (scene, ecs, first) = service().await;
    let text = std::fs::read_to_string(&scene.runbook).unwrap();
    scene.write(&text.replace("endpoints: [app]", "endpoints: [again]"));
    for seq in 1_usize.. {
        scene.proxy.forget();
        let run = scene.command(&scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(run).await.code;
        if code != 0 {
            assert_eq!(code, KILLED, "{}", scene.story());
            goes_on(&scene, 0).await;
        }
        assert_eq!(scene.proxy.count("ecs", "UpdateService"), 1, "killed at {seq}\n{}", scene.story());
        assert_eq!(ecs.revision(), first, "as it is");
        if code == 0 {
            assert!(seq > 6, "a run has more entries than {seq}");
            scene.must(5, &["rollback", "--output", "json"]).await;
            assert_eq!(scene.proxy.count("ecs", "UpdateService"), 2, "its tasks read again where to go");
            return;
        }
    }
}

const TASK: &str = "version: 1\nname: tasks\nstage: rehearsal\nsystems:\n\
    \x20 app: { ecs: { cluster: shop, service: web } }\n\
    steps:\n  - run-task: { name: migrate, cluster: app, command: [migrate, up], undo: { run: [migrate, down] } }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_once_whatever_kills_the_run() {
    let (scene, ecs, _) = service().await;
    scene.write(TASK);
    for seq in 1.. {
        let (before, last) = (ecs.started(), seq);
        let run = scene.command(&scene.run_words()).env(halt::KILL_AT, last.to_string()).spawn().unwrap();
        let code = ended(run).await.code;
        if code != 0 {
            assert_eq!(code, KILLED, "{}", scene.story());
            goes_on(&scene, 0).await;
        }
        assert_eq!(ecs.started(), before + 1, "killed at {seq}\n{}", scene.story());
        if code == 0 {
            scene.must(5, &["rollback", "--output", "json"]).await;
            assert_eq!(ecs.started(), before + 2, "the undo is a task, too");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_answer_is_lost_is_found_again() {
    let (scene, ecs, _) = service().await;
    scene.write(TASK);
    scene.proxy.plant(at("ecs", "RunTask").only(1), Fault::ClosedAfter);
    scene.run(0).await;
    assert_eq!(ecs.started(), 1, "{}", scene.story());
    assert_eq!(scene.proxy.count("ecs", "RunTask"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_ends_badly_holds_and_is_run_anew() {
    let (scene, ecs, _) = service().await;
    scene.write(TASK);
    for (fate, words) in [
        (Fate::Exits(3), "ended with exit code 3"),
        (Fate::NeverStarts, "without an exit code (TaskFailedToStart)"),
        (Fate::NotPlaced, "RESOURCE:CPU"),
    ] {
        ecs.runs(fate);
        scene.run(4).await;
        assert!(scene.held().contains(words), "{}", scene.held());
        let before = ecs.started();
        ecs.runs(Fate::Exits(0));
        scene.must(0, &["resume", "--output", "json"]).await;
        assert_eq!(ecs.started(), before + 1, "{words}");
        let noted = |event: &Event| matches!(event, Event::Noted { note, .. } if note.get("apply-task").is_some());
        assert!(scene.entries().iter().any(|entry| noted(&entry.event)));
    }
}
