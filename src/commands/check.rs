//! `check`: read the runbook, connect, run the preflight; changes nothing.

use std::io::Write;

use serde_json::json;

use super::load;
use crate::cli::{Output, RunbookArgs};
use crate::error::{CliError, Exit};
use crate::plan;
use crate::preflight;
use crate::steps::{accepted, findings};

pub async fn run(args: &RunbookArgs, output: Output) -> Result<Exit, CliError> {
    let loaded = load(args)?;
    let plan = plan::compile(&loaded, &args.runbook.display().to_string()).await?;
    let findings = findings(&plan, &accepted(&plan)).await?;
    let mut out = std::io::stdout();
    match output {
        Output::Json => writeln!(out, "{}", json!({ "type": "check", "runbook": plan.runbook, "findings": findings }))?,
        _ => write!(out, "{}", preflight::render(&findings, false))?,
    }
    Ok(if preflight::passes(&findings) { Exit::Done } else { Exit::Refused })
}
