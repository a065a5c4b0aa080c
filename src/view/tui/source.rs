//! Where the screen gets what it shows: from the store while the run goes on, or from the journal of what was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::model::Pace;
use super::update::Event;
use crate::executor::take;
use crate::journal::{Entry, Journal, JournalError, Spoken};
use crate::view::board::Samples;

/// How often the store is asked.
const ASK: Duration = Duration::from_millis(150);
/// A step of a replay.
const STEP: Duration = Duration::from_millis(100);

/// Follows a run in the store until nobody wants it any more. Only reads; a store that can't be read now is asked again.
pub fn follow(journal: &Journal, run: &str, own: &str, events: &Sender<Event>, stop: &AtomicBool) {
    let mut known = Known { seen: 0, samples: Samples::new(), standing: None };
    while !stop.load(Ordering::SeqCst) {
        let told = match known.ask(journal, run, own) {
            Ok(told) => told,
            Err(error) => vec![Event::Unreadable(error.to_string())],
        };
        let asked = told.is_empty();
        for event in told {
            if events.send(event).is_err() {
                return;
            }
        }
        std::thread::sleep(if asked { ASK } else { ASK / 2 });
    }
}

/// What the screen was told already: only news is sent.
struct Known {
    seen: u64,
    samples: Samples,
    standing: Option<(bool, Vec<Spoken>)>,
}

impl Known {
    fn ask(&mut self, journal: &Journal, run: &str, own: &str) -> Result<Vec<Event>, JournalError> {
        let mut told = Vec::new();
        let entries = journal.entries(run, self.seen)?;
        if let Some(last) = entries.last() {
            self.seen = last.seq;
            told.push(Event::Entries(entries));
        }
        let mut samples = journal.samples(run)?;
        samples.remove(own);
        if samples != self.samples {
            self.samples.clone_from(&samples);
            told.push(Event::Samples(samples));
        }
        let standing = (take::is_held(&journal.lease(run)?), journal.words(run)?);
        if self.standing.as_ref() != Some(&standing) && self.seen > 0 {
            told.push(Event::Standing { executed: standing.0, waiting: standing.1.clone() });
            self.standing = Some(standing);
        }
        Ok(told)
    }
}

/// What a replay is told.
pub enum Control {
    /// Go at this pace.
    Pace(Pace),
    /// Go to the next entry.
    Next,
}

/// Plays a journal: entries come when they came, at so many times the speed.
pub fn replay(entries: &[Entry], mut pace: Pace, control: &Receiver<Control>, events: &Sender<Event>) {
    let Some(first) = entries.first() else { return };
    let (mut now, mut next) = (first.at, 0);
    loop {
        let come = entries[next..].iter().take_while(|entry| entry.at <= now).count();
        let news = entries[next..next + come].to_vec();
        next += come;
        if events.send(Event::Tick(now)).is_err() || (come > 0 && events.send(Event::Entries(news)).is_err()) {
            return;
        }
        let over = next == entries.len();
        match control.recv_timeout(if over || pace.paused { Duration::from_secs(3600) } else { STEP }) {
            Ok(Control::Pace(new)) => pace = new,
            Ok(Control::Next) => now = entries.get(next).map_or(now, |entry| entry.at),
            Err(RecvTimeoutError::Timeout) if over || pace.paused => {}
            Err(RecvTimeoutError::Timeout) => now = later(now, pace.speed),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn later(now: Timestamp, speed: f64) -> Timestamp {
    let step = SignedDuration::try_from_secs_f64(STEP.as_secs_f64() * speed).unwrap_or(SignedDuration::ZERO);
    now.saturating_add(step).unwrap_or(now)
}

/// What earlier runs say: read once, since it takes a moment.
pub fn estimates(journal: &Arc<Journal>, run: &str) -> Option<Event> {
    let row = journal.runs().ok()?.into_iter().find(|row| row.id == run)?;
    let estimates = crate::view::estimates::Estimates::read(journal, &row.runbook, run);
    Some(Event::Estimates(estimates))
}
