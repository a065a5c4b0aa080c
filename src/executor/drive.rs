//! Does what `decide` says: journal the intent, act, journal the outcome, tell the views. No policy here.

mod window;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tokio::sync::{broadcast, watch};

use super::context::{Context, Heard, Published};
use super::decide::{Decision, accepts, decide};
use super::guard::Guard;
use super::hands::{Hands, RealHands};
use super::notices::Notices;
use super::rig::Rig;
use super::state::{IllegalTransition, Passage, RunState, StepState};
use super::{process, take};
use crate::clock;
use crate::gates::{Baselines, Sessions};
use crate::journal::{Act, Durability, Event, FailureKind, Journal, JournalError, Move, Outcome, Spoken, Word};
use crate::plan::references;
use crate::runbook::model::{Means, Step};
use crate::secret::remote;
use crate::steps::{self, Observation, StepError};
use crate::systems::DriverError;
use crate::systems::pair::{Heading, Pair};
use crate::systems::world::World;

/// How often the executor listens for words while it is busy or held.
const LISTEN: Duration = Duration::from_millis(100);

/// What an executor does with a run that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnHold {
    /// Stay and wait for a person's word.
    Wait,
    /// Give the lease back and leave.
    Leave,
}

/// How an executor left its run.
#[derive(Clone, Debug, PartialEq)]
pub enum Conclusion {
    /// The run has ended.
    Ended(Outcome, String),
    /// It is held.
    Held(String),
    /// It is held because an undo failed, or while writes wait: a person must mend something.
    Stuck(String),
}

/// Why an executor could not go on.
#[derive(Debug, Error)]
pub enum DriveError {
    /// The journal can't be written, or another executor has the run.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal could not be written inside the window, which was left without a record.
    #[error("{0}. {1}")]
    Unrecorded(JournalError, String),
    /// The journal can't be understood.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
}

/// One executor of one run.
pub struct Drive {
    cx: Context,
    state: RunState,
    heard: watch::Sender<Heard>,
    guard: Option<Guard>,
    hands: Arc<dyn Hands>,
    on_hold: OnHold,
    /// The guard's executor goes only as far as the end of the window.
    window_only: bool,
    /// Hands that have no guard to give.
    unguarded: bool,
    /// The commit point is being written.
    committing: bool,
}

impl Drive {
    /// An executor for a run that was taken with `epoch`.
    pub fn new(
        journal: Arc<Journal>,
        run: &str,
        epoch: u64,
        on_hold: OnHold,
        views: broadcast::Sender<Published>,
    ) -> Result<Self, DriveError> {
        let state = take::replay(&journal, run)?;
        let world = World::new(state.plan.systems.clone());
        Ok(Self::with_rig(journal, run, epoch, state, on_hold, views, Rig::new(world, run, epoch)))
    }

    /// The same, with connections that are open already.
    pub fn with_rig(
        journal: Arc<Journal>,
        run: &str,
        epoch: u64,
        state: RunState,
        on_hold: OnHold,
        views: broadcast::Sender<Published>,
        rig: Rig,
    ) -> Self {
        let (heard, ears) = watch::channel(Heard::default());
        let world = World::new(state.plan.systems.clone());
        let plan = Arc::clone(&state.plan);
        let by = process::this();
        let (sessions, baselines, notices) = (Sessions::default(), Baselines::default(), Notices::default());
        let run = run.to_owned();
        let cx = Context { plan, world, run, epoch, rig, journal, by, views, ears, sessions, baselines, notices };
        Self {
            cx,
            state,
            heard,
            guard: None,
            hands: Arc::new(RealHands),
            on_hold,
            window_only: false,
            unguarded: false,
            committing: false,
        }
    }

    /// Goes only as far as the end of the window.
    #[must_use]
    pub fn window_only(mut self) -> Self {
        self.window_only = true;
        self
    }

    /// Works with other hands than the real ones.
    #[must_use]
    pub fn with_hands(mut self, hands: Arc<dyn Hands>) -> Self {
        self.hands = hands;
        self
    }

    /// Executes until the run has ended or is held.
    pub async fn run(mut self) -> Result<Conclusion, DriveError> {
        let keeper = take::keep(Arc::clone(&self.cx.journal), self.cx.run.clone(), self.cx.epoch);
        if !self.window_only {
            references::open(&self.cx.plan);
            // What can't be read holds the step that needs it.
            drop(references::warm(&self.cx.plan).await);
        }
        let mut conclusion = self.steps_until_end().await;
        if let Err(DriveError::Journal(error @ JournalError::Store { .. })) = conclusion {
            conclusion = Err(self.leave_unrecorded(error).await);
        }
        keeper.abort();
        drop(self.cx.journal.release(&self.cx.run, self.cx.epoch));
        conclusion
    }

    /// Leads out of the window for an executor that is dead, when the journal can't be written.
    pub async fn leave(mut self, error: JournalError) -> DriveError {
        // It may have died while it wrote that entry.
        self.committing = matches!(decide(&self.state), Decision::Commit(_));
        self.leave_unrecorded(error).await
    }

    async fn steps_until_end(&mut self) -> Result<Conclusion, DriveError> {
        loop {
            self.catch_up()?;
            if self.state.epoch != self.cx.epoch {
                // It slept, and another one has the run: not even a word is taken any more.
                let (run, mine, theirs) = (self.cx.run.clone(), self.cx.epoch, self.state.epoch);
                return Err(JournalError::Superseded { run, mine, theirs }.into());
            }
            self.hear()?;
            if self.window_only && self.state.passage.is_none() {
                return Ok(self.held());
            }
            // Inside the window nobody waits for AWS.
            remote::seal(self.state.passage.is_some());
            if let Some(conclusion) = self.carry_out(decide(&self.state)).await? {
                return Ok(conclusion);
            }
        }
    }

    async fn carry_out(&mut self, decision: Decision) -> Result<Option<Conclusion>, DriveError> {
        match decision {
            Decision::Do(of) => self.act(&of).await?,
            Decision::Settle(of) => self.settle(&of).await?,
            Decision::Commit(way) => {
                self.committing = true;
                self.append(Event::Committed { way }, Durability::Synced)?;
                self.committing = false;
            }
            Decision::Pass(way) => self.pass(way).await?,
            Decision::Prove(way) => self.prove(way).await?,
            Decision::Thaw(way) => self.thaw(way)?,
            Decision::Hold(reason) => self.append(Event::Held { reason }, Durability::Synced)?,
            Decision::TurnBack(reason) => self.append(Event::TurnedBack { to: None, reason }, Durability::Synced)?,
            Decision::End(outcome, reason) => self.append(Event::Ended { outcome, reason }, Durability::Synced)?,
            Decision::Listen if self.on_hold == OnHold::Leave => return Ok(Some(self.held())),
            Decision::Listen => tokio::time::sleep(LISTEN).await,
            Decision::Settled => {
                let (outcome, reason) = self.state.outcome.clone().unwrap_or((Outcome::Done, String::new()));
                return Ok(Some(Conclusion::Ended(outcome, reason)));
            }
        }
        Ok(None)
    }

    fn held(&self) -> Conclusion {
        let reason = self.state.hold.clone().unwrap_or_default();
        let failed = |state: &StepState| matches!(state, StepState::UndoFailed(_));
        let undo_failed = self.state.steps.iter().any(|step| failed(&step.forth) || failed(&step.back));
        if undo_failed || self.state.passage.is_some() { Conclusion::Stuck(reason) } else { Conclusion::Held(reason) }
    }

    fn append(&mut self, event: Event, durability: Durability) -> Result<(), DriveError> {
        let entry = self.cx.append(event, durability)?;
        if entry.seq == self.state.seq + 1 {
            return Ok(self.state.next(&entry)?);
        }
        // The step has noted something meanwhile.
        self.catch_up()
    }

    fn catch_up(&mut self) -> Result<(), DriveError> {
        for entry in self.cx.journal.entries(&self.cx.run, self.state.seq)? {
            self.state.next(&entry)?;
        }
        Ok(())
    }

    /// Takes the words that were said, and answers those that can't be taken.
    fn hear(&mut self) -> Result<(), DriveError> {
        for spoken in self.cx.journal.words(&self.cx.run)? {
            let Spoken { id, word, who, why, .. } = spoken;
            match accepts(&self.state, &word) {
                Ok(()) => {
                    let turn = match &word {
                        Word::Rollback { to } => {
                            let because = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                            let reason = format!("{who} said rollback{because}");
                            Some(Event::TurnedBack { to: to.clone(), reason })
                        }
                        _ => None,
                    };
                    self.append(Event::Said { word, who, why }, Durability::Synced)?;
                    if let Some(event) = turn {
                        self.append(event, Durability::Synced)?;
                    }
                }
                Err(reason) => self.append(Event::Refused { word, who, reason }, Durability::Ordered)?,
            }
            self.cx.journal.heard(id)?;
        }
        self.heard.send_modify(|heard| heard.interrupt = false);
        Ok(())
    }

    /// Intent, effect, outcome.
    async fn act(&mut self, of: &Move) -> Result<(), DriveError> {
        let Some(position) = self.state.plan.position(&of.step) else { return Ok(()) };
        let plan = Arc::clone(&self.state.plan);
        let step = &plan.steps[position].step;
        let attempt = self.attempt(position, of);
        self.back_off(attempt).await;
        let inside = plan.steps[position].window.is_some();
        let enters = inside && of.act == Act::Apply && self.state.passage.is_none();
        remote::seal(inside || self.state.passage.is_some());
        if enters && let Err(failure) = self.alert_guard(true).await {
            self.append(Event::Intent { of: of.clone(), attempt }, Durability::Synced)?;
            return self.append(Event::Failed { of: of.clone(), failure }, Durability::Synced);
        }
        let freezes = matches!(step, Step::Freeze(_)) && of.act == Act::Apply;
        let durability = if inside && !freezes && !enters { Durability::Ordered } else { Durability::Synced };
        self.append(Event::Intent { of: of.clone(), attempt }, durability)?;
        let began = clock::monotonic();
        let outcome = match self.names_of_now().await {
            Ok(()) => self.effect(step, of, inside).await,
            Err(error) => Err(error.into()),
        };
        let outcome = self.with_guard(step, of, outcome).await;
        self.record(of, outcome, began.elapsed(), durability)
    }

    /// Behind the commit point of a Blue/Green deployment both servers get other names.
    async fn names_of_now(&self) -> Result<(), DriverError> {
        let forth = |passage: &Passage| passage.committed && passage.way == Heading::Forth;
        let renamed = |pair: &Pair| pair.through == Means::BlueGreen;
        if self.state.passage.as_ref().is_some_and(forth) && self.cx.plan.pair.as_ref().is_some_and(renamed) {
            references::reread(&self.cx.plan).await?;
        }
        Ok(())
    }

    fn attempt(&self, position: usize, of: &Move) -> u32 {
        let record = &self.state.steps[position];
        let again = matches!(
            (of.act, record.on(of.way)),
            (Act::Apply, StepState::Failed(_) | StepState::Applying)
                | (Act::Undo, StepState::UndoFailed(_) | StepState::Undoing)
        );
        if again { record.attempts + 1 } else { 1 }
    }

    async fn back_off(&self, attempt: u32) {
        if attempt > 1 {
            tokio::time::sleep(Duration::from_millis(50 * u64::from(attempt.min(20)))).await;
        }
    }

    /// Runs the step, within what is left of the budget when the commit point is still ahead.
    async fn effect(&mut self, step: &Step, of: &Move, inside: bool) -> Result<Value, StepError> {
        let uncommitted = self.state.passage.as_ref().is_some_and(|passage| !passage.committed);
        let state = self.state.clone();
        let work = self.hands.act(&self.cx, &state, step, of);
        if inside && uncommitted && of.act == Act::Apply {
            let left = Duration::from_millis(steps::time_left_ms(&self.state));
            let late = || {
                let message = format!("{} used up the window's budget", of.step);
                Err(StepError::told(FailureKind::Deadline, message, None))
            };
            return tokio::time::timeout(left, work).await.unwrap_or_else(|_| late());
        }
        if inside { work.await } else { Self::attend(&self.cx, &self.heard, work).await }
    }

    /// Listens for words while the step works.
    async fn attend(
        cx: &Context,
        heard: &watch::Sender<Heard>,
        work: impl Future<Output = Result<Value, StepError>>,
    ) -> Result<Value, StepError> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                () = tokio::time::sleep(LISTEN) => Self::overhear(cx, heard)?,
            }
        }
    }

    /// An approval is taken at once; a word that stops the step waits until it has stopped.
    fn overhear(cx: &Context, heard: &watch::Sender<Heard>) -> Result<(), StepError> {
        for spoken in cx.journal.words(&cx.run)? {
            match &spoken.word {
                Word::Approve { step } => {
                    let step = step.clone();
                    cx.append(Event::Said { word: spoken.word, who: spoken.who, why: spoken.why }, Durability::Synced)?;
                    cx.journal.heard(spoken.id)?;
                    heard.send_modify(|heard| heard.approvals.push(step));
                }
                _ => {
                    heard.send_if_modified(|heard| !std::mem::replace(&mut heard.interrupt, true));
                }
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        of: &Move,
        outcome: Result<Value, StepError>,
        took: Duration,
        durability: Durability,
    ) -> Result<(), DriveError> {
        let of = of.clone();
        let event = match outcome {
            Ok(note) => Event::Done { of, note, millis: took.as_secs_f64() * 1000.0 },
            Err(StepError::Interrupted) => Event::Interrupted { of },
            Err(StepError::Journal(error)) => return Err(error.into()),
            Err(error) => {
                let failure = error.into_failure();
                if failure.kind == FailureKind::Superseded {
                    let theirs = self.cx.journal.lease(&self.cx.run)?.epoch;
                    return Err(
                        JournalError::Superseded { run: self.cx.run.clone(), mine: self.cx.epoch, theirs }.into()
                    );
                }
                Event::Failed { of, failure }
            }
        };
        self.append(event, durability)
    }

    /// It is in doubt: look, then record it as done or do it again.
    async fn settle(&mut self, of: &Move) -> Result<(), DriveError> {
        let Some(position) = self.state.plan.position(&of.step) else { return Ok(()) };
        let plan = Arc::clone(&self.state.plan);
        let state = self.state.clone();
        match self.hands.observe(&self.cx, &state, &plan.steps[position].step, of).await {
            Ok(Observation::Applied(note)) => {
                let event = Event::Done { of: of.clone(), note, millis: 0.0 };
                self.append(event, Durability::Synced)
            }
            Ok(Observation::NotApplied) => self.act(of).await,
            Ok(Observation::Unknown(reason)) => {
                let reason = in_doubt(&self.cx.run, of, &reason);
                self.append(Event::Held { reason }, Durability::Synced)
            }
            Err(error) => {
                let attempt = self.attempt(position, of);
                self.back_off(attempt).await;
                self.append(Event::Intent { of: of.clone(), attempt }, Durability::Ordered)?;
                self.record(of, Err(error), Duration::ZERO, Durability::Ordered)
            }
        }
    }
}

/// What a person has to do when nothing can tell whether a step was done.
fn in_doubt(run: &str, of: &Move, reason: &str) -> String {
    let step = &of.step;
    format!(
        "in doubt: {reason}. Look whether it has had its effect. If it has: `pointsman skip {run} {step} --reason WHY` takes \
         it as done. If not, or if it may run twice: `pointsman retry {run}` runs it again"
    )
}
