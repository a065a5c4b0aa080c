//! The state of a run: a fold over its journal, shared by the live run, resume, `status`, `watch`, the views and the
//! report. [`RunState::next`] is the only place that knows which event may follow which.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::journal::{Act, Entry, Event, Failure, FailureKind, Move, Outcome, StepId, Word};
use crate::plan::Plan;
use crate::systems::pair::Heading;
pub use crate::systems::pair::Side;

/// Where a step stands in one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum StepState {
    /// Nothing was done.
    #[default]
    Pending,
    /// The intent is journaled; in doubt if nobody is doing it.
    Applying,
    /// Done.
    Applied,
    /// It failed.
    Failed(Failure),
    /// Being taken back.
    Undoing,
    /// Taken back.
    Undone,
    /// Taking it back failed: stuck.
    UndoFailed(Failure),
    /// Left out by a person.
    Skipped,
}

impl StepState {
    /// Whether the step may have had an effect that is still there.
    #[must_use]
    pub const fn may_have_effect(&self) -> bool {
        matches!(self, Self::Applying | Self::Applied | Self::Failed(_) | Self::Undoing | Self::UndoFailed(_))
    }

    /// Whether nothing is left to do for it going forward.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Applied | Self::Skipped)
    }
}

/// What is to become of what somebody else changed, after the run had left it otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// It stays as it is now.
    Adopt,
    /// What the run had left is put back.
    Restore,
}

/// What is known of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepRecord {
    /// Going to the target.
    pub forth: StepState,
    /// For the steps of a window: passing it again, backwards.
    pub back: StepState,
    /// Tries of the present act.
    pub attempts: u32,
    /// What the step remembers: former state, positions, results.
    pub notes: Map<String, Value>,
    /// First intent of the present act.
    pub started: Option<Timestamp>,
    /// Its outcome.
    pub ended: Option<Timestamp>,
    /// How long the last act took, in milliseconds.
    pub millis: Option<f64>,
    /// What a person said is to become of what somebody else changed.
    pub drift: Option<Drift>,
    /// What is in doubt is done again without a look: it is known that nothing happened, or a person said so.
    pub again: bool,
}

impl StepRecord {
    /// Where it stands in a direction.
    #[must_use]
    pub const fn on(&self, way: Heading) -> &StepState {
        match way {
            Heading::Forth => &self.forth,
            Heading::Back => &self.back,
        }
    }

    /// Whether a step outside of the window may have had an effect that is still there: also one that was stopped at a
    /// safe point, or left out by a person after it had begun.
    #[must_use]
    pub const fn is_to_undo(&self) -> bool {
        let begun = self.started.is_some() && matches!(self.forth, StepState::Pending | StepState::Skipped);
        begun || self.forth.may_have_effect()
    }

    const fn on_mut(&mut self, way: Heading) -> &mut StepState {
        match way {
            Heading::Forth => &mut self.forth,
            Heading::Back => &mut self.back,
        }
    }
}

/// A window that is being passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// In which direction.
    pub way: Heading,
    /// Epoch of the executor that began it.
    pub epoch: u64,
    /// When its first step was about to begin.
    pub since: Timestamp,
    /// Whether the commit point is behind.
    pub committed: bool,
    /// What went wrong in it.
    pub failure: Option<Failure>,
}

/// The state of a run.
#[derive(Clone, Debug)]
pub struct RunState {
    /// The frozen plan.
    pub plan: Arc<Plan>,
    /// Its hash.
    pub hash: String,
    /// One record a step of the plan.
    pub steps: Vec<StepRecord>,
    /// Where the run goes.
    pub heading: Heading,
    /// Going back: this step stays done.
    pub back_to: Option<usize>,
    /// Why it turned back.
    pub back_reason: Option<String>,
    /// Why it stands still.
    pub hold: Option<String>,
    /// Who takes writes.
    pub writer: Side,
    /// The window that is being passed.
    pub passage: Option<Passage>,
    /// A window that was passed in this direction, and is not proved yet.
    pub unproved: Option<Heading>,
    /// In which epoch and direction the window was armed.
    pub armed: Option<(u64, Heading)>,
    /// Questions that a person said yes to.
    pub approvals: BTreeSet<StepId>,
    /// How it ended.
    pub outcome: Option<(Outcome, String)>,
    /// Epoch of the present executor.
    pub epoch: u64,
    /// The last entry.
    pub seq: u64,
    /// When the run began.
    pub started: Timestamp,
    /// When the last entry was written.
    pub latest: Timestamp,
}

/// A journal that can't be: an entry that may not follow what stands before it.
#[derive(Debug, Error, PartialEq)]
#[error("entry {seq} of the journal can't follow what stands before it: {reason}")]
pub struct IllegalTransition {
    /// The entry.
    pub seq: u64,
    /// Why.
    pub reason: String,
}

impl RunState {
    /// The state after all of a run's entries.
    pub fn replay(entries: &[Entry]) -> Result<Self, IllegalTransition> {
        let illegal = |seq, reason: &str| IllegalTransition { seq, reason: reason.to_owned() };
        let (first, rest) = entries.split_first().ok_or_else(|| illegal(0, "the journal is empty"))?;
        let Event::RunStarted { plan, hash } = &first.event else {
            return Err(illegal(first.seq, "the first entry is not the plan"));
        };
        let mut state = Self::start(first, Arc::new(Plan::clone(plan)), hash);
        for entry in rest {
            state.next(entry)?;
        }
        Ok(state)
    }

    fn start(first: &Entry, plan: Arc<Plan>, hash: &str) -> Self {
        Self {
            steps: vec![StepRecord::default(); plan.steps.len()],
            plan,
            hash: hash.to_owned(),
            heading: Heading::Forth,
            back_to: None,
            back_reason: None,
            hold: None,
            writer: Side::Source,
            passage: None,
            unproved: None,
            armed: None,
            approvals: BTreeSet::new(),
            outcome: None,
            epoch: first.epoch,
            seq: first.seq,
            started: first.at,
            latest: first.at,
        }
    }

    /// Takes the next entry of the journal.
    pub fn next(&mut self, entry: &Entry) -> Result<(), IllegalTransition> {
        let illegal = |reason: String| IllegalTransition { seq: entry.seq, reason };
        if entry.seq != self.seq + 1 {
            return Err(illegal(format!("it follows entry {}", self.seq)));
        }
        if entry.epoch < self.epoch {
            return Err(illegal(format!("its epoch {} is older than {}", entry.epoch, self.epoch)));
        }
        self.seq = entry.seq;
        self.epoch = entry.epoch;
        self.latest = entry.at;
        self.fold(entry).map_err(illegal)
    }

    fn fold(&mut self, entry: &Entry) -> Result<(), String> {
        match &entry.event {
            Event::RunStarted { .. } => return Err("a run has one plan".into()),
            Event::Took { .. } | Event::Judged { .. } | Event::Refused { .. } => {}
            Event::Intent { of, attempt } => self.intend(entry, of, *attempt)?,
            Event::Noted { of, note } => self.note(of, note)?,
            Event::Done { of, note, millis } => {
                self.note(of, note)?;
                self.done(entry, of, *millis)?;
            }
            Event::Failed { of, failure } => self.failed(entry, of, failure)?,
            Event::Interrupted { of } => self.interrupted(of)?,
            Event::Committed { way } => self.commit(*way)?,
            Event::Thawed { way, .. } => self.thawed(*way)?,
            Event::Passed { way, .. } => self.passed(*way)?,
            Event::Proved { .. } => self.unproved = None,
            Event::Held { reason } => self.hold = Some(reason.clone()),
            Event::Said { word, who, why } => self.said(word, who, why.as_deref())?,
            Event::TurnedBack { to, reason } => self.turn_back(to.as_deref(), reason)?,
            Event::Ended { outcome, reason } => self.outcome = Some((*outcome, reason.clone())),
        }
        Ok(())
    }

    /// Position of a step.
    fn position(&self, id: &str) -> Result<usize, String> {
        self.plan.position(id).ok_or_else(|| format!("the plan has no step {id}"))
    }

    fn record(&mut self, of: &Move) -> Result<&mut StepRecord, String> {
        let position = self.position(&of.step)?;
        Ok(&mut self.steps[position])
    }

    fn intend(&mut self, entry: &Entry, of: &Move, attempt: u32) -> Result<(), String> {
        let position = self.position(&of.step)?;
        let inside = self.plan.steps[position].window.is_some();
        let record = &mut self.steps[position];
        let begun = record.started.is_some();
        let state = record.on_mut(of.way);
        let legal = match (of.act, &*state) {
            (Act::Apply, StepState::Applied) => self.plan.steps[position].step.kind() == "window",
            (Act::Apply, StepState::Skipped | StepState::UndoFailed(_)) => false,
            (Act::Undo, StepState::Pending | StepState::Skipped) => begun,
            (Act::Undo, StepState::Undone) => false,
            _ => true,
        };
        if !legal {
            return Err(format!("{:?} of {} when it is {state:?}", of.act, of.step));
        }
        *state = if of.act == Act::Apply { StepState::Applying } else { StepState::Undoing };
        if attempt == 1 {
            record.started = Some(entry.at);
        }
        record.attempts = attempt;
        record.again = false;
        record.ended = None;
        // Nothing else is begun before it, but in the journal of a version that did not write it down.
        self.unproved = None;
        if inside && of.act == Act::Apply && self.passage.is_none() {
            let (way, epoch, since) = (of.way, entry.epoch, entry.at);
            self.passage = Some(Passage { way, epoch, since, committed: false, failure: None });
        }
        Ok(())
    }

    fn note(&mut self, of: &Move, note: &Value) -> Result<(), String> {
        if let Value::Object(fields) = note {
            self.record(of)?.notes.extend(fields.clone());
        }
        Ok(())
    }

    fn done(&mut self, entry: &Entry, of: &Move, millis: f64) -> Result<(), String> {
        let epoch = entry.epoch;
        let position = self.position(&of.step)?;
        let record = &mut self.steps[position];
        record.ended = Some(entry.at);
        record.millis = Some(millis);
        record.drift = None;
        let state = record.on_mut(of.way);
        *state = match (of.act, &*state) {
            (Act::Apply, StepState::Applying | StepState::Failed(_)) => StepState::Applied,
            (Act::Undo, StepState::Undoing | StepState::UndoFailed(_)) => StepState::Undone,
            (act, state) => return Err(format!("{act:?} of {} done when it is {state:?}", of.step)),
        };
        if self.plan.steps[position].step.kind() == "window" {
            self.armed = (of.act == Act::Apply).then_some((epoch, of.way));
        }
        Ok(())
    }

    fn failed(&mut self, entry: &Entry, of: &Move, failure: &Failure) -> Result<(), String> {
        let position = self.position(&of.step)?;
        let record = &mut self.steps[position];
        record.ended = Some(entry.at);
        record.drift = None;
        let state = record.on_mut(of.way);
        *state = match (of.act, &*state) {
            (Act::Apply, StepState::Applying | StepState::Failed(_)) => StepState::Failed(failure.clone()),
            (Act::Undo, StepState::Undoing | StepState::UndoFailed(_)) => StepState::UndoFailed(failure.clone()),
            (act, state) => return Err(format!("{act:?} of {} failed when it is {state:?}", of.step)),
        };
        let inside = self.plan.steps[position].window.is_some();
        if let Some(passage) = self.passage.as_mut().filter(|_| inside && of.act == Act::Apply) {
            passage.failure = Some(failure.clone());
        }
        Ok(())
    }

    fn interrupted(&mut self, of: &Move) -> Result<(), String> {
        let state = self.record(of)?.on_mut(of.way);
        *state = if of.act == Act::Apply { StepState::Pending } else { StepState::Applied };
        Ok(())
    }

    fn commit(&mut self, way: Heading) -> Result<(), String> {
        match self.passage.as_mut().filter(|passage| passage.way == way && !passage.committed) {
            Some(passage) => {
                passage.committed = true;
                Ok(())
            }
            None => Err("there is nothing to commit".into()),
        }
    }

    fn thawed(&mut self, way: Heading) -> Result<(), String> {
        if self.passage.take_if(|passage| passage.way == way && !passage.committed).is_none() {
            return Err("there is no window to leave".into());
        }
        self.reset_window(way, &StepState::Pending);
        // Whether it is tried again is a person's word, also when nobody lived to say why it was left.
        self.hold = Some("the window was left before its commit point".into());
        Ok(())
    }

    fn passed(&mut self, way: Heading) -> Result<(), String> {
        if self.passage.take_if(|passage| passage.way == way && passage.committed).is_none() {
            return Err("there is no committed window".into());
        }
        self.writer = if way == Heading::Forth { Side::Target } else { Side::Source };
        self.unproved = Some(way);
        if way == Heading::Back {
            self.reset_window(Heading::Forth, &StepState::Undone);
            self.reset_window(Heading::Back, &StepState::Pending);
        }
        Ok(())
    }

    fn reset_window(&mut self, way: Heading, to: &StepState) {
        let Some((window, _)) = self.plan.window() else { return };
        for (position, record) in self.steps.iter_mut().enumerate() {
            if position == window || self.plan.steps[position].window == Some(window) {
                *record.on_mut(way) = to.clone();
            }
        }
        self.armed = None;
    }

    fn said(&mut self, word: &Word, who: &str, why: Option<&str>) -> Result<(), String> {
        match word {
            Word::Approve { step } => {
                self.approvals.insert(step.clone());
            }
            Word::Hold => {
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                self.hold = Some(format!("{who} said hold{why}"));
            }
            Word::Continue => {
                // A person has seen what could not be proved.
                self.unproved = None;
                self.go_on(false);
            }
            Word::Retry => self.go_on(true),
            Word::Adopt => self.settle_drift(Drift::Adopt),
            Word::Restore => self.settle_drift(Drift::Restore),
            Word::Skip { step } => {
                let position = self.position(step)?;
                let inside = self.plan.steps[position].window.is_some();
                let way = self.passage.as_ref().filter(|_| inside).map_or(Heading::Forth, |passage| passage.way);
                *self.steps[position].on_mut(way) = StepState::Skipped;
                self.hold = None;
            }
            Word::Rollback { .. } => {}
        }
        Ok(())
    }

    /// A person has seen what somebody else changed, and says what is to become of it when the step is tried again.
    fn settle_drift(&mut self, drift: Drift) {
        for record in &mut self.steps {
            if matches!(record.forth, StepState::Failed(_) | StepState::UndoFailed(_)) {
                record.drift = Some(drift);
            }
        }
        self.go_on(true);
    }

    /// A person wants what failed tried again; `again` without a look where it is in doubt.
    fn go_on(&mut self, again: bool) {
        self.hold = None;
        for record in &mut self.steps {
            for way in [Heading::Forth, Heading::Back] {
                let state = record.on_mut(way);
                match state {
                    StepState::Applying => record.again |= again,
                    StepState::Failed(failure) => {
                        let refused = failure.kind != FailureKind::Unknown;
                        *state = StepState::Applying;
                        record.again = again || refused;
                        record.attempts = 0;
                    }
                    StepState::UndoFailed(_) => {
                        *state = StepState::Undoing;
                        record.attempts = 0;
                    }
                    _ => {}
                }
            }
        }
    }

    fn turn_back(&mut self, to: Option<&str>, reason: &str) -> Result<(), String> {
        self.back_to = to.map(|to| self.position(to)).transpose()?;
        self.heading = Heading::Back;
        self.outcome = None;
        self.unproved = None;
        self.back_reason = Some(reason.to_owned());
        self.go_on(false);
        Ok(())
    }

    /// Whether anything was changed that is still there.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        let mut steps = self.steps.iter().zip(&self.plan.steps);
        steps.any(|(record, step)| !step.step.only_looks() && record.is_to_undo())
    }
}
