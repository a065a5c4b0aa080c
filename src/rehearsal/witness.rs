//! What the workload's clients see, told to the views about once a second.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::json;

use crate::clock;
use crate::executor::samples::ClientSample;
use crate::journal::Journal;
use crate::sandbox::workload::Workload;

const EVERY: Duration = Duration::from_secs(1);

/// Looks at a workload and leaves what it saw in the store.
pub struct Witness<'a> {
    pub journal: &'a Journal,
    run: String,
    next: Instant,
    longest: Duration,
    failed: u64,
}

impl<'a> Witness<'a> {
    pub fn new(journal: &'a Journal, run: &str) -> Self {
        Self { journal, run: run.to_owned(), next: clock::monotonic(), longest: Duration::ZERO, failed: 0 }
    }

    /// Looks when it is time.
    pub fn look(&mut self, workload: &Workload) {
        let now = clock::monotonic();
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        let until = clock::now();
        let seen = workload.report_between(until - SignedDuration::from_secs(1), until);
        self.longest = self.longest.max(seen.longest_wait);
        self.failed += seen.failed + seen.unknown;
        let millis = |span: Duration| span.as_secs_f64() * 1000.0;
        let sample = ClientSample {
            writes: seen.acknowledged,
            median_ms: millis(seen.median_wait),
            p99_ms: millis(seen.p99_wait),
            longest_ms: millis(self.longest),
            failed: self.failed,
        };
        // A lost sample is no harm: the next one follows.
        drop(self.journal.sample(&self.run, "clients", &json!(sample)));
    }
}
