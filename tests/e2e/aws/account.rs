//! Credentials and permissions that fail, and calls that AWS does not take: the run is held where it can go on, says what to
//! do, and never takes silence for a yes.

use pointsman::sandbox::aws::NewBalancer;

use super::{
    book::Book,
    proxy::{Fault, at},
    shift::ELB,
    support::Scene,
    visitors::Visitors,
};

/// Mode 11: expired in the middle, refreshed in another shell.
#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials_hold_the_run_and_fresh_ones_let_it_go_on() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { weights: "[10, 100]", ..Book::default() });
    let _visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    // From the second write of a rule on, nothing is taken any more.
    scene.proxy.plant(at("*", "*").after("ModifyRule"), Fault::Expired);
    let run = scene.run(4).await;
    let reason = scene.held();
    assert!(reason.contains("expired"), "{run:?}\n{reason}");
    assert!(["aws sso login", "refresh", "credentials"].iter().any(|words| reason.contains(words)), "{reason}");
    scene.proxy.heal();
    scene.must(0, &["resume", "--output", "json"]).await;
    let weights = scene.weights(&scene.sandbox.balancer.rule).await;
    assert_eq!(weights["old"], 0, "{weights:?}");
}

/// Mode 11 for the way back: a rollback without credentials is stuck, says what each rule holds, and goes on later.
/// Mode 25: so does a rollback that one rule refuses.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_can_not_write_says_what_is_left_and_goes_on_later() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { weights: "[100]", ..Book::default() });
    let _visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    for fault in [Fault::Expired, Fault::Denied] {
        scene.run(0).await;
        scene.proxy.plant(at(ELB, "ModifyRule"), fault);
        let back = scene.call(&["rollback", "--output", "json"]).await;
        assert!(matches!(back.code, 4 | 6), "{back:?}\n{}", scene.story());
        assert!(back.says(&scene.sandbox.balancer.rule), "it does not name the rule: {back:?}");
        scene.proxy.heal();
        let again = scene.call(&["rollback", "--output", "json"]).await;
        assert_eq!(again.code, 5, "{again:?}\n{}", scene.story());
        let weights = scene.weights(&scene.sandbox.balancer.rule).await;
        assert_eq!(weights.get("new").copied().unwrap_or(0), 0, "{weights:?}");
    }
}

/// Mode 12: nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_does_not_answer_holds_the_run() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { weights: "[10, 100]", ..Book::default() });
    let _visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    scene.proxy.plant(at("*", "*").after("ModifyRule"), Fault::ClosedBefore);
    scene.run(4).await;
    scene.proxy.heal();
    let weights = scene.weights(&scene.sandbox.balancer.rule).await;
    assert!(weights["old"] > 0, "{weights:?}");
    scene.must(0, &["resume", "--output", "json"]).await;
}

/// Mode 10: as many refusals as a bucket shared with others gives; the run slows down and gets through.
#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_waited_out() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { weights: "[100]", ..Book::default() });
    let _visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    scene.proxy.plant(at(ELB, "Describe*").nth(2).times(4), Fault::Throttled);
    scene.proxy.plant(at(ELB, "ModifyRule").nth(2).times(2), Fault::Throttled);
    scene.run(0).await;
    scene.must(5, &["rollback", "--output", "json"]).await;
}

/// Mode 3: one rule is refused after others were written.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_refused_after_others_were_written_is_told_and_mended() {
    let scene = Scene::new(NewBalancer { more_paths: vec!["/static/*".into()], ..NewBalancer::default() }).await;
    scene.book(&Book { weights: "[50, 100]", more_rules: true, ..Book::default() });
    let _visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    // Two rules: the fourth write gives the second one its first share.
    scene.proxy.plant(at(ELB, "ModifyRule").nth(4), Fault::Denied);
    scene.run(4).await;
    let reason = scene.held();
    assert!(reason.contains("ModifyRule"), "{reason}");
    scene.proxy.heal();
    scene.must(0, &["resume", "--output", "json"]).await;
    for arn in [&scene.sandbox.balancer.rule, &scene.sandbox.balancer.more_rules[0]] {
        assert_eq!(scene.weights(arn).await["old"], 0);
    }
}

/// The wrong account is refused before anything is read or changed there.
#[tokio::test(flavor = "multi_thread")]
async fn another_account_is_refused_before_anything_happens() {
    let scene = Scene::new(NewBalancer::default()).await;
    let book = Book::default().text(&scene).replace("123456789012\", region", "999999999999\", region");
    scene.write(&book);
    let run = scene.run(3).await;
    assert!(run.says("999999999999") && run.says("123456789012"), "{run:?}");
    assert!(scene.proxy.writes().is_empty(), "{:#?}", scene.proxy.writes());
}
