//! The keys, from the keymap, and the signs.

use ratatui::text::Line;

use super::text::{column, line, span, wrap};
use crate::view::tui::keymap::{Binding, LOOK, REPLAY, WORDS};
use crate::view::tui::theme::{Theme, Tone};

const KEYS: usize = 14;

/// All of it.
#[must_use]
pub fn lines(theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    table(&mut lines, "words to the run (with `run`, `resume`, `rehearse`, `watch --control`)", WORDS, theme, columns);
    table(&mut lines, "looking", LOOK, theme, columns);
    table(&mut lines, "a replay (`watch --replay`)", REPLAY, theme, columns);
    let glyphs = theme.glyphs();
    let signs = format!(
        "signs: {} done, {} under way, {} to come, {} failed, {} skipped, {} taken back. {} before a time: what earlier \
         runs took. Nothing here holds the run up: closing the terminal loses the view, not the run.",
        glyphs.done, glyphs.now, glyphs.pending, glyphs.failed, glyphs.skipped, glyphs.undone, glyphs.about
    );
    lines.extend(wrap(&signs, columns).into_iter().map(|words| line(words, Tone::Plain, theme)));
    lines
}

fn table(lines: &mut Vec<Line<'static>>, title: &str, bindings: &[Binding], theme: Theme, columns: usize) {
    lines.extend(wrap(title, columns).into_iter().map(|words| line(words, Tone::Strong, theme)));
    for binding in bindings {
        let keys: Vec<String> = binding.keys.iter().map(ToString::to_string).collect();
        let mut keys = column(&keys.join(" or "), KEYS, theme);
        for words in wrap(binding.help, columns.saturating_sub(KEYS + 2)) {
            lines.push(Line::from(vec![span(format!("  {keys}"), Tone::Busy, theme), span(words, Tone::Plain, theme)]));
            keys = " ".repeat(KEYS);
        }
    }
    lines.push(Line::default());
}
