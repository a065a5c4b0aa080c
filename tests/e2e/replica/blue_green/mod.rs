//! The same through a Blue/Green deployment of RDS: the window switches it over, and what AWS leaves out, the way back,
//! begins at exactly that point.
//!
//! Rests on the overlay of RDS, which is our belief about AWS. The servers behind both instances are real.

mod cluster;
pub mod front;
mod killing;
mod logical;
mod major;
mod support;

use pointsman::{executor::state::Side as Writer, journal::Event, sandbox::history::Side};

use crate::{
    aws::proxy::{Fault, at},
    cutover::support::{Load, ended},
    replica::support::begins,
};
use support::{Account, DEPLOYMENT, steps};

/// Whether a run tells that RDS says so.
fn told(event: &Event, said: &str) -> bool {
    matches!(event, Event::Noted { note, .. } if note["rds-event"]["message"] == said)
}

/// RDS has told of the switchover and of the reboot once each; a rollback leads the pooler to the old one, by its name of now.
async fn led_back(account: &Account, load: &Load) {
    let scene = &account.stage.scene;
    for said in ["Switchover completed on blue/green deployment.", "DB instance restarted"] {
        let told = scene.entries().into_iter().filter(|entry| told(&entry.event, said)).count();
        assert_eq!(told, 1, "RDS says once: {said}\n{}", scene.story());
    }
    let name = |port: u16| format!("port={port} ");
    assert!(account.pooled().contains(&name(account.fronts.port("orders"))), "{}", account.pooled());
    load.flows().await;
    scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    assert!(account.pooled().contains(&name(account.fronts.port("orders-old1"))), "{}", account.pooled());
    account.stage.assert_undone("after a rollback").await;
}

/// Transactions a second.
const RATE: f64 = 200.0;

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_and_there_for_good() {
    let account = Account::new().await;
    let scene = &account.stage.scene;
    let load = scene.load(RATE);
    load.flows().await;
    scene.run(0).await;
    assert_eq!((account.asked(), scene.state().writer), (1, Writer::Target), "{}", scene.story());
    assert_eq!(account.overlay.deployment_status(DEPLOYMENT), "SWITCHOVER_COMPLETED");
    assert_eq!(account.proxy.count("rds", "RebootDBInstance"), 1, "the old one takes writes again");
    led_back(&account, &load).await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 2).await;
    println!("there and back: longest wait {:?}", seen.longest_wait());
    assert_eq!((account.asked(), account.proxy.count("rds", "DeleteBlueGreenDeployment")), (1, 0));

    account.again().await;
    let end = [r#"approve: { message: "Drop the way back?" }"#, "finalize"].map(String::from);
    account.write(&[steps(), end.to_vec()].concat());
    let load = scene.load(RATE);
    load.flows().await;
    let run = scene.command(&scene.run_words()).spawn().unwrap();
    scene.until("it asks", |event| begins(event, "approve")).await;
    scene.must(0, &["approve"]).await;
    assert_eq!(ended(run).await.code, 0, "{}", scene.story());
    load.flows().await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Target, 1).await;
    for server in [&scene.sandbox.source, &scene.sandbox.target] {
        account.stage.assert_nothing_of_ours(server).await;
    }
    assert_eq!(account.overlay.deployment_status(DEPLOYMENT), "", "its record is deleted");
    let left: Vec<_> = account.overlay.instances().into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["orders-old1", "orders"], "both instances stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_whose_answer_is_lost_is_asked_for_once() {
    let account = Account::new().await;
    let scene = &account.stage.scene;
    account.overlay.each_state_lasts(4);
    account.proxy.plant(at("rds", "SwitchoverBlueGreenDeployment").only(1), Fault::Throttled);
    account.proxy.plant(at("rds", "SwitchoverBlueGreenDeployment").only(2), Fault::ClosedAfter);
    account.proxy.plant(at("rds", "RebootDBInstance").only(1), Fault::ClosedAfter);
    let load = scene.load(RATE);
    load.flows().await;
    scene.run(0).await;
    assert_eq!((account.asked(), scene.state().writer), (2, Writer::Target), "one was throttled\n{}", scene.story());
    assert_eq!(account.proxy.count("rds", "RebootDBInstance"), 1, "{}", scene.story());
    load.flows().await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Target, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rds_refuses_holds_the_run_and_goes_on_when_it_is_mended() {
    let account = Account::new().await;
    let scene = &account.stage.scene;
    let load = scene.load(RATE);
    load.flows().await;
    account.overlay.switchovers_fail(Some("Replication lag is too high."));
    scene.run(6).await;
    scene.guard_gone().await;
    let hold = scene.state().hold.unwrap();
    assert!(hold.contains("SWITCHOVER_FAILED: Replication lag is too high.") && hold.contains("retry"), "{hold}");
    assert_eq!(account.asked(), 1, "a person is asked before it is asked for again");
    let told = scene.must(0, &["status"]).await;
    assert!(told.says("rollback not now") && told.says("Writes still wait"), "{told:?}");
    assert!(told.says("left the run held") && told.says("and then resume") && !told.says("or rollback"), "{told:?}");

    account.overlay.switchovers_fail(None);
    account.proxy.plant(at("rds", "RebootDBInstance").only(1), Fault::Denied);
    scene.must(0, &["retry"]).await;
    scene.must(4, &["resume", "--output", "json"]).await;
    assert_eq!((account.asked(), scene.state().writer), (2, Writer::Target), "{}", scene.story());
    load.flows().await;
    let told = scene.must(0, &["status"]).await;
    assert!(told.says("the old server is rebooted and follows first"), "{told:?}");
    // Nothing is frozen as long as the way back can't be laid; then it is laid first.
    scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    account.stage.assert_undone("rolled back before the way back was proved").await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_switched_over_is_said_before() {
    let account = Account::without_deployment().await;
    let scene = &account.stage.scene;
    let check = ["check", scene.runbook.to_str().unwrap()];
    let told = scene.call(&check).await;
    assert!(told.code != 0 && told.says("aws rds create-blue-green-deployment"), "{told:?}");
    account.make().await;
    let source = scene.sandbox.source.connect(pointsman::sandbox::Role::Superuser).await.unwrap();
    source.batch_execute("SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')").await.unwrap();
    let told = scene.must(3, &check).await;
    assert!(told.says("it is a logical publisher or subscriber"), "{told:?}");
    source.batch_execute("SELECT pg_drop_replication_slot('theirs')").await.unwrap();
    scene.must(0, &check).await;
}
