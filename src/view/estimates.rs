//! How long things take: from earlier runs and rehearsals of the same runbook, and from what the runbook itself says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::executor::state::RunState;
use crate::journal::{Act, Entry, Event, Journal, Move};
use crate::runbook::model::Step;
use crate::systems::pair::Heading;

/// Earlier runs that are looked at, the newest first.
const RUNS: usize = 10;

/// Times of earlier runs, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimates {
    acts: BTreeMap<(String, bool, bool), Vec<f64>>,
    waits: BTreeMap<bool, Vec<f64>>,
    runs: usize,
}

impl Estimates {
    /// From the runs of this runbook in the store, without `except`, and from the rehearsals beside it. What can't be
    /// read is left out: an estimate is worth no error.
    #[must_use]
    pub fn read(journal: &Journal, runbook: &str, except: &str) -> Self {
        let mut estimates = Self::default();
        estimates.take_store(journal, runbook, except);
        for path in rehearsals(journal.path()) {
            if estimates.runs >= RUNS {
                break;
            }
            if let Ok(journal) = Journal::open(&path) {
                estimates.take_store(&journal, runbook, except);
            }
        }
        estimates
    }

    fn take_store(&mut self, journal: &Journal, runbook: &str, except: &str) {
        let runs = journal.runs().unwrap_or_default();
        let same = runs.into_iter().filter(|run| run.runbook == runbook && run.id != except);
        for run in same.take(RUNS.saturating_sub(self.runs)) {
            self.take(&journal.entries(&run.id, 0).unwrap_or_default());
        }
    }

    /// Takes the times of one run in.
    pub fn take(&mut self, entries: &[Entry]) {
        let mut useful = false;
        for entry in entries {
            match &entry.event {
                // A step that was found done after a crash took no time that says anything.
                Event::Done { of, millis, .. } if *millis > 0.0 => {
                    self.acts.entry(key(of)).or_default().push(*millis);
                    useful = true;
                }
                Event::Passed { way, millis } => self.waits.entry(*way == Heading::Back).or_default().push(*millis),
                _ => {}
            }
        }
        self.runs += usize::from(useful);
    }

    /// How many runs they come from.
    #[must_use]
    pub const fn runs(&self) -> usize {
        self.runs
    }

    /// How long an act took in the middle of earlier runs.
    #[must_use]
    pub fn act(&self, of: &Move) -> Option<f64> {
        self.acts.get(&key(of)).and_then(|times| median(times))
    }

    /// How long writes waited in a window of this direction.
    #[must_use]
    pub fn wait(&self, way: Heading) -> Option<f64> {
        self.waits.get(&(way == Heading::Back)).and_then(|times| median(times))
    }

    /// How long a step of the plan is expected to take on the way there. None for what a person decides, or what nobody
    /// knows.
    #[must_use]
    pub fn planned(&self, state: &RunState, position: usize) -> Option<f64> {
        let step = state.plan.step(position)?;
        let earlier = self.act(&Move { step: step.id.clone(), act: Act::Apply, way: Heading::Forth });
        match &step.step {
            Step::Approve(_) => None,
            Step::Bake(bake) => Some(millis(bake.span.0)),
            Step::Shift(shift) => {
                let stays = u32::try_from(shift.weights.len()).unwrap_or(1);
                let least = shift.bake.map(|bake| millis(bake.0.saturating_mul(stays)));
                earlier.map(|earlier| earlier.max(least.unwrap_or(0.0))).or(least)
            }
            _ => earlier,
        }
    }
}

fn key(of: &Move) -> (String, bool, bool) {
    (of.step.clone(), of.act == Act::Undo, of.way == Heading::Back)
}

fn millis(span: std::time::Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

fn median(times: &[f64]) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// The stores of rehearsals: beside the store of the runs, and beside that of a rehearsal. The newest first.
fn rehearsals(store: &Path) -> Vec<PathBuf> {
    let beside = store.with_file_name("rehearsals");
    let around = store.ancestors().nth(2).filter(|folder| folder.ends_with("rehearsals")).map(Path::to_owned);
    let folders = [Some(beside), around].into_iter().flatten().filter_map(|folder| folder.read_dir().ok()).flatten();
    let mut stores: Vec<PathBuf> = folders.flatten().map(|entry| entry.path().join("journal.db")).collect();
    stores.retain(|path| path.exists() && path != store);
    stores.sort();
    stores.reverse();
    stores.truncate(RUNS);
    stores
}
