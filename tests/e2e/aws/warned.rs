//! What `check` says beforehand of a load balancer that will not do what its weights say.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, PathPatternConditionConfig, RuleCondition, TargetGroupAttribute,
};
use pointsman::sandbox::aws::NewBalancer;

use super::{book::Book, support::Scene};

async fn attribute(scene: &Scene, group: &str, key: &str, value: &str) {
    let attribute = TargetGroupAttribute::builder().key(key).value(value).build();
    let elb = scene.direct().elb;
    elb.modify_target_group_attributes().target_group_arn(group).attributes(attribute).send().await.unwrap();
}

/// A finding of `check`, with its level.
async fn finding(scene: &Scene, id: &str) -> String {
    let check = scene.call(&["check", scene.runbook.to_str().unwrap()]).await;
    let line = check.out.lines().find(|line| line.contains(&format!("[{id}]")));
    line.unwrap_or_else(|| panic!("{id} was not looked at: {check:?}")).to_owned()
}

/// Modes 17 and 18, and mode 7 from the beginning.
#[tokio::test(flavor = "multi_thread")]
async fn sticky_targets_slow_starts_and_rules_before_ours_are_told() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book::default());
    let to = scene.sandbox.balancer.to.clone();
    for (id, key, value) in [
        ("alb-target-stickiness", "stickiness.enabled", "true"),
        ("alb-slow-start", "slow_start.duration_seconds", "60"),
    ] {
        assert!(finding(&scene, id).await.starts_with("PASS"), "{id}");
        attribute(&scene, &to, key, value).await;
        let told = finding(&scene, id).await;
        assert!(!told.starts_with("PASS"), "{told}");
    }
    assert!(finding(&scene, "alb-rules-before").await.starts_with("PASS"));
    steal(&scene).await;
    let told = finding(&scene, "alb-rules-before").await;
    assert!(!told.starts_with("PASS"), "{told}");
}

/// A rule that comes before ours and takes all of its traffic.
pub async fn steal(scene: &Scene) {
    let balancer = &scene.sandbox.balancer;
    let paths = PathPatternConditionConfig::builder().values("/*").build();
    let condition = RuleCondition::builder().field("path-pattern").path_pattern_config(paths).build();
    let action = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(&balancer.from).build();
    let elb = scene.direct().elb;
    let request = elb.create_rule().listener_arn(&balancer.listener).priority(1).conditions(condition).actions(action);
    request.send().await.unwrap();
}
