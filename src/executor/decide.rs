//! What comes next: a pure function of the state. All policy of a run is here, none in `drive`.

use super::state::{RunState, Side, StepState};
use crate::journal::{Act, Failure, FailureKind, Move, Outcome, Word};
use crate::runbook::model::{Gate, Step};
use crate::systems::pair::Heading;

/// Tries of a call whose outcome was unknown, before a person is asked.
pub const ATTEMPTS: u32 = 3;
/// Tries after the commit point: forward is the only way, so nobody is asked for about a minute.
pub const ATTEMPTS_COMMITTED: u32 = 60;

/// What the executor does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Journal the intent, then do it.
    Do(Move),
    /// It is in doubt: observe, then record it as done or do it again.
    Settle(Move),
    /// Journal the commit point.
    Commit(Heading),
    /// Journal that the window was passed.
    Pass(Heading),
    /// Prove a window that was passed, and journal it.
    Prove(Heading),
    /// Journal that the window was left before its commit point.
    Thaw(Heading),
    /// Stand still and say why.
    Hold(String),
    /// Turn back.
    TurnBack(String),
    /// Stand still until a person speaks.
    Listen,
    /// End the run.
    End(Outcome, String),
    /// The run has ended.
    Settled,
}

/// What comes next.
#[must_use]
pub fn decide(state: &RunState) -> Decision {
    if state.outcome.is_some() {
        return Decision::Settled;
    }
    if let Some(decision) = inside_passage(state) {
        return decision;
    }
    if state.hold.is_some() {
        return Decision::Listen;
    }
    if let Some(way) = state.unproved {
        return Decision::Prove(way);
    }
    match state.heading {
        Heading::Forth => forward(state),
        Heading::Back => backward(state),
    }
}

/// Inside a window nothing waits: before the commit point a failure or another executor leads out of it, after it
/// everything leads forward.
fn inside_passage(state: &RunState) -> Option<Decision> {
    let passage = state.passage.as_ref()?;
    if passage.committed {
        return Some(if state.hold.is_none() { pass(state, passage.way) } else { Decision::Listen });
    }
    let lost = passage.epoch != state.epoch;
    if state.hold.is_some() {
        return Some(Decision::Listen);
    }
    if passage.failure.is_some() || lost {
        return Some(thaw(state, passage.way));
    }
    Some(pass(state, passage.way))
}

/// Takes back what was done inside the window, last first. It is tried again for as long as it takes: writes wait.
fn thaw(state: &RunState, way: Heading) -> Decision {
    let Some((window, _)) = state.plan.window() else { return Decision::Thaw(way) };
    for position in state.plan.inside(window).rev() {
        let record = &state.steps[position];
        if let StepState::UndoFailed(failure) = record.on(way)
            && record.attempts >= ATTEMPTS_COMMITTED
        {
            return Decision::Hold(format!(
                "stuck: {} can't be taken back: {}. WRITES ARE FROZEN; mend it, then `pointsman retry`",
                state.plan.steps[position].id, failure.message
            ));
        }
        if record.on(way).may_have_effect() {
            return Decision::Do(mv(state, position, Act::Undo, way));
        }
    }
    Decision::Thaw(way)
}

/// The next thing on the way through the window.
fn pass(state: &RunState, way: Heading) -> Decision {
    let Some((window, _)) = state.plan.window() else { return Decision::Pass(way) };
    let committed = state.passage.as_ref().is_some_and(|passage| passage.committed);
    for position in state.plan.inside(window) {
        let next = mv(state, position, Act::Apply, way);
        let record = &state.steps[position];
        let promotes = matches!(state.plan.steps[position].step, Step::Promote(_));
        match record.on(way) {
            StepState::Applied | StepState::Skipped => {}
            _ if promotes && !committed => {
                return Decision::Commit(way);
            }
            StepState::Applying if !record.again => return Decision::Settle(next),
            // A promotion that has taken too long was waited for long enough.
            StepState::Failed(failure)
                if record.attempts >= ATTEMPTS_COMMITTED || (promotes && failure.kind == FailureKind::Deadline) =>
            {
                return Decision::Hold(format!(
                    "{} failed {} times after the commit point: {}. Writes still wait; mend it, then `pointsman retry`",
                    next.step, record.attempts, failure.message
                ));
            }
            _ => return Decision::Do(next),
        }
    }
    Decision::Pass(way)
}

fn forward(state: &RunState) -> Decision {
    let inner = |position: usize| state.plan.steps[position].window.is_some();
    for (position, record) in state.steps.iter().enumerate() {
        if inner(position) {
            continue;
        }
        if matches!(state.plan.steps[position].step, Step::Window(_)) {
            match enter(state, position, Heading::Forth) {
                Some(decision) => return decision,
                None => continue,
            }
        }
        let next = mv(state, position, Act::Apply, Heading::Forth);
        match &record.forth {
            StepState::Applied | StepState::Skipped => {}
            StepState::Pending | StepState::Undone => return Decision::Do(next),
            StepState::Failed(failure) => return failed(state, next, failure, record.attempts),
            StepState::Applying if record.again => return Decision::Do(next),
            _ => return Decision::Settle(next),
        }
    }
    Decision::End(Outcome::Done, "every step is done".into())
}

/// The way into the window: armed by this very executor, then the steps inside. `None` when it is behind.
fn enter(state: &RunState, window: usize, way: Heading) -> Option<Decision> {
    let wanted = if way == Heading::Forth { Side::Target } else { Side::Source };
    if state.writer == wanted {
        return None;
    }
    let record = &state.steps[window];
    let arm = mv(state, window, Act::Apply, way);
    match record.on(way) {
        StepState::Failed(failure) => Some(failed(state, arm, failure, record.attempts)),
        _ if state.armed != Some((state.epoch, way)) => Some(Decision::Do(arm)),
        _ => Some(pass(state, way)),
    }
}

/// What a failed step leads to.
fn failed(state: &RunState, next: Move, failure: &Failure, attempts: u32) -> Decision {
    let message = format!("{}: {}", next.step, failure.message);
    match failure.kind {
        FailureKind::Unknown if attempts < ATTEMPTS => Decision::Settle(next),
        FailureKind::GateRollback => match no_way_back(state, None) {
            Some(reason) => Decision::Hold(format!("{message}. It can't be rolled back: {reason}")),
            None => Decision::TurnBack(message),
        },
        FailureKind::Preflight if !state.has_effects() => Decision::End(Outcome::Refused, message),
        _ => Decision::Hold(message),
    }
}

fn backward(state: &RunState) -> Decision {
    let first = state.back_to.map_or(0, |to| to + 1);
    for position in (first..state.steps.len()).rev() {
        let step = &state.plan.steps[position];
        if step.window.is_some() || step.step.only_looks() {
            continue;
        }
        if matches!(state.plan.steps[position].step, Step::Window(_)) {
            match enter(state, position, Heading::Back) {
                Some(decision) => return decision,
                None => continue,
            }
        }
        let next = mv(state, position, Act::Undo, Heading::Forth);
        match &state.steps[position].forth {
            StepState::UndoFailed(failure)
                if failure.kind == FailureKind::Unknown && state.steps[position].attempts < ATTEMPTS =>
            {
                return Decision::Do(next);
            }
            StepState::UndoFailed(failure) => {
                return Decision::Hold(format!("stuck: {} can't be taken back: {}", next.step, failure.message));
            }
            _ if state.steps[position].is_to_undo() => return Decision::Do(next),
            _ => {}
        }
    }
    Decision::End(Outcome::RolledBack, state.back_reason.clone().unwrap_or_default())
}

fn mv(state: &RunState, position: usize, act: Act, way: Heading) -> Move {
    Move { step: state.plan.steps[position].id.clone(), act, way }
}

/// Whether a person's word can be taken now; the reason when not.
pub fn accepts(state: &RunState, word: &Word) -> Result<(), String> {
    if let Some((outcome, _)) = &state.outcome
        && !(matches!(word, Word::Rollback { .. }) && can_go_back(state, *outcome))
    {
        return Err(format!("the run has ended ({outcome:?})"));
    }
    match word {
        Word::Approve { step } => accepts_approval(state, step),
        Word::Hold if state.passage.is_some() => {
            Err("the run is inside the window: writes wait, and it must get through or out first".into())
        }
        Word::Hold => Ok(()),
        Word::Continue | Word::Retry | Word::Adopt | Word::Restore if state.hold.is_none() => {
            Err("the run is not held".into())
        }
        Word::Continue | Word::Retry => Ok(()),
        Word::Adopt | Word::Restore => accepts_drift(state),
        Word::Skip { step } => accepts_skip(state, step),
        Word::Rollback { to } => accepts_rollback(state, to.as_deref()),
    }
}

/// A run that is done, or that went back a part of the way, can go back (further).
fn can_go_back(state: &RunState, outcome: Outcome) -> bool {
    outcome == Outcome::Done || (outcome == Outcome::RolledBack && state.back_to.is_some())
}

fn accepts_approval(state: &RunState, step: &str) -> Result<(), String> {
    match state.plan.position(step) {
        Some(position) if state.steps[position].forth.is_settled() => Err(format!("{step} is answered already")),
        Some(_) => Ok(()),
        None if matches!(state.plan.gates.get(step), Some(Gate::Approval(_))) => Ok(()),
        None => Err(format!("the plan has no step and no approval gate {step}")),
    }
}

/// Only a step that was shown what somebody else changed, or that waits before going back, knows what to do with it.
fn accepts_drift(state: &RunState) -> Result<(), String> {
    let shifts = |(step, record): (&crate::plan::PlanStep, &super::state::StepRecord)| {
        let failed = matches!(record.forth, StepState::Failed(_) | StepState::UndoFailed(_));
        failed && matches!(step.step, Step::Shift(_))
    };
    let any = state.plan.steps.iter().zip(&state.steps).any(shifts);
    if any { Ok(()) } else { Err("no `shift` is held: say `retry`".into()) }
}

fn accepts_skip(state: &RunState, step: &str) -> Result<(), String> {
    let position = state.plan.position(step).ok_or_else(|| format!("the plan has no step {step}"))?;
    let (kind, passage) =
        (&state.plan.steps[position].step, state.passage.as_ref().filter(|passage| passage.committed));
    // Behind the commit point nothing rests on what the author put there, and it must not be run twice.
    let authors = passage.is_some() && matches!(kind, Step::Sql(_) | Step::Command(_));
    let essential = matches!(kind, Step::Replicate(_) | Step::Window(_) | Step::Finalize(_))
        || (state.plan.steps[position].window.is_some() && !authors);
    if essential {
        return Err(format!("{step} can't be left out: what follows rests on it"));
    }
    match state.steps[position].on(passage.map_or(Heading::Forth, |passage| passage.way)) {
        StepState::Applied | StepState::Skipped => Err(format!("{step} is done already")),
        _ if state.heading == Heading::Back && passage.is_none() => {
            Err("the run goes back: there is nothing to skip".into())
        }
        _ => Ok(()),
    }
}

/// Why going back would lose what was written on the target, if it would: the runbook keeps no way back.
fn no_way_back(state: &RunState, to: Option<&str>) -> Option<String> {
    let (window, _) = state.plan.window()?;
    let behind = to.and_then(|to| state.plan.position(to)).is_some_and(|to| to >= window);
    let lost = state.writer == Side::Target && !state.plan.keeps_way_back() && !behind;
    lost.then(|| {
        "the runbook keeps no way back (`promote: { keep-way-back: false }`), and the source does not have what was \
         written since the switch. To return, set up a new cutover in the other direction"
            .to_owned()
    })
}

fn accepts_rollback(state: &RunState, to: Option<&str>) -> Result<(), String> {
    if let Some(reason) = no_way_back(state, to) {
        return Err(reason);
    }
    if let Some(position) = state.plan.point_of_no_return()
        && state.steps[position].forth.may_have_effect()
    {
        return Err(format!(
            "{} has dropped the way back: the source no longer has what was written since. To return, set up a new \
             cutover in the other direction",
            state.plan.steps[position].id
        ));
    }
    if state.passage.is_some() {
        return Err("the run is inside the window: writes wait, and it must get through or out first".into());
    }
    if state.heading == Heading::Back && state.hold.is_none() && state.outcome.is_none() {
        return Err("the run goes back already".into());
    }
    match to.map(|to| (to, state.plan.position(to))) {
        Some((to, None)) => Err(format!("the plan has no step {to}")),
        Some((to, Some(position))) if state.plan.steps[position].window.is_some() => {
            Err(format!("{to} stands inside the window, which is passed as a whole: name a step outside it"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::journal::{Actor, Entry, Event};
    use crate::plan::{Choices, FORMAT, Plan, PlanStep};
    use crate::runbook::model::Stage;

    fn plan(keep_way_back: bool) -> Plan {
        let step = |id: &str, step: Value, window| PlanStep {
            id: id.into(),
            step: serde_json::from_value(step).unwrap(),
            window,
        };
        let steps = vec![
            step("replicate", json!({"replicate": {"from": "source", "to": "target"}}), None),
            step("window", json!({"window": {"budget": "2s", "steps": []}}), None),
            step("freeze", json!({"freeze": {"database": "source"}}), Some(1)),
            step("promote", json!({"promote": {"keep-way-back": keep_way_back}}), Some(1)),
            step("bake", json!({"bake": {"for": "1s", "on-fail": "rollback"}}), None),
        ];
        Plan {
            format: FORMAT,
            program: String::new(),
            runbook: "x".into(),
            file: String::new(),
            file_sha256: String::new(),
            environment: None,
            stage: Stage::Staging,
            aws: crate::runbook::model::AwsPlace::default(),
            systems: indexmap::IndexMap::new(),
            gates: indexmap::IndexMap::new(),
            steps,
            pair: None,
            choices: Choices::default(),
        }
    }

    /// A run that has passed its window, and then `more`.
    fn switched(keep_way_back: bool, more: Vec<Event>) -> RunState {
        let passed = Event::Passed { way: Heading::Forth, millis: 30.0 };
        committed(plan(keep_way_back), std::iter::once(passed).chain(more))
    }

    /// A run whose window is behind its commit point, and then `more`.
    fn committed(plan: Plan, more: impl IntoIterator<Item = Event>) -> RunState {
        let of = |step: &str| Move { step: step.into(), act: Act::Apply, way: Heading::Forth };
        let mut events = vec![Event::RunStarted { plan: Box::new(plan), hash: String::new() }];
        for step in ["replicate", "window", "freeze"] {
            events.push(Event::Intent { of: of(step), attempt: 1 });
            events.push(Event::Done { of: of(step), note: json!({}), millis: 1.0 });
        }
        events.push(Event::Committed { way: Heading::Forth });
        events.extend(more);
        let by = Actor { user: "a".into(), host: "b".into(), pid: 1, started: 0 };
        let entry = |(seq, event)| Entry { seq, at: jiff::Timestamp::UNIX_EPOCH, epoch: 1, by: by.clone(), event };
        RunState::replay(&(1..).zip(events).map(entry).collect::<Vec<_>>()).unwrap()
    }

    fn rollback(to: Option<&str>) -> Word {
        Word::Rollback { to: to.map(str::to_owned) }
    }

    #[test]
    fn without_a_way_back_nothing_goes_back_over_the_switch() {
        let state = switched(false, vec![]);
        assert!(accepts(&state, &rollback(None)).unwrap_err().contains("keeps no way back"));
        assert!(accepts(&state, &rollback(Some("replicate"))).is_err());
        assert_eq!(accepts(&state, &rollback(Some("window"))), Ok(()), "the switch stays");
        assert_eq!(accepts(&switched(true, vec![]), &rollback(None)), Ok(()));
    }

    #[test]
    fn a_gate_does_not_roll_back_over_the_switch_without_a_way_back() {
        let of = Move { step: "bake".into(), act: Act::Apply, way: Heading::Forth };
        let failure = Failure { message: "too slow".into(), hint: None, kind: FailureKind::GateRollback };
        let failed = vec![Event::Intent { of: of.clone(), attempt: 1 }, Event::Failed { of, failure }];
        assert!(
            matches!(decide(&switched(false, failed.clone())), Decision::Hold(reason) if reason.contains("too slow"))
        );
        assert!(matches!(decide(&switched(true, failed)), Decision::TurnBack(_)));
    }

    #[test]
    fn a_window_that_was_passed_is_proved_before_anything_else() {
        let way = Heading::Forth;
        let held = |word: Word| {
            let who = String::new();
            vec![Event::Held { reason: "no canary".into() }, Event::Said { word, who, why: None }]
        };
        assert_eq!(decide(&switched(true, vec![])), Decision::Prove(way));
        assert_eq!(decide(&switched(true, held(Word::Retry))), Decision::Prove(way));
        let bakes = |events| matches!(decide(&switched(true, events)), Decision::Do(of) if of.step == "bake");
        assert!(bakes(held(Word::Continue)) && bakes(vec![Event::Proved { way, summary: String::new() }]));
        let back = Event::TurnedBack { to: None, reason: String::new() };
        assert!(matches!(decide(&switched(true, vec![back])), Decision::Do(of) if of.way == Heading::Back));
    }

    #[test]
    fn a_run_that_went_back_part_of_the_way_can_go_back_further() {
        let ended = |to: Option<&str>| {
            let reason = String::new();
            vec![
                Event::TurnedBack { to: to.map(str::to_owned), reason: reason.clone() },
                Event::Ended { outcome: Outcome::RolledBack, reason },
            ]
        };
        let part = switched(true, ended(Some("window")));
        assert_eq!(accepts(&part, &rollback(None)), Ok(()));
        assert!(accepts(&part, &Word::Retry).is_err());
        assert!(accepts(&switched(true, ended(None)), &rollback(None)).is_err());
    }

    #[test]
    fn what_the_author_put_behind_the_commit_point_can_be_left_out_there() {
        let mut plan = plan(true);
        let tell = json!({"command": {"name": "tell", "apply": {"run": ["true"]}, "undo": "nothing"}});
        plan.steps
            .insert(4, PlanStep { id: "tell".into(), step: serde_json::from_value(tell).unwrap(), window: Some(1) });
        let of = |step: &str| Move { step: step.into(), act: Act::Apply, way: Heading::Forth };
        let promoted = [
            Event::Intent { of: of("promote"), attempt: 1 },
            Event::Done { of: of("promote"), note: json!({}), millis: 1.0 },
        ];
        let doubt = [Event::Intent { of: of("tell"), attempt: 1 }, Event::Held { reason: "in doubt".into() }];
        let skip = |step: &str| Word::Skip { step: step.into() };
        let held = committed(plan.clone(), promoted.clone().into_iter().chain(doubt.clone()));
        assert!(accepts(&held, &skip("promote")).is_err());
        assert_eq!(accepts(&held, &skip("tell")), Ok(()));
        let said = Event::Said { word: skip("tell"), who: "a".into(), why: None };
        let goes_on = committed(plan, promoted.into_iter().chain(doubt).chain([said]));
        assert_eq!(decide(&goes_on), Decision::Pass(Heading::Forth));
    }
}
