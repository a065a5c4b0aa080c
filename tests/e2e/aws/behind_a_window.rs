//! A whole cutover of PostgreSQL with endpoints of AWS around it: the schema is migrated first, by one actor at a time;
//! the pooler is switched inside the window; a secret is led from the pooler to the target behind it; and all goes back.

use std::sync::Arc;

use pointsman::{
    executor::state::Side,
    journal::Event,
    sandbox::{
        Role,
        aws::{Cloud, sdk_config},
        connect,
    },
};

use super::{
    overlay::ecs::{Ecs, Fate},
    proxy::Proxy,
};
use crate::cutover::support::{Scene, WINDOW};

const LOCK: &str = "SELECT pg_try_advisory_lock(31647696006968173)";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_follows_the_window_and_goes_back_before_it() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut scene = Scene::new().await;
    let cloud = Cloud::start(scene.sandbox.folder()).await.unwrap();
    let proxy = Proxy::start(cloud.moto(), cloud.ministack()).await;
    let container = aws_sdk_ecs::types::ContainerDefinition::builder().name("app").image("app:1").memory(128).build();
    let moto = aws_sdk_ecs::Client::new(&sdk_config(&cloud.moto()));
    let register = moto.register_task_definition().family("web").container_definitions(container).send().await.unwrap();
    let revision = register.task_definition.unwrap().task_definition_arn.unwrap();
    let ecs = Arc::new(Ecs::new("shop", "web", &revision, 1));
    proxy.overlay(ecs.clone());
    scene.add_env(Cloud::env_through(&proxy.url()));
    let pooler = format!("127.0.0.1:{}", scene.sandbox.pgbouncers[0].port());
    let before =
        format!("{{\"host\": \"127.0.0.1\", \"port\": {}, \"password\": \"x\"}}", scene.sandbox.pgbouncers[0].port());
    let secrets = aws_sdk_secretsmanager::Client::new(&sdk_config(&cloud.ministack()));
    secrets.create_secret().name("shop").secret_string(&before).send().await.unwrap();
    let steps = [
        "run-task: { name: migrate, cluster: app, database: source, undo: nothing }",
        "preflight",
        "replicate: { from: source, to: target, timeout: 2m }",
        "wait: { gates: [lag], timeout: 1m }",
        WINDOW,
        "switch: { name: follow, endpoints: [secret] }",
    ];
    scene.write(&steps);
    let systems = format!(
        "systems:\n  app: {{ ecs: {{ cluster: shop, service: web }} }}\n  secret: {{ secrets-manager: {{ secret: shop, \
         keys: {{ host: host, port: port }}, from: \"{pooler}\" }} }}\n"
    );
    let text = std::fs::read_to_string(&scene.runbook).unwrap();
    std::fs::write(&scene.runbook, text.replacen("systems:\n", &systems, 1)).unwrap();
    let says = async || {
        let read = secrets.get_secret_value().secret_id("shop").version_stage("AWSCURRENT").send().await.unwrap();
        read.secret_string.unwrap()
    };

    // Somebody else migrates: nothing is started.
    let other = connect(&scene.sandbox.source.url(Role::App, "shop")).await.unwrap();
    assert!(other.query_one(LOCK, &[]).await.unwrap().get::<_, bool>(0));
    scene.run(4).await;
    assert!(scene.state().hold.unwrap().contains("somebody else changes the schema"), "{}", scene.story());
    assert_eq!(ecs.started(), 0);
    drop(other);
    ecs.runs(Fate::Exits(0));
    scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!(ecs.started(), 1);
    assert_eq!(scene.state().writer, Side::Target);
    let seen = scene.entries().into_iter().rev().find_map(|entry| match entry.event {
        Event::Done { of, note, .. } if of.step == "follow" => Some(note["seen"].to_string()),
        _ => None,
    });
    assert!(seen.unwrap().contains("no session of the application is left on source"), "{}", scene.story());
    assert!(!says().await.contains(&format!("\"port\": {}", scene.sandbox.pgbouncers[0].port())));

    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(says().await, before, "{}", scene.story());
    assert_eq!(scene.state().writer, Side::Source);
    let order: Vec<String> = scene.entries().into_iter().filter_map(undone_or_passed).collect();
    assert_eq!(order, ["follow", "window"], "the secret leads to the pooler again before that goes back");
    scene.assert_undone("after a rollback").await;
}

fn undone_or_passed(entry: pointsman::journal::Entry) -> Option<String> {
    use pointsman::{journal::Act, systems::pair::Heading};
    match entry.event {
        Event::Done { of, .. } if of.act == Act::Undo && of.step == "follow" => Some(of.step),
        Event::Passed { way: Heading::Back, .. } => Some("window".into()),
        _ => None,
    }
}
