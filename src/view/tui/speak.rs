//! A key becomes a word to the run: refused at once when it can't be taken, asked about when it could do harm.

use super::dialog::Dialog;
use super::keymap::Action;
use super::model::{Mode, Model};
use super::update::Effect;
use crate::executor::decide::accepts;
use crate::executor::state::StepState;
use crate::journal::Word;
use crate::view::board::Board;
use crate::view::status;

/// A word: refused at once when it can't be taken, said at once when it is harmless, else asked about.
pub(super) fn speak(model: &mut Model, action: Action) -> Vec<Effect> {
    if model.mode != Mode::Control {
        model.refuse(format!("this screen only looks; to speak: {}", model.again));
        return Vec::new();
    }
    let Some(board) = &model.board else { return Vec::new() };
    let word = match word(model, board, action) {
        Ok(word) => word,
        Err(reason) => {
            model.refuse(reason);
            return Vec::new();
        }
    };
    match accepts(&board.state, &word) {
        Err(reason) => model.refuse(format!("{} can't be said: {reason}", word.name())),
        Ok(()) if word == Word::Hold => return vec![Effect::Say(word, None)],
        Ok(()) => model.dialog = Some(Dialog::before(board, &word)),
    }
    Vec::new()
}

fn word(model: &Model, board: &Board, action: Action) -> Result<Word, String> {
    let chosen = || board.state.plan.step(model.at()).map(|step| step.id.clone());
    match action {
        Action::Approve => match status::asked(&board.state) {
            Some((name, _)) => Ok(Word::Approve { step: name.to_owned() }),
            None => late(board).ok_or_else(|| "nothing is asked now".to_owned()),
        },
        Action::Hold => Ok(Word::Hold),
        Action::Continue => Ok(Word::Continue),
        Action::Retry => Ok(Word::Retry),
        Action::Adopt => Ok(Word::Adopt),
        Action::Restore => Ok(Word::Restore),
        Action::Skip => chosen().map(|step| Word::Skip { step }).ok_or_else(|| "there is no step".to_owned()),
        Action::RollbackTo if model.chosen.is_none() => Err("choose the step that stays, with up and down".to_owned()),
        Action::RollbackTo => Ok(Word::Rollback { to: chosen() }),
        _ => Ok(Word::Rollback { to: None }),
    }
}

/// A question that nobody answered in time can still be answered.
fn late(board: &Board) -> Option<Word> {
    let (step, record) = board.step()?;
    let late = step.step.kind() == "approve" && matches!(record.forth, StepState::Failed(_));
    late.then(|| Word::Approve { step: step.id.clone() })
}

/// What became possible or impossible while somebody was typing is looked at again.
pub(super) fn say(model: &mut Model, word: Word, why: Option<String>) -> Vec<Effect> {
    let Some(board) = &model.board else { return Vec::new() };
    match accepts(&board.state, &word) {
        Ok(()) => vec![Effect::Say(word, why)],
        Err(reason) => {
            model.refuse(format!("{} can't be said: {reason}", word.name()));
            Vec::new()
        }
    }
}
