//! What a rollback would mean now: a pure function of the run's state. In plain words, for somebody who has to decide
//! quickly.

use super::estimates::Estimates;
use super::words;
use crate::executor::decide::accepts;
use crate::executor::state::{RunState, Side, StepState};
use crate::journal::{Act, Move, Outcome, Word};
use crate::runbook::model::{Means, Step, UndoProgram, UndoSql};
use crate::systems::pair::Heading;

/// What a rollback would mean now.
#[derive(Clone, Debug, PartialEq)]
pub struct WayBack {
    /// Whether it can be had now.
    pub open: bool,
    /// All of it, in a sentence or two.
    pub words: String,
    /// How long it would take, in milliseconds, when earlier runs say so.
    pub millis: Option<f64>,
}

/// What a rollback would mean now; `executed` says whether a living executor has the run.
#[must_use]
pub fn way_back(state: &RunState, executed: bool, estimates: &Estimates) -> WayBack {
    let closed = |words: String| WayBack { open: false, words, millis: None };
    // A run that went back a part of the way can go back further.
    let ended = state.outcome.as_ref().map(|(outcome, _)| *outcome);
    if ended == Some(Outcome::Refused) || (ended == Some(Outcome::RolledBack) && state.back_to.is_none()) {
        return closed("there is nothing to take back".into());
    }
    if let Some(passage) = &state.passage {
        return closed(if !executed && state.hold.is_some() {
            "not now: the run is held inside the window; `pointsman retry`, then `pointsman resume` lead out of it"
                .into()
        } else if !executed {
            "not now: nobody leads the run out of the window; `pointsman resume` does, at once".into()
        } else if passage.committed {
            let behind = match (passage.way, state.plan.keeps_way_back()) {
                (Heading::Back, _) => "to the source",
                (Heading::Forth, true) => "to the target; from there it is open again",
                (Heading::Forth, false) => "to the target, and the runbook keeps no way back from there",
            };
            format!("not now: the commit point is behind, the way leads forward {behind}")
        } else {
            "not now: inside the window; if anything fails before the commit point, it is left by itself".into()
        });
    }
    if state.heading == Heading::Back && state.hold.is_none() && state.outcome.is_none() {
        return closed(format!("the run goes back already; {}", left(state, estimates)));
    }
    match accepts(state, &Word::Rollback { to: None }) {
        Err(reason) => closed(format!("NOT POSSIBLE: {reason}")),
        Ok(()) => open(state, estimates),
    }
}

fn open(state: &RunState, estimates: &Estimates) -> WayBack {
    let moves = moves(state);
    if moves.is_empty() {
        return WayBack { open: true, words: "nothing was changed yet: nothing is lost".into(), millis: Some(0.0) };
    }
    let millis = time(&moves, estimates);
    let kept = kept(state);
    let also = if kept.is_empty() { String::new() } else { format!("; {} stays as it is", kept.join(", ")) };
    let words = if state.writer == Side::Target {
        let rebooted = state.plan.pair.as_ref().is_some_and(|pair| pair.through == Means::BlueGreen)
            && state.unproved == Some(Heading::Forth);
        let first =
            if rebooted { "the old server is rebooted and follows first, while writes go on; then " } else { "" };
        let wait = estimates.wait(Heading::Back).map(|wait| format!(" about {}", words::span(wait)));
        format!(
            "{first}writes wait{} once more and go to the source again{}; no acknowledged write is lost{also}",
            wait.unwrap_or_default(),
            within(millis)
        )
    } else {
        let undone: Vec<&str> = moves.iter().map(|of| of.step.as_str()).collect();
        format!("takes back {}{}; writes stay at the source, nothing is lost{also}", undone.join(", "), within(millis))
    };
    WayBack { open: true, words, millis }
}

fn within(millis: Option<f64>) -> String {
    millis.map_or_else(
        || " (no earlier run says how long it takes)".into(),
        |millis| format!(" within about {}", words::span(millis)),
    )
}

fn left(state: &RunState, estimates: &Estimates) -> String {
    let moves = moves(state);
    match time(&moves, estimates) {
        _ if moves.is_empty() => "only its end is left".into(),
        Some(millis) => format!("about {} are left", words::span(millis)),
        None => "no earlier run says how long it takes".into(),
    }
}

/// What is to be done on the way back, in order. Steps that only look have nothing to take back.
#[must_use]
pub fn moves(state: &RunState) -> Vec<Move> {
    let mut moves = Vec::new();
    for (position, step) in state.plan.steps.iter().enumerate().rev() {
        let record = &state.steps[position];
        match &step.step {
            Step::Window(_) if state.writer == Side::Target => moves.extend(window(state, position)),
            Step::Window(_) => {}
            only if only.only_looks() || step.window.is_some() => {}
            _ if record.is_to_undo() && !matches!(record.forth, StepState::Undone) => {
                moves.push(Move { step: step.id.clone(), act: Act::Undo, way: Heading::Forth });
            }
            _ => {}
        }
    }
    moves
}

fn window(state: &RunState, window: usize) -> Vec<Move> {
    let positions = std::iter::once(window).chain(state.plan.inside(window));
    let apply =
        |position: usize| Move { step: state.plan.steps[position].id.clone(), act: Act::Apply, way: Heading::Back };
    positions.map(apply).collect()
}

/// Known only when it is known of every move.
fn time(moves: &[Move], estimates: &Estimates) -> Option<f64> {
    moves.iter().map(|of| estimates.act(of)).sum()
}

/// Steps of the author's that were done and that a rollback does not take back.
fn kept(state: &RunState) -> Vec<&str> {
    let done = state.plan.steps.iter().zip(&state.steps).filter(|(_, record)| record.is_to_undo());
    done.filter(|(step, _)| match &step.step {
        Step::Sql(sql) => !matches!(sql.undo, UndoSql::Run(_)),
        Step::Command(command) => !matches!(command.undo, UndoProgram::Run(_)),
        _ => false,
    })
    .map(|(step, _)| step.id.as_str())
    .collect()
}
