//! Every runbook, in a world in memory: straight through; failing everywhere; each step twice; the journal cut after
//! every entry; forward and back. The invariants are checked after every act, by the world itself.

use pointsman::executor::Conclusion;
use pointsman::journal::{Act, Event, Move, Outcome, TakeReason, Word};
use pointsman::plan::Plan;
use pointsman::systems::pair::Heading;

use crate::fake::{Earth, Fault, Outing, Play, When, plan_of};

/// Every runbook that is shipped, and small ones with steps of the author's.
fn plans() -> Vec<Plan> {
    let root = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["runbooks", "tests/fixtures/plans"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            files.push(format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy()));
        }
    }
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    files.iter().map(|file| plan_of(file)).collect()
}

const BACK: Word = Word::Rollback { to: None };

fn can_return(plan: &Plan) -> bool {
    plan.point_of_no_return().is_none()
}

/// A plan without its point of no return: what a person who stops before it has.
fn returning(mut plan: Plan) -> Plan {
    plan.steps.retain(|step| step.step.kind() != "finalize");
    plan
}

fn is(conclusion: &Conclusion, outcome: Outcome) -> bool {
    matches!(conclusion, Conclusion::Ended(found, _) if *found == outcome)
}

#[tokio::test(start_paused = true)]
async fn straight_through() {
    for plan in plans() {
        let mut play = Play::new(&plan);
        let end = play.until_the_end(&Word::Continue).await;
        assert!(is(&end, Outcome::Done), "{end:?}\n{}", play.told());
        assert_eq!(play.fakes.acts(), plan.steps.len(), "each step once\n{}", play.told());
    }
}

#[tokio::test(start_paused = true)]
async fn forward_and_all_the_way_back() {
    for plan in plans().into_iter().map(returning) {
        let mut play = Play::new(&plan);
        play.until_the_end(&Word::Continue).await;
        play.say(&BACK);
        play.take(TakeReason::Rollback);
        let end = play.until_the_end(&Word::Continue).await;
        assert!(is(&end, Outcome::RolledBack), "{end:?}\n{}", play.told());
        assert_eq!(play.fakes.earth().shape(), Earth::new().shape(), "{}", play.told());
    }
}

#[tokio::test(start_paused = true)]
async fn each_step_and_each_undo_twice() {
    for plan in plans().into_iter().map(returning) {
        let mut play = Play::new(&plan);
        play.fakes.do_twice();
        let end = play.until_the_end(&Word::Continue).await;
        assert!(is(&end, Outcome::Done), "{end:?}\n{}", play.told());
        play.say(&BACK);
        play.take(TakeReason::Rollback);
        let end = play.until_the_end(&Word::Continue).await;
        assert!(is(&end, Outcome::RolledBack), "{end:?}\n{}", play.told());
        assert_eq!(play.fakes.earth().shape(), Earth::new().shape(), "{}", play.told());
    }
}

const FAULTS: [Fault; 9] = [
    Fault::Refused,
    Fault::Half,
    Fault::UnknownBefore,
    Fault::UnknownAfter,
    Fault::Hangs,
    Fault::GateRollback,
    Fault::DiesBefore,
    Fault::DiesHalf,
    Fault::DiesAfter,
];

/// A person continues: the run is done all the same.
#[tokio::test(start_paused = true)]
async fn failing_at_each_step_and_going_on() {
    for plan in plans() {
        let straight = Play::new(&plan);
        straight.outing(false).await;
        let shape = straight.fakes.earth().shape();
        for nth in 1..=plan.steps.len() {
            for fault in FAULTS.into_iter().filter(|fault| *fault != Fault::GateRollback) {
                let mut play = Play::new(&plan);
                play.fakes.fail(When::Nth(nth), fault);
                let end = play.until_the_end(&Word::Continue).await;
                assert!(is(&end, Outcome::Done), "{fault:?} at act {nth}: {end:?}\n{}", play.told());
                assert_eq!(play.fakes.earth().shape(), shape, "{fault:?} at act {nth}\n{}", play.told());
            }
        }
    }
}

/// A person goes back: everything is as it was.
#[tokio::test(start_paused = true)]
async fn failing_at_each_step_and_going_back() {
    for plan in plans().into_iter().map(returning) {
        for nth in 1..=plan.steps.len() {
            for fault in FAULTS.into_iter().filter(|fault| !fault.kills()) {
                let mut play = Play::new(&plan);
                play.fakes.fail(When::Nth(nth), fault);
                let end = play.until_the_end(&BACK).await;
                let back = is(&end, Outcome::RolledBack);
                assert!(back || is(&end, Outcome::Done), "{fault:?} at act {nth}: {end:?}\n{}", play.told());
                if back {
                    let shape = Earth::new().shape();
                    assert_eq!(play.fakes.earth().shape(), shape, "{fault:?} at act {nth}\n{}", play.told());
                }
            }
        }
    }
}

/// On the way back anything may fail too.
#[tokio::test(start_paused = true)]
async fn failing_at_each_act_of_the_way_back() {
    for plan in plans().into_iter().map(returning) {
        let acts = there_and_back(&plan, None).await.fakes.acts();
        for nth in plan.steps.len() + 1..=acts {
            for fault in FAULTS.into_iter().filter(|fault| *fault != Fault::GateRollback) {
                let play = there_and_back(&plan, Some((nth, fault))).await;
                assert_eq!(play.fakes.earth().shape(), Earth::new().shape(), "{fault:?} at {nth}\n{}", play.told());
            }
        }
    }
}

async fn there_and_back(plan: &Plan, fault: Option<(usize, Fault)>) -> Play {
    let mut play = Play::new(plan);
    if fault.is_none() {
        play.fakes.record();
    }
    if let Some((nth, fault)) = fault {
        play.fakes.fail(When::Nth(nth), fault);
    }
    play.until_the_end(&Word::Continue).await;
    play.say(&BACK);
    play.take(TakeReason::Rollback);
    let end = play.until_the_end(&Word::Continue).await;
    assert!(is(&end, Outcome::RolledBack), "{fault:?}: {end:?}\n{}", play.told());
    play
}

/// Killed after any entry, and resumed: by the guard inside the window, by a person elsewhere.
#[tokio::test(start_paused = true)]
async fn cut_after_every_entry_and_resumed() {
    for plan in plans() {
        let whole = Play::new(&plan);
        whole.fakes.record();
        whole.outing(false).await;
        let shape = whole.fakes.earth().shape();
        for count in 2..=whole.entries().len() {
            for cut in whole.cut(count) {
                let mut play = cut.play;
                play.answer();
                while play.rescue().await.is_some() {}
                let end = play.until_the_end(&Word::Continue).await;
                assert!(is(&end, Outcome::Done), "{}: {end:?}\n{}", cut.name, play.told());
                assert_eq!(play.fakes.earth().shape(), shape, "{}\n{}", cut.name, play.told());
                assert!(play.is_proved(), "{}\n{}", cut.name, play.told());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cut_after_every_entry_of_the_way_back_and_resumed() {
    for plan in plans().into_iter().map(returning) {
        let whole = there_and_back(&plan, None).await;
        let entries = whole.entries();
        let turned = entries.iter().position(|entry| matches!(entry.event, Event::TurnedBack { .. })).unwrap();
        for count in turned + 1..=entries.len() {
            for cut in whole.cut(count) {
                let mut play = cut.play;
                while play.rescue().await.is_some() {}
                let end = play.until_the_end(&Word::Continue).await;
                assert!(is(&end, Outcome::RolledBack), "{}: {end:?}\n{}", cut.name, play.told());
                assert_eq!(play.fakes.earth().shape(), Earth::new().shape(), "{}\n{}", cut.name, play.told());
                assert!(play.is_proved(), "{}\n{}", cut.name, play.told());
            }
        }
    }
}

/// The word is said while each act is under way: inside the window it is refused there, and taken afterwards or not at
/// all; everywhere else it leads back to where the run came from.
#[tokio::test(start_paused = true)]
async fn rollback_said_during_each_act() {
    for plan in plans().into_iter().map(returning) {
        for act in 1..=plan.steps.len() {
            let mut play = Play::new(&plan);
            play.fakes.say_at(act, BACK);
            let end = play.until_the_end(&Word::Continue).await;
            let inside = plan.steps[act - 1].window.is_some();
            let back = is(&end, Outcome::RolledBack);
            let refused = play.entries().iter().any(|entry| matches!(entry.event, Event::Refused { .. }));
            assert!(back || (inside && refused && is(&end, Outcome::Done)), "act {act}: {end:?}\n{}", play.told());
            if back {
                assert_eq!(play.fakes.earth().shape(), Earth::new().shape(), "act {act}\n{}", play.told());
            }
        }
    }
}

/// After the commit point the guard leads forward, before it back, and it goes no further than the window.
#[tokio::test(start_paused = true)]
async fn the_guard_leads_out_of_the_window_and_no_further() {
    let plan = plan_of("runbooks/rehearsal-postgres.yaml");
    for (step, writer) in [
        ("freeze", Heading::Forth),
        ("sequences", Heading::Forth),
        ("promote", Heading::Back),
        ("switch", Heading::Back),
    ] {
        for fault in [Fault::DiesBefore, Fault::DiesHalf, Fault::DiesAfter] {
            let mut play = Play::new(&plan);
            let of = Move { step: step.into(), act: Act::Apply, way: Heading::Forth };
            play.fakes.fail(When::Move(of, 1), fault);
            assert!(matches!(play.outing(false).await, Outing::Died));
            let before = play.fakes.acts();
            play.take(TakeReason::Guard);
            let outing = play.outing(true).await;
            assert!(matches!(outing, Outing::Left(Conclusion::Held(_))), "{outing:?}");
            let earth = play.fakes.earth();
            assert!(
                !earth.is_frozen() && earth.leads == writer,
                "{step} {fault:?}: {}\n{}",
                earth.shape(),
                play.told()
            );
            let outside = |of: &Move| plan.steps[plan.position(&of.step).unwrap()].window.is_none();
            assert!(!play.fakes.moves()[before..].iter().any(outside), "{}", play.told());
        }
    }
}

/// An executor that was stopped for so long that another one has the run changes nothing when it wakes up.
#[tokio::test(start_paused = true)]
async fn an_executor_that_lost_its_run_changes_nothing() {
    let plan = plan_of("runbooks/rehearsal-postgres.yaml");
    for nth in 1..=plan.steps.len() {
        let mut play = Play::new(&plan);
        play.fakes.fail(When::Nth(nth), Fault::Sleeps);
        let stale = tokio::spawn(play.drive().run());
        play.fakes.died.notified().await;
        while play.rescue().await.is_some() {}
        let (entries, earth) = (play.entries().len(), play.fakes.earth());
        play.fakes.woken.notify_one();
        let error = stale.await.unwrap().unwrap_err().to_string();
        assert!(error.contains("another executor has run"), "act {nth}: {error}");
        assert_eq!((play.entries().len(), play.fakes.earth()), (entries, earth), "act {nth}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_finalize_there_is_no_way_back() {
    for plan in plans().into_iter().filter(|plan| !can_return(plan)) {
        let mut play = Play::new(&plan);
        play.until_the_end(&Word::Continue).await;
        let shape = play.fakes.earth().shape();
        play.say(&BACK);
        play.take(TakeReason::Rollback);
        let end = play.until_the_end(&Word::Continue).await;
        assert!(is(&end, Outcome::Done), "{end:?}");
        assert_eq!(play.fakes.earth().shape(), shape);
        let last = play.entries().pop().unwrap().event;
        assert!(matches!(&last, Event::Refused { reason, .. } if reason.contains("dropped the way back")), "{last:?}");
    }
}
