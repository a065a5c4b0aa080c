//! A Blue/Green deployment of MySQL: made by a run, switched over by RDS in the window, and back along a stream that begins
//! by file and position exactly where the green one opened, though RDS has written there by itself.

use pointsman::{
    executor::state::Side as Writer,
    journal::{Act, Event, halt},
    sandbox::{history::Side, mysql::Family},
};

use super::instances::{DEPLOYMENT, How, OnRds};
use crate::{
    aws::proxy::{Fault, at},
    cutover::support::{KILLED, ended, steps_to_the_end},
    mysql::pairs::sql,
};

/// Transactions a second.
const RATE: f64 = 100.0;

/// The point of no return is passed, and RDS was not asked yet.
fn promotes(event: &Event) -> bool {
    matches!(event, Event::Intent { of, .. } if of.step == "promote" && of.act == Act::Apply)
}

async fn there_and_back_and_there_for_good<const M: bool>() {
    let on = OnRds::<M>::new(How::BlueGreen).await;
    let scene = &on.scene;
    on.deploy().await;
    let check = ["check", scene.runbook.to_str().unwrap()];
    let told = scene.call(&check).await;
    assert_eq!((told.code, told.says("RDS replicates it by the binary log")), (0, true), "{told:?}");
    if !M {
        refuses_what_follows_another(&on).await;
    }

    let load = scene.load(RATE);
    load.flows().await;
    on.proxy.plant(at("rds", "SwitchoverBlueGreenDeployment").only(1), Fault::ClosedAfter);
    scene.run(0).await;
    let count = |operation: &str| on.proxy.count("rds", operation);
    assert_eq!(count("SwitchoverBlueGreenDeployment"), 1, "its answer was lost, and it was done");
    assert_eq!((count("RebootDBInstance"), scene.state().writer), (1, Writer::Target), "{}", scene.story());
    assert_eq!(on.overlay.deployment_status(DEPLOYMENT), "SWITCHOVER_COMPLETED");
    let mut seen = on.led_back(load).await;

    on.again().await;
    on.write(&steps_to_the_end::<Family<M>>());
    let seq = scene.entries().iter().find(|entry| promotes(&entry.event)).unwrap().seq;
    let load = scene.load(RATE);
    load.flows().await;
    let run = scene.command(&scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
    assert_eq!(ended(run).await.code, KILLED, "{}", scene.story());
    assert!(
        promotes(&scene.entries()[usize::try_from(seq).unwrap() - 1].event),
        "it died elsewhere\n{}",
        scene.story()
    );
    scene.guard_gone().await;
    load.flows().await;
    assert_eq!(scene.state().writer, Writer::Target, "{}", scene.story());
    let run = scene.command(&["resume", "--output", "json"]).spawn().unwrap();
    scene.until("it asks", |event| matches!(event, Event::Intent { of, .. } if of.step == "approve")).await;
    scene.must(0, &["approve"]).await;
    assert_eq!(ended(run).await.code, 0, "{}", scene.story());
    load.flows().await;
    let mut again = load.stop().await;
    scene.clean(&mut again, Side::Target, 1).await;
    scene.clean(&mut seen, Side::Target, 2).await;
    assert_eq!((count("SwitchoverBlueGreenDeployment"), count("DeleteBlueGreenDeployment")), (2, 1));
}

/// RDS switches over nothing that follows somebody else.
async fn refuses_what_follows_another<const M: bool>(on: &OnRds<M>) {
    let (source, port) = (&on.scene.sandbox.source, on.scene.sandbox.target.port());
    let feed = format!(
        "CREATE USER feed@'%' IDENTIFIED BY 'feed'; GRANT REPLICATION SLAVE ON *.* TO feed@'%'; \
         CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'feed', \
         SOURCE_PASSWORD = 'feed', SOURCE_AUTO_POSITION = 0, GET_SOURCE_PUBLIC_KEY = 1 FOR CHANNEL 'feed'; \
         START REPLICA FOR CHANNEL 'feed'"
    );
    sql(source, &feed).await;
    let told = on.scene.must(3, &["check", on.scene.runbook.to_str().unwrap()]).await;
    assert!(told.says("it follows another server"), "{told:?}");
    sql(source, "STOP REPLICA FOR CHANNEL 'feed'; RESET REPLICA ALL FOR CHANNEL 'feed'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_there_and_back_and_there_for_good() {
    there_and_back_and_there_for_good::<false>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_there_and_back_and_there_for_good() {
    there_and_back_and_there_for_good::<true>().await;
}
