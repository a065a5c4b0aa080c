//! Times of earlier runs, and what a rollback would mean.

use pointsman::journal::{Act, Actor, Durability, Journal};
use pointsman::systems::pair::Heading;
use pointsman::view::board::Board;
use pointsman::view::estimates::Estimates;
use pointsman::view::way_back::way_back;

use crate::standings::{Told, mv};

const OLD: &str = include_str!("../../fixtures/screen/by-hand.jsonl");

fn told() -> Told {
    Told(OLD.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn store(path: &std::path::Path, run: &str) -> Journal {
    let journal = Journal::open(path).unwrap();
    journal.create(run, "rehearsal-postgres", None).unwrap();
    let by = Actor { user: "u".into(), host: "h".into(), pid: 1, started: 1 };
    let epoch = journal.take(run, 0, &by).unwrap();
    for entry in told().0 {
        journal.append(run, epoch, &by, entry.event, Durability::Ordered).unwrap();
    }
    journal
}

/// From the store itself, without the run that is asked about, and from the rehearsals beside it.
#[test]
fn they_come_from_earlier_runs_and_rehearsals_of_the_same_runbook() {
    let folder = tempfile::tempdir().unwrap();
    let journal = store(&folder.path().join("journal.db"), "one");
    assert_eq!(Estimates::read(&journal, "rehearsal-postgres", "one").runs(), 0, "not from itself");
    assert_eq!(Estimates::read(&journal, "another", "").runs(), 0);
    drop(store(&folder.path().join("rehearsals/20260301-100000/journal.db"), "two"));
    let estimates = Estimates::read(&journal, "rehearsal-postgres", "one");
    assert_eq!(estimates.runs(), 1);
    let undo = estimates.act(&mv("replicate", Act::Undo, Heading::Forth)).unwrap();
    assert!((undo - 643.8).abs() < 0.1, "{undo}");
    assert!((estimates.wait(Heading::Back).unwrap() - 75.9).abs() < 0.1);
    assert_eq!(Estimates::read(&journal, "rehearsal-postgres", "").runs(), 2);
}

/// At every entry of a real run: the sentence, where it changes.
#[test]
fn what_a_rollback_means_at_each_moment_of_a_run() {
    let all = told().0;
    let mut estimates = Estimates::default();
    estimates.take(&all);
    let mut board = Board::new(all[..1].to_vec(), all[0].at).unwrap();
    let (mut text, mut last) = (String::new(), String::new());
    for entry in all {
        let seq = entry.seq;
        board.take(vec![entry]).unwrap();
        let back = way_back(&board.state, true, &estimates);
        if back.words != last {
            text.push_str(&format!("{seq:>3} {} {}\n", if back.open { "open  " } else { "closed" }, back.words));
            last = back.words;
        }
    }
    insta::assert_snapshot!(text);
}
