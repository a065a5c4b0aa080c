//! The states of a run that a person can meet on the screen.

use jiff::Timestamp;
use pointsman::executor::samples::{GateSample, Then};
use pointsman::gates::{Reading, Verdict};
use pointsman::journal::{Act, Event as Happened, FailureKind, Outcome, TakeReason, Word};
use pointsman::plan::Plan;
use pointsman::runbook::model::Stage as Kind;
use pointsman::systems::pair::Heading;
use pointsman::view::board::Samples;
use pointsman::view::estimates::Estimates;
use pointsman::view::tui::key::Key;
use pointsman::view::tui::model::{Mode, Pace};
use pointsman::view::tui::update::Event;
use serde_json::{Value, json};

use super::stage::Stage;
use crate::standings::{Told, mv};

const FORTH: Heading = Heading::Forth;
const BACK: Heading = Heading::Back;

/// A run that took the way there and back, for estimates.
fn earlier() -> Estimates {
    let mut estimates = Estimates::default();
    let told = Told::begun().up_to("approve").turned(None);
    let told =
        ["window", "freeze", "drain", "sequences"].iter().fold(told, |told, step| told.did(mv(step, Act::Apply, BACK)));
    let told = told.and(Happened::Committed { way: BACK });
    let told = ["promote", "switch"].iter().fold(told, |told, step| told.did(mv(step, Act::Apply, BACK)));
    let told = told.and(Happened::Passed { way: BACK, millis: 27.0 });
    let told = ["shift", "replicate"].iter().fold(told, |told, step| told.did(mv(step, Act::Undo, FORTH)));
    for _ in 0..3 {
        estimates.take(&told.0);
    }
    estimates
}

fn reading(verdict: Verdict, value: &str, threshold: &str, at: Timestamp) -> Reading {
    let number = (verdict == Verdict::Pass || verdict == Verdict::Fail).then_some(900.0);
    let detail = (verdict == Verdict::Error).then(|| "source: connection refused".to_owned());
    Reading { verdict, value: value.into(), number, threshold: threshold.into(), detail, at, early: false }
}

/// A gate as its step publishes it, at the time of the last entry.
fn gate(told: &Told, step: &str, name: &str, verdict: Verdict, value: &str) -> (String, (Timestamp, Value)) {
    let at = told.0.last().unwrap().at;
    let threshold = if name == "lag" { "at most 1.0 MiB" } else { "at most 2s" };
    let sample = GateSample {
        step: step.into(),
        gate: name.into(),
        text: String::new(),
        reading: reading(verdict, value, threshold, at),
        open: false,
        since: (verdict == Verdict::Pass).then_some(at),
        until: Some(at + jiff::SignedDuration::from_secs(252)),
        then: Some(Then::Hold),
        history: (0..40).map(|n| (n % 7 != 3).then_some(f64::from(n * n % 31))).collect(),
    };
    (format!("gate:{name}"), (at, json!(sample)))
}

fn sample(told: &Told, key: &str, body: Value) -> (String, (Timestamp, Value)) {
    (key.into(), (told.0.last().unwrap().at, body))
}

fn stage(told: Told, samples: Vec<(String, (Timestamp, Value))>) -> Stage {
    let mut stage = Stage::of(told.0, Mode::Control);
    stage.tell(Event::Estimates(earlier()));
    stage.tell(Event::Samples(samples.into_iter().collect::<Samples>()));
    stage
}

/// Another plan for the entries of a run that has only begun.
fn changed(told: Told, change: impl FnOnce(&mut Plan)) -> Told {
    let mut told = told;
    if let Happened::RunStarted { plan, .. } = &mut told.0[0].event {
        change(plan);
    }
    told
}

fn waiting(verdict: Verdict, value: &str) -> Stage {
    let told = Told::begun().up_to("wait").intends(mv("wait", Act::Apply, FORTH));
    let samples = vec![gate(&told, "wait", "lag", verdict, value)];
    stage(told, samples)
}

fn shifting() -> Stage {
    let told = Told::begun().up_to("shift").intends(mv("shift", Act::Apply, FORTH));
    let samples = vec![
        sample(
            &told,
            "traffic:web",
            json!({ "step": "shift", "traffic": "web", "wanted": 25.0, "seen": 24.8, "requests": 1204 }),
        ),
        sample(&told, "progress:shift", json!({ "step": "shift", "text": "1 s left" })),
        sample(
            &told,
            "pulse:lag",
            json!({ "reading": reading(Verdict::Pass, "872 B behind", "", told.0.last().unwrap().at) }),
        ),
        sample(
            &told,
            "clients",
            json!({ "writes": 1002, "median-ms": 0.8, "p99-ms": 3.1, "longest-ms": 55.4, "failed": 0 }),
        ),
        sample(&told, "watcher:lee@tower:1", json!({ "who": "lee@tower", "control": false })),
    ];
    stage(told, samples)
}

fn asking() -> Told {
    Told::begun().up_to("approve").intends(mv("approve", Act::Apply, FORTH))
}

fn many_steps() -> Told {
    changed(Told::begun(), |plan| {
        let bake = plan.steps.iter().find(|step| step.id == "bake").unwrap().clone();
        for number in 0..46 {
            let mut another = bake.clone();
            another.id = format!("bake-{number:02}");
            plan.steps.insert(3, another);
        }
    })
}

fn long_names() -> Told {
    changed(Told::begun(), |plan| {
        plan.runbook = format!("orders-{}", "und-noch-viel-mehr-".repeat(8));
        plan.environment = Some("production-europe-central-with-a-long-name".into());
        plan.steps[0].id = format!("preflight-{}", "x".repeat(80));
    })
    .held(&format!("a message with wide signs 東京データベース and {}", "a very long reason ".repeat(40)))
}

/// Every state, by its name.
pub fn scenes() -> Vec<(&'static str, Stage)> {
    let mut all = forth();
    all.extend(trouble());
    all.extend(backwards());
    all.extend(pages());
    all
}

fn forth() -> Vec<(&'static str, Stage)> {
    let apply = |step: &str| mv(step, Act::Apply, FORTH);
    let production = changed(Told::begun(), |plan| {
        plan.stage = Kind::Production;
        plan.environment = Some("prod".into());
    });
    let done = asking().and(Happened::Done { of: apply("approve"), note: json!({}), millis: 61_000.0 });
    vec![
        ("just_begun", stage(Told::begun(), vec![])),
        ("waiting", waiting(Verdict::Pass, "872 B behind")),
        ("shifting", shifting()),
        ("window", stage(Told::begun().up_to("drain").intends(apply("drain")), vec![])),
        ("window_committed", stage(Told::begun().up_to("switch").intends(apply("switch")), vec![])),
        ("asking", stage(asking(), vec![])),
        ("done", stage(done.did(apply("finalize")).ended(Outcome::Done), vec![])),
        ("production", stage(production.intends(apply("preflight")), vec![])),
        ("sixty_steps", stage(many_steps().intends(apply("bake-20")), vec![])),
    ]
}

fn trouble() -> Vec<(&'static str, Stage)> {
    let apply = |step: &str| mv(step, Act::Apply, FORTH);
    let begun = Told::begun;
    let mut lost = stage(begun().up_to("drain").intends(apply("drain")), vec![]);
    lost.tell(Event::Standing { executed: false, waiting: vec![] });
    let left = begun()
        .up_to("drain")
        .failed(apply("drain"), FailureKind::Deadline)
        .did(mv("drain", Act::Undo, FORTH))
        .did(mv("freeze", Act::Undo, FORTH))
        .and(Happened::Thawed { way: FORTH, millis: 801.0 })
        .held("the window was left before its commit point: drain took too long. Writes go on at the source; nothing was lost");
    let waits = begun().up_to("wait").intends(apply("wait"));
    let elsewhere = gate(&waits, "elsewhere", "lag", Verdict::Pass, "another step's");
    let shortened = stage(waits, vec![elsewhere]);
    vec![
        ("reading_of_another_step", shortened),
        ("failing_gate", waiting(Verdict::Fail, "48 MiB behind")),
        ("no_data", waiting(Verdict::NoData, "no data")),
        ("unreadable_gate", waiting(Verdict::Error, "error")),
        (
            "held",
            stage(
                begun()
                    .up_to("shift")
                    .failed(apply("shift"), FailureKind::GateHold)
                    .held("shift: gate lag fails: 48 MiB behind (at most 1.0 MiB)"),
                vec![],
            ),
        ),
        (
            "in_doubt",
            stage(
                begun().up_to("shift").intends(apply("shift")).held("in doubt: web does not answer. look yourself"),
                vec![],
            ),
        ),
        ("window_left", stage(left, vec![])),
        ("nobody_executes_it_in_the_window", lost),
        (
            "taken_by_the_guard",
            stage(
                begun().up_to("drain").intends(apply("drain")).and(Happened::Took { reason: TakeReason::Guard }),
                vec![],
            ),
        ),
        ("long_names", stage(long_names(), vec![])),
        ("refused", stage(begun().failed(apply("preflight"), FailureKind::Preflight).ended(Outcome::Refused), vec![])),
    ]
}

fn backwards() -> Vec<(&'static str, Stage)> {
    let stopped = || {
        asking()
            .and(Happened::Interrupted { of: mv("approve", Act::Apply, FORTH) })
            .said(Word::Rollback { to: None })
            .turned(None)
    };
    let inside = stopped().did(mv("window", Act::Apply, BACK)).did(mv("freeze", Act::Apply, BACK));
    let rolled_back =
        Told::begun().up_to("wait").turned(None).did(mv("replicate", Act::Undo, FORTH)).ended(Outcome::RolledBack);
    let stuck = Told::begun()
        .up_to("window")
        .turned(None)
        .failed(mv("shift", Act::Undo, FORTH), FailureKind::Refused)
        .held("stuck: shift can't be taken back: web refuses");
    vec![
        ("rolling_back", stage(stopped().intends(mv("window", Act::Apply, BACK)), vec![])),
        ("window_backwards", stage(inside, vec![])),
        ("rolled_back", stage(rolled_back, vec![])),
        ("stuck", stage(stuck, vec![])),
    ]
}

fn pages() -> Vec<(&'static str, Stage)> {
    let pressed = |mut stage: Stage, keys: &[Key]| {
        for key in keys {
            stage.press(*key);
        }
        stage
    };
    let char = Key::Char;
    let mut replay = Stage::of(asking().0, Mode::Replay(Pace { speed: 10.0, paused: false }));
    replay.tell(Event::Estimates(earlier()));
    let mut read_only = Stage::of(asking().0, Mode::ReadOnly);
    read_only.press(char('b'));
    let skip = stage(
        Told::begun().up_to("shift").failed(mv("shift", Act::Apply, FORTH), FailureKind::GateHold).held("shift"),
        vec![],
    );
    vec![
        ("help", pressed(shifting(), &[char('?')])),
        ("step", pressed(shifting(), &[Key::Down, Key::Down, Key::Enter])),
        ("frozen", pressed(waiting(Verdict::Pass, "872 B behind"), &[char('z')])),
        (
            "asks_before_a_rollback",
            pressed(stage(asking(), vec![]), &[char('b'), char('w'), char('h'), char('y'), Key::Enter, char('r')]),
        ),
        ("asks_before_a_skip", pressed(skip, &[char('s'), Key::Enter])),
        ("asks_before_the_way_back_is_dropped", pressed(stage(asking(), vec![]), &[char('a')])),
        ("leaving", pressed(shifting(), &[char('q')])),
        ("read_only", read_only),
        ("replay", replay),
    ]
}
