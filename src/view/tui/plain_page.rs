//! The screen as plain text: for copying, and what stays in the scrollback after it has closed.

use std::fmt::Write as _;

use super::model::Model;
use crate::view::board::Board;
use crate::view::{status, words};

/// Events that the text ends with.
const EVENTS: usize = 40;

/// All of it, with every message in full.
#[must_use]
pub fn text(model: &Model) -> String {
    let Some(board) = &model.board else { return format!("run {}: nothing is known of it yet\n", model.run) };
    let mut text = status::text(&model.run, &board.state, board.executed, &board.estimates);
    gates(&mut text, board);
    let _ = writeln!(text, "\nthe last events (UTC)");
    let lines: Vec<String> = board.entries.iter().filter_map(event).collect();
    for line in &lines[lines.len().saturating_sub(EVENTS)..] {
        let _ = writeln!(text, "{line}");
    }
    text
}

fn gates(text: &mut String, board: &Board) {
    for gate in board.gates() {
        let seen = gate.sample.map_or_else(
            || "not asked yet".to_owned(),
            |sample| {
                let detail = sample.reading.detail.map(|detail| format!(": {detail}")).unwrap_or_default();
                let (value, threshold) = (sample.reading.value, sample.reading.threshold);
                format!("{:?}, {value} ({threshold}){detail}", sample.reading.verdict)
            },
        );
        let _ = writeln!(text, "gate {}: {seen}", gate.name);
    }
}

fn event(entry: &crate::journal::Entry) -> Option<String> {
    let (step, text) = words::line(entry)?;
    Some(format!("{}  {step:<14} {text}", entry.at.strftime("%Y-%m-%d %H:%M:%S%.3f")))
}

/// What stays in the scrollback: how the run stands, and where to look.
#[must_use]
pub fn summary(model: &Model) -> String {
    let Some(board) = &model.board else { return String::new() };
    let mut text = status::text(&model.run, &board.state, board.executed, &board.estimates);
    if let Some(left) = &model.left {
        let _ = writeln!(text, "{left}");
    }
    text
}
