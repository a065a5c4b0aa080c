//! What is known of a run at a moment: the fold of its journal, the latest measurements, who executes it, and what
//! follows from these. The screen draws this and nothing else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::estimates::Estimates;
use crate::executor::pulse;
use crate::executor::samples::{ClientSample, GateSample, TrafficSample};
use crate::executor::state::{IllegalTransition, RunState, StepRecord, StepState};
use crate::journal::{Entry, Event};
use crate::plan::PlanStep;
use crate::runbook::model::{Gate, Step, Window};
use crate::systems::pair::Heading;

/// The latest of each measurement, with the time it was stored.
pub type Samples = BTreeMap<String, (Timestamp, Value)>;

/// Somebody who looks at the run writes this often that they are there.
pub const PRESENCE_SECS: u32 = 15;

/// What is known of a run.
#[derive(Clone, Debug)]
pub struct Board {
    /// The fold of the journal.
    pub state: RunState,
    /// Its entries.
    pub entries: Vec<Entry>,
    /// The latest measurements.
    pub samples: Samples,
    /// Whether a living executor has the run.
    pub executed: bool,
    /// What earlier runs say.
    pub estimates: Estimates,
    /// The moment.
    pub now: Timestamp,
}

/// A gate of the step under way.
#[derive(Clone, Debug)]
pub struct GateView<'a> {
    /// Its name.
    pub name: &'a str,
    /// As the plan has it.
    pub gate: &'a Gate,
    /// What was read since the step began.
    pub sample: Option<GateSample>,
}

/// What is left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rest {
    /// How long, in milliseconds, as far as it is known.
    pub millis: f64,
    /// Steps of which nobody knows how long they take.
    pub unknown: usize,
    /// Questions to a person.
    pub questions: usize,
}

impl Board {
    /// A board of a run's entries from the first on.
    pub fn new(entries: Vec<Entry>, now: Timestamp) -> Result<Self, IllegalTransition> {
        let state = RunState::replay(&entries)?;
        let (samples, estimates) = (Samples::new(), Estimates::default());
        Ok(Self { state, entries, samples, executed: true, estimates, now })
    }

    /// Takes the next entries.
    pub fn take(&mut self, entries: Vec<Entry>) -> Result<(), IllegalTransition> {
        for entry in entries {
            if entry.seq > self.state.seq {
                self.state.next(&entry)?;
                self.entries.push(entry);
            }
        }
        Ok(())
    }

    /// The step that the run is at: under way, else failed, else the next one. The last one when all is over.
    #[must_use]
    pub fn current(&self) -> usize {
        let steps = || self.state.steps.iter().enumerate();
        let find = |wanted: fn(&StepState) -> bool| {
            steps().rev().find(|(_, step)| wanted(&step.forth) || wanted(&step.back)).map(|(position, _)| position)
        };
        let under_way = find(|state| matches!(state, StepState::Applying | StepState::Undoing));
        let failed = || find(|state| matches!(state, StepState::Failed(_) | StepState::UndoFailed(_)));
        let last = self.state.steps.len().saturating_sub(1);
        under_way.or_else(failed).or_else(|| self.next_in_line()).unwrap_or(last)
    }

    fn next_in_line(&self) -> Option<usize> {
        let steps = || self.state.steps.iter().enumerate();
        match self.state.heading {
            Heading::Forth => steps().find(|(_, step)| !step.forth.is_settled()).map(|(position, _)| position),
            Heading::Back if self.state.outcome.is_some() => Some(0),
            Heading::Back => steps().rev().find(|(_, step)| step.is_to_undo()).map(|(position, _)| position),
        }
    }

    /// The step that the run is at, with what is known of it.
    #[must_use]
    pub fn step(&self) -> Option<(&PlanStep, &StepRecord)> {
        let position = self.current();
        Some((self.state.plan.steps.get(position)?, self.state.steps.get(position)?))
    }

    /// The gates of the step that the run is at. A reading of an earlier step is no reading.
    #[must_use]
    pub fn gates(&self) -> Vec<GateView<'_>> {
        let Some((step, record)) = self.step() else { return Vec::new() };
        step.step.gates().iter().filter_map(|name| self.gate(name, &step.id, record.started)).collect()
    }

    fn gate<'a>(&'a self, name: &'a str, step: &str, started: Option<Timestamp>) -> Option<GateView<'a>> {
        let gate = self.state.plan.gates.get(name)?;
        let sample = self.sample::<GateSample>(&format!("gate:{name}"));
        let sample = sample.filter(|sample| sample.step == step && started.is_some_and(|at| sample.reading.at >= at));
        let sample = sample.or_else(|| self.judged(name, step, started));
        Some(GateView { name, gate, sample })
    }

    /// The verdict that let the step go on, where the journal has it and no measurement does.
    fn judged(&self, name: &str, step: &str, started: Option<Timestamp>) -> Option<GateSample> {
        let mut entries = self.entries.iter().rev().take_while(|entry| started.is_some_and(|at| entry.at >= at));
        entries.find_map(|entry| match &entry.event {
            Event::Judged { step: of, gate, reading } if of == step && gate == name => Some(GateSample {
                step: of.clone(),
                gate: gate.clone(),
                text: String::new(),
                reading: reading.clone(),
                open: true,
                since: None,
                until: None,
                then: None,
                history: Vec::new(),
            }),
            _ => None,
        })
    }

    /// A measurement, if there is one that can be read.
    #[must_use]
    pub fn sample<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.samples.get(key).and_then(|(_, body)| serde_json::from_value(body.clone()).ok())
    }

    /// What the step under way says it is busy with.
    #[must_use]
    pub fn progress(&self) -> Option<&str> {
        let (step, record) = self.step()?;
        let (at, body) = self.samples.get(&format!("progress:{}", step.id))?;
        let fresh = matches!(record.forth, StepState::Applying | StepState::Undoing) && *at >= record.started?;
        fresh.then(|| body.get("text").and_then(Value::as_str)).flatten()
    }

    /// The traffic of a `shift` step: what is measured now, else what the step remembers.
    #[must_use]
    pub fn traffic(&self) -> Vec<TrafficSample> {
        let steps = self.state.plan.steps.iter().zip(&self.state.steps);
        let mut found: BTreeMap<&str, TrafficSample> = BTreeMap::new();
        for (step, record) in steps {
            let Step::Shift(shift) = &step.step else { continue };
            if record.started.is_none() || matches!(record.forth, StepState::Undone) {
                continue;
            }
            let live = self.sample::<TrafficSample>(&format!("traffic:{}", shift.traffic));
            let live = live.filter(|live| live.step == step.id && matches!(record.forth, StepState::Applying));
            if let Some(sample) = live.or_else(|| remembered(step, record, &shift.traffic)) {
                found.insert(&shift.traffic, sample);
            }
        }
        found.into_values().collect()
    }

    /// What clients see, where somebody looks: in a rehearsal.
    #[must_use]
    pub fn clients(&self) -> Option<ClientSample> {
        let (at, _) = self.samples.get("clients")?;
        let fresh = self.state.outcome.is_some() || seconds(*at, self.now) < 10.0;
        fresh.then(|| self.sample("clients")).flatten()
    }

    /// The lag of the stream that carries the writes: its latest reading by any gate or by the executor's own look.
    #[must_use]
    pub fn lag(&self) -> Option<(String, f64)> {
        let of_lag = |name: &String| matches!(self.state.plan.gates.get(name), Some(Gate::ReplicationLag(_)));
        let gates = self.state.plan.gates.keys().filter(|name| of_lag(name)).map(|name| format!("gate:{name}"));
        let keys = gates.chain([pulse::LAG.to_owned()]);
        let readings = keys.filter_map(|key| {
            let (_, body) = self.samples.get(&key)?;
            serde_json::from_value::<crate::gates::Reading>(body.get("reading")?.clone()).ok()
        });
        let latest = readings.max_by_key(|reading| reading.at)?;
        // A reading from before a switch was of the other direction.
        let switched = self.entries.iter().rev().find(|entry| matches!(entry.event, Event::Passed { .. }));
        let is_of_now = switched.is_none_or(|switched| latest.at > switched.at);
        is_of_now.then(|| (latest.value, seconds(latest.at, self.now)))
    }

    /// The window and its position.
    #[must_use]
    pub fn window(&self) -> Option<(usize, &Window)> {
        self.state.plan.window()
    }

    /// How long the window is being passed already, in milliseconds.
    #[must_use]
    pub fn stopwatch(&self) -> Option<f64> {
        self.state.passage.as_ref().map(|passage| seconds(passage.since, self.now) * 1000.0)
    }

    /// How long writes waited in the windows that are behind, in milliseconds, the last one last.
    #[must_use]
    pub fn waited(&self) -> Vec<(Heading, bool, f64)> {
        let window = |entry: &Entry| match entry.event {
            Event::Passed { way, millis } => Some((way, true, millis)),
            Event::Thawed { way, millis } => Some((way, false, millis)),
            _ => None,
        };
        self.entries.iter().filter_map(window).collect()
    }

    /// How long a step takes or took, in milliseconds.
    #[must_use]
    pub fn took(&self, position: usize) -> Option<f64> {
        let record = self.state.steps.get(position)?;
        match (&record.forth, &record.back) {
            (StepState::Applying | StepState::Undoing, _) | (_, StepState::Applying) => {
                let until = if self.executed { self.now } else { self.state.latest };
                record.started.map(|started| seconds(started, until) * 1000.0)
            }
            (StepState::Pending, StepState::Pending) => None,
            _ => record.millis,
        }
    }

    /// What is left to do.
    #[must_use]
    pub fn rest(&self) -> Rest {
        if self.state.outcome.is_some() {
            return Rest::default();
        }
        match self.state.heading {
            Heading::Forth => self.rest_forth(),
            Heading::Back => self.rest_back(),
        }
    }

    fn rest_forth(&self) -> Rest {
        let mut rest = Rest::default();
        for (position, step) in self.state.plan.steps.iter().enumerate() {
            if self.state.steps[position].forth.is_settled() {
                continue;
            }
            match (&step.step, self.estimates.planned(&self.state, position)) {
                (Step::Approve(_), _) => rest.questions += 1,
                (_, Some(planned)) => rest.millis += (planned - self.took(position).unwrap_or(0.0)).max(0.0),
                (_, None) => rest.unknown += 1,
            }
        }
        rest
    }

    fn rest_back(&self) -> Rest {
        let mut rest = Rest::default();
        for of in super::way_back::moves(&self.state) {
            match self.estimates.act(&of) {
                Some(millis) => rest.millis += millis,
                None => rest.unknown += 1,
            }
        }
        rest
    }

    /// Who else looks at the run: name, and whether they may speak.
    #[must_use]
    pub fn watchers(&self) -> Vec<(String, bool)> {
        let here = |(key, (at, body)): (&String, &(Timestamp, Value))| {
            let fresh = key.starts_with("watcher:") && seconds(*at, self.now) < 2.5 * f64::from(PRESENCE_SECS);
            let who = body.get("who")?.as_str()?.to_owned();
            fresh.then(|| (who, body.get("control").and_then(Value::as_bool).unwrap_or(false)))
        };
        self.samples.iter().filter_map(here).collect()
    }
}

fn remembered(step: &PlanStep, record: &StepRecord, traffic: &str) -> Option<TrafficSample> {
    let last = record.notes.get("observed")?.as_array()?.last()?;
    Some(TrafficSample {
        step: step.id.clone(),
        traffic: traffic.to_owned(),
        wanted: last.get("wanted")?.as_f64()?,
        seen: last.get("seen").and_then(Value::as_f64),
        requests: last.get("requests").and_then(Value::as_u64).unwrap_or(0),
    })
}

/// Seconds from one moment to another; none when the clock was set back.
#[must_use]
pub fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
