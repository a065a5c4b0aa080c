//! The steps: state, planned and actual time, and the point of no return as a line that one crosses.

use ratatui::text::Line;

use super::text::{column, fit, line, short, span, title, width};
use crate::executor::state::StepState;
use crate::view::board::Board;
use crate::view::status;
use crate::view::tui::theme::{Theme, Tone};

/// Columns of a time.
const TIME: usize = 9;
/// From so many columns on, planned and actual times stand side by side.
const WIDE: usize = 40;

/// A title and as many steps as fit, around the one that is chosen or that the run is at.
#[must_use]
pub fn lines(board: &Board, chosen: Option<usize>, theme: Theme, columns: usize, rows: usize) -> Vec<Line<'static>> {
    if rows == 0 {
        return Vec::new();
    }
    let (all, focus) = rows_of_steps(board, chosen, theme, columns);
    let rows = rows - 1;
    let first = (focus + 1 + rows / 3).saturating_sub(rows).min(all.len().saturating_sub(rows));
    let hidden = all.len().saturating_sub(rows);
    let more = if hidden > 0 { format!(" {}-{}/{}", first + 1, first + rows, all.len()) } else { String::new() };
    let heads =
        if columns >= WIDE { format!("{:>TIME$} {:>TIME$}", "took", "plan") } else { format!("{:>TIME$}", "time") };
    let heading = column(&format!("steps{more}"), columns.saturating_sub(heads.len() + 5), theme);
    let mut lines = vec![title(&format!("{heading} {heads}"), columns, theme)];
    if columns < heads.len() + 12 {
        lines = vec![title(&format!("steps{more}"), columns, theme)];
    }
    lines.extend(all.into_iter().skip(first).take(rows));
    lines
}

/// All lines, and which of them is to be seen in any case.
fn rows_of_steps(board: &Board, chosen: Option<usize>, theme: Theme, columns: usize) -> (Vec<Line<'static>>, usize) {
    let (mut lines, mut focus) = (Vec::new(), 0);
    let wanted = chosen.unwrap_or_else(|| board.current());
    for position in 0..board.state.plan.steps.len() {
        if board.state.plan.point_of_no_return() == Some(position) {
            lines.push(no_return(board, position, theme, columns));
        }
        if position == wanted {
            focus = lines.len();
        }
        lines.push(step(board, position, chosen == Some(position), theme, columns));
    }
    (lines, focus)
}

fn no_return(board: &Board, position: usize, theme: Theme, columns: usize) -> Line<'static> {
    let crossed = board.state.steps[position].forth.may_have_effect();
    let words = if crossed { "point of no return: CROSSED" } else { "point of no return" };
    let heavy = theme.glyphs().heavy;
    let words = fit(words, columns.saturating_sub(4), theme);
    let rest = columns.saturating_sub(width(&words) + 3);
    let tone = if crossed { Tone::Bad } else { Tone::Warn };
    line(format!("{heavy} {words} {}", heavy.repeat(rest)), tone, theme)
}

fn step(board: &Board, position: usize, chosen: bool, theme: Theme, columns: usize) -> Line<'static> {
    let step = &board.state.plan.steps[position];
    let (sign, tone) = sign(board, position, theme);
    let indent = if step.window.is_some() { "  " } else { "" };
    let took = board.took(position).map(short).unwrap_or_default();
    let plan = planned(board, position, theme);
    let word = status::step_word(&board.state, position);
    let times = match columns {
        0..24 => String::new(),
        24..WIDE => format!(" {:>TIME$}", if took.is_empty() { plan } else { took }),
        _ => format!(" {took:>TIME$} {plan:>TIME$}"),
    };
    let room = columns.saturating_sub(width(&times) + width(sign) + 1);
    let name = format!("{indent}{}", step.id);
    let said =
        if word.is_empty() || room < width(&name) + word.len() + 2 { String::new() } else { format!("  {word}") };
    let tone = if chosen { Tone::Chosen } else { tone };
    Line::from(vec![span(format!("{sign} {}{times}", column(&format!("{name}{said}"), room, theme)), tone, theme)])
}

/// What the step is expected to take.
fn planned(board: &Board, position: usize, theme: Theme) -> String {
    if board.state.plan.steps[position].step.kind() == "approve" {
        return "a person".into();
    }
    let planned = board.estimates.planned(&board.state, position);
    planned.map(|millis| format!("{}{}", theme.glyphs().about, short(millis))).unwrap_or_default()
}

fn sign(board: &Board, position: usize, theme: Theme) -> (&'static str, Tone) {
    let glyphs = theme.glyphs();
    let record = &board.state.steps[position];
    let state = if matches!(record.back, StepState::Pending) { &record.forth } else { &record.back };
    let current = board.state.outcome.is_none() && board.current() == position;
    match state {
        StepState::Pending if current => (glyphs.pending, Tone::Strong),
        StepState::Pending => (glyphs.pending, Tone::Quiet),
        StepState::Applying => (glyphs.now, Tone::Busy),
        StepState::Applied => (glyphs.done, Tone::Good),
        StepState::Failed(_) | StepState::UndoFailed(_) => (glyphs.failed, Tone::Bad),
        StepState::Undoing => (glyphs.undone, Tone::Warn),
        StepState::Undone => (glyphs.undone, Tone::Quiet),
        StepState::Skipped => (glyphs.skipped, Tone::Warn),
    }
}
