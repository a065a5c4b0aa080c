//! Promotion of a physical replica: a real streaming standby, promoted under load, and back along a logical stream that
//! begins at exactly that point.

pub mod blue_green;
mod killing;
mod rds;
mod support;

use pointsman::{
    executor::state::Side as Writer,
    sandbox::{Role, SandboxOptions, history::Side, postgres::Postgres},
};

use crate::cutover::support::{BUDGET, SLACK, Staged, ended};
use support::{Stage, steps};

/// Transactions a second.
const RATE: f64 = 500.0;

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_and_there_for_good() {
    let stage = Stage::new().await;
    let load = stage.scene.load(RATE);
    load.flows().await;
    stage.scene.run(0).await;
    assert_eq!(stage.scene.state().writer, Writer::Target);
    load.flows().await;
    stage.scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    stage.assert_undone("rolled back after its end").await;
    let mut seen = load.stop().await;
    stage.scene.clean(&mut seen, Side::Source, 2).await;
    println!("there and back: longest wait {:?}", seen.longest_wait());
    assert!(seen.longest_wait() < BUDGET + SLACK, "{:?}\n{}", seen.longest_wait(), stage.scene.story());

    stage.replica_again().await;
    let mut all = steps();
    all.extend([r#"approve: { message: "Drop the way back?" }"#, "finalize"].map(String::from));
    stage.scene.write(&all);
    let load = stage.scene.load(RATE);
    load.flows().await;
    let run = stage.scene.command(&stage.scene.run_words()).spawn().unwrap();
    stage.scene.until("it asks", |event| support::begins(event, "approve")).await;
    stage.scene.must(0, &["approve"]).await;
    assert_eq!(ended(run).await.code, 0, "{}", stage.scene.story());
    load.flows().await;
    let mut again = load.stop().await;
    stage.scene.clean(&mut again, Side::Target, 1).await;
    // What the clients of the first half wrote has come along too.
    stage.scene.clean(&mut seen, Side::Target, 2).await;
    stage.assert_nothing_of_ours(&stage.scene.sandbox.target).await;
    stage.assert_nothing_of_ours(&stage.scene.sandbox.source).await;
}

/// Where nobody is superuser the roles are fenced, and the fence goes to the replica with everything else.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_no_superuser_promotes_and_goes_back() {
    let options = SandboxOptions { source_version: 17, target_version: 17, ..Postgres::options() };
    let mut stage = Stage::with(options).await;
    let source = stage.scene.sandbox.source.connect(Role::Superuser).await.unwrap();
    let grant = "GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO mover";
    source.batch_execute(grant).await.unwrap();
    let env = stage.scene.sandbox.env_as(Role::Mover);
    stage.scene.add_env(env);
    let load = stage.scene.load(RATE);
    load.flows().await;
    stage.scene.run(0).await;
    assert_eq!(stage.scene.state().writer, Writer::Target);
    load.flows().await;
    stage.scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    stage.assert_undone("rolled back by a role that is no superuser").await;
    let mut seen = load.stop().await;
    stage.scene.clean(&mut seen, Side::Source, 2).await;
}
