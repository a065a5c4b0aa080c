//! The guard: whoever of the two processes of a window dies or hangs, writes flow again within the budget, and one that
//! wakes up late changes nothing.

use std::time::Duration;

use pointsman::{
    executor::state::Side as Writer,
    journal::{Event, TakeReason, halt, sqlite::LEASE_TTL},
    sandbox::history::Side,
};
use rustix::process::Signal;
use tokio::process::Child;

use super::support::{
    BUDGET, Called, KILLED, Load, Scene, Seen, Staged, ended, lives, pid, process_state, signal, steps, until,
};

/// A run that stands still behind an entry.
async fn stopped_at<K: Staged>(scene: &Scene<K>, entry: &str, also: Option<(&str, &str)>) -> Child {
    let mut command = scene.command(&scene.run_words());
    command.env(halt::STOP_AT, entry).envs(also);
    let run = command.spawn().unwrap();
    let pid = pid(&run);
    until("it stops itself", || process_state(pid) == Some('T') || !lives(pid)).await;
    assert!(lives(pid), "it ended before {entry}: {:?}\n{}", ended(run).await, scene.story());
    run
}

async fn wakes_up(run: Child) -> Called {
    signal(pid(&run), Signal::CONT);
    ended(run).await
}

/// What the guard's doing must look like, from all sides.
async fn led_out<K: Staged>(scene: &Scene<K>, load: &Load, writer: Writer, alarm: &str) {
    scene.guard_gone().await;
    load.flows().await;
    let (state, story) = (scene.state(), scene.story());
    assert!(state.passage.is_none() && state.writer == writer, "{story}");
    assert!(state.hold.is_some_and(|why| why.contains(alarm)), "{story}");
    let guard = |event: &Event| matches!(event, Event::Took { reason: TakeReason::Guard });
    assert!(scene.entries().iter().any(|entry| guard(&entry.event)), "{story}");
}

/// On to the end, and back: the sandbox is as it was.
async fn on_and_back<K: Staged>(scene: &Scene<K>, load: Load) -> Seen {
    scene.must(0, &["resume", "--output", "json"]).await;
    load.flows().await;
    scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    scene.assert_undone("there and back").await;
    load.stop().await
}

async fn clean<K: Staged>(scene: &Scene<K>, seen: &mut Seen, switches: usize) {
    scene.clean(seen, Side::Source, switches).await;
}

pub async fn an_executor_that_is_killed_before_the_commit_point_leaves_writes_at_the_source<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    let load = scene.load(rate);
    load.flows().await;
    let run = scene.command(&scene.run_words()).env(halt::KILL_AT, "done:sequences").spawn().unwrap();
    assert_eq!(ended(run).await.code, KILLED, "{}", scene.story());
    led_out(&scene, &load, Writer::Source, "the executor died inside the window").await;
    let mut seen = on_and_back(&scene, load).await;
    seen.assert_within_budget(&scene);
    clean(&scene, &mut seen, 2).await;
}

pub async fn an_executor_that_is_killed_behind_the_commit_point_has_the_cutover_finished<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    let load = scene.load(rate);
    load.flows().await;
    let run = scene.command(&scene.run_words()).env(halt::KILL_AT, "committed").spawn().unwrap();
    assert_eq!(ended(run).await.code, KILLED, "{}", scene.story());
    led_out(&scene, &load, Writer::Target, "the executor died inside the window").await;
    assert!(K::stays_open(&scene.sandbox.target).await, "the guard left it shut for the next restart");
    let mut seen = on_and_back(&scene, load).await;
    seen.assert_within_budget(&scene);
    clean(&scene, &mut seen, 2).await;
}

/// The executor hangs behind each of these entries, with its next effect already in its hands.
pub async fn an_executor_that_hung_and_wakes_up_changes_nothing<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    for (entry, writer) in [
        ("intent:freeze", Writer::Source),
        ("done:freeze", Writer::Source),
        ("intent:drain", Writer::Source),
        ("intent:sequences", Writer::Source),
        ("committed", Writer::Target),
        ("intent:promote", Writer::Target),
        ("intent:switch", Writer::Target),
    ] {
        let load = scene.load(rate);
        load.flows().await;
        let run = stopped_at(&scene, entry, None).await;
        led_out(&scene, &load, writer, "the executor hung inside the window").await;
        let known = scene.entries().len();
        let woken = wakes_up(run).await;
        assert_eq!(woken.code, 7, "stopped at {entry}: {woken:?}\n{}", scene.story());
        assert_eq!(scene.entries().len(), known, "it wrote something\n{}", scene.story());
        load.flows().await;
        let mut seen = on_and_back(&scene, load).await;
        seen.assert_within_budget(&scene);
        clean(&scene, &mut seen, 2).await;
    }
}

pub async fn an_executor_that_hung_for_longer_than_its_lease_changes_nothing<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    let load = scene.load(rate);
    load.flows().await;
    let run = stopped_at(&scene, "done:drain", None).await;
    tokio::time::sleep(LEASE_TTL + Duration::from_secs(1)).await;
    led_out(&scene, &load, Writer::Source, "the executor hung inside the window").await;
    // Another one takes the run meanwhile and ends it.
    scene.must(0, &["resume", "--output", "json"]).await;
    let known = scene.entries().len();
    let woken = wakes_up(run).await;
    assert_eq!((woken.code, scene.entries().len()), (7, known), "{woken:?}\n{}", scene.story());
    assert!(woken.says("this one has stopped and changes nothing more"), "{woken:?}");
    load.flows().await;
    assert_eq!(scene.state().writer, Writer::Target);
    let mut seen = load.stop().await;
    seen.assert_within_budget(&scene);
    scene.clean(&mut seen, Side::Target, 1).await;
}

pub async fn without_its_guard_nothing_is_frozen<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    let load = scene.load(rate);
    load.flows().await;
    let run = stopped_at(&scene, "done:window", None).await;
    signal(scene.guard_pid().unwrap(), Signal::KILL);
    let held = wakes_up(run).await;
    assert_eq!(held.code, 4, "{held:?}\n{}", scene.story());
    assert!(held.says("the guard of the window is not there"), "{held:?}");
    load.flows().await;
    assert_eq!(scene.state().writer, Writer::Source);
    let mut seen = on_and_back(&scene, load).await;
    clean(&scene, &mut seen, 2).await;
}

pub async fn a_guard_that_dies_or_hangs_inside_the_window_stops_nobody<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    let pid_file = scene.runbook.with_file_name("guard.pid");
    let kills = format!(
        "sequences: {{}}, {{ command: {{ apply: {{ run: [sh, -c, 'kill -9 $(cat {0}) && rm {0}; true'] }}, undo: nothing }} }}",
        pid_file.display()
    );
    for dies in [true, false] {
        let killing: Vec<String> = steps::<K>().iter().map(|step| step.replace("sequences: {}", &kills)).collect();
        let plain = steps::<K>();
        scene.write(if dies { &killing } else { &plain });
        let load = scene.load(rate);
        load.flows().await;
        let run = stopped_at(&scene, "done:window", None).await;
        let guard = scene.guard_pid().unwrap();
        if dies {
            std::fs::write(&pid_file, guard.to_string()).unwrap();
        } else {
            signal(guard, Signal::STOP);
        }
        let went_on = wakes_up(run).await;
        assert_eq!(went_on.code, 0, "{went_on:?}\n{}", scene.story());
        if !dies {
            signal(guard, Signal::CONT);
        }
        until("the guard ends", || !lives(guard)).await;
        assert!(scene.state().outcome.is_some(), "the guard took a run that was well\n{}", scene.story());
        scene.must(5, &["rollback", "--output", "json"]).await;
        load.flows().await;
        let mut seen = load.stop().await;
        seen.assert_within_budget(&scene);
        clean(&scene, &mut seen, 2).await;
    }
}

/// Nobody is left: writes wait until a person resumes, and then go on where the journal says.
pub async fn when_both_are_dead_resume_repairs<K: Staged>(rate: f64) {
    let scene = Scene::<K>::of_kind().await;
    for (entry, writer) in [("done:drain", Writer::Source), ("committed", Writer::Target)] {
        let load = scene.load(rate);
        load.flows().await;
        let run = stopped_at(&scene, "done:window", Some((halt::KILL_AT, entry))).await;
        let guard = scene.guard_pid().unwrap();
        // Stopped first: it must not see the executor die.
        signal(guard, Signal::STOP);
        assert_eq!(wakes_up(run).await.code, KILLED);
        signal(guard, Signal::KILL);
        until("the guard is dead", || !lives(guard)).await;
        let frozen = load.workload.acknowledged();
        tokio::time::sleep(BUDGET / 4).await;
        assert_eq!(load.workload.acknowledged(), frozen, "writes were not frozen\n{}", scene.story());
        let status = scene.must(0, &["status"]).await;
        assert!(status.says("window") && status.says("resume"), "{status:?}");
        if writer == Writer::Source {
            let thawed = scene.must(4, &["resume", "--output", "json"]).await;
            assert!(thawed.says("its executor was lost"), "{thawed:?}");
            load.flows().await;
        }
        scene.must(0, &["resume", "--output", "json"]).await;
        load.flows().await;
        scene.must(5, &["rollback", "--output", "json"]).await;
        load.flows().await;
        let mut seen = load.stop().await;
        clean(&scene, &mut seen, 2).await;
    }
}

mod postgres {
    use pointsman::sandbox::postgres::Postgres;

    crate::cutover::support::scenarios!(guard, Postgres, 500.0;
        an_executor_that_is_killed_before_the_commit_point_leaves_writes_at_the_source,
        an_executor_that_is_killed_behind_the_commit_point_has_the_cutover_finished,
        an_executor_that_hung_and_wakes_up_changes_nothing,
        an_executor_that_hung_for_longer_than_its_lease_changes_nothing,
        without_its_guard_nothing_is_frozen,
        a_guard_that_dies_or_hangs_inside_the_window_stops_nobody,
        when_both_are_dead_resume_repairs
    );
}
