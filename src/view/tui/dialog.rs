//! What is asked before a word is said: yes or no, a reason, and for severe ones the runbook's name.

use super::key::Key;
use super::model::Model;
use crate::executor::state::{RunState, Side};
use crate::journal::Word;
use crate::runbook::model::{Stage, Step};
use crate::view::way_back::way_back;
use crate::view::{board::Board, status};

/// Longest reason, in characters.
const REASON: usize = 200;

/// What a yes leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    /// A word to the run.
    Say(Word),
    /// The screen closes.
    Leave,
}

/// Where the cursor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// In the reason.
    Reason,
    /// In the runbook's name.
    Name,
    /// At yes or no.
    Yes,
}

/// A question to the person at the screen.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialog {
    /// What a yes leads to.
    pub purpose: Purpose,
    /// In a few words.
    pub title: String,
    /// What it means.
    pub body: String,
    /// The reason as it is typed; none where none is asked for.
    pub reason: Option<String>,
    /// Whether there must be a reason.
    pub wants_reason: bool,
    /// The name that must be typed.
    pub name: Option<String>,
    /// The name as it is typed.
    pub typed: String,
    /// Where the cursor stands.
    pub field: Field,
    /// What was wrong with the last answer.
    pub wrong: Option<String>,
}

/// What a key did to a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It stays open.
    Open,
    /// No.
    No,
    /// Yes.
    Yes,
}

impl Dialog {
    fn new(purpose: Purpose, title: impl Into<String>, body: impl Into<String>) -> Self {
        let (title, body) = (title.into(), body.into());
        let (reason, name, typed) = (None, None, String::new());
        Self { purpose, title, body, reason, wants_reason: false, name, typed, field: Field::Yes, wrong: None }
    }

    fn with_reason(mut self, wanted: bool) -> Self {
        self.reason = Some(String::new());
        self.wants_reason = wanted;
        self.field = Field::Reason;
        self
    }

    fn severe(mut self, name: Option<&str>) -> Self {
        self.name = name.map(str::to_owned);
        if self.reason.is_none() && self.name.is_some() {
            self.field = Field::Name;
        }
        self
    }

    /// The question before a word.
    #[must_use]
    pub fn before(board: &Board, word: &Word) -> Self {
        let state = &board.state;
        let name = state.plan.runbook.as_str();
        let (title, body) = meaning(board, word);
        let severe = is_severe(state, word).then_some(name);
        let dialog = Self::new(Purpose::Say(word.clone()), title, body);
        match word {
            Word::Rollback { .. } => dialog.with_reason(false).severe(severe),
            Word::Skip { .. } => dialog.with_reason(true).severe(severe),
            _ => dialog.severe(severe),
        }
    }

    /// The question before the screen closes while its run goes on.
    #[must_use]
    pub fn leave(model: &Model) -> Self {
        let body = format!("The run goes on without it. Look again from any terminal: {}", model.again);
        Self::new(Purpose::Leave, "Leave the screen?", body)
    }

    /// Takes a key.
    pub fn press(&mut self, key: Key) -> Answer {
        self.wrong = None;
        match (self.field, key) {
            (_, Key::Esc | Key::Ctrl('c')) => return Answer::No,
            (Field::Yes, Key::Char('y' | 'Y')) => return Answer::Yes,
            (Field::Yes, Key::Char('n' | 'N' | 'q')) => return Answer::No,
            (Field::Reason, Key::Enter) => self.after_reason(),
            (Field::Name, Key::Enter) if self.name.as_deref() == Some(self.typed.trim()) => return Answer::Yes,
            (Field::Name, Key::Enter) => self.wrong = Some("that is not its name; nothing was said".into()),
            (Field::Reason, key) => edit(self.reason.get_or_insert_default(), key),
            (Field::Name, key) => edit(&mut self.typed, key),
            _ => {}
        }
        Answer::Open
    }

    fn after_reason(&mut self) {
        let empty = self.reason.as_ref().is_none_or(|reason| reason.trim().is_empty());
        if self.wants_reason && empty {
            self.wrong = Some("a reason is wanted: it is journaled with your name".into());
            return;
        }
        self.field = if self.name.is_some() { Field::Name } else { Field::Yes };
    }

    /// The reason, if one was given.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        let reason = self.reason.as_ref().map(|reason| reason.trim().to_owned());
        reason.filter(|reason| !reason.is_empty())
    }
}

fn edit(text: &mut String, key: Key) {
    match key {
        Key::Char(char) if text.chars().count() < REASON && !char.is_control() => text.push(char),
        Key::Backspace => drop(text.pop()),
        Key::Ctrl('u') => text.clear(),
        _ => {}
    }
}

/// What a word means now, for somebody who is about to say it.
fn meaning(board: &Board, word: &Word) -> (String, String) {
    let state = &board.state;
    match word {
        Word::Approve { step } => {
            let question = status::asked(state).map(|(_, message)| message).unwrap_or_default();
            let follows = next_step(state, step).map(|next| format!(" Next: {next}.")).unwrap_or_default();
            (format!("Approve {step}?"), format!("{question}{follows}{}", finality(state, step)))
        }
        Word::Continue => {
            ("Continue?".into(), held(state, "What failed is tried again, what is in doubt is looked at."))
        }
        Word::Retry => ("Retry?".into(), held(state, "What failed or is in doubt is done again, without a look.")),
        Word::Adopt => ("Adopt?".into(), held(state, "What somebody else changed stays as it is now.")),
        Word::Restore => ("Restore?".into(), held(state, "What the run had left there is put back.")),
        Word::Skip { step } => {
            (format!("Skip {step}?"), format!("The run goes on as if {step} were done; nothing of it is taken back."))
        }
        Word::Rollback { to: None } => ("Roll back?".into(), way_back(state, board.executed, &board.estimates).words),
        Word::Rollback { to: Some(to) } => {
            (format!("Roll back to {to}?"), format!("Everything behind {to} is taken back; {to} stays done."))
        }
        Word::Hold => ("Hold?".into(), String::new()),
    }
}

fn held(state: &RunState, then: &str) -> String {
    let reason = state.hold.as_ref().map(|reason| format!("Held: {reason}. ")).unwrap_or_default();
    format!("{reason}{then}")
}

fn next_step<'a>(state: &'a RunState, step: &str) -> Option<&'a str> {
    let position = state.plan.position(step)?;
    state.plan.step(position + 1).map(|next| next.id.as_str())
}

fn finality(state: &RunState, step: &str) -> &'static str {
    if leads_to_finalize(state, step) { " The way back is dropped then: no rollback any more." } else { "" }
}

/// Whether nobody is asked again before the point of no return.
fn leads_to_finalize(state: &RunState, step: &str) -> bool {
    let Some(position) = state.plan.position(step) else { return false };
    let behind = state.plan.steps.iter().skip(position + 1);
    let mut behind = behind.take_while(|step| !matches!(step.step, Step::Approve(_)));
    behind.any(|step| matches!(step.step, Step::Finalize(_)))
}

/// Whether the runbook's name must be typed.
fn is_severe(state: &RunState, word: &Word) -> bool {
    let production = state.plan.stage == Stage::Production;
    match word {
        Word::Rollback { .. } => production || state.writer == Side::Target,
        Word::Skip { .. } => production,
        Word::Approve { step } => leads_to_finalize(state, step),
        Word::Hold | Word::Continue | Word::Retry | Word::Adopt | Word::Restore => false,
    }
}
