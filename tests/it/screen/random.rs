//! Anything in any order: no panic, no line wider than the screen, nothing said without a question.

use std::sync::OnceLock;

use pointsman::journal::{Act, Event as Happened, FailureKind, Outcome, Word};
use pointsman::systems::pair::Heading;
use pointsman::view::tui::draw::Drawn;
use pointsman::view::tui::key::Key;
use pointsman::view::tui::model::{Mode, Model};
use pointsman::view::tui::theme::Theme;
use pointsman::view::tui::update::{Effect, Event};
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr as _;

use super::scenes::scenes;
use super::stage::{Stage, lines};
use crate::standings::{Told, mv};

const KEYS: [Key; 13] = [
    Key::Enter,
    Key::Esc,
    Key::Backspace,
    Key::Up,
    Key::Down,
    Key::PageUp,
    Key::PageDown,
    Key::Home,
    Key::End,
    Key::Ctrl('c'),
    Key::Ctrl('u'),
    Key::Char('y'),
    Key::Char('東'),
];

const STEPS: [&str; 6] = ["replicate", "wait", "shift", "window", "freeze", "approve"];

#[derive(Clone, Debug)]
enum Happens {
    Key(Key),
    Entry(usize, u8),
    Later(i64),
    Gone(bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        (0..KEYS.len()).prop_map(|key| Happens::Key(KEYS[key])),
        prop::char::range(' ', '~').prop_map(|char| Happens::Key(Key::Char(char))),
        prop::sample::select(vec!['a', 'h', 'c', 'r', 's', 'b', 'B', 'f', 'z', '?', 'q'])
            .prop_map(|char| Happens::Key(Key::Char(char))),
        (0..14_usize, 0..10_u8).prop_map(|(step, kind)| Happens::Entry(step, kind)),
        (0..100_000_i64).prop_map(Happens::Later),
        any::<bool>().prop_map(Happens::Gone),
    ]
}

/// An entry that may or may not fit what stands before it.
fn entry(stage: &Stage, step: usize, kind: u8) -> Vec<pointsman::journal::Entry> {
    let step = STEPS[step % STEPS.len()];
    let of = mv(step, if kind > 7 { Act::Undo } else { Act::Apply }, Heading::Forth);
    let event = match kind {
        0 | 8 => Happened::Intent { of, attempt: 1 },
        1 | 9 => Happened::Done { of, note: serde_json::json!({}), millis: 12.0 },
        2 => Happened::Failed { of, failure: crate::standings::failure(FailureKind::Refused) },
        3 => Happened::Held { reason: "\u{1b}[31mred\u{7} 東京 ".repeat(20) },
        4 => Happened::Said { word: Word::Continue, who: "lee@tower".into(), why: None },
        5 => Happened::TurnedBack { to: None, reason: "a person".into() },
        6 => Happened::Refused { word: Word::Hold, who: super::stage::ME.into(), reason: "not now".into() },
        _ => Happened::Ended { outcome: Outcome::Done, reason: String::new() },
    };
    let mut told = Told(stage.model.board.as_ref().map(|board| board.entries.clone()).unwrap_or_default());
    told = told.and(event);
    told.0.split_off(told.0.len() - 1)
}

/// The scenes, made once: it takes longer than drawing them.
fn models() -> &'static [Model] {
    static MODELS: OnceLock<Vec<Model>> = OnceLock::new();
    MODELS.get_or_init(|| scenes().into_iter().map(|(_, stage)| stage.model).collect())
}

fn is_harmless(effect: &Effect, answered: bool) -> bool {
    !matches!(effect, Effect::Say(word, _) if *word != Word::Hold && !answered)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_breaks_the_screen(
        scene in 0..40_usize,
        all in prop::collection::vec((happens(), 1..210_u16, 1..70_u16), 1..25),
        read_only in any::<bool>(),
        unicode in any::<bool>(),
    ) {
        let known = models();
        let mut stage = Stage { model: known[scene % known.len()].clone(), drawn: Drawn::default() };
        if read_only {
            stage.model.mode = Mode::ReadOnly;
        }
        for (happens, width, height) in all {
            let asked = stage.model.dialog.is_some();
            let effects = match happens {
                Happens::Key(key) => stage.press(key),
                Happens::Entry(step, kind) => {
                    let entries = entry(&stage, step, kind);
                    stage.tell(Event::Entries(entries))
                }
                Happens::Later(seconds) => {
                    let now = stage.model.now + jiff::SignedDuration::from_secs(seconds);
                    stage.tell(Event::Tick(now))
                }
                Happens::Gone(executed) => stage.tell(Event::Standing { executed, waiting: vec![] }),
            };
            prop_assert!(effects.iter().all(|effect| is_harmless(effect, asked)), "{effects:?} without a question");
            prop_assert!(!read_only || !effects.iter().any(|effect| matches!(effect, Effect::Say(..)) && !asked));
            let frame = stage.frame(width, height, Theme::new(true, unicode));
            for line in lines(&frame).lines() {
                prop_assert!(line.width() <= usize::from(width), "{} columns: {line}", line.width());
                prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
}
