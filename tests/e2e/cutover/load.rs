//! Clients and probes, and what they saw.

use std::{collections::BTreeMap, time::Duration};

use pointsman::sandbox::{
    ledger::Ledger,
    probe::{ProbeHistory, Probes},
    workload::{Attempt, Workload},
};

use super::support::{BUDGET, SLACK, Scene, Staged, freezes, until};

/// A write that was sent so soon after a freeze may have waited for it.
const NEAR: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

/// Clients and probes under way.
pub struct Load {
    pub workload: Workload,
    pub probes: Probes,
}

/// What clients and probes saw.
pub struct Seen {
    pub ledger: Ledger,
    pub probes: ProbeHistory,
}

impl Load {
    /// Writes are acknowledged: as many more as there are clients, twice.
    pub async fn flows(&self) {
        let before = self.workload.acknowledged();
        until("writes flow", || self.workload.acknowledged() >= before + 24).await;
    }

    pub async fn stop(self) -> Seen {
        let (ledger, probes) = tokio::join!(self.workload.stop(), self.probes.stop());
        Seen { ledger, probes }
    }
}

impl Seen {
    /// The longest that any client had to wait.
    pub fn longest_wait(&self) -> Duration {
        self.ledger.attempts().iter().map(|attempt| attempt.waited).max().unwrap()
    }

    /// No write waited longer than the budget for a window, or for the recovery from one. What the machine itself does to
    /// writes is seen away from the windows.
    pub fn assert_within_budget<K: Staged>(&self, scene: &Scene<K>) {
        let entries = scene.entries();
        let windows: Vec<_> = entries.iter().filter(|entry| freezes(&entry.event)).map(|entry| entry.at).collect();
        let near = |attempt: &&Attempt| windows.iter().any(|at| attempt.ended >= *at && attempt.started <= *at + NEAR);
        let (inside, outside): (Vec<_>, Vec<_>) = self.ledger.attempts().iter().partition(near);
        let longest = |attempts: Vec<&Attempt>| attempts.iter().map(|attempt| attempt.waited).max().unwrap_or_default();
        let (waited, noise) = (longest(inside), longest(outside));
        let story = || scene.story();
        assert!(waited <= BUDGET + SLACK + noise, "a write waited {waited:?} (elsewhere {noise:?})\n{}", story());
    }

    /// Why writes failed, if any did.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        let all = (jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX);
        self.ledger.report_between(all.0, all.1).errors
    }
}
