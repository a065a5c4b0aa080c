//! The header: how the run stands and why, where writes go, how long it takes.

use ratatui::text::Line;

use super::standing::standing;
use super::text::{fit, line, short, span, wrap};
use crate::executor::state::Side;
use crate::systems::pair::Heading;
use crate::view::board::{Board, seconds};
use crate::view::tui::theme::{Theme, Tone};

/// At most so many lines, of which the last says where writes go and how long it takes.
#[must_use]
pub fn lines(board: &Board, theme: Theme, columns: usize, most: usize) -> Vec<Line<'static>> {
    let mut lines = stands(board, theme, columns, most.saturating_sub(1).max(1));
    if most > 1 {
        lines.push(facts(board, theme, columns));
    }
    lines
}

fn stands(board: &Board, theme: Theme, columns: usize, most: usize) -> Vec<Line<'static>> {
    let standing = standing(board);
    let badge = format!(" {} ", standing.badge);
    let indent = badge.len() + 1;
    let room = columns.saturating_sub(indent).max(1);
    let mut words = wrap(&standing.text, room);
    if words.len() > most {
        words.truncate(most);
        let last = words.pop().unwrap_or_default();
        words.push(fit(&format!("{} {}", last, theme.glyphs().cut.repeat(room)), room, theme));
    }
    let mut lines = vec![Line::from(vec![
        span(badge, standing.tone, theme),
        span(format!(" {}", words.first().cloned().unwrap_or_default()), Tone::Strong, theme),
    ])];
    lines.extend(words.into_iter().skip(1).map(|words| line(" ".repeat(indent) + &words, Tone::Strong, theme)));
    lines
}

fn facts(board: &Board, theme: Theme, columns: usize) -> Line<'static> {
    let dot = theme.glyphs().dot;
    let side = if board.state.writer == Side::Source { "SOURCE" } else { "TARGET" };
    let writes = if board.state.passage.is_some() {
        "writes WAIT".to_owned()
    } else {
        format!("writes {} {side}", theme.glyphs().to)
    };
    let total = board.state.plan.steps.len();
    let end = if board.state.outcome.is_some() { board.state.latest } else { board.now };
    let since = short(seconds(board.state.started, end) * 1000.0);
    let mut facts = vec![writes, format!("step {}/{total}", board.current() + 1), since];
    facts.extend(rest(board, theme));
    line(fit(&facts.join(&format!(" {dot} ")), columns, theme), Tone::Plain, theme)
}

/// What is left, as far as earlier runs say.
fn rest(board: &Board, theme: Theme) -> Option<String> {
    let rest = board.rest();
    if board.state.outcome.is_some() {
        return None;
    }
    let about = theme.glyphs().about;
    let mut parts = Vec::new();
    if rest.millis > 0.0 {
        parts.push(format!("{about} {}", short(rest.millis)));
    }
    if rest.unknown > 0 {
        parts.push(format!("{} unknown {}", rest.unknown, if rest.unknown == 1 { "step" } else { "steps" }));
    }
    if rest.questions > 0 {
        parts.push(format!("{} {}", rest.questions, if rest.questions == 1 { "question" } else { "questions" }));
    }
    let from = match board.estimates.runs() {
        0 => String::new(),
        1 => " (1 earlier run)".to_owned(),
        runs => format!(" ({runs} earlier runs)"),
    };
    let way = if board.state.heading == Heading::Back { "back" } else { "left" };
    (!parts.is_empty()).then(|| format!("{way} {}{from}", parts.join(" + ")))
}
