//! `approve`, `hold`, `continue`, `retry`, `skip`: a person's word to a run, from any terminal.

use std::io::Write;
use std::time::Duration;

use crate::cli::{ApproveArgs, RetryArgs, SkipArgs, WordArgs};
use crate::error::{CliError, Exit};
use crate::executor::decide::accepts;
use crate::executor::state::{RunState, StepState};
use crate::executor::{process, take};
use crate::journal::{Journal, Word};
use crate::runbook::model::Step;
use crate::view::status;

pub fn approve(args: &ApproveArgs, journal: &Journal) -> Result<Exit, CliError> {
    let run = journal.find(args.run.as_deref())?.id;
    let state = take::replay(journal, &run)?;
    let step = match &args.step {
        Some(step) => step.clone(),
        None => asking(&state).ok_or_else(|| {
            CliError::new(Exit::Refused, format!("run {run} asks nothing now")).hint(format!("pointsman status {run}"))
        })?,
    };
    say(journal, &run, &state, &Word::Approve { step }, args.reason.as_deref())
}

pub fn hold(args: &WordArgs, journal: &Journal) -> Result<Exit, CliError> {
    word(args, journal, &Word::Hold)
}

pub fn go_on(args: &WordArgs, journal: &Journal) -> Result<Exit, CliError> {
    word(args, journal, &Word::Continue)
}

pub fn retry(args: &RetryArgs, journal: &Journal) -> Result<Exit, CliError> {
    let said = match (args.adopt, args.restore) {
        (true, _) => Word::Adopt,
        (_, true) => Word::Restore,
        _ => Word::Retry,
    };
    word(&args.word, journal, &said)
}

pub fn skip(args: &SkipArgs, journal: &Journal) -> Result<Exit, CliError> {
    let run = journal.find(Some(&args.run))?.id;
    let state = take::replay(journal, &run)?;
    say(journal, &run, &state, &Word::Skip { step: args.step.clone() }, Some(&args.reason))
}

fn word(args: &WordArgs, journal: &Journal, word: &Word) -> Result<Exit, CliError> {
    let run = journal.find(args.run.run.as_deref())?.id;
    let state = take::replay(journal, &run)?;
    say(journal, &run, &state, word, args.reason.as_deref())
}

/// The question that is asked now, or that nobody answered in time.
fn asking(state: &RunState) -> Option<String> {
    let late = || {
        let mut steps = state.plan.steps.iter().zip(&state.steps);
        let late = steps.find(|(step, record)| {
            matches!(step.step, Step::Approve(_)) && matches!(record.forth, StepState::Failed(_))
        });
        late.map(|(step, _)| step.id.clone())
    };
    status::asked(state).map(|(name, _)| name.to_owned()).or_else(late)
}

/// Refuses at once what can't be taken; otherwise leaves the word for the executor.
fn say(journal: &Journal, run: &str, state: &RunState, word: &Word, why: Option<&str>) -> Result<Exit, CliError> {
    accepts(state, word).map_err(|reason| CliError::new(Exit::Refused, format!("run {run}: {reason}")))?;
    journal.say(run, word, &process::person(), why)?;
    let name = word.name();
    let mut out = std::io::stdout();
    if !take::is_held(&journal.lease(run)?) {
        writeln!(out, "{name}: noted. Nobody executes the run now: pointsman resume {run}")?;
        return Ok(Exit::Done);
    }
    // The executor listens ten times a second; inside the window it does not.
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        if journal.words(run)?.is_empty() {
            writeln!(out, "{name}: heard by the executor of {run}")?;
            return Ok(Exit::Done);
        }
    }
    writeln!(out, "{name}: noted; the executor of {run} takes it at its next safe point")?;
    Ok(Exit::Done)
}
