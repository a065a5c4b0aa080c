//! `create-blue-green`, and the events of RDS while a run waits for it, through everything that can happen to a call and to
//! the executor. Rests on the overlay of RDS, which is our belief about AWS.

use pointsman::journal::Event;

use super::{
    proxy::{Fault, at},
    rds_steps::Ground,
};

const RDS: &str = "rds";
const NAME: &str = "orders-upgrade";
const GREEN: &str = "orders-green";
const SYSTEMS: &str = "  green: { rds: { blue-green: orders-upgrade } }\nsteps:\n";
const MADE: &str = "  - create-blue-green: { of: green, from: orders, engine-version: \"17.6\", class: db.m7g.xlarge, \
                    storage: 40GiB, storage-type: gp3, iops: 4000, undo: UNDO }\n";

/// API reference, DeleteDBInstance: no `FinalDBSnapshotIdentifier` "when deleting a read replica".
const STILL_A_REPLICA: Fault = Fault::Refused(400, "InvalidParameterCombination", "It is a read replica.");
/// To be put before it.
const PREFLIGHT: &str = "steps:\n  - preflight\n";

/// An instance `orders`, and a runbook that makes a deployment of it.
async fn ground(undo: &str) -> Ground {
    let ground = Ground::new(&MADE.replace("UNDO", undo)).await;
    let text = std::fs::read_to_string(&ground.scene.runbook).unwrap();
    ground.scene.write(&text.replacen("steps:\n", SYSTEMS, 1));
    ground
}

impl Ground {
    /// What RDS says, as the run tells it, in its order.
    fn told(&self) -> Vec<String> {
        let told = |event: Event| match event {
            Event::Noted { note, .. } => Some(note.get("rds-event")?["message"].as_str()?.to_owned()),
            _ => None,
        };
        self.scene.entries().into_iter().filter_map(|entry| told(entry.event)).collect()
    }

    /// How often it was told that the deployment is made.
    fn told_that_it_is_made(&self) -> usize {
        self.told().iter().filter(|message| message.starts_with("Blue/green deployment tasks completed")).count()
    }

    fn asked(&self) -> usize {
        self.scene.proxy.count(RDS, "CreateBlueGreenDeployment")
    }

    async fn deploy(&self, class: &str) {
        let source = self.overlay.shows("orders", "DBInstanceArn");
        let call = self.rds.create_blue_green_deployment().blue_green_deployment_name(NAME).source(source);
        call.target_db_instance_class(class).send().await.unwrap();
        while self.overlay.deployment_status(NAME) != "AVAILABLE" {
            self.rds.describe_blue_green_deployments().send().await.unwrap();
        }
    }
}

/// It is made once with the settings of the plan, RDS's events are told once each, and a rollback deletes the record, and the
/// green instance with a last snapshot. To read events may be refused, whatever the reason: nothing comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_made_once_whatever_is_lost_and_taken_back() {
    let ground = ground("delete-with-snapshot").await;
    let plan = ground.scene.must(0, &["plan", ground.scene.runbook.to_str().unwrap()]).await;
    assert!(plan.says("\"TargetEngineVersion\":\"17.6\"") && plan.says("DeleteBlueGreenDeployment"), "{plan:?}");
    let policy = ground.scene.must(0, &["iam-policy", ground.scene.runbook.to_str().unwrap()]).await.out;
    let faults = [
        ("CreateBlueGreenDeployment", Fault::ClosedAfter, 1, 1),
        ("CreateBlueGreenDeployment", Fault::ClosedBefore, 2, 1),
        ("CreateBlueGreenDeployment", Fault::Throttled, 2, 1),
        ("DeleteBlueGreenDeployment", Fault::ErrorAfter(503), 1, 1),
        ("DeleteDBInstance", STILL_A_REPLICA, 1, 1),
        ("DescribeEvents", Fault::Denied, 1, 0),
        ("DescribeEvents", Fault::HangsBefore, 1, 0),
    ];
    for (action, fault, asked, told) in faults {
        ground.scene.proxy.forget();
        let which = at(RDS, action);
        ground.scene.proxy.plant(if action == "DescribeEvents" { which } else { which.only(1) }, fault);
        ground.scene.run(0).await;
        let story = ground.scene.story();
        assert_eq!((ground.asked(), ground.told_that_it_is_made()), (asked, told), "{action}\n{story}");
        assert_eq!(
            (ground.overlay.deployments().len(), ground.overlay.deployment_status(NAME)),
            (1, "AVAILABLE".into())
        );
        let shows = ["EngineVersion", "DBInstanceClass", "AllocatedStorage", "StorageType", "Iops"];
        let shows = shows.map(|field| ground.overlay.shows(GREEN, field));
        assert_eq!(shows, ["17.6", "db.m7g.xlarge", "40", "gp3", "4000"].map(String::from), "{action}");
        ground.scene.must(5, &["rollback", "--output", "json"]).await;
        for name in ground.scene.proxy.names().iter().filter(|name| name.starts_with(RDS)) {
            assert!(policy.contains(&format!("\"{}\"", name.replace(' ', ":"))), "{name} is not in {policy}");
        }
        ground.scene.proxy.heal();
        let left: Vec<_> = ground.overlay.instances().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            (ground.overlay.deployments().len(), left),
            (0, vec!["orders".to_owned()]),
            "{action}\n{}",
            ground.scene.story()
        );
        assert!(ground.overlay.snapshots().last().unwrap().0.starts_with("pointsman-"), "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_entry_a_deployment_is_made_once_and_its_events_are_told_once() {
    let ground = ground("keep").await;
    for seq in 3.. {
        ground.scene.proxy.forget();
        let Some(what) = ground.killed_at(&ground.scene.run_words(), &seq.to_string()).await else {
            assert!(seq > 8, "a run has more entries than {seq}");
            return;
        };
        if ground.scene.state().outcome.is_none() {
            ground.scene.must(0, &["resume", "--output", "json"]).await;
        }
        let story = ground.scene.story();
        assert_eq!((ground.asked(), ground.overlay.deployments().len()), (1, 1), "killed at {what}\n{story}");
        assert_eq!(ground.told_that_it_is_made(), 1, "killed at {what}\n{story}");
        let mut told = ground.told();
        let all = told.len();
        told.sort();
        told.dedup();
        assert_eq!(told.len(), all, "killed at {what}: {told:?}");
        // The way back is killed, too.
        let last = ground.scene.entries().last().unwrap().seq;
        ground.killed_at(&["rollback", "--output", "json"], &(last + 1 + seq % 5).to_string()).await;
        if ground.scene.state().outcome.is_some_and(|(outcome, _)| outcome == pointsman::journal::Outcome::Done) {
            ground.scene.must(5, &["rollback", "--output", "json"]).await;
        } else if ground.scene.state().outcome.is_none() {
            ground.scene.must(5, &["resume", "--output", "json"]).await;
        }
        assert!(ground.overlay.deployments().is_empty(), "killed at {what}\n{}", ground.scene.story());
        ground.settle().await;
        assert_eq!(ground.overlay.shows(GREEN, "DBInstanceStatus"), "available", "it is kept");
        ground.rds.delete_db_instance().db_instance_identifier(GREEN).skip_final_snapshot(true).send().await.unwrap();
        while ground.overlay.instances().len() > 1 {
            ground.rds.describe_db_instances().send().await.unwrap();
        }
    }
}

/// Somebody else's is told with what is otherwise, and not touched; what was switched over since is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_any_more_is_not_touched() {
    let ground = ground("delete-with-snapshot").await;
    ground.deploy("db.m7g.large").await;
    let text = std::fs::read_to_string(&ground.scene.runbook).unwrap();
    ground.scene.write(&text.replacen("steps:\n", PREFLIGHT, 1));
    let refused = ground.scene.run(3).await;
    assert!(refused.says("there is such a deployment already"), "{refused:?}");
    ground.scene.write(&text);
    ground.scene.proxy.forget();
    ground.scene.run(4).await;
    let held = ground.scene.held();
    assert!(held.contains("has not made it") && held.contains("class db.m7g.large, planned db.m7g.xlarge"), "{held}");
    ground.scene.must(5, &["rollback", "--output", "json"]).await;
    assert!(ground.scene.proxy.writes().is_empty(), "{:?}", ground.scene.proxy.names());
    let mine = ground.rds.describe_blue_green_deployments().send().await.unwrap();
    let id = mine.blue_green_deployments()[0].blue_green_deployment_identifier().unwrap().to_owned();
    ground
        .rds
        .delete_blue_green_deployment()
        .blue_green_deployment_identifier(id)
        .delete_target(true)
        .send()
        .await
        .unwrap();
    while ground.overlay.instances().len() > 1 {
        ground.rds.describe_db_instances().send().await.unwrap();
    }

    ground.scene.run(0).await;
    let mine = ground.rds.describe_blue_green_deployments().send().await.unwrap();
    let id = mine.blue_green_deployments()[0].blue_green_deployment_identifier().unwrap().to_owned();
    ground.rds.switchover_blue_green_deployment().blue_green_deployment_identifier(id).send().await.unwrap();
    ground.scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(ground.overlay.deployment_status(NAME), "SWITCHOVER_COMPLETED", "{}", ground.scene.story());
    assert_eq!(ground.overlay.instances().len(), 2, "what serves now is not deleted");
}

/// Its words are RDS's own, with the task that failed and its event; a rollback deletes the record.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_rds_can_not_make_is_told_in_its_words() {
    let ground = ground("keep").await;
    ground.overlay.deployments_fail(Some("the parameter group is of another family"));
    ground.scene.run(4).await;
    let held = ground.scene.held();
    assert!(held.contains("INVALID_CONFIGURATION: the parameter group is of another family"), "{held}");
    assert!(held.contains("DB_ENGINE_VERSION_UPGRADE FAILED"), "{held}");
    let told = ground.told();
    assert!(told.iter().any(|message| message.starts_with("Creation of blue/green deployment failed")), "{told:?}");
    ground.scene.must(5, &["rollback", "--output", "json"]).await;
    assert!(ground.overlay.deployments().is_empty(), "{}", ground.scene.story());
    // What could not be switched over is refused before anything is made.
    let text = std::fs::read_to_string(&ground.scene.runbook).unwrap();
    ground.scene.write(&text.replace("\"17.6\"", "\"18.1\"").replacen("steps:\n", PREFLIGHT, 1));
    ground.scene.proxy.forget();
    let refused = ground.scene.run(3).await;
    assert!(refused.says("another major version") && ground.asked() == 0, "{refused:?}");
}
