//! The plan as people read it: every step in order, each statement and call word for word, its undo beside it, its
//! gates with today's readings, the point of no return, and what clients notice.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Plan, PlanStep, references};
use crate::engine;
use crate::gates::{self, Baselines, GateContext, Reading, Sessions};
use crate::runbook::model::Step;
use crate::steps::{self, Description};
use crate::systems::pair::{Flow, Heading};
use crate::systems::world::World;

/// Today's readings by name of the gate.
pub type Readings = BTreeMap<String, Reading>;

/// Asks every gate once. Gates only read.
pub async fn readings(plan: &Plan) -> Readings {
    let world = World::new(plan.systems.clone());
    let flow = plan.pair.as_ref().map(|pair| Flow { pair, heading: Heading::Forth });
    let (sessions, baselines) = (Sessions::default(), Baselines::default());
    let context = GateContext { world: &world, flow, sessions: &sessions, baselines: &baselines, since: None };
    let mut readings = Readings::new();
    for (name, gate) in &plan.gates {
        readings.insert(name.clone(), gates::measure(gate, &context).await);
    }
    readings
}

/// The plan as text.
#[must_use]
pub fn text(plan: &Plan, readings: &Readings) -> String {
    let mut text = String::new();
    let environment = plan.environment.as_ref().map(|name| format!(", environment {name}")).unwrap_or_default();
    let _ = writeln!(text, "Plan of {}{environment} ({:?}); hash {}", plan.runbook, plan.stage, &plan.hash()[..12]);
    if let Some(pair) = &plan.pair {
        let (source, target) = (&plan.choices.source, &plan.choices.target);
        let engine = engine::of_plan(plan);
        let _ = writeln!(
            text,
            "from {} ({}, fence: {:?}) to {} ({}, fence: {:?}), {} tables, {} sequences",
            pair.source,
            engine.version(source.version),
            source.fence,
            pair.target,
            engine.version(target.version),
            target.fence,
            plan.choices.tables.len(),
            plan.choices.sequences.len()
        );
    }
    for call in references::calls(plan) {
        let _ = writeln!(text, "read again for each connection: {call}");
    }
    for (position, step) in plan.steps.iter().enumerate() {
        if plan.point_of_no_return() == Some(position) {
            let _ = writeln!(
                text,
                "\n======== THE POINT OF NO RETURN: up to here, `pointsman rollback` loses no write ========"
            );
        }
        show_step(&mut text, plan, position, step, readings);
    }
    let _ = writeln!(text, "\nNothing was changed: this was a dry run.");
    text
}

fn show_step(text: &mut String, plan: &Plan, position: usize, step: &PlanStep, readings: &Readings) {
    let indent = if step.window.is_some() { "    " } else { "" };
    let described = steps::action(&step.step).describe(plan, Heading::Forth);
    let _ = writeln!(text, "\n{indent}{:>2}. {} — {}", position + 1, step.id, described.summary);
    if let Some(clients) = &described.clients {
        let _ = writeln!(text, "{indent}    clients: {clients}");
    }
    for name in step.step.gates() {
        let rules = plan.gates.get(name).map(crate::runbook::model::Gate::kind).unwrap_or_default();
        let now = readings.get(name).map_or_else(String::new, |reading| {
            format!("now {:?}: {} ({})", reading.verdict, reading.value, reading.threshold)
        });
        let _ = writeln!(text, "{indent}    gate {name} ({rules}): {now}");
    }
    statements(text, indent, "do", &described.apply);
    statements(text, indent, "undo", &described.undo);
}

fn statements(text: &mut String, indent: &str, what: &str, lines: &[(String, String)]) {
    for (system, statement) in lines {
        let mut parts = statement.trim_end().lines();
        let _ = writeln!(text, "{indent}    {what:<5}{system}: {}", parts.next().unwrap_or_default());
        for part in parts {
            let _ = writeln!(text, "{indent}         {part}");
        }
    }
}

/// The plan as one JSON object.
#[must_use]
pub fn object(plan: &Plan, readings: &Readings) -> Value {
    let described: Vec<Value> = plan
        .steps
        .iter()
        .enumerate()
        .map(|(position, step)| {
            let description: Description = steps::action(&step.step).describe(plan, Heading::Forth);
            json!({
                "position": position + 1,
                "step": step.id,
                "kind": step.step.kind(),
                "inside-window": step.window.is_some(),
                "point-of-no-return": matches!(step.step, Step::Finalize(_)),
                "description": description,
                "gates": step.step.gates(),
            })
        })
        .collect();
    let reads: Vec<String> = references::calls(plan).iter().map(ToString::to_string).collect();
    let mut shown = json!({ "type": "plan", "runbook": plan.runbook, "environment": plan.environment, "stage": plan.stage,
            "hash": plan.hash(), "choices": plan.choices, "steps": described, "readings": readings });
    if !reads.is_empty() {
        shown["reads"] = json!(reads);
    }
    shown
}
