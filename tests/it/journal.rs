//! The journal: one executor at a time, nothing done that it does not hold, and past forms that are read for ever.

use std::path::{Path, PathBuf};

use pointsman::executor::{DriveError, RunState, take};
use pointsman::journal::{Durability, Entry, Event, Journal, JournalError, TakeReason, Word};

use crate::fake::{Earth, Outing, Play, plan_of};
use crate::standings::actor;

fn held() -> Event {
    Event::Held { reason: "x".into() }
}

#[test]
fn an_append_under_an_old_epoch_is_refused() {
    let journal = Journal::in_memory().unwrap();
    let (run, epoch) = take::begin(&journal, &plan_of("runbooks/rehearsal-postgres.yaml")).unwrap();
    let newer = take::take(&journal, &run, epoch, TakeReason::Guard).unwrap();
    let count = journal.entries(&run, 0).unwrap().len();
    let error = journal.append(&run, epoch, &actor(), held(), Durability::Synced).unwrap_err();
    assert!(matches!(error, JournalError::Superseded { mine, theirs, .. } if (mine, theirs) == (epoch, newer)));
    assert!(matches!(journal.renew(&run, epoch).unwrap_err(), JournalError::Superseded { .. }));
    assert_eq!(journal.entries(&run, 0).unwrap().len(), count);
    journal.append(&run, newer, &actor(), held(), Durability::Synced).unwrap();
}

#[test]
fn of_many_takers_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let (run, epoch) =
        take::begin(&Journal::open(&path).unwrap(), &plan_of("runbooks/rehearsal-postgres.yaml")).unwrap();
    let start = std::sync::Barrier::new(4);
    let taken: Vec<bool> = std::thread::scope(|scope| {
        let taker = || {
            let journal = Journal::open(&path).unwrap();
            start.wait();
            take::take(&journal, &run, epoch, TakeReason::Guard).is_ok()
        };
        let takers: Vec<_> = (0..4).map(|_| scope.spawn(taker)).collect();
        takers.into_iter().map(|taker| taker.join().unwrap()).collect()
    });
    assert_eq!(taken.iter().filter(|won| **won).count(), 1, "{taken:?}");
}

#[test]
fn a_run_that_a_living_executor_has_is_not_taken() {
    let journal = Journal::in_memory().unwrap();
    let (run, epoch) = take::begin(&journal, &plan_of("runbooks/rehearsal-postgres.yaml")).unwrap();
    assert!(matches!(take::again(&journal, &run, TakeReason::Resume).unwrap_err(), JournalError::Leased { .. }));
    journal.release(&run, epoch).unwrap();
    assert_eq!(take::again(&journal, &run, TakeReason::Resume).unwrap(), epoch + 1);
}

#[test]
fn a_place_that_can_not_hold_a_journal_is_told() {
    let folder = tempfile::tempdir().unwrap();
    drop(Journal::open(&folder.path().join("new/journal.db")).unwrap());
    std::fs::write(folder.path().join("plain"), "not a folder").unwrap();
    let error = Journal::open(&folder.path().join("plain/journal.db")).map(drop).unwrap_err();
    assert!(matches!(error, JournalError::Store { .. }), "{error}");
    std::fs::write(folder.path().join("text.db"), "this is no database, but a text of some length. ".repeat(50))
        .unwrap();
    let error = Journal::open(&folder.path().join("text.db")).map(drop).unwrap_err();
    assert!(error.to_string().contains("not a database"), "{error}");
}

/// SQLite itself says that its disk is full, from some entry on. Nothing is done without its intent (the world looks),
/// writes do not wait (except when it was the commit point that could not be written), and with room again the run
/// goes on from there.
#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_before_the_effect() {
    let plan = plan_of("runbooks/rehearsal-postgres.yaml");
    let folder = tempfile::tempdir().unwrap();
    let whole = Play::new(&plan);
    whole.outing(false).await;
    let commit = whole.entries().iter().position(|entry| matches!(entry.event, Event::Committed { .. })).unwrap();
    let (last, shape) = (whole.entries().len(), whole.fakes.earth().shape());
    for count in 4..last {
        let path = folder.path().join(format!("{count}.db"));
        let mut play = Play::in_journal(&plan, Journal::open(&path).unwrap());
        play.answer();
        let disk = rusqlite::Connection::open(&path).unwrap();
        let full = format!(
            "CREATE TRIGGER full BEFORE INSERT ON entries WHEN NEW.seq > {count}
             BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
        );
        disk.execute_batch(&full).unwrap();
        let outing = play.outing(false).await;
        let Outing::Failed(DriveError::Journal(error) | DriveError::Unrecorded(error, _)) = outing else {
            panic!("{}", play.told())
        };
        assert!(error.to_string().contains("disk is full"), "{error}");
        assert_eq!(play.entries().len(), count);
        // Nobody knows whether the commit entry stands whose writing failed.
        let doubtful = count == commit;
        assert!(doubtful || !play.fakes.earth().is_frozen(), "writes wait after {count} entries\n{}", play.told());
        disk.execute_batch("DROP TRIGGER full").unwrap();
        while play.rescue().await.is_some() {}
        let end = play.until_the_end(&Word::Continue).await;
        assert_eq!(play.fakes.earth().shape(), shape, "full after {count} entries: {end:?}\n{}", play.told());
    }
    assert_ne!(shape, Earth::new().shape());
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journals")
}

/// Journals of every past form: they load, fold, and say the same of how the run ended.
#[test]
fn past_forms_are_read_for_ever() {
    let mut seen = 0;
    for version in std::fs::read_dir(fixtures()).unwrap() {
        for file in std::fs::read_dir(version.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let read =
                |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let entries: Vec<Entry> = text.lines().map(read).collect();
            let state = RunState::replay(&entries).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let (outcome, _) = state.outcome.unwrap_or_else(|| panic!("{} has no end", path.display()));
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let told = serde_json::to_value(outcome).unwrap();
            assert!(name.ends_with(told.as_str().unwrap()), "{name} ended {told}");
            assert!(
                entries
                    .iter()
                    .all(|entry| pointsman::view::words::line(entry).is_none_or(|(_, text)| !text.is_empty()))
            );
            seen += 1;
        }
    }
    assert!(seen >= 2, "no fixtures were found");
}

/// What is written today is what stands in the newest fixtures: no field is dropped on the way through.
#[test]
fn the_newest_form_is_todays() {
    for file in std::fs::read_dir(fixtures().join("v1")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines() {
            let entry: Entry = serde_json::from_str(line).unwrap();
            let stored: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_value(&entry).unwrap(), stored);
        }
    }
}
