//! How the run stands, as a word on a ground of its own and what there is to say about it.

use crate::executor::state::StepState;
use crate::journal::Outcome;
use crate::systems::pair::Heading;
use crate::view::board::Board;
use crate::view::status;
use crate::view::tui::theme::Tone;

/// How the run stands.
pub struct Standing {
    /// A word or two.
    pub badge: &'static str,
    /// What it is like.
    pub tone: Tone,
    /// What there is to say.
    pub text: String,
}

/// How the run stands.
#[must_use]
pub fn standing(board: &Board) -> Standing {
    let state = &board.state;
    let is = |badge, tone, text: String| Standing { badge, tone, text };
    if let Some((outcome, reason)) = &state.outcome {
        return match outcome {
            Outcome::Done => is("DONE", Tone::GoodBadge, reason.clone()),
            Outcome::RolledBack => is("ROLLED BACK", Tone::BusyBadge, reason.clone()),
            Outcome::Refused => is("REFUSED", Tone::BadBadge, format!("nothing was changed: {reason}")),
        };
    }
    if let Some(reason) = &state.hold {
        let badge = held(board, reason);
        return is(badge.0, badge.1, reason.clone());
    }
    match (&state.passage, board.executed) {
        (Some(_), false) => is("NOBODY EXECUTES IT", Tone::BadBadge, "WRITES WAIT. At once: pointsman resume".into()),
        (None, false) => is("NOBODY EXECUTES IT", Tone::BadBadge, "go on with: pointsman resume".into()),
        (Some(passage), true) if passage.committed => {
            is("WINDOW", Tone::WarnBadge, "WRITES WAIT; the commit point is behind: forward only".into())
        }
        (Some(_), true) => is("WINDOW", Tone::WarnBadge, "WRITES WAIT; anything that fails leads back out".into()),
        (None, true) if state.heading == Heading::Back => {
            is("ROLLING BACK", Tone::WarnBadge, state.back_reason.clone().unwrap_or_default())
        }
        (None, true) => under_way(board),
    }
}

fn held(board: &Board, reason: &str) -> (&'static str, Tone) {
    let failed = |state: &StepState| matches!(state, StepState::UndoFailed(_));
    let stuck = board.state.steps.iter().any(|step| failed(&step.forth) || failed(&step.back));
    if stuck || board.state.passage.is_some() {
        ("STUCK", Tone::BadBadge)
    } else if reason.starts_with("in doubt") {
        ("IN DOUBT", Tone::BadBadge)
    } else {
        ("HELD", Tone::WarnBadge)
    }
}

fn under_way(board: &Board) -> Standing {
    let is = |badge, tone, text: String| Standing { badge, tone, text };
    if let Some((_, question)) = status::asked(&board.state) {
        return is("ASKS", Tone::WarnBadge, question.to_owned());
    }
    let step = board.step().map(|(step, _)| step.id.clone()).unwrap_or_default();
    let closed: Vec<&str> = board
        .gates()
        .iter()
        .filter(|gate| gate.sample.as_ref().is_none_or(|sample| !sample.open))
        .map(|gate| gate.name)
        .collect();
    let busy = board.progress().map(|text| format!(": {text}")).unwrap_or_default();
    if closed.is_empty() {
        is("RUNS", Tone::GoodBadge, format!("{step}{busy}"))
    } else {
        is("WAITS", Tone::BusyBadge, format!("{step} for {}{busy}", closed.join(", ")))
    }
}
