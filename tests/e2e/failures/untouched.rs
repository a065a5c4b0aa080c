//! `plan` and `check` change nothing: a picture of everything, before and after.

use std::process::Command;

use pointsman::sandbox::postgres::PostgresServer;
use pointsman::sandbox::{DATABASE, Role, connect};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::support::{Book, Stage, options, superuser};

const SETTINGS: &str = "SELECT name, setting, source FROM pg_settings ORDER BY 1";
const ROLES: &str = "SELECT r.*, (SELECT array_agg(setconfig) FROM pg_db_role_setting s WHERE s.setrole = r.oid) \
    FROM pg_authid r ORDER BY rolname";
const DATABASES: &str = "SELECT d.datname, d.datconnlimit, d.datallowconn, d.datdba, d.datacl, \
    (SELECT array_agg(setconfig) FROM pg_db_role_setting s WHERE s.setdatabase = d.oid) FROM pg_database d ORDER BY 1";
const SLOTS: &str = "SELECT slot_name, plugin, slot_type, database, active FROM pg_replication_slots ORDER BY 1";
const PUBLICATIONS: &str = "SELECT p.*, (SELECT array_agg(prrelid ORDER BY prrelid) FROM pg_publication_rel r \
    WHERE r.prpubid = p.oid) FROM pg_publication p ORDER BY pubname";
const SUBSCRIPTIONS: &str = "SELECT subname, subenabled FROM pg_subscription ORDER BY 1";
/// What no dump shows: an object that was made and dropped, or a row that was written and taken back, moves these.
const TRACES: &str =
    "SELECT schemaname, relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1, 2";

/// Rows of a query as text, one a line.
async fn text(db: &Client, sql: &str) -> String {
    let messages = db.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let line = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("-")).collect::<Vec<_>>().join(" | ") + "\n")
        }
        _ => None,
    };
    messages.into_iter().filter_map(line).collect()
}

fn dump(server: &PostgresServer) -> String {
    let output = Command::new(server.bin().join("pg_dump"))
        .args(["--no-sync", "--dbname", &server.url(Role::Superuser, DATABASE)])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // Newer dumps begin and end with a random word.
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

/// Everything that a cutover could change, by name.
async fn picture(stage: &Stage) -> Vec<(String, String)> {
    let mut parts = Vec::new();
    for (side, server) in [("source", &stage.sandbox.source), ("target", &stage.sandbox.target)] {
        let db = superuser(server).await;
        let queries = [
            ("SETTINGS", SETTINGS),
            ("ROLES", ROLES),
            ("DATABASES", DATABASES),
            ("SLOTS", SLOTS),
            ("PUBLICATIONS", PUBLICATIONS),
            ("SUBSCRIPTIONS", SUBSCRIPTIONS),
        ];
        for (name, sql) in queries {
            parts.push((format!("{side}: {name}"), text(&db, sql).await));
        }
        if side == "source" {
            parts.push(("source: rows that were written".into(), text(&db, TRACES).await));
        }
        parts.push((format!("{side}: dump"), dump(server)));
    }
    let console = connect(&stage.sandbox.pgbouncers[0].admin_url()).await.unwrap();
    // How many clients and servers it has now is no setting.
    let databases = text(&console, "SHOW DATABASES").await;
    let place = |line: &str| line.split(" | ").take(6).collect::<Vec<_>>().join(" | ");
    parts.push(("pooler: databases".into(), databases.lines().map(place).collect::<Vec<_>>().join("\n")));
    parts.push(("pooler: config".into(), text(&console, "SHOW CONFIG").await));
    parts.push(("pooler: file".into(), std::fs::read_to_string(stage.sandbox.pgbouncers[0].ini()).unwrap()));
    parts.push(("balancer: weights".into(), weights(stage)));
    parts
}

/// Name and weight of each server, as the balancer has them.
fn weights(stage: &Stage) -> String {
    use std::io::{Read, Write};
    let mut socket = std::os::unix::net::UnixStream::connect(stage.sandbox.haproxies[0].socket()).unwrap();
    socket.write_all(b"show servers state app\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    // Name, operational and administrative state, weights; what follows counts checks and seconds.
    let line = |line: &str| line.split(' ').skip(3).take(5).collect::<Vec<_>>().join(" ");
    answer.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_and_check_change_nothing() {
    let stage = Stage::new(options(), Book { gates: "[lag]", balancers: 1, ..Book::default() }).await;
    let before = picture(&stage).await;
    for words in [&["check"][..], &["plan"], &["check", "--output", "json"], &["plan", "--output", "json"]] {
        let mut words = words.to_vec();
        let book = stage.book();
        words.insert(1, book.to_str().unwrap());
        let (code, said) = stage.says(&words).await;
        assert_eq!(code, 0, "{words:?}: {said}");
    }
    for ((name, then), (_, now)) in before.iter().zip(picture(&stage).await) {
        assert!(*then == now, "{name} has changed:\n{then}\n---\n{now}");
        // A fresh server has neither of these.
        let may_be_empty = ["SLOTS", "PUBLICATIONS", "SUBSCRIPTIONS"].iter().any(|word| name.ends_with(word));
        assert!(may_be_empty || !then.trim().is_empty(), "{name} is empty: nothing was compared");
    }
    assert!(stage.journal.runs().unwrap().is_empty(), "there is a run");
}
