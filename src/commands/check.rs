//! `check`: read the runbook, connect, run the preflight; changes nothing.

use std::io::Write;

use serde_json::json;

use super::load;
use crate::cli::{Output, RunbookArgs};
use crate::error::{CliError, Exit};
use crate::plan::{self, Choices};
use crate::preflight;
use crate::steps::{accepted, findings};

pub async fn run(args: &RunbookArgs, output: Output) -> Result<Exit, CliError> {
    let loaded = load(args)?;
    let file = args.runbook.display().to_string();
    let mut plan = plan::assemble(&loaded, &file, Choices::default());
    let mut found = preflight::references::findings(&plan).await;
    // Without its secrets no database can be looked at.
    if preflight::passes(&found) {
        plan = plan::compile(&loaded, &file).await?;
        found = findings(&plan, &accepted(&plan)).await?;
    }
    let findings = found;
    let mut out = std::io::stdout();
    match output {
        Output::Json => writeln!(out, "{}", json!({ "type": "check", "runbook": plan.runbook, "findings": findings }))?,
        _ => write!(out, "{}", preflight::render(&findings, false))?,
    }
    Ok(if preflight::passes(&findings) { Exit::Done } else { Exit::Refused })
}
