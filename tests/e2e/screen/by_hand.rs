//! A whole cutover and its way back, by keys.

use pointsman::executor::state::Side as Writer;
use pointsman::journal::{Event, Word};
use pointsman::sandbox::history::Side;

use super::EndsWithTheTest;
use super::tmux::Tmux;
use crate::cutover::support::{STEPS, Scene};

/// Asks before the window and before the way back is dropped.
pub fn steps() -> Vec<String> {
    let mut steps: Vec<String> = STEPS.iter().map(ToString::to_string).collect();
    let window = steps.iter().position(|step| step.starts_with("window")).unwrap();
    steps.insert(window, r#"approve: { name: before, message: "Freeze writes on the source?" }"#.to_owned());
    steps.push(r#"approve: { message: "Drop the way back?" }"#.to_owned());
    steps.push("finalize".to_owned());
    steps
}

pub fn run_line(scene: &Scene) -> String {
    format!("{} run {}; echo exit=$?", env!("CARGO_BIN_EXE_pointsman"), scene.runbook.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn approve_hold_continue_and_roll_back() {
    let scene = Scene::new().await;
    let _ends = EndsWithTheTest(&scene);
    scene.write(&steps());
    let load = scene.load(300.0);
    load.flows().await;
    let tmux = Tmux::start((80, 24), &scene.env());
    tmux.run(&run_line(&scene));

    tmux.until(&["REHEARSAL", "ASKS", "Freeze writes on the source?", "writes → SOURCE", "q quit"]).await;
    tmux.keys(&["h"]);
    tmux.until(&["HELD", "said hold"]).await;
    tmux.keys(&["c"]);
    tmux.until(&["Continue?"]).await;
    tmux.keys(&["y"]);
    tmux.until(&["ASKS", "continue: heard"]).await;
    tmux.keys(&["a"]);
    tmux.until(&["Approve before?"]).await;
    tmux.keys(&["y"]);
    tmux.until(&["ASKS", "Drop the way back?", "writes → TARGET", "roll back now: writes wait"]).await;
    load.flows().await;

    // Severe: a reason, and the runbook's name.
    tmux.keys(&["b"]);
    tmux.until(&["Roll back?", "reason (may be empty)"]).await;
    tmux.text("too slow");
    tmux.keys(&["Enter"]);
    tmux.until(&["type cutover to say it"]).await;
    tmux.text("cutover");
    tmux.keys(&["Enter"]);
    tmux.until(&["ROLLED BACK", "writes → SOURCE"]).await;
    load.flows().await;
    tmux.keys(&["q"]);
    tmux.until(&["exit=5"]).await;

    let left = tmux.scrollback();
    assert!(
        left.contains("stands   rolled back") && left.contains("too slow") == left.contains("said rollback"),
        "{left}"
    );
    assert!(!left.contains('╭'), "the screen itself is gone:\n{left}");
    tmux.run("stty -a | grep -o ' -\\?icanon' | head -n 1; echo");
    tmux.until(&[" icanon"]).await;

    let said = |wanted: &Word| {
        let who = pointsman::executor::process::person();
        let mut entries = scene.entries().into_iter();
        entries.any(|entry| matches!(entry.event, Event::Said { word, who: by, .. } if word == *wanted && by == who))
    };
    let words = [Word::Hold, Word::Continue, Word::Approve { step: "before".into() }, Word::Rollback { to: None }];
    assert!(words.iter().all(said), "{}", scene.story());
    assert_eq!(scene.state().writer, Writer::Source);
    scene.assert_undone("rolled back by hand").await;
    let mut seen = load.stop().await;
    assert_eq!(scene.audit(&mut seen, Side::Source, 2).await, 0, "{:?}", seen.errors());
}
