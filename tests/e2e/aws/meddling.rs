//! Somebody else changes what a run weighs: it is seen before the next write, the difference is shown, and nothing of theirs
//! is overwritten without a person's word.

use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, ForwardActionConfig, TargetGroupTuple};
use pointsman::{
    journal::{Entry, Event},
    sandbox::aws::NewBalancer,
};

use super::{book::Book, proxy::at, shift::ELB, support::Scene, visitors::Visitors};
use crate::cutover::support::{ended, until};

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
    scene.book(&Book { weights: "[10, 50, 100]", bake: "3s", ..Book::default() });
    let _visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    let run = scene.start();
    // Attached, then 10%, both read back: what comes then stands between this share and the next one.
    until("the first share stands", || left_there(&scene) == 2).await;
    let elb = scene.direct().elb;
    let request = elb.modify_rule().rule_arn(&scene.sandbox.balancer.rule).actions(theirs(&scene, 60, 40));
    request.send().await.unwrap();
    let held = ended(run).await;
    assert_eq!(held.code, 4, "{held:?}\n{}", scene.story());
    let reason = scene.held();
    for words in ["somebody else", last(&scene.sandbox.balancer.rule), "60", "40"] {
        assert!(reason.contains(words), "it does not say {words}: {reason}");
    }
    let weights = scene.weights(&scene.sandbox.balancer.rule).await;
    assert_eq!((weights["old"], weights["new"]), (60, 40), "theirs was overwritten");
}

/// How often the run said what it left in the rules.
fn left_there(scene: &Scene) -> usize {
    let Ok(run) = scene.journal.find(None) else { return 0 };
    let entries = scene.journal.entries(&run.id, 0).unwrap();
    let said = |entry: &&Entry| matches!(&entry.event, Event::Noted { note, .. } if note.get("left_there").is_some());
    entries.iter().filter(said).count()
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
    assert!(scene.held().contains(last(&scene.sandbox.balancer.rule)), "{}", scene.held());
    let weights = scene.weights(&scene.sandbox.balancer.listener).await;
    assert!(weights["old"] > 0, "{weights:?}");
}

/// As people are told of a rule.
fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap()
}

/// Mode 7: a rule that comes before ours, put there in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_rule_that_takes_the_traffic_away_is_seen() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { weights: "[10, 100]", bake: "3s", ..Book::default() });
    let _visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    let run = scene.start();
    until("the first share stands", || left_there(&scene) == 2).await;
    super::warned::steal(&scene).await;
    let held = ended(run).await;
    assert_eq!(held.code, 4, "{held:?}\n{}", scene.story());
    assert!(scene.held().contains("/*") || scene.held().contains("somebody else"), "{}", scene.held());
}

/// Mode 24: a rollback while the run is held, and once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_shift_can_be_taken_back_with_their_change_said() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { weights: "[10, 100]", bake: "2s", ..Book::default() });
    let _visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    let run = scene.start();
    until("the first share stands", || left_there(&scene) == 2).await;
    let request = scene.direct().elb.modify_rule().rule_arn(&scene.sandbox.balancer.rule);
    request.actions(theirs(&scene, 60, 40)).send().await.unwrap();
    assert_eq!(ended(run).await.code, 4, "{}", scene.story());
    // Theirs is not overwritten by going back either, until a person says so.
    let back = scene.call(&["rollback", "--output", "json"]).await;
    assert!(matches!(back.code, 4 | 6), "{back:?}\n{}", scene.story());
    let weights = scene.weights(&scene.sandbox.balancer.rule).await;
    assert_eq!((weights["old"], weights["new"]), (60, 40), "theirs was overwritten");
}
