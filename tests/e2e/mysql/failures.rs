//! What goes wrong around a window of MySQL and MariaDB: locks that a freeze waits for, transactions that are open, a
//! write on the target that nobody was meant to make, a stream that is cut.

use std::time::Duration;

use pointsman::{
    executor::state::Side as Writer,
    sandbox::{
        Role, Shop,
        history::Side,
        mysql::{Mariadb, Mysql, MysqlClient},
    },
};

use super::RATE;
use crate::cutover::support::{DOOR, Scene, Staged, steps_with};

/// Read-only waits for a table that somebody has locked, and every writer would wait behind it: it is given up in time.
async fn a_freeze_behind_locked_tables_is_given_up<K: Staged<Client = MysqlClient>>() {
    let scene = Scene::<K>::of_kind().await;
    scene.write(&steps_with::<K>("shift", DOOR));
    let load = scene.load(RATE);
    load.flows().await;
    scene.run(4).await;
    let backup = scene.sandbox.source.connect(Role::Superuser).await.unwrap();
    backup.execute("LOCK TABLES order_history READ").await.unwrap();
    // The freeze waits for who waits for the table; without anybody it has nothing to wait for.
    let waiting = "SELECT count(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'";
    let onlooker = scene.sandbox.source.connect(Role::Superuser).await.unwrap();
    while onlooker.value(waiting).await.unwrap().as_deref() == Some("0") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(onlooker);
    scene.open_door();
    let held = scene.must(4, &["resume", "--output", "json"]).await;
    let state = scene.state();
    assert!(state.passage.is_none() && state.writer == Writer::Source, "{held:?}\n{}", scene.story());
    backup.run("UNLOCK TABLES").await.ok();
    load.flows().await;
    scene.must(0, &["resume", "--output", "json"]).await;
    load.flows().await;
    scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 2).await;
    seen.assert_within_budget(&scene);
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_a_freeze_behind_locked_tables_is_given_up() {
    a_freeze_behind_locked_tables_is_given_up::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_a_freeze_behind_locked_tables_is_given_up() {
    a_freeze_behind_locked_tables_is_given_up::<Mariadb>().await;
}

/// What was open is gone: its commit is an error, and the row is on neither side.
async fn an_open_transaction_is_rolled_back_and_told_so<K: Staged<Client = MysqlClient>>() {
    let scene = Scene::<K>::of_kind().await;
    let load = scene.load(RATE);
    load.flows().await;
    let open = scene.sandbox.source.connect(Role::App).await.unwrap();
    open.execute("BEGIN; INSERT INTO probe (token, side) VALUES ('open', 'source')").await.unwrap();
    scene.run(0).await;
    open.run("COMMIT").await.unwrap_err();
    for server in [&scene.sandbox.source, &scene.sandbox.target] {
        let db = server.connect(Role::Superuser).await.unwrap();
        let rows = db.value("SELECT count(*) FROM probe WHERE token = 'open'").await.unwrap();
        assert_eq!(rows.as_deref(), Some("0"), "{}", scene.story());
    }
    load.flows().await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Target, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_an_open_transaction_is_rolled_back_and_told_so() {
    an_open_transaction_is_rolled_back_and_told_so::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_an_open_transaction_is_rolled_back_and_told_so() {
    an_open_transaction_is_rolled_back_and_told_so::<Mariadb>().await;
}

/// The receiver is cut off: the applier has nothing to do and looks well. Writes are never stopped for such a stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_cut_off_keeps_the_window_shut() {
    let scene = Scene::<Mysql>::of_kind().await;
    let short = |step: &String| step.replace("gates: [lag], timeout: 1m", "gates: [lag], timeout: 2s");
    let steps: Vec<String> = steps_with::<Mysql>("replicate", DOOR).iter().map(short).collect();
    scene.write(&steps);
    let load = scene.load(RATE);
    load.flows().await;
    scene.run(4).await;
    let target = scene.sandbox.target.connect(Role::Superuser).await.unwrap();
    let channels =
        target.query("SELECT channel_name FROM performance_schema.replication_connection_status").await.unwrap();
    let channel = channels[0][0].clone().unwrap_or_default();
    target.execute(&format!("STOP REPLICA IO_THREAD FOR CHANNEL '{channel}'")).await.unwrap();
    load.flows().await;
    scene.open_door();
    scene.must(4, &["resume", "--output", "json"]).await;
    assert_eq!(scene.state().writer, Writer::Source);
    load.flows().await;
    // The password of the stream is in no table of the target, so that only the run can begin it anew: here it goes back.
    scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    scene.assert_undone("a stream that was cut").await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 0).await;
}

/// Somebody with all privileges writes on the target while it follows. The stream back is live, so that the row is not
/// lost, and both sides are the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_stray_write_on_the_target_comes_back_and_is_not_lost() {
    let scene = Scene::<Mysql>::of_kind().await;
    scene.write(&steps_with::<Mysql>("replicate", DOOR));
    let load = scene.load(RATE);
    load.flows().await;
    scene.run(4).await;
    let target = scene.sandbox.target.connect(Role::Superuser).await.unwrap();
    let stray = "SET GLOBAL super_read_only = OFF; INSERT INTO probe (token, side) VALUES ('stray', 'target'); \
                 SET GLOBAL super_read_only = ON";
    target.execute(stray).await.unwrap();
    scene.open_door();
    // Its `verify` compares every row.
    scene.must(0, &["resume", "--output", "json"]).await;
    load.flows().await;
    scene.must(5, &["rollback", "--output", "json"]).await;
    let source = scene.sandbox.source.connect(Role::Superuser).await.unwrap();
    let rows = source.value("SELECT count(*) FROM probe WHERE token = 'stray'").await.unwrap();
    assert_eq!(rows.as_deref(), Some("1"), "{}", scene.story());
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 2).await;
}
