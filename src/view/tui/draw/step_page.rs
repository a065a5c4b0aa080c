//! One step in full: what it sends and its undo word for word, its gates, its tries, its errors.

use ratatui::text::Line;

use super::text::{line, short, title, wrap};
use crate::journal::{Entry, Event};
use crate::plan::PlanStep;
use crate::steps;
use crate::systems::pair::Heading;
use crate::view::board::Board;
use crate::view::tui::theme::{Theme, Tone};
use crate::view::{status, words};

/// All of it.
#[must_use]
pub fn lines(board: &Board, position: usize, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let Some(step) = board.state.plan.step(position) else { return Vec::new() };
    let mut page = PageText { lines: Vec::new(), theme, columns };
    let heading = format!("step {}: {} ({})", position + 1, step.id, step.step.kind());
    page.lines.push(title(&heading, columns, theme));
    page.add(&stands(board, position), Tone::Strong);
    describe(&mut page, board, step);
    gates(&mut page, board, step);
    happened(&mut page, board, step);
    page.lines
}

struct PageText {
    lines: Vec<Line<'static>>,
    theme: Theme,
    columns: usize,
}

impl PageText {
    fn add(&mut self, text: &str, tone: Tone) {
        let wrapped = wrap(text, self.columns);
        self.lines.extend(wrapped.into_iter().map(|words| line(words, tone, self.theme)));
    }

    fn section(&mut self, words: &str) {
        self.lines.push(Line::default());
        self.add(words, Tone::Strong);
    }
}

fn stands(board: &Board, position: usize) -> String {
    let word = status::step_word(&board.state, position);
    let word = if word.is_empty() { "to come" } else { word };
    let took = board.took(position).map(|millis| format!(", {}", short(millis))).unwrap_or_default();
    let planned = board.estimates.planned(&board.state, position);
    let planned = planned.map(|millis| format!(" (planned about {})", short(millis))).unwrap_or_default();
    let tries = board.state.steps[position].attempts;
    let tries = if tries > 1 { format!(", try {tries}") } else { String::new() };
    format!("{word}{took}{planned}{tries}")
}

fn describe(page: &mut PageText, board: &Board, step: &PlanStep) {
    let described = steps::action(&step.step).describe(&board.state.plan, Heading::Forth);
    page.add(&described.summary, Tone::Plain);
    if let Some(clients) = &described.clients {
        page.add(&format!("clients: {clients}"), Tone::Plain);
    }
    for (words, statements) in [("does", &described.apply), ("undo", &described.undo)] {
        if !statements.is_empty() {
            page.section(words);
        }
        for (system, statement) in statements {
            page.add(&format!("{system}: {}", statement.trim_end()), Tone::Plain);
        }
    }
}

fn gates(page: &mut PageText, board: &Board, step: &PlanStep) {
    if step.step.gates().is_empty() {
        return;
    }
    page.section("gates");
    for name in step.step.gates() {
        let Some(gate) = board.state.plan.gates.get(name) else { continue };
        let rules = gate.rules();
        let words = format!(
            "{name} ({}): wants {}, every {}, for {}; on fail {:?}, on no data {:?}",
            gate.kind(),
            crate::gates::threshold(gate),
            rules.interval,
            rules.held_for,
            rules.on_fail,
            rules.on_no_data
        );
        page.add(&words, Tone::Plain);
    }
}

fn happened(page: &mut PageText, board: &Board, step: &PlanStep) {
    page.section("what happened (UTC)");
    let mut any = false;
    for entry in board.entries.iter().filter(|entry| is_of(entry, &step.id)) {
        let Some((_, text)) = words::line(entry) else { continue };
        let tone = if matches!(entry.event, Event::Failed { .. }) { Tone::Bad } else { Tone::Plain };
        page.add(&format!("{} {text}", entry.at.strftime("%Y-%m-%d %H:%M:%S%.3f")), tone);
        any = true;
    }
    if !any {
        page.add("nothing yet", Tone::Quiet);
    }
}

fn is_of(entry: &Entry, step: &str) -> bool {
    match &entry.event {
        Event::Intent { of, .. }
        | Event::Noted { of, .. }
        | Event::Done { of, .. }
        | Event::Failed { of, .. }
        | Event::Interrupted { of } => of.step == step,
        Event::Judged { step: of, .. } => of == step,
        _ => false,
    }
}
