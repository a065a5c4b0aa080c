//! The pictures of the documents are frames of the screen, drawn from a journal that a rehearsal left. `make pictures`
//! writes them anew.

use std::fmt::Write as _;
use std::path::Path;

use pointsman::journal::{Entry, Event as Happened};
use pointsman::view::estimates::Estimates;
use pointsman::view::tui::key::Key;
use pointsman::view::tui::model::Mode;
use pointsman::view::tui::theme::Theme;
use pointsman::view::tui::update::Event;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use serde_json::json;

use super::stage::Stage;

const JOURNAL: &str = include_str!("../../fixtures/screen/by-hand.jsonl");
/// Columns and lines of a picture.
const SIZE: (u16, u16) = (104, 32);
/// Width and height of a cell.
const CELL: (f64, f64) = (8.4, 18.0);

fn entries() -> Vec<Entry> {
    JOURNAL.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The run as it was right behind an entry.
fn behind(is: impl Fn(&Happened) -> bool) -> Stage {
    let all = entries();
    let last = all.iter().position(|entry| is(&entry.event)).unwrap();
    let mut stage = Stage::of(all[..=last].to_vec(), Mode::Control);
    let mut estimates = Estimates::default();
    estimates.take(&all);
    stage.tell(Event::Estimates(estimates));
    stage
}

fn begins(step: &'static str) -> impl Fn(&Happened) -> bool {
    move |event| matches!(event, Happened::Intent { of, .. } if of.step == step)
}

fn waiting() -> Stage {
    let mut stage = behind(begins("wait"));
    let at = stage.model.now - jiff::SignedDuration::from_millis(300);
    let reading = json!({ "verdict": "fail", "value": "1.7 MiB behind", "number": 1.7e6, "threshold": "at most 1.0 MiB", "at": at });
    let history: Vec<f64> = (0..40).map(|n| 4e6 - 5.8e4 * f64::from(n) + 3e5 * f64::from(n * 7 % 5)).collect();
    let until = at + jiff::SignedDuration::from_secs(53);
    let gate = json!({ "step": "wait", "gate": "lag", "text": "", "reading": reading, "until": until, "then": "hold", "history": history });
    let clients = json!({ "writes": 1003, "median-ms": 0.9, "p99-ms": 3.4, "longest-ms": 18.2, "failed": 0 });
    let samples = [("gate:lag", gate), ("clients", clients)].map(|(key, body)| (key.to_owned(), (at, body)));
    stage.tell(Event::Samples(samples.into_iter().collect()));
    stage
}

fn window() -> Stage {
    let mut stage = behind(|event| matches!(event, Happened::Committed { .. }));
    let at = stage.model.board.as_ref().unwrap().state.latest;
    stage.tell(Event::Tick(at + jiff::SignedDuration::from_millis(1)));
    stage
}

fn rollback() -> Stage {
    let mut stage = behind(|event| matches!(event, Happened::Noted { note, .. } if note.get("asks").is_some()));
    stage.press(Key::Char('b'));
    stage.text("errors on the new side");
    stage.press(Key::Enter);
    stage.text("rehearsal-po");
    stage
}

#[test]
fn the_pictures_of_the_documents_are_frames_of_the_screen() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screen");
    for (name, mut stage) in [("waiting", waiting()), ("window", window()), ("rollback", rollback())] {
        let picture = svg(&stage.frame(SIZE.0, SIZE.1, Theme::new(true, true)));
        let path = folder.join(format!("{name}.svg"));
        if std::env::var_os("POINTSMAN_PICTURES").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &picture).unwrap();
        }
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(known == picture, "{} is not what the screen shows now: make pictures", path.display());
    }
}

fn svg(buffer: &Buffer) -> String {
    let (width, height) = (f64::from(buffer.area.width) * CELL.0 + 16.0, f64::from(buffer.area.height) * CELL.1 + 16.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" width=\"{width:.0}\" font-family=\"'DejaVu Sans Mono', \
         Menlo, Consolas, monospace\" font-size=\"14\">\n<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#16181d\"/>\n"
    );
    for y in 0..buffer.area.height {
        for (x, cells) in runs(buffer, y) {
            run(&mut svg, f64::from(x), f64::from(y), &cells);
        }
    }
    svg + "</svg>\n"
}

/// Neighbours of one style; blanks at the ends of a run draw nothing but their ground.
fn runs(buffer: &Buffer, y: u16) -> Vec<(u16, Vec<Cell>)> {
    let mut runs: Vec<(u16, Vec<Cell>)> = Vec::new();
    for x in 0..buffer.area.width {
        let cell = buffer[(x, y)].clone();
        match runs.last_mut().filter(|(_, cells)| cells[0].style() == cell.style()) {
            Some((_, cells)) => cells.push(cell),
            None => runs.push((x, vec![cell])),
        }
    }
    runs
}

fn run(svg: &mut String, x: f64, y: f64, cells: &[Cell]) {
    let (left, top) = (x * CELL.0 + 8.0, y * CELL.1 + 8.0);
    let count = u32::try_from(cells.len()).map(f64::from).unwrap();
    let first = &cells[0];
    if let Some(ground) = hex(first.bg) {
        let (width, height) = (count * CELL.0, CELL.1);
        writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{ground}\"/>"
        )
        .unwrap();
    }
    let text: String = cells.iter().map(Cell::symbol).collect();
    let blanks = text.chars().take_while(|char| *char == ' ').count();
    let shown = text.trim();
    if shown.is_empty() {
        return;
    }
    let left = left + f64::from(u32::try_from(blanks).unwrap()) * CELL.0;
    let length = f64::from(u32::try_from(shown.chars().count()).unwrap()) * CELL.0;
    let bold = if first.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let dim = if first.modifier.contains(Modifier::DIM) { " opacity=\"0.55\"" } else { "" };
    let colour = hex(first.fg).unwrap_or("#d8dce3");
    let base = top + CELL.1 - 5.0;
    let escaped = shown.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(
        svg,
        "<text x=\"{left:.1}\" y=\"{base:.1}\" textLength=\"{length:.1}\" fill=\"{colour}\"{bold}{dim} xml:space=\"preserve\">{escaped}</text>"
    )
    .unwrap();
}

const fn hex(colour: Color) -> Option<&'static str> {
    match colour {
        Color::Black => Some("#101216"),
        Color::White => Some("#ffffff"),
        Color::Red => Some("#e0453a"),
        Color::Green => Some("#3fb950"),
        Color::Yellow => Some("#e3b341"),
        Color::Blue => Some("#4c8dff"),
        Color::Magenta => Some("#d07be8"),
        _ => None,
    }
}
