//! What happens changes the model, and asks for effects. Pure: time and the world come in as events.

use jiff::Timestamp;

use super::dialog::{Answer, Dialog, Purpose};
use super::key::Key;
use super::keymap::{self, Action};
use super::model::{Mode, Model, Page};
use super::plain_page;
use super::speak::{say, speak};
use crate::journal::{Entry, Event as Happened, Spoken, TakeReason, Word};
use crate::view::board::{Board, Samples, seconds};
use crate::view::estimates::Estimates;

/// How long a line for the person stays.
const NOTICE_SECS: f64 = 12.0;
/// Events that a page of the log moves by.
const PAGE_EVENTS: usize = 5;
/// Lines that a page of text moves by.
const PAGE_LINES: usize = 10;

/// What comes in.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// The terminal has another size.
    Resized,
    /// Time went on.
    Tick(Timestamp),
    /// New entries of the journal.
    Entries(Vec<Entry>),
    /// The latest measurements.
    Samples(Samples),
    /// Whether a living executor has the run, and the words that it has not heard yet.
    Standing {
        /// Whether a living executor has the run.
        executed: bool,
        /// Words that were not heard yet.
        waiting: Vec<Spoken>,
    },
    /// What earlier runs say.
    Estimates(Estimates),
    /// A word was left for the executor, or could not be.
    Said(Word, Result<(), String>),
    /// The executor that this command started is gone, with its last words.
    Left(String),
    /// The journal can't be read now.
    Unreadable(String),
    /// The screen shall close: the terminal is gone, or what it was opened for is over.
    Close,
}

/// What is to be done outside of the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Leave a word for the executor.
    Say(Word, Option<String>),
    /// Ring the terminal's bell: somebody is needed.
    Bell,
    /// Close the screen.
    Leave,
    /// The replay goes to the next entry.
    Next,
    /// The replay goes at another pace.
    Pace,
}

/// Takes an event.
pub fn update(model: &mut Model, event: Event) -> Vec<Effect> {
    match event {
        Event::Key(key) => return press(model, key),
        Event::Resized => {}
        Event::Tick(now) => tick(model, now),
        Event::Entries(entries) => return take(model, entries),
        Event::Samples(samples) => {
            if let Some(board) = &mut model.board {
                board.samples = samples;
            }
        }
        Event::Standing { executed, waiting } => {
            model.waiting = waiting;
            if let Some(board) = &mut model.board {
                board.executed = executed;
            }
        }
        Event::Estimates(estimates) => {
            if let Some(board) = &mut model.board {
                board.estimates = estimates;
            }
        }
        Event::Said(word, Ok(())) => {
            model.tell(format!("{}: said; the executor takes it at its next safe point", word.name()));
        }
        Event::Said(word, Err(reason)) => model.refuse(format!("{} could not be said: {reason}", word.name())),
        Event::Left(words) => model.left = Some(words),
        Event::Unreadable(reason) => model.refuse(reason),
        Event::Close => return vec![Effect::Leave],
    }
    Vec::new()
}

fn tick(model: &mut Model, now: Timestamp) {
    model.now = now;
    if let Some(board) = &mut model.board {
        board.now = now;
    }
    if model.notice.as_ref().is_some_and(|notice| seconds(notice.at, now) > NOTICE_SECS) {
        model.notice = None;
    }
}

fn take(model: &mut Model, entries: Vec<Entry>) -> Vec<Effect> {
    if entries.is_empty() {
        return Vec::new();
    }
    // Nobody is needed in a replay, and nothing is answered.
    let known = model.board.is_some() && !matches!(model.mode, Mode::Replay(_));
    let rings = known && entries.iter().any(|entry| calls_for_somebody(&entry.event));
    if known {
        for entry in &entries {
            answer(model, &entry.event);
        }
    }
    let shown = match &mut model.board {
        Some(board) => board.take(entries),
        None => Board::new(entries, model.now).map(|board| model.board = Some(board)),
    };
    if let Err(illegal) = shown {
        model.refuse(illegal.to_string());
    }
    if rings { vec![Effect::Bell] } else { Vec::new() }
}

/// Whether a person is needed now.
fn calls_for_somebody(event: &Happened) -> bool {
    match event {
        Happened::Held { .. } | Happened::Thawed { .. } | Happened::Ended { .. } => true,
        Happened::Noted { note, .. } => note.get("asks").is_some(),
        Happened::Took { reason } => *reason == TakeReason::Guard,
        _ => false,
    }
}

/// What became of this person's words.
fn answer(model: &mut Model, event: &Happened) {
    match event {
        Happened::Refused { word, who, reason } if *who == model.who => {
            model.refuse(format!("{} was refused: {reason}", word.name()));
        }
        Happened::Said { word, who, .. } if *who == model.who => model.tell(format!("{}: heard", word.name())),
        _ => {}
    }
}

fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    if let Some(dialog) = &mut model.dialog {
        let answer = dialog.press(key);
        return close(model, answer);
    }
    match keymap::action(model, key) {
        Some(action) => act(model, action),
        None => Vec::new(),
    }
}

fn close(model: &mut Model, answer: Answer) -> Vec<Effect> {
    if answer == Answer::Open {
        return Vec::new();
    }
    let Some(dialog) = model.dialog.take() else { return Vec::new() };
    match (answer, &dialog.purpose) {
        (Answer::Yes, Purpose::Say(word)) => say(model, word.clone(), dialog.why()),
        (Answer::Yes, Purpose::Leave) => vec![Effect::Leave],
        _ => {
            model.tell("nothing was said");
            Vec::new()
        }
    }
}

/// Does what a key asks for.
fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Approve
        | Action::Hold
        | Action::Continue
        | Action::Retry
        | Action::Adopt
        | Action::Restore
        | Action::Skip
        | Action::Rollback
        | Action::RollbackTo => return speak(model, action),
        Action::Leave => return leave(model),
        Action::Pause | Action::Faster | Action::Slower => return pace(model, action),
        Action::Next => return vec![Effect::Next],
        Action::Open => open(model),
        Action::Freeze => model.page = Page::Frozen { text: plain_page::text(model), top: 0 },
        Action::Help => model.page = Page::Help { top: 0 },
        Action::Filter => (model.filter, model.behind) = (model.filter.next(), 0),
        Action::Close => close_page(model),
        Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => {
            scroll(model, action);
        }
    }
    Vec::new()
}

fn open(model: &mut Model) {
    if model.board.is_some() {
        model.page = Page::Step { position: model.at(), top: 0 };
    }
}

fn close_page(model: &mut Model) {
    if model.page == Page::Board {
        (model.chosen, model.behind) = (None, 0);
    }
    model.page = Page::Board;
}

fn leave(model: &mut Model) -> Vec<Effect> {
    let over = model.board.as_ref().is_none_or(|board| board.state.outcome.is_some());
    if model.owner && !over {
        model.dialog = Some(Dialog::leave(model));
        return Vec::new();
    }
    vec![Effect::Leave]
}

fn pace(model: &mut Model, action: Action) -> Vec<Effect> {
    let Mode::Replay(pace) = &mut model.mode else { return Vec::new() };
    match action {
        Action::Faster => pace.speed = (pace.speed * 2.0).min(4096.0),
        Action::Slower => pace.speed = (pace.speed / 2.0).max(0.125),
        _ => pace.paused = !pace.paused,
    }
    vec![Effect::Pace]
}

fn scroll(model: &mut Model, action: Action) {
    if let Some(top) = model.page.top_mut() {
        *top = match action {
            Action::Up => top.saturating_sub(1),
            Action::Down => top.saturating_add(1),
            Action::PageUp => top.saturating_sub(PAGE_LINES),
            Action::PageDown => top.saturating_add(PAGE_LINES),
            Action::First => 0,
            _ => usize::MAX,
        };
        return;
    }
    match action {
        Action::Up | Action::Down => choose(model, action),
        Action::PageUp => model.behind = model.behind.saturating_add(PAGE_EVENTS),
        Action::PageDown => model.behind = model.behind.saturating_sub(PAGE_EVENTS),
        Action::First => model.behind = usize::MAX,
        _ => model.behind = 0,
    }
}

fn choose(model: &mut Model, action: Action) {
    let Some(board) = &model.board else { return };
    let last = board.state.plan.steps.len().saturating_sub(1);
    let at = model.at();
    model.chosen = Some(if action == Action::Up { at.saturating_sub(1) } else { (at + 1).min(last) });
}
