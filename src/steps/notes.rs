//! What a step has journaled of one of its acts, for the time after a crash. What is noted on the way there is not
//! mistaken for what is noted on the way back.

use serde::de::DeserializeOwned;

use crate::executor::state::RunState;
use crate::journal::{Act, Move};

/// Under what an act notes something.
pub(super) fn key(of: &Move, key: &str) -> String {
    let act = if of.act == Act::Apply { "apply" } else { "undo" };
    format!("{act}-{key}")
}

/// What this act noted before.
pub(super) fn noted<T: DeserializeOwned>(state: &RunState, of: &Move, name: &str) -> Option<T> {
    noted_as(state, of, &key(of, name))
}

/// What the other act, or whatever uses this very key, noted before.
pub(super) fn noted_as<T: DeserializeOwned>(state: &RunState, of: &Move, key: &str) -> Option<T> {
    let value = state.steps[state.plan.position(&of.step)?].notes.get(key)?;
    serde_json::from_value(value.clone()).ok()
}
