//! The question before something is said: over the board, in the middle.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph};

use super::text::{fit, line, span, wrap};
use crate::view::tui::dialog::{Dialog, Field};
use crate::view::tui::theme::{Theme, Tone};

/// Draws it into the middle of the area.
pub fn draw(frame: &mut Frame<'_>, area: Rect, dialog: &Dialog, theme: Theme) {
    let columns = area.width.saturating_sub(4).min(76);
    let lines = lines(dialog, theme, usize::from(columns.saturating_sub(4)));
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(area.height);
    let place = Rect {
        x: area.x + area.width.saturating_sub(columns) / 2,
        y: area.y + area.height.saturating_sub(rows) / 2,
        width: columns,
        height: rows,
    };
    let block = Block::bordered()
        .border_set(theme.border(dialog.name.is_some()))
        .border_style(theme.style(if dialog.name.is_some() { Tone::Bad } else { Tone::Strong }))
        .title(span(
            format!(" {} ", fit(&dialog.title, usize::from(columns.saturating_sub(6)), theme)),
            Tone::Strong,
            theme,
        ));
    let inner = block.inner(place);
    frame.render_widget(Clear, place);
    frame.render_widget(block, place);
    let text = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    // The end of a long text is where the answer is typed.
    let first = lines.len().saturating_sub(usize::from(text.height));
    frame.render_widget(Paragraph::new(lines[first..].to_vec()), text);
}

fn lines(dialog: &Dialog, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> =
        wrap(&dialog.body, columns).into_iter().map(|words| line(words, Tone::Plain, theme)).collect();
    lines.push(Line::default());
    if let Some(reason) = &dialog.reason {
        let wanted = if dialog.wants_reason { "reason: " } else { "reason (may be empty): " };
        lines.push(input(wanted, reason, dialog.field == Field::Reason, theme, columns));
    }
    if let Some(name) = &dialog.name {
        lines.push(line(fit(&format!("type {name} to say it, esc to leave"), columns, theme), Tone::Bad, theme));
        lines.push(input("name: ", &dialog.typed, dialog.field == Field::Name, theme, columns));
    }
    if let Some(wrong) = &dialog.wrong {
        lines.push(line(fit(wrong, columns, theme), Tone::Bad, theme));
    }
    lines.push(line(fit(hint(dialog), columns, theme), Tone::Strong, theme));
    lines
}

/// The end of what was typed is seen, with a cursor behind it.
fn input(label: &str, text: &str, here: bool, theme: Theme, columns: usize) -> Line<'static> {
    let room = columns.saturating_sub(label.len() + 2);
    let mut shown = text.to_owned();
    while super::text::width(&shown) > room && !shown.is_empty() {
        shown.remove(0);
    }
    let cursor = if here { "_" } else { "" };
    Line::from(vec![span(label.to_owned(), Tone::Quiet, theme), span(shown + cursor, Tone::Strong, theme)])
}

const fn hint(dialog: &Dialog) -> &'static str {
    match dialog.field {
        Field::Reason => "enter: go on   esc: leave it",
        Field::Name => "enter: say it   esc: leave it",
        Field::Yes => "y: yes   n: no",
    }
}
