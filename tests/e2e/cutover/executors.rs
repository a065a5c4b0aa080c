//! Several executors and several terminals: one executor a run, one run a database, words that are heard, signals, and
//! a journal that can't be written.

use std::time::Duration;

use pointsman::{
    executor::state::Side as Writer,
    journal::{Event, Outcome, Word, halt},
    sandbox::{history::Side, postgres::Postgres},
};
use rustix::process::Signal;
use tokio::process::{Child, Command};

use super::support::{
    DOOR, STEPS, Scene, Staged, ended, lives, pid, process_state, signal, steps_to_the_end, steps_with, until,
};

/// Transactions a second.
const RATE: f64 = 300.0;
const ASKS: &str = "approve: { name: ask, message: \"Go on?\" }";
const LONG: &str = "bake: { name: long, for: 10m }";

fn begins(step: &str) -> impl FnMut(&Event) -> bool {
    move |event| matches!(event, Event::Intent { of, .. } if of.step == step)
}

/// Starts the runbook, and waits until it is busy with a step.
async fn busy_with(scene: &Scene, step: &str, more: &[&str]) -> Child {
    let run = scene.command(&[&scene.run_words()[..], more].concat()).spawn().unwrap();
    scene.until(step, begins(step)).await;
    run
}

fn said(scene: &Scene, name: &str) -> (String, Option<String>) {
    let entries = scene.entries();
    let found = entries.iter().find_map(|entry| match &entry.event {
        Event::Said { word, who, why } if word.name() == name => Some((who.clone(), why.clone())),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("nobody said {name}\n{}", scene.story()))
}

pub async fn of_two_that_resume_one_wins<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    scene.write(&steps_with::<K>("preflight", &format!("{DOOR}\n  - {ASKS}")));
    let load = scene.load(rate);
    scene.run(4).await;
    scene.open_door();
    let words = ["resume", "--output", "json"];
    let mut both = [scene.command(&words).spawn().unwrap(), scene.command(&words).spawn().unwrap()];
    // The winner waits for a yes, so the other one must have ended.
    let mut loser = None;
    until("one of them gives up", || {
        loser = both.iter_mut().position(|child| child.try_wait().unwrap().is_some());
        loser.is_some()
    })
    .await;
    let [first, second] = both;
    let (lost, won) = if loser == Some(0) { (first, second) } else { (second, first) };
    let lost = ended(lost).await;
    assert_eq!(lost.code, 7, "{lost:?}\n{}", scene.story());
    scene.until("the winner asks", begins("ask")).await;
    // One that comes later is told who has it.
    let late = scene.must(7, &words).await;
    assert!(late.says("has run") && late.says("pointsman watch"), "{late:?}");
    scene.must(0, &["approve"]).await;
    assert_eq!(ended(won).await.code, 0, "{}", scene.story());
    scene.must(5, &["rollback", "--output", "json"]).await;
    let mut seen = load.stop().await;
    scene.clean(&mut seen, Side::Source, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_of_the_same_databases_is_refused_or_held_and_harms_nobody() {
    let scene = Scene::new().await;
    scene.write(&steps_with::<Postgres>("shift", ASKS));
    let load = scene.load(RATE);
    // The second one has passed its preflight before the first one makes anything.
    let mut command = scene.command(&scene.run_words());
    let second = command.env(halt::STOP_AT, "done:preflight").spawn().unwrap();
    let stopped = pid(&second);
    until("it stops itself", || process_state(stopped) == Some('T') || !lives(stopped)).await;
    let second_id = scene.id();
    let first = scene.command(&scene.run_words()).spawn().unwrap();
    until("the first one is another run", || scene.id() != second_id).await;
    let first_id = scene.id();
    scene.until("the first asks", begins("ask")).await;
    // A third one, later, is stopped by its preflight.
    let third = scene.run(3).await;
    assert!(third.says("pointsman_forward"), "{third:?}");
    signal(stopped, Signal::CONT);
    let held = ended(second).await;
    assert_eq!(held.code, 4, "{held:?}");
    assert!(held.says(&format!("run {first_id} has this database")), "{held:?}");
    scene.must(5, &["rollback", &second_id, "--output", "json"]).await;
    load.flows().await;
    // The first one does not notice.
    scene.must(0, &["approve", &first_id]).await;
    let first = ended(first).await;
    assert_eq!(first.code, 0, "{first:?}");
    scene.must(5, &["rollback", &first_id, "--output", "json"]).await;
    scene.assert_undone("both were rolled back").await;
    let mut seen = load.stop().await;
    assert_eq!(scene.audit(&mut seen, Side::Source, 2).await, 0, "{:?}", seen.errors());
}

#[tokio::test(flavor = "multi_thread")]
async fn words_from_another_terminal_are_heard_and_journaled() {
    let scene = Scene::new().await;
    let shut = |name: &str| DOOR.replace("name: door", &format!("name: {name}"));
    let mut steps = steps_to_the_end::<Postgres>();
    steps.splice(1..1, [LONG.replace("10m", "3s"), shut("door"), shut("left-out"), ASKS.to_owned()]);
    scene.write(&steps);
    let load = scene.load(RATE);
    let run = busy_with(&scene, "long", &["--wait"]).await;
    let heard = scene.must(0, &["hold", "--reason", "a look at the graphs"]).await;
    assert!(heard.says("heard by the executor"), "{heard:?}");
    until("it holds", || scene.state().hold.is_some()).await;
    let refused = scene.must(3, &["skip", &scene.id(), "window", "--reason", "no"]).await;
    assert!(refused.says("can't be left out"), "{refused:?}");
    scene.must(0, &["continue", "--reason", "they are fine"]).await;
    // A gate that stays shut: tried again when it is open, and the next one left out.
    until("the door holds it", || scene.state().hold.is_some_and(|why| why.contains("door:"))).await;
    scene.open_door();
    scene.must(0, &["retry"]).await;
    scene.until("it asks", begins("ask")).await;
    let refused = scene.must(3, &["continue"]).await;
    assert!(refused.says("the run is not held"), "{refused:?}");
    scene.must(0, &["skip", &scene.id(), "bake", "--reason", "no time"]).await;
    scene
        .until("it asks again", {
            let mut times = 0;
            move |event| {
                times += usize::from(begins("ask")(event));
                times > 1
            }
        })
        .await;
    scene.must(0, &["approve", "--reason", "checked"]).await;
    scene.until("it asks at its end", begins("approve")).await;
    scene.must(0, &["rollback", "--reason", "second thoughts"]).await;
    assert_eq!(ended(run).await.code, 5, "{}", scene.story());
    for (word, why) in [
        ("hold", Some("a look at the graphs")),
        ("continue", Some("they are fine")),
        ("retry", None),
        ("skip", Some("no time")),
        ("approve", Some("checked")),
        ("rollback", Some("second thoughts")),
    ] {
        let (who, reason) = said(&scene, word);
        assert!(who.contains('@') && reason.as_deref() == why, "{word} by {who}: {reason:?}");
    }
    scene.assert_undone("after many words").await;
    let mut seen = load.stop().await;
    assert_eq!(scene.audit(&mut seen, Side::Source, 2).await, 0, "{:?}", seen.errors());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_holds_and_a_lost_terminal_does_not() {
    let scene = Scene::new().await;
    scene.write(&steps_with::<Postgres>("preflight", &LONG.replace("10m", "2s")));
    let load = scene.load(RATE);
    let run = busy_with(&scene, "long", &[]).await;
    signal(pid(&run), Signal::HUP);
    scene.until("it goes on without a terminal", begins("replicate")).await;
    signal(pid(&run), Signal::INT);
    let held = ended(run).await;
    assert_eq!(held.code, 4, "{held:?}\n{}", scene.story());
    assert!(held.err.contains("holding at the next safe point"), "{held:?}");
    assert!(scene.state().hold.is_some_and(|why| why.contains("signal")), "{}", scene.story());
    scene.must(0, &["resume", "--output", "json"]).await;
    assert!(matches!(scene.state().outcome, Some((Outcome::Done, _))));
    let mut seen = load.stop().await;
    assert_eq!(scene.audit(&mut seen, Side::Target, 1).await, 0, "{:?}", seen.errors());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_inside_the_window_is_refused_with_the_reason() {
    let scene = Scene::new().await;
    let slow = "sequences: {}, { command: { name: slow, apply: { run: [sleep, \"0.5\"] }, undo: nothing } }";
    let steps: Vec<String> = STEPS.iter().map(|step| step.replace("sequences: {}", slow)).collect();
    scene.write(&steps);
    let load = scene.load(RATE);
    load.flows().await;
    let run = busy_with(&scene, "slow", &[]).await;
    signal(pid(&run), Signal::INT);
    let done = ended(run).await;
    assert_eq!(done.code, 0, "{done:?}\n{}", scene.story());
    let refused = |event: &Event| matches!(event, Event::Refused { word: Word::Hold, reason, .. } if reason.contains("inside the window"));
    assert!(scene.entries().iter().any(|entry| refused(&entry.event)), "{}", scene.story());
    assert!(done.says("inside the window"), "{done:?}");
    load.flows().await;
    let mut seen = load.stop().await;
    assert_eq!(scene.audit(&mut seen, Side::Target, 1).await, 0, "{:?}", seen.errors());
}

/// A disk that becomes full is a limit on the size of files here.
fn with_little_room(scene: &Scene, kib: u64) -> Command {
    let mut shell = Command::new("sh");
    let kib = kib * 2; // POSIX shells count blocks of 512 bytes.
    shell.args([
        "-c",
        "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"",
        &kib.to_string(),
        env!("CARGO_BIN_EXE_pointsman"),
    ]);
    scene.wrapped(shell, &scene.run_words())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_can_not_be_written_stops_the_run_before_the_effect() {
    let mut stopped_at = Vec::new();
    for kib in [160, 320, 640, 1400, 2000] {
        let scene = Scene::new().await;
        let load = scene.load(RATE);
        load.flows().await;
        let full = ended(with_little_room(&scene, kib).spawn().unwrap()).await;
        load.flows().await;
        if full.code == 0 {
            break;
        }
        assert_eq!(full.code, 1, "{kib} KiB: {full:?}");
        assert!(full.says("the journal") && full.says("can't be used"), "{kib} KiB: {full:?}");
        scene.guard_gone().await;
        load.flows().await;
        if scene.journal.runs().unwrap().is_empty() {
            continue;
        }
        let state = scene.state();
        assert!(state.passage.is_none(), "the window had room of its own\n{}", scene.story());
        stopped_at.push(format!("{kib} KiB: after {} entries", state.seq));
        // There is room again.
        let goes_on = scene.call(&["resume", "--output", "json"]).await;
        assert!(goes_on.code == 0, "{goes_on:?}\n{}", scene.story());
        scene.must(5, &["rollback", "--output", "json"]).await;
        scene.assert_undone("a journal that was full").await;
        let mut seen = load.stop().await;
        assert_eq!(scene.audit(&mut seen, Side::Source, 2).await, 0, "{:?}", seen.errors());
        seen.assert_within_budget(&scene);
    }
    println!("{stopped_at:?}");
    assert!(stopped_at.len() > 1, "no limit was met in the middle of a run: {stopped_at:?}");
}

/// Should the journal fail inside the window all the same, writes do not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_fails_inside_the_window_is_no_reason_to_keep_writes_waiting() {
    let scene = Scene::new().await;
    let load = scene.load(RATE);
    load.flows().await;
    let (run, store) = armed(&scene, &[]).await;
    // From the freeze's outcome on, the store refuses entries; the intent still goes in.
    refuse(&store, "new.body LIKE '%\"type\":\"done\"%freeze%'");
    signal(pid(&run), Signal::CONT);
    let failed = ended(run).await;
    assert_eq!(failed.code, 1, "{failed:?}\n{}", scene.story());
    assert!(failed.says("writes go on at the source"), "{failed:?}");
    load.flows().await;
    allow(&store);
    scene.guard_gone().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(scene.state().writer, Writer::Source);
    // The guard could write again, or the next executor leaves the window with a record: either way it is left.
    let first = scene.call(&["resume", "--output", "json"]).await;
    if first.code == 4 {
        scene.must(0, &["resume", "--output", "json"]).await;
    }
    scene.must(5, &["rollback", "--output", "json"]).await;
    scene.assert_undone("a journal that failed").await;
    let mut seen = load.stop().await;
    assert_eq!(scene.audit(&mut seen, Side::Source, 2).await, 0, "{:?}", seen.errors());
    seen.assert_within_budget(&scene);
}

/// Behind the commit point the way leads forward, and the commit entry is all that it needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_fails_behind_the_commit_point_does_not_keep_writes_waiting_either() {
    let scene = Scene::new().await;
    let load = scene.load(RATE);
    load.flows().await;
    let (run, store) = armed(&scene, &[]).await;
    refuse(&store, "new.body LIKE '%\"type\":\"done\"%promote%'");
    signal(pid(&run), Signal::CONT);
    let failed = ended(run).await;
    assert_eq!(failed.code, 1, "{failed:?}\n{}", scene.story());
    assert!(failed.says("writes go on at the target"), "{failed:?}");
    load.flows().await;
    scene.guard_gone().await;
    allow(&store);
    scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!(scene.state().writer, Writer::Target);
    let mut seen = load.stop().await;
    assert_eq!(scene.audit(&mut seen, Side::Target, 1).await, 0, "{:?}", seen.errors());
    seen.assert_within_budget(&scene);
}

/// The executor is killed, and the guard can't take the run: whoever was to be told is dead.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_can_not_write_the_journal_leads_out_all_the_same() {
    for (last, entry, side, codes) in [
        ("done:freeze", "%\"type\":\"done\"%freeze%", Side::Source, [4, 0].as_slice()),
        ("committed", "%\"type\":\"committed\"%", Side::Target, &[0]),
    ] {
        let scene = Scene::new().await;
        let load = scene.load(RATE);
        load.flows().await;
        let (run, store) = armed(&scene, &[(halt::KILL_AT, last)]).await;
        refuse(&store, &format!("EXISTS (SELECT 1 FROM entries WHERE body LIKE '{entry}')"));
        signal(pid(&run), Signal::CONT);
        assert_ne!(ended(run).await.code, 0, "{}", scene.story());
        load.flows().await;
        scene.guard_gone().await;
        let pooler = std::fs::read_to_string(scene.sandbox.pgbouncers[0].ini()).unwrap();
        let server = if side == Side::Target { &scene.sandbox.target } else { &scene.sandbox.source };
        assert!(pooler.contains(&format!("port={} ", server.port())), "behind {last}: {pooler}\n{}", scene.story());
        allow(&store);
        for code in codes {
            scene.must(*code, &["resume", "--output", "json"]).await;
        }
        let mut seen = load.stop().await;
        assert_eq!(scene.audit(&mut seen, Side::Target, 1).await, 0, "{:?}", seen.errors());
        seen.assert_within_budget(&scene);
    }
}

/// A run that stands still with an armed window, and its store.
async fn armed(scene: &Scene, env: &[(&str, &str)]) -> (Child, rusqlite::Connection) {
    let mut command = scene.command(&scene.run_words());
    let run = command.env(halt::STOP_AT, "done:window").envs(env.iter().copied()).spawn().unwrap();
    let stopped = pid(&run);
    until("it stops itself", || process_state(stopped) == Some('T')).await;
    (run, rusqlite::Connection::open(scene.journal.path()).unwrap())
}

/// From now on the store takes neither an entry nor a change of the lease where this holds.
fn refuse(store: &rusqlite::Connection, when: &str) {
    let lease = if when.starts_with("new.") { "0" } else { when };
    store
        .execute_batch(&format!(
            "CREATE TRIGGER full BEFORE INSERT ON entries WHEN {when} BEGIN SELECT raise(ABORT, 'disk full'); END; \
             CREATE TRIGGER full_lease BEFORE UPDATE ON leases WHEN {lease} BEGIN SELECT raise(ABORT, 'disk full'); END",
        ))
        .unwrap();
}

fn allow(store: &rusqlite::Connection) {
    store.execute_batch("DROP TRIGGER full; DROP TRIGGER full_lease").unwrap();
}

mod postgres {
    use pointsman::sandbox::postgres::Postgres;

    crate::cutover::support::scenarios!(executors, Postgres, super::RATE; of_two_that_resume_one_wins);
}
