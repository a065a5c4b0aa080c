//! Poolers and servers that restart at the wrong moment, and logins at the wrong moment.

use std::time::Duration;

use pointsman::sandbox::{Role, SandboxOptions, connect};

use super::support::{
    Book, Stage, assert_kept_out, flows, ledger_row, options, settings, superuser, times, until_true,
};

#[tokio::test(flavor = "multi_thread")]
async fn f16_f17_the_fence_of_the_source_survives_restarts_and_crashes() {
    let mut stage = Stage::new(options(), Book { asks: false, ..Book::default() }).await;
    let workload = stage.sandbox.workload(2, 2, 100.0).unwrap();
    stage.run().expect(0).await;
    for crash in [false, true] {
        if crash {
            stage.sandbox.source.kill9();
        }
        stage.sandbox.source.restart().await.unwrap();
        // A forgotten worker with a hard-coded address.
        assert_kept_out(&stage.sandbox.source, Role::App).await;
        assert_kept_out(&stage.sandbox.source, Role::App2).await;
    }
    flows(&workload, 50).await;
    // The way back is there again by itself.
    let client = stage.client().await;
    client.batch_execute(&ledger_row("later")).await.unwrap();
    until_true(&superuser(&stage.sandbox.source).await, "SELECT count(*) = 1 FROM ledger WHERE token = 'later'").await;
    let (code, said) = stage.says(&["rollback"]).await;
    assert_eq!(code, 5, "{said}");
    flows(&workload, 50).await;
    let ledger = workload.stop().await;
    stage.audit(&ledger, &stage.sandbox.source).await;
    assert_eq!(times(&stage.sandbox.source, "later").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn f17_a_pooler_that_restarts_while_it_is_paused_lets_no_write_into_the_frozen_source() {
    let book = Book { point_after: Some("freeze"), budget: "20s", ..Book::default() };
    let mut stage = Stage::new(options(), book).await;
    let workload = stage.sandbox.workload(4, 4, 200.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    flows(&workload, 50).await;
    stage.say(&["approve"]).await;
    stage.at_point().await;
    stage.sandbox.pgbouncers[0].restart().await.unwrap();
    // It is not paused any more, and leads to the fenced source: clients wait or get errors, and nothing is written there.
    let url = stage.sandbox.pgbouncers[0].url(Role::App);
    let astray = tokio::spawn(async move {
        match connect(&url).await {
            Ok(client) => client.batch_execute(&ledger_row("astray")).await.is_ok(),
            Err(_) => false,
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(times(&stage.sandbox.source, "astray").await, 0);
    stage.pass_point();
    run.expect(0).await;
    flows(&workload, 100).await;
    let ledger = workload.stop().await;
    stage.audit(&ledger, &stage.sandbox.target).await;
    // It was refused, or it waited for the target.
    let acknowledged = i64::from(astray.await.unwrap());
    assert!(times(&stage.sandbox.target, "astray").await >= acknowledged);
}

/// Says the word, and makes the pooler log in anew until the freeze begins, so that logins are in flight at the pause.
async fn freeze_amid_logins(stage: &Stage, word: &str, times_begun: usize) {
    let console = connect(&stage.sandbox.pgbouncers[0].admin_url()).await.unwrap();
    let reconnecting = tokio::spawn(async move {
        loop {
            console.simple_query("RECONNECT shop").await.ok();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    stage.say(&[word]).await;
    stage.until_begun("freeze", times_begun).await;
    reconnecting.abort();
}

/// Without the cure it is 15 s; the logins themselves take a second or two.
const STALL: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn f29_a_login_in_flight_at_the_pause_does_not_keep_clients_waiting_for_the_login_retry() {
    // Every login takes a second.
    let source_settings = settings(&[("post_auth_delay", "1")]);
    let book = Book { budget: "8s", pause_timeout: "3s", ..Book::default() };
    let stage = Stage::new(SandboxOptions { source_settings, ..options() }, book).await;
    let workload = stage.sandbox.workload(4, 4, 200.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    // First a thaw: a client is in the way of the pause.
    let idle = stage.client().await;
    idle.batch_execute("BEGIN; SELECT txid_current()").await.unwrap();
    let from = workload.mark();
    freeze_amid_logins(&stage, "approve", 1).await;
    stage.until_held(1).await;
    assert_eq!(stage.thaws().len(), 1);
    flows(&workload, 100).await;
    let report = workload.report_between(from, workload.mark());
    assert!(report.longest_wait < STALL, "after the thaw: {report:?}");
    // Then all the way.
    idle.batch_execute("COMMIT").await.unwrap();
    let from = workload.mark();
    freeze_amid_logins(&stage, "continue", 2).await;
    run.expect(0).await;
    flows(&workload, 100).await;
    let report = workload.report_between(from, workload.mark());
    assert!(report.longest_wait < STALL, "after the switch: {report:?}");
    // PAUSE itself breaks off the logins, and PgBouncer then refuses new requests until one has succeeded, here for a
    // second: its own defect, and the only error that clients may see.
    assert!(report.errors.keys().all(|error| error.contains("server login has been failing")), "{report:?}");
    let ledger = workload.stop().await;
    stage.audit(&ledger, &stage.sandbox.target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_nobody_can_reach_refuses_the_window_before_anything_is_frozen() {
    let mut stage = Stage::new(options(), Book::default()).await;
    let run = stage.run();
    stage.until_asked().await;
    stage.sandbox.pgbouncers[0].kill9();
    stage.say(&["approve"]).await;
    let reason = stage.until_held(1).await;
    assert!(reason.contains("pool"), "{reason}");
    assert!(!stage.froze(), "{reason}");
    stage.sandbox.pgbouncers[0].restart().await.unwrap();
    stage.say(&["continue"]).await;
    run.expect(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_a_source_that_can_not_be_reached_is_never_replaced() {
    let mut stage = Stage::new(options(), Book::default()).await;
    let workload = stage.sandbox.workload(2, 2, 100.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    stage.sandbox.source.kill9();
    stage.say(&["approve"]).await;
    let reason = stage.until_held(1).await;
    assert!(reason.contains("source"), "{reason}");
    assert!(!stage.froze(), "{reason}");
    // It may be alive behind a broken network: nobody else takes its place.
    assert_kept_out(&stage.sandbox.target, Role::App).await;
    stage.sandbox.source.restart().await.unwrap();
    flows(&workload, 20).await;
    stage.say(&["continue"]).await;
    run.expect(0).await;
    let ledger = workload.stop().await;
    stage.audit(&ledger, &stage.sandbox.target).await;
}
