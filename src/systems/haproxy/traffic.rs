//! HAProxy as traffic that is shifted: its state is the weights on every node.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Balancer, NodeStats, NodeWeights, ServerStat, Weights, observed};
use crate::systems::traffic::{Meter, Observed, Part, Toward, Traffic};
use crate::systems::{Certainty, DriverError, Result};

impl Balancer {
    fn stored(&self, state: &Value) -> Result<Vec<NodeWeights>> {
        let unreadable = |error| DriverError::new(&self.name, "read what was journaled", error, Certainty::Refused);
        serde_json::from_value(state.clone()).map_err(unreadable)
    }
}

#[async_trait]
impl Traffic for Balancer {
    fn destination(&self) -> String {
        self.to.join(", ")
    }

    async fn look(&self) -> Result<Value> {
        Ok(json!(self.weights().await?))
    }

    fn parts(&self, state: &Value) -> Result<Vec<Part>> {
        let part = |node: NodeWeights| Part {
            words: format!("{}: {}", node.node, json!(node.weights)),
            value: json!(node.weights),
            name: node.node,
        };
        Ok(self.stored(state)?.into_iter().map(part).collect())
    }

    /// A side is fit when a server of it is up on every node. What traffic left is not asked: it is put back as it was.
    async fn unfit(&self, side: Toward) -> Result<Option<String>> {
        if side == Toward::From {
            return Ok(None);
        }
        let fit = |node: &NodeStats| self.to.iter().filter_map(|name| node.server(name)).any(ServerStat::is_up);
        let unfit = self.stats().await?.into_iter().find(|node| !fit(node));
        Ok(unfit.map(|node| format!("{} ({}): none of {} is up", self.name, node.node, self.to.join(", "))))
    }

    /// A node that was loaded anew has forgotten its weights: what was there before is put back in any case.
    fn guards_undo(&self) -> bool {
        false
    }

    fn prepared(&self, state: &Value) -> Result<Value> {
        Ok(state.clone())
    }

    fn with_share(&self, state: &Value, share: f64) -> Result<Value> {
        let weights = Weights::for_share(share, &self.from, &self.to);
        let node = |node: NodeWeights| NodeWeights { weights: weights.clone(), ..node };
        Ok(json!(self.stored(state)?.into_iter().map(node).collect::<Vec<_>>()))
    }

    fn share(&self, state: &Value) -> Result<Option<f64>> {
        let shares: Vec<Option<f64>> = self.stored(state)?.iter().map(|node| node.weights.share(&self.to)).collect();
        let first = shares.first().copied().flatten();
        let agree = |share: &Option<f64>| share.zip(first).is_some_and(|(share, first)| (share - first).abs() < 0.01);
        Ok(first.filter(|_| shares.iter().all(agree)))
    }

    async fn write(&self, wanted: &Value) -> Result<()> {
        self.restore(&self.stored(wanted)?).await
    }

    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    async fn count(&self) -> Result<Box<dyn Meter>> {
        Ok(Box::new(Counting { before: self.stats().await?, last: None, balancer: self.clone() }))
    }
}

/// The nodes' own counters, since a first look at them.
struct Counting {
    balancer: Balancer,
    before: Vec<NodeStats>,
    last: Option<Vec<NodeStats>>,
}

#[async_trait]
impl Meter for Counting {
    async fn read(&mut self) -> Result<Option<Observed>> {
        let now = self.balancer.stats().await?;
        let total = observed(&self.before, &now, &self.balancer.from, &self.balancer.to).total;
        if total.is_none() {
            self.before.clone_from(&now);
        }
        self.last = Some(now);
        Ok(total)
    }

    fn anew(&mut self) {
        if let Some(last) = self.last.take() {
            self.before = last;
        }
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(100)
    }
}
