//! Somebody else changes what a run weighs: it is seen before the next write, the difference is shown, and nothing of theirs
//! is overwritten without a person's word.

use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, ForwardActionConfig, TargetGroupTuple};
use pointsman::sandbox::aws::NewBalancer;

use super::{book::Book, proxy::at, shift::ELB, support::Scene, visitors::Visitors};
use crate::cutover::support::ended;

/// Somebody else's weights.
fn theirs(scene: &Scene, from: i32, to: i32) -> Action {
    let tuple = |arn: &str, weight| TargetGroupTuple::builder().target_group_arn(arn).weight(weight).build();
    let config = ForwardActionConfig::builder()
        .target_groups(tuple(&scene.sandbox.balancer.from, from))
        .target_groups(tuple(&scene.sandbox.balancer.to, to));
    Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config.build()).build()
}

/// Mode 6: between two steps.
#[tokio::test(flavor = "multi_thread")]
async fn weights_that_somebody_else_wrote_are_not_overwritten() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { weights: "[10, 50, 100]", ..Book::default() });
    let _visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    // The last read-back of the first share: what comes then stands between it and the next one.
    let stop = scene.proxy.stop_after(at(ELB, "ModifyRule").only(2));
    let run = scene.start();
    stop.reached().await;
    stop.release();
    scene.until("the first share is done", |event| shares_done(event) == Some(1)).await;
    let elb = scene.direct().elb;
    let request = elb.modify_rule().rule_arn(&scene.sandbox.balancer.rule).actions(theirs(&scene, 60, 40));
    request.send().await.unwrap();
    let held = ended(run).await;
    assert_eq!(held.code, 4, "{held:?}\n{}", scene.story());
    let reason = scene.held();
    for words in ["somebody else", &scene.sandbox.balancer.rule, "60", "40"] {
        assert!(reason.contains(words), "it does not say {words}: {reason}");
    }
    let weights = scene.weights(&scene.sandbox.balancer.rule).await;
    assert_eq!((weights["old"], weights["new"]), (60, 40), "theirs was overwritten");
}

fn shares_done(event: &pointsman::journal::Event) -> Option<usize> {
    match event {
        pointsman::journal::Event::Noted { note, .. } => note["shares_done"].as_array().map(Vec::len),
        _ => None,
    }
}

/// Mode 7: a rule that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_was_deleted_holds_the_run() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { weights: "[10, 100]", ..Book::default() });
    let _visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    let stop = scene.proxy.stop_before(at(ELB, "ModifyRule").only(2));
    let run = scene.start();
    stop.reached().await;
    scene.direct().elb.delete_rule().rule_arn(&scene.sandbox.balancer.rule).send().await.unwrap();
    stop.release();
    let held = ended(run).await;
    assert_eq!(held.code, 4, "{held:?}\n{}", scene.story());
    assert!(scene.held().contains(&scene.sandbox.balancer.rule), "{}", scene.held());
    let weights = scene.weights(&scene.sandbox.balancer.listener).await;
    assert!(weights["old"] > 0, "{weights:?}");
}
