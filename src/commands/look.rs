//! `status`, `watch`, `runs`: look at runs, from any terminal.

use std::io::Write;
use std::sync::Arc;

use comfy_table::{Table, presets};
use serde_json::json;

use super::screen;
use crate::cli::{Output, RunRef, WatchArgs};
use crate::error::{CliError, Exit};
use crate::executor::take;
use crate::journal::{Entry, Event, Journal};
use crate::view::estimates::Estimates;
use crate::view::follow::View;
use crate::view::status;

pub fn status(args: &RunRef, journal: &Journal, output: Output) -> Result<Exit, CliError> {
    let run = journal.find(args.run.as_deref())?.id;
    let state = take::replay(journal, &run)?;
    let executed = take::is_held(&journal.lease(&run)?);
    let estimates = Estimates::read(journal, &state.plan.runbook, &run);
    match output {
        Output::Json => writeln!(std::io::stdout(), "{}", status::object(&run, &state, executed, &estimates))?,
        _ => write!(std::io::stdout(), "{}", status::text(&run, &state, executed, &estimates))?,
    }
    Ok(Exit::Done)
}

pub async fn watch(args: &WatchArgs, journal: Arc<Journal>, output: Output) -> Result<Exit, CliError> {
    let run = journal.find(args.run.run.as_deref())?.id;
    if output == Output::Tui {
        return screen::watch(args, journal, &run).await;
    }
    if args.replay.is_some() || args.control {
        return Err(CliError::new(Exit::Usage, "--replay and --control need the screen of a terminal")
            .hint("speak with pointsman hold, continue, approve, retry, skip, rollback"));
    }
    let mut view = View::stdout(output, &run);
    let over = |entries: &[Entry]| entries.iter().any(|entry| matches!(entry.event, Event::Ended { .. }));
    view.distant(&journal, &run, over).await?;
    Ok(Exit::Done)
}

pub fn runs(journal: &Journal, output: Output) -> Result<Exit, CliError> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["run", "environment", "began", "stands"]);
    let mut out = std::io::stdout();
    for run in journal.runs()? {
        let standing = match take::replay(journal, &run.id) {
            Ok(state) => status::standing(&state, take::is_held(&journal.lease(&run.id)?)),
            Err(error) => error.to_string(),
        };
        let environment = run.environment.clone().unwrap_or_default();
        if output == Output::Json {
            let row = json!({ "run": run.id, "runbook": run.runbook, "environment": run.environment,
                              "started": run.started, "standing": standing });
            writeln!(out, "{row}")?;
        }
        table.add_row([run.id, environment, run.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(), standing]);
    }
    if output != Output::Json {
        if table.is_empty() {
            writeln!(out, "there are no runs in {}", journal.path().display())?;
        } else {
            writeln!(out, "{table}")?;
        }
    }
    Ok(Exit::Done)
}
