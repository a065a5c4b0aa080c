//! The copy that mydumper reads, with a real one: of MariaDB, whose position its packaged version can ask for.

use std::path::PathBuf;

use pointsman::sandbox::mysql::{Mariadb, Mysql};
use pointsman::sandbox::{Role, Sandbox};
use tokio::process::Command;

use super::copy::{ROWS, has_begun, make_rows, program, said, until};
use super::pairs::{pair, sql, value};

fn mydumper() -> PathBuf {
    let path = std::env::var_os("MYDUMPER").expect("MYDUMPER: the mydumper that tools/servers.sh finds or installs");
    PathBuf::from(path)
}

/// The program with this mydumper, and with a folder of its own for the rows.
fn with_mydumper(pair: &Sandbox<Mariadb>, with: &str, words: &[&str]) -> Command {
    let mut command = program(pair, with, words);
    command.env("POINTSMAN_MYDUMPER", mydumper()).env("TMPDIR", kept(pair));
    command
}

fn kept(pair: &Sandbox<Mariadb>) -> PathBuf {
    let folder = pair.folder().join("kept");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn left_behind(pair: &Sandbox<Mariadb>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(kept(pair)).unwrap();
    let ours = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("pointsman-copy-");
    entries.map(|entry| entry.unwrap().path()).filter(ours).collect()
}

/// What the files of rows could get wrong, and what is no row: bytes, quotes, zeros, generated columns, an empty
/// table, a sequence; a trigger that would change every row that is loaded, a view, a routine, an event.
const AWKWARD: &[&str] = &[
    "CREATE TABLE shop.zeros (id int AUTO_INCREMENT PRIMARY KEY, note text)",
    "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; INSERT INTO shop.zeros VALUES (0, 'zero'), (7, NULL)",
    "CREATE TABLE shop.awkward (id int PRIMARY KEY, bytes blob, bits bit(9), at timestamp(6) NULL, words text, old varchar(9) \
     CHARACTER SET latin1, json json, n int, stored int AS (n * 2) STORED, made int AS (n * 3) VIRTUAL, changed int DEFAULT 0)",
    "SET NAMES utf8mb4; SET SESSION time_zone = '+05:00'; INSERT INTO shop.awkward (id, bytes, bits, at, words, old, json, n) VALUES \
     (1, X'00FF0D0A5C271A22', b'100000001', '2024-10-27 02:30:00.5', 'back\\\\slash \"quote\" it''s \r\n; -- ü', 'é', '{\"a\": \"\\\\n\"}', 7), \
     (2, '', b'0', NULL, '', NULL, NULL, NULL)",
    "CREATE TRIGGER shop.changes BEFORE INSERT ON shop.awkward FOR EACH ROW SET NEW.changed = NEW.changed + 1",
    "CREATE SEQUENCE shop.bill START WITH 1000 CACHE 50; DO NEXTVAL(shop.bill)",
    "CREATE TABLE shop.hollow (id int PRIMARY KEY)",
    "CREATE VIEW shop.shown AS SELECT id, words FROM shop.awkward",
];

const ALL: &str = "SELECT CONCAT_WS('|', (SELECT GROUP_CONCAT(CONCAT_WS(',', id, HEX(bytes), BIN(bits), UNIX_TIMESTAMP(at), HEX(words), HEX(old), json, \
     stored, made, changed) ORDER BY id) FROM shop.awkward), (SELECT GROUP_CONCAT(id, IFNULL(note, '-') ORDER BY id) FROM shop.zeros), \
     (SELECT COUNT(*) FROM shop.shown))";

/// Chosen by the plan, read from one position while writes go on, and followed from there: both sides are the same.
#[tokio::test(flavor = "multi_thread")]
async fn mariadb_rows_are_read_in_parallel_while_writes_go_on() {
    let pair = pair::<Mariadb>(&[], &[]).await;
    for statement in AWKWARD {
        sql(&pair.source, statement).await;
    }
    make_rows(&pair, 200_000).await;
    let (code, planned) = said(with_mydumper(&pair, "", &["plan"])).await;
    assert!(code == Some(0) && planned.contains("mydumper is installed here"), "{planned}");
    let workload = pair.workload(0, 4, 100.0).unwrap();
    let (code, ran) = said(with_mydumper(&pair, "", &["run", "--confirm", "copying"])).await;
    assert_eq!(code, Some(4), "{ran}");
    let (code, compared) = said(with_mydumper(&pair, "", &["verify"])).await;
    assert_eq!(code, Some(0), "{compared}");
    workload.stop().await;
    assert_eq!(value(&pair.target, ROWS).await, value(&pair.source, ROWS).await);
    assert_eq!(value(&pair.target, ALL).await, value(&pair.source, ALL).await);
    let programs =
        "SELECT GROUP_CONCAT(TRIGGER_NAME ORDER BY 1) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop'";
    assert_eq!(value(&pair.target, programs).await, value(&pair.source, programs).await);
    assert_eq!(left_behind(&pair), Vec::<PathBuf>::new());

    // What it would leave out is not left to it.
    sql(&pair.source, "CREATE TABLE shop.hides (id int PRIMARY KEY, hidden int INVISIBLE DEFAULT 1)").await;
    let (code, planned) = said(with_mydumper(&pair, "", &["plan"])).await;
    assert!(code == Some(0) && planned.contains("no mydumper: shop.hides.hidden is invisible"), "{planned}");
    let (code, planned) = said(with_mydumper(&pair, ", copy: mydumper", &["plan"])).await;
    assert!(code != Some(0) && planned.contains("shop.hides.hidden is invisible"), "{code:?} {planned}");
    sql(&pair.source, "CREATE DATABASE other").await;
    let (_, planned) = said(with_mydumper(&pair, "", &["plan"])).await;
    assert!(planned.contains("no mydumper: of several schemas"), "{planned}");
    pair.stop().await;
}

/// SIGKILL while it reads, and again while the rows are loaded: nothing goes on by itself, and `resume` begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn mariadb_a_parallel_copy_that_was_killed_is_begun_again() {
    let pair = pair::<Mariadb>(&[], &[]).await;
    make_rows(&pair, 400_000).await;
    sql(&pair.source, "CREATE TABLE shop.keyless (note varchar(20)); INSERT INTO shop.keyless VALUES ('once')").await;
    let with = ", copy: mydumper";
    let mut run = with_mydumper(&pair, with, &["run", "--confirm", "copying"]).spawn().unwrap();
    until("the folder", async || left_behind(&pair).first().is_some_and(|folder| folder.join("rows").is_dir())).await;
    run.kill().await.unwrap();
    run.wait().await.unwrap();
    let reads = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%FROM `shop`.`wide`%' AND ID <> CONNECTION_ID()";
    until("the end of mydumper", async || value(&pair.source, reads).await == "0").await;

    let mut run = with_mydumper(&pair, with, &["resume"]).spawn().unwrap();
    until("rows", async || has_begun(&pair, "SELECT EXISTS (SELECT 1 FROM shop.wide)").await).await;
    run.kill().await.unwrap();
    run.wait().await.unwrap();
    let (code, resumed) = said(with_mydumper(&pair, with, &["resume"])).await;
    assert_eq!(code, Some(4), "{resumed}");
    assert_eq!(value(&pair.target, ROWS).await, value(&pair.source, ROWS).await, "{resumed}");
    assert_eq!(value(&pair.target, "SELECT COUNT(*) FROM shop.keyless").await, "1");
    assert_eq!(left_behind(&pair), Vec::<PathBuf>::new());
    let (code, back) = said(with_mydumper(&pair, with, &["rollback", "--reason", "enough"])).await;
    assert_eq!(code, Some(5), "{back}");
    pair.stop().await;
}

/// A MySQL that says its position another way is read by its own dump program, and the plan says why.
#[tokio::test(flavor = "multi_thread")]
async fn mysql_that_it_can_not_ask_for_its_position_is_not_read_by_it() {
    let pair = pair::<Mysql>(&[], &[]).await;
    let planned = async |with: &str| {
        let mut command = program(&pair, with, &["plan"]);
        command.env("POINTSMAN_MYDUMPER", mydumper());
        said(command).await
    };
    let (code, found) = planned("").await;
    assert!(code == Some(0) && found.contains("asks SHOW MASTER STATUS") && found.contains("mysqldump"), "{found}");
    let (code, found) = planned(", copy: mydumper").await;
    assert!(code != Some(0) && found.contains("asks SHOW MASTER STATUS") && found.contains("copy: dump"), "{found}");
    assert!(pair.source.connect(Role::Superuser).await.is_ok());
    pair.stop().await;
}
