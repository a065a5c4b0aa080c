//! Gates in a step: ask each at its interval, fold the readings, and say when all are open, or what one of them leads to.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::StepError;
use crate::clock;
use crate::executor::context::Context;
use crate::executor::samples::{GateSample, HISTORY, Then};
use crate::executor::state::RunState;
use crate::gates::{self, GateContext, GateState, Progress, Reading, Verdict};
use crate::journal::{Durability, Event, FailureKind};
use crate::runbook::model::{Gate, Name, OnFail};
use crate::systems::pair::Flow;

/// What a step waits for.
pub struct Watch<'a> {
    /// The step.
    pub step: &'a str,
    /// Its gates.
    pub gates: &'a [Name],
    /// It waits at most this long; of a bake, exactly.
    pub timeout: Duration,
    /// What a gate that does not open leads to, where its own rules leave it to the step.
    pub on_fail: OnFail,
}

/// One gate that is being asked.
struct Asked<'a> {
    name: &'a str,
    gate: &'a Gate,
    state: GateState,
    began: Timestamp,
    next: Timestamp,
    open: bool,
    last: Option<Reading>,
    history: VecDeque<Option<f64>>,
    /// For the views: when the wait ends, and what follows then.
    ends: (Timestamp, Then),
}

impl<'a> Asked<'a> {
    fn all(cx: &'a Context, watch: &Watch<'a>, then: Then) -> Result<Vec<Self>, StepError> {
        let began = clock::now();
        let one = |name: &'a Name| {
            let gate =
                cx.plan.gates.get(name).ok_or_else(|| StepError::broken(format!("the plan has no gate {name}")))?;
            let next = began + gate.rules().initial_delay.0;
            let own = gate.rules().timeout.filter(|_| then != Then::GoOn).map_or(watch.timeout, |own| own.0);
            let ends = (began.saturating_add(own.min(watch.timeout)).unwrap_or(Timestamp::MAX), then);
            let (state, history) = (GateState::default(), VecDeque::new());
            Ok(Self { name, gate, state, began, next, open: false, last: None, history, ends })
        };
        watch.gates.iter().map(one).collect()
    }

    /// Asks when it is time; gives what the reading leads to.
    async fn ask(&mut self, cx: &Context, state: &RunState, watch: &Watch<'_>) -> Result<Option<Progress>, StepError> {
        if clock::now() < self.next {
            return Ok(None);
        }
        if matches!(self.gate, Gate::ReplicationLag(lag) if lag.max_age.is_some()) {
            beat(cx, state).await?;
        }
        let reading = self.measure(cx, state, watch).await;
        self.next = reading.at + self.gate.rules().interval.0;
        let progress = self.state.step(self.gate.rules(), &reading, clock::now());
        self.open = progress == Progress::Open;
        self.publish(cx, watch, &reading);
        self.last = Some(reading);
        Ok(Some(progress))
    }

    fn publish(&mut self, cx: &Context, watch: &Watch<'_>, reading: &Reading) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(reading.number);
        let sample = GateSample {
            step: watch.step.to_owned(),
            gate: self.name.to_owned(),
            text: format!("{} {} ({})", self.name, reading.value, reading.threshold),
            reading: reading.clone(),
            open: self.open,
            since: self.state.passing_since,
            until: Some(self.ends.0),
            then: Some(self.ends.1),
            history: self.history.iter().copied().collect(),
        };
        cx.sample(&format!("gate:{}", self.name), json!(sample));
    }

    async fn measure(&self, cx: &Context, state: &RunState, watch: &Watch<'_>) -> Reading {
        if let Gate::Approval(gate) = self.gate {
            let said = |step: &str| step == watch.step || step == self.name;
            let approved = state.approvals.iter().any(|step| said(step))
                || cx.ears.borrow().approvals.iter().any(|step| said(step));
            let yes = gates::Answer { approved: true, by: "a person".into(), reason: None };
            return gates::answered(gate, approved.then_some(&yes));
        }
        let heading = state.writer.heading();
        let flow = cx.plan.pair.as_ref().map(|pair| Flow { pair, heading });
        let context = GateContext {
            world: &cx.world,
            flow,
            sessions: &cx.sessions,
            baselines: &cx.baselines,
            since: Some(self.began),
        };
        gates::measure(self.gate, &context).await
    }

    /// The gate's own time, when it has run out and the gate is not open.
    fn overdue(&self, waited: Duration) -> Option<Duration> {
        self.gate.rules().timeout.map(|limit| limit.0).filter(|limit| !self.open && waited >= *limit)
    }

    /// What a verdict that is not a pass leads to; `None` for asking again.
    fn stops(&self, progress: Progress, watch: &Watch<'_>) -> Option<StepError> {
        let rules = self.gate.rules();
        let reading = self.last.as_ref()?;
        let approval = matches!(self.gate, Gate::Approval(_));
        let follows = match progress {
            Progress::Open | Progress::Waiting { .. } => return None,
            Progress::NoData if approval => return None,
            Progress::Failed if rules.on_fail == OnFail::Wait => return None,
            Progress::Failed => rules.on_fail,
            Progress::NoData if rules.on_no_data == OnFail::Wait => return None,
            Progress::NoData => rules.on_no_data,
            Progress::Error => OnFail::Hold,
        };
        let follows =
            if follows == OnFail::Rollback || watch.on_fail == OnFail::Rollback { OnFail::Rollback } else { follows };
        let follows = if progress == Progress::Error { OnFail::Hold } else { follows };
        Some(self.failure(reading, follows))
    }

    fn failure(&self, reading: &Reading, follows: OnFail) -> StepError {
        let kind = if follows == OnFail::Rollback { FailureKind::GateRollback } else { FailureKind::GateHold };
        let detail = reading.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let verdict = match reading.verdict {
            Verdict::Pass => "has not passed for long enough",
            Verdict::Fail => "fails",
            Verdict::NoData => "has no data",
            Verdict::Error => "can't be read",
        };
        let message = format!("gate {} {verdict}: {} ({}){detail}", self.name, reading.value, reading.threshold);
        StepError::told(kind, message, None)
    }
}

/// Waits until all gates are open at the same time.
pub async fn wait_open(cx: &Context, state: &RunState, watch: &Watch<'_>) -> Result<Value, StepError> {
    let then = if watch.on_fail == OnFail::Rollback { Then::Rollback } else { Then::Hold };
    let mut asked = Asked::all(cx, watch, then)?;
    let began = clock::monotonic();
    let latest = began + watch.timeout;
    loop {
        for gate in &mut asked {
            if let Some(progress) = gate.ask(cx, state, watch).await?
                && let Some(error) = gate.stops(progress, watch)
            {
                return Err(error);
            }
        }
        if asked.iter().all(|gate| gate.open) {
            return judged(cx, watch, &asked);
        }
        if clock::monotonic() >= latest {
            return Err(too_late(&asked, watch, watch.timeout));
        }
        if let Some((limit, gate)) = asked.iter().find_map(|gate| Some((gate.overdue(began.elapsed())?, gate))) {
            return Err(too_late(std::slice::from_ref(gate), watch, limit));
        }
        cx.rest(next_rest(&asked)).await?;
    }
}

/// Stays for the whole time, and all gates stay open: one that closes leads to what its rules or the step say.
pub async fn stay_open(cx: &Context, state: &RunState, watch: &Watch<'_>) -> Result<Value, StepError> {
    let mut asked = Asked::all(cx, watch, Then::GoOn)?;
    let latest = clock::monotonic() + watch.timeout;
    while clock::monotonic() < latest {
        for gate in &mut asked {
            match gate.ask(cx, state, watch).await? {
                Some(progress @ (Progress::Failed | Progress::Error)) => {
                    let reading = gate.last.clone();
                    let follows = if progress == Progress::Error { OnFail::Hold } else { watch.on_fail };
                    return Err(reading.map_or(StepError::Interrupted, |reading| gate.failure(&reading, follows)));
                }
                Some(progress) => {
                    if let Some(error) = gate.stops(progress, watch) {
                        return Err(error);
                    }
                }
                None => {}
            }
        }
        let left = latest.saturating_duration_since(clock::monotonic());
        cx.progress(watch.step, &format!("{} s left", left.as_secs_f64().ceil()));
        cx.rest(next_rest(&asked).min(left)).await?;
    }
    // Unknown is not a pass: a gate that never opened holds.
    match asked.iter().find(|gate| gate.last.as_ref().is_none_or(|reading| reading.verdict != Verdict::Pass)) {
        Some(gate) => Err(gate.last.as_ref().map_or_else(
            || StepError::told(FailureKind::GateHold, format!("gate {} was never read", gate.name), None),
            |reading| gate.failure(reading, OnFail::Hold),
        )),
        None => judged(cx, watch, &asked),
    }
}

/// Journals the readings that let the step go on.
fn judged(cx: &Context, watch: &Watch<'_>, asked: &[Asked<'_>]) -> Result<Value, StepError> {
    for gate in asked {
        if let Some(reading) = &gate.last {
            let event =
                Event::Judged { step: watch.step.to_owned(), gate: gate.name.to_owned(), reading: reading.clone() };
            cx.append(event, Durability::Ordered)?;
        }
    }
    Ok(json!({}))
}

/// A reading that passes would read like a contradiction.
const TOO_BRIEF: &str = ", which passes, but has not done so for long enough at a time";

fn too_late(asked: &[Asked<'_>], watch: &Watch<'_>, limit: Duration) -> StepError {
    let closed: Vec<String> = asked
        .iter()
        .filter(|gate| !gate.open)
        .map(|gate| format!("{}: {}", gate.name, last_seen(gate.last.as_ref())))
        .collect();
    let kind = if watch.on_fail == OnFail::Rollback { FailureKind::GateRollback } else { FailureKind::GateHold };
    let within = humantime::format_duration(limit);
    StepError::told(kind, format!("gates did not open within {within}: {}", closed.join("; ")), None)
}

/// The last reading of a gate that is not open.
fn last_seen(reading: Option<&Reading>) -> String {
    let Some(reading) = reading else { return "never read".to_owned() };
    let detail = reading.detail.as_ref().map(|detail| format!("; {detail}")).unwrap_or_default();
    let brief = if reading.verdict == Verdict::Pass { TOO_BRIEF } else { "" };
    format!("{} ({}{detail}){brief}", reading.value, reading.threshold)
}

/// Until the next gate wants to be asked; short enough to notice a person's word.
fn next_rest(asked: &[Asked<'_>]) -> Duration {
    let now = clock::now();
    let until = asked.iter().map(|gate| Duration::try_from(gate.next.duration_since(now)).unwrap_or_default());
    until.min().unwrap_or(Duration::from_secs(1)).clamp(Duration::from_millis(20), Duration::from_secs(1))
}

/// Writes the token whose age a lag gate measures.
async fn beat(cx: &Context, state: &RunState) -> Result<(), StepError> {
    let heading = state.writer.heading();
    cx.engine().beat(cx, heading).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_passes_and_is_not_open_does_not_read_like_a_contradiction() {
        let reading = |verdict| Reading::new(verdict, "12 kB behind", "at most 1 MiB");
        assert_eq!(last_seen(None), "never read");
        assert_eq!(last_seen(Some(&reading(Verdict::Fail))), "12 kB behind (at most 1 MiB)");
        let passes = last_seen(Some(&reading(Verdict::Pass)));
        assert_eq!(passes, "12 kB behind (at most 1 MiB), which passes, but has not done so for long enough at a time");
        let detail = Reading { detail: Some("slot lost".into()), ..reading(Verdict::Fail) };
        assert_eq!(last_seen(Some(&detail)), "12 kB behind (at most 1 MiB; slot lost)");
    }
}
