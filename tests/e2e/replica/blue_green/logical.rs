//! What RDS does to replicate a deployment logically, to another major version: real publications and subscriptions between
//! two real servers.
//!
//! User guide, "PostgreSQL replication methods for blue/green deployments", "RDS for PostgreSQL limitations for blue/green
//! deployments with logical replication" (no DDL: "Replication degraded"; sequences at the switchover), "Switching a
//! blue/green deployment" (its guardrails: no self-managed publisher or subscriber on the blue side, no writes on the green
//! one). AWS's Database Blog: it is "community logical replication". How RDS notices DDL is our belief: by an event trigger.

use std::process::{Command, Stdio};

use pointsman::sandbox::{Role, Sandbox, postgres::PostgresServer};
use tokio_postgres::Client;

/// Told in the log of the server, which no rollback takes back.
const SEEN: &str = "RDS has seen DDL";
const NAME: &str = "rds_bg";

/// RDS writes whatever a database says of its sessions.
async fn open(server: &PostgresServer) -> Client {
    let client = server.connect(Role::Superuser).await.unwrap();
    client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    client
}

async fn value(client: &Client, sql: &str) -> bool {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// The green one has everything of the blue one, and follows it.
pub async fn follow(sandbox: &Sandbox) {
    let (blue, green) = (&sandbox.source, &sandbox.target);
    let url = green.url(Role::Superuser, "postgres");
    let admin = pointsman::sandbox::connect(&url).await.unwrap();
    if let Ok(before) = green.connect(Role::Superuser).await {
        before.batch_execute("SET default_transaction_read_only = off").await.unwrap();
        before.batch_execute(&format!("DROP SUBSCRIPTION IF EXISTS {NAME}")).await.unwrap();
    }
    for sql in [
        "SET default_transaction_read_only = off",
        "DROP DATABASE IF EXISTS shop WITH (FORCE)",
        "CREATE DATABASE shop OWNER mover",
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "SELECT pg_reload_conf()",
    ] {
        admin.batch_execute(sql).await.unwrap();
    }
    forget(blue).await;
    copy_schema(blue, green);
    watch(blue).await;
    let client = open(green).await;
    let (from, name) = (blue.url(Role::Superuser, "shop"), NAME);
    let sql = format!("CREATE SUBSCRIPTION {name} CONNECTION '{from}' PUBLICATION {name}");
    client.batch_execute(&sql).await.unwrap();
    let ready = "SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel";
    while !value(&client, ready).await {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The green cluster begins as a clone of the blue one's volume, whatever that has in it, and follows from there (Aurora user
/// guide, "Using Amazon Aurora Blue/Green Deployments for database updates": "by cloning the underlying Aurora storage
/// volume"). Here a standby is the clone, which is opened behind the slot that it follows from; nobody writes meanwhile.
pub async fn follow_as_a_clone(sandbox: &Sandbox) {
    let (blue, green) = (&sandbox.source, &sandbox.target);
    watch(blue).await;
    let from = open(blue).await;
    let slot = format!("SELECT pg_create_logical_replication_slot('{NAME}', 'pgoutput')");
    from.batch_execute(&slot).await.unwrap();
    let end: String = from.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.unwrap().get(0);
    let client = green.connect(Role::Superuser).await.unwrap();
    while !value(&client, &format!("SELECT pg_last_wal_replay_lsn() >= '{end}'")).await {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    client.batch_execute("SELECT pg_promote()").await.unwrap();
    for sql in [
        format!("DROP EVENT TRIGGER {NAME}"),
        format!("DROP FUNCTION pg_catalog.{NAME}_saw()"),
        format!("DROP PUBLICATION {NAME}"),
        format!(
            "CREATE SUBSCRIPTION {NAME} CONNECTION '{}' PUBLICATION {NAME} WITH (copy_data = false, create_slot = false)",
            blue.url(Role::Superuser, "shop")
        ),
        "ALTER SYSTEM SET default_transaction_read_only = on".to_owned(),
        "SELECT pg_reload_conf()".to_owned(),
    ] {
        client.batch_execute(&sql).await.unwrap();
    }
}

/// As RDS's upgrade leaves it: nothing of the blue one is lost.
fn copy_schema(blue: &PostgresServer, green: &PostgresServer) {
    let dump = Command::new(green.bin().join("pg_dump"))
        .args([
            "--schema-only",
            "--no-statistics",
            "--no-publications",
            "--no-subscriptions",
            "-d",
            &blue.url(Role::Superuser, "shop"),
        ])
        .output()
        .unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let mut psql = Command::new(green.bin().join("psql"))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &green.url(Role::Superuser, "shop")])
        .env("PGOPTIONS", "-c default_transaction_read_only=off")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // PostgreSQL 15.20 and 17.12 keep an option of columns that 18 does not know.
    let text = String::from_utf8(dump.stdout).unwrap();
    let known: Vec<&str> = text.lines().filter(|line| !line.contains("pg_attver")).collect();
    std::io::Write::write_all(psql.stdin.as_mut().unwrap(), known.join("\n").as_bytes()).unwrap();
    assert!(psql.wait().unwrap().success());
}

/// RDS publishes everything, and notices DDL from now on.
async fn watch(blue: &PostgresServer) {
    let sql = format!(
        "CREATE PUBLICATION {NAME} FOR ALL TABLES;
         CREATE FUNCTION pg_catalog.{NAME}_saw() RETURNS event_trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE LOG '{SEEN} since %: %', (SELECT oid FROM pg_event_trigger WHERE evtname = '{NAME}'), tg_tag; END $$;
         CREATE EVENT TRIGGER {NAME} ON ddl_command_start EXECUTE FUNCTION pg_catalog.{NAME}_saw();"
    );
    open(blue).await.batch_execute(&sql).await.unwrap();
}

/// RDS takes away what it made on the blue one.
async fn forget(blue: &PostgresServer) {
    let sql = format!(
        "DROP EVENT TRIGGER IF EXISTS {NAME}; DROP FUNCTION IF EXISTS pg_catalog.{NAME}_saw();
         DROP PUBLICATION IF EXISTS {NAME};"
    );
    let client = open(blue).await;
    client.batch_execute(&sql).await.unwrap();
    let slot = format!(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{NAME}' AND active;
         SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{NAME}'"
    );
    drop(client.batch_execute(&slot).await);
}

/// What the guardrails say.
pub async fn refuses(sandbox: &Sandbox) -> Option<String> {
    let (blue, green) = (open(&sandbox.source).await, open(&sandbox.target).await);
    let since: u32 = blue
        .query_one(&format!("SELECT oid FROM pg_event_trigger WHERE evtname = '{NAME}'"), &[])
        .await
        .unwrap()
        .get(0);
    let log = std::fs::read_to_string(sandbox.folder().join("logs/source.log")).unwrap();
    if let Some(line) = log.lines().find(|line| line.contains(&format!("{SEEN} since {since}: "))) {
        return Some(format!("Replication degraded: {line}"));
    }
    let publisher = format!(
        "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_type = 'logical' AND slot_name <> '{NAME}') \
         OR EXISTS (SELECT FROM pg_subscription)"
    );
    if value(&blue, &publisher).await {
        return Some("The blue environment is a self-managed logical publisher or subscriber.".into());
    }
    let writes = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' \
                  AND backend_xid IS NOT NULL)";
    value(&green, writes).await.then(|| "There are active writes on the green environment.".into())
}

/// Waits until the green one has everything, sets its sequences, and ends the replication.
pub async fn caught_up(sandbox: &Sandbox) {
    let (blue, green) = (open(&sandbox.source).await, open(&sandbox.target).await);
    let end: String = blue.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.unwrap().get(0);
    blue.batch_execute("SELECT pg_logical_emit_message(true, 'rds', 'end')").await.unwrap();
    let sql = format!("SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = '{NAME}'");
    while !value(&blue, &sql).await {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let sequences = "SELECT format('SELECT setval(%L, %s, true)', format('%I.%I', schemaname, sequencename), last_value) \
                     FROM pg_sequences WHERE last_value IS NOT NULL";
    for row in blue.query(sequences, &[]).await.unwrap() {
        green.batch_execute(row.get(0)).await.unwrap();
    }
    green.batch_execute(&format!("DROP SUBSCRIPTION {NAME}")).await.unwrap();
    forget(&sandbox.source).await;
}

/// It takes writes from now on, and follows nobody.
pub async fn opened(sandbox: &Sandbox) {
    let client = open(&sandbox.target).await;
    if is_followed(&sandbox.target).await {
        client.batch_execute(&format!("DROP SUBSCRIPTION {NAME}")).await.unwrap();
        forget(&sandbox.source).await;
    }
    client.batch_execute("ALTER SYSTEM RESET default_transaction_read_only").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

/// Whether RDS has it follow still.
pub async fn is_followed(green: &PostgresServer) -> bool {
    let sql = format!("SELECT EXISTS (SELECT FROM pg_subscription WHERE subname = '{NAME}')");
    value(&open(green).await, &sql).await
}
