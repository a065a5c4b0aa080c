//! `guard`: the second process of a window. People don't start it.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::GuardArgs;
use crate::error::{CliError, Exit};
use crate::executor::guard::{Watch, watch};
use crate::journal::Journal;

pub async fn run(args: &GuardArgs, journal: Arc<Journal>) -> Result<Exit, CliError> {
    // A lost terminal is not its business. The streams must live for the signals to stay caught.
    let caught = (signal(SignalKind::hangup()), signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let budget = Duration::from_millis(args.budget_ms);
    let ready = || drop(writeln!(std::io::stdout(), "ready"));
    watch(journal, Watch { run: args.run.clone(), epoch: args.epoch, budget }, ready).await?;
    drop(caught);
    Ok(Exit::Done)
}
