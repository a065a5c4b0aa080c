//! The subcommands: one thin file each. They wire the parts together and give an exit code.

mod author;
mod check;
mod execute;
mod guard;
mod look;
mod plan;
mod rehearse;
mod report;
mod screen;
mod speak;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::{Cli, Command, RunbookArgs};
use crate::error::{CliError, Exit};
use crate::journal::Journal;
use crate::runbook::{self, Loaded};

/// Does what was typed.
pub async fn dispatch(cli: Cli) -> Result<Exit, CliError> {
    let path = state_path(cli.state.as_deref());
    let output = screen::output(cli.output, &cli.command)?;
    match cli.command {
        Command::Check(args) => check::run(&args, output).await,
        Command::Plan(args) => plan::run(&args, output).await,
        Command::Run(args) => execute::run(&args, open(&path)?, output).await,
        Command::Resume(args) => execute::resume(&args, open(&path)?, output).await,
        Command::Rollback(args) => execute::rollback(&args, open(&path)?, output).await,
        Command::Status(args) => look::status(&args, open(&path)?.as_ref(), output),
        Command::Watch(args) => look::watch(&args, open(&path)?, output).await,
        Command::Runs => look::runs(open(&path)?.as_ref(), output),
        Command::Approve(args) => speak::approve(&args, open(&path)?.as_ref()),
        Command::Hold(args) => speak::hold(&args, open(&path)?.as_ref()),
        Command::Continue(args) => speak::go_on(&args, open(&path)?.as_ref()),
        Command::Retry(args) => speak::retry(&args, open(&path)?.as_ref()),
        Command::Skip(args) => speak::skip(&args, open(&path)?.as_ref()),
        Command::Verify(args) => verify::run(&args, output).await,
        Command::Rehearse(args) => rehearse::run(&args, path, output).await,
        Command::Report(args) => report::run(&args, open(&path)?.as_ref()),
        Command::SandboxStop { folder } => rehearse::stop(&folder),
        Command::SandboxApp { args } => rehearse::app(args).await,
        Command::IamPolicy(args) => author::iam_policy(&args),
        Command::Schema => author::schema(),
        Command::Init(args) => author::init(&args),
        Command::Completions { shell } => author::completions(shell),
        Command::Guard(args) => guard::run(&args, open(&path)?).await,
        Command::Execute(args) => execute::behind(&args, open(&path)?).await,
    }
}

/// Where the journals lie.
fn state_path(given: Option<&std::path::Path>) -> PathBuf {
    if let Some(given) = given {
        return given.to_owned();
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir);
    base.join("pointsman/journal.db")
}

fn open(path: &std::path::Path) -> Result<Arc<Journal>, CliError> {
    Ok(Arc::new(Journal::open(path)?))
}

/// Reads a runbook; its warnings go to standard error, its mistakes become the error.
fn load(args: &RunbookArgs) -> Result<Loaded, CliError> {
    let loaded = runbook::load(&args.runbook, args.env.as_deref())?;
    for warning in &loaded.warnings {
        anstream::eprintln!("{}", warning.render(true));
    }
    Ok(loaded)
}
