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
use crate::cutover::support::{KILLED, Load, ended};

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
    client: rds::Client,
    /// What promotes it.
    call: &'static str,
    _cloud: Cloud,
}

impl OnRds {
    /// A read replica of an instance.
    async fn new() -> Self {
        let mut on = Self::empty("PromoteReadReplica").await;
        on.instances().await;
        on.name("instance");
        on
    }

    /// A cluster of Aurora that is a replica: one reader, until it is promoted.
    async fn of_cluster() -> Self {
        let mut on = Self::empty("PromoteReadReplicaDBCluster").await;
        on.clusters().await;
        on.name("cluster");
        on
    }

    async fn empty(call: &'static str) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let stage = Stage::new().await;
        let cloud = Cloud::start(stage.scene.sandbox.folder()).await.unwrap();
        let proxy = Proxy::start(cloud.moto(), cloud.ministack()).await;
        let overlay = Arc::new(Rds::default());
        proxy.overlay(overlay.clone());
        let (source, target) = (&stage.scene.sandbox.source, &stage.scene.sandbox.target);
        overlay.serves("orders", Arc::new(source.port()));
        let url = target.url(Role::Superuser, "postgres");
        overlay.serves("orders-new", Arc::new(Standby { port: target.port(), url }));
        let client = rds::Client::new(&sdk_config(&proxy.url()));
        Self { stage, proxy, overlay, client, call, _cloud: cloud }
    }

    /// The way back needs it, on the replica as well, which has the group of its source.
    fn logical() -> rds::types::Parameter {
        let logical = rds::types::Parameter::builder().parameter_name("rds.logical_replication").parameter_value("1");
        logical.apply_method(rds::types::ApplyMethod::PendingReboot).build()
    }

    async fn instances(&self) {
        let client = &self.client;
        let group = client.create_db_parameter_group().db_parameter_group_name("orders-15");
        group.db_parameter_group_family("postgres15").description("ours").send().await.unwrap();
        let set = client.modify_db_parameter_group().db_parameter_group_name("orders-15").parameters(Self::logical());
        set.send().await.unwrap();
        let create = client.create_db_instance().db_instance_identifier("orders").db_instance_class("db.m7g.large");
        let create = create
            .db_parameter_group_name("orders-15")
            .engine("postgres")
            .engine_version("15.8")
            .allocated_storage(100)
            .backup_retention_period(7);
        create.master_username("postgres").master_user_password("hush-hush-hush").send().await.unwrap();
        self.settle().await;
        let replica = client.create_db_instance_read_replica().db_instance_identifier("orders-new");
        replica.source_db_instance_identifier("orders").send().await.unwrap();
        self.settle().await;
    }

    async fn clusters(&self) {
        let client = &self.client;
        let group = client.create_db_cluster_parameter_group().db_cluster_parameter_group_name("orders-15");
        group.db_parameter_group_family("aurora-postgresql15").description("ours").send().await.unwrap();
        let set = client.modify_db_cluster_parameter_group().db_cluster_parameter_group_name("orders-15");
        set.parameters(Self::logical()).send().await.unwrap();
        let arn = "arn:aws:rds:us-east-1:123456789012:cluster:orders";
        for (name, source) in [("orders", None), ("orders-new", Some(arn.to_owned()))] {
            let create = client.create_db_cluster().db_cluster_identifier(name).engine("aurora-postgresql");
            let create = create.engine_version("15.8").db_cluster_parameter_group_name("orders-15");
            let create = create.master_username("postgres").master_user_password("hush-hush-hush");
            create.set_replication_source_identifier(source).send().await.unwrap();
            let create = client.create_db_instance().db_instance_identifier(format!("{name}-1"));
            let create = create.engine("aurora-postgresql").db_instance_class("db.r7g.large");
            create.db_cluster_identifier(name).send().await.unwrap();
        }
        self.settle().await;
    }

    async fn settle(&self) {
        let all = || self.overlay.instances().into_iter().chain(self.overlay.clusters());
        while all().any(|(_, status)| status != "available") {
            self.client.describe_db_instances().send().await.unwrap();
            self.client.describe_db_clusters().send().await.unwrap();
        }
    }

    /// The target of the runbook is what RDS has as `orders-new`.
    fn name(&mut self, kind: &str) {
        let scene = &mut self.stage.scene;
        scene.add_env(Cloud::env_through(&self.proxy.url()));
        let url = scene.sandbox.target.url(Role::Superuser, "postgres");
        let password = url.split_once("//postgres:").unwrap().1.split_once('@').unwrap().0.to_owned();
        scene.add_env([("TARGET_PASSWORD".to_owned(), password)]);
        let text = std::fs::read_to_string(&scene.runbook).unwrap();
        let named = format!(
            "systems:\n  there: {{ rds: {{ {kind}: orders-new }} }}\n  target: {{ postgres: {{ rds: there, user: postgres, \
             password: \"${{env:TARGET_PASSWORD}}\", database: shop }} }}\n"
        );
        let text = text.replace("  target: { postgres: { url: \"${env:TARGET_URL}\" } }\n", "");
        std::fs::write(&scene.runbook, text.replacen("systems:\n", &named, 1)).unwrap();
        self.proxy.forget();
    }

    fn asked(&self) -> usize {
        self.proxy.count("rds", self.call)
    }
}

/// A rollback, behind which all is as it was. Writes waited for RDS in the pooler meanwhile: none failed.
async fn led_back(on: &OnRds, load: Load) {
    on.stage.scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    on.stage.assert_undone("after a rollback").await;
    let mut seen = load.stop().await;
    on.stage.scene.clean(&mut seen, Side::Source, 2).await;
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
    led_back(&on, load).await;
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

/// While RDS is busy with something else it is asked again; then its answer is lost, and it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_promoted_once_and_led_back() {
    let on = OnRds::of_cluster().await;
    let scene = &on.stage.scene;
    let load = scene.load(RATE);
    load.flows().await;
    on.overlay.each_state_lasts(3);
    let busy = Fault::Refused(400, "InvalidDBClusterStateFault", "The cluster is being backed up.");
    on.proxy.plant(at("rds", on.call).only(1), busy);
    on.proxy.plant(at("rds", on.call).only(2), Fault::ClosedAfter);
    scene.run(0).await;
    assert_eq!((on.asked(), scene.state().writer), (2, Writer::Target), "{}", scene.story());
    let found = on.client.describe_db_clusters().db_cluster_identifier("orders-new").send().await.unwrap();
    let found = &found.db_clusters()[0];
    assert_eq!((found.status(), found.replication_source_identifier()), (Some("available"), None));
    assert!(!on.stage.is_replica().await);
    load.flows().await;
    led_back(&on, load).await;
    assert_eq!(on.asked(), 2);
}

/// RDS says no for good: a person is told at once, with what he can do, and the run sees what he did.
#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_is_refused_asks_a_person_and_goes_on_when_he_has_promoted() {
    let on = OnRds::new().await;
    let scene = &on.stage.scene;
    let load = scene.load(RATE);
    load.flows().await;
    on.proxy.plant(at("rds", on.call).times(2), Fault::Denied);
    scene.run(6).await;
    scene.guard_gone().await;
    let hold = scene.state().hold.unwrap();
    let words = [
        "promote failed 1 times after the commit point: RDS refuses to promote there (AccessDenied: ",
        "It is a replica still, both sides are fenced and equal, and the only way is forward: let RDS do it (`pointsman \
         iam-policy` prints what the run needs), or promote it by hand (`aws rds promote-read-replica \
         --db-instance-identifier orders-new`)",
        "Writes still wait; mend it, then `pointsman retry`",
    ];
    for words in words {
        assert!(hold.contains(words), "{words} is not in {hold}");
    }
    assert_eq!(on.asked(), 1, "a person is asked before RDS is asked again");
    assert!(on.stage.is_replica().await);
    let told = scene.must(0, &["status"]).await;
    assert!(told.says("Writes still wait") && told.says("rollback not now"), "{told:?}");
    // Not mended: it says so again, and nothing else has changed.
    scene.must(0, &["retry"]).await;
    scene.must(6, &["resume", "--output", "json"]).await;
    scene.guard_gone().await;
    assert!(scene.state().hold.unwrap().contains("RDS refuses to promote there"), "{}", scene.story());
    assert!(on.stage.is_replica().await);
    on.client.promote_read_replica().db_instance_identifier("orders-new").send().await.unwrap();
    scene.must(0, &["retry"]).await;
    scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!((on.asked(), scene.state().writer), (3, Writer::Target), "the third was by hand\n{}", scene.story());
    load.flows().await;
    let mut seen = load.stop().await;
    // Writes waited for all that in the pooler: none failed.
    scene.clean(&mut seen, Side::Target, 1).await;
}
