//! Probes that write to both databases all the time, as the application's role and past the pooler, to see whether
//! ever both take writes.
//!
//! A side has two probes: one keeps its connection, one opens a new one for every write, since a fence has to keep
//! out both. To open a connection costs a server some ten milliseconds of CPU, a hundred times what a write costs: four probes
//! that do it all the time keep two cores busy. So they do it often around a change, and seldom otherwise.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::{
    SandboxError, Shop,
    history::{self, Accepted, Overlap, Side},
    shop,
};
use crate::clock;

/// A probe's write that takes longer is left to itself; whether it was accepted is then known only by looking.
const GIVE_UP: Duration = Duration::from_secs(10);
/// For so long behind a change of what a probe is told, all of them look closely.
const CLOSELY: Duration = Duration::from_millis(250);
/// How many intervals pass before a connection is opened, around a change and otherwise.
const OPENS: (u32, u32) = (8, 40);

/// Running probes. Dropping it stops them.
#[derive(Debug)]
pub struct Probes {
    start: Instant,
    found: Arc<Mutex<ProbeHistory>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What the probes saw.
#[derive(Debug, Default, Clone)]
pub struct ProbeHistory {
    /// Accepted writes.
    pub accepted: Vec<Accepted>,
    /// Writes whose outcome nobody was told; [`Self::resolve`] looks for them.
    pub unknown: Vec<Accepted>,
    /// Refused writes of the source and of the target.
    pub refused: [u64; 2],
}

impl Probes {
    /// Starts two probes a side; each waits `interval` between two writes, or 8 to 40 of them where a connection has to be opened.
    /// The URLs are the application role's.
    pub fn start(source_url: &str, target_url: &str, interval: Duration) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (start, found, mut tasks) = (clock::monotonic(), Arc::default(), JoinSet::new());
        let changed = watch::Sender::new(start);
        let run = format!("{:08x}", rand::random::<u32>());
        for (side, url) in [(Side::Source, source_url), (Side::Target, target_url)] {
            for keeps_connection in [true, false] {
                let probe = Probe {
                    side,
                    url: url.to_owned(),
                    name: format!("{run}-{}-{keeps_connection}", side.word()),
                    keeps_connection,
                    connection: None,
                    last: None,
                    start,
                    found: Arc::clone(&found),
                    changed: changed.clone(),
                };
                tasks.spawn(probe.run(interval, stopped.clone()));
            }
        }
        Self { start, found, stop, tasks }
    }

    /// Now, on the clock of the history.
    pub fn mark(&self) -> Duration {
        self.start.elapsed()
    }

    /// What was seen so far.
    pub fn so_far(&self) -> ProbeHistory {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops the probes and hands over what they saw.
    pub async fn stop(mut self) -> ProbeHistory {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.so_far()
    }
}

impl ProbeHistory {
    /// Looks for the writes of unknown outcome in a database. A token names the side that it was sent to, so it
    /// does not matter where it was replicated to; ask both databases where replication may have ended.
    ///
    /// # Errors
    /// When the table can't be read.
    pub async fn resolve(&mut self, db: &dyn Shop) -> Result<(), SandboxError> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        let tokens: Vec<String> = self.unknown.iter().map(|write| format!("'{}'", write.token)).collect();
        let sql = format!("SELECT token FROM probe WHERE token IN ({})", tokens.join(", "));
        let rows = shop::column(db, &sql).await.map_err(|refusal| refusal.at("read the probes' rows"))?;
        let present: HashSet<String> = rows.into_iter().collect();
        let (found, still) = std::mem::take(&mut self.unknown).into_iter().partition(|w| present.contains(&w.token));
        self.unknown = still;
        // It can have been committed at any time after it was sent.
        let found: Vec<Accepted> = found;
        self.accepted.extend(found.into_iter().map(|write| Accepted { acked: Duration::MAX, ..write }));
        Ok(())
    }

    /// Proof that both databases took writes at once, if the source took them first and the sides were meant to
    /// change `switches_meant` times (1 for a cutover, 2 for a cutover and a rollback).
    pub fn overlap(&self, switches_meant: usize) -> Option<Overlap> {
        history::overlap(&self.accepted, Side::Source, switches_meant)
    }

    /// How many writes a side accepted.
    pub fn accepted_by(&self, side: Side) -> usize {
        self.accepted.iter().filter(|write| write.side == side).count()
    }

    /// Stretches of time without a break in which a side accepted writes, each from the first `sent` to the last
    /// `acked`. A refused write does not end a stretch, a gap longer than `gap` does.
    pub fn stretches(&self, side: Side, gap: Duration) -> Vec<(Duration, Duration)> {
        let mut times: Vec<_> = self.accepted.iter().filter(|w| w.side == side).map(|w| (w.sent, w.acked)).collect();
        times.sort_unstable();
        let mut stretches: Vec<(Duration, Duration)> = Vec::new();
        for (sent, acked) in times {
            match stretches.last_mut() {
                Some(last) if sent <= last.1.saturating_add(gap) => last.1 = last.1.max(acked),
                _ => stretches.push((sent, acked)),
            }
        }
        stretches
    }
}

struct Probe {
    side: Side,
    url: String,
    name: String,
    keeps_connection: bool,
    connection: Option<Box<dyn Shop>>,
    last: Option<Reply>,
    start: Instant,
    found: Arc<Mutex<ProbeHistory>>,
    /// When any probe last was told something else than before.
    changed: watch::Sender<Instant>,
}

#[derive(Clone, Copy, PartialEq)]
enum Reply {
    Accepted,
    Refused,
    Unknown,
}

impl Probe {
    async fn run(mut self, interval: Duration, mut stopped: watch::Receiver<bool>) {
        let mut changes = self.changed.subscribe();
        for n in 0_u64.. {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = self.pause(interval, &mut changes) => {}
            }
            self.write(format!("{}-{n}", self.name)).await;
        }
    }

    /// Waits until the next write is due; a change brings it forward.
    async fn pause(&self, interval: Duration, changes: &mut watch::Receiver<Instant>) {
        let (began, connected) = (clock::monotonic(), self.is_connected());
        loop {
            let since_change = began.saturating_duration_since(*changes.borrow_and_update());
            let due = began + interval * intervals(connected, since_change);
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => return,
                told = changes.changed() => if told.is_err() { return },
            }
        }
    }

    fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|client| !client.is_closed())
    }

    async fn write(&mut self, token: String) {
        let Some(client) = self.client().await else {
            self.note(Reply::Refused, Duration::ZERO, token);
            return;
        };
        let sql = format!("INSERT INTO probe (token, side) VALUES ('{token}', '{}')", self.side.word());
        let sent = self.start.elapsed();
        let reply = match timeout(GIVE_UP, client.run(&sql)).await {
            Ok(Ok(())) => Reply::Accepted,
            Ok(Err(refusal)) if refusal.sure => Reply::Refused,
            Ok(Err(_)) | Err(_) => Reply::Unknown,
        };
        if self.keeps_connection && !matches!(reply, Reply::Unknown) {
            self.connection = Some(client);
        }
        self.note(reply, sent, token);
    }

    async fn client(&mut self) -> Option<Box<dyn Shop>> {
        match self.connection.take().filter(|client| !client.is_closed()) {
            Some(client) => Some(client),
            None => timeout(GIVE_UP, shop::open(&self.url)).await.ok()?.ok(),
        }
    }

    fn note(&mut self, reply: Reply, sent: Duration, token: String) {
        if self.last.replace(reply).is_some_and(|last| last != reply) {
            self.changed.send_replace(clock::monotonic());
        }
        let write = Accepted { side: self.side, sent, acked: self.start.elapsed(), token };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match reply {
            Reply::Accepted => found.accepted.push(write),
            Reply::Unknown => found.unknown.push(write),
            Reply::Refused => found.refused[usize::from(self.side == Side::Target)] += 1,
        }
    }
}

/// How many intervals pass before the next write.
fn intervals(connected: bool, since_change: Duration) -> u32 {
    match (connected, since_change < CLOSELY) {
        (true, _) => 1,
        (false, true) => OPENS.0,
        (false, false) => OPENS.1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_opened_often_around_a_change_only() {
        let (now, long_ago) = (Duration::ZERO, CLOSELY);
        assert_eq!(intervals(true, now), 1);
        assert_eq!(intervals(true, long_ago), 1);
        assert_eq!(intervals(false, now), 8);
        assert_eq!(intervals(false, long_ago), 40);
    }
}
