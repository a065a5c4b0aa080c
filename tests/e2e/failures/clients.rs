//! Clients that are in the way, or that go round what should hold them.

use std::time::Duration;

use pointsman::sandbox::history::Side;
use pointsman::sandbox::probe::Probes;
use pointsman::sandbox::{DATABASE, Role, SandboxOptions, connect};

use super::support::{
    Book, Stage, assert_kept_out, flows, ledger_row, options, overriding, settings, superuser, times, until_true,
    value, wait_for,
};

#[tokio::test(flavor = "multi_thread")]
async fn f01_f22_a_transaction_open_across_the_freeze_is_not_lost_and_holds_up_nobody_for_long() {
    let stage = Stage::new(options(), Book::default()).await;
    let workload = stage.sandbox.workload(4, 2, 200.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    let idle = stage.client().await;
    idle.batch_execute(&format!("BEGIN; {}", ledger_row("left-open"))).await.unwrap();
    let from = workload.mark();
    stage.say(&["approve"]).await;
    let reason = stage.until_held(1).await;
    flows(&workload, 100).await;
    // Named as the pooler and the server know it, so that a person can find it.
    assert!(reason.contains("one client holds a connection") && reason.contains("app"), "{reason}");
    assert!(reason.contains("Writes go on at the source"), "{reason}");
    assert_eq!(stage.thaws().len(), 1);
    // While it is open, an untimely PAUSE would keep everybody for 120 s.
    let report = workload.report_between(from, workload.mark());
    assert!(report.longest_wait < Duration::from_secs(10), "{report:?}");
    assert_eq!((report.failed, report.unknown), (0, 0), "{report:?}");

    idle.batch_execute("COMMIT").await.unwrap();
    stage.say(&["continue"]).await;
    run.expect(0).await;
    assert_eq!(times(&stage.sandbox.target, "left-open").await, 1);
    flows(&workload, 100).await;
    let ledger = workload.stop().await;
    let audit = stage.audit(&ledger, &stage.sandbox.target).await;
    assert_eq!(audit.failed, 0, "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f01_f15_what_goes_round_the_pooler_is_ended_and_never_half_there() {
    let stage = Stage::new(options(), Book::default()).await;
    let (source, target) = (&stage.sandbox.source, &stage.sandbox.target);
    let run = stage.run();
    stage.until_asked().await;
    let probes =
        Probes::start(&source.url(Role::App, DATABASE), &target.url(Role::App, DATABASE), Duration::from_millis(2));
    wait_for("probes write", || probes.so_far().accepted_by(Side::Source) >= 20).await;
    let open = source.connect(Role::App).await.unwrap();
    open.batch_execute(&format!("BEGIN; {}; {}", ledger_row("half"), ledger_row("half"))).await.unwrap();
    stage.say(&["approve"]).await;
    run.expect(0).await;
    assert!(open.batch_execute("COMMIT").await.is_err(), "its session was ended");
    wait_for("probes write on", || probes.so_far().accepted_by(Side::Target) >= 20).await;

    let mut history = probes.stop().await;
    let (on_source, on_target) = (superuser(source).await, superuser(target).await);
    history.resolve(&on_target).await.unwrap();
    assert_eq!(history.overlap(1), None, "both databases took writes");
    for (server, place) in [(source, "source"), (target, "target")] {
        assert_eq!(times(server, "half").await, 0, "on the {place}");
    }
    // Every probe that the source had accepted is on the target.
    let tokens: Vec<&str> =
        history.accepted.iter().filter(|w| w.side == Side::Source).map(|w| w.token.as_str()).collect();
    let sql = "SELECT count(*) FROM unnest($1::text[]) t WHERE NOT EXISTS (SELECT FROM probe p WHERE p.token = t)";
    let missing: i64 = on_target.query_one(sql, &[&tokens]).await.unwrap().get(0);
    assert_eq!(missing, 0);
    drop(on_source);
    assert_kept_out(source, Role::App).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f10_a_prepared_transaction_can_not_commit_behind_the_freeze() {
    let source_settings = settings(&[("max_prepared_transactions", "5")]);
    let stage = Stage::new(SandboxOptions { source_settings, ..options() }, Book::default()).await;
    let run = stage.run();
    stage.until_asked().await;
    let client = stage.sandbox.source.connect(Role::App).await.unwrap();
    let sql = format!("BEGIN; {}; PREPARE TRANSACTION 'order-4711'", ledger_row("prepared"));
    client.batch_execute(&sql).await.unwrap();
    stage.say(&["approve"]).await;
    let reason = stage.until_held(1).await;
    assert!(reason.contains("order-4711"), "it names the transaction: {reason}");
    assert_eq!(stage.thaws().len(), 1);
    // Thawed: the application gets in and ends it.
    let client = stage.sandbox.source.connect(Role::App).await.unwrap();
    client.batch_execute("COMMIT PREPARED 'order-4711'").await.unwrap();
    stage.say(&["continue"]).await;
    run.expect(0).await;
    assert_eq!(times(&stage.sandbox.target, "prepared").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn f14_no_other_role_keeps_writing_not_even_a_superuser() {
    let stage = Stage::new(options(), Book::default()).await;
    let run = stage.run();
    stage.until_asked().await;
    let mut writers = Vec::new();
    for role in [Role::App2, Role::Superuser, Role::Mover] {
        let url = stage.sandbox.source.url(role, DATABASE);
        writers.push(tokio::spawn(write_until_refused(url, role.name())));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.say(&["approve"]).await;
    run.expect(0).await;
    let target = superuser(&stage.sandbox.target).await;
    let source = superuser(&stage.sandbox.source).await;
    for writer in writers {
        let (role, acknowledged) = writer.await.unwrap();
        assert!(acknowledged > 0, "{role} wrote nothing");
        let sql = format!("SELECT count(*) FROM ledger WHERE via = '{role}'");
        let (there, here): (i64, i64) = (value(&target, &sql).await, value(&source, &sql).await);
        assert!(there >= acknowledged, "{role}: {acknowledged} acknowledged, {there} on the target");
        assert_eq!(there, here, "{role} wrote on the source behind the barrier");
    }
    assert_kept_out(&stage.sandbox.source, Role::App2).await;
    // A superuser gets in, past any limit, but finds the sign on the door.
    let refused = source.batch_execute(&ledger_row("late")).await.unwrap_err();
    assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("25006"), "{refused:?}");
}

/// Writes straight to a server with a role until the server refuses, reconnecting when a session is ended; says how
/// many writes were acknowledged.
async fn write_until_refused(url: String, role: &'static str) -> (&'static str, i64) {
    let mut acknowledged = 0;
    'session: while let Ok(client) = connect(&url).await {
        loop {
            let sql = ledger_row(role).replace("'test'", &format!("'{role}'"));
            match client.batch_execute(&sql).await {
                Ok(()) => acknowledged += 1,
                Err(error) if error.code().is_some_and(|code| code.code() == "25006") => break 'session,
                Err(_) => continue 'session,
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    (role, acknowledged)
}

#[tokio::test(flavor = "multi_thread")]
async fn f21_nobody_writes_on_the_target_before_the_switch() {
    let stage = Stage::new(options(), Book::default()).await;
    let early = stage.sandbox.target.connect(Role::App).await.unwrap();
    early.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    let run = stage.run();
    stage.until_asked().await;
    assert!(early.batch_execute(&ledger_row("early")).await.is_err(), "a session of before is ended");
    assert_kept_out(&stage.sandbox.target, Role::App).await;
    assert_kept_out(&stage.sandbox.target, Role::App2).await;
    let overriding =
        stage.sandbox.target.url(Role::App, DATABASE) + "?options=-c%20default_transaction_read_only%3Doff";
    assert!(connect(&overriding).await.is_err());
    stage.say(&["approve"]).await;
    run.expect(0).await;
    assert_eq!(times(&stage.sandbox.target, "early").await, 0);
    // After the switch it is the source that keeps everybody out, whatever they set.
    let client = stage.sandbox.target.connect(Role::App).await.unwrap();
    client.batch_execute(&ledger_row("late")).await.unwrap();
    let overriding =
        stage.sandbox.source.url(Role::App, DATABASE) + "?options=-c%20default_transaction_read_only%3Doff";
    assert!(connect(&overriding).await.is_err(), "a client that overrides read-only got into the source");
    until_true(&superuser(&stage.sandbox.source).await, "SELECT count(*) = 1 FROM ledger WHERE token = 'late'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f28_a_write_transaction_on_the_target_does_not_hang_the_window() {
    let stage = Stage::new(options(), Book::default()).await;
    let workload = stage.sandbox.workload(4, 2, 200.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    // It holds a transaction id: making a replication slot would wait for it, and so would its snapshot.
    let open = overriding(&stage.sandbox.target).await;
    open.batch_execute("BEGIN; CREATE TABLE of_a_person (id int)").await.unwrap();
    stage.say(&["approve"]).await;
    run.expect(0).await;
    assert_eq!(stage.thaws().len(), 0);
    flows(&workload, 100).await;
    open.batch_execute("ROLLBACK").await.unwrap();
    let ledger = workload.stop().await;
    let audit = stage.audit(&ledger, &stage.sandbox.target).await;
    assert_eq!(audit.failed, 0, "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f18_a_fence_that_automation_undoes_lets_no_acknowledged_write_vanish_silently() {
    let book = Book { point_after: Some("drain"), budget: "20s", ..Book::default() };
    let stage = Stage::new(options(), book).await;
    let run = stage.run();
    stage.until_asked().await;
    stage.say(&["approve"]).await;
    stage.at_point().await;
    // Something sets the connection limit to what it believes in.
    overriding(&stage.sandbox.source).await.batch_execute("ALTER DATABASE shop CONNECTION LIMIT -1").await.unwrap();
    let client = stage.sandbox.source.connect(Role::App).await.unwrap();
    let refused = client.batch_execute(&ledger_row("behind")).await.unwrap_err();
    assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("25006"), "{refused:?}");
    stage.pass_point();
    // The window is passed, and the session that is left is told of.
    let reason = stage.until_held(1).await;
    assert!(reason.contains("session(s) of the application are still on source: 1 × app"), "{reason}");
    assert_eq!(times(&stage.sandbox.source, "behind").await, 0);
    drop(client);
    stage.say(&["continue"]).await;
    run.expect(0).await;
}
