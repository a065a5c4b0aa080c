//! The order of the steps: refused when it can't be safe.

use super::Check;
use crate::runbook::model::{
    Freeze, Holds, Place, Replicate, Step, Switch, System, UndoProgram, UndoSql, UndoTask, Window,
};

/// What a window does, in this order, each once.
const WINDOW: [&str; 5] = ["freeze", "drain", "sequences", "promote", "switch"];

pub(super) fn check(check: &mut Check<'_>) {
    if check.runbook.steps.is_empty() {
        let remedy = "say what is done, such as `preflight`, `replicate`, `window`, `verify`";
        return check.error("/steps#", "no-steps", "the runbook has no steps", remedy);
    }
    outside_of_a_window(check);
    one_only(check, "window", "more-than-one-window");
    one_only(check, "replicate", "more-than-one-replicate");
    windows(check);
    before_a_window(check);
    needs_replicate(check);
    finalize(check);
    approvals(check);
}

/// The steps that are not inside a window, with their paths.
fn outer<'a>(check: &Check<'a>) -> Vec<(String, &'a Step)> {
    let steps = check.runbook.steps.iter().enumerate();
    steps.map(|(n, step)| (format!("/steps/{n}/{}", step.kind()), step)).collect()
}

fn position(steps: &[(String, &Step)], kind: &str) -> Option<usize> {
    steps.iter().position(|(_, step)| step.kind() == kind)
}

fn outside_of_a_window(check: &mut Check<'_>) {
    for (path, step) in outer(check) {
        let kind = step.kind();
        if let Step::Switch(switch) = step {
            switch_outside(check, &path, switch);
        } else if WINDOW.contains(&kind) {
            let message = format!("`{kind}` stands outside of a window: nothing would bound how long writes wait");
            check.error(&path, "outside-window", &message, "move it into `window: { budget: …, steps: [ … ] }`");
        }
    }
}

/// How an endpoint takes part, where the name is that of one.
fn place(check: &Check<'_>, name: &str) -> Option<Place> {
    check.runbook.systems.get(name).and_then(System::endpoint).map(|manner| manner.place)
}

/// A `switch` of its own is for endpoints whose clients follow within minutes.
fn switch_outside(check: &mut Check<'_>, path: &str, switch: &Switch) {
    if switch.endpoints.is_empty() {
        let message = "`switch` stands outside of a window and names no endpoint";
        return check.error(path, "outside-window", message, "move it into the window, or name `endpoints`");
    }
    for (n, name) in switch.endpoints.iter().enumerate() {
        if place(check, name) == Some(Place::Inside) {
            let message =
                format!("`{name}` is switched outside of a window: its clients would write to both databases");
            let remedy = format!("name `{name}` in the `switch` of the window");
            check.error(&format!("{path}/endpoints/{n}"), "outside-window", &message, remedy);
        }
    }
}

/// Inside a window nothing is waited for that takes minutes.
fn switch_inside(check: &mut Check<'_>, path: &str, switch: &Switch) {
    for (n, name) in switch.endpoints.iter().enumerate() {
        if place(check, name) == Some(Place::Outside) {
            let message =
                format!("clients follow `{name}` within minutes, and inside of a window writes would wait for it");
            let remedy =
                format!("add `- switch: {{ endpoints: [{name}] }}` after the window (or before it, to a pooler)");
            check.error(&format!("{path}/endpoints/{n}"), "slow-endpoint", &message, remedy);
        }
    }
}

fn one_only(check: &mut Check<'_>, kind: &str, code: &'static str) {
    for (path, _) in outer(check).iter().filter(|(_, step)| step.kind() == kind).skip(1) {
        let remedy = format!("write a runbook of its own for the second `{kind}`");
        check.error(path, code, &format!("a runbook has one `{kind}` at most"), remedy);
    }
}

fn windows(check: &mut Check<'_>) {
    for (path, step) in outer(check) {
        if let Step::Window(window) = step {
            members(check, &path, window);
            missing_members(check, &path, window);
            order_of_members(check, &path, window);
            frozen_and_switched(check, &path, window);
        }
    }
}

fn members(check: &mut Check<'_>, path: &str, window: &Window) {
    for (n, step) in window.steps.iter().enumerate() {
        let kind = step.kind();
        let at = format!("{path}/steps/{n}/{kind}");
        match kind {
            "window" => check.error(&at, "nested-window", "a window can't be inside of a window", "use one window"),
            "sql" | "command" => {}
            kind if WINDOW.contains(&kind) => {}
            kind => {
                let message = format!("`{kind}` can't be inside of a window: writes would wait for it");
                let remedy = "move it before or after the window; inside may be `freeze`, `drain`, `sequences`, \
                              `promote`, `switch`, `sql` and `command`";
                check.error(&at, "not-in-window", &message, remedy);
            }
        }
    }
}

fn missing_members(check: &mut Check<'_>, path: &str, window: &Window) {
    let has = |kind: &str| window.steps.iter().any(|step| step.kind() == kind);
    for (n, kind) in WINDOW.iter().enumerate().filter(|(_, kind)| !has(kind)) {
        let remedy = match WINDOW.get(n + 1) {
            Some(next) => format!("add `- {kind}` before `{next}`"),
            None => format!("add `- {kind}` at its end"),
        };
        check.error(path, "missing-step", &format!("the window has no `{kind}`: {}", lost_without(kind)), remedy);
    }
}

fn lost_without(kind: &str) -> &'static str {
    match kind {
        "freeze" => "writes would go on at the source and be lost",
        "drain" => "the last writes would not have arrived at the target",
        "sequences" => "the target would hand out numbers that are taken",
        "promote" => "the target would not take writes",
        _ => "clients would go on at the source",
    }
}

fn order_of_members(check: &mut Check<'_>, path: &str, window: &Window) {
    let mut reached: Option<(usize, &str)> = None;
    for (n, step) in window.steps.iter().enumerate() {
        let kind = step.kind();
        let Some(rank) = WINDOW.iter().position(|member| *member == kind) else { continue };
        let at = format!("{path}/steps/{n}/{kind}");
        match reached {
            Some((before, _)) if before == rank => {
                check.error(&at, "step-twice", &format!("the window has a second `{kind}`"), "remove one");
            }
            Some((before, other)) if before > rank => {
                let message = format!("`{kind}` must come before `{other}`");
                check.error(&at, "unsafe-order", &message, "the order is freeze, drain, sequences, promote, switch");
            }
            _ => reached = Some((rank, kind)),
        }
    }
}

fn frozen_and_switched(check: &mut Check<'_>, path: &str, window: &Window) {
    let freeze = window.steps.iter().enumerate().find_map(|(n, step)| match step {
        Step::Freeze(step) => Some((format!("{path}/steps/{n}/freeze"), step)),
        _ => None,
    });
    let switch = window.steps.iter().enumerate().find_map(|(n, step)| match step {
        Step::Switch(step) => Some((format!("{path}/steps/{n}/switch"), step)),
        _ => None,
    });
    if let Some((path, freeze)) = &freeze {
        frozen_database(check, path, freeze);
    }
    if let Some((path, switch)) = &switch {
        switch_inside(check, path, switch);
    }
    if let (Some((freeze_path, freeze)), Some((switch_path, switch))) = (freeze, switch) {
        same_poolers(check, (&freeze_path, freeze), (&switch_path, switch));
    }
}

fn frozen_database(check: &mut Check<'_>, path: &str, freeze: &Freeze) {
    let known = |replicate: &&Replicate| check.runbook.systems.contains_key(&replicate.from);
    if let Some(replicate) = replicate(check).filter(known).filter(|replicate| replicate.from != freeze.database) {
        let message = format!("`{}` is frozen, but `{}` is what is left", freeze.database, replicate.from);
        let remedy = format!("write `database: {}`, as `replicate` has it in `from`", replicate.from);
        check.error(&format!("{path}/database"), "wrong-database", &message, remedy);
    }
}

fn replicate<'a>(check: &Check<'a>) -> Option<&'a Replicate> {
    check.runbook.steps.iter().find_map(|step| match step {
        Step::Replicate(step) => Some(step),
        _ => None,
    })
}

fn same_poolers(check: &mut Check<'_>, freeze: (&str, &Freeze), switch: (&str, &Switch)) {
    // What is no pooler is told elsewhere.
    let systems = &check.runbook.systems;
    let pooler =
        |name: &str| systems.get(name).and_then(System::endpoint).is_some_and(|manner| manner.holds != Holds::Nothing);
    for (n, name) in
        freeze.1.through.iter().enumerate().filter(|(_, name)| !switch.1.endpoints.contains(name) && pooler(name))
    {
        let message = format!("the pooler `{name}` is paused, but not switched: its clients would stay at the source");
        let remedy = format!("add `{name}` to `endpoints` of `switch`");
        check.error(&format!("{}/through/{n}", freeze.0), "frozen-not-switched", &message, remedy);
    }
    for (n, name) in
        switch.1.endpoints.iter().enumerate().filter(|(_, name)| !freeze.1.through.contains(name) && pooler(name))
    {
        let message = format!("the pooler `{name}` is switched, but not paused: its clients would see errors");
        let remedy = format!("add `{name}` to `through` of `freeze`");
        check.error(&format!("{}/endpoints/{n}", switch.0), "switched-not-frozen", &message, remedy);
    }
}

fn before_a_window(check: &mut Check<'_>) {
    let steps = outer(check);
    let Some(window) = position(&steps, "window") else { return };
    let path = &steps[window].0;
    match position(&steps, "preflight") {
        Some(at) if at < window => {}
        _ => {
            let message = "nothing looks for trouble before writes stop";
            check.warning(path, "no-preflight", message, "add `- preflight` as the first step");
        }
    }
    match position(&steps, "replicate") {
        None => {
            let message = "the window has nothing to switch to: no `replicate` comes before it";
            check.error(path, "missing-replicate", message, "add `- replicate: { from: …, to: … }` before it");
        }
        Some(at) if at > window => {
            let message = "`replicate` must come before the window";
            check.error(&steps[at].0, "unsafe-order", message, "move it before the window");
        }
        Some(_) => {}
    }
}

fn needs_replicate(check: &mut Check<'_>) {
    let steps = outer(check);
    let replicate = position(&steps, "replicate");
    for (at, (path, step)) in steps.iter().enumerate() {
        let before = replicate.is_none_or(|replicate| at < replicate);
        let lag = step.gates().iter().enumerate().find(|(_, name)| is_lag(check, name));
        if before && matches!(step, Step::Verify(_)) {
            let message = "there is nothing to compare: no `replicate` comes before it";
            check.error(path, "missing-replicate", message, "put `replicate` before it");
        } else if let (true, Some((n, name))) = (before && step.kind() != "window", lag) {
            let message = format!("the gate `{name}` has nothing to read yet: no `replicate` comes before this step");
            check.error(&format!("{path}/gates/{n}"), "missing-replicate", &message, "put `replicate` before it");
        }
    }
}

fn is_lag(check: &Check<'_>, gate: &str) -> bool {
    check.runbook.gates.get(gate).is_some_and(|gate| gate.kind() == "replication-lag")
}

fn finalize(check: &mut Check<'_>) {
    let steps = outer(check);
    let Some(last) = position(&steps, "finalize") else { return };
    let path = &steps[last].0;
    match position(&steps, "verify") {
        Some(at) if at < last => {}
        _ => {
            let message = "the way back is dropped before anything was verified";
            check.error(path, "finalize-before-verify", message, "put `- verify` before `finalize`");
        }
    }
    match position(&steps, "window") {
        Some(at) if at < last => {}
        _ => {
            let message = "there is no way back to drop yet: no `window` comes before `finalize`";
            check.error(path, "unsafe-order", message, "put `finalize` after the window");
        }
    }
    for (path, step) in &steps[last + 1..] {
        let kind = step.kind();
        if matches!(kind, "replicate" | "shift" | "window" | "switch" | "verify" | "finalize") {
            let message = format!("`{kind}` comes after `finalize`, when nothing can be taken back any more");
            check.error(path, "after-finalize", &message, "move it before `finalize`");
        }
    }
}

fn approvals(check: &mut Check<'_>) {
    let steps = outer(check);
    let window = position(&steps, "window");
    for (at, (path, step)) in steps.iter().enumerate() {
        let asked = |from: usize| steps[from..at].iter().any(|(_, step)| matches!(step, Step::Approve(_)));
        match step {
            // A word given before the window was about the window.
            Step::Finalize(_) => approved(check, path, asked(window.filter(|window| *window < at).unwrap_or(0))),
            Step::Window(window) => {
                for (n, inner) in window.steps.iter().enumerate().filter(|(_, inner)| is_irreversible(inner)) {
                    approved(check, &format!("{path}/steps/{n}/{}", inner.kind()), asked(0));
                }
            }
            step if is_irreversible(step) => approved(check, path, asked(0)),
            _ => {}
        }
    }
}

fn is_irreversible(step: &Step) -> bool {
    match step {
        Step::Sql(step) => step.undo == UndoSql::Irreversible,
        Step::Command(step) => step.undo == UndoProgram::Irreversible,
        Step::RunTask(step) => step.undo == UndoTask::Irreversible,
        _ => false,
    }
}

fn approved(check: &mut Check<'_>, path: &str, asked: bool) {
    if !asked {
        let message = "this can't be taken back, and no person is asked before it";
        check.error(path, "missing-approval", message, "put `- approve: { message: \"…\" }` before it");
    }
}
