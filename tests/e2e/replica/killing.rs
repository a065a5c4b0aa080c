//! SIGKILL at entries of the journal, and at each one around the promotion: the window is left or finished by the guard,
//! no write is lost or doubled, and whatever was promoted is led there and back.

use pointsman::{
    journal::{Event, halt},
    sandbox::postgres::Postgres,
};

use super::{RATE, support::Stage};
use crate::cutover::{
    killing::{account_for, lead_back},
    support::{KILLED, Load, Staged, ended},
};

/// Kills a run at each of these entries, and recovers: by resuming and going back, or by going back at once.
async fn kill_at(first: u64, step: usize, up_to: u64) {
    let stage = Stage::with(Postgres::hurried()).await;
    for (n, seq) in (first..=up_to).step_by(step).enumerate() {
        let load = stage.scene.load(RATE);
        load.flows().await;
        let run = stage.scene.command(&stage.scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(run).await.code;
        if code == 0 {
            assert!(seq > 30, "a run has more entries than {seq}\n{}", stage.scene.story());
            load.stop().await;
            return;
        }
        assert_eq!(code, KILLED, "{}", stage.scene.story());
        recover(&stage, load, seq, n % 2 == 1).await;
        if !stage.is_replica().await {
            stage.replica_again().await;
        }
    }
}

async fn recover(stage: &Stage, load: Load, seq: u64, resumes: bool) {
    let when = lead_back(&stage.scene, &load, seq, resumes).await;
    stage.assert_undone(&when).await;
    account_for(&stage.scene, load, &when).await.assert_within_budget(&stage.scene);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fifth_entry_of_a_run() {
    kill_at(3, 5, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_of_a_window_around_the_promotion() {
    let stage = Stage::with(Postgres::hurried()).await;
    let load = stage.scene.load(RATE);
    stage.scene.run(0).await;
    load.stop().await;
    let at = |wanted: fn(&Event) -> bool| stage.scene.entries().iter().find(|entry| wanted(&entry.event)).unwrap().seq;
    let first = at(|event| super::support::begins(event, "drain"));
    let last = at(|event| matches!(event, Event::Passed { .. }));
    drop(stage);
    kill_at(first, 1, last).await;
}
