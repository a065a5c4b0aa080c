//! `rehearse`: a sandbox, a workload, the runbook forward and back; and the hidden application of the sandbox.

use std::io::Write;
use std::path::PathBuf;

use crate::cli::RehearseArgs;
use crate::clock;
use crate::error::{CliError, Exit};
use crate::rehearsal::{Rehearsal, rehearse};
use crate::sandbox::{app, stop_folder};

pub async fn run(args: &RehearseArgs, state: PathBuf) -> Result<Exit, CliError> {
    let runbook = args.runbook.clone().unwrap_or_else(|| PathBuf::from("runbooks/rehearsal-postgres.yaml"));
    if !runbook.exists() {
        return Err(CliError::new(Exit::Usage, format!("there is no runbook {}", runbook.display()))
            .hint("name one: pointsman rehearse RUNBOOK"));
    }
    let stamp = clock::now().strftime("%Y%m%d-%H%M%S").to_string();
    let folder = state.with_file_name("rehearsals").join(stamp);
    std::fs::create_dir_all(&folder)?;
    let rehearsal =
        Rehearsal { runbook, rate: args.rate, source: args.source, target: args.target, folder, program: None };
    let say = |text: &str| drop(writeln!(std::io::stdout(), "rehearsal: {text}"));
    let (result, sandbox) = rehearse(&rehearsal, say).await?;
    write!(std::io::stdout(), "{}", result.text())?;
    if args.keep {
        writeln!(std::io::stdout(), "\n{}", sandbox.keep()?)?;
    } else {
        sandbox.stop().await;
    }
    Ok(if result.passed() { Exit::Done } else { Exit::Error })
}

pub fn stop(folder: &std::path::Path) -> Result<Exit, CliError> {
    stop_folder(folder)?;
    Ok(Exit::Done)
}

pub async fn app(args: Vec<String>) -> Result<Exit, CliError> {
    app::run(app::AppOptions::from_args(args.into_iter())?).await?;
    Ok(Exit::Done)
}
