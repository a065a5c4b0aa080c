//! `iam-policy`, `schema`, `init`, `completions`: help for authors.

use std::io::Write;

use clap::CommandFactory;

use super::load;
use crate::cli::{Cli, InitArgs, RunbookArgs};
use crate::error::{CliError, Exit};
use crate::plan::{self, Choices};
use crate::runbook::schema as runbook_schema;
use crate::systems::aws::policy;

/// The runbook that `init` writes: the shipped one, comments and all.
const BEGIN_WITH: &str = include_str!("../../runbooks/postgres-droplet-to-rds.yaml");

pub fn schema() -> Result<Exit, CliError> {
    let text = serde_json::to_string_pretty(&runbook_schema()).unwrap_or_default();
    writeln!(std::io::stdout(), "{text}")?;
    Ok(Exit::Done)
}

/// From the frozen plan, without a look at anything: for those who give permissions, before there are any.
pub fn iam_policy(args: &RunbookArgs) -> Result<Exit, CliError> {
    let loaded = load(args)?;
    let plan = plan::assemble(&loaded, &args.runbook.display().to_string(), Choices::default());
    let permissions = plan::permissions(&plan)?;
    if permissions.is_empty() {
        return Err(CliError::new(Exit::Usage, format!("{} touches nothing of AWS: it needs no policy", plan.runbook)));
    }
    let text = serde_json::to_string_pretty(&policy(&permissions)).unwrap_or_default();
    writeln!(std::io::stdout(), "{text}")?;
    if !plan::references::all(&plan).is_empty() {
        let note = "note: a secret or SecureString with a KMS key of its own also wants kms:Decrypt on that key";
        writeln!(std::io::stderr(), "{note}")?;
    }
    Ok(Exit::Done)
}

pub fn init(args: &InitArgs) -> Result<Exit, CliError> {
    let file = args.file.display();
    let mut made = std::fs::File::create_new(&args.file).map_err(|error| {
        CliError::new(Exit::Error, format!("{file} can't be written: {error}")).hint("name another file")
    })?;
    made.write_all(BEGIN_WITH.as_bytes())?;
    writeln!(std::io::stdout(), "wrote {file}; edit it, then: pointsman check {file}")?;
    Ok(Exit::Done)
}

#[expect(clippy::unnecessary_wraps, reason = "all subcommands have one form")]
pub fn completions(shell: clap_complete::Shell) -> Result<Exit, CliError> {
    clap_complete::generate(shell, &mut Cli::command(), "pointsman", &mut std::io::stdout());
    Ok(Exit::Done)
}
