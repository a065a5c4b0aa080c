//! Entries in words: one small function an event, so that the text of each can be read and tested on its own.

use serde_json::Value;

use crate::executor::notices;
use crate::journal::{Act, Entry, Event, Failure, Move, Outcome, TakeReason, Word};
use crate::plan::Plan;
use crate::systems::pair::Heading;

/// One line for an entry: the step it is about, and what happened. `None` for what only the program needs.
#[must_use]
pub fn line(entry: &Entry) -> Option<(String, String)> {
    let run = || "run".to_owned();
    match &entry.event {
        Event::RunStarted { plan, hash } => Some((run(), started(plan, hash))),
        Event::Took { reason } => took(*reason, entry).map(|text| (run(), text)),
        Event::Intent { of, attempt } => Some((of.step.clone(), intent(of, *attempt))),
        Event::Noted { of, note } => Some((of.step.clone(), noted(note)?)),
        Event::Done { of, note, millis } => Some((of.step.clone(), done(of, note, *millis))),
        Event::Failed { of, failure } => Some((of.step.clone(), failed(of, failure))),
        Event::Interrupted { of } => Some((of.step.clone(), "stopped at a safe point".into())),
        Event::Judged { step, gate, reading } => Some((
            step.clone(),
            format!("gate {gate}: {:?}, {} ({})", reading.verdict, reading.value, reading.threshold),
        )),
        Event::Committed { way } => Some((run(), committed(*way))),
        Event::Thawed { millis, .. } => {
            Some((run(), format!("window left: writes go on where they were, after {}", span(*millis))))
        }
        Event::Passed { way, millis } => Some((run(), passed(*way, *millis))),
        Event::Proved { summary, .. } => Some((run(), format!("window proved: {summary}"))),
        Event::Held { reason } => Some((run(), format!("HELD: {reason}"))),
        Event::Said { word, who, why } => Some((run(), said(word, who, why.as_deref()))),
        Event::Refused { word, who, reason } => Some((run(), format!("{who} said {}, refused: {reason}", word.name()))),
        Event::TurnedBack { to, reason } => Some((run(), turned(to.as_deref(), reason))),
        Event::Ended { outcome, reason } => Some((run(), ended(*outcome, reason))),
    }
}

/// What a person should know of a note.
fn noted(note: &Value) -> Option<String> {
    let asks = note.get("asks").and_then(Value::as_str).map(str::to_owned);
    asks.or_else(|| notices::words(note))
}

fn started(plan: &Plan, hash: &str) -> String {
    let environment = plan.environment.as_ref().map(|name| format!(", environment {name}")).unwrap_or_default();
    format!("{}{environment}: {} steps, plan {}", plan.runbook, plan.steps.len(), &hash[..hash.len().min(12)])
}

fn took(reason: TakeReason, entry: &Entry) -> Option<String> {
    let who = format!("{}@{} (pid {})", entry.by.user, entry.by.host, entry.by.pid);
    match reason {
        TakeReason::Start => None,
        TakeReason::Resume => Some(format!("resumed by {who}")),
        TakeReason::Rollback => Some(format!("taken for a rollback by {who}")),
        TakeReason::Guard => Some(format!("TAKEN BY THE GUARD (pid {})", entry.by.pid)),
    }
}

fn intent(of: &Move, attempt: u32) -> String {
    let again = if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
    let way = if of.way == Heading::Back { ", backwards" } else { "" };
    match of.act {
        Act::Apply => format!("begins{way}{again}"),
        Act::Undo => format!("taking back{again}"),
    }
}

fn done(of: &Move, note: &Value, millis: f64) -> String {
    let took = span(millis);
    let detail = note.get("summary").and_then(Value::as_str).map(|text| format!(": {text}")).unwrap_or_default();
    match of.act {
        Act::Apply => format!("done in {took}{detail}"),
        Act::Undo => format!("taken back in {took}{detail}"),
    }
}

fn failed(of: &Move, failure: &Failure) -> String {
    let hint = failure.hint.as_ref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
    let what = if of.act == Act::Apply { "FAILED" } else { "COULD NOT BE TAKEN BACK" };
    format!("{what}: {}{hint}", failure.message)
}

fn committed(way: Heading) -> String {
    let side = if way == Heading::Forth { "target" } else { "source" };
    format!("COMMIT POINT: from here the way leads forward, to the {side}")
}

fn passed(way: Heading, millis: f64) -> String {
    let side = if way == Heading::Forth { "target" } else { "source" };
    format!("window passed: writes go to the {side}; they waited {}", span(millis))
}

fn said(word: &Word, who: &str, why: Option<&str>) -> String {
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    let what = match word {
        Word::Approve { step } => format!("approve {step}"),
        Word::Skip { step } => format!("skip {step}"),
        Word::Rollback { to: Some(to) } => format!("rollback to {to}"),
        other => other.name().to_owned(),
    };
    format!("{who} said {what}{why}")
}

fn turned(to: Option<&str>, reason: &str) -> String {
    let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
    format!("ROLLING BACK{to}: {reason}")
}

fn ended(outcome: Outcome, reason: &str) -> String {
    match outcome {
        Outcome::Done => "DONE".into(),
        Outcome::Refused => format!("REFUSED, nothing was changed: {reason}"),
        Outcome::RolledBack => "ROLLED BACK".into(),
    }
}

/// A length of time for people.
#[must_use]
pub fn span(millis: f64) -> String {
    if millis < 1000.0 {
        format!("{millis:.1} ms")
    } else if millis < 60_000.0 {
        format!("{:.1} s", millis / 1000.0)
    } else {
        let seconds = std::time::Duration::try_from_secs_f64((millis / 1000.0).round()).unwrap_or_default();
        humantime::format_duration(seconds).to_string()
    }
}

/// What a sample says, in words.
#[must_use]
pub fn sample(body: &Value) -> Option<String> {
    body.get("text").and_then(Value::as_str).map(str::to_owned)
}
