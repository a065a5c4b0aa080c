//! What a rollback would mean now.

use ratatui::text::Line;

use super::text::{fit, span, wrap};
use crate::view::board::Board;
use crate::view::tui::theme::{Theme, Tone};
use crate::view::way_back::way_back;

const WORDS: &str = "roll back now: ";

/// In so many lines at most.
#[must_use]
pub fn lines(board: &Board, theme: Theme, columns: usize, rows: usize) -> Vec<Line<'static>> {
    let back = way_back(&board.state, board.executed, &board.estimates);
    let tone = if back.open { Tone::Plain } else { Tone::Warn };
    let mut words = wrap(&format!("{WORDS}{}", back.words), columns);
    if words.len() > rows {
        words.truncate(rows);
        let last = words.pop().unwrap_or_default();
        words.push(fit(&format!("{last} {}", theme.glyphs().cut.repeat(columns)), columns, theme));
    }
    let line = |(number, words): (usize, String)| match words.strip_prefix(WORDS).filter(|_| number == 0) {
        Some(rest) => Line::from(vec![span(WORDS, Tone::Strong, theme), span(rest.to_owned(), tone, theme)]),
        None => Line::from(span(words, tone, theme)),
    };
    words.into_iter().enumerate().map(line).collect()
}
