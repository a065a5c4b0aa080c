//! The window, as `drive` goes through it: passing, proving, leaving, and the guard that outlives this process.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Drive, DriveError};
use crate::clock;
use crate::executor::context::remembered;
use crate::executor::guard::Guard;
use crate::journal::{Act, Durability, Event, Failure, FailureKind, JournalError, Move};
use crate::runbook::model::Step;
use crate::steps::StepError;
use crate::systems::pair::Heading;

impl Drive {
    pub(super) async fn pass(&mut self, way: Heading) -> Result<(), DriveError> {
        let millis = self.waited();
        self.append(Event::Passed { way, millis }, Durability::Synced)?;
        drop(self.alert_guard(false).await);
        self.guard = None;
        Ok(())
    }

    pub(super) async fn prove(&mut self, way: Heading) -> Result<(), DriveError> {
        match self.hands.prove(&self.cx, way).await {
            Ok(summary) => self.append(Event::Proved { way, summary }, Durability::Ordered),
            Err(reason) => {
                let reason = format!("{reason}. `pointsman retry` looks again, `pointsman continue` goes on as it is");
                self.append(Event::Held { reason }, Durability::Synced)
            }
        }
    }

    pub(super) fn thaw(&mut self, way: Heading) -> Result<(), DriveError> {
        let failure = self.state.passage.as_ref().and_then(|passage| passage.failure.clone());
        let millis = self.waited();
        self.append(Event::Thawed { way, millis }, Durability::Synced)?;
        self.guard = None;
        let failure = failure.unwrap_or_else(|| Failure {
            message: "its executor was lost".into(),
            hint: None,
            kind: FailureKind::Refused,
        });
        let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        let side = if way == Heading::Forth { "source" } else { "target" };
        let reason = format!(
            "the window was left before its commit point: {}{hint}. Writes go on at the {side}; nothing was lost. \
             `pointsman continue` tries again, `pointsman rollback` goes back",
            failure.message
        );
        self.append(Event::Held { reason }, Durability::Synced)
    }

    /// How long writes waited in the present window, in milliseconds: from the pause to the resume where the steps
    /// noted both.
    fn waited(&self) -> f64 {
        let since = self.state.passage.as_ref().map(|passage| passage.since);
        let noted = |kind: &str, key: &str| remembered::<jiff::Timestamp>(&self.state, kind, key);
        let began = noted("freeze", "paused_at").filter(|at| since.is_some_and(|since| *at >= since)).or(since);
        let Some(began) = began else { return 0.0 };
        let ended = noted("switch", "resumed_at").filter(|at| *at >= began).unwrap_or_else(clock::now);
        Duration::try_from(ended.duration_since(began)).unwrap_or_default().as_secs_f64() * 1000.0
    }

    /// The journal can't be written. Before the commit point the window is left all the same: its intent is journaled,
    /// so that whoever goes on does it again, with a record. Behind it only a recorded executor may go on.
    pub(super) async fn leave_unrecorded(&mut self, error: JournalError) -> DriveError {
        let known = self.catch_up().is_ok();
        let Some(passage) = self.state.passage.clone() else { return error.into() };
        // Nobody knows whether an entry stands whose writing failed.
        if passage.committed || self.committing || !known {
            let words = "WRITES WAIT: the window was not left, since the commit point may be behind it";
            return DriveError::Unrecorded(error, words.into());
        }
        let plan = Arc::clone(&self.state.plan);
        let inside = plan.window().map(|(window, _)| plan.inside(window)).into_iter().flatten();
        for position in inside.collect::<Vec<_>>().into_iter().rev() {
            let step = &plan.steps[position];
            if !self.state.steps[position].on(passage.way).may_have_effect() {
                continue;
            }
            let of = Move { step: step.id.clone(), act: Act::Undo, way: passage.way };
            if let Err(failed) = self.hands.act(&self.cx, &self.state, &step.step, &of).await {
                let message = failed.into_failure().message;
                return DriveError::Unrecorded(error, format!("WRITES WAIT: the window could not be left: {message}"));
            }
        }
        let side = if passage.way == Heading::Forth { "source" } else { "target" };
        DriveError::Unrecorded(
            error,
            format!("The window was left before its commit point: writes go on at the {side}"),
        )
    }

    /// Tells the guard that writes are about to wait, or that they go on.
    pub(super) async fn alert_guard(&mut self, freezing: bool) -> Result<(), Failure> {
        if self.window_only || self.unguarded {
            return Ok(());
        }
        let lost = |reason: String| Failure {
            message: format!("the guard of the window is not there: {reason}"),
            hint: Some("nothing was frozen; `pointsman continue` starts a new one".into()),
            kind: FailureKind::Refused,
        };
        match (&mut self.guard, freezing) {
            (Some(guard), true) => guard.freezing().await.map_err(lost),
            (Some(guard), false) => guard.passed().await.map_err(lost),
            (None, true) => Err(lost("it was not started".into())),
            (None, false) => Ok(()),
        }
    }

    /// An armed window has a guard.
    pub(super) async fn with_guard(
        &mut self,
        step: &Step,
        of: &Move,
        outcome: Result<Value, StepError>,
    ) -> Result<Value, StepError> {
        let (Step::Window(window), Act::Apply, Ok(note)) = (step, of.act, &outcome) else { return outcome };
        if self.window_only {
            return outcome;
        }
        self.guard = None;
        self.cx.journal.reserve()?;
        let started = self.hands.guard(&self.cx, window.budget.0).await;
        let guard = started.map_err(|reason| {
            StepError::told(FailureKind::Refused, format!("the guard could not be started: {reason}"), None)
        })?;
        let mut note = note.clone();
        note["guard"] = json!(guard.as_ref().and_then(Guard::pid));
        self.unguarded = guard.is_none();
        self.guard = guard;
        Ok(note)
    }
}
