//! The footer: what was last told to the person, and the keys that do something now.

use ratatui::text::{Line, Span};

use super::text::{fit, flow, line, span, width};
use crate::view::tui::keymap::{self, Binding};
use crate::view::tui::model::{Mode, Model};
use crate::view::tui::theme::{Theme, Tone};

/// The line for the person, and below it the keys.
#[must_use]
pub fn lines(model: &Model, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let mut lines = vec![told(model, theme, columns)];
    lines.extend(keys(model, theme, columns));
    lines
}

fn told(model: &Model, theme: Theme, columns: usize) -> Line<'static> {
    if let Some(notice) = &model.notice {
        let (mark, tone) = if notice.bad { (" NO ", Tone::BadBadge) } else { (" OK ", Tone::GoodBadge) };
        let words = fit(&notice.text, columns.saturating_sub(5), theme);
        return Line::from(vec![span(mark, tone, theme), span(format!(" {words}"), Tone::Strong, theme)]);
    }
    if let Some(left) = &model.left {
        return line(fit(left, columns, theme), Tone::Bad, theme);
    }
    if let Some(spoken) = model.waiting.first() {
        let words = format!("not heard yet: {} said {}", spoken.who, spoken.word.name());
        return line(fit(&words, columns, theme), Tone::Warn, theme);
    }
    line(fit(&present(model, theme), columns, theme), Tone::Quiet, theme)
}

/// Who else looks.
fn present(model: &Model, theme: Theme) -> String {
    let mode = match model.mode {
        Mode::Control => "you may speak".to_owned(),
        Mode::ReadOnly => "you only look (speak with watch --control)".to_owned(),
        Mode::Replay(pace) if pace.paused => "replay, standing still".to_owned(),
        Mode::Replay(pace) => format!("replay, {} times as fast", pace.speed),
    };
    let watchers = model.board.as_ref().map(crate::view::board::Board::watchers).unwrap_or_default();
    let others: Vec<String> =
        watchers.into_iter().map(|(who, control)| if control { who } else { format!("{who} (only looks)") }).collect();
    let others = if others.is_empty() {
        String::new()
    } else {
        format!(" {} also here: {}", theme.glyphs().dot, others.join(", "))
    };
    format!("{mode}{others}")
}

fn keys(model: &Model, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let useful = keymap::tables(model).into_iter().flatten().filter(|binding| keymap::is_useful(model, binding.action));
    let piece = |(binding, label): (&Binding, &'static str)| -> Vec<Span<'static>> {
        let key = binding.keys.first().map(ToString::to_string).unwrap_or_default();
        vec![span(key, Tone::Strong, theme), span(format!(" {label}"), Tone::Plain, theme)]
    };
    let pieces: Vec<Vec<Span<'static>>> =
        useful.filter_map(|binding| binding.label.map(|label| (binding, label))).map(piece).collect();
    let gap =
        if pieces.iter().flatten().map(|span| width(&span.content) + 1).sum::<usize>() > columns { " " } else { "  " };
    flow(pieces, gap, columns)
}
