//! The gates of the step that the run is at: reading, threshold, verdict, how long it has held, how old the reading is,
//! its history; then when the wait ends, and what follows.

use jiff::Timestamp;
use ratatui::text::Line;

use super::text::{column, fit, line, short, span, sparkline, title, width, wrap};
use crate::executor::samples::{GateSample, Then};
use crate::gates::{Verdict, threshold};
use crate::runbook::model::{Approve, GateRules, OnFail, Step};
use crate::view::board::{Board, GateView, seconds};
use crate::view::tui::theme::{Theme, Tone};

/// Columns of a verdict.
const VERDICT: usize = 9;

/// A title, the gates (with all there is to say, or with as much as there is room for), and the end of the wait.
#[must_use]
pub fn lines(board: &Board, theme: Theme, columns: usize, rows: usize) -> Vec<Line<'static>> {
    let Some((step, _)) = board.step() else { return Vec::new() };
    let gates = board.gates();
    let what = if matches!(step.step, Step::Approve(_)) { "question" } else { "gates" };
    let mut lines = vec![title(&format!("{what} of {}", step.id), columns, theme)];
    if gates.is_empty() {
        lines.extend(without(board, theme, columns));
        lines.truncate(rows);
        return lines;
    }
    let end = deadline(board, &gates, theme, columns);
    let room = rows.saturating_sub(1 + end.len());
    let whole: Vec<Vec<Line<'static>>> = gates.iter().map(|gate| one(board, gate, theme, columns)).collect();
    let each = [usize::MAX, 2, 1]
        .into_iter()
        .find(|each| whole.iter().map(|gate| gate.len().min(*each)).sum::<usize>() <= room);
    let shown = if each.is_none() { room.saturating_sub(1) } else { gates.len() };
    lines.extend(whole.into_iter().take(shown).flat_map(|gate| gate.into_iter().take(each.unwrap_or(1))));
    if shown < gates.len() {
        let names: Vec<&str> = gates[shown..].iter().map(|gate| gate.name).collect();
        lines.push(line(fit(&format!("and {}", names.join(", ")), columns, theme), Tone::Warn, theme));
    }
    lines.extend(end);
    lines.truncate(rows);
    lines
}

/// A step without gates waits for itself, or for a person.
fn without(board: &Board, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    if let Some((step, record)) = board.step()
        && let Step::Approve(approve) = &step.step
    {
        return question(board, approve, record.started.filter(|_| is_waiting(board)), theme, columns);
    }
    let mut lines = vec![line(fit("none: it waits for no reading", columns, theme), Tone::Quiet, theme)];
    if let Some(busy) = board.progress() {
        lines.push(line(fit(busy, columns, theme), Tone::Plain, theme));
    }
    lines
}

/// A question, and by when it wants an answer.
fn question(
    board: &Board,
    approve: &Approve,
    started: Option<Timestamp>,
    theme: Theme,
    columns: usize,
) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> =
        wrap(&approve.message, columns).into_iter().map(|words| line(words, Tone::Strong, theme)).collect();
    let until = started.zip(approve.timeout).and_then(|(started, limit)| started.checked_add(limit.0).ok());
    let words = match (started, until) {
        (None, _) => "a person is asked when the run is here".to_owned(),
        (_, Some(until)) => {
            let left = short(seconds(board.now, until) * 1000.0);
            format!("waits for a person until {} ({left} left), else the run holds", until.strftime("%H:%M:%S"))
        }
        (_, None) => "waits for a person".to_owned(),
    };
    lines.push(line(fit(&words, columns, theme), Tone::Plain, theme));
    lines
}

fn one(board: &Board, gate: &GateView<'_>, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let Some(sample) = &gate.sample else {
        let wants = format!("{} wants {}", gate.name, threshold(gate.gate));
        return vec![Line::from(vec![
            span(column("not asked", VERDICT + 1, theme), Tone::Quiet, theme),
            span(fit(&wants, columns.saturating_sub(VERDICT + 1), theme), Tone::Quiet, theme),
        ])];
    };
    let (word, tone) = verdict(sample);
    let name = column(gate.name, (columns / 4).clamp(8, 24), theme);
    let head = VERDICT + 1 + width(&name) + 1;
    let spark = sparkline(&sample.history, (columns / 5).clamp(8, 40), theme);
    let room = columns.saturating_sub(head + width(&spark) + 1);
    let mut lines = vec![Line::from(vec![
        span(column(word, VERDICT, theme), tone, theme),
        span(format!(" {name} "), Tone::Strong, theme),
        span(column(&sample.reading.value, room, theme), Tone::Plain, theme),
        span(format!(" {spark}"), Tone::Busy, theme),
    ])];
    let more = wrap(&second(board, gate, sample, theme), columns.saturating_sub(2));
    lines.extend(more.into_iter().map(|words| line(format!("  {words}"), Tone::Quiet, theme)));
    lines
}

fn verdict(sample: &GateSample) -> (&'static str, Tone) {
    match (sample.reading.verdict, sample.open) {
        (Verdict::Pass, true) => ("OPEN", Tone::GoodBadge),
        (Verdict::Pass, false) => ("PASSES", Tone::Good),
        (Verdict::Fail, _) => ("FAILS", Tone::BadBadge),
        (Verdict::NoData, _) => ("NO DATA", Tone::WarnBadge),
        (Verdict::Error, _) => ("ERROR", Tone::BadBadge),
    }
}

fn second(board: &Board, gate: &GateView<'_>, sample: &GateSample, theme: Theme) -> String {
    let rules = gate.gate.rules();
    let mut parts = vec![format!("wants {}", sample.reading.threshold), age(board, sample, rules)];
    parts.extend(held(sample, rules));
    parts.extend(sample.reading.detail.clone());
    if sample.reading.verdict != Verdict::Pass {
        parts.push(leads_to(sample.reading.verdict, rules).into());
    }
    parts.join(&format!(" {} ", theme.glyphs().dot))
}

fn held(sample: &GateSample, rules: &GateRules) -> Option<String> {
    let wanted = short(rules.held_for.0.as_secs_f64() * 1000.0);
    let held = sample.since.map(|since| short(seconds(since, sample.reading.at) * 1000.0));
    let words = held.map_or_else(|| format!("must hold for {wanted}"), |held| format!("held {held} of {wanted}"));
    (!rules.held_for.0.is_zero()).then_some(words)
}

/// A reading that is much older than the interval is no news.
fn age(board: &Board, sample: &GateSample, rules: &GateRules) -> String {
    let age = seconds(sample.reading.at, board.now);
    let late = board.state.outcome.is_none() && age > 3.0 * rules.interval.0.as_secs_f64() + 10.0;
    let words = if age < 1.0 { "read just now".to_owned() } else { format!("read {} ago", short(age * 1000.0)) };
    if late { format!("OLD: {words}") } else { words }
}

const fn leads_to(verdict: Verdict, rules: &GateRules) -> &'static str {
    let follows = match verdict {
        Verdict::NoData => rules.on_no_data,
        Verdict::Error => OnFail::Hold,
        _ => rules.on_fail,
    };
    match follows {
        OnFail::Wait => "asked again",
        OnFail::Hold => "leads to a hold",
        OnFail::Rollback => "leads to a ROLLBACK",
    }
}

/// When the wait ends, and what follows.
fn deadline(board: &Board, gates: &[GateView<'_>], theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let samples = gates.iter().filter_map(|gate| gate.sample.as_ref());
    let ends = samples.filter_map(|sample| Some((sample.until?, sample.then?))).min_by_key(|(until, _)| *until);
    let Some((until, then)) = ends.filter(|_| is_waiting(board)) else { return planned(board, theme, columns) };
    let left = short(seconds(board.now, until) * 1000.0);
    let at = until.strftime("%H:%M:%S");
    let words = match then {
        Then::Hold => format!("all open by {at} ({left} left), else the run holds"),
        Then::Rollback => format!("all open by {at} ({left} left), else it ROLLS BACK"),
        Then::GoOn => format!("stays until {at} ({left} left), all gates open"),
    };
    wrap(&words, columns).into_iter().map(|words| line(words, Tone::Strong, theme)).collect()
}

fn is_waiting(board: &Board) -> bool {
    use crate::executor::state::StepState;
    board.step().is_some_and(|(_, record)| {
        matches!(record.forth, StepState::Applying) || matches!(record.back, StepState::Applying)
    })
}

fn planned(board: &Board, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let Some((step, _)) = board.step() else { return Vec::new() };
    let words = match &step.step {
        Step::Wait(wait) => format!("all open within {}, else the run holds", wait.timeout),
        Step::Bake(bake) => format!("stays for {}, all gates open", bake.span),
        Step::Shift(shift) => format!("at each share: all open within {}", shift.timeout),
        _ => return Vec::new(),
    };
    vec![line(fit(&words, columns, theme), Tone::Quiet, theme)]
}
