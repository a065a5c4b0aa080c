//! The report of a run, from its journal alone: what happened, when, who said so, how long writes waited.

use minijinja::Environment;
use serde::Serialize;

use crate::error::{CliError, Exit};
use crate::executor::take;
use crate::journal::{Event, Journal};
use crate::systems::pair::Heading;
use crate::view::{status, words};

/// What a report says.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// Id of the run.
    pub run: String,
    /// Name of the runbook.
    pub runbook: String,
    /// Environment.
    pub environment: Option<String>,
    /// SHA-256 of the plan.
    pub plan: String,
    /// Version of the program that made the plan.
    pub program: String,
    /// When it began.
    pub began: String,
    /// When its last entry was written.
    pub latest: String,
    /// How it stands.
    pub standing: String,
    /// Which database takes writes.
    pub writes: String,
    /// Windows that were passed or left.
    pub windows: Vec<WindowFacts>,
    /// The steps.
    pub steps: Vec<StepFacts>,
    /// Every entry in words.
    pub events: Vec<EventFacts>,
}

/// A window that was passed or left.
#[derive(Clone, Debug, Serialize)]
pub struct WindowFacts {
    /// When it ended.
    pub at: String,
    /// Where writes went afterwards.
    pub direction: String,
    /// How long writes waited.
    pub waited: String,
}

/// A step.
#[derive(Clone, Debug, Serialize)]
pub struct StepFacts {
    /// Its name.
    pub step: String,
    /// Its state.
    pub state: String,
    /// How long its last act took.
    pub took: String,
    /// What it remembers, in words.
    pub summary: String,
}

/// An entry in words.
#[derive(Clone, Debug, Serialize)]
pub struct EventFacts {
    /// When.
    pub at: String,
    /// The step it is about.
    pub step: String,
    /// What happened.
    pub text: String,
    /// Who wrote it.
    pub by: String,
}

/// Reads the facts of a run.
pub fn facts(journal: &Journal, run: &str) -> Result<Facts, CliError> {
    let entries = journal.entries(run, 0)?;
    let state = take::replay(journal, run)?;
    let executed = take::is_held(&journal.lease(run)?);
    let events = entries.iter().filter_map(|entry| {
        let (step, text) = words::line(entry)?;
        let by = format!("{}@{}", entry.by.user, entry.by.host);
        Some(EventFacts { at: entry.at.to_string(), step, text, by })
    });
    let windows = entries.iter().filter_map(|entry| match entry.event {
        Event::Passed { way, millis } => {
            let direction = if way == Heading::Forth { "to the target" } else { "back to the source" };
            Some(WindowFacts { at: entry.at.to_string(), direction: direction.into(), waited: words::span(millis) })
        }
        Event::Thawed { millis, .. } => Some(WindowFacts {
            at: entry.at.to_string(),
            direction: "left before the commit point".into(),
            waited: words::span(millis),
        }),
        _ => None,
    });
    let steps = state.plan.steps.iter().enumerate().map(|(position, step)| {
        let record = &state.steps[position];
        StepFacts {
            step: step.id.clone(),
            state: status::step_word(&state, position).to_owned(),
            took: record.millis.map(words::span).unwrap_or_default(),
            summary: record.notes.get("summary").and_then(|text| text.as_str()).unwrap_or_default().to_owned(),
        }
    });
    Ok(Facts {
        run: run.to_owned(),
        runbook: state.plan.runbook.clone(),
        environment: state.plan.environment.clone(),
        plan: state.hash.clone(),
        program: state.plan.program.clone(),
        began: state.started.to_string(),
        latest: state.latest.to_string(),
        standing: status::standing(&state, executed),
        writes: format!("{:?}", state.writer).to_lowercase(),
        windows: windows.collect(),
        steps: steps.collect(),
        events: events.collect(),
    })
}

/// The report as Markdown.
pub fn markdown(journal: &Journal, run: &str) -> Result<String, CliError> {
    render("report.md", include_str!("report.md.j2"), &facts(journal, run)?)
}

/// The report as a page of HTML; texts are escaped.
pub fn html(journal: &Journal, run: &str) -> Result<String, CliError> {
    render("report.html", include_str!("report.html.j2"), &facts(journal, run)?)
}

fn render(name: &str, template: &str, facts: &Facts) -> Result<String, CliError> {
    let failed = |error: minijinja::Error| CliError::new(Exit::Error, format!("the report can't be made: {error}"));
    let mut environment = Environment::new();
    let syntax = minijinja::syntax::SyntaxConfig::builder().trim_blocks(true).build().map_err(failed)?;
    environment.set_syntax(syntax);
    environment.add_template(name, template).map_err(failed)?;
    environment.get_template(name).and_then(|template| template.render(minijinja::value::Serde(facts))).map_err(failed)
}
