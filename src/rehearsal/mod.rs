//! A rehearsal: the same runbook through a sandbox of real servers under load, forward and back, measured. The run
//! itself is the very program, started as a process of its own; what clients saw is counted by an independent ledger.

mod child;
mod result;
mod witness;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::error::{CliError, Exit};
use crate::executor::state::Side;
use crate::executor::{process, take};
use crate::journal::{Event, Journal, Word};
use crate::runbook::model::Step;
use crate::sandbox::server::Kind;
use crate::sandbox::workload::Workload;
use crate::sandbox::{Role, Sandbox, SandboxError, SandboxOptions};
use crate::systems::pair::Heading;
use child::Child;
pub use result::{Direction, RehearsalResult};
use witness::Witness;

/// Clients of the workload: through the load balancer and the application, and straight to the pooler.
const CLIENTS: (usize, usize) = (8, 4);
/// How long the workload runs before and after what is measured.
const SETTLE: Duration = Duration::from_millis(1500);
/// The whole of a rehearsal must end.
const PATIENCE: Duration = Duration::from_secs(1800);

/// What is rehearsed.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The runbook.
    pub runbook: PathBuf,
    /// Writes a second.
    pub rate: u32,
    /// Version of the source, as [`SandboxOptions`] counts it; the kind's own choice when absent.
    pub source: Option<u32>,
    /// Version of the target.
    pub target: Option<u32>,
    /// Where its journal and report lie.
    pub folder: PathBuf,
    /// The program; this one when absent.
    pub program: Option<PathBuf>,
    /// Whether the run is shown on a screen.
    pub screen: bool,
    /// Whether a person rolls back; else the rehearsal does it.
    pub by_hand: bool,
}

impl From<SandboxError> for CliError {
    fn from(error: SandboxError) -> Self {
        Self::new(Exit::Error, error.to_string())
    }
}

/// Rehearses with this kind of database; the sandbox is given back, for a look around. `begun` is told when there is a
/// run to look at.
pub async fn rehearse<K: Kind>(
    rehearsal: &Rehearsal,
    mut say: impl FnMut(&str),
    begun: impl FnOnce(Arc<Journal>, &str),
) -> Result<(RehearsalResult, Sandbox<K>), CliError> {
    let options = SandboxOptions {
        source_version: rehearsal.source.unwrap_or(K::VERSIONS.0),
        target_version: rehearsal.target.unwrap_or(K::VERSIONS.1),
        replica: promotes_replica(&rehearsal.runbook)?,
        app_binary: rehearsal.program.clone(),
        ..SandboxOptions::default()
    };
    let front = if K::POOLED { "pooler" } else { "load balancer of connections" };
    say(&format!("starting the sandbox: source, target, {front}, load balancer, two application instances"));
    let mut sandbox = Sandbox::<K>::of(options).await?;
    if is_before_aws(&rehearsal.runbook)? {
        say("starting AWS before it: two emulators, and a load balancer that follows the weights they hold");
        sandbox.put_aws_before().await?;
    }
    sandbox.notes().iter().for_each(|note| say(&format!("note: {note}")));
    let mut result = RehearsalResult::new(rehearsal, &sandbox);
    say(&format!("{}; {} clients write {} times a second", result.between(), CLIENTS.0 + CLIENTS.1, rehearsal.rate));
    let journal = Arc::new(Journal::open(&rehearsal.folder.join("journal.db"))?);

    let workload = load(&sandbox, rehearsal)?;
    tokio::time::sleep(SETTLE).await;
    let mut child = Child::start(rehearsal, &sandbox.env())?;
    let run = first_entry(&journal, &mut child).await?;
    begun(Arc::clone(&journal), &run);
    let mut witness = Witness::new(&journal, &run);
    let forward = forth(&journal, run, &mut child, &workload, &mut witness).await?;
    tokio::time::sleep(SETTLE).await;
    let ledger = workload.stop().await;
    let state = take::replay(&journal, &forward.run)?;
    let writer = if state.writer == Side::Target { &sandbox.target } else { &sandbox.source };
    let database = writer.connect(Role::Superuser).await?;
    result.forth = forward.direction(&journal, Heading::Forth, &ledger, ledger.audit(&database).await?)?;
    result.run = forward.run.clone();
    result.journal = journal.path().to_owned();
    result.exit = forward.finished;
    if forward.finished.is_none() {
        back(rehearsal, &sandbox, &mut witness, &forward.run, &mut child, &ledger, &mut result).await?;
    }
    result.take_steps(&journal, (CLIENTS.0 + CLIENTS.1) as u64)?;
    result.report = write_report(&journal, &forward.run, &rehearsal.folder)?;
    Ok((result, sandbox))
}

/// Whether the runbook's traffic is that of AWS.
fn is_before_aws(runbook: &Path) -> Result<bool, CliError> {
    let systems = crate::runbook::load(runbook, None)?.runbook.systems;
    Ok(systems.values().any(|system| system.kind() == "alb"))
}

/// Whether the runbook promotes a replica of the source.
fn promotes_replica(runbook: &Path) -> Result<bool, CliError> {
    let steps = crate::runbook::load(runbook, None)?.runbook.steps;
    Ok(steps.iter().any(|step| matches!(step, Step::Replicate(step) if step.through.is_physical())))
}

fn load<K: Kind>(sandbox: &Sandbox<K>, rehearsal: &Rehearsal) -> Result<Workload, CliError> {
    Ok(sandbox.workload(CLIENTS.0, CLIENTS.1, f64::from(rehearsal.rate))?)
}

/// The run's name, when its first entry is there.
async fn first_entry(journal: &Journal, child: &mut Child) -> Result<String, CliError> {
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let finished = child.finished()?;
        let run = journal.runs()?.into_iter().next().map(|run| run.id);
        if let Some(run) = run
            && !journal.entries(&run, 0)?.is_empty()
        {
            return Ok(run);
        }
        if finished.is_some() {
            let message = "the run did not get as far as its first entry";
            return Err(CliError::new(Exit::Error, message).hint("what it said stands above"));
        }
    }
}

/// The way there, until the run asks for its finalization, or turns back by a person's word, or ends.
async fn forth(
    journal: &Journal,
    run: String,
    child: &mut Child,
    workload: &Workload,
    witness: &mut Witness<'_>,
) -> Result<Way, CliError> {
    let began = clock::now();
    let latest = clock::monotonic() + PATIENCE;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        witness.look(workload);
        let finished = child.finished()?;
        if finished.is_some() || asks_after_window(journal, &run)? {
            return Ok(Way { run, began, finished });
        }
        if clock::monotonic() > latest {
            return Err(CliError::new(Exit::Error, "the run did not end").hint("what it said stands above"));
        }
    }
}

/// One way of a rehearsal.
struct Way {
    run: String,
    began: Timestamp,
    finished: Option<i32>,
}

impl Way {
    fn direction(
        &self,
        journal: &Journal,
        heading: Heading,
        ledger: &crate::sandbox::ledger::Ledger,
        audit: crate::sandbox::ledger::Audit,
    ) -> Result<Direction, CliError> {
        let entries = journal.entries(&self.run, 0)?;
        Ok(Direction::measure(&entries, heading, self.began, ledger, audit))
    }
}

/// Whether the run waits for a yes behind its window: the moment to look, and to turn round.
fn asks_after_window(journal: &Journal, run: &str) -> Result<bool, CliError> {
    let entries = journal.entries(run, 0)?;
    if entries.is_empty() {
        // The run has its name already, and not yet its first entry.
        return Ok(false);
    }
    let passed = entries.iter().any(|entry| matches!(entry.event, Event::Passed { way: Heading::Forth, .. }));
    let state = take::replay(journal, run)?;
    let asks = state.plan.steps.iter().zip(&state.steps).any(|(step, record)| {
        matches!(step.step, Step::Approve(_)) && matches!(record.forth, crate::executor::state::StepState::Applying)
    });
    Ok(passed && asks)
}

/// The way back, under load, by a person's word.
async fn back<K: Kind>(
    rehearsal: &Rehearsal,
    sandbox: &Sandbox<K>,
    witness: &mut Witness<'_>,
    run: &str,
    child: &mut Child,
    first: &crate::sandbox::ledger::Ledger,
    result: &mut RehearsalResult,
) -> Result<(), CliError> {
    let journal = witness.journal;
    let workload = load(sandbox, rehearsal)?;
    tokio::time::sleep(SETTLE).await;
    let began = clock::now();
    if !rehearsal.by_hand {
        journal.say(run, &Word::Rollback { to: None }, &process::person(), Some("the rehearsal's way back"))?;
    }
    let latest = clock::monotonic() + PATIENCE;
    let finished = loop {
        if let Some(code) = child.finished()? {
            break Some(code);
        }
        if clock::monotonic() > latest {
            return Err(CliError::new(Exit::Error, "the rollback did not end"));
        }
        witness.look(&workload);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    tokio::time::sleep(SETTLE).await;
    let ledger = workload.stop().await;
    let source = sandbox.source.connect(Role::Superuser).await?;
    let way = Way { run: run.to_owned(), began, finished };
    let audit = ledger.audit(&source).await?;
    let earlier = first.audit(&source).await?;
    let mut direction = way.direction(journal, Heading::Back, &ledger, audit)?;
    direction.also(&earlier);
    result.back = Some(direction);
    result.exit = finished;
    Ok(())
}

fn write_report(journal: &Journal, run: &str, folder: &Path) -> Result<PathBuf, CliError> {
    let path = folder.join("report.md");
    std::fs::write(&path, crate::report::markdown(journal, run)?).map_err(CliError::at(&path))?;
    Ok(path)
}
