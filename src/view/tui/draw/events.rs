//! The last events, with who said so and why.

use ratatui::text::Line;

use super::text::{column, fit, span, title};
use crate::journal::{Entry, Event};
use crate::view::tui::model::Model;
use crate::view::tui::theme::{Theme, Tone};
use crate::view::words;

/// Columns of a time and of a step's name.
const TIME: usize = 8;

/// A title and the events that fit, the newest last; and how far behind the newest the log really stands.
#[must_use]
pub fn lines(model: &Model, theme: Theme, columns: usize, rows: usize) -> (Vec<Line<'static>>, usize) {
    let Some(board) = &model.board else { return (Vec::new(), 0) };
    if rows == 0 {
        return (Vec::new(), model.behind);
    }
    let step = board.state.plan.step(model.at()).map(|step| step.id.as_str()).unwrap_or_default();
    let shown: Vec<&Entry> =
        board.entries.iter().filter(|entry| model.filter.lets(entry, step) && words::line(entry).is_some()).collect();
    let rows = rows - 1;
    let behind = model.behind.min(shown.len().saturating_sub(rows));
    let last = shown.len() - behind;
    let later = if behind > 0 { format!(", {behind} newer below") } else { String::new() };
    let mut lines = vec![title(&format!("events, UTC ({}{later})", model.filter.name()), columns, theme)];
    lines.extend(shown[last.saturating_sub(rows)..last].iter().map(|entry| event(entry, theme, columns)));
    (lines, behind)
}

fn event(entry: &Entry, theme: Theme, columns: usize) -> Line<'static> {
    let (step, text) = words::line(entry).unwrap_or_default();
    let name = column(&step, (columns / 6).clamp(6, 16), theme);
    let time = entry.at.strftime("%H:%M:%S").to_string();
    let room = columns.saturating_sub(TIME + 2 + super::text::width(&name));
    Line::from(vec![
        span(format!("{time} "), Tone::Quiet, theme),
        span(format!("{name} "), Tone::Plain, theme),
        span(fit(&text, room, theme), tone(&entry.event), theme),
    ])
}

const fn tone(event: &Event) -> Tone {
    match event {
        Event::Failed { .. } | Event::Refused { .. } => Tone::Bad,
        Event::Held { .. } | Event::TurnedBack { .. } | Event::Thawed { .. } => Tone::Warn,
        Event::Committed { .. } | Event::Passed { .. } | Event::Ended { .. } => Tone::Good,
        Event::Said { .. } => Tone::Strong,
        Event::Intent { .. } => Tone::Quiet,
        _ => Tone::Plain,
    }
}
