//! Every key of the keymap, and what is asked before something is said.

use std::collections::BTreeSet;

use pointsman::journal::{Act, Event as Happened, FailureKind, Outcome, Spoken, Word};
use pointsman::systems::pair::Heading;
use pointsman::view::tui::dialog::{Field, Purpose};
use pointsman::view::tui::key::Key;
use pointsman::view::tui::keymap::{self, Action, Binding, LOOK, PAGE, REPLAY, WORDS};
use pointsman::view::tui::model::{Filter, Mode, Pace, Page};
use pointsman::view::tui::update::{Effect, Event};

use super::stage::{ME, Stage};
use crate::standings::{Told, mv};

const FORTH: Heading = Heading::Forth;

fn asking() -> Told {
    Told::begun().up_to("approve").intends(mv("approve", Act::Apply, FORTH))
}

fn held() -> Told {
    Told::begun()
        .up_to("shift")
        .failed(mv("shift", Act::Apply, FORTH), FailureKind::GateHold)
        .held("shift: a gate fails")
}

fn control(told: Told) -> Stage {
    Stage::of(told.0, Mode::Control)
}

fn replay() -> Stage {
    Stage::of(asking().0, Mode::Replay(Pace { speed: 4.0, paused: false }))
}

fn purpose(stage: &Stage) -> Option<Purpose> {
    stage.model.dialog.as_ref().map(|dialog| dialog.purpose.clone())
}

fn speed(stage: &Stage) -> (f64, bool) {
    match stage.model.mode {
        Mode::Replay(pace) => (pace.speed, pace.paused),
        _ => panic!("no replay"),
    }
}

/// On the board: a match without a default, so that a new action has a test or nothing builds.
fn check(binding: &Binding, key: Key) {
    let asks = |told: Told, word: Word| {
        let mut stage = control(told);
        assert_eq!(stage.press(key), vec![], "{key} says nothing before it was asked about");
        assert_eq!(purpose(&stage), Some(Purpose::Say(word)), "{key}");
    };
    let step = |id: &str| id.to_owned();
    match binding.action {
        Action::Approve => asks(asking(), Word::Approve { step: step("approve") }),
        Action::Continue => asks(held(), Word::Continue),
        Action::Retry => asks(held(), Word::Retry),
        Action::Adopt => check_drift(key, Word::Adopt),
        Action::Restore => check_drift(key, Word::Restore),
        Action::Skip => asks(held(), Word::Skip { step: step("shift") }),
        Action::Rollback => asks(held(), Word::Rollback { to: None }),
        Action::Hold => assert_eq!(control(asking()).press(key), vec![Effect::Say(Word::Hold, None)]),
        Action::RollbackTo => {
            let mut stage = control(held());
            stage.press(key);
            assert!(stage.model.notice.as_ref().unwrap().bad, "a step must be chosen first");
            stage.press(Key::Up);
            stage.press(key);
            assert_eq!(purpose(&stage), Some(Purpose::Say(Word::Rollback { to: Some(step("wait")) })));
        }
        Action::Open => {
            let mut stage = control(held());
            stage.press(key);
            assert!(matches!(stage.model.page, Page::Step { position: 3, .. }) && stage.shows("Move traffic of web"));
        }
        Action::Up | Action::Down => {
            let mut stage = control(held());
            stage.press(key);
            assert_eq!(stage.model.chosen, Some(if binding.action == Action::Up { 2 } else { 4 }));
        }
        Action::PageUp | Action::PageDown | Action::First | Action::Last => check_log(binding.action, key),
        Action::Filter => {
            let mut stage = control(held());
            let seen: Vec<Filter> = (0..4).map(|_| (stage.press(key), stage.model.filter).1).collect();
            assert_eq!(seen, [Filter::Decisions, Filter::Trouble, Filter::Step, Filter::All]);
            stage.press(key);
            assert!(stage.shows("HELD: shift") && !stage.shows("preflight begins"));
        }
        Action::Freeze => {
            let mut stage = control(asking());
            stage.press(key);
            stage.tell(Event::Entries(asking().held("later").0.split_off(asking().0.len())));
            assert!(stage.shows("asks: Drop the way back?") && !stage.shows("later"), "it stands still");
        }
        Action::Help => {
            let mut stage = control(held());
            stage.press(key);
            let all = [WORDS, LOOK, REPLAY].concat();
            assert!(all.iter().all(|binding| stage.shows(&binding.help[..30.min(binding.help.len())])));
        }
        Action::Leave => {
            let mut stage = control(asking());
            assert_eq!((stage.press(key), purpose(&stage)), (vec![], Some(Purpose::Leave)));
            assert_eq!(stage.press(Key::Char('y')), vec![Effect::Leave]);
            assert_eq!(control(held().ended(Outcome::Done)).press(key), vec![Effect::Leave], "over: nothing to ask");
            let mut other = Stage::of(asking().0, Mode::ReadOnly);
            other.model.owner = false;
            assert_eq!(other.press(key), vec![Effect::Leave], "a watcher only leaves");
        }
        Action::Close => {
            let mut stage = control(held());
            (stage.model.chosen, stage.model.behind) = (Some(0), 3);
            stage.press(key);
            assert_eq!((stage.model.chosen, stage.model.behind), (None, 0));
        }
        Action::Pause => {
            let mut stage = replay();
            assert_eq!((stage.press(key), speed(&stage)), (vec![Effect::Pace], (4.0, true)));
        }
        Action::Faster => {
            let mut stage = replay();
            assert_eq!((stage.press(key), speed(&stage)), (vec![Effect::Pace], (8.0, false)));
        }
        Action::Slower => {
            let mut stage = replay();
            assert_eq!((stage.press(key), speed(&stage)), (vec![Effect::Pace], (2.0, false)));
        }
        Action::Next => assert_eq!(replay().press(key), vec![Effect::Next]),
    }
}

/// What somebody else changed is adopted or put back where a shift is held, and nowhere else.
fn check_drift(key: Key, word: Word) {
    let mut stage = control(held());
    assert_eq!((stage.press(key), purpose(&stage)), (vec![], Some(Purpose::Say(word.clone()))));
    assert_eq!(stage.press(Key::Char('y')), vec![Effect::Say(word, None)]);
    let mut stage = control(asking().held("later"));
    stage.press(key);
    assert!(stage.model.notice.as_ref().unwrap().bad && purpose(&stage).is_none(), "no shift is held");
}

fn check_log(action: Action, key: Key) {
    let mut stage = control(asking());
    stage.model.behind = 7;
    stage.press(key);
    let frame = stage.lines(120, 40);
    match action {
        Action::PageUp => assert!(stage.model.behind == 12 && frame.contains("12 newer below")),
        Action::PageDown => assert!(stage.model.behind == 2 && frame.contains("2 newer below")),
        Action::First => assert!(frame.contains("14 steps, plan") && stage.model.behind < 60, "{frame}"),
        _ => assert!(
            stage.model.behind == 0 && frame.contains("asks: Drop") || frame.contains("approve          begins")
        ),
    }
}

#[test]
fn every_key_of_the_board() {
    for binding in [WORDS, LOOK, REPLAY].concat() {
        for key in binding.keys {
            check(&binding, *key);
        }
    }
}

/// A page that covers the board: every key of it, on the help.
#[test]
fn every_key_of_a_page() {
    for binding in PAGE {
        for key in binding.keys {
            let mut stage = control(asking());
            stage.press(Key::Char('?'));
            for _ in 0..12 {
                stage.press(Key::Down);
            }
            stage.lines(60, 20);
            let effects = stage.press(*key);
            let top = |page: &Page| if let Page::Help { top } = page { Some(*top) } else { None };
            match binding.action {
                Action::Up => assert_eq!(top(&stage.model.page), Some(11)),
                Action::Down => assert_eq!(top(&stage.model.page), Some(13)),
                Action::PageUp => assert_eq!(top(&stage.model.page), Some(2)),
                Action::PageDown => assert_eq!(top(&stage.model.page), Some(22)),
                Action::First => assert_eq!(top(&stage.model.page), Some(0)),
                Action::Last => {
                    stage.lines(60, 20);
                    let end = top(&stage.model.page).unwrap();
                    assert!(end > 12 && end < 60, "the last line stands at the end: {end}");
                }
                Action::Close => assert_eq!(stage.model.page, Page::Board),
                Action::Leave => assert_eq!((effects, purpose(&stage)), (vec![], Some(Purpose::Leave))),
                other => panic!("{other:?} on a page has no test"),
            }
        }
    }
}

#[test]
fn no_key_means_two_things() {
    for tables in [vec![WORDS, LOOK], vec![REPLAY, LOOK], vec![PAGE]] {
        let mut seen = BTreeSet::new();
        for key in tables.into_iter().flatten().flat_map(|binding| binding.keys) {
            assert!(seen.insert(key.to_string()), "{key} stands twice");
        }
    }
}

/// The footer shows what does something now, and nothing that would be refused.
#[test]
fn the_footer_keeps_its_promises() {
    for (name, mut stage) in super::scenes::scenes() {
        if stage.model.page != Page::Board || stage.model.dialog.is_some() || stage.model.mode != Mode::Control {
            continue;
        }
        for binding in WORDS {
            let mut stage = Stage { model: stage.model.clone(), drawn: stage.drawn };
            let useful = keymap::is_useful(&stage.model, binding.action);
            let effects = stage.press(binding.keys[0]);
            let refused = effects.is_empty() && stage.model.dialog.is_none();
            assert!(!useful || !refused, "{name}: {} is offered and refused", binding.help);
        }
        stage.lines(80, 24);
    }
}

/// Yes, a reason, a name: what is said, and what is not.
#[test]
fn a_severe_word_wants_the_name_and_a_reason_where_it_must() {
    let mut stage = control(asking());
    stage.press(Key::Char('b'));
    stage.text("too slow");
    assert_eq!(stage.press(Key::Enter), vec![]);
    assert_eq!(stage.model.dialog.as_ref().unwrap().field, Field::Name, "writes are at the target: severe");
    stage.text("yes");
    assert_eq!(stage.press(Key::Enter), vec![], "another name says nothing");
    assert!(stage.shows("that is not its name"));
    stage.press(Key::Ctrl('u'));
    stage.text("rehearsal-postgress");
    stage.press(Key::Backspace);
    let said = vec![Effect::Say(Word::Rollback { to: None }, Some("too slow".into()))];
    assert_eq!(stage.press(Key::Enter), said);
    assert!(stage.model.dialog.is_none());
}

#[test]
fn a_skip_wants_a_reason() {
    let mut stage = control(held());
    stage.press(Key::Char('s'));
    stage.press(Key::Enter);
    assert!(stage.shows("a reason is wanted"));
    stage.text("known");
    stage.press(Key::Enter);
    let said = vec![Effect::Say(Word::Skip { step: "shift".into() }, Some("known".into()))];
    assert_eq!(stage.press(Key::Char('y')), said);
}

#[test]
fn a_no_says_nothing() {
    for key in [Key::Char('n'), Key::Esc, Key::Ctrl('c')] {
        let mut stage = control(held());
        stage.press(Key::Char('c'));
        assert_eq!(stage.press(key), vec![]);
        assert!(stage.model.dialog.is_none() && stage.shows("nothing was said"));
    }
}

/// While somebody was typing the run went on: what can't be taken any more is refused, with the reason.
#[test]
fn a_word_is_looked_at_again_when_it_is_said() {
    let mut stage = control(held());
    stage.press(Key::Char('c'));
    let next = held().said(Word::Continue).0.split_off(held().0.len());
    stage.tell(Event::Entries(next));
    assert_eq!(stage.press(Key::Char('y')), vec![]);
    assert!(stage.shows("continue can't be said: the run is not held"));
}

#[test]
fn what_cannot_be_taken_is_refused_with_the_reason() {
    let inside = || Told::begun().up_to("drain").intends(mv("drain", Act::Apply, FORTH));
    for (key, why) in
        [('h', "inside the window"), ('b', "inside the window"), ('c', "not held"), ('a', "nothing is asked")]
    {
        let mut stage = control(inside());
        assert_eq!(stage.press(Key::Char(key)), vec![]);
        assert!(stage.model.dialog.is_none());
        assert!(stage.model.notice.as_ref().is_some_and(|notice| notice.bad && notice.text.contains(why)), "{key}");
    }
}

#[test]
fn a_screen_that_only_looks_says_nothing() {
    for mode in [Mode::ReadOnly, Mode::Replay(Pace { speed: 1.0, paused: false })] {
        for binding in WORDS {
            let mut stage = Stage::of(held().0, mode);
            stage.press(Key::Up);
            assert_eq!(stage.press(binding.keys[0]), vec![]);
            assert!(stage.model.dialog.is_none());
        }
    }
}

/// What this person said is answered; what others said is seen with their name.
#[test]
fn words_are_answered_and_seen_by_all() {
    let mut stage = control(asking());
    let begun = asking().0.len();
    let refused = |who: &str| Happened::Refused { word: Word::Hold, who: who.into(), reason: "not now".into() };
    stage.tell(Event::Entries(asking().and(refused("lee@tower")).0.split_off(begun)));
    assert!(stage.model.notice.is_none() && stage.shows("lee@tower said hold, refused: not now"));
    stage.tell(Event::Entries(asking().and(refused("lee@tower")).and(refused(ME)).0.split_off(begun + 1)));
    assert!(stage.shows("hold was refused: not now"));
    stage.model.notice = None;
    let spoken = Spoken { id: 1, at: stage.model.now, word: Word::Hold, who: "lee@tower".into(), why: None };
    stage.tell(Event::Standing { executed: true, waiting: vec![spoken] });
    assert!(stage.shows("not heard yet: lee@tower said hold"));
}

/// The bell rings when a person is needed, and not for what was read at the beginning.
#[test]
fn the_bell_rings_when_somebody_is_needed() {
    let mut stage = control(Told::begun());
    let held = Told::begun().held("a gate fails").0.split_off(2);
    assert_eq!(stage.tell(Event::Entries(held)), vec![Effect::Bell]);
    let mut late = Stage::of(vec![], Mode::Control);
    assert_eq!(late.tell(Event::Entries(Told::begun().held("a gate fails").0)), vec![]);
}
