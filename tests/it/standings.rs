//! States that a run can be in, made by entries as an executor would write them.

use pointsman::executor::RunState;
use pointsman::journal::{Act, Actor, Entry, Event, Failure, FailureKind, Move, Outcome, TakeReason, Word};
use pointsman::plan::Plan;
use pointsman::systems::pair::Heading;
use serde_json::json;

use crate::fake::plan_as_written;

/// The rehearsal's runbook with addresses instead of references to an environment.
pub fn plan() -> Plan {
    let text = include_str!("../../runbooks/rehearsal-postgres.yaml");
    let text = text
        .replace("${env:SOURCE_URL}", "postgresql://pointsman@10.0.0.1:5432/shop")
        .replace("${env:TARGET_URL}", "postgresql://pointsman@10.0.0.2:5432/shop")
        .replace("${env:POOL_ADMIN_URL}", "postgresql://pointsman@10.0.0.3:6432/pgbouncer")
        .replace("${env:POOL_URL}", "postgresql://app@10.0.0.3:6432/shop")
        .replace("${env:POOL_INI}", "/etc/pgbouncer/pgbouncer.ini")
        .replace("${env:HAPROXY_SOCKET}", "10.0.0.4:9999");
    plan_as_written("rehearsal-postgres.yaml", &text)
}

pub fn actor() -> Actor {
    Actor { user: "ops".into(), host: "example".into(), pid: 4711, started: 0 }
}

pub fn mv(step: &str, act: Act, way: Heading) -> Move {
    Move { step: step.into(), act, way }
}

pub fn failure(kind: FailureKind) -> Failure {
    Failure {
        message: "pool: pause database shop: a client sits idle in a transaction".into(),
        hint: Some("end it".into()),
        kind,
    }
}

/// Entries, one second apart.
pub struct Told(pub Vec<Entry>);

impl Told {
    pub fn begun() -> Self {
        let plan = plan();
        let hash = plan.hash();
        let told = Self(Vec::new());
        told.and(Event::RunStarted { plan: Box::new(plan), hash }).and(Event::Took { reason: TakeReason::Start })
    }

    pub fn and(mut self, event: Event) -> Self {
        let seq = self.0.len() as u64 + 1;
        let epoch = self.0.last().map_or(1, |last| last.epoch + u64::from(matches!(event, Event::Took { .. })));
        let at = format!("2026-03-01T10:{:02}:{:02}Z", seq / 60, seq % 60).parse().unwrap();
        self.0.push(Entry { seq, at, epoch, by: actor(), event });
        self
    }

    pub fn intends(self, of: Move) -> Self {
        self.and(Event::Intent { of, attempt: 1 })
    }

    pub fn did(self, of: Move) -> Self {
        let note = json!({ "summary": format!("{} as wanted", of.step) });
        self.intends(of.clone()).and(Event::Done { of, note, millis: 12.5 })
    }

    pub fn failed(self, of: Move, kind: FailureKind) -> Self {
        self.intends(of.clone()).and(Event::Failed { of, failure: failure(kind) })
    }

    /// The steps up to but without this one.
    pub fn up_to(self, step: &str) -> Self {
        let plan = plan();
        let end = plan.position(step).unwrap();
        let apply = |told: Self, id: &str| told.did(mv(id, Act::Apply, Heading::Forth));
        plan.steps[..end].iter().fold(self, |told, step| {
            let told = if step.id == "promote" { told.and(Event::Committed { way: Heading::Forth }) } else { told };
            let told = apply(told, &step.id);
            if step.id == "switch" { told.and(Event::Passed { way: Heading::Forth, millis: 38.2 }) } else { told }
        })
    }

    pub fn held(self, reason: &str) -> Self {
        self.and(Event::Held { reason: reason.into() })
    }

    pub fn said(self, word: Word) -> Self {
        self.and(Event::Said { word, who: "ops@example".into(), why: Some("seen enough".into()) })
    }

    pub fn turned(self, to: Option<&str>) -> Self {
        let reason = "ops@example said rollback".into();
        self.and(Event::TurnedBack { to: to.map(str::to_owned), reason })
    }

    pub fn ended(self, outcome: Outcome) -> Self {
        self.and(Event::Ended { outcome, reason: "every step is done".into() })
    }

    pub fn state(&self) -> RunState {
        RunState::replay(&self.0).unwrap()
    }
}

/// The standings that a person can meet.
pub fn standings() -> Vec<(&'static str, Told)> {
    let mut all = on_the_way_forth();
    all.extend(turned_back_or_ended());
    all
}

fn on_the_way_forth() -> Vec<(&'static str, Told)> {
    let forth = Heading::Forth;
    let apply = |step: &str| mv(step, Act::Apply, forth);
    let undo = |step: &str| mv(step, Act::Undo, forth);
    let begun = Told::begun;
    vec![
        ("just begun", begun()),
        ("copying", begun().up_to("replicate").intends(apply("replicate"))),
        (
            "stopped by a word",
            begun()
                .up_to("shift")
                .intends(apply("shift"))
                .and(Event::Interrupted { of: apply("shift") })
                .said(Word::Hold),
        ),
        (
            "failed and held",
            begun().up_to("shift").failed(apply("shift"), FailureKind::GateHold).held("shift: a gate fails"),
        ),
        (
            "skipped",
            begun()
                .up_to("shift")
                .failed(apply("shift"), FailureKind::GateHold)
                .held("shift")
                .said(Word::Skip { step: "shift".into() }),
        ),
        ("inside the window", begun().up_to("drain").intends(apply("drain"))),
        ("after the commit point", begun().up_to("switch").intends(apply("switch"))),
        (
            "window left",
            begun()
                .up_to("drain")
                .failed(apply("drain"), FailureKind::Deadline)
                .did(undo("drain"))
                .did(undo("freeze"))
                .and(Event::Thawed { way: forth, millis: 801.0 })
                .held("the window was left before its commit point"),
        ),
        (
            "stuck in the window",
            begun()
                .up_to("drain")
                .failed(apply("drain"), FailureKind::Deadline)
                .failed(undo("drain"), FailureKind::Refused)
                .held("stuck: drain can't be taken back. WRITES ARE FROZEN"),
        ),
        ("asking", begun().up_to("approve").intends(apply("approve"))),
    ]
}

fn turned_back_or_ended() -> Vec<(&'static str, Told)> {
    let (forth, back) = (Heading::Forth, Heading::Back);
    let apply = |step: &str| mv(step, Act::Apply, forth);
    let undo = |step: &str| mv(step, Act::Undo, forth);
    let begun = Told::begun;
    let asked = || begun().up_to("approve").intends(apply("approve"));
    let done = || begun().up_to("approve").did(apply("approve"));
    vec![
        ("rolling back", asked().and(Event::Interrupted { of: apply("approve") }).turned(None).did(undo("verify"))),
        (
            "inside the window back",
            asked()
                .and(Event::Interrupted { of: apply("approve") })
                .turned(None)
                .did(mv("window", Act::Apply, back))
                .did(mv("freeze", Act::Apply, back)),
        ),
        (
            "stuck",
            begun()
                .up_to("window")
                .turned(None)
                .failed(undo("shift"), FailureKind::Refused)
                .held("stuck: shift can't be taken back"),
        ),
        (
            "rolled back",
            begun().up_to("wait").turned(None).did(undo("replicate")).did(undo("preflight")).ended(Outcome::RolledBack),
        ),
        (
            "rolled back a part of the way",
            begun().up_to("window").turned(Some("wait")).did(undo("shift")).ended(Outcome::RolledBack),
        ),
        ("refused", begun().failed(apply("preflight"), FailureKind::Preflight).ended(Outcome::Refused)),
        ("done and finalized", done().did(apply("finalize")).ended(Outcome::Done)),
    ]
}
