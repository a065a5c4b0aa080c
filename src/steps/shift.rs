//! `shift`: traffic moves in steps of weight. At each: compare with what the run left there, write, read back
//! everywhere, see the share that really arrives, stay, gates. Unknown is not verified.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::gating::{Watch, stay_open, wait_open};
use super::{Action, Description, StepError};
use crate::clock;
use crate::executor::context::Context;
use crate::executor::samples::TrafficSample;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{OnFail, Shift};
use crate::systems::pair::Heading;
use crate::systems::traffic::{Observed, Toward, Traffic};

mod describe;
mod drift;

use drift::{Left, Settled};

/// Between two looks at a side that is not fit yet.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

#[async_trait]
impl Action for Shift {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        describe::describe(self, plan)
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let traffic = cx.traffic(&self.traffic, false).await?;
        let traffic = traffic.as_ref();
        let mut left = Left::read(self, state, of, traffic);
        let done: Vec<f64> = note(state, of, "shares_done").unwrap_or_default();
        let mut seen: Vec<Value> = note(state, of, "observed").unwrap_or_default();
        let mut shares = done.clone();
        let now = left.unchanged(cx, state, of, traffic).await?.now;
        remember_original(cx, state, of, &now)?;
        self.prepare(cx, of, traffic, &mut left, now).await?;
        for share in self.weights.iter().filter(|share| !done.contains(&share.0)) {
            cx.checkpoint()?;
            let now = left.unchanged(cx, state, of, traffic).await?.now;
            self.fit(cx, of, traffic, Toward::To, Duration::ZERO).await?;
            left.write(cx, of, traffic, traffic.with_share(&now, share.0)?).await?;
            cx.rest(traffic.settle()).await?;
            let arrived = self.see(cx, of, traffic, share.0).await?;
            self.stay(cx, state, of).await?;
            shares.push(share.0);
            seen.push(json!({ "wanted": share.0, "seen": arrived.share, "requests": arrived.requests }));
            cx.note(of, json!({ "shares_done": shares, "observed": seen }), Durability::Synced)?;
        }
        let last = self.weights.last().map_or(0.0, |share| share.0);
        Ok(json!({ "summary": format!("{last}% of the traffic goes to {}", traffic.destination()) }))
    }

    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let Some(original) = note::<Value>(state, of, "original") else { return Ok(json!({})) };
        let traffic = cx.traffic(&self.traffic, true).await?;
        let traffic = traffic.as_ref();
        let mut left = Left::read(self, state, of, traffic);
        if traffic.guards_undo() {
            let settled = left.unchanged(cx, state, of, traffic).await?;
            if settled.adopted {
                return Ok(json!({ "shares_done": [], "summary": "what somebody else left there was adopted" }));
            }
            if !drift::said_restore(state, of) {
                self.fit(cx, of, traffic, Toward::From, traffic.patience()).await?;
            }
            self.step_back(cx, of, traffic, &mut left, settled).await?;
        }
        left.write(cx, of, traffic, original.clone()).await?;
        Ok(json!({ "left_there": original, "shares_done": [], "summary": "the weights are as they were" }))
    }
}

/// What this very step remembered.
fn note<T: serde::de::DeserializeOwned>(state: &RunState, of: &Move, key: &str) -> Option<T> {
    let position = state.plan.position(&of.step)?;
    serde_json::from_value(state.steps[position].notes.get(key)?.clone()).ok()
}

/// What rollback restores; journaled before the first write.
fn remember_original(cx: &Context, state: &RunState, of: &Move, now: &Value) -> Result<(), StepError> {
    if note::<Value>(state, of, "original").is_some() {
        return Ok(());
    }
    cx.note(of, json!({ "original": now }), Durability::Synced)
}

impl Shift {
    /// Before the first weight: the new side is named where its health is to count, and must become fit.
    async fn prepare(
        &self,
        cx: &Context,
        of: &Move,
        traffic: &dyn Traffic,
        left: &mut Left,
        now: Value,
    ) -> Result<(), StepError> {
        let prepared = traffic.prepared(&now)?;
        if prepared != now {
            left.write(cx, of, traffic, prepared).await?;
        }
        self.fit(cx, of, traffic, Toward::To, traffic.patience()).await
    }

    /// Never weight on a side that can't take it.
    async fn fit(
        &self,
        cx: &Context,
        of: &Move,
        traffic: &dyn Traffic,
        side: Toward,
        patience: Duration,
    ) -> Result<(), StepError> {
        let latest = clock::monotonic() + patience;
        while let Some(unfit) = traffic.unfit(side).await? {
            if clock::monotonic() >= latest {
                let (stands, word) = match side {
                    Toward::To => ("traffic was not moved; mend the servers, then `pointsman retry`", ""),
                    Toward::From => (
                        "traffic was not moved back; mend them, then `pointsman retry`",
                        ", or `pointsman retry --restore` to put the weights back all the same",
                    ),
                };
                return Err(StepError::told(FailureKind::Refused, unfit, Some(&format!("{stands}{word}"))));
            }
            cx.progress(&of.step, &format!("waiting: {unfit}"));
            cx.rest(LOOK_AGAIN).await?;
        }
        Ok(())
    }

    /// The way back in steps, where the runbook wants them: so that a side that has gone cold is not run over.
    async fn step_back(
        &self,
        cx: &Context,
        of: &Move,
        traffic: &dyn Traffic,
        left: &mut Left,
        settled: Settled,
    ) -> Result<(), StepError> {
        let mut now = settled.now;
        for share in &self.undo_weights {
            if traffic.share(&now)?.is_none_or(|current| share.0 >= current) {
                continue;
            }
            now = traffic.with_share(&now, share.0)?;
            left.write(cx, of, traffic, now.clone()).await?;
            cx.progress(&of.step, &format!("back to {share}"));
            cx.rest(traffic.settle() + self.undo_bake.map_or(Duration::ZERO, |bake| bake.0)).await?;
        }
        Ok(())
    }

    /// Looks at the traffic that really arrives until the share is seen.
    async fn see(&self, cx: &Context, of: &Move, traffic: &dyn Traffic, share: f64) -> Result<Observed, StepError> {
        let latest = clock::monotonic() + self.timeout.0;
        let mut meter = traffic.count().await?;
        loop {
            cx.rest(meter.pace()).await?;
            let total = meter.read().await?;
            self.publish(cx, of, share, total.as_ref());
            match total {
                None => cx.progress(&of.step, &format!("{share}% wanted: nothing was counted yet")),
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
                    meter.anew();
                }
            }
            if clock::monotonic() >= latest {
                return Err(self.not_seen(share));
            }
        }
    }

    fn not_seen(&self, share: f64) -> StepError {
        let message = format!("{share}% of the traffic of {} was not seen within {}", self.traffic, self.timeout);
        let kind = if self.on_fail == OnFail::Rollback { FailureKind::GateRollback } else { FailureKind::GateHold };
        let hint = "is there traffic? `min-requests` and `tolerance` say what is enough";
        StepError::told(kind, message, Some(hint))
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
