//! Which region stands where. A small terminal has header, gates and footer whole; a large one has everything.

use ratatui::layout::Rect;

/// Columns of the steps where there is room for all.
const STEPS: usize = 56;

/// Where each region of the board stands; one without room is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Regions {
    /// How the run stands.
    pub header: Rect,
    /// The steps.
    pub steps: Rect,
    /// The gates.
    pub gates: Rect,
    /// What clients feel.
    pub clients: Rect,
    /// The window.
    pub window: Rect,
    /// What a rollback means.
    pub rollback: Rect,
    /// The events.
    pub events: Rect,
    /// The keys.
    pub footer: Rect,
}

/// What the regions want, in lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wants {
    /// Lines of the header.
    pub header: u16,
    /// Lines of the gates, two each.
    pub gates: u16,
    /// Lines of the clients.
    pub clients: u16,
    /// Lines of the window.
    pub window: u16,
    /// Lines of the rollback.
    pub rollback: u16,
    /// Lines of the footer.
    pub footer: u16,
    /// Whether writes wait: the window goes before everything else.
    pub urgent: bool,
}

/// Divides the area.
#[must_use]
pub fn regions(area: Rect, wants: &Wants) -> Regions {
    let mut rest = area;
    let header = top(&mut rest, wants.header);
    let footer = bottom(&mut rest, wants.footer);
    let third = rest.height / 3;
    let rollback = bottom(&mut rest, wants.rollback.min(third));
    let spare = events_height(area.height, rest.height);
    let events = bottom(&mut rest, spare);
    let frame = Regions { header, rollback, events, footer, ..Regions::default() };
    match area.width {
        0..72 => narrow(rest, wants, frame),
        72..150 => two_columns(rest, wants, frame),
        _ => three_columns(rest, wants, frame),
    }
}

/// Columns that the gates, the clients and the window have in so many.
#[must_use]
pub fn right(columns: usize) -> usize {
    match columns {
        0..72 => columns,
        72..150 => columns - steps_width(columns) - 2,
        _ => (columns - STEPS) / 2 - 2,
    }
}

fn steps_width(columns: usize) -> usize {
    (columns * 2 / 5).clamp(26, 46)
}

/// The events take what the rest can spare.
fn events_height(all: u16, rest: u16) -> u16 {
    match all {
        0..16 => 0,
        16..20 => rest.saturating_sub(8).min(3),
        20..30 => rest.saturating_sub(9).min(5),
        _ => (rest / 3).min(16),
    }
}

fn narrow(mut rest: Rect, wants: &Wants, mut regions: Regions) -> Regions {
    if wants.urgent {
        regions.window = top(&mut rest, wants.window);
    }
    let room = rest.height.saturating_sub(2).max(2);
    regions.gates = top(&mut rest, wants.gates.min(room));
    regions.clients = if rest.height >= 8 { bottom(&mut rest, 4) } else { Rect::default() };
    regions.steps = rest;
    regions
}

fn two_columns(rest: Rect, wants: &Wants, mut regions: Regions) -> Regions {
    let wide = rows(steps_width(usize::from(rest.width)));
    regions.steps = Rect { width: wide, ..rest };
    let mut right = Rect { x: rest.x + wide + 2, width: rest.width - wide - 2, ..rest };
    if wants.urgent {
        regions.window = top(&mut right, wants.window);
        regions.clients = top(&mut right, wants.clients);
        regions.gates = right;
        return regions;
    }
    let fixed = wants.clients + wants.window;
    regions.gates = top(&mut right, wants.gates);
    if right.height > fixed {
        right.y += 1;
        right.height -= 1;
        regions.clients = top(&mut right, wants.clients);
        if right.height > wants.window {
            right.y += 1;
            right.height -= 1;
        }
        regions.window = top(&mut right, wants.window);
    } else {
        regions.clients = top(&mut right, wants.clients);
        regions.window = if right.height >= 3 { top(&mut right, wants.window) } else { Rect::default() };
    }
    regions
}

fn three_columns(rest: Rect, wants: &Wants, mut regions: Regions) -> Regions {
    let first = rows(STEPS);
    let second = (rest.width - first) / 2;
    regions.steps = Rect { width: first - 2, ..rest };
    regions.gates = Rect { x: rest.x + first, width: second - 2, ..rest };
    let mut right = Rect { x: rest.x + first + second, width: rest.width - first - second, ..rest };
    regions.window = top(&mut right, wants.window);
    if right.height > wants.clients {
        right.y += 1;
        right.height -= 1;
    }
    regions.clients = top(&mut right, wants.clients);
    regions
}

fn rows(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn top(rest: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(rest.height);
    let taken = Rect { height: rows, ..*rest };
    rest.y += rows;
    rest.height -= rows;
    taken
}

fn bottom(rest: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(rest.height);
    rest.height -= rows;
    Rect { y: rest.y + rest.height, height: rows, ..*rest }
}
