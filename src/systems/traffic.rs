//! Traffic that is moved by weights, whatever weighs it. A state is what stands in the load balancer, as it is journaled:
//! read before the first write, left behind by each, put back by an undo.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Result;

/// Traffic that was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Observed {
    /// Share in per cent that went to the new side; nothing without requests.
    pub share: Option<f64>,
    /// Requests to both sides.
    pub requests: u64,
}

impl Observed {
    /// So many requests to each side.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "requests are far below 2^52")]
    pub fn of(from: u64, to: u64) -> Self {
        let requests = from + to;
        let share = (requests > 0).then(|| to as f64 * 100.0 / requests as f64);
        Self { share, requests }
    }
}

/// One place where weights stand: a node, a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// What stands there, in one form for all that means the same.
    pub value: Value,
    /// The same for a person.
    pub words: String,
}

/// Which way traffic is to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// To the side that it moves to.
    To,
    /// Back to the side that it came from.
    From,
}

/// Traffic that can be shifted.
#[async_trait]
pub trait Traffic: Send + Sync {
    /// What traffic moves to, for a person.
    fn destination(&self) -> String;

    /// The state that the plan was made for, where it holds one: what is there before the first write.
    fn planned(&self) -> Option<Value> {
        None
    }

    /// What stands there now.
    async fn look(&self) -> Result<Value>;

    /// A state, part by part.
    fn parts(&self, state: &Value) -> Result<Vec<Part>>;

    /// Why a side can't take traffic; nothing when it can.
    async fn unfit(&self, side: Toward) -> Result<Option<String>>;

    /// How long a side may take to become fit once everything is prepared.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether an undo refuses too when somebody else changed what the run left there.
    fn guards_undo(&self) -> bool {
        true
    }

    /// The state in which the new side's health counts, before it gets any weight.
    fn prepared(&self, state: &Value) -> Result<Value>;

    /// The state in which the old side is named no more; nothing where there is none such.
    fn without_source(&self, _state: &Value) -> Result<Option<Value>> {
        Ok(None)
    }

    /// The state with weights for a share.
    fn with_share(&self, state: &Value, share: f64) -> Result<Value>;

    /// The share that a state gives to the new side; nothing when its parts do not agree.
    fn share(&self, state: &Value) -> Result<Option<f64>>;

    /// Writes a state, part by part, and reads each back until it is there. Can be repeated; parts that are there
    /// already are not written again.
    async fn write(&self, wanted: &Value) -> Result<()>;

    /// How long the load balancer gets to follow new weights.
    fn settle(&self) -> Duration;

    /// Begins to count.
    async fn count(&self) -> Result<Box<dyn Meter>>;
}

/// Counts the traffic that really arrives.
#[async_trait]
pub trait Meter: Send {
    /// What was seen since counting began; nothing when that is not known. Then, and after [`Meter::anew`], it begins
    /// anew.
    async fn read(&mut self) -> Result<Option<Observed>>;

    /// Forgets what was counted so far.
    fn anew(&mut self);

    /// How long to wait between two readings.
    fn pace(&self) -> Duration;
}
