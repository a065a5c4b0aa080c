//! A cutover by the product: its own process with journal, lease and guard, there and back.

use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use pointsman::journal::{Act, Entry, Event, Journal, Word};
use pointsman::sandbox::ledger::Ledger;
use pointsman::systems::pair::Heading;
use tokio::process::{Child, Command};

use crate::Result;
use crate::program::Memory;
use crate::site::Place;
use crate::stats::Cutover;

/// Under load before and after each window.
const SETTLE: Duration = Duration::from_millis(1200);
const LOOK: Duration = Duration::from_millis(50);
/// No round takes longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// There and back.
pub async fn round(site: &impl Place, program: &str, memory: &mut Memory) -> Result<(Cutover, Cutover)> {
    site.empty_ledger().await?;
    let journal = Journal::open(&site.journal())?;
    let earlier = journal.runs()?.len();
    let workload = site.load()?;
    tokio::time::sleep(SETTLE).await;
    let mut child = start(site, program)?;
    let run = until_it_asks(&journal, earlier, &mut child, memory).await?;
    tokio::time::sleep(SETTLE).await;
    journal.say(&run, &Word::Rollback { to: None }, "bench", Some("the way back"))?;
    let status = loop {
        memory.look(child.id());
        tokio::time::sleep(LOOK).await;
        if let Some(status) = child.try_wait()? {
            break status;
        }
    };
    tokio::time::sleep(SETTLE).await;
    let ledger = workload.stop().await;
    if status.code() != Some(5) {
        return Err(format!("the rollback ended with {status}: {}", last_words(&journal, &run)?).into());
    }
    let entries = journal.entries(&run, 0)?;
    let forth = cutover(&entries, Heading::Forth, &ledger)?;
    let mut back = cutover(&entries, Heading::Back, &ledger)?;
    back.lost = site.lost(&ledger).await?;
    Ok((forth, back))
}

fn start(site: &impl Place, program: &str) -> Result<Child> {
    let log = std::fs::File::create(site.folder().join("run.log"))?;
    let child = Command::new(program)
        .arg("run")
        .arg(site.runbook()?)
        .arg("--state")
        .arg(site.journal())
        .envs(site.env()?)
        .stdin(Stdio::null())
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// Gives the run's id once it asks whether to go back.
async fn until_it_asks(journal: &Journal, earlier: usize, child: &mut Child, memory: &mut Memory) -> Result<String> {
    let began = std::time::Instant::now();
    let (mut run, mut seq) = (None, 0);
    loop {
        tokio::time::sleep(LOOK).await;
        memory.look(child.id());
        if run.is_none() {
            run = journal.runs()?.into_iter().rev().nth(earlier).map(|row| row.id);
        }
        if let Some(run) = &run {
            for entry in journal.entries(run, seq)? {
                seq = entry.seq;
                match entry.event {
                    Event::Intent { of, .. } if of.step == "approve" => return Ok(run.clone()),
                    Event::Held { reason } => return Err(format!("the run is held: {reason}").into()),
                    _ => {}
                }
            }
        }
        if let Some(status) = child.try_wait()? {
            return Err(format!("the run ended with {status}").into());
        }
        if began.elapsed() > PATIENCE {
            return Err("the run does not get through".into());
        }
    }
}

fn last_words(journal: &Journal, run: &str) -> Result<String> {
    let words = |entry: Entry| match entry.event {
        Event::Held { reason } => Some(reason),
        Event::Failed { of, failure } => Some(format!("{}: {}", of.step, failure.message)),
        _ => None,
    };
    let all: Vec<String> = journal.entries(run, 0)?.into_iter().filter_map(words).collect();
    Ok(all.join(" | "))
}

/// Reads one window from the journal.
fn cutover(entries: &[Entry], way: Heading, ledger: &Ledger) -> Result<Cutover> {
    let intent = |step: &str| moment(entries, step, way, true);
    let done = |step: &str| moment(entries, step, way, false);
    let (began, passed) = match (intent("freeze"), entries.iter().find_map(|entry| passed(entry, way))) {
        (Some((began, _)), Some(passed)) => (began.at, passed),
        _ => return Err(format!("the window {way:?} was not passed").into()),
    };
    let mut parts = Vec::new();
    let pause = done("freeze").and_then(|(_, note)| note["pause_ms"].as_f64()).unwrap_or(0.0);
    for step in ["freeze", "drain", "sequences", "promote", "switch"] {
        let Some((entry, _)) = done(step) else { continue };
        let Event::Done { millis, .. } = entry.event else { continue };
        match step {
            "freeze" => parts.extend([("pause".to_owned(), pause), ("fence and barrier".into(), millis - pause)]),
            "promote" => {
                parts.push(("commit entry".into(), between(done("sequences"), intent("promote"))));
                parts.push((step.into(), millis));
            }
            _ => parts.push((step.to_owned(), millis)),
        }
    }
    let gaps = passed.1 - parts.iter().map(|(_, millis)| millis).sum::<f64>();
    parts.push(("between the steps".into(), gaps));
    let mut cutover = Cutover { paused_ms: passed.1, parts, ..Cutover::default() };
    cutover.seen(ledger, began, passed.0);
    Ok(cutover)
}

fn passed(entry: &Entry, wanted: Heading) -> Option<(Timestamp, f64)> {
    match entry.event {
        Event::Passed { way, millis } if way == wanted => Some((entry.at, millis)),
        _ => None,
    }
}

type Found<'a> = Option<(&'a Entry, &'a serde_json::Value)>;

/// The intent of a step of the window, or its outcome.
fn moment<'a>(entries: &'a [Entry], step: &str, wanted: Heading, intent: bool) -> Found<'a> {
    entries.iter().find_map(|entry| match &entry.event {
        Event::Intent { of, .. } if intent && of.step == step && of.way == wanted && of.act == Act::Apply => {
            Some((entry, &serde_json::Value::Null))
        }
        Event::Done { of, note, .. } if !intent && of.step == step && of.way == wanted && of.act == Act::Apply => {
            Some((entry, note))
        }
        _ => None,
    })
}

fn between(from: Found<'_>, to: Found<'_>) -> f64 {
    let (Some((from, _)), Some((to, _))) = (from, to) else { return 0.0 };
    to.at.duration_since(from.at).as_secs_f64() * 1000.0
}
