//! `rehearse`: a sandbox, a workload, the runbook forward and back; and the hidden application of the sandbox.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::screen;
use crate::cli::{Output, RehearseArgs};
use crate::clock;
use crate::error::{CliError, Exit};
use crate::journal::Journal;
use crate::rehearsal::{Rehearsal, RehearsalResult, rehearse};
use crate::runbook::load;
use crate::runbook::model::System;
use crate::sandbox::mysql::{Mariadb, Mysql};
use crate::sandbox::postgres::Postgres;
use crate::sandbox::server::Kind;
use crate::sandbox::{Sandbox, app, stop_folder};
use crate::view::tui::model::{Mode, Model};
use crate::view::tui::update::Event;
use crate::view::tui::{Screen, summary};

pub async fn run(args: &RehearseArgs, state: PathBuf, output: Output) -> Result<Exit, CliError> {
    let runbook = args.runbook.clone().unwrap_or_else(|| PathBuf::from("runbooks/rehearsal-postgres.yaml"));
    if !runbook.exists() {
        return Err(CliError::new(Exit::Usage, format!("there is no runbook {}", runbook.display()))
            .hint("name one: pointsman rehearse RUNBOOK"));
    }
    match kind_of(&runbook)? {
        "mysql" => rehearse_with::<Mysql>(args, runbook, state, output).await,
        "mariadb" => rehearse_with::<Mariadb>(args, runbook, state, output).await,
        _ => rehearse_with::<Postgres>(args, runbook, state, output).await,
    }
}

/// The kind of database that a runbook moves.
fn kind_of(runbook: &Path) -> Result<&'static str, CliError> {
    let systems = load(runbook, None).map_err(CliError::from)?.runbook.systems;
    let kinds = systems.values().map(System::kind);
    Ok(kinds.into_iter().find(|kind| matches!(*kind, "mysql" | "mariadb")).unwrap_or("postgres"))
}

async fn rehearse_with<K: Kind>(
    args: &RehearseArgs,
    runbook: PathBuf,
    state: PathBuf,
    output: Output,
) -> Result<Exit, CliError> {
    let rehearsals = state.with_file_name("rehearsals");
    let folder = own_folder(&rehearsals).map_err(CliError::at(&rehearsals))?;
    let (screen, by_hand) = (output == Output::Tui, args.by_hand);
    let (rate, source, target) = (args.rate, args.source, args.target);
    let rehearsal = Rehearsal { runbook, rate, source, target, folder, program: None, screen, by_hand };
    let (result, sandbox) = rehearsed::<K>(&rehearsal).await?;
    write!(std::io::stdout(), "{}", result.text())?;
    if args.keep {
        writeln!(std::io::stdout(), "\n{}", sandbox.keep()?)?;
    } else {
        sandbox.stop().await;
    }
    Ok(if result.passed() { Exit::Done } else { Exit::Error })
}

/// A new folder for this rehearsal alone: another one may begin in the same second.
fn own_folder(rehearsals: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(rehearsals)?;
    let stamp = clock::now().strftime("%Y%m%d-%H%M%S").to_string();
    let mut folder = rehearsals.join(&stamp);
    for number in 2.. {
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                folder = rehearsals.join(format!("{stamp}-{number}"));
            }
            made => return made.map(|()| folder),
        }
    }
    Ok(folder)
}

/// A screen takes the signals for itself; behind it Ctrl-C still ends the rehearsal, with its sandbox.
async fn interrupted(screen: bool) {
    if !screen {
        return std::future::pending().await;
    }
    match signal(SignalKind::interrupt()) {
        Ok(mut interrupt) => drop(interrupt.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// A screen that is shown, and how to close it.
struct Shown {
    close: Sender<Event>,
    seen: JoinHandle<Result<Model, CliError>>,
}

/// Rehearses, with the run on the screen where there is one: it closes by itself when the run is over.
async fn rehearsed<K: Kind>(rehearsal: &Rehearsal) -> Result<(RehearsalResult, Sandbox<K>), CliError> {
    let say = |text: &str| drop(writeln!(std::io::stdout(), "rehearsal: {text}"));
    let mut shown = None;
    let begun = |journal: Arc<Journal>, run: &str| {
        if rehearsal.screen {
            shown = Some(show(journal, run, rehearsal.folder.join("run.log")));
        }
    };
    let outcome = tokio::select! {
        outcome = rehearse::<K>(rehearsal, say, begun) => outcome,
        () = interrupted(rehearsal.screen) => Err(CliError::new(Exit::Error, "the rehearsal was ended by Ctrl-C")),
    };
    if let Some(shown) = shown {
        drop(shown.close.send(Event::Close));
        drop(shown.seen.await);
    }
    outcome
}

fn show(journal: Arc<Journal>, run: &str, log: PathBuf) -> Shown {
    let again = screen::again(&journal, run);
    let screen = Screen::new(journal, run, Mode::Control, true, again);
    let close = screen.sender();
    let seen = tokio::spawn(async move {
        let model = screen::shown(screen).await?;
        let over = model.board.as_ref().is_some_and(|board| board.state.outcome.is_some());
        drop(write!(std::io::stdout(), "{}", summary(&model)));
        if !over {
            drop(writeln!(std::io::stdout(), "THE REHEARSAL GOES ON without the screen; its lines: {}", log.display()));
        }
        Ok(model)
    });
    Shown { close, seen }
}

pub fn stop(folder: &std::path::Path) -> Result<Exit, CliError> {
    stop_folder(folder)?;
    Ok(Exit::Done)
}

pub async fn app(args: Vec<String>) -> Result<Exit, CliError> {
    app::run(app::AppOptions::from_args(args.into_iter())?).await?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rehearsals_of_the_same_second_have_folders_of_their_own() {
        let base = tempfile::tempdir().unwrap();
        let folders: std::collections::BTreeSet<_> = (0..3).map(|_| own_folder(base.path()).unwrap()).collect();
        assert_eq!(folders.len(), 3);
    }
}
