//! What clients feel: which way the points stand, how far the other side is behind, shares of the traffic, waits.

use ratatui::text::Line;

use super::text::{bar, column, fit, line, short, span, title};
use crate::engine;
use crate::executor::samples::TrafficSample;
use crate::executor::state::{RunState, Side};
use crate::systems::pair::Heading;
use crate::view::board::Board;
use crate::view::tui::theme::{Theme, Tone};

/// A title, the points, traffic, and what clients were seen to wait.
#[must_use]
pub fn lines(board: &Board, theme: Theme, columns: usize, rows: usize) -> Vec<Line<'static>> {
    let mut lines = vec![title("clients", columns, theme)];
    lines.extend(points(board, theme, columns));
    lines.extend(board.traffic().iter().map(|sample| traffic(sample, theme, columns)));
    lines.extend(seen(board, theme, columns));
    lines.truncate(rows);
    lines
}

/// The points: writes flow to the side that they lead to.
fn points(board: &Board, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let glyphs = theme.glyphs();
    let waits = board.state.passage.is_some();
    let (signs, tone) = match (waits, board.state.writer) {
        (true, _) => (glyphs.points_closed, Tone::Warn),
        (false, Side::Source) => (glyphs.points_up, Tone::Good),
        (false, Side::Target) => (glyphs.points_down, Tone::Good),
    };
    let middle = if waits { format!("WAIT {}", short(board.stopwatch().unwrap_or(0.0))) } else { String::new() };
    let before = ["          ".to_owned(), format!("writes {}", glyphs.track), "          ".to_owned()];
    let behind = [side(board, Side::Source), middle, side(board, Side::Target)];
    let ats = [Side::Source, Side::Source, Side::Target];
    let line = |row: usize| {
        let strong = waits || ats[row] == board.state.writer;
        let words = fit(&behind[row], columns.saturating_sub(15), theme);
        Line::from(vec![
            span(format!("{}{} ", before[row], signs[row]), tone, theme),
            span(words, if strong { Tone::Strong } else { Tone::Plain }, theme),
        ])
    };
    (0..3).map(line).collect()
}

/// A side in words: what it is, and what it does.
fn side(board: &Board, side: Side) -> String {
    let state = &board.state;
    let (word, choices, name) = match side {
        Side::Source => ("SOURCE", &state.plan.choices.source, state.plan.pair.as_ref().map(|pair| &pair.source)),
        Side::Target => ("TARGET", &state.plan.choices.target, state.plan.pair.as_ref().map(|pair| &pair.target)),
    };
    let name = name.filter(|name| !name.eq_ignore_ascii_case(word)).map(|name| format!(" {name}")).unwrap_or_default();
    let version = engine::of_plan(&state.plan).version(choices.version);
    format!("{word}{name}  {}", [role(board, side), version].join("  ").trim_start())
}

fn role(board: &Board, side: Side) -> String {
    let state = &board.state;
    if state.passage.is_some() {
        return String::new();
    }
    if side == state.writer {
        return "takes writes".into();
    }
    if !follows(state, side) {
        return "does not follow".into();
    }
    match board.lag() {
        Some((value, age)) => format!("follows, {value} ({} ago)", short(age * 1000.0)),
        None => "follows".into(),
    }
}

/// Whether a side that takes no writes gets those of the other: from `replicate` on, after the switch by the way back.
fn follows(state: &RunState, side: Side) -> bool {
    let done = |kind: &str| {
        let mut steps = state.plan.steps.iter().zip(&state.steps);
        steps.any(|(step, record)| step.step.kind() == kind && record.forth.is_settled())
    };
    match side {
        Side::Target => done("replicate"),
        Side::Source => state.plan.keeps_way_back() && !done("finalize"),
    }
}

fn traffic(sample: &TrafficSample, theme: Theme, columns: usize) -> Line<'static> {
    let seen = sample.seen.map_or_else(|| "not seen yet".to_owned(), |seen| format!("{seen:.1}% seen"));
    let words = format!("wanted {}%, {seen} of {} requests", sample.wanted, sample.requests);
    let name = column(&sample.traffic, 10, theme);
    let wide = columns.saturating_sub(10 + words.len() + 2).min(24);
    let drawn =
        if wide >= 6 { format!("  {}", bar(sample.seen.unwrap_or(0.0) / 100.0, wide, theme)) } else { String::new() };
    line(fit(&format!("{name}{words}{drawn}"), columns, theme), Tone::Plain, theme)
}

/// What was seen of waits and errors: all the time in a rehearsal, else at the windows.
fn seen(board: &Board, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(clients) = board.clients() {
        let words = format!(
            "{} writes/s  {} {} median, {} p99, {} longest  {} failed",
            clients.writes,
            theme.glyphs().dot,
            short(clients.median_ms),
            short(clients.p99_ms),
            short(clients.longest_ms),
            clients.failed
        );
        let tone = if clients.failed > 0 { Tone::Bad } else { Tone::Plain };
        lines.push(line(fit(&words, columns, theme), tone, theme));
    }
    if let Some((way, passed, millis)) = board.waited().last() {
        let where_to = match (passed, way) {
            (true, Heading::Forth) => "the switch to the target",
            (true, Heading::Back) => "the switch back to the source",
            (false, _) => "a window that was left",
        };
        let words = format!("writes waited {} at {where_to}", short(*millis));
        lines.push(line(fit(&words, columns, theme), Tone::Plain, theme));
    }
    lines
}
