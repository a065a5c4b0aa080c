//! What steps publish for the views beside the journal: the latest of each measurement. A lost one is no harm.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::gates::Reading;

/// Readings that a view can draw.
pub const HISTORY: usize = 60;

/// What follows when the time of a wait has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// The run holds.
    Hold,
    /// The run rolls back.
    Rollback,
    /// The step goes on: it only had to stay for so long.
    GoOn,
}

/// A gate as its step sees it: `gate:NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GateSample {
    /// The step that asks.
    pub step: String,
    /// The gate.
    pub gate: String,
    /// All of it in words.
    pub text: String,
    /// The last reading.
    pub reading: Reading,
    /// Whether it has passed for as long and as often as it must.
    #[serde(default)]
    pub open: bool,
    /// Since when it has passed without a break.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// When the wait ends.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// What follows then.
    #[serde(default)]
    pub then: Option<Then>,
    /// Its last readings as numbers, for a drawing; a reading without a number is a gap.
    #[serde(default)]
    pub history: Vec<Option<f64>>,
}

/// Traffic of a load balancer while it is moved: `traffic:NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrafficSample {
    /// The step that moves it.
    pub step: String,
    /// The load balancer.
    pub traffic: String,
    /// The share that the new side shall have, in per cent.
    pub wanted: f64,
    /// The share that was seen.
    pub seen: Option<f64>,
    /// Of how many requests.
    pub requests: u64,
}

/// What clients of a rehearsal see: `clients`. A run on other systems has no such witness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClientSample {
    /// Acknowledged writes in the last second.
    pub writes: u64,
    /// Half of them waited no longer, in milliseconds.
    pub median_ms: f64,
    /// 99 of 100 waited no longer.
    pub p99_ms: f64,
    /// The longest wait of a write so far.
    pub longest_ms: f64,
    /// Writes that failed or whose outcome is unknown, so far.
    pub failed: u64,
}
