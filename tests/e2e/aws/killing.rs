//! SIGKILL at every entry of the journal of a run that shifts a load balancer's traffic, and of its rollback: whatever was
//! the last thing that the executor knew to have written, visitors see no error, and the run can be resumed or rolled back.

use pointsman::journal::{Outcome, halt};
use pointsman::sandbox::aws::NewBalancer;

use super::{book::Book, shift::assert_no_errors, support::Scene, visitors::Visitors};
use crate::cutover::support::{KILLED, ended, summary};

fn scene_book() -> Book {
    Book { weights: "[50, 100]", ..Book::default() }
}

/// What the emulator holds of everything that is moved.
async fn held(scene: &Scene) -> Vec<std::collections::BTreeMap<String, i32>> {
    let balancer = &scene.sandbox.balancer;
    vec![scene.weights(&balancer.listener).await, scene.weights(&balancer.rule).await]
}

/// Kills at every `of`-th entry, beginning with `first`.
async fn kill_a_run(first: u64, of: usize) {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&scene_book());
    let pristine = held(&scene).await;
    for (n, seq) in (first..).step_by(of).enumerate() {
        let visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
        let run = scene.command(&scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(run).await.code;
        if code == 0 {
            assert!(seq > 10, "a run has more entries than {seq}\n{}", scene.story());
            return;
        }
        assert_eq!(code, KILLED, "{}", scene.story());
        let what = summary(&scene.entries().last().unwrap().event);
        // Killed behind its last entry it has ended, and has nothing to be resumed.
        if n % 2 == 0 && scene.state().outcome.is_none() {
            scene.must(0, &["resume", "--output", "json"]).await;
            let weights = held(&scene).await;
            assert!(weights.iter().all(|one| one["old"] == 0 && one["new"] > 0), "{what}: {weights:?}");
        }
        scene.must(5, &["rollback", "--output", "json"]).await;
        assert_eq!(held(&scene).await, pristine, "killed at entry {seq}, {what}\n{}", scene.story());
        visitors.next(101).await;
        assert_no_errors(&visitors.stop().await, &scene);
        println!("killed at entry {seq}: {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_second_entry_of_a_run() {
    kill_a_run(2, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_second_entry_of_a_run_from_the_first() {
    kill_a_run(1, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_of_a_rollback() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&scene_book());
    let pristine = held(&scene).await;
    for number in 1.. {
        let visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
        scene.run(0).await;
        let words = ["rollback", "--output", "json"];
        let seq = scene.state().seq + number;
        let back = scene.command(&words).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(back).await.code;
        if code == 5 {
            assert!(number > 3, "a rollback has more entries than {number}\n{}", scene.story());
            return;
        }
        assert_eq!(code, KILLED, "{}", scene.story());
        let what = summary(&scene.entries().last().unwrap().event);
        let outcome = scene.state().outcome;
        if !matches!(outcome, Some((Outcome::RolledBack, _))) {
            // The word that was said is enough: it may be said again, or the run resumed.
            let again = scene.call(if number % 2 == 0 { &["resume", "--output", "json"] } else { &words }).await;
            assert_eq!(again.code, 5, "{what}: {again:?}\n{}", scene.story());
        }
        assert_eq!(held(&scene).await, pristine, "killed at {what}\n{}", scene.story());
        visitors.next(101).await;
        assert_no_errors(&visitors.stop().await, &scene);
    }
}
