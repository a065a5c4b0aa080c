//! `plan`: the dry run.

use std::io::Write;

use super::load;
use crate::cli::{Output, RunbookArgs};
use crate::error::{CliError, Exit};
use crate::plan::{self, show};

pub async fn run(args: &RunbookArgs, output: Output) -> Result<Exit, CliError> {
    let loaded = load(args)?;
    let plan = plan::compile(&loaded, &args.runbook.display().to_string()).await?;
    let readings = show::readings(&plan).await;
    let mut out = std::io::stdout();
    match output {
        Output::Json => writeln!(out, "{}", show::object(&plan, &readings))?,
        _ => write!(out, "{}", show::text(&plan, &readings))?,
    }
    Ok(Exit::Done)
}
