//! What the screen knows: the board of the run, and where the person is. No type of a terminal library is in it.

use jiff::Timestamp;

use super::dialog::Dialog;
use crate::journal::{Entry, Event, Spoken};
use crate::view::board::Board;

/// What a screen may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Look and speak.
    Control,
    /// Only look.
    ReadOnly,
    /// Look at what was.
    Replay(Pace),
}

/// How a replay goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// So many times as fast as it was.
    pub speed: f64,
    /// Whether it stands still.
    pub paused: bool,
}

/// What covers the screen.
#[derive(Clone, Debug, PartialEq)]
pub enum Page {
    /// The run.
    Board,
    /// One step in full.
    Step {
        /// Its position.
        position: usize,
        /// The first line that is shown.
        top: usize,
    },
    /// The keys.
    Help {
        /// The first line that is shown.
        top: usize,
    },
    /// Everything as plain text that stands still.
    Frozen {
        /// The text.
        text: String,
        /// The first line that is shown.
        top: usize,
    },
}

impl Page {
    /// The first line that is shown, where the page can be scrolled.
    pub const fn top_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::Board => None,
            Self::Step { top, .. } | Self::Help { top } | Self::Frozen { top, .. } => Some(top),
        }
    }
}

/// Which events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All.
    All,
    /// What people said and what was decided.
    Decisions,
    /// What went wrong.
    Trouble,
    /// Those of the chosen step, or of the one the run is at.
    Step,
}

impl Filter {
    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::All => Self::Decisions,
            Self::Decisions => Self::Trouble,
            Self::Trouble => Self::Step,
            Self::Step => Self::All,
        }
    }

    /// Its name on the screen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Decisions => "decisions",
            Self::Trouble => "trouble",
            Self::Step => "this step",
        }
    }

    /// Whether it lets an entry through; `step` is the chosen one.
    #[must_use]
    pub fn lets(self, entry: &Entry, step: &str) -> bool {
        match (self, &entry.event) {
            (Self::All, _) => true,
            (Self::Decisions, event) => matches!(
                event,
                Event::Said { .. }
                    | Event::Refused { .. }
                    | Event::Held { .. }
                    | Event::TurnedBack { .. }
                    | Event::Took { .. }
                    | Event::Committed { .. }
                    | Event::Ended { .. }
            ),
            (Self::Trouble, event) => matches!(
                event,
                Event::Failed { .. } | Event::Refused { .. } | Event::Held { .. } | Event::Thawed { .. }
            ),
            (Self::Step, Event::Judged { step: of, .. }) => of == step,
            (
                Self::Step,
                Event::Intent { of, .. }
                | Event::Noted { of, .. }
                | Event::Done { of, .. }
                | Event::Failed { of, .. }
                | Event::Interrupted { of },
            ) => of.step == step,
            (Self::Step, _) => false,
        }
    }
}

/// A line for the person, for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What it says.
    pub text: String,
    /// Whether something was refused or went wrong.
    pub bad: bool,
    /// Since when it is shown.
    pub at: Timestamp,
}

/// What the screen knows.
#[derive(Clone, Debug)]
pub struct Model {
    /// Id of the run.
    pub run: String,
    /// The person: `user@host`.
    pub who: String,
    /// What the screen may do.
    pub mode: Mode,
    /// What is known of the run; none before its first entry.
    pub board: Option<Board>,
    /// What covers the screen.
    pub page: Page,
    /// What is asked before something is done.
    pub dialog: Option<Dialog>,
    /// The chosen step; the one the run is at when none.
    pub chosen: Option<usize>,
    /// Which events are shown.
    pub filter: Filter,
    /// How many events behind the newest the log stands.
    pub behind: usize,
    /// A line for the person.
    pub notice: Option<Notice>,
    /// Words that no executor has heard yet.
    pub waiting: Vec<Spoken>,
    /// Whether the screen was opened by the command that began the run: it is told then that leaving is no end.
    pub owner: bool,
    /// The command that opens a screen of this run again.
    pub again: String,
    /// What the executor said last when it left without ending the run.
    pub left: Option<String>,
    /// The moment.
    pub now: Timestamp,
}

impl Model {
    /// A screen that knows nothing yet.
    #[must_use]
    pub fn new(run: &str, who: &str, mode: Mode, now: Timestamp) -> Self {
        Self {
            run: run.to_owned(),
            who: who.to_owned(),
            mode,
            board: None,
            page: Page::Board,
            dialog: None,
            chosen: None,
            filter: Filter::All,
            behind: 0,
            notice: None,
            waiting: Vec::new(),
            owner: false,
            again: format!("pointsman watch --control {run}"),
            left: None,
            now,
        }
    }

    /// The step that is chosen, else the one that the run is at.
    #[must_use]
    pub fn at(&self) -> usize {
        self.chosen.unwrap_or_else(|| self.board.as_ref().map_or(0, Board::current))
    }

    /// Tells the person something for a while.
    pub fn tell(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), bad: false, at: self.now });
    }

    /// Tells the person that something can't be.
    pub fn refuse(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), bad: true, at: self.now });
    }

    /// Whether something moves that people want to see move: the stopwatch of a window, a replay.
    #[must_use]
    pub fn is_lively(&self) -> bool {
        let replays = matches!(self.mode, Mode::Replay(pace) if !pace.paused);
        replays || self.board.as_ref().is_some_and(|board| board.state.passage.is_some())
    }

    /// Where the scrolled parts really stand, as they were drawn.
    pub const fn settle(&mut self, top: usize, behind: usize) {
        if let Some(shown) = self.page.top_mut() {
            *shown = top;
        }
        self.behind = behind;
    }
}
