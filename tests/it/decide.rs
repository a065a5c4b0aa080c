//! What the executor decides, as tables; and that a journal is either understood or refused.

use std::fmt::Write as _;

use pointsman::executor::RunState;
use pointsman::executor::decide::{Decision, accepts, decide};
use pointsman::executor::state::{Passage, StepState};
use pointsman::journal::{Act, Entry, Event, FailureKind, Move, Outcome, TakeReason, Word};
use pointsman::systems::pair::Heading;
use serde_json::json;

use crate::standings::{Told, actor, failure, mv, standings};

const KINDS: [FailureKind; 8] = [
    FailureKind::Refused,
    FailureKind::Unknown,
    FailureKind::GateHold,
    FailureKind::GateRollback,
    FailureKind::Preflight,
    FailureKind::Differs,
    FailureKind::Deadline,
    FailureKind::Superseded,
];

fn states() -> Vec<StepState> {
    let mut states = vec![
        StepState::Pending,
        StepState::Applying,
        StepState::Applied,
        StepState::Undoing,
        StepState::Undone,
        StepState::Skipped,
    ];
    states.extend(KINDS.map(|kind| StepState::Failed(failure(kind))));
    states.extend([FailureKind::Refused, FailureKind::Unknown].map(|kind| StepState::UndoFailed(failure(kind))));
    states
}

fn word(state: &StepState) -> String {
    match state {
        StepState::Failed(failure) => format!("Failed({:?})", failure.kind),
        StepState::UndoFailed(failure) => format!("UndoFailed({:?})", failure.kind),
        other => format!("{other:?}"),
    }
}

fn short(decision: &Decision) -> String {
    let of = |of: &Move| format!("{:?} {} {:?}", of.act, of.step, of.way).to_lowercase();
    match decision {
        Decision::Do(next) => format!("do {}", of(next)),
        Decision::Settle(next) => format!("settle {}", of(next)),
        Decision::Hold(why) => format!("hold: {why}"),
        Decision::TurnBack(why) => format!("turn back: {why}"),
        Decision::End(outcome, why) => format!("end {outcome:?}: {why}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Everything before the step is done, it stands so, and the run goes there or back.
#[test]
fn outside_of_the_window() {
    let mut table = String::new();
    for step in ["preflight", "replicate", "shift", "window", "verify"] {
        for heading in [Heading::Forth, Heading::Back] {
            for standing in states() {
                let mut state = Told::begun().up_to(step).state();
                let position = state.plan.position(step).unwrap();
                (state.heading, state.steps[position].forth, state.steps[position].attempts) =
                    (heading, standing.clone(), 1);
                let decision = short(&decide(&state));
                writeln!(table, "{step:<10} {heading:?}  {:<22} {decision}", word(&standing)).unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

/// The steps before it are done, and the window is passed by this executor, by a lost one, or past its commit point.
#[test]
fn inside_the_window() {
    let mut table = String::new();
    for (name, epoch, committed) in [("own", 1, false), ("lost", 0, false), ("committed", 1, true)] {
        for step in ["freeze", "drain", "promote", "switch"] {
            for standing in states() {
                let mut state = Told::begun().up_to(step).state();
                let position = state.plan.position(step).unwrap();
                let failed = matches!(standing, StepState::Failed(_)).then(|| failure(FailureKind::Refused));
                let (way, since) = (Heading::Forth, state.started);
                state.passage = Some(Passage { way, epoch, since, committed, failure: failed });
                state.steps[position].forth = standing.clone();
                let decision = short(&decide(&state));
                writeln!(table, "{name:<10} {step:<8} {:<22} {decision}", word(&standing)).unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn what_is_decided_in_every_standing() {
    let mut table = String::new();
    for (name, told) in standings() {
        writeln!(table, "{name:<30} {}", short(&decide(&told.state()))).unwrap();
    }
    insta::assert_snapshot!(table);
}

fn words() -> Vec<Word> {
    let skip = |step: &str| Word::Skip { step: step.into() };
    let back = |to: &str| Word::Rollback { to: Some(to.into()) };
    vec![
        Word::Approve { step: "approve".into() },
        Word::Approve { step: "nothing".into() },
        Word::Hold,
        Word::Continue,
        Word::Retry,
        skip("shift"),
        skip("replicate"),
        skip("drain"),
        skip("nothing"),
        Word::Rollback { to: None },
        back("wait"),
        back("drain"),
        back("nothing"),
    ]
}

#[test]
fn which_word_is_taken_in_which_standing() {
    let mut table = String::new();
    for (name, told) in standings() {
        writeln!(table, "{name}").unwrap();
        for word in words() {
            let answer = accepts(&told.state(), &word).map_or_else(|no| format!("no: {no}"), |()| "yes".into());
            let spelt = serde_json::to_value(&word).unwrap();
            let step = spelt.get("step").or(spelt.get("to")).and_then(|step| step.as_str()).unwrap_or_default();
            writeln!(table, "    {:<20} {answer}", format!("{} {step}", word.name())).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

/// Every event, about some steps, in both directions.
fn events() -> Vec<Event> {
    let way = [Heading::Forth, Heading::Back];
    let moves = ["preflight", "shift", "window", "freeze", "promote", "finalize", "nothing"]
        .iter()
        .flat_map(|step| [Act::Apply, Act::Undo].into_iter().flat_map(move |act| way.map(|way| mv(step, act, way))));
    let mut events: Vec<Event> = moves
        .flat_map(|of| {
            let note = json!({ "summary": "x" });
            [
                Event::Intent { of: of.clone(), attempt: 1 },
                Event::Noted { of: of.clone(), note: note.clone() },
                Event::Done { of: of.clone(), note, millis: 1.0 },
                Event::Failed { of: of.clone(), failure: failure(FailureKind::Unknown) },
                Event::Interrupted { of },
            ]
        })
        .collect();
    for way in way {
        let millis = 1.0;
        events.extend([Event::Committed { way }, Event::Thawed { way, millis }, Event::Passed { way, millis }]);
    }
    events.extend(words().into_iter().map(|word| Event::Said { word, who: "ops@example".into(), why: None }));
    let turned = |to: Option<&str>| Event::TurnedBack { to: to.map(str::to_owned), reason: "x".into() };
    events.extend([turned(None), turned(Some("wait")), turned(Some("nothing"))]);
    events.extend([Event::Held { reason: "x".into() }, Event::Took { reason: TakeReason::Guard }]);
    events.extend([Outcome::Done, Outcome::RolledBack].map(|outcome| Event::Ended { outcome, reason: "x".into() }));
    let first = Told::begun().0.remove(0).event;
    events.push(first);
    events
}

fn following(state: &RunState, event: &Event) -> Entry {
    Entry { seq: state.seq + 1, at: state.latest, epoch: state.epoch, by: actor(), event: event.clone() }
}

/// Every event in every state that occurs: it is folded, or refused in words; and then something can be decided.
#[test]
fn every_event_in_every_state() {
    let (mut legal, mut illegal) = (0, 0);
    for (name, told) in standings() {
        for length in 1..=told.0.len() {
            let state = RunState::replay(&told.0[..length]).unwrap_or_else(|error| panic!("{name}: {error}"));
            for event in events() {
                let mut next = state.clone();
                match next.next(&following(&state, &event)) {
                    Ok(()) => {
                        legal += 1;
                        drop(decide(&next));
                        for word in words() {
                            drop(accepts(&next, &word));
                        }
                    }
                    Err(error) => {
                        illegal += 1;
                        assert!(!error.reason.is_empty() && error.seq == state.seq + 1, "{error}");
                    }
                }
            }
        }
    }
    assert!(legal > 1000 && illegal > 1000, "{legal} legal, {illegal} illegal");
}

#[test]
fn an_entry_of_an_older_executor_is_refused() {
    let told = Told::begun().up_to("shift").and(Event::Took { reason: TakeReason::Resume });
    let state = told.state();
    let stale = Entry { epoch: state.epoch - 1, ..following(&state, &Event::Held { reason: "late".into() }) };
    let error = state.clone().next(&stale).unwrap_err();
    assert!(error.reason.contains("older"), "{error}");
    let mut entries = told.0;
    entries.push(stale);
    assert_eq!(RunState::replay(&entries).unwrap_err(), error);
}

#[test]
fn a_journal_with_a_gap_without_a_plan_or_empty_is_refused() {
    let entries = Told::begun().up_to("shift").0;
    let mut gap = entries.clone();
    gap.remove(3);
    assert_eq!(RunState::replay(&gap).unwrap_err().seq, 5);
    assert!(RunState::replay(&entries[1..]).unwrap_err().reason.contains("not the plan"));
    assert!(RunState::replay(&[]).unwrap_err().reason.contains("empty"));
}
