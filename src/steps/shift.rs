//! `shift`: traffic moves in steps of weight. At each: compare with what the run left there, write, read back on every
//! node, see the share that really arrives, stay, gates. Unknown is not verified.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::gating::{Watch, stay_open, wait_open};
use super::{Action, Description, StepError};
use crate::clock;
use crate::executor::context::{Context, remembered};
use crate::executor::samples::TrafficSample;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{OnFail, Shift};
use crate::runbook::units::Share;
use crate::systems::haproxy::{Balancer, NodeWeights, Observed, Weights, observed};
use crate::systems::pair::Heading;
use crate::systems::world::World;

#[async_trait]
impl Action for Shift {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        let world = World::new(plan.systems.clone());
        let Ok(spec) = world.haproxy(&self.traffic) else { return Description::default() };
        let balancer = Balancer::new(&self.traffic, &spec);
        let set = |share: &Share| balancer.describe_set(&Weights::for_share(share.0, balancer.from(), balancer.to()));
        let apply = self.weights.iter().flat_map(set).map(|line| (self.traffic.clone(), line)).collect();
        let weights: Vec<String> = self.weights.iter().map(ToString::to_string).collect();
        Description {
            summary: format!(
                "Move traffic of {} to {} in steps: {}",
                self.traffic,
                balancer.to().join(", "),
                weights.join(", ")
            ),
            apply,
            undo: vec![(self.traffic.clone(), "the weights that were there before, on every node".into())],
            clients: Some("new requests go to the new side by these shares; requests under way are not touched".into()),
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let balancer = self.balancer(cx)?;
        self.remember_original(cx, state, of, &balancer).await?;
        self.healthy(&balancer).await?;
        let done: Vec<f64> = note(state, of, "shares_done").unwrap_or_default();
        let mut expected: Option<Vec<NodeWeights>> = note(state, of, "left_there");
        let mut seen: Vec<Value> = note(state, of, "observed").unwrap_or_default();
        let mut shares = done.clone();
        for share in self.weights.iter().filter(|share| !done.contains(&share.0)) {
            cx.checkpoint()?;
            self.unchanged(&balancer, expected.as_deref()).await?;
            cx.still_mine()?;
            let weights = Weights::for_share(share.0, balancer.from(), balancer.to());
            cx.note(of, json!({ "writing": weights }), Durability::Synced)?;
            balancer.set_all(&weights).await?;
            let left = balancer.weights().await?;
            cx.note(of, json!({ "left_there": left }), Durability::Synced)?;
            expected = Some(left);
            let traffic = self.see(cx, of, &balancer, share.0).await?;
            self.stay(cx, state, of).await?;
            shares.push(share.0);
            seen.push(json!({ "wanted": share.0, "seen": traffic.share, "requests": traffic.requests }));
            cx.note(of, json!({ "shares_done": shares, "observed": seen }), Durability::Synced)?;
        }
        let last = self.weights.last().map_or(0.0, |share| share.0);
        Ok(json!({ "summary": format!("{last}% of the traffic goes to {}", balancer.to().join(", ")) }))
    }

    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let Some(original) = note::<Vec<NodeWeights>>(state, of, "original") else { return Ok(json!({})) };
        cx.still_mine()?;
        self.balancer(cx)?.restore(&original).await?;
        Ok(json!({ "left_there": original, "shares_done": [], "summary": "the weights are as they were" }))
    }
}

/// What this very step remembered.
fn note<T: serde::de::DeserializeOwned>(state: &RunState, of: &Move, key: &str) -> Option<T> {
    let position = state.plan.position(&of.step)?;
    serde_json::from_value(state.steps[position].notes.get(key)?.clone()).ok()
}

impl Shift {
    fn balancer(&self, cx: &Context) -> Result<Balancer, StepError> {
        Ok(Balancer::new(&self.traffic, &cx.world.haproxy(&self.traffic)?))
    }

    /// What rollback restores; journaled before the first write. An earlier shift of the same traffic knows it better.
    async fn remember_original(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        balancer: &Balancer,
    ) -> Result<(), StepError> {
        if note::<Value>(state, of, "original").is_some() {
            return Ok(());
        }
        let original = balancer.weights().await?;
        drop(remembered::<Value>(state, "shift", "original"));
        cx.note(of, json!({ "original": original }), Durability::Synced)
    }

    /// Never weight on a side without a fit server.
    async fn healthy(&self, balancer: &Balancer) -> Result<(), StepError> {
        for node in balancer.stats().await? {
            let fit = balancer
                .to()
                .iter()
                .filter_map(|name| node.server(name))
                .any(crate::systems::haproxy::ServerStat::is_up);
            if !fit {
                let message = format!("{} ({}): none of {} is up", self.traffic, node.node, balancer.to().join(", "));
                return Err(StepError::told(
                    FailureKind::Refused,
                    message,
                    Some("traffic was not moved; mend the servers, then `pointsman retry`"),
                ));
            }
        }
        Ok(())
    }

    /// Refuses when somebody else changed the weights since the run wrote them.
    async fn unchanged(&self, balancer: &Balancer, expected: Option<&[NodeWeights]>) -> Result<(), StepError> {
        let Some(expected) = expected else { return Ok(()) };
        let found = balancer.weights().await?;
        if found == expected {
            return Ok(());
        }
        let words = |nodes: &[NodeWeights]| {
            let node = |node: &NodeWeights| format!("{}: {}", node.node, json!(node.weights));
            nodes.iter().map(node).collect::<Vec<_>>().join("; ")
        };
        let message = format!(
            "somebody else changed the weights of {}: the run left {}, now {}",
            self.traffic,
            words(expected),
            words(&found)
        );
        Err(StepError::told(
            FailureKind::GateHold,
            message,
            Some("put them back, then `pointsman retry`; or `pointsman rollback`"),
        ))
    }

    /// Looks at the traffic that really arrives until the share is seen.
    async fn see(&self, cx: &Context, of: &Move, balancer: &Balancer, share: f64) -> Result<Observed, StepError> {
        let latest = clock::monotonic() + self.timeout.0;
        let mut before = balancer.stats().await?;
        loop {
            cx.rest(Duration::from_millis(100)).await?;
            let after = balancer.stats().await?;
            let traffic = observed(&before, &after, balancer.from(), balancer.to());
            self.publish(cx, of, share, traffic.total.as_ref());
            match traffic.total {
                None => before = after,
                Some(total) if total.requests < self.min_requests => {
                    cx.progress(
                        &of.step,
                        &format!("{share}% wanted: {} of {} requests seen", total.requests, self.min_requests),
                    );
                }
                Some(total) => {
                    let seen = total.share.unwrap_or(0.0);
                    cx.progress(&of.step, &format!("{share}% wanted, {seen:.1}% of {} requests seen", total.requests));
                    if (seen - share).abs() <= self.tolerance.0 {
                        return Ok(total);
                    }
                    // Not yet: count anew, so that what came before the weights took effect is forgotten.
                    before = after;
                }
            }
            if clock::monotonic() >= latest {
                let message =
                    format!("{share}% of the traffic of {} was not seen within {}", self.traffic, self.timeout);
                let kind =
                    if self.on_fail == OnFail::Rollback { FailureKind::GateRollback } else { FailureKind::GateHold };
                return Err(StepError::told(
                    kind,
                    message,
                    Some("is there traffic? `min-requests` and `tolerance` say what is enough"),
                ));
            }
        }
    }

    /// For the views: what was wanted, and what arrived so far.
    fn publish(&self, cx: &Context, of: &Move, wanted: f64, total: Option<&Observed>) {
        let (step, traffic) = (of.step.clone(), self.traffic.clone());
        let (seen, requests) = total.map_or((None, 0), |total| (total.share, total.requests));
        cx.sample(&format!("traffic:{traffic}"), json!(TrafficSample { step, traffic, wanted, seen, requests }));
    }

    async fn stay(&self, cx: &Context, state: &RunState, of: &Move) -> Result<(), StepError> {
        let on_fail = self.on_fail;
        if !self.gates.is_empty() {
            let watch = Watch { step: &of.step, gates: &self.gates, timeout: self.timeout.0, on_fail };
            wait_open(cx, state, &watch).await?;
        }
        if let Some(bake) = self.bake {
            let watch = Watch { step: &of.step, gates: &self.gates, timeout: bake.0, on_fail };
            stay_open(cx, state, &watch).await?;
        }
        Ok(())
    }
}
