//! The command line, as typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Moves a live database and the traffic in front of it, and can take it back.
#[derive(Debug, Parser)]
#[command(name = "pointsman", version, disable_help_subcommand = true, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// How to show what happens [default: tui for run, resume, rollback, rehearse and watch on a terminal, else plain].
    #[arg(long, global = true, value_enum)]
    pub output: Option<Output>,
    /// The store of the journals: a SQLite file [default: $XDG_STATE_HOME/pointsman/journal.db].
    #[arg(long, global = true, value_name = "FILE", env = "POINTSMAN_STATE")]
    pub state: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 error, 2 usage or invalid runbook, 3 refused before anything was changed, \
4 held: waits for a person, 5 rolled back, 6 stuck: a rollback could not finish, 7 another executor has the run, \
8 verify found differences.";

/// How to show what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A screen that fills the terminal; leaving it leaves the run going.
    Tui,
    /// One line an event.
    Plain,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read a runbook, connect, and run its preflight; changes nothing.
    Check(RunbookArgs),
    /// Dry run: every step with its exact SQL and calls, its undo, its gates and today's readings; changes nothing.
    Plan(RunbookArgs),
    /// Execute a runbook.
    Run(RunArgs),
    /// Go on with a run that nobody executes any more; observes before it acts.
    Resume(ResumeArgs),
    /// Go back.
    Rollback(RollbackArgs),
    /// Say how a run stands.
    Status(RunRef),
    /// Follow a run from another terminal.
    Watch(WatchArgs),
    /// List the runs.
    Runs,
    /// Say yes to the question that a run asks.
    Approve(ApproveArgs),
    /// Let a run stand still at the next safe point.
    Hold(WordArgs),
    /// Let a held run go on.
    Continue(WordArgs),
    /// Try the failed step of a held run again.
    Retry(RetryArgs),
    /// Leave a step out.
    Skip(SkipArgs),
    /// Compare source and target of a runbook.
    Verify(RunbookArgs),
    /// Build a sandbox of real servers on this machine and take a runbook through it under load, forward and back.
    Rehearse(RehearseArgs),
    /// Say what happened in a run, when, who said so, and how long writes waited.
    Report(ReportArgs),
    /// Print the smallest IAM policy that a run of a runbook needs, as JSON; asks nobody.
    IamPolicy(RunbookArgs),
    /// Print the JSON Schema of runbooks, for editors.
    Schema,
    /// Write a commented runbook to begin with.
    Init(InitArgs),
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// The second process of a window (started by `run`).
    #[command(hide = true)]
    Guard(GuardArgs),
    /// The executor behind a screen (started by `run`).
    #[command(hide = true)]
    Execute(ExecuteArgs),
    /// End a sandbox that `rehearse --keep` left running.
    SandboxStop {
        /// Its folder.
        folder: PathBuf,
    },
    /// The small application of the sandbox (started by `rehearse`).
    #[command(hide = true, disable_help_flag = true)]
    SandboxApp {
        /// Its own arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// A runbook and its environment.
#[derive(Debug, Args)]
pub struct RunbookArgs {
    /// The runbook.
    pub runbook: PathBuf,
    /// Overlay the environment of this name.
    #[arg(long)]
    pub env: Option<String>,
}

/// How a run is executed.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The runbook.
    #[command(flatten)]
    pub runbook: RunbookArgs,
    /// Name of the runbook; asked for on a terminal when it works on production.
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// What to do when the run is held.
    #[command(flatten)]
    pub hold: HoldArgs,
}

/// What an executor does with a held run.
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// When the run is held, stay and wait for a word from any terminal, rather than leave with exit code 4.
    #[arg(long)]
    pub wait: bool,
}

/// A run.
#[derive(Debug, Args)]
pub struct RunRef {
    /// Id of the run, or how it begins [default: the newest].
    pub run: Option<String>,
}

/// How a run is watched.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The run.
    #[command(flatten)]
    pub run: RunRef,
    /// Not only look: approve, hold, continue, retry, skip and roll back from the screen.
    #[arg(long, conflicts_with = "replay")]
    pub control: bool,
    /// Play the journal, so many times as fast as it was.
    #[arg(long, value_name = "SPEED", num_args = 0..=1, default_missing_value = "10", value_parser = speed)]
    pub replay: Option<f64>,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.trim_end_matches(['x', '×']).parse::<f64>().map_err(|error| error.to_string())?;
    if (0.01..=4096.0).contains(&speed) { Ok(speed) } else { Err("it must be between 0.01 and 4096".into()) }
}

/// How a run is resumed.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The run.
    #[command(flatten)]
    pub run: RunRef,
    /// What to do when the run is held.
    #[command(flatten)]
    pub hold: HoldArgs,
}

/// How far back.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The run.
    #[command(flatten)]
    pub run: RunRef,
    /// Undo down to this step, which stays done [default: everything].
    #[arg(long, value_name = "STEP")]
    pub to: Option<String>,
    /// Why, for the journal.
    #[arg(long)]
    pub reason: Option<String>,
    /// What to do when the run is held.
    #[command(flatten)]
    pub hold: HoldArgs,
}

/// A word to a run.
#[derive(Debug, Args)]
pub struct WordArgs {
    /// The run.
    #[command(flatten)]
    pub run: RunRef,
    /// Why, for the journal.
    #[arg(long)]
    pub reason: Option<String>,
}

/// A word to try again.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The run, and why.
    #[command(flatten)]
    pub word: WordArgs,
    /// Somebody else changed what the run had left: take it as it is now, and go on from there.
    #[arg(long, conflicts_with = "restore")]
    pub adopt: bool,
    /// Somebody else changed what the run had left: put that back first.
    #[arg(long)]
    pub restore: bool,
}

/// A yes.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// Id of the run, or how it begins [default: the newest].
    pub run: Option<String>,
    /// The step that asks [default: the one that asks now].
    pub step: Option<String>,
    /// Why, for the journal.
    #[arg(long)]
    pub reason: Option<String>,
}

/// A step to leave out.
#[derive(Debug, Args)]
pub struct SkipArgs {
    /// Id of the run, or how it begins.
    pub run: String,
    /// The step.
    pub step: String,
    /// Why, for the journal.
    #[arg(long)]
    pub reason: String,
}

/// A rehearsal.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// The runbook [default: runbooks/rehearsal-postgres.yaml].
    pub runbook: Option<PathBuf>,
    /// Leave the sandbox running for a look around.
    #[arg(long)]
    pub keep: bool,
    /// Roll back yourself when it asks, from the screen or another terminal, to practise; else the rehearsal does it.
    #[arg(long)]
    pub by_hand: bool,
    /// Transactions a second of the workload.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub rate: u32,
    /// Version of the source, such as 17, 9.7, 10.11 [default: 15, or what there is of MySQL or MariaDB].
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub source: Option<u32>,
    /// Version of the target [default: 18, or what there is of MySQL or MariaDB].
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub target: Option<u32>,
}

/// A version as the sandbox counts it: 9.7 is 97.
fn version(text: &str) -> Result<u32, String> {
    text.replace('.', "").parse().map_err(|_| format!("{text} is not a version such as 17 or 9.7"))
}

/// A report.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The run.
    #[command(flatten)]
    pub run: RunRef,
    /// Its form.
    #[arg(long, value_enum, default_value_t = ReportFormat::Markdown)]
    pub format: ReportFormat,
}

/// Form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people and tickets.
    Markdown,
    /// For a browser.
    Html,
    /// For programs.
    Json,
}

/// Where to begin.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// File to write; must not exist.
    #[arg(default_value = "runbook.yaml")]
    pub file: PathBuf,
}

/// The guard.
#[derive(Debug, Args)]
pub struct GuardArgs {
    /// The run.
    #[arg(long)]
    pub run: String,
    /// Epoch of the executor that is watched.
    #[arg(long)]
    pub epoch: u64,
    /// The window's budget, in milliseconds.
    #[arg(long)]
    pub budget_ms: u64,
}

/// The executor behind a screen.
#[derive(Debug, Args)]
pub struct ExecuteArgs {
    /// The run.
    #[arg(long)]
    pub run: String,
    /// Epoch of the process that began or took it.
    #[arg(long)]
    pub epoch: u64,
}
