//! The schema of a PostgreSQL 15 goes to an 18, whatever happens in between.
#![expect(clippy::unwrap_used, reason = "a test ends by a panic")]

use std::sync::Mutex;

use pointsman::systems::postgres::schema_copy::{
    ApplyOptions, DriftOptions, DumpOptions, Progress, SchemaScript, Stage, apply, check_roles, drift, dump, undo,
    undo_statements,
};

use crate::support_verify::{Cluster, pg_dump};

const RICH: &str = include_str!("rich.sql");
const ROLES: &str = "CREATE ROLE app LOGIN; CREATE ROLE reader; CREATE ROLE granter; GRANT granter TO app;";

fn quiet(_: &Progress) {}

async fn rich_pair() -> (Cluster, Cluster, SchemaScript) {
    let (source, target) = (Cluster::start(15), Cluster::start(18));
    source.sql(ROLES).await;
    source.sql(RICH).await;
    let options = DumpOptions { pg_dump: Some(pg_dump(18)), ..DumpOptions::default() };
    let script = dump(&source.database("source"), &options).await.unwrap();
    (source, target, script)
}

async fn apply_both(target: &Cluster, script: &SchemaScript) -> (usize, usize) {
    let database = target.database("target");
    let options = ApplyOptions::default();
    let before = apply(&database, script, Stage::BeforeCopy, &options, &quiet).await.unwrap();
    let after = apply(&database, script, Stage::AfterCopy, &options, &quiet).await.unwrap();
    (before.run + after.run, before.already + after.already)
}

#[tokio::test]
async fn a_rich_schema_goes_from_15_to_18_and_a_repetition_does_nothing() {
    let (source, target, script) = rich_pair().await;
    target.sql(ROLES).await;
    check_roles(&source.database("source"), &target.database("target"), &script).await.unwrap();
    let (run, already) = apply_both(&target, &script).await;
    assert!(run > 40 && already == 0, "{run} {already}");
    let (again, already) = apply_both(&target, &script).await;
    assert_eq!((again, already), (0, run));
    let found = drift(&source.database("source"), &target.database("target"), &DriftOptions::default()).await.unwrap();
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(target.text("SELECT count(*) FROM app.mv").await, "1", "materialized views are filled");
    assert_eq!(target.text("SELECT has_schema_privilege('app', 'public', 'CREATE')").await, "t");
    assert!(script.left_out.iter().all(|line| !line.contains("hush")), "{:?}", script.left_out);
    assert_eq!(script.left_out.len(), 1);
}

#[tokio::test]
async fn replication_finds_its_keys_before_the_copy_and_nothing_else() {
    let (_source, target, script) = rich_pair().await;
    target.sql(ROLES).await;
    apply(&target.database("target"), &script, Stage::BeforeCopy, &ApplyOptions::default(), &quiet).await.unwrap();
    let keys = "SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid \
                JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'app' AND indisvalid";
    assert_eq!(target.text(keys).await, "log_uid orders_pkey part_a_pkey part_pkey users_pkey");
    assert_eq!(target.text("SELECT relreplident FROM pg_class WHERE relname = 'log'").await, "i");
    assert_eq!(target.text("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal").await, "0");
}

#[tokio::test]
async fn missing_roles_are_named_with_the_statements_that_make_them() {
    let (source, target, script) = rich_pair().await;
    target.sql("CREATE ROLE reader").await;
    let before = target.dumped();
    let error = check_roles(&source.database("source"), &target.database("target"), &script).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("it has no role app, granter") && text.contains("CREATE ROLE app LOGIN;"), "{text}");
    assert!(text.contains("GRANT granter TO app;") && !text.contains("CREATE ROLE reader"), "{text}");
    assert_eq!(target.dumped(), before);
}

/// Ends the sessions that build the schema, again and again, at other places each time.
#[tokio::test]
async fn a_copy_that_is_killed_anywhere_goes_on_and_does_nothing_twice() {
    let (source, target, script) = rich_pair().await;
    target.sql(ROLES).await;
    let database = target.database("target");
    let mut kills = 0;
    for stage in [Stage::BeforeCopy, Stage::AfterCopy] {
        for round in 0.. {
            let steps = Mutex::new(0_u32);
            let stop = tokio::sync::Notify::new();
            let listener = |_: &Progress| {
                let mut count = steps.lock().unwrap();
                *count += 1;
                if *count == round + 1 {
                    stop.notify_one();
                }
            };
            let options = ApplyOptions::default();
            let working = apply(&database, &script, stage, &options, &listener);
            tokio::select! {
                outcome = working => { outcome.unwrap(); break; }
                () = stop.notified() => kills += 1,
            }
        }
    }
    assert!(kills >= 4, "it was killed {kills} times only");
    let found = drift(&source.database("source"), &database, &DriftOptions::default()).await.unwrap();
    assert_eq!(found, []);
    let notes = target.text("SELECT count(*) FROM pointsman.applied").await;
    assert_eq!(notes, (script.pre_data.len() + script.post_data.len()).to_string());
}

#[tokio::test]
async fn a_session_that_the_server_ends_leaves_nothing_half_done() {
    let (source, target, script) = rich_pair().await;
    target.sql(ROLES).await;
    let database = target.database("target");
    let options = ApplyOptions { guard: Some("SELECT pg_sleep(0.3)".into()), ..ApplyOptions::default() };
    let killer = async {
        let session = target.session().await;
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                       WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()";
            let ended: i64 = session.value("end sessions", sql, &[]).await.unwrap();
            if ended > 0 {
                break;
            }
        }
    };
    let (outcome, ()) = tokio::join!(apply(&database, &script, Stage::BeforeCopy, &options, &quiet), killer);
    assert!(outcome.is_err());
    apply_both(&target, &script).await;
    assert_eq!(drift(&source.database("source"), &database, &DriftOptions::default()).await.unwrap(), []);
}

#[tokio::test]
async fn a_guard_that_fails_lets_nothing_happen() {
    let (_source, target, script) = rich_pair().await;
    target.sql(ROLES).await;
    let before = target.dumped();
    let options = ApplyOptions { guard: Some("SELECT 1 / 0".into()), ..ApplyOptions::default() };
    apply(&target.database("target"), &script, Stage::BeforeCopy, &options, &quiet).await.unwrap_err();
    assert_eq!(target.dumped(), before);
    assert_eq!(target.text("SELECT to_regnamespace('pointsman') IS NULL").await, "t");
}

#[tokio::test]
async fn undo_leaves_the_target_as_it_was() {
    let (_source, target, script) = rich_pair().await;
    target.sql(ROLES).await;
    target.sql("CREATE TABLE mine(id int PRIMARY KEY, t text); CREATE VIEW mine_v AS SELECT * FROM mine; GRANT ALL ON SCHEMA public TO reader").await;
    let before = target.dumped();
    apply_both(&target, &script).await;
    assert_ne!(target.dumped(), before);
    let announced = undo_statements(&target.database("target")).await.unwrap();
    let undone = undo(&target.database("target"), None).await.unwrap();
    assert_eq!(undone.statements, announced);
    assert_eq!(target.dumped(), before);
    assert_eq!(target.text("SELECT to_regnamespace('pointsman') IS NULL").await, "t");
    assert_eq!(undo(&target.database("target"), None).await.unwrap().statements, [""; 0]);
}

#[tokio::test]
async fn undo_refuses_to_take_along_what_somebody_else_made() {
    let (_source, target, script) = rich_pair().await;
    target.sql(ROLES).await;
    apply_both(&target, &script).await;
    target.sql("CREATE VIEW report AS SELECT id FROM app.orders; CREATE TABLE app.kept(id int)").await;
    let before = target.dumped();
    let text = undo(&target.database("target"), None).await.unwrap_err().to_string();
    assert!(text.contains("view public.report") && text.contains("table app.kept"), "{text}");
    assert_eq!(target.dumped(), before);
    target.sql("DROP VIEW report; DROP TABLE app.kept").await;
    undo(&target.database("target"), None).await.unwrap();
    assert_eq!(target.text("SELECT to_regnamespace('app') IS NULL").await, "t");
}

#[tokio::test]
async fn drift_finds_what_was_changed_meanwhile() {
    let (source, target, script) = rich_pair().await;
    target.sql(ROLES).await;
    apply_both(&target, &script).await;
    source
        .sql(
            "ALTER TABLE app.orders ADD COLUMN gift boolean DEFAULT false; DROP INDEX app.orders_user; \
             ALTER TYPE app.mood ADD VALUE 'angry'; ALTER TABLE app.log ALTER COLUMN what SET NOT NULL; \
             ALTER SEQUENCE app.free_seq INCREMENT 7; CREATE TABLE app.added(id int)",
        )
        .await;
    let options = DriftOptions::default();
    let found = drift(&source.database("source"), &target.database("target"), &options).await.unwrap();
    let objects: Vec<_> = found.iter().map(|one| format!("{} {}", one.kind, one.object)).collect();
    assert_eq!(
        objects,
        [
            "column app.added.id",
            "column app.log.what",
            "column app.orders.gift",
            "index app.orders_user",
            "sequence app.free_seq",
            "table app.added",
            "type app.mood"
        ]
    );
    assert_eq!(found[2].to_string(), "column app.orders.gift is missing on the target (boolean default false)");
    let ignoring = DriftOptions { ignore_kinds: vec!["index".into(), "column".into()], ..options };
    assert_eq!(drift(&source.database("source"), &target.database("target"), &ignoring).await.unwrap().len(), 3);
}

#[tokio::test]
async fn chosen_schemas_bring_their_extensions() {
    let (source, target, _) = rich_pair().await;
    target.sql(ROLES).await;
    source.sql("CREATE SCHEMA other; CREATE TABLE other.t(id int)").await;
    let options = DumpOptions { schemas: vec!["app".into(), "public".into()], pg_dump: Some(pg_dump(18)) };
    let script = dump(&source.database("source"), &options).await.unwrap();
    apply_both(&target, &script).await;
    assert_eq!(target.text("SELECT to_regclass('app.orders_trgm') IS NOT NULL").await, "t");
    assert_eq!(target.text("SELECT to_regnamespace('other') IS NULL").await, "t");
}

#[tokio::test]
async fn the_password_is_not_on_the_command_line() {
    let source = Cluster::start(15);
    let folder = tempfile::tempdir().unwrap();
    let spy = folder.path().join("pg_dump");
    let seen = folder.path().join("seen");
    let script = format!(
        "#!/bin/sh\necho \"$@ / $PGPASSWORD / $PGOPTIONS\" >> {}\nexec {} \"$@\"\n",
        seen.display(),
        pg_dump(18)
    );
    std::fs::write(&spy, script).unwrap();
    std::fs::set_permissions(&spy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut database = source.database("source");
    database.spec.url = database.spec.url.replace("postgres@", "postgres:hush@");
    let options = DumpOptions { pg_dump: Some(spy.display().to_string()), ..DumpOptions::default() };
    dump(&database, &options).await.unwrap();
    let seen = std::fs::read_to_string(seen).unwrap();
    let runs: Vec<&str> = seen.lines().filter(|line| line.contains("--section=")).collect();
    assert_eq!(runs.len(), 2, "{seen}");
    for run in runs {
        let (arguments, environment) = run.split_once(" / ").unwrap();
        assert!(!arguments.contains("hush") && environment.starts_with("hush"), "{run}");
    }
}

#[tokio::test]
async fn a_pg_dump_that_is_too_old_or_missing_is_refused() {
    let source = Cluster::start(18);
    for (path, words) in [(pg_dump(15), "is of version 15, the server of 18"), ("/nowhere".into(), "can't be started")]
    {
        let options = DumpOptions { pg_dump: Some(path), ..DumpOptions::default() };
        let text = dump(&source.database("source"), &options).await.unwrap_err().to_string();
        assert!(text.contains(words) && text.contains("POINTSMAN_PG_DUMP"), "{text}");
    }
}

#[tokio::test]
async fn a_rich_schema_goes_from_18_to_15() {
    let (source, target) = (Cluster::start(18), Cluster::start(15));
    for sql in [ROLES, RICH] {
        source.sql(sql).await;
    }
    target.sql(ROLES).await;
    let options = DumpOptions { pg_dump: Some(pg_dump(18)), ..DumpOptions::default() };
    let script = dump(&source.database("source"), &options).await.unwrap();
    apply_both(&target, &script).await;
    let found = drift(&source.database("source"), &target.database("target"), &DriftOptions::default()).await.unwrap();
    assert_eq!(found, []);
}
