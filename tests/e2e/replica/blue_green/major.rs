//! To another major version, which RDS replicates logically: the same window, the same way back.
//!
//! Rests on the overlay of RDS, which is our belief about AWS. Its publication and subscription are real ones; a change of the
//! schema of the blue database before the switchover is noticed, even one that was taken back, and stops the switchover.

use pointsman::{
    executor::state::Side as Writer,
    journal::Event,
    runbook::model::Postgres,
    sandbox::{Role, history::Side},
    systems::postgres::{
        Access, Database,
        hold::{self, Hold},
        setup,
    },
};

use super::{
    RATE,
    killing::kill_at,
    logical,
    support::{Account, DEPLOYMENT, steps},
};
use crate::{
    aws::proxy::{Fault, at},
    cutover::support::ended,
    replica::support::begins,
};

/// As on RDS: nobody is superuser. The deployment is made by a run; then RDS refuses, is asked again, and it is for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_no_superuser_makes_one_and_goes_there_for_good() {
    let account = Account::before_another_major(17, Role::Mover).await;
    let scene = &account.stage.scene;
    account.make().await;
    let check = ["check", scene.runbook.to_str().unwrap()];
    scene.must(0, &check).await;
    let blue = scene.sandbox.source.connect(Role::Superuser).await.unwrap();
    blue.batch_execute("SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')").await.unwrap();
    let told = scene.must(3, &check).await;
    assert!(told.says("it is a logical publisher or subscriber") && told.says("slot theirs"), "{told:?}");
    blue.batch_execute("SELECT pg_drop_replication_slot('theirs')").await.unwrap();

    account.overlay.switchovers_fail(Some("Replication lag is too high."));
    let end = [r#"approve: { message: "Drop the way back?" }"#, "finalize"].map(String::from);
    account.write(&[steps(), end.to_vec()].concat());
    let load = scene.load(RATE);
    load.flows().await;
    scene.run(6).await;
    scene.guard_gone().await;
    let hold = scene.state().hold.unwrap();
    assert!(hold.contains("SWITCHOVER_FAILED: Replication lag is too high.") && hold.contains("retry"), "{hold}");
    assert!(logical::is_followed(&scene.sandbox.target).await && account.asked() == 1, "{}", scene.story());

    account.overlay.switchovers_fail(None);
    scene.must(0, &["retry"]).await;
    let run = scene.command(&["resume", "--output", "json"]).spawn().unwrap();
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
}

/// A change of the schema is seen before; one that was taken back is not, and RDS has found it. Behind the commit point there
/// is a way forward all the same: without its deployment the green instance is one of its own, and has everything.
#[tokio::test(flavor = "multi_thread")]
async fn what_rds_will_never_switch_over_goes_on_without_it() {
    let account = Account::to_another_major(15, Role::Superuser).await;
    let scene = &account.stage.scene;
    let blue = scene.sandbox.source.connect(Role::Superuser).await.unwrap();
    blue.batch_execute("CREATE TABLE public.late (id bigint PRIMARY KEY)").await.unwrap();
    let told = scene.must(3, &["check", scene.runbook.to_str().unwrap()]).await;
    assert!(told.says("public.late") && told.says("target-content"), "{told:?}");
    blue.batch_execute("DROP TABLE public.late").await.unwrap();
    a_setting_holds_a_run(&scene.sandbox.source.url(Role::Superuser, "shop")).await;
    let load = scene.load(RATE);
    load.flows().await;
    scene.run(6).await;
    scene.guard_gone().await;
    let hold = scene.state().hold.unwrap();
    assert!(hold.contains("Replication degraded") && hold.contains("CREATE TABLE"), "{hold}");

    let found = account.client.describe_blue_green_deployments().send().await.unwrap();
    let id = found.blue_green_deployments()[0].blue_green_deployment_identifier().unwrap();
    account.client.delete_blue_green_deployment().blue_green_deployment_identifier(id).send().await.unwrap();
    scene.must(0, &["retry"]).await;
    scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!((account.asked(), scene.state().writer), (1, Writer::Target), "{}", scene.story());
    load.flows().await;
    scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    account.stage.assert_undone("rolled back without a switchover of RDS").await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 2).await;
}

/// Only the executor with the highest epoch of the one run that has the database may change it.
async fn a_setting_holds_a_run(url: &str) {
    let spec = Postgres { url: url.to_owned(), ..Postgres::default() };
    let database = Database { name: "blue".into(), spec };
    let session = database.connect(Access::ReadWrite).await.unwrap();
    let held = async |run: &str, epoch: u64| session.batch("hold it", &Hold::Setting.held(run, epoch)).await.is_ok();
    let owner = async || hold::owner(&session).await.unwrap();
    assert!(!held("one", 1).await && owner().await.is_none());
    setup::raise_epoch(&session, "one", 1).await.unwrap();
    assert_eq!(owner().await, None, "nobody has claimed it");
    hold::claim(&session, "one", 1).await.unwrap();
    assert!(hold::claim(&session, "two", 1).await.unwrap_err().is_code(setup::CLAIMED));
    assert!(held("one", 1).await && !held("one", 2).await && !held("two", 1).await);
    setup::raise_epoch(&session, "one", 3).await.unwrap();
    setup::raise_epoch(&session, "two", 9).await.unwrap();
    setup::raise_epoch(&session, "one", 2).await.unwrap();
    hold::claim(&session, "one", 2).await.unwrap();
    assert!(held("one", 3).await && !held("one", 2).await && !held("one", 1).await);
    hold::release(&session, "two").await.unwrap();
    assert_eq!(owner().await.as_deref(), Some("one"));
    hold::release(&session, "one").await.unwrap();
    assert!(owner().await.is_none() && !held("one", 3).await);
}

/// There and back, whatever answer is lost. Then SIGKILL at each entry from the drain to the end of the window: the window is
/// left or finished by the guard, nothing is lost or doubled, RDS is asked for one switchover, and the way back works whatever
/// was in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_whatever_answer_is_lost_and_killed_at_each_entry_around_the_switchover() {
    let account = Account::to_another_major(15, Role::Superuser).await;
    there_and_back(&account).await;
    let scene = &account.stage.scene;
    // What is not around the switchover is killed elsewhere.
    account.write(
        &steps().into_iter().filter(|step| AROUND.iter().any(|kind| step.starts_with(kind))).collect::<Vec<_>>(),
    );
    account.overlay.each_state_lasts(1);
    account.again().await;
    scene.run(0).await;
    let at = |wanted: fn(&Event) -> bool| scene.entries().iter().find(|entry| wanted(&entry.event)).unwrap().seq;
    let first = at(|event| begins(event, "drain"));
    let committed = at(|event| matches!(event, Event::Committed { .. }));
    let last = at(|event| matches!(event, Event::Passed { .. }));
    scene.must(5, &["rollback", "--output", "json"]).await;
    for seq in first..=last {
        kill_at(&account, seq, seq > committed && seq % 2 == 1).await;
    }
}

/// The steps of a run that is killed.
const AROUND: [&str; 3] = ["replicate", "wait", "window"];

async fn there_and_back(account: &Account) {
    let scene = &account.stage.scene;
    account.overlay.each_state_lasts(4);
    account.proxy.plant(at("rds", "SwitchoverBlueGreenDeployment").only(1), Fault::Throttled);
    account.proxy.plant(at("rds", "SwitchoverBlueGreenDeployment").only(2), Fault::ClosedAfter);
    account.proxy.plant(at("rds", "RebootDBInstance").only(1), Fault::ClosedAfter);
    let load = scene.load(RATE);
    load.flows().await;
    scene.run(0).await;
    assert_eq!((account.asked(), scene.state().writer), (2, Writer::Target), "one was throttled\n{}", scene.story());
    assert_eq!(account.overlay.deployment_status(DEPLOYMENT), "SWITCHOVER_COMPLETED");
    assert_eq!(account.proxy.count("rds", "RebootDBInstance"), 1, "{}", scene.story());
    load.flows().await;
    scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    account.stage.assert_undone("after a rollback").await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 2).await;
    println!("there and back: longest wait {:?}", seen.longest_wait());
}
