//! Traffic that is moved by the weights of an Application Load Balancer: what visitors see, not what the API says.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, AuthenticateOidcActionConfig, ForwardActionConfig, TargetGroupTuple,
};
use pointsman::sandbox::aws::NewBalancer;

use super::{
    book::Book,
    proxy::at,
    support::Scene,
    visitors::{Seen, Visitors},
};

pub const ELB: &str = "elasticloadbalancing";

/// The weights of a side that has everything.
pub fn all_on(side: &str) -> BTreeMap<String, i32> {
    let weight = |name: &str| (name.to_owned(), if name == side { 100 } else { 0 });
    ["old", "new"].map(weight).into()
}

/// Nobody saw an error.
pub fn assert_no_errors(seen: &Seen, scene: &Scene) {
    assert!(seen.failed.is_empty(), "{seen:?}\n{}", scene.story());
    assert!(seen.by.values().sum::<usize>() > 100, "there were no visitors: {seen:?}");
}

/// Rests on the emulator for rules and weights, on HAProxy for the traffic.
#[tokio::test(flavor = "multi_thread")]
async fn visitors_follow_every_step_over_a_listener_and_two_rules_and_back() {
    let scene = Scene::new(NewBalancer { more_paths: vec!["/static/*".into()], ..NewBalancer::default() }).await;
    scene.book(&Book { weights: "[10, 50, 100]", more_rules: true, timeout: "60s", ..Book::default() });
    let urls = scene.sandbox.plane.urls();
    let (home, api) = (Visitors::start(&urls, "/whoami", 4, false), Visitors::start(&urls, "/api/whoami", 4, false));
    // The first write attaches the new group with no weight.
    let stops = [2, 3, 4].map(|nth| scene.proxy.stop_before(at(ELB, "ModifyListener").only(nth)));
    let run = scene.start();
    for (stop, share) in stops.iter().zip([0.0, 10.0, 50.0]) {
        stop.reached().await;
        for visitors in [&home, &api] {
            let seen = visitors.next(400).await;
            assert!((seen.share("new") - share).abs() < 6.0, "{share}% were wanted: {seen:?}\n{}", scene.story());
        }
        stop.release();
    }
    let ended = crate::cutover::support::ended(run).await;
    assert_eq!(ended.code, 0, "{ended:?}\n{}", scene.story());
    let balancer = scene.sandbox.balancer.clone();
    for arn in [&balancer.listener, &balancer.rule, &balancer.more_rules[0]] {
        let weights = scene.weights(arn).await;
        assert!(weights["old"] == 0 && weights["new"] > 0, "{weights:?}");
    }
    assert!(home.next(100).await.share("old").abs() < f64::EPSILON);

    scene.must(5, &["rollback", "--output", "json"]).await;
    for arn in [&balancer.listener, &balancer.rule, &balancer.more_rules[0]] {
        let weights = scene.weights(arn).await;
        assert_eq!(weights.get("new").copied().unwrap_or(0), 0, "{weights:?}");
    }
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(home.next(100).await.share("new").abs() < f64::EPSILON);
    assert_no_errors(&home.stop().await, &scene);
    assert_no_errors(&api.stop().await, &scene);
}

/// Mode 8: an action before the one that forwards must not be lost when the list is replaced.
#[tokio::test(flavor = "multi_thread")]
async fn what_else_a_rule_does_is_kept_and_put_back_as_it_was() {
    let scene = Scene::new(NewBalancer::default()).await;
    let (elb, balancer) = (scene.direct().elb, scene.sandbox.balancer.clone());
    let login = AuthenticateOidcActionConfig::builder()
        .issuer("https://login.example.com")
        .authorization_endpoint("https://login.example.com/authorize")
        .token_endpoint("https://login.example.com/token")
        .user_info_endpoint("https://login.example.com/user")
        .client_id("shop")
        .use_existing_client_secret(true)
        .build();
    let first =
        Action::builder().r#type(ActionTypeEnum::AuthenticateOidc).order(1).authenticate_oidc_config(login).build();
    let tuple = TargetGroupTuple::builder().target_group_arn(&balancer.from).weight(7).build();
    let config = ForwardActionConfig::builder().target_groups(tuple).build();
    let second = Action::builder().r#type(ActionTypeEnum::Forward).order(2).forward_config(config).build();
    let request = elb.modify_rule().rule_arn(&balancer.rule).actions(first).actions(second);
    request.send().await.unwrap();
    let original = actions(&scene).await;
    assert_eq!(original.len(), 2, "the emulator keeps both");
    scene.book(&Book::default());
    let visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    scene.run(0).await;
    let moved = actions(&scene).await;
    assert_eq!(format!("{:?}", moved[0]), format!("{:?}", original[0]));
    assert_eq!((moved[1].order(), moved.len()), (Some(2), 2));
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(format!("{:?}", actions(&scene).await), format!("{original:?}"));
    drop(visitors);
}

async fn actions(scene: &Scene) -> Vec<Action> {
    let found = scene.direct().elb.describe_rules().rule_arns(&scene.sandbox.balancer.rule).send().await.unwrap();
    found.rules()[0].actions().to_vec()
}

/// Design rule 5: `check`, `plan` and gates change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn check_and_plan_only_describe_get_and_list() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.book(&Book { after: "  - approve: { message: \"Go on?\" }\n", ..Book::default() });
    let runbook = scene.runbook.to_str().unwrap();
    scene.must(0, &["check", runbook]).await;
    let plan = scene.must(0, &["plan", runbook]).await;
    let calls = scene.proxy.calls();
    let writes: Vec<String> = scene.proxy.writes().iter().map(super::proxy::Call::name).collect();
    assert_eq!(writes, Vec::<String>::new());
    for asked in ["DescribeRules", "DescribeListeners", "DescribeTargetHealth", "GetCallerIdentity"] {
        assert!(calls.iter().any(|call| call.action == asked), "{asked} was not asked: {:#?}", scene.proxy.names());
    }
    // The plan says which calls will be made, on what.
    for words in ["ModifyListener", "ModifyRule", &scene.sandbox.balancer.rule] {
        assert!(plan.says(words), "the plan does not say {words}: {}", plan.out);
    }
}

/// Mode 16. Rests on HAProxy's cookie, which is our belief about the cookie AWSALBTG of AWS (user guide, "Sticky sessions").
#[tokio::test(flavor = "multi_thread")]
async fn the_share_of_people_who_stay_with_their_cookie_is_not_hidden() {
    let scene = Scene::new(NewBalancer { sticky_seconds: Some(600), attached: true, ..NewBalancer::default() }).await;
    scene.book(&Book { weights: "[100]", ..Book::default() });
    let check = scene.call(&["check", scene.runbook.to_str().unwrap()]).await;
    assert!(check.says("600 s") || check.says("10m") || check.says("10 min"), "check is silent about it: {check:?}");
    let regulars = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 4, true);
    regulars.next(50).await;
    scene.run(0).await;
    // The program's own requests have no cookies, and neither have strangers. Regulars stay.
    let strangers = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    assert!(strangers.next(50).await.share("old").abs() < f64::EPSILON);
    assert!(regulars.next(50).await.share("new").abs() < f64::EPSILON);
    assert_no_errors(&regulars.stop().await, &scene);
}
