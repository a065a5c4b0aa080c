//! What RDS says of what a run waits for: its events, each told once, as an entry of the journal. They are read beside the
//! work, seldom, and nobody waits for them while writes wait; what can't be read fails nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::context::Context;
use crate::clock;
use crate::journal::{Durability, Entry, Event, Move};
use crate::runbook::model::Name;
use crate::systems::DriverError;
use crate::systems::aws::rds::{self, Event as Told, Source};
use crate::systems::aws::{Access, Trouble, trouble};
use crate::systems::world::World;

/// Under what an event stands in the notes of a step.
pub const NOTE: &str = "rds-event";
/// The second reading comes so soon after the first; each pause is twice the one before, up to the longest.
const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(30);
/// The first one comes so late where writes wait: what ends sooner has the whole pace of calls for itself.
const WRITES_WAIT: Duration = Duration::from_secs(10);
/// After one that was refused for the pace, or failed.
const AFTER_TROUBLE: Duration = Duration::from_secs(120);
/// At the end of a step they are waited for no longer.
const LAST: Duration = Duration::from_secs(2);

/// An event in words, as `told` stands in the journal; `None` when it is none.
#[must_use]
pub fn words(note: &Value) -> Option<String> {
    let told: Told = serde_json::from_value(note.get(NOTE)?.clone()).ok()?;
    let at = told.at.parse::<Timestamp>().map_or(told.at, |at| at.strftime("%H:%M:%S").to_string());
    let of = if told.of.is_empty() { String::new() } else { format!(" of {}", told.of) };
    Some(format!("RDS says{of} ({at}): {}", told.message))
}

/// What a reading found; beside it, of the first one, what the journal says.
#[derive(Default)]
struct Found {
    known: Option<Known>,
    events: Vec<Told>,
}

type Reading = oneshot::Receiver<Result<Found, DriverError>>;

/// What is listened to, and what was told.
#[derive(Default)]
pub struct Notices(Mutex<Desk>);

#[derive(Default)]
struct Desk {
    /// Who waits.
    of: Option<Move>,
    /// What is waited for, as which system it is read.
    sources: BTreeMap<Source, Name>,
    known: Option<Known>,
    reading: Option<Reading>,
    pace: Pace,
}

/// What the journal says.
#[derive(Clone, Default)]
struct Known {
    /// When the step began.
    since: Timestamp,
    /// What was told before, by whichever executor.
    told: BTreeSet<Told>,
}

impl Known {
    fn of(entries: &[Entry], step: &str) -> Self {
        let begun = |entry: &&Entry| matches!(&entry.event, Event::Intent { of, .. } if of.step == step);
        let told = |entry: &Entry| match &entry.event {
            Event::Noted { note, .. } => serde_json::from_value(note.get(NOTE)?.clone()).ok(),
            _ => None,
        };
        let since = entries.iter().find(begun).map_or_else(clock::now, |entry| entry.at);
        Self { since, told: entries.iter().filter_map(told).collect() }
    }
}

/// When they may be read again: pure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Pace {
    /// At once.
    #[default]
    Fresh,
    /// Not before then; the pause was so long.
    After(Instant, Duration),
    /// Never: it is not allowed.
    Never,
}

impl Pace {
    fn is_due(self, now: Instant) -> bool {
        match self {
            Self::Fresh => true,
            Self::After(at, _) => now >= at,
            Self::Never => false,
        }
    }

    /// For somebody else's wait; `inside` of a window or not.
    fn anew(self, inside: bool, now: Instant) -> Self {
        match self {
            Self::After(_, AFTER_TROUBLE) | Self::Never => self,
            _ if inside => Self::After(now + WRITES_WAIT, WRITES_WAIT),
            _ => Self::Fresh,
        }
    }

    fn read(self, went: Result<(), Option<Trouble>>, now: Instant) -> Self {
        let pause = match (went, self) {
            (Err(Some(Trouble::Denied)), _) => return Self::Never,
            (Err(_), _) => AFTER_TROUBLE,
            (Ok(()), Self::After(_, pause)) => (pause * 2).min(LONGEST),
            (Ok(()), _) => SHORTEST,
        };
        Self::After(now + pause, pause)
    }
}

impl Notices {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Context {
    /// Something of RDS is waited for by a step: what RDS says of it is told. Returns at once, and fails nothing.
    pub fn listen(&self, of: &Move, system: &str, sources: &[Source]) {
        if sources.is_empty() {
            return;
        }
        let mut desk = self.notices.desk();
        if desk.of.as_ref() != Some(of) {
            let inside = self.plan.position(&of.step).is_some_and(|at| self.plan.steps[at].window.is_some());
            let pace = desk.pace.anew(inside, clock::monotonic());
            *desk = Desk { of: Some(of.clone()), pace, ..Desk::default() };
        }
        desk.sources.extend(sources.iter().map(|source| (source.clone(), system.to_owned())));
        match desk.reading.as_mut().map(oneshot::Receiver::try_recv) {
            None | Some(Err(TryRecvError::Empty)) => {}
            Some(Err(TryRecvError::Closed)) => desk.reading = None,
            Some(Ok(found)) => {
                desk.reading = None;
                self.heard(&mut desk, of, found);
            }
        }
        if desk.reading.is_none() && desk.pace.is_due(clock::monotonic()) {
            desk.reading = Some(self.read(&desk));
        }
    }

    /// Whoever waited for RDS is through, and no write waits: what RDS said last is told, too.
    pub async fn heard_out(&self) {
        let Some(of) = self.notices.desk().of.clone() else { return };
        let latest = tokio::time::Instant::now() + LAST;
        // The one under way may be older than the last thing that happened.
        for fresh in [false, true] {
            let Some(reading) = self.take_reading(&of, fresh) else { continue };
            if let Ok(Ok(found)) = tokio::time::timeout_at(latest, reading).await {
                self.heard(&mut self.notices.desk(), &of, found);
            }
        }
        let mut desk = self.notices.desk();
        *desk = Desk { pace: desk.pace, ..Desk::default() };
    }

    fn take_reading(&self, of: &Move, fresh: bool) -> Option<Reading> {
        let mut desk = self.notices.desk();
        if desk.of.as_ref() != Some(of) {
            return None;
        }
        match (desk.reading.take(), desk.pace) {
            (Some(reading), _) => Some(reading),
            (None, Pace::Never) => None,
            (None, Pace::After(at, AFTER_TROUBLE)) if clock::monotonic() < at => None,
            (None, _) => fresh.then(|| self.read(&desk)),
        }
    }

    fn heard(&self, desk: &mut Desk, of: &Move, found: Result<Found, DriverError>) {
        let went = found.as_ref().map(|_| ()).map_err(trouble);
        desk.pace = desk.pace.read(went, clock::monotonic());
        let Ok(Found { known, mut events }) = found else { return };
        let known = desk.known.get_or_insert_with(|| known.unwrap_or_default());
        events.sort();
        for told in events {
            if !known.told.contains(&told) && self.note(of, json!({ NOTE: told }), Durability::Ordered).is_ok() {
                known.told.insert(told);
            }
        }
    }

    fn read(&self, desk: &Desk) -> Reading {
        let (world, sources, known) = (self.world.clone(), desk.sources.clone(), desk.known.clone());
        let step = desk.of.as_ref().map(|of| of.step.clone()).unwrap_or_default();
        let (journal, run) = (Arc::clone(&self.journal), self.run.clone());
        let (sender, reading) = oneshot::channel();
        tokio::spawn(async move {
            let known = known.unwrap_or_else(|| Known::of(&journal.entries(&run, 0).unwrap_or_default(), &step));
            let events = events(&world, &sources, known.since).await;
            // Nobody may listen any more.
            drop(sender.send(events.map(|events| Found { known: Some(known), events })));
        });
        reading
    }
}

async fn events(world: &World, sources: &BTreeMap<Source, Name>, since: Timestamp) -> Result<Vec<Told>, DriverError> {
    let mut all = Vec::new();
    for (source, system) in sources {
        let aws = world.aws(system, Access::ReadOnly).await?;
        all.extend(rds::events_since(&aws, source, since).await?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_ever_more_seldom_and_never_again_where_it_may_not() {
        let now = clock::monotonic();
        let mut pace = Pace::default();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert!(pace.is_due(now + LONGEST));
            pace = pace.read(Ok(()), now);
            let Pace::After(at, pause) = pace else { panic!("{pace:?}") };
            assert!(!pace.is_due(now) && at == now + pause);
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [2, 4, 8, 16, 30, 30]);
        assert_eq!(pace.read(Err(Some(Trouble::Throttled)), now), Pace::After(now + AFTER_TROUBLE, AFTER_TROUBLE));
        assert_eq!(pace.read(Err(None), now), Pace::After(now + AFTER_TROUBLE, AFTER_TROUBLE));
        assert!(!pace.read(Err(Some(Trouble::Denied)), now).is_due(now + AFTER_TROUBLE));
        let troubled = pace.read(Err(None), now);
        assert_eq!((pace.anew(false, now), troubled.anew(false, now)), (Pace::Fresh, troubled));
        assert!(!pace.anew(true, now).is_due(now + LAST), "writes wait");
    }

    #[test]
    fn an_event_is_told_in_words_and_another_note_is_none() {
        let told = Told {
            at: "2026-11-28T12:03:04Z".into(),
            of: "orders".into(),
            message: "DB instance restarted".into(),
            ..Told::default()
        };
        assert_eq!(
            words(&json!({ NOTE: told })).as_deref(),
            Some("RDS says of orders (12:03:04): DB instance restarted")
        );
        assert_eq!(words(&json!({ "asks": "Go on?" })), None);
    }
}
