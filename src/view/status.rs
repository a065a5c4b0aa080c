//! How a run stands, on one screen: what is done, what it waits for, what a person can do next.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::estimates::Estimates;
use super::way_back::way_back;
use super::words;
use crate::executor::state::{RunState, StepRecord, StepState};
use crate::journal::Outcome;
use crate::runbook::model::{Gate, Step};
use crate::systems::pair::Heading;

/// Where a run stands as a whole; `executed` says whether a living executor has it.
#[must_use]
pub fn standing(state: &RunState, executed: bool) -> String {
    match (&state.outcome, &state.hold) {
        (Some((Outcome::Done, _)), _) => "done".into(),
        (Some((Outcome::RolledBack, _)), _) => "rolled back".into(),
        (Some((Outcome::Refused, _)), _) => "refused before anything was changed".into(),
        (None, Some(reason)) => format!("held: {reason}"),
        (None, None) if !executed && state.passage.is_some() => {
            "NOBODY EXECUTES IT, AND IT IS INSIDE THE WINDOW: WRITES WAIT".into()
        }
        (None, None) if !executed => "nobody executes it".into(),
        (None, None) if state.passage.is_some() => "inside the window: writes wait".into(),
        (None, None) if state.heading == Heading::Back => "rolling back".into(),
        (None, None) => asked(state).map_or_else(|| "running".into(), |(_, message)| format!("asks: {message}")),
    }
}

/// The question that waits for a yes: what is approved by name (the step, or the approval gate), and its words.
#[must_use]
pub fn asked(state: &RunState) -> Option<(&str, &str)> {
    let under_way = |record: &StepRecord| matches!(record.forth, StepState::Applying);
    let steps = state.plan.steps.iter().zip(&state.steps).filter(|(_, record)| under_way(record));
    steps.into_iter().find_map(|(step, _)| match &step.step {
        Step::Approve(approve) => Some((step.id.as_str(), approve.message.as_str())),
        other => other.gates().iter().find_map(|name| match state.plan.gates.get(name) {
            Some(Gate::Approval(gate)) if !is_answered(state, &step.id, name) => {
                Some((name.as_str(), gate.message.as_str()))
            }
            _ => None,
        }),
    })
}

fn is_answered(state: &RunState, step: &str, gate: &str) -> bool {
    state.approvals.contains(step) || state.approvals.contains(gate)
}

/// What a person can do next.
#[must_use]
pub fn next(state: &RunState, executed: bool, run: &str) -> String {
    if state.outcome.is_some() {
        return format!("pointsman report {run}");
    }
    match (&state.hold, executed) {
        (None, false) if state.passage.is_some() => format!("pointsman resume {run}, at once: it lets writes go on"),
        // Out of a window only one way leads.
        (Some(_), true) if state.passage.is_some() => format!("pointsman retry {run}: writes wait"),
        (Some(_), false) if state.passage.is_some() => {
            format!("pointsman retry {run} and then resume {run}: writes wait")
        }
        (Some(_), true) => format!("pointsman continue {run}, retry {run}, or rollback {run}"),
        (Some(_), false) => format!("pointsman continue {run} and then resume {run}, or rollback {run}"),
        (None, false) => format!("pointsman resume {run}, or rollback {run}"),
        (None, true) => match asked(state).filter(|_| state.heading == Heading::Forth) {
            Some((step, _)) => format!("pointsman approve {run} {step}, hold {run}, or rollback {run}"),
            None => format!("pointsman watch {run}, hold {run}, or rollback {run}"),
        },
    }
}

/// The word for a step's state.
#[must_use]
pub fn step_word(state: &RunState, position: usize) -> &'static str {
    let record = &state.steps[position];
    let on = if matches!(record.back, StepState::Pending) { &record.forth } else { &record.back };
    match on {
        StepState::Pending => "",
        StepState::Applying if state.hold.is_some() => "in doubt",
        StepState::Applying => "under way",
        StepState::Applied => "done",
        StepState::Failed(_) => "FAILED",
        StepState::Undoing => "taking back",
        StepState::Undone => "taken back",
        StepState::UndoFailed(_) => "STUCK",
        StepState::Skipped => "skipped",
    }
}

/// The text of `pointsman status`.
#[must_use]
pub fn text(run: &str, state: &RunState, executed: bool, estimates: &Estimates) -> String {
    let mut text = String::new();
    let plan = &state.plan;
    let environment = plan.environment.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let side = state.writer.word();
    let _ = writeln!(text, "run      {run}");
    let _ = writeln!(text, "runbook  {}{environment}, {:?}", plan.runbook, plan.stage);
    let _ = writeln!(text, "stands   {}", standing(state, executed));
    let _ = writeln!(text, "writes   go to the {side}");
    let _ = writeln!(text, "rollback {}", way_back(state, executed, estimates).words);
    let _ = writeln!(text, "next     {}\n", next(state, executed, run));
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["step", "state", "took", ""]);
    for (position, step) in plan.steps.iter().enumerate() {
        let record = &state.steps[position];
        let indent = if step.window.is_some() { "  " } else { "" };
        let took = record.millis.map(words::span).unwrap_or_default();
        let detail = match &record.forth {
            StepState::Failed(failure) | StepState::UndoFailed(failure) => failure.message.clone(),
            _ => record.notes.get("summary").and_then(Value::as_str).unwrap_or_default().to_owned(),
        };
        table.add_row([format!("{indent}{}", step.id), step_word(state, position).into(), took, detail]);
        if plan.point_of_no_return().is_some_and(|point| point == position + 1) {
            table.add_row(["-- the point of no return --", "", "", ""]);
        }
    }
    let _ = writeln!(text, "{table}");
    text
}

/// The object of `pointsman status --output json`.
#[must_use]
pub fn object(run: &str, state: &RunState, executed: bool, estimates: &Estimates) -> Value {
    let back = way_back(state, executed, estimates);
    let steps: Vec<Value> = state.plan.steps.iter().enumerate().map(|(position, step)| {
        let record = &state.steps[position];
        json!({ "step": step.id, "state": step_word(state, position), "millis": record.millis, "notes": record.notes })
    }).collect();
    json!({
        "run": run,
        "runbook": state.plan.runbook,
        "environment": state.plan.environment,
        "standing": standing(state, executed),
        "next": next(state, executed, run),
        "writes": state.writer.word(),
        "rollback": { "open": back.open, "words": back.words, "millis": back.millis },
        "held": state.hold,
        "outcome": state.outcome.as_ref().map(|(outcome, _)| outcome),
        "steps": steps,
    })
}
