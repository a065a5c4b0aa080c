//! Taking a run: as its first executor, or after another one has left it.

use std::sync::Arc;
use std::time::Duration;

use super::process;
use super::state::RunState;
use crate::clock;
use crate::journal::sqlite::LEASE_TTL;
use crate::journal::{Durability, Event, Journal, JournalError, Lease, TakeReason};
use crate::plan::Plan;

/// Makes a new run of a plan and takes it; gives its id and epoch.
pub fn begin(journal: &Journal, plan: &Plan) -> Result<(String, u64), JournalError> {
    let stamp = clock::now().strftime("%Y%m%d-%H%M%S").to_string();
    let run = format!("{}-{stamp}-{:04x}", plan.runbook, rand::random::<u16>());
    journal.create(&run, &plan.runbook, plan.environment.as_deref())?;
    let by = process::this();
    let epoch = journal.take(&run, 0, &by)?;
    let started = Event::RunStarted { plan: Box::new(plan.clone()), hash: plan.hash() };
    journal.append(&run, epoch, &by, started, Durability::Synced)?;
    journal.append(&run, epoch, &by, Event::Took { reason: TakeReason::Start }, Durability::Synced)?;
    Ok((run, epoch))
}

/// Takes a run that nobody executes any more; gives the new epoch.
pub fn again(journal: &Journal, run: &str, reason: TakeReason) -> Result<u64, JournalError> {
    let lease = journal.lease(run)?;
    if is_held(&lease) {
        let holder = lease.holder.map(|holder| format!("{}@{} (pid {})", holder.user, holder.host, holder.pid));
        return Err(JournalError::Leased { run: run.to_owned(), holder: holder.unwrap_or_default() });
    }
    take(journal, run, lease.epoch, reason)
}

/// Takes a run from an executor that is known to be dead or to hang: the guard's way.
pub fn take(journal: &Journal, run: &str, epoch: u64, reason: TakeReason) -> Result<u64, JournalError> {
    let by = process::this();
    let epoch = journal.take(run, epoch, &by)?;
    journal.append(run, epoch, &by, Event::Took { reason }, Durability::Synced)?;
    Ok(epoch)
}

/// Whether a living executor has the run.
#[must_use]
pub fn is_held(lease: &Lease) -> bool {
    let Some(holder) = &lease.holder else { return false };
    match process::lives(holder) {
        Some(lives) => lives,
        None => Duration::try_from(clock::now().duration_since(lease.renewed)).unwrap_or_default() < LEASE_TTL,
    }
}

/// The state of a run.
pub fn replay(journal: &Journal, run: &str) -> Result<RunState, JournalError> {
    let entries = journal.entries(run, 0)?;
    RunState::replay(&entries).map_err(|illegal| JournalError::Unreadable {
        path: journal.path().display().to_string(),
        run: run.to_owned(),
        seq: illegal.seq,
        reason: illegal.reason,
    })
}

/// Renews the lease for as long as the handle lives.
pub fn keep(journal: Arc<Journal>, run: String, epoch: u64) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        // Superseded: the next entry that the executor appends says so.
        while journal.renew(&run, epoch).is_ok() {
            tokio::time::sleep(LEASE_TTL / 4).await;
        }
    })
}
