//! Shifting an Application Load Balancer: moto keeps the rules, HAProxy carries the traffic by them, and what visitors see
//! is what counts. Health of targets rests on the overlay, which is our belief about AWS.

use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, AuthenticateOidcActionConfig, ForwardActionConfig, TargetGroupTuple,
};
use pointsman::journal::Event;
use pointsman::sandbox::aws::NewBalancer;

use super::{
    overlay::health::Health,
    proxy::{Fault, at},
    support::{Scene, weights},
    visitors::Visitors,
};

const ELB: &str = "elasticloadbalancing";

/// A runbook with this account, these rules beside the default one, and these steps.
fn book(account: &str, rules: &str, steps: &str) -> String {
    format!(
        "version: 1\nname: web\nstage: staging\naws: {{ account: \"{account}\", region: us-east-1, timeout: 2s }}\n\
         systems:\n  web:\n    alb:\n      listeners: [\"${{env:ALB_LISTENER}}\"]\n      rules: [{rules}]\n      \
         from: \"${{env:ALB_FROM}}\"\n      to: \"${{env:ALB_TO}}\"\n      settle: 400ms\n      \
         health: {{ within: 2s }}\n      \
         observe: {{ http: {{ url: \"${{env:WEB_URL}}/whoami\", from: old, to: new, rate: 200 }} }}\nsteps:\n{steps}"
    )
}

const ACCOUNT: &str = "123456789012";
const RULE: &str = "\"${env:ALB_RULE}\"";
const SHIFT: &str =
    "  - shift: { traffic: web, weights: [10, 50, 100], min-requests: 150, tolerance: 9, timeout: 60s }\n";
const HALF: &str = "  - shift: { traffic: web, weights: [50], min-requests: 100, tolerance: 12, timeout: 60s }\n";

async fn scene(steps: &str) -> Scene {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.write(&book(ACCOUNT, RULE, steps));
    scene
}

fn all_new() -> std::collections::BTreeMap<String, i32> {
    [("new".to_owned(), 100), ("old".to_owned(), 0)].into()
}

fn half() -> std::collections::BTreeMap<String, i32> {
    [("new".to_owned(), 50), ("old".to_owned(), 50)].into()
}

fn original() -> std::collections::BTreeMap<String, i32> {
    [("old".to_owned(), 1)].into()
}

/// What both routes hold.
async fn both(scene: &Scene) -> [std::collections::BTreeMap<String, i32>; 2] {
    let balancer = &scene.sandbox.balancer;
    [scene.weights(&balancer.listener).await, scene.weights(&balancer.rule).await]
}

fn hint(scene: &Scene) -> String {
    let hints = scene.entries().into_iter().rev().filter_map(|entry| match entry.event {
        Event::Failed { failure, .. } => failure.hint,
        _ => None,
    });
    hints.into_iter().next().unwrap_or_default()
}

/// Somebody else weighs the default action.
async fn meddle(scene: &Scene, from: i32, to: i32) {
    let balancer = &scene.sandbox.balancer;
    let tuple = |arn: &str, weight| TargetGroupTuple::builder().target_group_arn(arn).weight(weight).build();
    let config = ForwardActionConfig::builder().target_groups(tuple(&balancer.from, from));
    let config = config.target_groups(tuple(&balancer.to, to)).build();
    let action = Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config).build();
    let elb = scene.direct().elb;
    elb.modify_listener().listener_arn(&balancer.listener).default_actions(action).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_moves_there_and_back_without_a_failed_request() {
    let scene = scene(SHIFT).await;
    let visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 4, false);
    let api = Visitors::start(&scene.sandbox.plane.urls(), "/api/whoami", 2, false);
    scene.run(0).await;
    assert_eq!(both(&scene).await, [all_new(), all_new()]);
    let seen = visitors.next(100).await;
    assert!((seen.share("new") - 100.0).abs() < f64::EPSILON, "{seen:?}");
    assert!((api.next(50).await.share("new") - 100.0).abs() < f64::EPSILON, "the rule moves with the default");
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(both(&scene).await, [original(), original()]);
    let (seen, api) = (visitors.stop().await, api.stop().await);
    assert!(seen.failed.is_empty() && api.failed.is_empty(), "{seen:?} {api:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_plan_send_only_reads_and_the_plan_shows_the_calls() {
    let scene = scene(&format!("  - preflight\n{SHIFT}")).await;
    let runbook = scene.runbook.to_str().unwrap();
    let plan = scene.must(0, &["plan", runbook]).await;
    let balancer = &scene.sandbox.balancer;
    let call = format!(
        "elbv2 ModifyRule {{\"RuleArn\":\"{}\",\"Actions\":[{{\"Type\":\"forward\",\"ForwardConfig\":{{\"TargetGroups\":[\
         {{\"TargetGroupArn\":\"{}\",\"Weight\":90}},{{\"TargetGroupArn\":\"{}\",\"Weight\":10}}]}}}}]}}",
        balancer.rule, balancer.from, balancer.to
    );
    let text = format!("{plan:?}").replace("\\\"", "\"");
    assert!(text.contains(&call), "{call}\nis not in\n{text}");
    scene.call(&["check", runbook]).await;
    let changes = scene.proxy.writes();
    assert!(changes.is_empty(), "{changes:?}");
    assert!(scene.proxy.count(ELB, "DescribeRules") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_settled_by_reading_back() {
    let scene = scene(SHIFT).await;
    scene.proxy.plant(at(ELB, "ModifyRule").only(1), Fault::ClosedAfter);
    scene.proxy.plant(at(ELB, "ModifyRule").only(2), Fault::HangsAfter);
    scene.proxy.plant(at(ELB, "ModifyRule").only(3), Fault::HalfReply);
    scene.proxy.plant(at(ELB, "ModifyListener").only(2), Fault::ErrorAfter(503));
    scene.proxy.plant(at(ELB, "ModifyListener").only(3), Fault::ClosedBefore);
    scene.run(0).await;
    assert_eq!(both(&scene).await, [all_new(), all_new()]);
    // Attached, then three weights each; only what did not take effect was sent again.
    assert_eq!(scene.proxy.count(ELB, "ModifyRule"), 4, "{:?}", scene.proxy.names());
    assert_eq!(scene.proxy.count(ELB, "ModifyListener"), 5, "{:?}", scene.proxy.names());
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_are_not_up_to_date_are_waited_for() {
    let scene = scene(HALF).await;
    scene.proxy.plant(at(ELB, "DescribeRules").after("ModifyRule").times(3), Fault::Stale);
    scene.run(0).await;
    assert_eq!(both(&scene).await, [half(), half()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_routes_fails_and_is_completed_or_undone() {
    let scene = scene(HALF).await;
    // Both were attached; then the rule is refused, after the listener was written.
    scene.proxy.plant(at(ELB, "ModifyRule").nth(2), Fault::Denied);
    scene.run(4).await;
    let held = scene.held();
    assert!(held.contains("written before it: listener") && held.contains("AccessDenied"), "{held}");
    assert!(hint(&scene).contains("iam-policy"), "{}", hint(&scene));
    assert_eq!(both(&scene).await[0], half());
    scene.proxy.heal();
    scene.must(0, &["retry"]).await;
    scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!(both(&scene).await, [half(), half()]);

    let scene = self::scene(HALF).await;
    scene.proxy.plant(at(ELB, "ModifyRule").nth(2), Fault::Denied);
    scene.run(4).await;
    scene.proxy.heal();
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(both(&scene).await, [original(), original()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_changed_is_never_overwritten_unseen() {
    let scene = scene(&format!(
        "{HALF}  - approve: {{ message: \"All?\", timeout: 1s }}\n{}",
        SHIFT.replace("10, 50, 100", "100")
    ))
    .await;
    scene.run(4).await;
    meddle(&scene, 70, 30).await;
    scene.must(0, &["approve"]).await;
    scene.must(4, &["resume", "--output", "json"]).await;
    let held = scene.held();
    assert!(held.contains("somebody else changed") && held.contains("old 70, new 30"), "{held}");
    assert_eq!(both(&scene).await[0]["new"], 30, "it was overwritten");
    // A plain retry shows it again.
    scene.must(0, &["retry"]).await;
    scene.must(4, &["resume", "--output", "json"]).await;
    assert_eq!(both(&scene).await[0]["new"], 30, "it was overwritten");
    // Adopting what was shown does not adopt what came after it.
    meddle(&scene, 60, 40).await;
    scene.must(0, &["retry", "--adopt", "--reason", "it was me"]).await;
    scene.must(4, &["resume", "--output", "json"]).await;
    assert!(scene.held().contains("old 60, new 40"), "{}", scene.held());
    scene.must(0, &["retry", "--adopt", "--reason", "it was me"]).await;
    scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!(both(&scene).await, [all_new(), all_new()]);
    let said = |event: &Event| matches!(event, Event::Said { why: Some(why), .. } if why == "it was me");
    assert_eq!(scene.entries().iter().filter(|entry| said(&entry.event)).count(), 2);
    // Going back it is not overwritten either, until a person says so.
    meddle(&scene, 5, 95).await;
    scene.must(6, &["rollback", "--output", "json"]).await;
    assert_eq!(both(&scene).await[0]["new"], 95, "it was overwritten");
    scene.must(0, &["retry", "--restore"]).await;
    scene.must(5, &["resume", "--output", "json"]).await;
    assert_eq!(both(&scene).await[1], original());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_not_fit_gets_no_weight() {
    let scene = Scene::new(NewBalancer { empty: true, ..NewBalancer::default() }).await;
    scene.write(&book(ACCOUNT, RULE, HALF));
    scene.run(4).await;
    assert!(scene.held().contains("has no targets"), "{}", scene.held());
    for weights in both(&scene).await {
        assert!(weights.get("new").is_none_or(|weight| *weight == 0), "{weights:?}");
    }
    // It would get traffic all the same, and the site would work: AWS fails open.
    let scene = self::scene(HALF).await;
    scene.health.set(&scene.sandbox.balancer.to, &[Health::Unhealthy, Health::Unhealthy]);
    scene.run(4).await;
    assert!(scene.held().contains("fails open"), "{}", scene.held());
    scene.health.set(&scene.sandbox.balancer.to, &[Health::Healthy, Health::Healthy]);
    scene.must(0, &["retry"]).await;
    scene.must(0, &["resume", "--output", "json"]).await;
    // The side that was left was taken down: going back would lead nowhere.
    scene.health.set(&scene.sandbox.balancer.from, &[]);
    scene.must(6, &["rollback", "--output", "json"]).await;
    assert_eq!(both(&scene).await, [half(), half()]);
    scene.health.set(&scene.sandbox.balancer.from, &[Health::Healthy]);
    scene.must(0, &["retry"]).await;
    scene.must(5, &["resume", "--output", "json"]).await;
    assert_eq!(both(&scene).await, [original(), original()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_that_nodes_do_not_follow_are_not_believed() {
    let scene = scene(&HALF.replace("60s", "4s")).await;
    scene.sandbox.plane.set_delay(0, Duration::from_secs(3600));
    scene.run(4).await;
    assert!(scene.held().contains("was not seen"), "{}", scene.held());
    scene.sandbox.plane.set_delay(0, Duration::ZERO);
    scene.must(0, &["retry"]).await;
    scene.must(0, &["resume", "--output", "json"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_expire_hold_the_run_and_it_goes_on() {
    let scene = scene(SHIFT).await;
    scene.proxy.plant(at(ELB, "ModifyRule").nth(2), Fault::Expired);
    scene.run(4).await;
    assert!(scene.held().contains("ExpiredToken"), "{}", scene.held());
    assert!(hint(&scene).contains("get new ones"), "{}", hint(&scene));
    scene.proxy.heal();
    scene.must(0, &["retry"]).await;
    scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!(both(&scene).await, [all_new(), all_new()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_waited_out_also_on_the_way_back() {
    let scene = scene(HALF).await;
    scene.proxy.plant(at(ELB, "DescribeRules").nth(3).times(3), Fault::Throttled);
    scene.proxy.plant(at(ELB, "ModifyRule").only(2), Fault::Throttled);
    scene.run(0).await;
    scene.proxy.heal();
    scene.proxy.plant(at(ELB, "Modify*").times(2), Fault::Throttled);
    scene.proxy.plant(at(ELB, "Describe*").times(3), Fault::Throttled);
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(both(&scene).await, [original(), original()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_is_refused_before_anything() {
    let scene = Scene::new(NewBalancer::default()).await;
    scene.write(&book("999999999999", RULE, SHIFT));
    let called = scene.run(3).await;
    assert!(format!("{called:?}").contains("belong to account 123456789012"), "{called:?}");
    assert!(scene.journal.runs().unwrap().is_empty() && scene.proxy.writes().is_empty());
    scene.proxy.plant(at("sts", "*"), Fault::Expired);
    scene.write(&book(ACCOUNT, RULE, SHIFT));
    let called = scene.run(3).await;
    assert!(format!("{called:?}").contains("ExpiredToken"), "{called:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_list_of_actions_stays() {
    let scene = scene(HALF).await;
    let (balancer, elb) = (scene.sandbox.balancer.clone(), scene.direct().elb);
    let login = AuthenticateOidcActionConfig::builder()
        .issuer("https://id.example")
        .authorization_endpoint("https://id.example/a")
        .token_endpoint("https://id.example/t")
        .user_info_endpoint("https://id.example/u")
        .client_id("shop")
        .client_secret("hush-hush")
        .build();
    let first =
        Action::builder().r#type(ActionTypeEnum::AuthenticateOidc).order(1).authenticate_oidc_config(login).build();
    let second = Action::builder().r#type(ActionTypeEnum::Forward).order(2).target_group_arn(&balancer.from).build();
    elb.modify_rule().rule_arn(&balancer.rule).actions(first).actions(second).send().await.unwrap();
    let look = async || elb.describe_rules().rule_arns(&balancer.rule).send().await.unwrap().rules()[0].clone();
    let before = look().await;
    scene.run(0).await;
    let after = look().await;
    assert_eq!(weights(after.actions()), half());
    let kinds: Vec<&str> = after.actions().iter().map(|action| action.r#type().unwrap().as_str()).collect();
    assert_eq!(kinds, ["authenticate-oidc", "forward"]);
    let login = |rule: &aws_sdk_elasticloadbalancingv2::types::Rule| {
        let config = rule.actions()[0].authenticate_oidc_config().unwrap().clone();
        (config.issuer, config.client_id, config.token_endpoint)
    };
    assert_eq!(login(&after), login(&before));
    assert_eq!(after.conditions(), before.conditions());
    let told = format!("{}{:?}", scene.story(), scene.entries());
    assert!(!told.contains("hush-hush"), "a client's secret is in the journal");
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudwatch_counts_what_arrives() {
    let scene = Scene::new(NewBalancer::default()).await;
    let text = book(ACCOUNT, RULE, HALF);
    let (before, rest) = text.split_once("observe:").unwrap();
    let (_, steps) = rest.split_once('\n').unwrap();
    scene.write(&format!("{before}observe: {{ cloudwatch: {{ period: 5s, delay: 2s }} }}\n{steps}"));
    let visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 4, false);
    scene.run(0).await;
    assert!(visitors.stop().await.failed.is_empty());
    assert!(scene.proxy.count("monitoring", "GetMetricData") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_behind_every_entry_it_ends_the_same() {
    let quick = "  - shift: { traffic: web, weights: [50, 100], min-requests: 60, tolerance: 15, timeout: 60s }\n";
    let scene = scene(quick).await;
    for seq in 2.. {
        let mut command = scene.command(&scene.run_words());
        command.env("POINTSMAN_TEST_KILL_AT_ENTRY", seq.to_string());
        let called = crate::cutover::support::ended(command.spawn().unwrap()).await;
        if called.code == 0 {
            assert!(seq > 10, "it was never killed");
            return;
        }
        // Behind the last entry there is nothing to go on with.
        if scene.state().outcome.is_none() {
            scene.must(0, &["resume", "--output", "json"]).await;
        }
        assert_eq!(both(&scene).await, [all_new(), all_new()], "killed behind entry {seq}");
        scene.must(5, &["rollback", "--output", "json"]).await;
        assert_eq!(both(&scene).await, [original(), original()], "killed behind entry {seq}");
    }
}
