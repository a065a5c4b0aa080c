//! Pieces of text that fit: cut, wrapped, in columns. Widths are those of a terminal, not numbers of characters.

use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::view::tui::theme::{Theme, Tone};

/// How many columns a text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text, cut to so many columns, with a sign where something is cut off. Control characters become blanks.
#[must_use]
pub fn fit(text: &str, columns: usize, theme: Theme) -> String {
    let clean: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if width(&clean) <= columns {
        return clean;
    }
    let cut = theme.glyphs().cut;
    let Some(room) = columns.checked_sub(width(cut)) else { return String::new() };
    let mut taken = 0;
    let kept: String = clean
        .chars()
        .take_while(|char| {
            taken += char.width().unwrap_or(0);
            taken <= room
        })
        .collect();
    kept + cut
}

/// The same, filled up with blanks.
#[must_use]
pub fn column(text: &str, columns: usize, theme: Theme) -> String {
    let text = fit(text, columns, theme);
    let missing = columns.saturating_sub(width(&text));
    text + &" ".repeat(missing)
}

/// The text in lines of at most so many columns.
#[must_use]
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let clean: String = text.chars().map(|char| if char.is_control() && char != '\n' { ' ' } else { char }).collect();
    textwrap::wrap(&clean, columns.max(1)).into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// A span of owned text.
#[must_use]
pub fn span(text: impl Into<String>, tone: Tone, theme: Theme) -> Span<'static> {
    Span::styled(text.into(), theme.style(tone))
}

/// A line of one piece.
#[must_use]
pub fn line(text: impl Into<String>, tone: Tone, theme: Theme) -> Line<'static> {
    Line::from(span(text, tone, theme))
}

/// The title of a region: a rule with words in it.
#[must_use]
pub fn title(words: &str, columns: usize, theme: Theme) -> Line<'static> {
    let rule = theme.glyphs().rule;
    let words = fit(words, columns.saturating_sub(4), theme);
    let rest = columns.saturating_sub(width(&words) + 4);
    Line::from(vec![
        span(format!("{rule} "), Tone::Quiet, theme),
        span(words, Tone::Strong, theme),
        span(format!(" {}", rule.repeat(rest + 1)), Tone::Quiet, theme),
    ])
}

/// Pieces side by side in as many lines as they need; none is torn apart.
#[must_use]
pub fn flow(pieces: Vec<Vec<Span<'static>>>, gap: &str, columns: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for piece in pieces {
        let wide: usize = piece.iter().map(|span| width(&span.content)).sum();
        match lines.last_mut().filter(|line| line.width() + width(gap) + wide <= columns) {
            Some(line) => {
                line.push_span(Span::raw(gap.to_owned()));
                for span in piece {
                    line.push_span(span);
                }
            }
            None => lines.push(Line::from(piece)),
        }
    }
    lines
}

/// A bar of so many columns.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "between 0 and the columns"
)]
pub fn bar(share: f64, columns: usize, theme: Theme) -> String {
    let glyphs = theme.glyphs();
    let full = (share.clamp(0.0, 1.0) * columns as f64).round() as usize;
    glyphs.full.repeat(full) + &glyphs.empty.repeat(columns.saturating_sub(full))
}

/// The last readings as a row of signs, from the lowest to the highest of them.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
pub fn sparkline(history: &[Option<f64>], columns: usize, theme: Theme) -> String {
    let last = &history[history.len().saturating_sub(columns)..];
    let known = || last.iter().flatten().copied().filter(|number| number.is_finite());
    let high = known().fold(0.0_f64, f64::max);
    let sign = |number: &Option<f64>| match number {
        Some(number) if number.is_finite() && high > 0.0 => {
            theme.glyphs().spark[((number / high).clamp(0.0, 1.0) * 7.0).round() as usize]
        }
        Some(_) => theme.glyphs().spark[0],
        None => " ",
    };
    last.iter().map(sign).collect()
}

/// A length of time in few columns.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and cut to whole seconds")]
pub fn short(millis: f64) -> String {
    let seconds = (millis.max(0.0) / 1000.0) as u64;
    match seconds {
        0 if millis < 9.95 => format!("{millis:.1} ms"),
        0 => format!("{millis:.0} ms"),
        1..60 => format!("{:.1} s", millis / 1000.0),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}
