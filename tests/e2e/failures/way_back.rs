//! The way back: proved before it is needed, and never taken when it would lose a write.

use pointsman::sandbox::Role;
use pointsman::systems::pair::Heading;

use super::support::{
    Book, Stage, assert_kept_out, flows, ledger_row, options, overriding, superuser, times, until_true, value,
};

/// A dead way back, and the word that a person gets of it.
async fn assert_refused_before_the_freeze(stage: &Stage, holds: usize, word: &str, told: &[&str]) {
    stage.say(&[word]).await;
    let reason = stage.until_held(holds).await;
    assert!(told.iter().all(|part| reason.contains(part)), "{told:?}: {reason}");
    assert!(!stage.froze(), "writes were stopped for a window that can't be left again: {reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f11_f44_a_way_back_that_is_dead_refuses_the_window_before_anything_is_frozen() {
    let stage = Stage::new(options(), Book::default()).await;
    let workload = stage.sandbox.workload(2, 2, 100.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    let source = superuser(&stage.sandbox.source).await;
    source.batch_execute("ALTER SUBSCRIPTION pointsman_backward DISABLE").await.unwrap();
    assert_refused_before_the_freeze(&stage, 1, "approve", &["the way back", "pointsman_backward"]).await;
    source.batch_execute("ALTER SUBSCRIPTION pointsman_backward ENABLE").await.unwrap();
    // Now it runs, but what comes through it can't be applied.
    source
        .batch_execute("ALTER TABLE pointsman.token_backward ADD CONSTRAINT none CHECK (token IS NULL) NOT VALID")
        .await
        .unwrap();
    assert_refused_before_the_freeze(&stage, 2, "continue", &["the way back", "pointsman_backward"]).await;
    source.batch_execute("ALTER TABLE pointsman.token_backward DROP CONSTRAINT none").await.unwrap();
    until_true(
        &source,
        "SELECT coalesce(bool_or(pid IS NOT NULL), false) FROM pg_stat_subscription WHERE subname = 'pointsman_backward'",
    )
    .await;
    stage.say(&["continue"]).await;
    run.expect(0).await;
    let ledger = workload.stop().await;
    let audit = stage.audit(&ledger, &stage.sandbox.target).await;
    assert_eq!(audit.failed, 0, "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f44_a_feed_that_died_after_the_switch_holds_the_rollback_instead_of_losing_writes() {
    let stage = Stage::new(options(), Book { asks: false, ..Book::default() }).await;
    let workload = stage.sandbox.workload(2, 2, 100.0).unwrap();
    stage.run().expect(0).await;
    let source = overriding(&stage.sandbox.source).await;
    source.batch_execute("ALTER SUBSCRIPTION pointsman_backward DISABLE").await.unwrap();
    stage.client().await.batch_execute(&ledger_row("unseen")).await.unwrap();
    flows(&workload, 50).await;
    let (code, said) = stage.says(&["rollback"]).await;
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("the way back") || said.contains("pointsman_backward"), "{said}");
    assert_eq!(stage.state().writer, pointsman::executor::state::Side::Target);
    flows(&workload, 50).await;
    assert_kept_out(&stage.sandbox.source, Role::App).await;
    assert_eq!(times(&stage.sandbox.source, "unseen").await, 0);
    // Mended, it goes back with everything.
    source.batch_execute("ALTER SUBSCRIPTION pointsman_backward ENABLE").await.unwrap();
    let (code, said) = stage.says(&["resume"]).await;
    assert_eq!(code, 5, "{said}");
    flows(&workload, 50).await;
    let ledger = workload.stop().await;
    stage.audit(&ledger, &stage.sandbox.source).await;
    assert_eq!(times(&stage.sandbox.source, "unseen").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn f45_a_rollback_under_load_with_lag_drains_first() {
    let stage = Stage::new(options(), Book { asks: false, budget: "4s", ..Book::default() }).await;
    let workload = stage.sandbox.workload(4, 4, 400.0).unwrap();
    stage.run().expect(0).await;
    // The source hangs while the target takes writes: a backlog.
    stage.sandbox.source.pause();
    flows(&workload, 400).await;
    let last = "SELECT coalesce(max(id), 0) FROM ledger";
    let ahead: i64 = value(&superuser(&stage.sandbox.target).await, last).await;
    stage.sandbox.source.cont();
    let behind: i64 = value(&superuser(&stage.sandbox.source).await, last).await;
    assert!(behind < ahead, "there is no lag: {behind} of {ahead}");
    let (mut code, mut said) = stage.says(&["rollback"]).await;
    for _ in 0..5 {
        if code == 4 {
            (code, said) = stage.says(&["resume"]).await;
        }
    }
    assert_eq!(code, 5, "{said}");
    flows(&workload, 50).await;
    let ledger = workload.stop().await;
    stage.audit(&ledger, &stage.sandbox.source).await;
    assert_kept_out_or_gone(&stage).await;
}

/// After the rollback the target is what it was before: open, and without the application's tables.
async fn assert_kept_out_or_gone(stage: &Stage) {
    let target = superuser(&stage.sandbox.target).await;
    assert!(value::<bool>(&target, "SELECT to_regclass('public.ledger') IS NULL").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn f08_a_slot_that_was_lost_refuses_the_window() {
    let stage = Stage::new(options(), Book::default()).await;
    let run = stage.run();
    stage.until_asked().await;
    let (source, target) = (superuser(&stage.sandbox.source).await, overriding(&stage.sandbox.target).await);
    lose_slot(&source, &target).await;
    target.batch_execute("ALTER SUBSCRIPTION pointsman_forward ENABLE").await.unwrap();
    assert_refused_before_the_freeze(&stage, 1, "approve", &["replication does not work", "pointsman_forward"]).await;
    drop(run);
}

#[tokio::test(flavor = "multi_thread")]
async fn f08_a_slot_that_was_made_again_behind_a_gap_refuses_the_window() {
    let stage = Stage::new(options(), Book::default()).await;
    let run = stage.run();
    stage.until_asked().await;
    let (source, target) = (superuser(&stage.sandbox.source).await, overriding(&stage.sandbox.target).await);
    lose_slot(&source, &target).await;
    source.batch_execute(&ledger_row("in-the-gap")).await.unwrap();
    // As after a failover: whoever makes it again gets replication going, and a hole in the data.
    source.batch_execute("SELECT pg_create_logical_replication_slot('pointsman_forward', 'pgoutput')").await.unwrap();
    target.batch_execute("ALTER SUBSCRIPTION pointsman_forward ENABLE").await.unwrap();
    source.batch_execute(&ledger_row("behind-the-gap")).await.unwrap();
    until_true(&target, "SELECT count(*) = 1 FROM ledger WHERE token = 'behind-the-gap'").await;
    assert_eq!(times(&stage.sandbox.target, "in-the-gap").await, 0);
    // Both streams work, so that no gate and no token can tell.
    assert_refused_before_the_freeze(&stage, 1, "approve", &["pointsman_forward", "made again", "verify"]).await;
    let (code, said) = stage.says(&["verify", stage.book().to_str().unwrap()]).await;
    assert_eq!(code, 8, "{said}");
    assert!(said.contains("ledger"), "{said}");
    // Mended by hand, and a person's word stands for it.
    source.batch_execute("DELETE FROM ledger WHERE token = 'in-the-gap'").await.unwrap();
    stage.say(&["continue"]).await;
    run.expect(0).await;
    assert!(stage.froze());
}

/// A crash loses what a slot is known by, and keeps the slot.
#[tokio::test(flavor = "multi_thread")]
async fn f08_a_server_that_crashed_keeps_its_slot_and_the_window_is_passed() {
    let mut stage = Stage::new(options(), Book::default()).await;
    let run = stage.run();
    stage.until_asked().await;
    stage.sandbox.source.kill9();
    stage.sandbox.source.restart().await.unwrap();
    let source = superuser(&stage.sandbox.source).await;
    let marked = "SELECT stats_reset IS NOT NULL FROM pg_stat_replication_slots WHERE slot_name = 'pointsman_forward'";
    assert!(!value::<bool>(&source, marked).await, "the crash kept the mark: this test shows nothing");
    until_true(&source, "SELECT active FROM pg_replication_slots WHERE slot_name = 'pointsman_forward'").await;
    stage.say(&["approve"]).await;
    run.expect(0).await;
    let source = superuser(&stage.sandbox.source).await;
    assert!(value::<bool>(&source, marked).await, "the slot was not marked again");
}

/// The slot is gone, and the subscription is disabled.
async fn lose_slot(source: &tokio_postgres::Client, target: &tokio_postgres::Client) {
    let stream = Heading::Forth.stream();
    target.batch_execute(&format!("ALTER SUBSCRIPTION {stream} DISABLE")).await.unwrap();
    until_true(source, &format!("SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{stream}'")).await;
    source.batch_execute(&format!("SELECT pg_drop_replication_slot('{stream}')")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn f09_a_change_that_was_skipped_is_found_by_the_comparison() {
    let stage = Stage::new(options(), Book::default()).await;
    let run = stage.run();
    stage.until_asked().await;
    let (source, target) = (superuser(&stage.sandbox.source).await, overriding(&stage.sandbox.target).await);
    let account = "SELECT max(id) + 1 FROM accounts";
    let next: i64 = value(&source, account).await;
    let stray = format!("INSERT INTO accounts (id, name, code) VALUES ({next}, 'stray', 'x')");
    target.batch_execute(&stray).await.unwrap();
    source.batch_execute(&stray.replace("stray", "real")).await.unwrap();
    let failed = "SELECT apply_error_count > 0 FROM pg_stat_subscription_stats WHERE subname = 'pointsman_forward'";
    until_true(&target, failed).await;
    // Somebody in a hurry skips it: disabled, moved past, enabled.
    let skip = "ALTER SUBSCRIPTION pointsman_forward DISABLE";
    target.batch_execute(skip).await.unwrap();
    until_true(
        &target,
        "SELECT count(*) = 0 FROM pg_stat_subscription WHERE subname = 'pointsman_forward' AND pid IS NOT NULL",
    )
    .await;
    let origin = "SELECT pg_replication_origin_advance('pg_' || oid, $1::text::pg_lsn) FROM pg_subscription \
                  WHERE subname = 'pointsman_forward'";
    let position: String = value(&source, "SELECT pg_current_wal_insert_lsn()::text").await;
    target.execute(origin, &[&position]).await.unwrap();
    target.batch_execute("ALTER SUBSCRIPTION pointsman_forward ENABLE").await.unwrap();
    source.batch_execute(&ledger_row("after")).await.unwrap();
    until_true(&target, "SELECT count(*) = 1 FROM ledger WHERE token = 'after'").await;
    let (code, said) = stage.says(&["verify", stage.book().to_str().unwrap()]).await;
    assert_eq!(code, 8, "{said}");
    assert!(said.contains("accounts"), "{said}");
    drop(run);
}
