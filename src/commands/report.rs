//! `report`: what happened in a run.

use std::io::Write;

use crate::cli::{ReportArgs, ReportFormat};
use crate::error::{CliError, Exit};
use crate::journal::Journal;
use crate::report;

pub fn run(args: &ReportArgs, journal: &Journal) -> Result<Exit, CliError> {
    let run = journal.find(args.run.run.as_deref())?.id;
    let text = match args.format {
        ReportFormat::Markdown => report::markdown(journal, &run)?,
        ReportFormat::Html => report::html(journal, &run)?,
        ReportFormat::Json => serde_json::to_string_pretty(&report::facts(journal, &run)?).unwrap_or_default(),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(Exit::Done)
}
