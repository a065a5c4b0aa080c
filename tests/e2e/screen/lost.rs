//! A terminal that changes its size or is lost in the middle of the window: the run does not notice.

use pointsman::journal::{Event, Outcome};
use pointsman::sandbox::history::Side;
use pointsman::systems::pair::Heading;

use super::EndsWithTheTest;
use super::by_hand::{run_line, steps};
use super::tmux::Tmux;
use crate::cutover::support::Scene;

/// A window that lasts long enough to be looked at.
fn lingering() -> Vec<String> {
    let linger =
        r#"{ command: { name: linger, apply: { run: [sleep, "2"] }, observe: { run: ["false"] }, undo: nothing } }"#;
    let stays = |step: String| {
        step.replace("budget: 2s", "budget: 10s").replace("drain: {},", &format!("{linger}, drain: {{}},"))
    };
    steps().into_iter().map(stays).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn resized_and_killed_inside_the_window() {
    let scene = Scene::new().await;
    let _ends = EndsWithTheTest(&scene);
    scene.write(&lingering());
    let load = scene.load(300.0);
    load.flows().await;
    let tmux = Tmux::start((120, 40), &scene.env());
    tmux.run(&run_line(&scene));
    tmux.until(&["ASKS", "Freeze writes on the source?"]).await;
    tmux.keys(&["a"]);
    tmux.until(&["Approve before?"]).await;
    tmux.keys(&["y"]);

    tmux.until(&["WINDOW", "WRITES WAIT", "of 10.0 s", "linger"]).await;
    tmux.resize(60, 20);
    let narrow = tmux.until(&["WINDOW", "of 10.0 s", "q quit"]).await;
    assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
    tmux.keys(&["b"]);
    tmux.until(&["inside the window"]).await;
    assert!(!scene.entries().iter().any(|entry| matches!(entry.event, Event::Passed { .. })), "{}", scene.story());
    tmux.kill();
    drop(tmux);

    scene.until("the window is passed", |event| matches!(event, Event::Passed { way: Heading::Forth, .. })).await;
    load.flows().await;
    let lives = |event: &Event| matches!(event, Event::Noted { note, .. } if note["asks"].as_str().is_some_and(|asks| asks.contains("Drop")));
    scene.until("it asks", lives).await;
    assert!(
        !scene.entries().iter().any(
            |entry| matches!(entry.event, Event::Took { reason } if reason == pointsman::journal::TakeReason::Guard)
        )
    );

    // From another terminal: looking does nothing, speaking goes on.
    let other = Tmux::start((100, 30), &scene.env());
    let program = env!("CARGO_BIN_EXE_pointsman");
    other.run(&format!("{program} watch; echo exit=$?"));
    other.until(&["ASKS", "Drop the way back?", "you only look"]).await;
    other.keys(&["a"]);
    other.until(&["this screen only looks"]).await;
    other.keys(&["q"]);
    other.until(&["exit=0"]).await;
    other.run(&format!("clear; {program} watch --control; echo left=$?"));
    other.until(&["ASKS", "you may speak"]).await;
    other.keys(&["a"]);
    other.until(&["type cutover to say it"]).await;
    other.run("cutover");
    other.until(&["DONE", "point of no return: CROSSED"]).await;
    other.keys(&["q"]);
    other.until(&["left=0"]).await;
    let ended = |event: &Event| matches!(event, Event::Ended { outcome: Outcome::Done, .. });
    assert!(scene.entries().iter().any(|entry| ended(&entry.event)), "{}", scene.story());

    // What was can be looked at again.
    other.run(&format!("clear; {program} watch --replay 500; echo replayed=$?"));
    other.until(&["DONE", "replay, 500 times as fast"]).await;
    other.keys(&["q"]);
    other.until(&["replayed=0"]).await;
    let mut seen = load.stop().await;
    assert_eq!(scene.audit(&mut seen, Side::Target, 1).await, 0, "{:?}", seen.errors());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_that_fails_gives_the_terminal_back_and_leaves_the_run() {
    let scene = Scene::new().await;
    let _ends = EndsWithTheTest(&scene);
    scene.write(&steps());
    let mut env = scene.env();
    env.push(("POINTSMAN_TEST_SCREEN_FAILS_AT".into(), "before".into()));
    let load = scene.load(300.0);
    load.flows().await;
    let tmux = Tmux::start((100, 30), &env);
    tmux.run(&run_line(&scene));
    let left = tmux.until(&["the screen failed; the run goes on without it", "exit=1"]).await;
    assert!(!left.contains('╭'), "the screen itself is gone:\n{left}");
    tmux.run("clear; stty -a | grep -o ' -\\?icanon' | head -n 1; echo");
    tmux.until(&[" icanon"]).await;
    scene.must(0, &["approve"]).await;
    scene.until("it goes on", |event| matches!(event, Event::Passed { way: Heading::Forth, .. })).await;
    scene.must(0, &["rollback", "--reason", "enough seen"]).await;
    scene.until("it goes back", |event| matches!(event, Event::Ended { outcome: Outcome::RolledBack, .. })).await;
    scene.assert_undone("rolled back without a screen").await;
    let mut seen = load.stop().await;
    assert_eq!(scene.audit(&mut seen, Side::Source, 2).await, 0, "{:?}", seen.errors());
}
