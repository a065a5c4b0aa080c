//! What happens while the run waits for its gates.

use pointsman::journal::{Entry, Event, Word};
use pointsman::sandbox::SandboxOptions;

use super::support::{Book, Stage, flows, ledger_row, options, overriding, superuser, times, until_true, value};

/// Lag must have been low for a while: time for a test to break something meanwhile.
const WAITS: &str = "  - approve: { name: look, message: \"Look?\" }\n  - wait: { gates: [lag], timeout: 20s }\n";

#[tokio::test(flavor = "multi_thread")]
async fn f41_a_stream_that_is_down_is_not_a_lag_of_nothing() {
    let stage = Stage::new(options(), Book { before: WAITS, asks: false, gates: "[lag]", ..Book::default() }).await;
    let run = stage.run();
    stage.until_begun("look", 1).await;
    let target = overriding(&stage.sandbox.target).await;
    let sql = |word: &str| format!("ALTER SUBSCRIPTION pointsman_forward {word}");
    target.batch_execute(&sql("DISABLE")).await.unwrap();
    // Nothing is written, so a position compared with nothing would be equal.
    stage.say(&["approve"]).await;
    let reason = stage.until_held(1).await;
    assert!(reason.contains("gate lag") && reason.contains("disabled"), "{reason}");
    assert!(!stage.froze());
    target.batch_execute(&sql("ENABLE")).await.unwrap();
    until_true(&target, "SELECT coalesce(bool_or(pid IS NOT NULL), false) FROM pg_stat_subscription").await;
    until_true(
        &superuser(&stage.sandbox.source).await,
        "SELECT coalesce(bool_or(state = 'streaming'), false) FROM pg_stat_replication",
    )
    .await;
    stage.say(&["continue"]).await;
    run.expect(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f38_a_conflict_during_the_wait_holds_and_says_which() {
    let stage = Stage::new(options(), Book { before: WAITS, asks: false, gates: "[lag]", ..Book::default() }).await;
    let run = stage.run();
    stage.until_begun("look", 1).await;
    let (source, target) = (superuser(&stage.sandbox.source).await, overriding(&stage.sandbox.target).await);
    let next: i64 = value(&source, "SELECT max(id) + 1 FROM accounts").await;
    let row = format!("INSERT INTO accounts (id, name, code) VALUES ({next}, 'stray', 'x')");
    target.batch_execute(&row).await.unwrap();
    source.batch_execute(&row).await.unwrap();
    let failed = "SELECT apply_error_count > 0 FROM pg_stat_subscription_stats WHERE subname = 'pointsman_forward'";
    until_true(&target, failed).await;
    stage.say(&["approve"]).await;
    let reason = stage.until_held(1).await;
    assert!(reason.contains("pointsman_forward") && reason.contains("target"), "{reason}");
    assert!(!stage.froze(), "{reason}");
    target.batch_execute(&format!("DELETE FROM accounts WHERE id = {next}")).await.unwrap();
    until_true(&target, &format!("SELECT count(*) = 1 FROM accounts WHERE id = {next}")).await;
    stage.say(&["continue"]).await;
    run.expect(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_while_the_window_is_armed_does_not_keep_a_word_waiting() {
    let stage = Stage::new(options(), Book::default()).await;
    let run = stage.run();
    stage.until_asked().await;
    stage.sandbox.target.pause();
    stage.say(&["approve"]).await;
    stage.until_begun("window", 1).await;
    stage.say(&["hold"]).await;
    let taken = |entry: &Entry| matches!(&entry.event, Event::Said { word: Word::Hold, .. });
    stage.until("the word is taken", |entries| entries.iter().any(taken)).await;
    assert!(stage.state().hold.is_some() && !stage.froze());
    stage.sandbox.target.cont();
    stage.say(&["continue"]).await;
    run.expect(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_restarts_during_the_wait_loses_nothing() {
    // Long enough a wait for a restart inside it.
    let before = "  - wait: { gates: [steady], timeout: 60s }\n";
    let mut stage =
        Stage::new(SandboxOptions { fsync: true, ..options() }, Book { before, asks: true, ..Book::default() }).await;
    let text = std::fs::read_to_string(stage.book()).unwrap();
    let gate = "gates:\n  steady: { replication-lag: { max: 1MiB, interval: 100ms, for: 3s, timeout: 60s, on-no-data: wait } }\n";
    std::fs::write(stage.book(), text.replace("gates:\n  lag", &format!("{gate}  lag"))).unwrap();
    let workload = stage.sandbox.workload(2, 2, 100.0).unwrap();
    let run = stage.run();
    stage.until_begun("wait", 1).await;
    flows(&workload, 20).await;
    stage.sandbox.source.kill9();
    stage.sandbox.source.restart().await.unwrap();
    // Either the gate bridges it, or the run is held and goes on with a word.
    stage
        .until("the wait ends or is held", |entries| {
            entries.iter().any(|entry| match &entry.event {
                pointsman::journal::Event::Intent { of, .. } => of.step == "go",
                pointsman::journal::Event::Held { .. } => true,
                _ => false,
            })
        })
        .await;
    if stage.state().hold.is_some() {
        stage.say(&["continue"]).await;
    }
    stage.until_asked().await;
    // The pooler remembers for some seconds that logins failed.
    flows(&workload, 20).await;
    stage.client().await.batch_execute(&ledger_row("later")).await.unwrap();
    stage.say(&["approve"]).await;
    // A connection that the restart broke is found by the arming, before anything is frozen.
    run.expect(0).await;
    flows(&workload, 20).await;
    let ledger = workload.stop().await;
    stage.audit(&ledger, &stage.sandbox.target).await;
    assert_eq!(times(&stage.sandbox.target, "later").await, 1);
}
