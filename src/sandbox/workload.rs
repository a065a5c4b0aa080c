//! A workload that writes all the time, and remembers what it was told about every write.
//!
//! Each client keeps its own pace and has at most one write under way. It repeats nothing: a write that fails is
//! counted, and the next one is another write.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use jiff::Timestamp;
use tokio::{sync::watch, task::JoinSet};

use super::{
    SandboxError, WriteOutcome, WriteRequest,
    ledger::Ledger,
    writer::{self, Writer},
};
use crate::clock;

/// How many writes behind its pace a client catches up on; what is beyond is left out.
const CATCH_UP: u32 = 10;

/// Who writes what, where to, and how often.
#[derive(Debug, Clone)]
pub struct WorkloadConfig {
    /// Load balancers before the application; the clients are spread over them.
    pub http_urls: Vec<String>,
    /// Clients of the application.
    pub http_clients: usize,
    /// Poolers, as URLs of the application's role; the clients are spread over them.
    pub direct_urls: Vec<String>,
    /// Clients that go straight to a pooler.
    pub direct_clients: usize,
    /// Writes a second, of all clients together.
    pub rate_per_second: f64,
}

/// One write, as its client saw it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What was asked for.
    pub request: WriteRequest,
    /// Who wrote it into the database: an application instance's name, or `direct`. Empty when nobody did.
    pub via: String,
    /// When the client sent it.
    pub started: Timestamp,
    /// When the client knew its outcome.
    pub ended: Timestamp,
    /// How long the client waited, by a clock that does not jump.
    pub waited: Duration,
    /// What the client was told.
    pub outcome: WriteOutcome,
}

/// Running clients. Dropping it stops them without waiting for what is under way.
#[derive(Debug)]
pub struct Workload {
    run: String,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Workload {
    /// Starts the clients, each a little later than the one before.
    ///
    /// # Errors
    /// When there is nowhere to write to, or an HTTP client can't be set up.
    pub fn start(config: &WorkloadConfig) -> Result<Self, SandboxError> {
        let writers = writers(config)?;
        let count = u32::try_from(writers.len()).unwrap_or(u32::MAX);
        if count == 0 || config.rate_per_second <= 0.0 {
            return Err(SandboxError::Options("a workload needs a client and a rate above 0".into()));
        }
        let gap = Duration::from_secs_f64(1.0 / config.rate_per_second);
        let (stop, stopped) = watch::channel(false);
        let run = format!("{:08x}", rand::random::<u32>());
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let (mut clients, first) = (JoinSet::new(), clock::monotonic());
        for (number, writer) in (0_u32..).zip(writers) {
            let client = Client {
                number,
                run: run.clone(),
                writer,
                interval: gap * count,
                due: first + gap * number,
                attempts: Arc::clone(&attempts),
            };
            clients.spawn(client.run(stopped.clone()));
        }
        Ok(Self { run, attempts, stop, clients })
    }

    /// A point in time, to ask for reports from and to.
    pub fn mark(&self) -> Timestamp {
        clock::now()
    }

    /// What clients saw between two marks.
    pub fn report_between(&self, from: Timestamp, to: Timestamp) -> IntervalReport {
        IntervalReport::of(&lock(&self.attempts), from, to)
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        lock(&self.attempts).iter().filter(|attempt| attempt.outcome == WriteOutcome::Acknowledged).count()
    }

    /// Lets every client end what it has under way, and hands over what they know.
    pub async fn stop(mut self) -> Ledger {
        self.stop.send_replace(true);
        while self.clients.join_next().await.is_some() {}
        Ledger::new(self.run.clone(), std::mem::take(&mut *lock(&self.attempts)))
    }
}

fn lock(attempts: &Mutex<Vec<Attempt>>) -> MutexGuard<'_, Vec<Attempt>> {
    attempts.lock().unwrap_or_else(PoisonError::into_inner)
}

fn writers(config: &WorkloadConfig) -> Result<Vec<Writer>, SandboxError> {
    let missing = || SandboxError::Options("a workload's clients have no address to write to".into());
    let mut writers = Vec::new();
    for number in 0..config.http_clients {
        let url = config.http_urls.get(number % config.http_urls.len().max(1)).ok_or_else(missing)?;
        writers.push(Writer::http(url)?);
    }
    for number in 0..config.direct_clients {
        let url = config.direct_urls.get(number % config.direct_urls.len().max(1)).ok_or_else(missing)?;
        writers.push(Writer::direct(url.clone()));
    }
    Ok(writers)
}

struct Client {
    number: u32,
    run: String,
    writer: Writer,
    interval: Duration,
    due: Instant,
    attempts: Arc<Mutex<Vec<Attempt>>>,
}

impl Client {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        for n in 0.. {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep_until(self.due.into()) => {}
            }
            let attempt = self.attempt(n).await;
            lock(&self.attempts).push(attempt);
            self.due = next_due(self.due, self.interval, clock::monotonic());
        }
    }

    async fn attempt(&mut self, n: i64) -> Attempt {
        let token = format!("{}-{}-{n}", self.run, self.number);
        let request = WriteRequest { client: i32::try_from(self.number).unwrap_or(i32::MAX), n, token };
        let (started, from) = (clock::now(), clock::monotonic());
        let limited = tokio::time::timeout(writer::GIVE_UP, self.writer.write(&request)).await;
        let (outcome, via) = limited.unwrap_or_else(|_| {
            self.writer.reset();
            (WriteOutcome::Unknown(format!("no answer for {:?}", writer::GIVE_UP)), String::new())
        });
        Attempt { request, via, started, ended: clock::now(), waited: from.elapsed(), outcome }
    }
}

/// A client that had to wait catches up a little, as real clients do, but not with all that it missed.
fn next_due(due: Instant, interval: Duration, now: Instant) -> Instant {
    let earliest = now.checked_sub(interval * CATCH_UP).unwrap_or(now);
    (due + interval).max(earliest)
}

/// What clients saw in a stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct IntervalReport {
    /// Writes that ended well in it.
    pub acknowledged: u64,
    /// Writes that ended in it and surely did not happen.
    pub failed: u64,
    /// Writes that ended in it, nobody knows how.
    pub unknown: u64,
    /// The longest that a write that was under way in it, wholly or in part, had to wait; failed ones too.
    pub longest_wait: Duration,
    /// Half of the acknowledged writes waited no longer.
    pub median_wait: Duration,
    /// 99 of 100 acknowledged writes waited no longer.
    pub p99_wait: Duration,
    /// Acknowledged writes by who wrote them.
    pub by_via: BTreeMap<String, u64>,
    /// Reasons of failed and unknown writes.
    pub errors: BTreeMap<String, u64>,
}

impl IntervalReport {
    /// Counts a write where it ended, and looks at every write that was under way in the interval.
    pub fn of(attempts: &[Attempt], from: Timestamp, to: Timestamp) -> Self {
        let mut report = Self::default();
        // Microseconds up to an hour with three digits; None never happens with these bounds.
        let mut waits = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3).ok();
        for attempt in attempts.iter().filter(|attempt| attempt.ended >= from && attempt.started <= to) {
            report.longest_wait = report.longest_wait.max(attempt.waited);
            if attempt.ended <= to {
                report.count(attempt);
                if let (Some(waits), WriteOutcome::Acknowledged) = (&mut waits, &attempt.outcome) {
                    waits.saturating_record(u64::try_from(attempt.waited.as_micros()).unwrap_or(u64::MAX));
                }
            }
        }
        if let Some(waits) = waits {
            report.median_wait = Duration::from_micros(waits.value_at_quantile(0.5));
            report.p99_wait = Duration::from_micros(waits.value_at_quantile(0.99));
        }
        report
    }

    fn count(&mut self, attempt: &Attempt) {
        match &attempt.outcome {
            WriteOutcome::Acknowledged => {
                self.acknowledged += 1;
                *self.by_via.entry(attempt.via.clone()).or_default() += 1;
            }
            WriteOutcome::Failed(reason) => {
                self.failed += 1;
                *self.errors.entry(reason.clone()).or_default() += 1;
            }
            WriteOutcome::Unknown(reason) => {
                self.unknown += 1;
                *self.errors.entry(reason.clone()).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(started_ms: i64, waited_ms: u64, outcome: WriteOutcome) -> Attempt {
        let at = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
        let ended = started_ms + i64::try_from(waited_ms).unwrap();
        Attempt {
            request: WriteRequest { client: 0, n: 0, token: "t".into() },
            via: "old".into(),
            started: at(started_ms),
            ended: at(ended),
            waited: Duration::from_millis(waited_ms),
            outcome,
        }
    }

    #[test]
    fn a_wait_counts_in_every_interval_that_it_touches() {
        let attempts = [
            attempt(0, 5, WriteOutcome::Acknowledged),
            attempt(10, 50, WriteOutcome::Acknowledged),
            attempt(70, 3, WriteOutcome::Failed("refused".into())),
        ];
        let between = |from, to| {
            IntervalReport::of(
                &attempts,
                Timestamp::from_millisecond(from).unwrap(),
                Timestamp::from_millisecond(to).unwrap(),
            )
        };
        let inside = between(20, 30);
        assert_eq!((inside.longest_wait, inside.acknowledged), (Duration::from_millis(50), 0));
        let all = between(0, 100);
        assert_eq!((all.acknowledged, all.failed, all.errors["refused"]), (2, 1, 1));
        assert_eq!(between(0, 6).longest_wait, Duration::from_millis(5));
    }

    #[test]
    fn a_client_that_waited_long_does_not_send_all_that_it_missed() {
        let (start, interval) = (clock::monotonic(), Duration::from_millis(10));
        assert_eq!(next_due(start, interval, start), start + interval);
        let late = start + Duration::from_secs(60);
        assert_eq!(next_due(start, interval, late), late.checked_sub(interval * CATCH_UP).unwrap());
    }
}
