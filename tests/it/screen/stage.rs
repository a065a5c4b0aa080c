//! A screen in a test: a model that is told things, and a terminal in memory.

use jiff::Timestamp;
use pointsman::journal::Entry;
use pointsman::view::tui::draw::{Drawn, draw};
use pointsman::view::tui::key::Key;
use pointsman::view::tui::model::{Mode, Model};
use pointsman::view::tui::theme::Theme;
use pointsman::view::tui::update::{Effect, Event, update};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

pub const RUN: &str = "rehearsal-postgres-20260301-100000-c0de";
pub const ME: &str = "kim@desk";

pub struct Stage {
    pub model: Model,
    pub drawn: Drawn,
}

impl Stage {
    /// A screen that has read these entries, a little later.
    pub fn of(entries: Vec<Entry>, mode: Mode) -> Self {
        let now =
            entries.last().map_or(Timestamp::UNIX_EPOCH, |last| last.at) + jiff::SignedDuration::from_millis(1400);
        let mut model = Model::new(RUN, ME, mode, now);
        model.owner = true;
        let mut stage = Self { model, drawn: Drawn::default() };
        stage.tell(Event::Entries(entries));
        stage.tell(Event::Tick(now));
        stage
    }

    pub fn tell(&mut self, event: Event) -> Vec<Effect> {
        update(&mut self.model, event)
    }

    pub fn press(&mut self, key: Key) -> Vec<Effect> {
        self.tell(Event::Key(key))
    }

    pub fn text(&mut self, text: &str) {
        for char in text.chars() {
            self.press(Key::Char(char));
        }
    }

    /// One frame, as the loop draws it.
    pub fn frame(&mut self, width: u16, height: u16, theme: Theme) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| self.drawn = draw(frame, &self.model, theme)).unwrap();
        self.model.settle(self.drawn.top, self.drawn.behind);
        terminal.backend().buffer().clone()
    }

    /// The lines of one frame.
    pub fn lines(&mut self, width: u16, height: u16) -> String {
        lines(&self.frame(width, height, Theme::new(true, true)))
    }

    pub fn shows(&mut self, words: &str) -> bool {
        self.lines(120, 40).contains(words)
    }
}

/// The text of a frame. The cell behind a wide sign is empty.
pub fn lines(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut text = String::new();
    for y in 0..area.height {
        let mut line = String::new();
        let mut covered = 0;
        for x in 0..area.width {
            if covered > 0 {
                covered -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            covered = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
