//! What the run left there, and whether somebody else has changed it since. What was changed is shown, and never
//! overwritten unseen: a person adopts it, has it put back, or lets the run stand.

use serde_json::{Value, json};

use super::note;
use crate::executor::context::Context;
use crate::executor::state::{Drift, RunState};
use crate::journal::{Act, Durability, FailureKind, Move};
use crate::runbook::model::{Shift, Step};
use crate::steps::StepError;
use crate::systems::traffic::{Part, Traffic};

/// What the run left there.
pub struct Left {
    /// The last state that was seen to stand there; nothing before the first write of a plan that holds none.
    there: Option<Value>,
    /// A state that was about to be written: each of its parts may or may not be there.
    wanted: Option<Value>,
    /// Going back: what was there before the first write is fine too, and what a later shift of the same traffic has
    /// put back, which a person may have adopted.
    original: Vec<Value>,
    /// Whether nothing was left yet, so that the plan says what is to be there.
    by_plan: bool,
}

/// What stands there, once it is settled that it may be changed.
pub struct Settled {
    /// The state now.
    pub now: Value,
    /// Whether a person has adopted what somebody else left there.
    pub adopted: bool,
}

/// Whether a person has said that the run's own state is to be put back.
pub fn said_restore(state: &RunState, of: &Move) -> bool {
    word(state, of) == Some(Drift::Restore)
}

fn word(state: &RunState, of: &Move) -> Option<Drift> {
    state.steps[state.plan.position(&of.step)?].drift
}

impl Left {
    /// From the notes: this step's own, else those of an earlier shift of the same traffic, else the plan's.
    pub fn read(shift: &Shift, state: &RunState, of: &Move, traffic: &dyn Traffic) -> Self {
        let there = note(state, of, "left_there").filter(|left: &Value| !left.is_null());
        let there = there.or_else(|| earlier(shift, state, of));
        let by_plan = there.is_none();
        let there = there.or_else(|| traffic.planned());
        let wanted = note(state, of, "wanted_there").filter(|wanted: &Value| !wanted.is_null());
        let own = note(state, of, "original");
        let original = own.into_iter().chain(later(shift, state, of)).filter(|_| of.act == Act::Undo).collect();
        Self { there, wanted, original, by_plan }
    }

    /// Looks, and refuses when somebody else has changed what the run left there, unless a person has said what is to
    /// become of that.
    pub async fn unchanged(
        &mut self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        traffic: &dyn Traffic,
    ) -> Result<Settled, StepError> {
        let now = traffic.look().await?;
        let changed = self.differences(traffic, &now)?;
        if changed.is_empty() {
            return Ok(Settled { now, adopted: false });
        }
        let shown: Option<Value> = note(state, of, "found_there");
        match word(state, of) {
            // Only what the person was shown is adopted.
            Some(Drift::Adopt) if shown.as_ref() == Some(&parts_of(traffic, &now)?) => {
                cx.note(of, json!({ "left_there": now, "wanted_there": null }), Durability::Synced)?;
                (self.there, self.wanted) = (Some(now.clone()), None);
                Ok(Settled { now, adopted: true })
            }
            Some(Drift::Restore) if self.there.is_some() => {
                let there = self.there.clone().unwrap_or_default();
                self.write(cx, of, traffic, there).await?;
                let now = traffic.look().await?;
                match self.differences(traffic, &now)? {
                    left if left.is_empty() => Ok(Settled { now, adopted: false }),
                    left => Err(self.told(cx, of, traffic, &now, &left)?),
                }
            }
            _ => Err(self.told(cx, of, traffic, &now, &changed)?),
        }
    }

    /// Journals what will stand there, writes it, and journals what stands there then.
    pub async fn write(
        &mut self,
        cx: &Context,
        of: &Move,
        traffic: &dyn Traffic,
        wanted: Value,
    ) -> Result<(), StepError> {
        cx.still_mine()?;
        cx.note(of, json!({ "wanted_there": wanted }), Durability::Synced)?;
        self.wanted = Some(wanted.clone());
        traffic.write(&wanted).await?;
        let there = traffic.look().await?;
        cx.note(of, json!({ "left_there": there, "wanted_there": null }), Durability::Synced)?;
        (self.there, self.wanted) = (Some(there), None);
        Ok(())
    }

    /// Each part that is neither as it was left nor as it was about to be, in words.
    fn differences(&self, traffic: &dyn Traffic, now: &Value) -> Result<Vec<String>, StepError> {
        let Some(there) = &self.there else { return Ok(Vec::new()) };
        let left = traffic.parts(there)?;
        let mut fine = left.clone();
        for other in self.wanted.iter().chain(&self.original) {
            fine.extend(traffic.parts(other)?);
        }
        Ok(compare(&left, &fine, &traffic.parts(now)?))
    }

    fn told(
        &self,
        cx: &Context,
        of: &Move,
        traffic: &dyn Traffic,
        now: &Value,
        changed: &[String],
    ) -> Result<StepError, StepError> {
        cx.note(of, json!({ "found_there": parts_of(traffic, now)? }), Durability::Synced)?;
        let since = if self.by_plan { "what the plan was made for" } else { "what the run left there" };
        let message = format!("somebody else changed {since}: {}", changed.join(" | "));
        let hint = "nothing was overwritten. `pointsman retry --adopt` goes on from what is there now, `pointsman retry \
                    --restore` puts back what the run left, `pointsman rollback` goes back";
        Ok(StepError::told(FailureKind::GateHold, message, Some(hint)))
    }
}

fn parts_of(traffic: &dyn Traffic, state: &Value) -> Result<Value, StepError> {
    let parts = traffic.parts(state)?;
    Ok(json!(parts.iter().map(|part| json!([part.name, part.value])).collect::<Vec<_>>()))
}

fn compare(left: &[Part], fine: &[Part], now: &[Part]) -> Vec<String> {
    let known = |part: &Part| fine.iter().any(|other| other.name == part.name && other.value == part.value);
    let mut changed: Vec<String> = Vec::new();
    for part in now.iter().filter(|part| !known(part)) {
        let was = left.iter().find(|other| other.name == part.name);
        let was = was.map_or("nothing".to_owned(), |was| was.words.clone());
        changed.push(format!("left: {was}; now: {}", part.words));
    }
    for part in left.iter().filter(|part| !now.iter().any(|other| other.name == part.name)) {
        changed.push(format!("left: {}; now: gone", part.words));
    }
    changed
}

/// What the last earlier shift of the same traffic left there, if it was not taken back.
fn earlier(shift: &Shift, state: &RunState, of: &Move) -> Option<Value> {
    let position = state.plan.position(&of.step)?;
    (0..position).rev().find_map(|at| match &state.plan.steps[at].step {
        Step::Shift(other) if other.traffic == shift.traffic => {
            state.steps[at].notes.get("left_there").filter(|left| !left.is_null()).cloned()
        }
        _ => None,
    })
}

/// What later shifts of the same traffic found there, and have put back by now.
fn later(shift: &Shift, state: &RunState, of: &Move) -> Vec<Value> {
    let Some(position) = state.plan.position(&of.step) else { return Vec::new() };
    let steps = state.plan.steps.iter().zip(&state.steps).skip(position + 1);
    let same = steps.filter(|(step, _)| matches!(&step.step, Step::Shift(other) if other.traffic == shift.traffic));
    same.filter_map(|(_, record)| record.notes.get("original").cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, value: u32) -> Part {
        Part { name: name.into(), value: json!(value), words: format!("{name} {value}") }
    }

    #[test]
    fn each_part_may_be_as_it_was_left_or_as_it_was_about_to_be() {
        let left = [part("a", 1), part("b", 1)];
        let fine = [left.clone(), [part("a", 2), part("b", 2)]].concat();
        assert!(compare(&left, &fine, &[part("a", 2), part("b", 1)]).is_empty(), "half was written");
        assert_eq!(compare(&left, &fine, &[part("a", 3), part("b", 1)]), ["left: a 1; now: a 3"]);
        assert_eq!(compare(&left, &fine, &[part("a", 1)]), ["left: b 1; now: gone"]);
        let more = [part("a", 1), part("b", 1), part("c", 9)];
        assert_eq!(compare(&left, &fine, &more), ["left: nothing; now: c 9"]);
    }
}
