//! What is not rows: sequences, triggers, keys, and changes of the schema on the way.

use pointsman::sandbox::{Role, SandboxOptions};
use serde_json::Value;
use tokio_postgres::Client;

use super::support::{Book, Stage, flows, ledger_row, options, overriding, superuser, times, until_true, value};

#[tokio::test(flavor = "multi_thread")]
async fn f26_a_table_without_identity_is_found_and_nothing_is_published() {
    let stage = Stage::new(options(), Book::default()).await;
    let source = superuser(&stage.sandbox.source).await;
    source.batch_execute("CREATE TABLE keyless (a int); INSERT INTO keyless VALUES (1)").await.unwrap();
    let said = stage.run().expect(3).await;
    assert!(said.contains("replica-identity"), "{said}");
    let (code, said) = stage.says(&["check", stage.book().to_str().unwrap()]).await;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("keyless"), "{said}");
    assert_eq!(value::<i64>(&source, "SELECT count(*) FROM pg_publication").await, 0);
    // A published table without identity refuses this.
    source.batch_execute("UPDATE keyless SET a = 2").await.unwrap();
}

const SEQUENCES: &str = "
    SET ROLE mover;
    CREATE SEQUENCE up; SELECT nextval('up') FROM generate_series(1, 41);
    CREATE SEQUENCE down INCREMENT -3 MAXVALUE 900 START 900; SELECT nextval('down') FROM generate_series(1, 7);
    CREATE SEQUENCE turns MAXVALUE 10 CYCLE; SELECT nextval('turns') FROM generate_series(1, 9);
    CREATE SEQUENCE fresh START 700;
    CREATE SEQUENCE primed; SELECT setval('primed', 5000, false);
    CREATE SEQUENCE \"Odd Name\"; SELECT nextval('\"Odd Name\"') FROM generate_series(1, 3);
    CREATE SEQUENCE small AS smallint; SELECT nextval('small');
    RESET ROLE; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app";
const NAMES: [&str; 8] = ["up", "down", "turns", "fresh", "primed", "\"Odd Name\"", "small", "tickets"];

async fn positions(db: &Client) -> Vec<(String, i64, bool)> {
    let mut all = Vec::new();
    for name in NAMES {
        let row = db.query_one(&format!("SELECT last_value, is_called FROM {name}"), &[]).await.unwrap();
        all.push((name.to_owned(), row.get(0), row.get(1)));
    }
    all
}

async fn draw(db: &Client) -> Vec<i64> {
    let mut all = Vec::new();
    for name in NAMES {
        all.push(value(db, &format!("SELECT nextval('{name}')")).await);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn f34_no_sequence_gives_a_number_again_in_either_direction() {
    let stage = Stage::new(options(), Book::default()).await;
    let source = superuser(&stage.sandbox.source).await;
    source.batch_execute(SEQUENCES).await.unwrap();
    let run = stage.run();
    stage.until_asked().await;
    // Made and used while replication runs.
    let source = superuser(&stage.sandbox.source).await;
    assert_eq!(draw(&source).await, [42, 879, 10, 700, 5000, 4, 2, 1001]);
    let left = positions(&source).await;
    stage.say(&["approve"]).await;
    run.expect(0).await;
    let target = superuser(&stage.sandbox.target).await;
    assert_eq!(positions(&target).await, left);
    // The one that cycles begins again where its limit is, as it would have on the source.
    assert_eq!(draw(&target).await, [43, 876, 1, 701, 5001, 5, 3, 1003]);
    let left = positions(&target).await;
    let (code, said) = stage.says(&["rollback"]).await;
    assert_eq!(code, 5, "{said}");
    let source = superuser(&stage.sandbox.source).await;
    assert_eq!(positions(&source).await, left);
    assert_eq!(draw(&source).await, [44, 873, 2, 702, 5002, 6, 4, 1005]);
}

async fn finding(stage: &Stage, id: &str) -> Value {
    let (_, said) = stage.says(&["check", stage.book().to_str().unwrap(), "--output", "json"]).await;
    let line: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap_or_else(|_| panic!("{said}"));
    let found = line["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == id);
    found.cloned().unwrap_or_else(|| panic!("no finding {id}: {said}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn f36_a_trigger_that_is_enabled_always_is_told_of_and_others_do_not_fire_twice() {
    let stage = Stage::new(options(), Book::default()).await;
    let source = superuser(&stage.sandbox.source).await;
    assert_eq!(finding(&stage, "triggers-always").await["level"], "pass");
    source.batch_execute("ALTER TABLE orders ENABLE ALWAYS TRIGGER note_order").await.unwrap();
    let told = finding(&stage, "triggers-always").await;
    assert_ne!(told["level"], "pass", "{told}");
    assert!(told.to_string().contains("note_order"), "{told}");
    source.batch_execute("ALTER TABLE orders ENABLE TRIGGER note_order").await.unwrap();

    let run = stage.run();
    stage.until_asked().await;
    let write = |token: &str| format!("INSERT INTO orders (account_id, note) VALUES (1, '{token}')");
    source.batch_execute(&write("before")).await.unwrap();
    stage.say(&["approve"]).await;
    run.expect(0).await;
    let client = stage.client().await;
    client.batch_execute(&write("after")).await.unwrap();
    let noted =
        "SELECT count(*) FROM order_history h JOIN orders o ON o.id = h.order_id WHERE o.note IN ('before', 'after')";
    let source = superuser(&stage.sandbox.source).await;
    until_true(
        &source,
        "SELECT count(*) = 1 FROM order_history h JOIN orders o ON o.id = h.order_id WHERE o.note = 'after'",
    )
    .await;
    for server in [&stage.sandbox.source, &stage.sandbox.target] {
        assert_eq!(value::<i64>(&superuser(server).await, noted).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_a_change_of_the_schema_on_the_way_refuses_the_window() {
    let stage = Stage::new(options(), Book::default()).await;
    let run = stage.run();
    stage.until_asked().await;
    let (source, target) = (superuser(&stage.sandbox.source).await, overriding(&stage.sandbox.target).await);
    let refused = async |holds: usize, word: &str, told: &str| {
        stage.say(&[word]).await;
        let reason = stage.until_held(holds).await;
        assert!(reason.contains(told), "{told}: {reason}");
        assert!(!stage.froze(), "{reason}");
    };
    // A column that nothing was written to yet: replication goes on as if nothing were.
    let column = "ALTER TABLE orders ADD COLUMN gift boolean";
    source.batch_execute(column).await.unwrap();
    refused(1, "approve", "public.orders.gift").await;
    target.batch_execute(column).await.unwrap();
    // A label that the target does not know.
    let label = "ALTER TYPE order_state ADD VALUE 'lost'";
    source.batch_execute(label).await.unwrap();
    refused(2, "continue", "order_state").await;
    target.batch_execute(label).await.unwrap();
    // A table, first on one side only, then on both: but nothing carries it.
    let table = "CREATE TABLE wishes (id int PRIMARY KEY)";
    source.batch_execute(table).await.unwrap();
    refused(3, "continue", "public.wishes").await;
    target.batch_execute(table).await.unwrap();
    source.batch_execute("INSERT INTO wishes VALUES (1)").await.unwrap();
    refused(4, "continue", "public.wishes").await;
    let add = "ALTER PUBLICATION pointsman_forward ADD TABLE wishes";
    source.batch_execute(add).await.unwrap();
    target.batch_execute("ALTER PUBLICATION pointsman_backward ADD TABLE wishes").await.unwrap();
    refused(5, "continue", "public.wishes").await;
    target.batch_execute("ALTER SUBSCRIPTION pointsman_forward REFRESH PUBLICATION").await.unwrap();
    source
        .batch_execute("ALTER SUBSCRIPTION pointsman_backward REFRESH PUBLICATION WITH (copy_data = false)")
        .await
        .unwrap();
    until_true(&target, "SELECT count(*) = 1 FROM wishes").await;
    until_true(&target, "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel").await;
    until_true(&source, "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel").await;
    stage.say(&["continue"]).await;
    run.expect(0).await;
    stage.client().await.batch_execute(&ledger_row("fine")).await.unwrap();
    assert_eq!(times(&stage.sandbox.target, "fine").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn f12_f32_truncates_and_partitions_are_carried_and_statistics_are_there() {
    let stage = Stage::new(SandboxOptions { target_version: 17, ..options() }, Book::default()).await;
    let workload = stage.sandbox.workload(2, 2, 100.0).unwrap();
    let run = stage.run();
    stage.until_asked().await;
    let source = superuser(&stage.sandbox.source).await;
    source
        .batch_execute(
            "INSERT INTO events (region, body) VALUES ('south', '{\"late\": 1}'), ('west', '{\"late\": 2}');
             TRUNCATE order_history;
             UPDATE accounts SET picture = repeat('x', 300000)::bytea, balance = 12345678.91 WHERE id = 7",
        )
        .await
        .unwrap();
    flows(&workload, 20).await;
    stage.say(&["approve"]).await;
    run.expect(0).await;
    let target = superuser(&stage.sandbox.target).await;
    assert_eq!(value::<i64>(&target, "SELECT count(*) FROM events WHERE body ? 'late'").await, 2);
    let old = "SELECT count(*) FROM order_history WHERE order_id < 5000";
    assert_eq!(value::<i64>(&target, old).await, 0, "the truncate was carried");
    let row = "SELECT length(picture) = 300000 AND balance >= 12345678.91 FROM accounts WHERE id = 7";
    assert!(value::<bool>(&target, row).await);
    let estimated = "SELECT reltuples >= 1000 FROM pg_class WHERE relname = 'accounts'";
    assert!(value::<bool>(&target, estimated).await, "statistics were not gathered");
    let ledger = workload.stop().await;
    stage.audit(&ledger, &stage.sandbox.target).await;
    let client = stage.sandbox.target.connect(Role::App2).await.unwrap();
    client.batch_execute(&ledger_row("x")).await.unwrap();
}
