//! `run`, `resume`, `rollback`: an executor of this process, a view beside it, and signals as words.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast;

use super::{load, screen};
use crate::cli::{ExecuteArgs, Output, ResumeArgs, RollbackArgs, RunArgs};
use crate::error::{CliError, Exit};
use crate::executor::state::RunState;
use crate::executor::{Conclusion, Drive, OnHold, process, pulse, take};
use crate::journal::{Journal, TakeReason, Word};
use crate::plan;
use crate::runbook::model::Stage;
use crate::systems::pair::Heading;
use crate::view::follow::View;

/// Entries and samples that a slow view may lag behind before it loses some.
const FEED: usize = 4096;

pub async fn run(args: &RunArgs, journal: Arc<Journal>, output: Output) -> Result<Exit, CliError> {
    let loaded = load(&args.runbook)?;
    let plan = plan::compile(&loaded, &args.runbook.runbook.display().to_string()).await?;
    confirm(&plan, args.confirm.as_deref())?;
    let (run, epoch) = take::begin(&journal, &plan)?;
    if output == Output::Plain {
        writeln!(std::io::stdout(), "run {run}; journal {}", journal.path().display())?;
    }
    execute(journal, &run, epoch, on_hold(args.hold.wait), output).await
}

pub async fn resume(args: &ResumeArgs, journal: Arc<Journal>, output: Output) -> Result<Exit, CliError> {
    let run = journal.find(args.run.run.as_deref())?.id;
    ended(&journal, &run)?;
    right_accounts(&journal, &run).await?;
    let epoch = take::again(&journal, &run, TakeReason::Resume)?;
    let state = take::replay(&journal, &run)?;
    // A yes alone does not end a hold.
    let says_more = journal.words(&run)?.iter().any(|spoken| !matches!(spoken.word, Word::Approve { .. }));
    if state.hold.is_some() && state.passage.is_none() && !says_more {
        // Whoever resumes a held run wants it to go on. A window that a guard finished is proved first: only `continue` says
        // that a person has looked.
        let word = if state.unproved.is_some() { Word::Retry } else { Word::Continue };
        journal.say(&run, &word, &process::person(), Some("resume"))?;
    }
    report_edits(&state.plan)?;
    execute(journal, &run, epoch, on_hold(args.hold.wait), output).await
}

pub async fn rollback(args: &RollbackArgs, journal: Arc<Journal>, output: Output) -> Result<Exit, CliError> {
    let run = journal.find(args.run.run.as_deref())?.id;
    let state = take::replay(&journal, &run)?;
    let word = Word::Rollback { to: args.to.clone() };
    let executed = take::is_held(&journal.lease(&run)?);
    if executed || !is_under_way(&journal, &run, &state, &word)? {
        if state.passage.is_none() {
            crate::executor::decide::accepts(&state, &word).map_err(|reason| CliError::new(Exit::Refused, reason))?;
        }
        journal.say(&run, &word, &process::person(), args.reason.as_deref())?;
    }
    if executed {
        writeln!(std::io::stdout(), "said to the executor of {run}; follow it with: pointsman watch {run}")?;
        return Ok(Exit::Done);
    }
    right_accounts(&journal, &run).await?;
    let epoch = take::again(&journal, &run, TakeReason::Rollback)?;
    execute(journal, &run, epoch, on_hold(args.hold.wait), output).await
}

/// Whether the same was said before, and its executor died: then it only has to be gone on with.
fn is_under_way(journal: &Journal, run: &str, state: &RunState, word: &Word) -> Result<bool, CliError> {
    let Word::Rollback { to } = word else { return Ok(false) };
    let waits = journal.words(run)?.iter().any(|spoken| spoken.word == *word);
    let aim = to.as_ref().and_then(|to| state.plan.position(to));
    let goes =
        state.heading == Heading::Back && state.outcome.is_none() && state.hold.is_none() && state.back_to == aim;
    Ok(waits || goes)
}

/// Refuses to resume a run that has ended. One whose executor died between hearing the word rollback and turning back has not.
fn ended(journal: &Journal, run: &str) -> Result<(), CliError> {
    let state = take::replay(journal, run)?;
    let turns_back = journal.words(run)?.iter().any(|spoken| matches!(spoken.word, Word::Rollback { .. }));
    match state.outcome.filter(|_| !turns_back) {
        Some((outcome, _)) => {
            let finalized = state.plan.point_of_no_return().is_some_and(|at| state.steps[at].forth.is_settled());
            let message = format!("run {run} has ended ({outcome:?})");
            let error = CliError::new(Exit::Refused, message);
            Err(if finalized {
                error.hint(
                    "finalize has dropped the way back: what was written since is only on the target. The way back is a \
                     new cutover in the other direction",
                )
            } else {
                error.hint("begin a new one with `pointsman run`")
            })
        }
        None => Ok(()),
    }
}

/// Refuses to take up a run with the credentials of another account.
async fn right_accounts(journal: &Journal, run: &str) -> Result<(), CliError> {
    let state = take::replay(journal, run)?;
    plan::right_accounts(&state.plan).await.map_err(|error| CliError {
        exit: Exit::Refused,
        ..CliError::from(error).hint("nothing was changed; the run stands where it stood")
    })
}

const fn on_hold(wait: bool) -> OnHold {
    if wait { OnHold::Wait } else { OnHold::Leave }
}

/// The executor behind a screen: in a session of its own, which the end of the terminal does not reach.
pub async fn behind(args: &ExecuteArgs, journal: Arc<Journal>) -> Result<Exit, CliError> {
    // It fails for the leader of a group, who needs no other session.
    rustix::process::setsid().ok();
    let epoch = take::take(&journal, &args.run, args.epoch, TakeReason::Start)?;
    execute(journal, &args.run, epoch, OnHold::Wait, Output::Plain).await
}

async fn execute(
    journal: Arc<Journal>,
    run: &str,
    epoch: u64,
    on_hold: OnHold,
    output: Output,
) -> Result<Exit, CliError> {
    if output == Output::Tui {
        return screen::execute(journal, run, epoch).await;
    }
    let (views, feed) = broadcast::channel(FEED);
    let drive = Drive::new(Arc::clone(&journal), run, epoch, on_hold, views)?;
    let mut view = View::stdout(output, run);
    for entry in journal.entries(run, 0)? {
        if entry.epoch == epoch || matches!(output, Output::Json) {
            drop(view.entry(&entry));
        }
    }
    let viewing = tokio::spawn(view.live(feed));
    let signals = tokio::spawn(signals(Arc::clone(&journal), run.to_owned()));
    let pulse = tokio::spawn(pulse::beat(Arc::clone(&journal), run.to_owned()));
    let conclusion = drive.run().await;
    signals.abort();
    pulse.abort();
    let view = viewing.await.ok();
    let conclusion = conclusion?;
    let exit = Exit::of(&conclusion);
    conclude(view, run, &conclusion, exit)?;
    Ok(exit)
}

fn conclude(
    view: Option<View<std::io::Stdout>>,
    run: &str,
    conclusion: &Conclusion,
    exit: Exit,
) -> std::io::Result<()> {
    let reason = match conclusion {
        Conclusion::Ended(_, reason) | Conclusion::Held(reason) | Conclusion::Stuck(reason) => reason,
    };
    if let Some(View::Json(mut json)) = view {
        return json.conclude(exit as u8, reason);
    }
    let mut out = std::io::stdout();
    match conclusion {
        Conclusion::Ended(..) => writeln!(out, "report: pointsman report {run}"),
        Conclusion::Held(_) => {
            writeln!(out, "next: pointsman resume {run}, or rollback {run}; how it stands: pointsman status {run}")
        }
        Conclusion::Stuck(_) => {
            writeln!(out, "stuck: mend what the message names, then: pointsman retry {run} and resume {run}")
        }
    }
}

/// The first Ctrl-C (or SIGTERM) is the word hold; the third leaves at once, with the journal intact. SIGHUP loses a
/// view, not the run.
async fn signals(journal: Arc<Journal>, run: String) {
    let streams = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = streams else { return };
    let mut count = 0;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => continue,
        }
        count += 1;
        let mut screen = std::io::stderr();
        let told = match count {
            1 => {
                drop(journal.say(&run, &Word::Hold, &process::person(), Some("signal")));
                writeln!(screen, "holding at the next safe point; again and again to leave at once")
            }
            2 => writeln!(screen, "once more to leave at once; the journal stays intact: pointsman resume {run}"),
            _ => std::process::exit(i32::from(Exit::Held as u8)),
        };
        drop(told);
    }
}

/// Production is confirmed by its name, once.
fn confirm(plan: &plan::Plan, given: Option<&str>) -> Result<(), CliError> {
    if plan.stage != Stage::Production || given == Some(plan.runbook.as_str()) {
        return Ok(());
    }
    let refused = |reason: &str| {
        CliError::new(Exit::Refused, format!("{} works on production: {reason}; nothing was changed", plan.runbook))
            .hint(format!("--confirm {}", plan.runbook))
    };
    if given.is_some() {
        return Err(refused("--confirm names something else"));
    }
    if !std::io::stdin().is_terminal() {
        return Err(refused("it wants to be confirmed"));
    }
    write!(std::io::stderr(), "{} works on PRODUCTION. Type its name to begin: ", plan.runbook)?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    if line.trim() == plan.runbook { Ok(()) } else { Err(refused("another name was typed")) }
}

/// The frozen plan is what is executed; an edited runbook is reported.
fn report_edits(plan: &plan::Plan) -> std::io::Result<()> {
    use sha2::{Digest, Sha256};
    let Ok(text) = std::fs::read(&plan.file) else { return Ok(()) };
    if hex::encode(Sha256::digest(text)) != plan.file_sha256 {
        writeln!(std::io::stderr(), "note: {} was edited since; the run goes on with its frozen plan", plan.file)?;
    }
    if plan.program != env!("CARGO_PKG_VERSION") {
        writeln!(std::io::stderr(), "note: the run was begun with pointsman {}", plan.program)?;
    }
    Ok(())
}
