//! Calls that go wrong, each in every way, at each call of a shift: whatever the caller is told, the rules are read back,
//! nothing is written twice with another meaning, and the run ends or is held where it can go on.

use pointsman::sandbox::aws::NewBalancer;

use super::{
    book::Book,
    proxy::{Fault, at},
    shift::{ELB, assert_no_errors},
    support::Scene,
    visitors::Visitors,
};

/// A run through one fault: it goes on by itself, and the traffic is where it should be; then back.
async fn goes_through(scene: &Scene, what: &str, action: &'static str, nth: usize, times: usize, fault: Fault) {
    let visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    scene.proxy.forget();
    scene.proxy.plant(at(ELB, action).nth(nth).times(times), fault);
    let run = scene.call(&scene.run_words()).await;
    assert_eq!(run.code, 0, "{what}: {run:?}\n{}", scene.story());
    let called = scene.proxy.count(ELB, action);
    assert!(called >= nth, "{what}: {action} was called {called} times only\n{}", scene.story());
    scene.proxy.heal();
    for arn in [&scene.sandbox.balancer.listener, &scene.sandbox.balancer.rule] {
        let weights = scene.weights(arn).await;
        assert!(weights["old"] == 0 && weights["new"] > 0, "{what}: {weights:?}");
    }
    assert!(visitors.next(100).await.share("old").abs() < f64::EPSILON, "{what}");
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_no_errors(&visitors.stop().await, scene);
}

/// Modes 1, 4, 5 and 10: each at the write that attaches the new group and at the last one.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_reply_is_lost_is_read_back() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { weights: "[50, 100]", ..Book::default() });
    let faults = [
        ("closed after it took effect", Fault::ClosedAfter),
        ("an error after it took effect", Fault::ErrorAfter(503)),
        ("no answer after it took effect", Fault::HangsAfter),
        ("half a reply", Fault::HalfReply),
    ];
    for (nth, (what, fault)) in (1..).zip(faults) {
        goes_through(&scene, what, "ModifyListener", nth.min(3), 1, fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_did_not_happen_is_made_again() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { weights: "[50, 100]", ..Book::default() });
    let faults = [
        ("closed before", Fault::ClosedBefore),
        ("an error before", Fault::ErrorBefore(500)),
        ("too many calls", Fault::Throttled),
    ];
    for (nth, (what, fault)) in (1..).zip(faults) {
        goes_through(&scene, what, "ModifyRule", nth, 1, fault).await;
    }
}

/// Mode 1: a weight that was written is not seen at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_not_up_to_date_is_waited_out() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { weights: "[50, 100]", ..Book::default() });
    for (read, write) in [("DescribeListeners", "ModifyListener"), ("DescribeRules", "ModifyRule")] {
        scene.proxy.plant(at(ELB, read).after(write).times(3), Fault::Stale);
        goes_through(&scene, read, write, 1, 0, Fault::Stale).await;
    }
}
