//! Any failures, deaths and words in any order: the invariants hold after every act (the world looks itself), writes
//! never wait when nobody executes, and the run ends in a named state.

use pointsman::executor::Conclusion;
use pointsman::journal::Word;
use pointsman::plan::Plan;
use proptest::prelude::*;

use crate::fake::{Fault, Play, When, plan_of};

const FILES: [&str; 4] = [
    "runbooks/rehearsal-postgres.yaml",
    "runbooks/postgres-droplet-to-rds.yaml",
    "tests/fixtures/plans/inside.yaml",
    "tests/fixtures/plans/author.yaml",
];

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Refused),
        Just(Fault::Half),
        Just(Fault::UnknownBefore),
        Just(Fault::UnknownAfter),
        Just(Fault::Hangs),
        Just(Fault::DiesBefore),
        Just(Fault::DiesHalf),
        Just(Fault::DiesAfter),
    ]
}

/// A word about a step of the plan, by its position.
fn word() -> impl Strategy<Value = (usize, u8)> {
    (0..20_usize, 0..8_u8)
}

fn spoken(plan: &Plan, (position, kind): (usize, u8)) -> Word {
    let step = plan.steps[position % plan.steps.len()].id.clone();
    match kind {
        0 => Word::Approve { step },
        1 => Word::Hold,
        2 => Word::Continue,
        3 => Word::Retry,
        4 | 5 => Word::Skip { step },
        6 => Word::Rollback { to: Some(step) },
        _ => Word::Rollback { to: None },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_failures_deaths_and_words(
        file in 0..FILES.len(),
        faults in prop::collection::vec((1..40_usize, fault()), 0..6),
        words in prop::collection::vec((1..40_usize, word()), 0..5),
        back in any::<bool>(),
    ) {
        let plan = plan_of(FILES[file]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let end = runtime.block_on(async {
            let mut play = Play::unanswered(&plan);
            for (nth, fault) in &faults {
                play.fakes.fail(When::Nth(*nth), *fault);
            }
            for (act, word) in &words {
                play.fakes.say_at(*act, spoken(&plan, *word));
            }
            let word = if back { Word::Rollback { to: None } } else { Word::Continue };
            let end = play.until_the_end(&word).await;
            assert!(play.entries().len() < 3000, "{}", play.told());
            assert!(!play.fakes.earth().is_frozen(), "{}", play.told());
            end
        });
        prop_assert!(matches!(end, Conclusion::Ended(..)), "{end:?}");
    }
}
