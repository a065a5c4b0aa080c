//! What a step has in its hands: the plan, the systems, open connections, the journal for what it must remember, and
//! ears for a person's word.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};

use super::notices::Notices;
use super::rig::Rig;
use super::state::RunState;
use crate::engine::{self, Engine};
use crate::gates::{Baselines, Sessions};
use crate::journal::{Actor, Durability, Entry, Event, FailureKind, Journal, JournalError, Move};
use crate::plan::{Plan, SideChoices};
use crate::steps::StepError;
use crate::systems::aws::Access;
use crate::systems::pair::Pair;
use crate::systems::traffic::Traffic;
use crate::systems::world::World;

/// What a live view is told.
#[derive(Clone, Debug)]
pub enum Published {
    /// An entry was journaled.
    Entry(Arc<Entry>),
    /// A measurement: a gate's reading, the progress of a copy. May be lost.
    Sample {
        /// What was measured, such as `gate:lag` or `progress:replicate`.
        key: String,
        /// The measurement.
        body: Value,
    },
}

/// What the step under way must know of what people said meanwhile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// Stop at the next safe point.
    pub interrupt: bool,
    /// Steps that were approved.
    pub approvals: Vec<String>,
}

/// What a step has in its hands.
pub struct Context {
    /// The frozen plan.
    pub plan: Arc<Plan>,
    /// Its systems.
    pub world: World,
    /// Id of the run.
    pub run: String,
    /// Epoch of this executor.
    pub epoch: u64,
    /// Open connections.
    pub rig: Rig,
    /// The store.
    pub journal: Arc<Journal>,
    /// This process.
    pub by: Actor,
    /// To the live views; nobody waits for them.
    pub views: broadcast::Sender<Published>,
    /// What people said.
    pub ears: watch::Receiver<Heard>,
    /// Read-only sessions of the gates.
    pub sessions: Sessions,
    /// What load balancers had counted when a gate last asked.
    pub baselines: Baselines,
    /// What RDS says of what is waited for.
    pub notices: Notices,
}

impl Context {
    /// Appends an entry and tells the views.
    pub fn append(&self, event: Event, durability: Durability) -> Result<Entry, JournalError> {
        let entry = self.journal.append(&self.run, self.epoch, &self.by, event, durability)?;
        drop(self.views.send(Published::Entry(Arc::new(entry.clone()))));
        Ok(entry)
    }

    /// Journals what a step must remember before it goes on.
    pub fn note(&self, of: &Move, note: Value, durability: Durability) -> Result<(), StepError> {
        self.append(Event::Noted { of: of.clone(), note }, durability)?;
        Ok(())
    }

    /// Publishes a measurement to live views, and to those of other processes.
    pub fn sample(&self, key: &str, body: Value) {
        // A lost sample is no harm: the next one follows.
        drop(self.journal.sample(&self.run, key, &body));
        drop(self.views.send(Published::Sample { key: key.to_owned(), body }));
    }

    /// Says what a step is busy with: `done` of `total` in `unit`, or only words.
    pub fn progress(&self, step: &str, text: &str) {
        self.sample(&format!("progress:{step}"), json!({ "step": step, "text": text }));
    }

    /// A safe point: a person's word stops the step here.
    pub fn checkpoint(&self) -> Result<(), StepError> {
        if self.ears.borrow().interrupt { Err(StepError::Interrupted) } else { Ok(()) }
    }

    /// Sleeps, but wakes up for a person's word.
    pub async fn rest(&self, span: Duration) -> Result<(), StepError> {
        let mut ears = self.ears.clone();
        tokio::select! {
            () = tokio::time::sleep(span) => {}
            _ = ears.wait_for(|heard| heard.interrupt) => {}
        }
        self.checkpoint()
    }

    /// Does what can be given up at any point, until it is done, `limit` has passed or a person speaks. Connections that
    /// were in the middle of something are not used again.
    pub async fn bounded(
        &self,
        limit: Duration,
        late: &str,
        work: impl Future<Output = Result<(), StepError>>,
    ) -> Result<(), StepError> {
        let mut ears = self.ears.clone();
        let left = tokio::select! {
            done = work => return done,
            () = tokio::time::sleep(limit) => StepError::told(FailureKind::Deadline, late, None),
            _ = ears.wait_for(|heard| heard.interrupt) => StepError::Interrupted,
        };
        self.rig.forget().await;
        Err(left)
    }

    /// Whether this process still has the run; asked before an effect that no database can refuse for us.
    pub fn still_mine(&self) -> Result<(), StepError> {
        Ok(self.journal.holds(&self.run, self.epoch)?)
    }

    /// The pair of databases.
    pub fn pair(&self) -> Result<&Pair, StepError> {
        self.plan.pair.as_ref().ok_or_else(|| StepError::broken("the plan has no pair of databases"))
    }

    /// What was chosen for one side of the pair.
    pub fn choices(&self, side: &str) -> Result<&SideChoices, StepError> {
        let pair = self.pair()?;
        Ok(if side == pair.source { &self.plan.choices.source } else { &self.plan.choices.target })
    }

    /// What divides traffic under this name; `urgent` for going back.
    pub async fn traffic(&self, name: &str, urgent: bool) -> Result<Box<dyn Traffic>, StepError> {
        let planned = self.plan.choices.routes.get(name);
        Ok(self.world.traffic(name, Access::ReadWrite, urgent, planned).await?)
    }

    /// What only the pair's kind of database knows.
    pub fn engine(&self) -> &'static dyn Engine {
        engine::of_plan(&self.plan)
    }
}

/// What a step of this kind remembered under `key`.
pub fn remembered<T: DeserializeOwned>(state: &RunState, kind: &str, key: &str) -> Option<T> {
    let steps = state.plan.steps.iter().zip(&state.steps);
    let mut notes = steps.filter(|(step, _)| step.step.kind() == kind).filter_map(|(_, record)| record.notes.get(key));
    notes.next_back().and_then(|value| serde_json::from_value(value.clone()).ok())
}
