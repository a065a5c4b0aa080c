//! There and back again: forward under load, back after the switch, forward once more to the end; and back from every
//! step before the switch. The scenarios are the same for every kind of database.

use std::time::Duration;

use pointsman::{executor::state::Side as Writer, journal::Event, sandbox::history::Side};

use super::support::{DOOR, Scene, Staged, steps, steps_to_the_end, steps_with};

pub async fn there_and_back_and_there_for_good<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    let load = scene.load(rate);
    load.flows().await;
    scene.run(0).await;
    assert_eq!(scene.state().writer, Writer::Target);
    load.flows().await;
    // The run has ended, but nobody dropped the way back.
    scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    scene.assert_undone("rolled back after its end").await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 2).await;
    seen.assert_within_budget(&scene);

    scene.write(&steps_to_the_end::<K>());
    let load = scene.load(rate);
    load.flows().await;
    let run = scene.command(&scene.run_words()).spawn().unwrap();
    scene.until("it asks", |event| matches!(event, Event::Intent { of, .. } if of.step == "approve")).await;
    scene.must(0, &["approve"]).await;
    assert_eq!(super::support::ended(run).await.code, 0, "{}", scene.story());
    load.flows().await;
    let refused = scene.must(3, &["rollback"]).await;
    assert!(refused.err.contains("finalize has dropped the way back"), "{refused:?}");
    let resumed = scene.must(3, &["resume"]).await;
    assert!(resumed.err.contains("finalize has dropped the way back"), "{resumed:?}");
    let mut again = load.stop().await;
    scene.clean(&mut again, Side::Target, 1).await;
    // What the clients of the first half wrote has come along too.
    scene.clean(&mut seen, Side::Target, 2).await;
}

pub async fn a_run_that_lives_is_told_to_go_back_after_the_switch<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    scene.write(&steps_with::<K>("bake", "bake: { name: long, for: 10m }"));
    let load = scene.load(rate);
    load.flows().await;
    let run = scene.command(&scene.run_words()).spawn().unwrap();
    scene.until("it bakes", |event| matches!(event, Event::Intent { of, .. } if of.step == "long")).await;
    load.flows().await;
    let said = scene.must(0, &["rollback", "--reason", "error rate"]).await;
    assert!(said.says("said to the executor of"), "{said:?}");
    assert_eq!(super::support::ended(run).await.code, 5, "{}", scene.story());
    let because = |event: &Event| matches!(event, Event::TurnedBack { reason, .. } if reason.ends_with("error rate"));
    assert!(scene.entries().iter().any(|entry| because(&entry.event)), "{}", scene.story());
    load.flows().await;
    scene.assert_undone("rolled back by a word").await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 2).await;
}

pub async fn back_from_every_step_before_the_switch<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    let load = scene.load(rate);
    load.flows().await;
    for step in ["preflight", "replicate", "wait", "shift"] {
        scene.write(&steps_with::<K>(step, DOOR));
        scene.run(4).await;
        assert!(scene.state().hold.is_some_and(|why| why.contains("door")), "{}", scene.story());
        scene.must(5, &["rollback", "--output", "json"]).await;
        load.flows().await;
        scene.assert_undone(&format!("held after {step}")).await;
    }
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 0).await;
    assert_eq!(seen.probes.accepted_by(Side::Target), 0, "the target took a write that no run knows");
}

pub async fn back_from_a_window_that_did_not_open_or_was_left<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    let load = scene.load(rate);
    load.flows().await;
    // A gate of the window stays shut: nothing was frozen.
    let with =
        |from: &str, to: &str| -> Vec<String> { steps::<K>().iter().map(|step| step.replace(from, to)).collect() };
    scene.write(&with("gates: [lag], steps", "gates: [door], steps"));
    let run = scene.command(&scene.run_words()).spawn().unwrap();
    scene.until("it arms", |event| matches!(event, Event::Intent { of, .. } if of.step == "window")).await;
    scene.must(0, &["hold"]).await;
    assert_eq!(super::support::ended(run).await.code, 4, "{}", scene.story());
    scene.must(5, &["rollback", "--output", "json"]).await;
    scene.assert_undone("held while its window was armed").await;
    // A statement inside the window fails: it is left, and writes go on.
    let broken = format!("sequences: {{}}, {{ sql: {{ system: target, run: [\"{}\"], undo: nothing }} }}", K::BROKEN);
    scene.write(&with("sequences: {}", &broken));
    scene.run(4).await;
    load.flows().await;
    assert!(scene.entries().iter().any(|entry| matches!(entry.event, Event::Thawed { .. })), "{}", scene.story());
    assert!(scene.state().hold.is_some_and(|why| why.contains("division by zero")), "{}", scene.story());
    // Trying again leads to the same place; going back works.
    scene.must(4, &["resume"]).await;
    load.flows().await;
    scene.must(5, &["rollback", "--output", "json"]).await;
    scene.assert_undone("a window that was left").await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 0).await;
    seen.assert_within_budget(&scene);
}

pub async fn a_run_that_is_held_by_a_word_goes_back<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    scene.write(&steps_with::<K>("replicate", "bake: { name: long, for: 10m }"));
    let load = scene.load(rate);
    let run = scene.command(&scene.run_words()).spawn().unwrap();
    scene.until("it bakes", |event| matches!(event, Event::Intent { of, .. } if of.step == "long")).await;
    scene.must(0, &["hold", "--reason", "lunch"]).await;
    assert_eq!(super::support::ended(run).await.code, 4, "{}", scene.story());
    tokio::time::sleep(Duration::from_millis(200)).await;
    scene.must(5, &["rollback", "--output", "json"]).await;
    scene.assert_undone("held by a word").await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 0).await;
}

mod postgres {
    use pointsman::sandbox::postgres::Postgres;

    crate::cutover::support::scenarios!(forward, Postgres, 500.0;
        there_and_back_and_there_for_good,
        a_run_that_lives_is_told_to_go_back_after_the_switch,
        back_from_every_step_before_the_switch,
        back_from_a_window_that_did_not_open_or_was_left,
        a_run_that_is_held_by_a_word_goes_back
    );
}
