//! The keys, as data: the footer, the help and the tests are made from these tables.

use super::key::Key;
use super::model::{Mode, Model, Page};
use crate::executor::decide::accepts;
use crate::journal::Word;
use crate::view::board::Board;
use crate::view::status;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Say yes to the question that is asked.
    Approve,
    /// Stand still at the next safe point.
    Hold,
    /// Let a held run go on.
    Continue,
    /// Try what failed again.
    Retry,
    /// Go on from what somebody else left there.
    Adopt,
    /// Put back what somebody else changed, and go on.
    Restore,
    /// Leave a step out.
    Skip,
    /// Go back.
    Rollback,
    /// Go back down to the chosen step.
    RollbackTo,
    /// Open the chosen step, or the one the run is at.
    Open,
    /// Up: the step before, or a line up.
    Up,
    /// Down: the next step, or a line down.
    Down,
    /// Older events, or a page up.
    PageUp,
    /// Newer events, or a page down.
    PageDown,
    /// The oldest event, or the top.
    First,
    /// The newest event, or the end.
    Last,
    /// Show other events.
    Filter,
    /// Stop the screen for copying.
    Freeze,
    /// Help.
    Help,
    /// Leave the screen.
    Leave,
    /// Close what is open.
    Close,
    /// Replay: stand still, or go on.
    Pause,
    /// Replay: twice as fast.
    Faster,
    /// Replay: half as fast.
    Slower,
    /// Replay: to the next entry.
    Next,
}

/// One line of the keymap.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The keys; the first is shown in the footer.
    pub keys: &'static [Key],
    /// What they ask for.
    pub action: Action,
    /// A word or two for the footer; none for what is shown in the help only.
    pub label: Option<&'static str>,
    /// A sentence for the help.
    pub help: &'static str,
}

const fn bind(keys: &'static [Key], action: Action, label: Option<&'static str>, help: &'static str) -> Binding {
    Binding { keys, action, label, help }
}

/// Words to the run, in the order of the footer.
pub const WORDS: &[Binding] = &[
    bind(&[Key::Char('a')], Action::Approve, Some("approve"), "say yes to the question that the run asks"),
    bind(&[Key::Char('c')], Action::Continue, Some("continue"), "let a held run go on"),
    bind(&[Key::Char('r')], Action::Retry, Some("retry"), "try again what failed, also when it is in doubt"),
    bind(
        &[Key::Char('A')],
        Action::Adopt,
        None,
        "a shift that somebody else got in the way of: go on from what is there",
    ),
    bind(&[Key::Char('R')], Action::Restore, None, "the same: put back what the run had left there, and go on"),
    bind(
        &[Key::Char('s')],
        Action::Skip,
        Some("skip"),
        "leave out the chosen step, or the one that failed; wants a reason",
    ),
    bind(&[Key::Char('h')], Action::Hold, Some("hold"), "stand still at the next safe point; takes effect at once"),
    bind(&[Key::Char('b')], Action::Rollback, Some("roll back"), "take everything back; asks first"),
    bind(
        &[Key::Char('B')],
        Action::RollbackTo,
        None,
        "take everything back down to the chosen step, which stays; asks first",
    ),
];

/// Keys of a replay.
pub const REPLAY: &[Binding] = &[
    bind(&[Key::Char(' ')], Action::Pause, Some("pause"), "let the replay stand still, or go on"),
    bind(&[Key::Char('+'), Key::Char('=')], Action::Faster, Some("faster"), "twice as fast"),
    bind(&[Key::Char('-')], Action::Slower, Some("slower"), "half as fast"),
    bind(&[Key::Char('n')], Action::Next, Some("next"), "go to the next entry of the journal"),
];

/// Keys that only look.
pub const LOOK: &[Binding] = &[
    bind(
        &[Key::Enter],
        Action::Open,
        Some("step"),
        "open the chosen step: what it sends, its undo, its tries, its errors in full",
    ),
    bind(&[Key::Up, Key::Char('k')], Action::Up, None, "choose the step above"),
    bind(&[Key::Down, Key::Char('j')], Action::Down, None, "choose the step below"),
    bind(&[Key::PageUp, Key::Char('u')], Action::PageUp, None, "older events"),
    bind(&[Key::PageDown, Key::Char('d')], Action::PageDown, None, "newer events"),
    bind(&[Key::Home, Key::Char('g')], Action::First, None, "the oldest event"),
    bind(&[Key::End, Key::Char('G')], Action::Last, None, "the newest events, and follow them"),
    bind(
        &[Key::Char('f')],
        Action::Filter,
        Some("filter"),
        "events: all, what people said and decided, trouble, the chosen step",
    ),
    bind(&[Key::Char('z')], Action::Freeze, Some("freeze"), "all of it as plain text that stands still, for copying"),
    bind(&[Key::Esc], Action::Close, None, "choose no step, follow the newest events"),
    bind(&[Key::Char('?')], Action::Help, Some("help"), "this page"),
    bind(
        &[Key::Char('q'), Key::Ctrl('c')],
        Action::Leave,
        Some("quit"),
        "leave the screen; the run goes on without it",
    ),
];

/// Keys of a page that covers the board: a step, the help, the frozen screen.
pub const PAGE: &[Binding] = &[
    bind(&[Key::Up, Key::Char('k')], Action::Up, None, "a line up"),
    bind(&[Key::Down, Key::Char('j')], Action::Down, None, "a line down"),
    bind(&[Key::PageUp, Key::Char('u')], Action::PageUp, None, "a page up"),
    bind(&[Key::PageDown, Key::Char('d'), Key::Char(' ')], Action::PageDown, Some("page"), "a page down"),
    bind(&[Key::Home, Key::Char('g')], Action::First, None, "to the top"),
    bind(&[Key::End, Key::Char('G')], Action::Last, None, "to the end"),
    bind(&[Key::Esc, Key::Enter, Key::Char('q'), Key::Char('z')], Action::Close, Some("close"), "back to the board"),
    bind(&[Key::Ctrl('c')], Action::Leave, None, "leave the screen; the run goes on without it"),
];

/// The tables that count now.
#[must_use]
pub fn tables(model: &Model) -> Vec<&'static [Binding]> {
    match (&model.page, &model.mode) {
        (Page::Board, Mode::Replay(_)) => vec![REPLAY, LOOK],
        (Page::Board, _) => vec![WORDS, LOOK],
        _ => vec![PAGE],
    }
}

/// What a key asks for now.
#[must_use]
pub fn action(model: &Model, key: Key) -> Option<Action> {
    let all = tables(model).into_iter().flatten();
    all.into_iter().find(|binding| binding.keys.contains(&key)).map(|binding| binding.action)
}

/// Whether it would do something now, so that the footer shows it.
#[must_use]
pub fn is_useful(model: &Model, action: Action) -> bool {
    let Some(board) = &model.board else { return matches!(action, Action::Help | Action::Leave | Action::Close) };
    let word = match action {
        Action::Approve => return model.mode == Mode::Control && status::asked(&board.state).is_some(),
        Action::Hold => Word::Hold,
        Action::Continue => Word::Continue,
        Action::Retry => Word::Retry,
        Action::Adopt => Word::Adopt,
        Action::Restore => Word::Restore,
        Action::Rollback => Word::Rollback { to: None },
        Action::RollbackTo => {
            let step = model.chosen.and_then(|chosen| board.state.plan.step(chosen));
            let Some(step) = step else { return false };
            Word::Rollback { to: Some(step.id.clone()) }
        }
        Action::Skip => return model.mode == Mode::Control && wants_skipping(model, board),
        _ => return true,
    };
    let holds_already = word == Word::Hold && board.state.hold.is_some();
    model.mode == Mode::Control && !holds_already && accepts(&board.state, &word).is_ok()
}

/// A step is offered to be left out when it is chosen, or stands in the way.
fn wants_skipping(model: &Model, board: &Board) -> bool {
    let Some(step) = board.state.plan.step(model.at()) else { return false };
    let stands = model.chosen.is_some() || board.state.hold.is_some();
    stands && accepts(&board.state, &Word::Skip { step: step.id.clone() }).is_ok()
}
