//! A database that names an `rds` system: a whole cutover whose target is where RDS says, with what can change about it.
//!
//! Rests on a stand-in for `DescribeDBInstances`, which is our belief about AWS (Amazon RDS API reference, `DBInstance`,
//! `DescribeDBInstances`: the filter `dbi-resource-id`; user guide, "Renaming a DB instance": the endpoint changes, the
//! resource id stays). What stands behind the endpoint is the sandbox's real target.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use pointsman::{
    executor::state::Side,
    journal::halt,
    sandbox::{
        DATABASE,
        aws::{Cloud, sdk_config},
        delay::DelayProxy,
    },
};
use rustix::process::Signal;

use super::proxy::{Asked, Fault, Overlay, Protocol, Proxy, Reply, at, refusal};
use crate::cutover::support::{DOOR, Scene, WINDOW, ended, lives, pid, process_state, signal, until};

/// One instance, or none.
#[derive(Debug, Clone)]
pub struct Shown {
    pub identifier: &'static str,
    pub resource: &'static str,
    pub status: &'static str,
    pub port: Option<u16>,
}

impl Shown {
    fn xml(&self) -> String {
        let endpoint = self.port.map_or(String::new(), |port| {
            format!("<Endpoint><Address>127.0.0.1</Address><Port>{port}</Port></Endpoint>")
        });
        let Self { identifier, resource, status, .. } = self;
        format!(
            "<DBInstance><DBInstanceIdentifier>{identifier}</DBInstanceIdentifier><DbiResourceId>{resource}</DbiResourceId>\
             <DBInstanceStatus>{status}</DBInstanceStatus><Engine>postgres</Engine>{endpoint}</DBInstance>"
        )
    }
}

/// What RDS knows.
#[derive(Default)]
pub struct Rds(Mutex<Vec<Shown>>);

impl Rds {
    pub fn shows(&self, one: &Shown) {
        *self.0.lock().unwrap() = vec![one.clone()];
    }
}

impl Overlay for Rds {
    fn instead(&self, asked: &Asked) -> Option<Reply> {
        if asked.action != "DescribeDBInstances" {
            return None;
        }
        let named = asked.parameters["DBInstanceIdentifier"].as_str();
        let resource = asked.parameters["Filters.Filter.1.Values.Value.1"].as_str();
        let fits = |one: &&Shown| {
            named.is_none_or(|name| name == one.identifier) && resource.is_none_or(|id| id == one.resource)
        };
        let found: String = self.0.lock().unwrap().iter().filter(fits).map(Shown::xml).collect();
        if found.is_empty() && named.is_some() {
            return Some(refusal(Protocol::Query, 404, "DBInstanceNotFound", "DBInstance not found."));
        }
        let body = format!(
            "<DescribeDBInstancesResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\"><DescribeDBInstancesResult>\
             <DBInstances>{found}</DBInstances></DescribeDBInstancesResult><ResponseMetadata><RequestId>0</RequestId>\
             </ResponseMetadata></DescribeDBInstancesResponse>"
        );
        Some(Reply::new(200, "text/xml", body))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_rds_names_is_followed_and_never_mistaken() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut scene = Scene::new().await;
    let cloud = Cloud::start(scene.sandbox.folder()).await.unwrap();
    let proxy = Proxy::start(cloud.moto(), cloud.ministack()).await;
    let env: std::collections::BTreeMap<String, String> = scene.env().into_iter().collect();
    let url = url::Url::parse(&env["TARGET_URL"]).unwrap();
    let direct = url.port().unwrap();
    let before = DelayProxy::start(([127, 0, 0, 1], direct).into(), Duration::ZERO).await.unwrap();
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
    let secret = serde_json::json!({ "username": user, "password": password }).to_string();
    let secrets = aws_sdk_secretsmanager::Client::new(&sdk_config(&cloud.ministack()));
    secrets.create_secret().name("rds!db-orders").secret_string(secret).send().await.unwrap();
    scene.add_env([("TARGET_URL".into(), "unused".into())]);
    scene.add_env(Cloud::env_through(&proxy.url()));
    let replicate = "replicate: { from: source, to: target, timeout: 2m }";
    scene.write(&["preflight", replicate, DOOR, "wait: { gates: [lag], timeout: 1m }", WINDOW]);
    let text = std::fs::read_to_string(&scene.runbook).unwrap();
    let named = format!(
        "target: {{ postgres: {{ rds: orders-rds, secret: \"${{aws-secret:rds!db-orders}}\", database: {DATABASE} }} }}\n  \
         orders-rds: {{ rds: {{ instance: orders-prod }} }}"
    );
    let text = text.replacen("target: { postgres: { url: \"${env:TARGET_URL}\" } }", &named, 1);
    std::fs::write(&scene.runbook, text).unwrap();
    let runbook = scene.runbook.to_str().unwrap();

    let rds = Arc::new(Rds::default());
    proxy.overlay(rds.clone());
    let missing = scene.must(3, &["check", runbook]).await;
    assert!(missing.says("rds:orders-rds") && missing.says("correct the identifier"), "{missing:?}");
    let shown = Shown { identifier: "orders-prod", resource: "db-ONE", status: "creating", port: None };
    rds.shows(&shown);
    let creating = scene.must(3, &["check", runbook]).await;
    assert!(creating.says("has no endpoint yet: it is creating"), "{creating:?}");
    let first = Shown { status: "available", port: Some(before.address().port()), ..shown };
    rds.shows(&first);
    scene.must(0, &["check", runbook]).await;
    let planned = scene.must(0, &["plan", runbook]).await;
    assert!(planned.says(r#"DescribeDBInstances {"DBInstanceIdentifier":"orders-prod"}"#), "{planned:?}");
    let policy = scene.must(0, &["iam-policy", runbook]).await;
    assert!(policy.says("rds:DescribeDBInstances") && policy.says("secret:rds!db-orders-??????"), "{policy:?}");
    assert!(proxy.writes().is_empty(), "looking changes nothing: {:?}", proxy.writes());

    scene.run(4).await;
    scene.open_door();
    // Another server has the name now, and the one of the plan is gone.
    rds.shows(&Shown { resource: "db-TWO", ..first.clone() });
    scene.must(4, &["resume", "--output", "json"]).await;
    let why = scene.state().hold.unwrap();
    assert!(why.contains("another instance than that of the plan (db-TWO, planned db-ONE)"), "{why}");
    assert_eq!(scene.state().writer, Side::Source, "{}", scene.story());

    // It is there again, elsewhere; and from the moment that the window is armed RDS answers nobody.
    let moved = Shown { port: Some(direct), ..first };
    rds.shows(&moved);
    let mut command = scene.command(&["resume", "--output", "json"]);
    let run = command.env(halt::STOP_AT, "done:window").spawn().unwrap();
    let stopped = pid(&run);
    until("it stops itself", || process_state(stopped) == Some('T') || !lives(stopped)).await;
    proxy.plant(at("*", "*"), Fault::HangsBefore);
    signal(stopped, Signal::CONT);
    let through = ended(run).await;
    assert_eq!(through.code, 0, "{through:?}\n{}", scene.story());
    assert_eq!(scene.state().writer, Side::Target, "{}", scene.story());
    let ini = std::fs::read_to_string(scene.sandbox.pgbouncers[0].ini()).unwrap();
    assert!(ini.contains(&format!("port={direct}")), "clients are led to where RDS says now: {ini}");

    // Somebody renames it: the server is the same, and the way back is open.
    proxy.heal();
    rds.shows(&Shown { identifier: "orders-kept", ..moved });
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(scene.state().writer, Side::Source, "{}", scene.story());
    assert!(proxy.writes().is_empty(), "a database that is named by RDS is only looked up: {:?}", proxy.writes());
}
