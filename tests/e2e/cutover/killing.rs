//! SIGKILL at every entry of the journal, under load: whatever was the last thing that the executor knew to have
//! written, no write is lost or doubled, never do two databases take writes, writes wait no longer than the budget,
//! and the run can be resumed or rolled back.
//!
//! Every entry of a run and of a rollback is taken, inside the window and outside of it. The entries are shared out
//! among several tests, each with a sandbox of its own.

use std::time::Instant;

use pointsman::{
    executor::state::Side as Writer,
    journal::{Event, Outcome, TakeReason, halt},
    sandbox::{history::Side, postgres::Postgres},
};

use super::support::{KILLED, Load, Scene, Seen, Staged, ended};

/// Transactions a second.
const RATE: f64 = 300.0;

/// Takes every `of`-th entry of a run, beginning with `first` (from 1).
pub async fn kill_a_run<K: Staged>(rate: f64, first: u64, of: u64) {
    let scene = Scene::<K>::with(K::hurried()).await;
    // How many entries a run has is known when one of them was not killed any more.
    for (n, seq) in (first..).step_by(usize::try_from(of).unwrap()).enumerate() {
        let load = scene.load(rate);
        load.flows().await;
        let run = scene.command(&scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(run).await.code;
        if code == 0 {
            assert!(seq > 35, "a run has more entries than {seq}\n{}", scene.story());
            return;
        }
        assert_eq!(code, KILLED, "{}", scene.story());
        recover(&scene, load, seq, n % 2 == 1).await;
    }
}

/// The same for the entries of a rollback after the switch.
pub async fn kill_a_rollback<K: Staged>(rate: f64, first: u64, of: u64) {
    let scene = Scene::<K>::with(K::hurried()).await;
    for (n, number) in (first..).step_by(usize::try_from(of).unwrap()).enumerate() {
        let load = scene.load(rate);
        load.flows().await;
        scene.run(0).await;
        let seq = scene.state().seq + number;
        let words = ["rollback", "--output", "json"];
        let back = scene.command(&words).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(back).await.code;
        if code == 5 {
            assert!(number > 20, "a rollback has more entries than {number}\n{}", scene.story());
            return;
        }
        assert_eq!(code, KILLED, "{}", scene.story());
        recover(&scene, load, seq, n % 2 == 1).await;
    }
}

/// After a kill: writes flow, the window is left, the journal can be gone on with, and everything can be undone.
async fn recover<K: Staged>(scene: &Scene<K>, load: Load, seq: u64, resumes: bool) {
    let began = Instant::now();
    let when = lead_back(scene, &load, seq, resumes).await;
    scene.assert_undone(&when).await;
    let seen = account_for(scene, load, &when).await;
    seen.assert_within_budget(scene);
    println!("recovered in {:?}", began.elapsed());
}

/// A run that was killed is resumed, or not, and then taken back as a whole; says where it was killed.
pub async fn lead_back<K: Staged>(scene: &Scene<K>, load: &Load, seq: u64, resumes: bool) -> String {
    let killed_at = super::support::summary(&scene.entries()[usize::try_from(seq).unwrap() - 1].event);
    scene.guard_gone().await;
    load.flows().await;
    let state = scene.state();
    assert!(state.passage.is_none(), "the window was not left\n{}", scene.story());
    says_what_happened(scene, seq);
    if resumes && state.outcome.is_none() {
        let goes_on = scene.call(&["resume", "--output", "json"]).await;
        assert!(matches!(goes_on.code, 0 | 5), "{goes_on:?}\n{}", scene.story());
        assert_eq!(count(scene, passed), count(scene, proved), "a window is not proved\n{}", scene.story());
        load.flows().await;
    }
    if !matches!(scene.state().outcome, Some((Outcome::RolledBack, _))) {
        scene.must(5, &["rollback", "--output", "json"]).await;
    }
    load.flows().await;
    assert_eq!(scene.state().writer, Writer::Source);
    format!("killed at entry {seq}, {killed_at}")
}

/// Every write of the load is where it belongs.
pub async fn account_for<K: Staged>(scene: &Scene<K>, load: Load, when: &str) -> Seen {
    let mut seen = load.stop().await;
    println!("{when}: longest wait {:?}", seen.longest_wait());
    scene.clean(&mut seen, Side::Source, count(scene, passed)).await;
    seen
}

fn count<K: Staged>(scene: &Scene<K>, wanted: fn(&Event) -> bool) -> usize {
    scene.entries().iter().filter(|entry| wanted(&entry.event)).count()
}

const fn passed(event: &Event) -> bool {
    matches!(event, Event::Passed { .. })
}

const fn proved(event: &Event) -> bool {
    matches!(event, Event::Proved { .. })
}

/// If the guard had to act, the journal says so and names the way on.
fn says_what_happened<K: Staged>(scene: &Scene<K>, seq: u64) {
    let entries = scene.entries();
    let after = &entries[usize::try_from(seq).unwrap()..];
    let frozen_at = |seq: usize| {
        pointsman::executor::state::RunState::replay(&entries[..seq]).is_ok_and(|state| state.passage.is_some())
    };
    if !frozen_at(usize::try_from(seq).unwrap()) {
        assert!(after.is_empty(), "nobody had anything to do\n{}", scene.story());
        return;
    }
    let took = after.iter().any(|entry| matches!(entry.event, Event::Took { reason: TakeReason::Guard }));
    let left = after.iter().any(|entry| matches!(entry.event, Event::Thawed { .. } | Event::Passed { .. }));
    let told = after.iter().rev().find_map(|entry| match &entry.event {
        Event::Held { reason } => {
            Some(reason.contains("the executor died inside the window") && reason.contains("resume"))
        }
        _ => None,
    });
    assert!(took && left && told == Some(true), "the guard did not say what it did\n{}", scene.story());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fourth_entry_of_a_run() {
    kill_a_run::<Postgres>(RATE, 4, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fourth_entry_of_a_run_from_the_first() {
    kill_a_run::<Postgres>(RATE, 1, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fourth_entry_of_a_run_from_the_second() {
    kill_a_run::<Postgres>(RATE, 2, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fourth_entry_of_a_run_from_the_third() {
    kill_a_run::<Postgres>(RATE, 3, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fourth_entry_of_a_rollback() {
    kill_a_rollback::<Postgres>(RATE, 4, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fourth_entry_of_a_rollback_from_the_first() {
    kill_a_rollback::<Postgres>(RATE, 1, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fourth_entry_of_a_rollback_from_the_second() {
    kill_a_rollback::<Postgres>(RATE, 2, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fourth_entry_of_a_rollback_from_the_third() {
    kill_a_rollback::<Postgres>(RATE, 3, 4).await;
}
