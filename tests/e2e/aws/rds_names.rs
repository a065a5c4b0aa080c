//! An identifier of RDS is given to another instance and back. That a rename takes a while, is refused where the name is
//! taken, and leaves the resource id, rests on the overlay of RDS, which is our belief about AWS.

use std::sync::Arc;

use aws_sdk_rds as rds;
use pointsman::{
    journal::halt,
    sandbox::aws::{NewBalancer, sdk_config},
};

use super::{
    overlay::rds::Rds,
    proxy::{Fault, at},
    support::Scene,
};
use crate::cutover::support::{KILLED, ended};

async fn shop() -> (Scene, Arc<Rds>, rds::Client) {
    let scene = Scene::new(NewBalancer::default()).await;
    let overlay = Arc::new(Rds::default());
    scene.proxy.overlay(overlay.clone());
    let client = rds::Client::new(&sdk_config(&scene.proxy.url()));
    for name in ["orders", "orders-2"] {
        create(&client, name).await;
        settle(&client, name).await;
    }
    scene.write(
        "version: 1\nname: named\nstage: rehearsal\nsystems:\n\
         \x20 one: { rds: { instance: orders } }\n\x20 two: { rds: { instance: orders-2 } }\n\
         \x20 name: { rds-names: { from: one, to: two, timeout: 60s } }\n\
         steps:\n  - preflight\n  - switch: { endpoints: [name] }\n",
    );
    (scene, overlay, client)
}

async fn create(client: &rds::Client, name: &str) {
    let create = client.create_db_instance().db_instance_identifier(name).engine("postgres").allocated_storage(20);
    let create = create.db_instance_class("db.m7g.large").master_username("root").master_user_password("hush-hush");
    create.send().await.unwrap();
}

/// Looks until it is available: states go on when somebody looks.
async fn settle(client: &rds::Client, name: &str) {
    for _ in 0..20 {
        let found = client.describe_db_instances().db_instance_identifier(name).send().await.unwrap();
        if found.db_instances()[0].db_instance_status() == Some("available") {
            return;
        }
    }
    panic!("{name} is never available");
}

/// As somebody else would.
async fn rename(client: &rds::Client, is: &str, becomes: &str) {
    let rename = client.modify_db_instance().db_instance_identifier(is).new_db_instance_identifier(becomes);
    rename.apply_immediately(true).send().await.unwrap();
    for _ in 0..20 {
        let found = client.describe_db_instances().send().await.unwrap();
        let named = |one: &&rds::types::DbInstance| one.db_instance_identifier() == Some(becomes);
        let one = found.db_instances().iter().find(named);
        if one.is_some_and(|one| one.db_instance_status() == Some("available")) {
            return;
        }
    }
    panic!("{becomes} is never available");
}

/// What the two are called: the one that was `orders`, and the other.
fn called(overlay: &Rds, ids: &[String; 2]) -> [String; 2] {
    let names: Vec<String> = overlay.instances().into_iter().map(|(name, _)| name).collect();
    let of = |id: &String| names.iter().find(|name| overlay.shows(name, "DbiResourceId") == *id).cloned().unwrap();
    [of(&ids[0]), of(&ids[1])]
}

fn ids(overlay: &Rds) -> [String; 2] {
    ["orders", "orders-2"].map(|name| overlay.shows(name, "DbiResourceId"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_given_to_another_server_and_back() {
    let (scene, overlay, _) = shop().await;
    let ids = ids(&overlay);
    assert_ne!(ids[0], ids[1]);
    let before = scene.proxy.writes().len();
    let runbook = scene.runbook.to_str().unwrap().to_owned();
    let policy = scene.must(0, &["iam-policy", &runbook]).await.out;
    let checked = scene.must(0, &["check", &runbook]).await;
    assert!(checked.out.contains("the name of the former server is free"), "{checked:?}");
    let planned = scene.must(0, &["plan", &runbook]).await;
    assert!(planned.out.contains("NewDBInstanceIdentifier") && planned.out.contains("orders-old"), "{planned:?}");
    assert_eq!(scene.proxy.writes().len(), before, "check and plan change nothing");
    scene.proxy.plant(at("rds", "ModifyDBInstance").only(1), Fault::ClosedAfter);
    scene.proxy.plant(at("rds", "ModifyDBInstance").only(2), Fault::ErrorAfter(503));
    scene.run(0).await;
    assert_eq!(called(&overlay, &ids), ["orders-old", "orders"], "{}", scene.story());
    assert_eq!(scene.proxy.count("rds", "ModifyDBInstance"), 2, "{}", scene.story());
    assert!(policy.contains("rds:ModifyDBInstance") && policy.contains(":db:orders-old"), "{policy}");
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(called(&overlay, &ids), ["orders", "orders-2"], "{}", scene.story());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_both_get_their_names() {
    let (scene, overlay, _) = shop().await;
    let ids = ids(&overlay);
    for seq in 1.. {
        let run = scene.command(&scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(run).await.code;
        if code != 0 {
            assert_eq!(code, KILLED, "{}", scene.story());
            if scene.state().outcome.is_none() {
                scene.must(0, &["resume", "--output", "json"]).await;
            }
        }
        assert_eq!(called(&overlay, &ids), ["orders-old", "orders"], "killed at {seq}\n{}", scene.story());
        scene.must(5, &["rollback", "--output", "json"]).await;
        assert_eq!(called(&overlay, &ids), ["orders", "orders-2"], "killed at {seq}\n{}", scene.story());
        if code == 0 {
            assert!(seq > 6, "a run has more entries than {seq}\n{}", scene.story());
            return;
        }
    }
}

/// Between the two renames somebody takes the name: it is refused, told, and what was done stays until it is free.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_somebody_else_takes_holds_the_run() {
    let (scene, overlay, client) = shop().await;
    let ids = ids(&overlay);
    create(&client, "third").await;
    settle(&client, "third").await;
    let stop = scene.proxy.stop_before(at("rds", "ModifyDBInstance").only(2));
    let run = scene.start();
    stop.reached().await;
    rename(&client, "third", "orders").await;
    stop.release();
    assert_eq!(ended(run).await.code, 4, "{}", scene.story());
    assert!(scene.held().contains("DBInstanceAlreadyExists"), "{}", scene.held());
    assert_eq!(called(&overlay, &ids), ["orders-old", "orders-2"]);
    rename(&client, "orders", "third").await;
    scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!(called(&overlay, &ids), ["orders-old", "orders"], "{}", scene.story());
}

/// A server that was renamed since the plan was made is not taken for the one of the plan.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_got_the_name_meanwhile_is_left_alone() {
    let (scene, overlay, client) = shop().await;
    let text = std::fs::read_to_string(&scene.runbook).unwrap();
    scene.write(&text.replace("  - preflight\n", "  - approve: { message: \"go on?\", timeout: 1s }\n"));
    scene.run(4).await;
    for (is, becomes) in [("orders", "third"), ("orders-2", "orders")] {
        rename(&client, is, becomes).await;
    }
    let asked = scene.proxy.count("rds", "ModifyDBInstance");
    scene.must(0, &["approve"]).await;
    scene.must(4, &["resume", "--output", "json"]).await;
    assert!(
        scene.held().contains("leads to neither side") && scene.held().contains("called third"),
        "{}",
        scene.held()
    );
    assert_eq!(scene.proxy.count("rds", "ModifyDBInstance"), asked);
    drop(overlay);
}
