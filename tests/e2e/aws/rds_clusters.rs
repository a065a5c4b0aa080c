//! Clusters of Aurora through the steps that change servers: what takes a while, what is lost, what is asked for once. Rests
//! on the overlay of RDS, which is our belief about AWS. A cluster's failover is in `failover`, its promotion in
//! `replica::rds`.

use std::{collections::BTreeMap, sync::Arc};

use aws_sdk_rds::{
    Client,
    types::{ApplyMethod, Parameter},
};
use pointsman::sandbox::aws::{NewBalancer, sdk_config};

use super::{
    overlay::rds::Rds,
    proxy::{Fault, at},
    support::Scene,
};

const RDS: &str = "rds";

struct Ground {
    scene: Scene,
    overlay: Arc<Rds>,
    rds: Client,
}

impl Ground {
    /// Clusters of two instances each, with one parameter group, and a runbook of these steps.
    async fn new(clusters: &[&str], steps: &str) -> Self {
        let scene = Scene::new(NewBalancer::default()).await;
        let overlay = Arc::new(Rds::default());
        scene.proxy.overlay(overlay.clone());
        let rds = Client::new(&sdk_config(&scene.proxy.url()));
        let systems: String =
            clusters.iter().map(|name| format!("  {name}: {{ rds: {{ cluster: {name} }} }}\n")).collect();
        scene.write(&format!(
            "version: 1\nname: clusters\nstage: rehearsal\naws: {{ timeout: 2s }}\nsystems:\n{systems}{steps}"
        ));
        let ground = Self { scene, overlay, rds };
        let group = ground.rds.create_db_cluster_parameter_group().db_cluster_parameter_group_name("ours");
        group.db_parameter_group_family("aurora-postgresql16").description("ours").send().await.unwrap();
        for name in clusters {
            ground.create(name).await;
        }
        ground.settle().await;
        ground
    }

    async fn create(&self, name: &str) {
        let create = self.rds.create_db_cluster().db_cluster_identifier(name).engine("aurora-postgresql");
        let create = create.db_cluster_parameter_group_name("ours").engine_version("16.4").master_username("root");
        create.master_user_password("hush-hush-hush").send().await.unwrap();
        for number in 1..=2 {
            let create = self.rds.create_db_instance().db_instance_identifier(format!("{name}-{number}"));
            let create = create.engine("aurora-postgresql").db_instance_class("db.r7g.large");
            create.db_cluster_identifier(name).send().await.unwrap();
        }
    }

    /// Looks until everything is at rest.
    async fn settle(&self) {
        let all = || self.overlay.instances().into_iter().chain(self.overlay.clusters());
        while !all().all(|(_, status)| ["available", "stopped"].contains(&status.as_str())) {
            self.rds.describe_db_instances().send().await.unwrap();
            self.rds.describe_db_clusters().send().await.unwrap();
        }
    }

    fn count(&self, action: &str) -> usize {
        self.scene.proxy.count(RDS, action)
    }

    /// What the group sets, and how it stands on each instance of `shop`.
    async fn group(&self) -> (BTreeMap<String, String>, Vec<String>) {
        let found = self.rds.describe_db_cluster_parameters().db_cluster_parameter_group_name("ours").source("user");
        let found = found.send().await.unwrap();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let set = found.parameters().iter().map(|one| (text(one.parameter_name()), text(one.parameter_value())));
        let shop = self.rds.describe_db_clusters().db_cluster_identifier("shop").send().await.unwrap();
        let members = shop.db_clusters()[0].db_cluster_members().iter();
        (set.collect(), members.map(|one| text(one.db_cluster_parameter_group_status())).collect())
    }
}

/// The snapshot is made once; readers are rebooted before the writer, each once; a rollback puts the group back.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_backed_up_and_obeys_its_group_whatever_is_lost() {
    let steps = "steps:\n  - preflight\n  - snapshot: { of: shop, timeout: 30s }\n  - parameters: { of: shop, timeout: 60s, \
                 set: { rds.logical_replication: 1, work_mem: 8192 } }\n";
    let ground = Ground::new(&["shop"], steps).await;
    let runbook = ground.scene.runbook.to_str().unwrap().to_owned();
    let policy = ground.scene.must(0, &["iam-policy", &runbook]).await.out;
    let planned = ground.scene.must(0, &["plan", &runbook]).await;
    assert!(planned.says("CreateDBClusterSnapshot") && planned.says("THE WRITER LAST"), "{planned:?}");
    ground.scene.proxy.forget();
    for action in ["CreateDBClusterSnapshot", "ModifyDBClusterParameterGroup", "RebootDBInstance"] {
        ground.scene.proxy.plant(at(RDS, action).only(1), Fault::ClosedAfter);
    }
    ground.scene.run(0).await;
    let made = ground.overlay.snapshots();
    assert!(made.len() == 1 && made[0].1 == "available", "{made:?}\n{}", ground.scene.story());
    assert_eq!((ground.count("CreateDBClusterSnapshot"), ground.count("ModifyDBClusterParameterGroup")), (1, 1));
    let reboots = ground.scene.proxy.calls().into_iter().filter(|call| call.action == "RebootDBInstance");
    let reboots: Vec<_> = reboots.map(|call| call.parameters["DBInstanceIdentifier"].clone()).collect();
    assert_eq!(reboots, ["shop-2", "shop-1"], "the writer is shop-1\n{}", ground.scene.story());
    let wanted = [("rds.logical_replication", "1"), ("work_mem", "8192")];
    let wanted: BTreeMap<_, _> = wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(ground.group().await, (wanted, vec!["in-sync".to_owned(); 2]));
    ground.scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(ground.group().await, (BTreeMap::new(), vec!["in-sync".to_owned(); 2]), "{}", ground.scene.story());
    assert_eq!((ground.overlay.snapshots().len(), ground.count("ResetDBClusterParameterGroup")), (1, 1));
    let calls = ground.scene.proxy.names();
    // What the test itself has looked at is among them, and is read by the run as well.
    for action in calls {
        assert!(policy.contains(&format!("\"{}\"", action.replace(' ', ":"))), "{action} is not in {policy}");
    }
}

/// StopDBCluster and StartDBCluster are asked for once each, behind one snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_left_is_stopped_once_and_comes_back() {
    let steps = "steps:\n  - bake: { for: 100ms }\n  - approve: { message: Old side?, timeout: 1s }\n  \
                 - decommission: { stop: [shop], timeout: 60s }\n";
    let ground = Ground::new(&["shop"], steps).await;
    ground.scene.run(4).await;
    ground.scene.must(0, &["approve", "--reason", "yes"]).await;
    ground.scene.proxy.plant(at(RDS, "CreateDBClusterSnapshot").only(1), Fault::ErrorAfter(503));
    ground.scene.proxy.plant(at(RDS, "StopDBCluster").only(1), Fault::ClosedAfter);
    ground.scene.proxy.plant(at(RDS, "StartDBCluster").only(1), Fault::HangsAfter);
    ground.scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!(ground.overlay.clusters(), [("shop".to_owned(), "stopped".to_owned())], "{}", ground.scene.story());
    assert_eq!((ground.count("StopDBCluster"), ground.overlay.snapshots().len()), (1, 1));
    ground.scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(ground.overlay.clusters(), [("shop".to_owned(), "available".to_owned())], "{}", ground.scene.story());
    assert_eq!(ground.count("StartDBCluster"), 1, "{}", ground.scene.story());
}

/// The name of a cluster is given to another, and back; each rename is asked for once.
#[tokio::test(flavor = "multi_thread")]
async fn a_clusters_name_is_given_to_another_and_back() {
    let steps = "  name: { rds-names: { from: shop, to: next, timeout: 60s } }\n\
                 steps:\n  - preflight\n  - switch: { endpoints: [name] }\n";
    let ground = Ground::new(&["shop", "next"], steps).await;
    let called = || ground.overlay.clusters().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    ground.scene.proxy.plant(at(RDS, "ModifyDBCluster").only(1), Fault::ClosedAfter);
    ground.scene.proxy.plant(at(RDS, "ModifyDBCluster").only(2), Fault::Throttled);
    ground.scene.run(0).await;
    assert_eq!(called(), ["shop-old", "shop"], "{}", ground.scene.story());
    assert_eq!(ground.count("ModifyDBCluster"), 3, "one was throttled\n{}", ground.scene.story());
    ground.scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(called(), ["shop", "next"], "{}", ground.scene.story());
    assert_eq!(ground.count("ModifyDBCluster"), 5, "{}", ground.scene.story());
}

/// A deployment of a cluster is made once, of it and its instances; a rollback deletes the record, then the green instances,
/// then the green cluster with a last snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_a_cluster_is_made_once_whatever_is_lost_and_taken_back() {
    let steps = "  green: { rds: { blue-green: upgrade } }\nsteps:\n  - preflight\n  - create-blue-green: { of: green, from: shop, \
                 engine-version: \"16.9\", undo: delete-with-snapshot, timeout: 60s }\n";
    let ground = Ground::new(&["shop"], steps).await;
    let told = ground.scene.run(3).await;
    assert!(told.says("rds.logical_replication is 0 in ours"), "{told:?}");
    let logical = Parameter::builder().parameter_name("rds.logical_replication").parameter_value("1");
    let logical = logical.apply_method(ApplyMethod::PendingReboot).build();
    let set = ground.rds.modify_db_cluster_parameter_group().db_cluster_parameter_group_name("ours");
    set.parameters(logical).send().await.unwrap();
    let told = ground.scene.run(3).await;
    assert!(told.says("waits for a reboot (ours is pending-reboot)"), "{told:?}");
    ground.rds.reboot_db_instance().db_instance_identifier("shop-1").send().await.unwrap();
    ground.settle().await;

    let runbook = ground.scene.runbook.to_str().unwrap().to_owned();
    let planned = ground.scene.must(0, &["plan", &runbook]).await;
    assert!(planned.says("of the cluster shop") && planned.says("DeleteDBCluster"), "{planned:?}");
    let policy = ground.scene.must(0, &["iam-policy", &runbook]).await.out;
    ground.scene.proxy.forget();
    for action in ["CreateBlueGreenDeployment", "DeleteBlueGreenDeployment", "DeleteDBInstance", "DeleteDBCluster"] {
        ground.scene.proxy.plant(at(RDS, action).only(1), Fault::ClosedAfter);
    }
    ground.scene.run(0).await;
    let names = |found: Vec<(String, String)>| found.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(ground.overlay.clusters()), ["shop", "shop-green"], "{}", ground.scene.story());
    assert_eq!(names(ground.overlay.instances()), ["shop-1", "shop-2", "shop-1-green", "shop-2-green"]);
    ground.scene.must(5, &["rollback", "--output", "json"]).await;
    let story = ground.scene.story();
    let asked = ["CreateBlueGreenDeployment", "DeleteBlueGreenDeployment", "DeleteDBInstance", "DeleteDBCluster"];
    assert_eq!(asked.map(|action| ground.count(action)), [1, 1, 2, 1], "{story}");
    assert_eq!(
        (names(ground.overlay.clusters()), ground.overlay.deployments().len()),
        (vec!["shop".into()], 0),
        "{story}"
    );
    assert_eq!(names(ground.overlay.instances()), ["shop-1", "shop-2"], "{story}");
    assert!(ground.overlay.snapshots().last().unwrap().0.starts_with("pointsman-"), "{story}");
    for call in ground.scene.proxy.names().iter().filter(|name| name.starts_with(RDS)) {
        assert!(policy.contains(&format!("\"{}\"", call.replace(' ', ":"))), "{call} is not in {policy}");
    }
}
