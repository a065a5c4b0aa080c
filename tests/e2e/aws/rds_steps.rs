//! Steps that change servers of RDS, through everything that can happen to a call and to the executor. Rests on the
//! overlay of RDS, which is our belief about AWS.

use std::sync::Arc;

use aws_sdk_rds::Client;
use pointsman::{
    journal::halt,
    sandbox::aws::{NewBalancer, sdk_config},
};

use super::{
    overlay::rds::Rds,
    proxy::{Fault, at},
    support::Scene,
};
use crate::cutover::support::{KILLED, ended, summary};

const RDS: &str = "rds";

/// An instance `orders` that has been there for long, and a runbook of these steps.
pub(super) struct Ground {
    pub scene: Scene,
    pub overlay: Arc<Rds>,
    pub rds: Client,
}

impl Ground {
    pub async fn new(steps: &str) -> Self {
        let scene = Scene::new(NewBalancer::default()).await;
        let overlay = Arc::new(Rds::default());
        scene.proxy.overlay(overlay.clone());
        let rds = Client::new(&sdk_config(&scene.proxy.url()));
        scene.write(&format!(
            "version: 1\nname: changes\nstage: rehearsal\n\
             aws: {{ account: \"123456789012\", region: us-east-1, timeout: 2s }}\n\
             systems:\n  orders: {{ rds: {{ instance: orders }} }}\nsteps:\n{steps}"
        ));
        let ground = Self { scene, overlay, rds };
        ground.create("orders").await;
        ground
    }

    pub async fn create(&self, identifier: &str) {
        let create = self.rds.create_db_instance().db_instance_identifier(identifier).engine("postgres");
        let create = create.engine_version("17.4").db_instance_class("db.m7g.large").allocated_storage(20);
        create.master_username("keeper").master_user_password("not a secret").send().await.unwrap();
        self.settle().await;
    }

    /// Looks until every instance is at rest.
    pub async fn settle(&self) {
        let rests = |status: &str| matches!(status, "available" | "stopped");
        while !self.overlay.instances().iter().all(|(_, status)| rests(status)) {
            self.rds.describe_db_instances().send().await.unwrap();
        }
    }

    /// A run that is killed at an entry; whether it was.
    pub async fn killed_at(&self, words: &[&str], entry: &str) -> Option<String> {
        let child = self.scene.command(words).env(halt::KILL_AT, entry).spawn().unwrap();
        let code = ended(child).await.code;
        assert!([0, 5, KILLED].contains(&code), "{code}\n{}", self.scene.story());
        (code == KILLED).then(|| summary(&self.scene.entries().last().unwrap().event))
    }
}

const TWICE: &str = "  - snapshot: { of: orders, timeout: 30s }\n  - snapshot: { name: last, of: orders }\n";

/// A snapshot is made once, whatever happens to the answer, and is kept by a rollback.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_found_again_after_a_lost_answer() {
    let ground = Ground::new(TWICE).await;
    let faults = [
        ("closed before", Fault::ClosedBefore, 2),
        ("closed after", Fault::ClosedAfter, 2),
        ("an error after", Fault::ErrorAfter(503), 2),
        ("no answer", Fault::HangsAfter, 2),
        ("throttled", Fault::Throttled, 2),
    ];
    for (what, fault, wanted) in faults {
        let before = ground.overlay.snapshots().len();
        ground.scene.proxy.plant(at(RDS, "CreateDBSnapshot").only(1), fault);
        ground.scene.run(0).await;
        ground.scene.proxy.heal();
        let made = ground.overlay.snapshots().split_off(before);
        assert_eq!(made.len(), wanted, "{what}: {made:?}\n{}", ground.scene.story());
        assert!(made.iter().all(|(name, status)| name.starts_with("pointsman-") && status == "available"), "{made:?}");
        ground.scene.must(5, &["rollback", "--output", "json"]).await;
        assert_eq!(ground.overlay.snapshots().len(), before + wanted, "{what}: a rollback keeps it");
        ground.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_entry_it_makes_a_snapshot_once() {
    let ground = Ground::new(TWICE).await;
    for seq in 1.. {
        let before = ground.overlay.snapshots().len();
        let Some(what) = ground.killed_at(&ground.scene.run_words(), &seq.to_string()).await else {
            assert!(seq > 6, "a run has more entries than {seq}");
            return;
        };
        if ground.scene.state().outcome.is_none() {
            ground.scene.must(0, &["resume", "--output", "json"]).await;
        }
        let made = ground.overlay.snapshots().split_off(before);
        assert_eq!(made.len(), 2, "killed at entry {seq}, {what}\n{}", ground.scene.story());
        ground.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_fails_is_told_and_the_next_try_makes_another() {
    let ground = Ground::new("  - snapshot: { of: orders }\n").await;
    ground.overlay.snapshots_fail(true);
    ground.scene.run(4).await;
    assert!(ground.scene.held().contains("is failed"), "{}", ground.scene.held());
    ground.overlay.snapshots_fail(false);
    ground.settle().await;
    ground.scene.must(0, &["resume", "--output", "json"]).await;
    let made = ground.overlay.snapshots();
    assert_eq!(made.iter().map(|(_, status)| status.as_str()).collect::<Vec<_>>(), ["failed", "available"]);
}

/// Its name is given to another server while the run stands still; the one of the plan is found under its new name.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_the_plan_is_meant_whatever_it_is_called_now() {
    let ground = Ground::new("  - snapshot: { of: orders }\n").await;
    ground.killed_at(&ground.scene.run_words(), "intent:snapshot").await.expect("it was to be killed");
    let rename = ground.rds.modify_db_instance().db_instance_identifier("orders").new_db_instance_identifier("former");
    rename.apply_immediately(true).send().await.unwrap();
    ground.settle().await;
    let copy = ground.rds.create_db_instance_read_replica().db_instance_identifier("orders");
    copy.source_db_instance_identifier("former").send().await.unwrap();
    ground.settle().await;
    ground.scene.must(0, &["resume", "--output", "json"]).await;
    let last = ground.overlay.snapshots().pop().unwrap().0;
    let found = ground.rds.describe_db_snapshots().db_snapshot_identifier(&last).send().await.unwrap();
    assert_eq!(found.db_snapshots()[0].db_instance_identifier(), Some("former"));
}
