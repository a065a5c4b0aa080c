//! The overlay of RDS itself, through the real SDK: what its states, names and refusals look like to a caller. All of it is
//! our belief about AWS; the overlay names the pages.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_rds::{
    Client,
    error::ProvideErrorMetadata,
    types::{ApplyMethod, DbInstance, Filter, Parameter},
};
use pointsman::sandbox::aws::{NewBalancer, sdk_config};

use super::{
    overlay::rds::{Local, Rds},
    support::Scene,
};

/// What was done to a server that isn't there.
#[derive(Default)]
struct Noted {
    promoted: AtomicBool,
    set: Mutex<Vec<(BTreeMap<String, String>, bool)>>,
}

#[async_trait]
impl Local for Noted {
    fn port(&self) -> u16 {
        15_432
    }

    async fn promoted(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.promoted.store(true, Ordering::SeqCst);
    }

    async fn set(&self, values: BTreeMap<String, String>, restarted: bool) {
        self.set.lock().unwrap().push((values, restarted));
    }
}

async fn look(rds: &Client, identifier: &str) -> DbInstance {
    let found = rds.describe_db_instances().db_instance_identifier(identifier).send().await.unwrap();
    found.db_instances()[0].clone()
}

/// The states that are seen until it is available.
async fn states(rds: &Client, identifier: &str) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    while seen.last().is_none_or(|last| last != "available") {
        let status = look(rds, identifier).await.db_instance_status().unwrap().to_owned();
        if seen.last() != Some(&status) {
            seen.push(status);
        }
    }
    seen
}

async fn scene() -> (Scene, Arc<Rds>, Client) {
    let scene = Scene::new(NewBalancer::default()).await;
    let overlay = Arc::new(Rds::default());
    scene.proxy.overlay(overlay.clone());
    let rds = Client::new(&sdk_config(&scene.proxy.url()));
    (scene, overlay, rds)
}

async fn create(rds: &Client, identifier: &str) -> DbInstance {
    let request = rds.create_db_instance().db_instance_identifier(identifier).db_instance_class("db.m7g.large");
    let request = request.engine("postgres").engine_version("17.4").allocated_storage(100).master_username("admin_1");
    request.master_user_password("not a secret").send().await.unwrap().db_instance.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_promoted_and_takes_another_name() {
    let (_scene, overlay, rds) = scene().await;
    let (old, new) = (Arc::new(Noted::default()), Arc::new(Noted::default()));
    overlay.serves("orders", old);
    overlay.serves("orders-new", new.clone());
    assert!(create(&rds, "orders").await.endpoint().is_none());
    assert_eq!(states(&rds, "orders").await, ["creating", "backing-up", "available"]);
    let replica = || rds.create_db_instance_read_replica().db_instance_identifier("orders-new");
    replica().source_db_instance_identifier("orders").send().await.unwrap();
    assert_eq!(states(&rds, "orders-new").await, ["creating", "available"]);
    assert_eq!(look(&rds, "orders").await.read_replica_db_instance_identifiers(), ["orders-new"]);
    assert_eq!(look(&rds, "orders-new").await.endpoint().unwrap().port(), Some(15_432));

    let promote = |name: &str| rds.promote_read_replica().db_instance_identifier(name).send();
    assert_eq!(promote("orders").await.unwrap_err().code(), Some("InvalidDBInstanceState"));
    assert_eq!(promote("nobody").await.unwrap_err().code(), Some("DBInstanceNotFound"));
    promote("orders-new").await.unwrap();
    let during = look(&rds, "orders-new").await;
    assert_eq!(during.read_replica_source_db_instance_identifier(), Some("orders"));
    assert_eq!(promote("orders-new").await.unwrap_err().code(), Some("InvalidDBInstanceState"));
    assert_eq!(states(&rds, "orders-new").await, ["modifying", "rebooting", "available"]);
    assert!(new.promoted.load(Ordering::SeqCst), "it is not over before the server was promoted");
    assert_eq!(look(&rds, "orders-new").await.read_replica_source_db_instance_identifier(), None);
    assert!(look(&rds, "orders").await.read_replica_db_instance_identifiers().is_empty());

    let rename = |from: &str, to: &str| {
        let request = rds.modify_db_instance().db_instance_identifier(from).new_db_instance_identifier(to);
        request.apply_immediately(true).send()
    };
    assert_eq!(rename("orders-new", "orders").await.unwrap_err().code(), Some("DBInstanceAlreadyExists"));
    let before = look(&rds, "orders").await.dbi_resource_id().unwrap().to_owned();
    rename("orders", "orders-old").await.unwrap();
    assert_eq!(look(&rds, "orders").await.db_instance_status(), Some("renaming"));
    while overlay.instances().iter().any(|(name, _)| name == "orders") {
        rds.describe_db_instances().send().await.unwrap();
    }
    let after = look(&rds, "orders-old").await;
    assert_eq!((after.dbi_resource_id(), after.endpoint().unwrap().port()), (Some(before.as_str()), Some(15_432)));
    let filter = Filter::builder().name("dbi-resource-id").values(&before).build();
    let found = rds.describe_db_instances().filters(filter).send().await.unwrap();
    assert_eq!(found.db_instances()[0].db_instance_identifier(), Some("orders-old"));
    let events = rds.describe_events().source_identifier("orders-new");
    let events = events.source_type(aws_sdk_rds::types::SourceType::DbInstance).send().await.unwrap();
    assert!(events.events().iter().any(|event| event.message().unwrap().starts_with("Promoted read replica")));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_wait_and_snapshots_take_their_time() {
    let (_scene, overlay, rds) = scene().await;
    let server = Arc::new(Noted::default());
    overlay.serves("orders", server.clone());
    create(&rds, "orders").await;
    states(&rds, "orders").await;
    let group = rds.create_db_parameter_group().db_parameter_group_name("orders-17");
    group.db_parameter_group_family("postgres17").description("ours").send().await.unwrap();
    let set = |group: &str, name: &str, value: &str, method| {
        let parameter = Parameter::builder().parameter_name(name).parameter_value(value).apply_method(method).build();
        rds.modify_db_parameter_group().db_parameter_group_name(group).parameters(parameter).send()
    };
    let change = || rds.modify_db_instance().db_instance_identifier("orders");
    change().db_parameter_group_name("orders-17").send().await.unwrap();
    let status =
        async || look(&rds, "orders").await.db_parameter_groups()[0].parameter_apply_status().unwrap().to_owned();
    assert_eq!(status().await, "pending-reboot");
    rds.reboot_db_instance().db_instance_identifier("orders").send().await.unwrap();
    assert_eq!(states(&rds, "orders").await, ["rebooting", "available"]);
    assert_eq!(status().await, "in-sync");

    let refused = set("default.postgres17", "work_mem", "1", ApplyMethod::Immediate).await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidParameterValue"));
    let refused = set("orders-17", "rds.logical_replication", "1", ApplyMethod::Immediate).await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidParameterCombination"));
    set("orders-17", "work_mem", "8192", ApplyMethod::Immediate).await.unwrap();
    assert_eq!(status().await, "in-sync");
    set("orders-17", "rds.logical_replication", "1", ApplyMethod::PendingReboot).await.unwrap();
    assert_eq!(status().await, "pending-reboot");
    rds.reboot_db_instance().db_instance_identifier("orders").send().await.unwrap();
    states(&rds, "orders").await;
    let last = server.set.lock().unwrap().last().unwrap().clone();
    assert_eq!((last.0["rds.logical_replication"].as_str(), last.0["work_mem"].as_str(), last.1), ("1", "8192", true));

    change().db_instance_class("db.m7g.xlarge").send().await.unwrap();
    let waits = look(&rds, "orders").await;
    assert_eq!(waits.db_instance_class(), Some("db.m7g.large"));
    assert_eq!(waits.pending_modified_values().unwrap().db_instance_class(), Some("db.m7g.xlarge"));
    change().apply_immediately(true).send().await.unwrap();
    assert_eq!(states(&rds, "orders").await, ["modifying", "available"]);
    assert_eq!(look(&rds, "orders").await.db_instance_class(), Some("db.m7g.xlarge"));

    let snapshot = || rds.create_db_snapshot().db_instance_identifier("orders").db_snapshot_identifier("before");
    snapshot().send().await.unwrap();
    assert_eq!(snapshot().send().await.unwrap_err().code(), Some("DBSnapshotAlreadyExists"));
    let look_at = async || {
        let found = rds.describe_db_snapshots().db_snapshot_identifier("before").send().await.unwrap();
        let found = &found.db_snapshots()[0];
        (found.status().unwrap().to_owned(), found.percent_progress().unwrap())
    };
    assert_eq!(look_at().await, ("creating".to_owned(), 50));
    assert_eq!(look_at().await, ("available".to_owned(), 100));
    states(&rds, "orders").await;

    rds.delete_db_instance().db_instance_identifier("orders").skip_final_snapshot(true).send().await.unwrap();
    while !overlay.instances().is_empty() {
        rds.describe_db_instances().send().await.unwrap();
    }
    create(&rds, "orders").await;
}
