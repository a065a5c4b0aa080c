//! Names of steps: what the journal, the screen and a person's commands call them.

use std::collections::BTreeSet;

use super::model::Step;

/// The id of every step in the order of the plan: a window's own comes before those of the steps inside it. It is the
/// name the author gave, else the kind; repeats get `-2`, `-3`, …
#[must_use]
pub fn step_ids(steps: &[Step]) -> Vec<String> {
    let flat = in_order(steps);
    let given: BTreeSet<&str> = flat.iter().filter_map(|step| step.given_name()).collect();
    let mut taken = BTreeSet::new();
    let ids = flat.iter().map(|step| {
        let base = step.given_name().unwrap_or_else(|| step.kind());
        let id = free(base, step.given_name().is_some(), &given, &taken);
        taken.insert(id.clone());
        id
    });
    ids.collect()
}

/// The steps in the order of the plan, with those inside a window after it.
pub(super) fn in_order(steps: &[Step]) -> Vec<&Step> {
    steps.iter().flat_map(|step| std::iter::once(step).chain(inside(step))).collect()
}

/// The steps of a window.
pub(super) fn inside(step: &Step) -> &[Step] {
    match step {
        Step::Window(window) => &window.steps,
        _ => &[],
    }
}

fn free(base: &str, is_given: bool, given: &BTreeSet<&str>, taken: &BTreeSet<String>) -> String {
    // A kind does not take a name that an author gave to another step.
    let is_free = |id: &str| !taken.contains(id) && (is_given || !given.contains(id));
    let mut id = base.to_owned();
    let mut number = 1;
    while !is_free(&id) {
        number += 1;
        id = format!("{base}-{number}");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(steps: &str) -> Vec<String> {
        step_ids(&serde_json::from_str::<Vec<Step>>(steps).unwrap())
    }

    #[test]
    fn repeats_are_numbered_and_given_names_stay() {
        let steps = r#"[{"preflight":{}}, {"approve":{"message":"a"}}, {"window":{"budget":"1s","steps":[{"drain":{}}]}},
            {"approve":{"message":"b"}}, {"drain":{}}]"#;
        assert_eq!(ids(steps), ["preflight", "approve", "window", "drain", "approve-2", "drain-2"]);
        let steps = r#"[{"drain":{}}, {"drain":{}}, {"preflight":{"name":"drain"}}, {"preflight":{"name":"drain-2"}}]"#;
        assert_eq!(ids(steps), ["drain-3", "drain-4", "drain", "drain-2"]);
    }
}
