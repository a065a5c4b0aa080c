//! The same, where RDS promotes: the call is asked for once, whatever is lost, and writes wait for as long as RDS takes.
//!
//! Rests on the overlay of RDS, which is our belief about AWS: states, and when a replica is one no more. The replica behind
//! it is real, and is truly promoted by the call.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_rds as rds;
use pointsman::{
    executor::state::Side as Writer,
    journal::{Event, halt},
    sandbox::{
        Role,
        aws::{Cloud, sdk_config},
        connect,
        history::Side,
    },
};

use super::support::Stage;
use crate::aws::{
    overlay::rds::{Local, Rds},
    proxy::{Fault, Proxy, at},
};
use crate::cutover::support::{KILLED, ended};

/// Transactions a second.
const RATE: f64 = 100.0;

/// The standby of the sandbox, as RDS has it.
struct Standby {
    port: u16,
    url: String,
}

#[async_trait]
impl Local for Standby {
    fn port(&self) -> u16 {
        self.port
    }

    async fn promoted(&self) {
        let server = connect(&self.url).await.unwrap();
        server.query("SELECT pg_promote()", &[]).await.unwrap();
    }
}

struct OnRds {
    stage: Stage,
    proxy: Proxy,
    overlay: Arc<Rds>,
    _cloud: Cloud,
}

impl OnRds {
    async fn new() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut stage = Stage::new().await;
        let cloud = Cloud::start(stage.scene.sandbox.folder()).await.unwrap();
        let proxy = Proxy::start(cloud.moto(), cloud.ministack()).await;
        let overlay = Arc::new(Rds::default());
        proxy.overlay(overlay.clone());
        let (source, target) = (&stage.scene.sandbox.source, &stage.scene.sandbox.target);
        overlay.serves("orders", Arc::new(source.port()));
        let url = target.url(Role::Superuser, "postgres");
        overlay.serves("orders-new", Arc::new(Standby { port: target.port(), url: url.clone() }));
        let client = rds::Client::new(&sdk_config(&proxy.url()));
        let group = client.create_db_parameter_group().db_parameter_group_name("orders-15");
        group.db_parameter_group_family("postgres15").description("ours").send().await.unwrap();
        // The way back needs it, on the replica as well, which has the group of its source.
        let logical = rds::types::Parameter::builder().parameter_name("rds.logical_replication").parameter_value("1");
        let logical = logical.apply_method(rds::types::ApplyMethod::PendingReboot).build();
        let set = client.modify_db_parameter_group().db_parameter_group_name("orders-15").parameters(logical);
        set.send().await.unwrap();
        let create = client.create_db_instance().db_instance_identifier("orders").db_instance_class("db.m7g.large");
        let create = create
            .db_parameter_group_name("orders-15")
            .engine("postgres")
            .engine_version("15.8")
            .allocated_storage(100)
            .backup_retention_period(7);
        create.master_username("postgres").master_user_password("hush-hush-hush").send().await.unwrap();
        while overlay.instances().iter().any(|(_, status)| status != "available") {
            client.describe_db_instances().send().await.unwrap();
        }
        let replica = client.create_db_instance_read_replica().db_instance_identifier("orders-new");
        replica.source_db_instance_identifier("orders").send().await.unwrap();
        while overlay.instances().iter().any(|(_, status)| status != "available") {
            client.describe_db_instances().send().await.unwrap();
        }
        stage.scene.add_env(Cloud::env_through(&proxy.url()));
        let password = url.split_once("//postgres:").unwrap().1.split_once('@').unwrap().0.to_owned();
        stage.scene.add_env([("TARGET_PASSWORD".to_owned(), password)]);
        let text = std::fs::read_to_string(&stage.scene.runbook).unwrap();
        let named = "systems:\n  there: { rds: { instance: orders-new } }\n  target: { postgres: { rds: there, user: postgres, \
                     password: \"${env:TARGET_PASSWORD}\", database: shop } }\n";
        let text = text.replace("  target: { postgres: { url: \"${env:TARGET_URL}\" } }\n", "");
        std::fs::write(&stage.scene.runbook, text.replacen("systems:\n", named, 1)).unwrap();
        Self { stage, proxy, overlay, _cloud: cloud }
    }

    fn asked(&self) -> usize {
        self.proxy.count("rds", "PromoteReadReplica")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_whose_answer_is_lost_is_asked_for_once_and_waited_for() {
    let on = OnRds::new().await;
    let scene = &on.stage.scene;
    let load = scene.load(RATE);
    load.flows().await;
    on.overlay.each_state_lasts(4);
    on.proxy.plant(at("rds", "PromoteReadReplica").only(1), Fault::ClosedAfter);
    scene.run(0).await;
    assert_eq!((on.asked(), scene.state().writer), (1, Writer::Target), "{}", scene.story());
    assert!(!on.stage.is_replica().await && on.overlay.shows("orders-new", "DBInstanceStatus") == "available");
    load.flows().await;
    scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    on.stage.assert_undone("after a rollback").await;
    let mut seen = load.stop().await;
    // Writes waited for RDS in the pooler: none failed.
    scene.clean(&mut seen, Side::Source, 2).await;
    assert_eq!(on.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_dies_before_it_asks_is_finished_by_the_guard() {
    let on = OnRds::new().await;
    let scene = &on.stage.scene;
    let load = scene.load(RATE);
    load.flows().await;
    // Found by a run that is held before its window.
    let seq = 35;
    let run = scene.command(&scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
    assert_eq!(ended(run).await.code, KILLED, "{}", scene.story());
    let killed_at = scene.entries()[seq - 1].event.clone();
    let asks = |event: &Event| matches!(event, Event::Noted { note, .. } if note.get("promotion_asked").is_some());
    assert!(asks(&killed_at), "entry {seq} is another one now\n{}", scene.story());
    scene.guard_gone().await;
    load.flows().await;
    assert_eq!((on.asked(), scene.state().writer), (1, Writer::Target), "{}", scene.story());
    scene.must(5, &["rollback", "--output", "json"]).await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 2).await;
}
