//! The window: the stopwatch against the budget, and each stage ticking off.

use ratatui::text::{Line, Span};

use super::text::{bar, fit, flow, line, short, span, title};
use crate::executor::state::StepState;
use crate::journal::Event;
use crate::runbook::model::Step;
use crate::systems::pair::Heading;
use crate::view::board::Board;
use crate::view::tui::theme::{Theme, Tone};

/// A title, the stopwatch and the stages; nothing when the runbook has no window.
#[must_use]
pub fn lines(board: &Board, theme: Theme, columns: usize, rows: usize) -> Vec<Line<'static>> {
    let Some((window, spec)) = board.window() else { return Vec::new() };
    let way = way(board);
    let direction = if way == Heading::Back { ", backwards" } else { "" };
    let heading = format!("window{direction}: writes wait at most {}", spec.budget);
    let mut lines = vec![title(&heading, columns, theme)];
    lines.push(stopwatch(board, way, spec.budget.0.as_secs_f64() * 1000.0, theme, columns));
    lines.extend(flow(stages(board, window, way, theme), "  ", columns));
    lines.truncate(rows);
    lines
}

/// In which direction the window is passed, or was, or will be.
fn way(board: &Board) -> Heading {
    match (&board.state.passage, board.waited().last()) {
        (Some(passage), _) => passage.way,
        (None, Some((way, ..))) => *way,
        _ => Heading::Forth,
    }
}

fn stopwatch(board: &Board, way: Heading, budget: f64, theme: Theme, columns: usize) -> Line<'static> {
    if let Some(millis) = board.stopwatch() {
        let words = format!(" {} of {}", short(millis), short(budget));
        let wide = columns.saturating_sub(words.len()).min(40);
        let tone = if millis > budget * 0.7 { Tone::Bad } else { Tone::Warn };
        return Line::from(vec![
            span(bar(millis / budget, wide, theme), tone, theme),
            span(words, Tone::Strong, theme),
        ]);
    }
    let words = match board.waited().last() {
        Some((_, true, millis)) => format!("passed: writes waited {}", short(*millis)),
        Some((_, false, millis)) => format!("left before its commit point, after {}", short(*millis)),
        None => match board.estimates.wait(way) {
            Some(millis) => {
                format!("not yet; writes waited {} {} in earlier runs", theme.glyphs().about, short(millis))
            }
            None => "not yet".to_owned(),
        },
    };
    line(fit(&words, columns, theme), Tone::Plain, theme)
}

fn stages(board: &Board, window: usize, way: Heading, theme: Theme) -> Vec<Vec<Span<'static>>> {
    let mut stages = Vec::new();
    for position in board.state.plan.inside(window) {
        if matches!(board.state.plan.steps[position].step, Step::Promote(_)) {
            stages.push(vec![commit(board, position, way, theme)]);
        }
        stages.push(stage(board, position, way, theme));
    }
    stages.push(vec![prove(board, theme)]);
    stages
}

/// The look from outside at a window that was passed.
fn prove(board: &Board, theme: Theme) -> Span<'static> {
    let glyphs = theme.glyphs();
    let last = board.entries.iter().rev().find_map(|entry| match entry.event {
        Event::Proved { .. } => Some(true),
        Event::Passed { .. } | Event::Thawed { .. } => Some(false),
        _ => None,
    });
    let (sign, tone) = match (board.state.passage.is_some(), board.state.unproved.is_some(), last) {
        (false, true, _) => (glyphs.now, Tone::Busy),
        (false, false, Some(true)) => (glyphs.done, Tone::Good),
        _ => (glyphs.pending, Tone::Quiet),
    };
    span(format!("{sign} proved"), tone, theme)
}

fn commit(board: &Board, promote: usize, way: Heading, theme: Theme) -> Span<'static> {
    let behind = board.state.passage.as_ref().is_some_and(|passage| passage.committed)
        || board.state.steps[promote].on(way).is_settled();
    let words = format!("{} commit point{}", theme.glyphs().commit, if behind { " PASSED" } else { "" });
    span(words, if behind { Tone::Strong } else { Tone::Quiet }, theme)
}

fn stage(board: &Board, position: usize, way: Heading, theme: Theme) -> Vec<Span<'static>> {
    let glyphs = theme.glyphs();
    let record = &board.state.steps[position];
    let took =
        record.millis.filter(|millis| *millis > 0.0).map(|millis| format!(" {}", short(millis))).unwrap_or_default();
    // A window that was passed backwards has left its steps taken back.
    let back = board.state.passage.is_none() && record.forth == StepState::Undone;
    let state = if back { &record.forth } else { record.on(way) };
    let (sign, tone, took) = match state {
        StepState::Pending => (glyphs.pending, Tone::Quiet, String::new()),
        StepState::Applying => (glyphs.now, Tone::Busy, String::new()),
        StepState::Applied => (glyphs.done, Tone::Good, took),
        StepState::Failed(_) | StepState::UndoFailed(_) => (glyphs.failed, Tone::Bad, " FAILED".into()),
        StepState::Undoing => (glyphs.undone, Tone::Warn, " is taken back".into()),
        StepState::Undone => (glyphs.undone, Tone::Quiet, took),
        StepState::Skipped => (glyphs.skipped, Tone::Warn, " skipped".into()),
    };
    vec![span(format!("{sign} {}{took}", board.state.plan.steps[position].id), tone, theme)]
}
