//! The executor's hands in that world.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pointsman::executor::RunState;
use pointsman::executor::context::Context;
use pointsman::executor::guard::Guard;
use pointsman::executor::hands::Hands;
use pointsman::journal::{Act, Event, FailureKind, Move, Word};
use pointsman::runbook::model::Step;
use pointsman::steps::{Observation, StepError};
use pointsman::systems::pair::Heading;
use pointsman::systems::{Certainty, DriverError};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::earth::{Earth, Part};

/// How an act goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The system refuses: nothing happened.
    Refused,
    /// The first half happened, then it refuses.
    Half,
    /// No answer, and nothing happened.
    UnknownBefore,
    /// No answer, and all of it happened.
    UnknownAfter,
    /// It never comes back.
    Hangs,
    /// A gate that says roll back.
    GateRollback,
    /// The executor dies: before, in the middle, after.
    DiesBefore,
    DiesHalf,
    DiesAfter,
    /// The executor is stopped before, and wakes up later.
    Sleeps,
}

impl Fault {
    pub const fn kills(self) -> bool {
        matches!(self, Self::Sleeps | Self::DiesBefore | Self::DiesHalf | Self::DiesAfter)
    }
}

/// When it goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// At the act of this number, from 1, counted over all executors.
    Nth(usize),
    /// At this move, this many times.
    Move(Move, u32),
}

/// The world before, half way through, and after an act, and how long the journal was when it began.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub entries: u64,
    pub before: Earth,
    pub half: Earth,
    pub after: Earth,
}

#[derive(Default)]
struct Orders {
    faults: Vec<(When, Fault)>,
    words: Vec<(usize, Word)>,
    acts: usize,
    /// Each act is done twice, the second time right after the first.
    twice: bool,
    /// The world is remembered at each act.
    records: bool,
    snapshots: Vec<Snapshot>,
    done: VecDeque<Move>,
}

/// Hands that work in memory.
pub struct Fakes {
    earth: Mutex<Earth>,
    orders: Mutex<Orders>,
    /// The executor is dead.
    pub died: Notify,
    /// One that sleeps wakes up.
    pub woken: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fakes {
    pub fn new(earth: Earth) -> Arc<Self> {
        Arc::new(Self { earth: Mutex::new(earth), orders: Mutex::default(), died: Notify::new(), woken: Notify::new() })
    }

    pub fn earth(&self) -> Earth {
        lock(&self.earth).clone()
    }

    pub fn fail(&self, when: When, fault: Fault) {
        lock(&self.orders).faults.push((when, fault));
    }

    pub fn say_at(&self, act: usize, word: Word) {
        lock(&self.orders).words.push((act, word));
    }

    pub fn do_twice(&self) {
        lock(&self.orders).twice = true;
    }

    pub fn record(&self) {
        lock(&self.orders).records = true;
    }

    pub fn snapshots(&self) -> Vec<Snapshot> {
        lock(&self.orders).snapshots.clone()
    }

    /// What was done, in order.
    pub fn moves(&self) -> Vec<Move> {
        lock(&self.orders).done.iter().cloned().collect()
    }

    pub fn acts(&self) -> usize {
        lock(&self.orders).acts
    }

    fn broken(&self, what: String) {
        lock(&self.earth).broken.push(what);
    }

    /// No effect without an intent: the last thing the journal says of this run is that this is about to happen.
    fn intended(&self, cx: &Context, state: &RunState, of: &Move) {
        let entries = cx.journal.entries(&cx.run, state.seq - 1).unwrap();
        let last = entries.last().unwrap();
        let intended = matches!(&last.event, Event::Intent { of: meant, .. } if meant == of) && last.epoch == cx.epoch;
        // What was intended inside a window may be taken back without another word: the intent says that it is in doubt.
        let passing = state.passage.as_ref().is_some_and(|passage| !passage.committed);
        let known = state.steps[state.plan.position(&of.step).unwrap()].on(of.way).may_have_effect();
        let let_go = of.act == Act::Undo && passing && known;
        // The commit entry is the intent of what opens the other side and leads there.
        let step = &state.plan.steps[state.plan.position(&of.step).unwrap()].step;
        let committed = state.passage.as_ref().is_some_and(|passage| passage.committed);
        let follows = of.act == Act::Apply && committed && matches!(step, Step::Promote(_) | Step::Switch(_));
        if !intended && !let_go && !follows {
            self.broken(format!("{of:?} was done without an intent; the journal ends with {:?}", last.event));
        }
    }

    /// Counts the act, says the words that are due, and gives the fault that is.
    fn order(&self, cx: &Context, of: &Move) -> Option<Fault> {
        let mut orders = lock(&self.orders);
        orders.acts += 1;
        orders.done.push_back(of.clone());
        let act = orders.acts;
        let due: Vec<Word> = orders.words.iter().filter(|(at, _)| *at == act).map(|(_, word)| word.clone()).collect();
        for word in due {
            cx.journal.say(&cx.run, &word, "ops@example", None).unwrap();
        }
        let found = orders.faults.iter_mut().position(|(when, _)| match when {
            When::Nth(nth) => *nth == act,
            When::Move(wanted, times) => wanted == of && *times > 0,
        })?;
        if let When::Move(_, times) = &mut orders.faults[found].0 {
            *times -= 1;
        }
        Some(orders.faults[found].1)
    }

    /// Databases and poolers refuse an executor that has lost its lease.
    fn fenced(&self, cx: &Context) -> Result<(), StepError> {
        cx.still_mine()?;
        let mut earth = lock(&self.earth);
        if cx.epoch < earth.epoch {
            let message = format!("epoch {} is over, the databases know {}", cx.epoch, earth.epoch);
            return Err(StepError::told(FailureKind::Superseded, message, None));
        }
        earth.epoch = cx.epoch;
        Ok(())
    }

    fn do_parts(&self, parts: &[Part]) -> Result<(), StepError> {
        for part in parts {
            let mut earth = lock(&self.earth);
            earth.part(part).map_err(|reason| driver(&reason, Certainty::Refused))?;
            earth.live();
        }
        Ok(())
    }

    async fn die(&self) -> ! {
        self.died.notify_one();
        std::future::pending::<()>().await;
        unreachable!("a pending future never ends")
    }

    /// The parts, and whatever goes wrong with them.
    async fn carry_out(
        &self,
        cx: &Context,
        parts: &[Part],
        fault: Option<Fault>,
        patience: Duration,
    ) -> Result<Value, StepError> {
        let half = &parts[..parts.len() / 2];
        match fault {
            None => {}
            Some(Fault::Refused) => return Err(driver("refused", Certainty::Refused)),
            Some(Fault::GateRollback) => {
                return Err(StepError::told(FailureKind::GateRollback, "gate errors fails: 2 % (at most 1 %)", None));
            }
            Some(Fault::UnknownBefore) => return Err(driver("no answer", Certainty::Unknown)),
            Some(Fault::Half) => {
                self.do_parts(half)?;
                return Err(driver("refused half way", Certainty::Refused));
            }
            Some(Fault::UnknownAfter) => {
                self.do_parts(parts)?;
                return Err(driver("no answer", Certainty::Unknown));
            }
            Some(Fault::Hangs) => {
                self.do_parts(half)?;
                tokio::time::sleep(patience).await;
                return Err(driver("the connection timed out", Certainty::Unknown));
            }
            Some(Fault::Sleeps) => {
                self.died.notify_one();
                self.woken.notified().await;
                self.fenced(cx)?;
            }
            Some(Fault::DiesBefore) => self.die().await,
            Some(Fault::DiesHalf) => {
                self.do_parts(half)?;
                self.die().await;
            }
            Some(Fault::DiesAfter) => {
                self.do_parts(parts)?;
                self.die().await;
            }
        }
        self.do_parts(parts)?;
        Ok(json!({ "summary": "as wanted" }))
    }

    fn remember(&self, entries: u64, parts: &[Part]) {
        if !lock(&self.orders).records {
            return;
        }
        let before = self.earth();
        let ahead = |parts: &[Part]| {
            let mut earth = before.clone();
            for part in parts {
                drop(earth.part(part));
                earth.live();
            }
            earth
        };
        let (half, after) = (ahead(&parts[..parts.len() / 2]), ahead(parts));
        lock(&self.orders).snapshots.push(Snapshot { entries, before, half, after });
    }
}

fn driver(reason: &str, certainty: Certainty) -> StepError {
    DriverError::new("fake", "do it", reason, certainty).into()
}

/// What a step does, part by part.
fn parts(state: &RunState, step: &Step, of: &Move) -> Vec<Part> {
    let way = of.way;
    match (step, of.act) {
        (Step::Replicate(_), Act::Apply) => {
            vec![Part::CloseTarget, Part::Copy, Part::Lay(Heading::Forth), Part::Lay(Heading::Back)]
        }
        (Step::Replicate(_), Act::Undo) => vec![Part::DropStreams, Part::ForgetTarget],
        (Step::Shift(_), Act::Apply) => vec![Part::Weight(1), Part::Weight(50), Part::Weight(100)],
        (Step::Shift(_), Act::Undo) => vec![Part::Weight(0)],
        (Step::Window(_), Act::Apply) => vec![Part::Arm(way)],
        (Step::Freeze(_), Act::Apply) => vec![Part::Pause, Part::Fence(way)],
        (Step::Freeze(_), Act::Undo) => vec![Part::Lift(way), Part::Resume],
        (Step::Drain(_), Act::Apply) => vec![Part::Drain(way)],
        (Step::Sequences(_), Act::Apply) => vec![Part::Sequences(way)],
        (Step::Promote(_), Act::Apply) => vec![Part::Open(way)],
        (Step::Switch(_), Act::Apply) => vec![Part::Lead(way)],
        (Step::Verify(_), Act::Apply) => vec![Part::Compare],
        (Step::Finalize(_), Act::Apply) => vec![Part::DropStreams],
        (Step::Sql(_) | Step::Command(_), act) => {
            vec![Part::Author(of.step.clone(), (act == Act::Apply) == (way == Heading::Forth))]
        }
        _ if state.plan.position(&of.step).is_none() => Vec::new(),
        _ => vec![Part::Nothing],
    }
}

#[async_trait]
impl Hands for Fakes {
    async fn act(&self, cx: &Context, state: &RunState, step: &Step, of: &Move) -> Result<Value, StepError> {
        self.intended(cx, state, of);
        self.fenced(cx)?;
        let fault = self.order(cx, of);
        let parts = parts(state, step, of);
        self.remember(state.seq, &parts);
        lock(&self.earth).live();
        if matches!(step, Step::Approve(_)) && of.act == Act::Apply && !state.approvals.contains(&of.step) {
            return Err(StepError::told(FailureKind::Deadline, "nobody answered", None));
        }
        // Inside the window it takes the budget to give up; elsewhere the driver does.
        let inside = state.plan.position(&of.step).is_some_and(|at| state.plan.steps[at].window.is_some());
        let patience = Duration::from_secs(if inside { 3600 } else { 1 });
        let outcome = self.carry_out(cx, &parts, fault, patience).await;
        if outcome.is_ok() && lock(&self.orders).twice {
            self.do_parts(&parts)?;
        }
        outcome
    }

    /// As the real steps observe: only the author's own can see whether they are done, where the author says how.
    async fn observe(&self, cx: &Context, _state: &RunState, step: &Step, of: &Move) -> Result<Observation, StepError> {
        self.fenced(cx)?;
        let there = lock(&self.earth).authored.contains_key(&of.step) == (of.way == Heading::Forth);
        let seen = if there { Observation::Applied(json!({})) } else { Observation::NotApplied };
        Ok(match step {
            Step::Sql(sql) if sql.observe.is_some() => seen,
            Step::Command(command) if command.observe.is_some() => seen,
            Step::Command(_) => Observation::Unknown(format!("{} may or may not have run", of.step)),
            _ => Observation::NotApplied,
        })
    }

    async fn prove(&self, _cx: &Context, way: Heading) -> Result<String, String> {
        let earth = lock(&self.earth);
        let led = earth.leads == way.opposite() && !earth.paused;
        if led { Ok("the canary was seen".into()) } else { Err("the canary was not seen".into()) }
    }

    async fn guard(&self, _cx: &Context, _budget: Duration) -> Result<Option<Guard>, String> {
        Ok(None)
    }
}
