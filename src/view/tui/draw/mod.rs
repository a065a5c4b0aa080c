//! Draws the model. One file a region; each gives lines for a width and a height, and knows nothing of the others.

mod clients;
mod dialogs;
mod events;
mod footer;
mod gates;
mod header;
mod help;
pub mod layout;
mod rollback;
pub mod standing;
mod step_page;
mod steps;
pub mod text;
mod window;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph};

use super::model::{Model, Page};
use super::place::place;
use super::theme::{Theme, Tone};
use crate::runbook::model::Stage;
use crate::view::board::Board;
use layout::{Regions, Wants, regions};
use text::{fit, line, span, width};

/// Where the scrolled parts really stand: the model is told, so that the next key counts from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// First line of the page that covers the board.
    pub top: usize,
    /// Events behind the newest.
    pub behind: usize,
}

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme) -> Drawn {
    let area = frame.area();
    let mut drawn = Drawn { top: 0, behind: model.behind };
    match (&model.page, &model.board) {
        // Without a frame: what is copied from it has no signs at its edges.
        (Page::Frozen { text, top }, _) => drawn.top = frozen(frame, area, text, *top, model, theme),
        (_, None) => {
            let words = format!("run {}: waiting for its first entry", model.run);
            paragraph(frame, area, vec![line(fit(&words, usize::from(area.width), theme), Tone::Plain, theme)]);
        }
        (page, Some(board)) => {
            let inner = edge(frame, area, model, board, theme);
            match page {
                Page::Step { position, top } => {
                    let lines = step_page::lines(board, *position, theme, usize::from(inner.width));
                    drawn.top = scrolled(frame, inner, lines, *top, model, theme);
                }
                Page::Help { top } => {
                    drawn.top =
                        scrolled(frame, inner, help::lines(theme, usize::from(inner.width)), *top, model, theme);
                }
                _ => drawn.behind = whole(frame, inner, model, board, theme),
            }
        }
    }
    if let Some(dialog) = &model.dialog {
        dialogs::draw(frame, area, dialog, theme);
    }
    drawn
}

/// The frame: production is not to be mistaken, in shape, word and colour; nor is a rehearsal.
fn edge(frame: &mut Frame<'_>, area: Rect, model: &Model, board: &Board, theme: Theme) -> Rect {
    let plan = &board.state.plan;
    let (word, tone, edge) = match plan.stage {
        Stage::Production => (" PRODUCTION ", Tone::BadBadge, Tone::Bad),
        Stage::Staging => (" STAGING ", Tone::WarnBadge, Tone::Plain),
        Stage::Rehearsal => (" REHEARSAL ", Tone::BusyBadge, Tone::Plain),
    };
    let columns = usize::from(area.width.saturating_sub(4));
    let environment = plan.environment.as_ref().map(|name| format!(" (env {name})")).unwrap_or_default();
    let place = place(plan).map(|place| format!(" {} {place}", theme.glyphs().dot)).unwrap_or_default();
    let name = fit(&format!(" {}{environment}{place} ", plan.runbook), columns.saturating_sub(word.len()), theme);
    let taken = word.len() + width(&name);
    let run = format!(" {} ", model.run);
    let run = if columns > taken + width(&run) + 2 { run } else { String::new() };
    let block = Block::bordered()
        .border_set(theme.border(plan.stage == Stage::Production))
        .border_style(theme.style(edge))
        .title_top(Line::from(vec![span(word, tone, theme), span(name, Tone::Strong, theme)]))
        .title_top(Line::from(span(run, Tone::Quiet, theme)).right_aligned());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    Rect { x: inner.x + u16::from(inner.width > 40), width: inner.width - 2 * u16::from(inner.width > 40), ..inner }
}

fn whole(frame: &mut Frame<'_>, area: Rect, model: &Model, board: &Board, theme: Theme) -> usize {
    let columns = usize::from(area.width);
    let tall = area.height >= 30;
    let header = header::lines(board, theme, columns, if tall { 5 } else { 4 });
    let footer = footer::lines(model, theme, columns);
    let rollback = rollback::lines(board, theme, columns, if tall { 3 } else { 2 });
    let wants = Wants {
        header: rows(header.len()),
        footer: rows(footer.len()),
        rollback: rows(rollback.len()),
        gates: rows(gates::lines(board, theme, layout::right(columns), usize::MAX).len()),
        clients: rows(clients::lines(board, theme, columns, usize::MAX).len()),
        window: rows(window::lines(board, theme, layout::right(columns), usize::MAX).len()),
        urgent: board.state.passage.is_some(),
    };
    let at = regions(area, &wants);
    paragraph(frame, at.header, header);
    paragraph(frame, at.footer, footer);
    paragraph(frame, at.rollback, rollback);
    middle(frame, &at, model, board, theme);
    let (lines, behind) = events::lines(model, theme, usize::from(at.events.width), usize::from(at.events.height));
    paragraph(frame, at.events, lines);
    behind
}

fn middle(frame: &mut Frame<'_>, at: &Regions, model: &Model, board: &Board, theme: Theme) {
    let size = |area: Rect| (usize::from(area.width), usize::from(area.height));
    let (columns, rows) = size(at.steps);
    paragraph(frame, at.steps, steps::lines(board, model.chosen, theme, columns, rows));
    let (columns, rows) = size(at.gates);
    paragraph(frame, at.gates, gates::lines(board, theme, columns, rows));
    let (columns, rows) = size(at.clients);
    paragraph(frame, at.clients, clients::lines(board, theme, columns, rows));
    let (columns, rows) = size(at.window);
    paragraph(frame, at.window, window::lines(board, theme, columns, rows));
}

/// A page that can be scrolled, with its keys below; gives the line it really begins with.
fn scrolled(
    frame: &mut Frame<'_>,
    area: Rect,
    lines: Vec<Line<'static>>,
    top: usize,
    model: &Model,
    theme: Theme,
) -> usize {
    let keys = footer::lines(model, theme, usize::from(area.width)).split_off(1);
    let below = rows(keys.len()).min(area.height);
    let room = area.height - below;
    let top = top.min(lines.len().saturating_sub(usize::from(room)));
    paragraph(frame, Rect { height: room, ..area }, lines.into_iter().skip(top).collect());
    paragraph(frame, Rect { y: area.y + room, height: below, ..area }, keys);
    top
}

fn frozen(frame: &mut Frame<'_>, area: Rect, text: &str, top: usize, model: &Model, theme: Theme) -> usize {
    let wrapped = text.lines().flat_map(|line| text::wrap(line, usize::from(area.width)));
    let lines = wrapped.map(|words| line(words, Tone::Plain, theme)).collect();
    scrolled(frame, area, lines, top, model, theme)
}

fn paragraph(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) {
    frame.render_widget(Paragraph::new(lines), area);
}

fn rows(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
