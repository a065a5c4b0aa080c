//! The window, as `drive` goes through it: passing, proving, leaving, and the guard that outlives this process.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Drive, DriveError};
use crate::clock;
use crate::executor::context::remembered;
use crate::executor::decide::ATTEMPTS_COMMITTED;
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
        if self.window_only {
            // Whoever resumes the run proves the window, and does it again where it failed.
            drop(self.hands.complete(&self.cx, way).await);
        }
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

    /// The journal can't be written, and the window is left all the same, so that writes do not wait for it. Before the
    /// commit point it is taken back, and behind it finished: the freeze's intent, and the commit entry, stand in the
    /// journal for what is done here without a record. Whoever goes on later does it again, with one.
    pub(super) async fn leave_unrecorded(&mut self, error: JournalError) -> DriveError {
        let known = self.catch_up().is_ok();
        let Some(passage) = self.state.passage.clone() else { return error.into() };
        // Nobody knows whether an entry stands whose writing failed.
        if self.committing || !known {
            let words = "WRITES WAIT: the window was not left, since the commit point may be behind it";
            return DriveError::Unrecorded(error, words.into());
        }
        let left = if passage.committed { self.finish(passage.way).await } else { self.take_back(passage.way).await };
        DriveError::Unrecorded(error, left.unwrap_or_else(|reason| format!("WRITES WAIT: {reason}")))
    }

    async fn take_back(&mut self, way: Heading) -> Result<String, String> {
        for position in self.inside().into_iter().rev() {
            if self.state.steps[position].on(way).may_have_effect() {
                let undone = self.unrecorded(position, Act::Undo, way).await;
                undone.map_err(|message| format!("the window could not be left: {message}"))?;
            }
        }
        let side = if way == Heading::Forth { "source" } else { "target" };
        Ok(format!("The window was left before its commit point: writes go on at the {side}"))
    }

    /// Only what can be repeated: a program or a statement of the author's would run twice.
    async fn finish(&mut self, way: Heading) -> Result<String, String> {
        let plan = Arc::clone(&self.state.plan);
        let repeatable = |position: &usize| matches!(plan.steps[*position].step, Step::Promote(_) | Step::Switch(_));
        let inside = self.inside();
        let last = inside.iter().rposition(repeatable).map_or(0, |at| at + 1);
        for position in inside.into_iter().take(last) {
            if self.state.steps[position].on(way).is_settled() {
                continue;
            }
            if !repeatable(&position) {
                return Err(format!("{} comes next, which is not run without a record", plan.steps[position].id));
            }
            for attempt in 1.. {
                self.back_off(attempt).await;
                match self.unrecorded(position, Act::Apply, way).await {
                    Ok(()) => break,
                    Err(message) if attempt >= ATTEMPTS_COMMITTED => {
                        return Err(format!("{} failed behind the commit point: {message}", plan.steps[position].id));
                    }
                    Err(_) => {}
                }
            }
        }
        drop(self.alert_guard(false).await);
        let side = if way == Heading::Forth { "target" } else { "source" };
        Ok(format!("The window was finished behind its commit point: writes go on at the {side}"))
    }

    async fn unrecorded(&self, position: usize, act: Act, way: Heading) -> Result<(), String> {
        let plan = Arc::clone(&self.state.plan);
        let step = &plan.steps[position];
        let of = Move { step: step.id.clone(), act, way };
        self.names_of_now().await.map_err(|error| error.to_string())?;
        let done = self.hands.act(&self.cx, &self.state, &step.step, &of).await;
        done.map(drop).map_err(|error| error.into_failure().message)
    }

    /// Positions of the window's steps.
    fn inside(&self) -> Vec<usize> {
        let plan = &self.state.plan;
        plan.window().map(|(window, _)| plan.inside(window)).into_iter().flatten().collect()
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
        self.hands.await_near(&self.cx, of.way, window.budget.0).await?;
        Ok(note)
    }
}
