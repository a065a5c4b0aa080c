//! A cluster of Aurora, which RDS replicates logically whatever its version: the green one is a clone with the very same system
//! identifier, all names move, and the way back waits for the reboot of the old cluster's writer.
//!
//! Rests on the overlay of RDS, which is our belief about AWS. Its publication and subscription are real ones.

use pointsman::{executor::state::Side as Writer, sandbox::history::Side};

use super::{
    RATE, led_back, logical,
    support::{Account, DEPLOYMENT},
};
use crate::aws::proxy::{Fault, at};

/// The names of what stands.
fn names(found: Vec<(String, String)>) -> Vec<String> {
    found.into_iter().map(|(name, _)| name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_made_green_and_goes_there_and_back_whatever_answer_is_lost() {
    let account = Account::of_a_cluster().await;
    let scene = &account.stage.scene;
    account.make().await;
    assert!(logical::is_followed(&scene.sandbox.target).await, "a cluster follows logically");
    let runbook = scene.runbook.to_str().unwrap();
    scene.must(0, &["check", runbook]).await;
    let planned = scene.must(0, &["plan", runbook]).await;
    assert!(planned.says("SwitchoverBlueGreenDeployment") && planned.says("logically"), "{planned:?}");
    let text = std::fs::read_to_string(&scene.runbook).unwrap();
    std::fs::write(&scene.runbook, text.replace("cluster: orders", "instance: orders-1")).unwrap();
    let refused = scene.call(&["check", runbook]).await;
    assert!(refused.code != 0 && refused.says("cluster:orders, and blue is the instance orders-1"), "{refused:?}");
    std::fs::write(&scene.runbook, text).unwrap();
    let policy = scene.must(0, &["iam-policy", runbook]).await.out;
    account.proxy.forget();
    account.proxy.plant(at("rds", "SwitchoverBlueGreenDeployment").only(1), Fault::ClosedAfter);
    account.proxy.plant(at("rds", "RebootDBInstance").only(1), Fault::ClosedAfter);
    let load = scene.load(RATE);
    load.flows().await;
    scene.run(0).await;
    assert_eq!((account.asked(), scene.state().writer), (1, Writer::Target), "{}", scene.story());
    assert_eq!(account.overlay.deployment_status(DEPLOYMENT), "SWITCHOVER_COMPLETED");
    assert_eq!(names(account.overlay.clusters()), ["orders-old1", "orders"]);
    assert_eq!(names(account.overlay.instances()), ["orders-1-old1", "orders-1"], "its instances, too");
    let reboots = account.proxy.calls().into_iter().filter(|call| call.action == "RebootDBInstance");
    let reboots: Vec<_> = reboots.map(|call| call.parameters["DBInstanceIdentifier"].clone()).collect();
    assert_eq!(reboots, ["orders-1-old1"], "the old writer takes writes again\n{}", scene.story());
    led_back(&account, &load).await;
    for call in account.proxy.names().iter().filter(|name| name.starts_with("rds")) {
        assert!(policy.contains(&format!("\"{}\"", call.replace(' ', ":"))), "{call} is not in {policy}");
    }
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 2).await;
    println!("there and back: longest wait {:?}", seen.longest_wait());
}
