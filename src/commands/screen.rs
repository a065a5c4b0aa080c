//! The full-screen view: when it is shown, and the executor behind it, a process of its own that no lost terminal ends.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use tokio::process::{Child, Command as Process};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Command, Output, WatchArgs};
use crate::error::{CliError, Exit};
use crate::executor::take;
use crate::journal::Journal;
use crate::view::tui::model::{Mode, Model, Pace};
use crate::view::tui::update::Event;
use crate::view::tui::{self, Screen};

/// What the command line asks for, else what the terminal can show.
pub fn output(asked: Option<Output>, command: &Command) -> Result<Output, CliError> {
    let shows = matches!(
        command,
        Command::Run(_) | Command::Resume(_) | Command::Rollback(_) | Command::Rehearse(_) | Command::Watch(_)
    );
    match asked {
        Some(Output::Tui) if shows && !tui::is_able() => {
            Err(CliError::new(Exit::Usage, "--output tui needs a terminal for input and output, and this is none")
                .hint("--output plain"))
        }
        Some(output) if shows || output != Output::Tui => Ok(output),
        None if shows && tui::is_able() => Ok(Output::Tui),
        _ => Ok(Output::Plain),
    }
}

/// Executes a run that this process has taken, behind a screen.
pub async fn execute(journal: Arc<Journal>, run: &str, epoch: u64) -> Result<Exit, CliError> {
    let log = journal.path().with_file_name(format!("run-{run}.log"));
    let mut child = start(&journal, run, epoch, &log).inspect_err(|_| drop(journal.release(run, epoch)))?;
    let screen = Screen::new(Arc::clone(&journal), run, Mode::Control, true, again(&journal, run));
    let told = screen.sender();
    let showing = shown(screen);
    tokio::pin!(showing);
    let mut status = None;
    let seen = tokio::select! {
        seen = &mut showing => seen,
        ended = child.wait() => {
            status = ended.ok();
            if take::replay(&journal, run)?.outcome.is_none() {
                drop(told.send(Event::Left(last_words(&log, status))));
            }
            showing.await
        }
    };
    if status.is_none() {
        status = child.try_wait()?;
    }
    say_goodbye(seen, status.is_some())?;
    Ok(exit(status))
}

/// The command that opens a screen of a run: with its store, where that is not the usual one.
pub fn again(journal: &Journal, run: &str) -> String {
    let named = std::env::var_os("POINTSMAN_STATE").map(std::path::PathBuf::from);
    let usual = super::state_path(named.as_deref());
    let state = if journal.path() == usual { String::new() } else { format!(" --state {}", journal.path().display()) };
    format!("pointsman watch --control{state} {run}")
}

/// Starts the executor. Its lines go to a file beside the journal.
fn start(journal: &Journal, run: &str, epoch: u64, log: &Path) -> Result<Child, CliError> {
    let lines = File::options().create(true).append(true).open(log)?;
    let own = Path::new("/proc/self/exe");
    let program = if own.exists() { own.to_owned() } else { std::env::current_exe()? };
    let child = Process::new(program)
        .arg("execute")
        .arg("--state")
        .arg(journal.path())
        .args(["--run", run, "--epoch", &epoch.to_string()])
        .stdin(Stdio::null())
        .stdout(lines.try_clone()?)
        .stderr(lines)
        .spawn()?;
    Ok(child)
}

/// Shows the screen on a thread of its own; closes it when this process is asked to end.
pub async fn shown(screen: Screen) -> Result<Model, CliError> {
    let told = screen.sender();
    let signals = tokio::spawn(async move {
        let streams = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
        let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = streams else { return };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        drop(told.send(Event::Close));
    });
    let sizes = tokio::spawn(resizes(screen.sender()));
    let seen = tokio::task::spawn_blocking(move || tui::show(screen)).await;
    signals.abort();
    sizes.abort();
    match seen {
        Ok(seen) => Ok(seen?),
        Err(_) => Err(CliError::new(Exit::Error, "the screen failed; the run goes on without it")
            .hint("pointsman watch --output plain")),
    }
}

async fn resizes(told: std::sync::mpsc::Sender<Event>) {
    let Ok(mut changed) = signal(SignalKind::window_change()) else { return };
    while changed.recv().await.is_some() {
        if told.send(Event::Resized).is_err() {
            return;
        }
    }
}

/// What stays in the scrollback. A terminal that is gone hears nothing, and that is no error.
fn say_goodbye(seen: Result<Model, CliError>, over: bool) -> Result<(), CliError> {
    let model = seen?;
    let mut out = std::io::stdout();
    drop(write!(out, "{}", tui::summary(&model)));
    if !over {
        drop(writeln!(out, "THE RUN GOES ON without the screen. Look again: {}", model.again));
    }
    Ok(())
}

/// The executor's exit code; a run that goes on has none, and is not done.
fn exit(status: Option<ExitStatus>) -> Exit {
    let code = status.and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
    match status {
        None => Exit::Held,
        Some(_) => code.and_then(Exit::from_code).unwrap_or(Exit::Error),
    }
}

/// The last line of a log, for a screen whose executor has gone.
fn last_words(log: &Path, status: Option<ExitStatus>) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
    let how = status.map_or_else(|| "it is gone".to_owned(), |status| status.to_string());
    format!("the executor has left ({how}): {last}")
}

/// Looks at a run of another process, or at what was.
pub async fn watch(args: &WatchArgs, journal: Arc<Journal>, run: &str) -> Result<Exit, CliError> {
    let mode = match (args.control, args.replay) {
        (_, Some(speed)) => Mode::Replay(Pace { speed, paused: false }),
        (true, None) => Mode::Control,
        (false, None) => Mode::ReadOnly,
    };
    let again = again(&journal, run);
    let model = shown(Screen::new(journal, run, mode, false, again)).await?;
    drop(write!(std::io::stdout(), "{}", tui::summary(&model)));
    Ok(Exit::Done)
}
