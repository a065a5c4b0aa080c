//! The drain: nothing that was acknowledged stays behind, and one that takes too long ends in a thaw.

use std::time::Duration;

use pointsman::journal::Event;
use pointsman::sandbox::{Role, SandboxOptions};

use super::support::{
    Book, Stage, flows, ledger_row, options, overriding, settings, superuser, times, until_true, value,
};

/// Rows in one transaction, acknowledged while the pooler waits for it: all of it is in flight when the drain begins.
async fn commit_in_the_freeze(stage: &Stage, begin: &str, times_begun: usize, word: &str) {
    let big = stage.client().await;
    big.batch_execute(&format!("BEGIN; {begin}")).await.unwrap();
    stage.say(&[word]).await;
    stage.until_begun("freeze", times_begun).await;
    big.batch_execute("COMMIT").await.unwrap();
}

fn rows(token: &str, count: u32) -> String {
    format!(
        "INSERT INTO ledger (client, n, token, via, ticket) \
         SELECT 0, i, '{token}', 'test', nextval('tickets') FROM generate_series(1, {count}) i"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn f02_f05_a_large_transaction_in_flight_at_the_drain_is_not_lost() {
    let book = Book { budget: "60s", pause_timeout: "20s", ..Book::default() };
    let stage = Stage::new(options(), book).await;
    let run = stage.run();
    stage.until_asked().await;
    commit_in_the_freeze(&stage, &rows("big", 200_000), 1, "approve").await;
    run.expect(0).await;
    assert_eq!(stage.thaws().len(), 0);
    assert_eq!(times(&stage.sandbox.target, "big").await, 200_000);
    assert_eq!(times(&stage.sandbox.source, "big").await, 200_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn f43_a_drain_beyond_the_budget_thaws_cleanly_and_repeatedly() {
    let book = Book { budget: "2s", pause_timeout: "1s", ..Book::default() };
    let stage = Stage::new(options(), book).await;
    let workload = stage.sandbox.workload(2, 2, 50.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    let target = overriding(&stage.sandbox.target).await;
    let slow = "CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN IF NEW.token LIKE 'slow%' THEN PERFORM pg_sleep(0.02); END IF; RETURN NEW; END $$;
        CREATE TRIGGER dawdle BEFORE INSERT ON public.ledger FOR EACH ROW EXECUTE FUNCTION public.dawdle();
        ALTER TABLE public.ledger ENABLE REPLICA TRIGGER dawdle";
    target.batch_execute(slow).await.unwrap();
    for (round, word) in [(1, "approve"), (2, "continue")] {
        commit_in_the_freeze(&stage, &rows(&format!("slow-{round}"), 150), round, word).await;
        let reason = stage.until_held(round).await;
        assert!(reason.contains("has not come through") || reason.contains("budget"), "{reason}");
        assert_eq!(stage.thaws().len(), round, "{reason}");
        flows(&workload, 20).await;
        let arrived = format!("SELECT count(*) = 150 FROM ledger WHERE token = 'slow-{round}'");
        until_true(&target, &arrived).await;
    }
    target.batch_execute("DROP TRIGGER dawdle ON public.ledger; DROP FUNCTION public.dawdle()").await.unwrap();
    stage.say(&["continue"]).await;
    run.expect(0).await;
    flows(&workload, 20).await;
    let ledger = workload.stop().await;
    let audit = stage.audit(&ledger, &stage.sandbox.target).await;
    assert_eq!(audit.failed, 0, "{audit:?}");
    for round in [1, 2] {
        assert_eq!(times(&stage.sandbox.target, &format!("slow-{round}")).await, 150);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f03_an_acknowledged_write_that_is_not_flushed_yet_is_not_left_behind() {
    // Nobody flushes for seconds, while every commit is acknowledged at once.
    let source_settings = settings(&[("synchronous_commit", "off"), ("wal_writer_delay", "3s")]);
    let stage = Stage::new(SandboxOptions { source_settings, ..options() }, Book::default()).await;
    let workload = stage.sandbox.workload(4, 4, 400.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    flows(&workload, 100).await;
    stage.say(&["approve"]).await;
    run.expect(0).await;
    flows(&workload, 100).await;
    let ledger = workload.stop().await;
    let audit = stage.audit(&ledger, &stage.sandbox.target).await;
    assert_eq!(audit.failed, 0, "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f04_a_target_that_crashes_right_after_the_promote_has_everything() {
    // The apply worker commits without waiting for the disk, and nobody flushes for it.
    let target_settings = settings(&[("wal_writer_delay", "10s"), ("bgwriter_delay", "10s")]);
    let mut stage =
        Stage::new(SandboxOptions { target_settings, ..options() }, Book { budget: "20s", ..Book::default() }).await;
    let workload = stage.sandbox.workload(4, 4, 400.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    flows(&workload, 200).await;
    stage.say(&["approve"]).await;
    stage.until_begun("promote", 1).await;
    stage.sandbox.target.kill9();
    tokio::time::sleep(Duration::from_millis(200)).await;
    stage.sandbox.target.restart().await.unwrap();
    // Where the switch was through already, the canary may have met the crash: a hold, with writes on the target.
    stage
        .until("the window is passed", |entries| {
            entries.iter().any(|entry| matches!(entry.event, Event::Passed { .. }))
        })
        .await;
    flows(&workload, 100).await;
    let ledger = workload.stop().await;
    stage.audit(&ledger, &stage.sandbox.target).await;
    drop(run);
}

#[tokio::test(flavor = "multi_thread")]
async fn f07_f24_a_target_that_hangs_in_the_drain_does_not_keep_writes_waiting_nor_is_it_skipped() {
    let book = Book { point_after: Some("freeze"), budget: "3s", ..Book::default() };
    let stage = Stage::new(options(), book).await;
    let workload = stage.sandbox.workload(4, 2, 200.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    stage.say(&["approve"]).await;
    stage.at_point().await;
    stage.sandbox.target.pause();
    stage.pass_point();
    let reason = stage.until_held(1).await;
    // The target still hangs, and writes flow.
    flows(&workload, 100).await;
    stage.sandbox.target.cont();
    assert_eq!(stage.thaws().len(), 1, "{reason}");
    assert!(reason.contains("Writes go on at the source"), "{reason}");
    // F7: there is no way to switch without having drained.
    let id = stage.journal.find(None).unwrap().id;
    let (code, said) = stage.says(&["skip", &id, "drain", "--reason", "in a hurry"]).await;
    assert_eq!(code, 3, "{said}");
    stage.say(&["continue"]).await;
    run.expect(0).await;
    let ledger = workload.stop().await;
    let audit = stage.audit(&ledger, &stage.sandbox.target).await;
    assert_eq!(audit.failed, 0, "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_before_the_commit_point_leads_back() {
    let book = Book { point_after: Some("freeze"), budget: "3s", ..Book::default() };
    let mut stage = Stage::new(options(), book).await;
    let workload = stage.sandbox.workload(4, 2, 200.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    stage.say(&["approve"]).await;
    stage.at_point().await;
    stage.sandbox.target.kill9();
    stage.pass_point();
    let reason = stage.until_held(1).await;
    assert_eq!(stage.thaws().len(), 1, "{reason}");
    assert!(reason.contains("target"), "{reason}");
    flows(&workload, 100).await;
    stage.sandbox.target.restart().await.unwrap();
    stage.say(&["continue"]).await;
    run.expect(0).await;
    flows(&workload, 100).await;
    let ledger = workload.stop().await;
    let audit = stage.audit(&ledger, &stage.sandbox.target).await;
    assert_eq!(audit.failed, 0, "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_after_the_commit_point_leads_forward_when_it_returns() {
    let book = Book { point_after: Some("sequences"), budget: "20s", ..Book::default() };
    let mut stage = Stage::new(options(), book).await;
    let workload = stage.sandbox.workload(4, 2, 200.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    stage.say(&["approve"]).await;
    stage.at_point().await;
    stage.sandbox.target.kill9();
    stage.pass_point();
    stage.until_committed().await;
    let tries = |entries: &[pointsman::journal::Entry]| {
        entries.iter().filter(|entry| matches!(&entry.event, Event::Failed { of, .. } if of.step == "promote")).count()
    };
    stage.until("promote is tried", |entries| tries(entries) >= 2).await;
    stage.sandbox.target.restart().await.unwrap();
    run.expect(0).await;
    assert_eq!(stage.thaws().len(), 0);
    flows(&workload, 100).await;
    let ledger = workload.stop().await;
    let audit = stage.audit(&ledger, &stage.sandbox.target).await;
    assert_eq!(audit.failed, 0, "writes only waited: {audit:?}");
    super::support::assert_kept_out(&stage.sandbox.source, Role::App).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f33_a_server_without_a_free_connection_is_thawed_through_the_held_one() {
    let source_settings = settings(&[("max_connections", "30"), ("max_wal_senders", "6")]);
    let book = Book { point_after: Some("freeze"), budget: "4s", ..Book::default() };
    let stage = Stage::new(SandboxOptions { source_settings, ..options() }, book).await;
    let workload = stage.sandbox.workload(2, 2, 100.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    stage.say(&["approve"]).await;
    stage.at_point().await;
    // Monitoring and frightened people take every slot, those for superusers too.
    let mut taken = Vec::new();
    while let Ok(client) = stage.sandbox.source.connect(Role::Superuser).await {
        taken.push(client);
    }
    assert!(taken.len() >= 5, "{} slots were free", taken.len());
    stage.sandbox.target.pause();
    stage.pass_point();
    let reason = stage.until_held(1).await;
    assert_eq!(stage.thaws().len(), 1, "{reason}");
    drop(taken);
    flows(&workload, 50).await;
    stage.sandbox.target.cont();
    let ledger = workload.stop().await;
    stage.audit(&ledger, &stage.sandbox.source).await;
    drop(run);
    let limit: i32 =
        value(&superuser(&stage.sandbox.source).await, "SELECT datconnlimit FROM pg_database WHERE datname = 'shop'")
            .await;
    assert_eq!(limit, -1);
    let client = stage.sandbox.source.connect(Role::App).await.unwrap();
    client.batch_execute(&ledger_row("free")).await.unwrap();
}
