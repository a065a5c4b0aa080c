//! The harness itself: what the tests of AWS rest on is there and does what its name says.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_ecs::types::Service;
use aws_sdk_elasticloadbalancingv2::{
    Client,
    error::ProvideErrorMetadata,
    types::{Action, ActionTypeEnum, ForwardActionConfig, TargetGroupTuple},
};
use pointsman::sandbox::aws::{NewBalancer, sdk_config};

use super::{
    overlay::{
        ecs::{Ecs, Fate, Rollout},
        health::Health,
    },
    proxy::{Fault, at},
    support::Scene,
    visitors::Visitors,
};

const ELB: &str = "elasticloadbalancing";

fn forward(scene: &Scene, from: i32, to: i32) -> Action {
    let tuple = |arn: &str, weight| TargetGroupTuple::builder().target_group_arn(arn).weight(weight).build();
    let balancer = &scene.sandbox.balancer;
    let config = ForwardActionConfig::builder()
        .target_groups(tuple(&balancer.from, from))
        .target_groups(tuple(&balancer.to, to))
        .build();
    Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config).build()
}

async fn weigh(scene: &Scene, client: &Client, from: i32, to: i32) {
    let request = client.modify_listener().listener_arn(&scene.sandbox.balancer.listener);
    request.default_actions(forward(scene, from, to)).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_follows_the_weights_that_the_emulator_holds() {
    let scene = Scene::new(NewBalancer::default()).await;
    let visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 8, false);
    assert!(visitors.next(50).await.share("new").abs() < f64::EPSILON);
    let client = scene.direct().elb;
    weigh(&scene, &client, 75, 25).await;
    settles(&visitors, 25.0).await;
    // The rule for a path of its own is not the listener's default.
    let api = Visitors::start(&scene.sandbox.plane.urls(), "/api/whoami", 2, false);
    assert!(api.next(50).await.share("new").abs() < f64::EPSILON);
    weigh(&scene, &client, 0, 100).await;
    settles(&visitors, 100.0).await;
    scene.sandbox.plane.set_delay(0, Duration::from_secs(3600));
    weigh(&scene, &client, 100, 0).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!((visitors.next(50).await.share("new") - 100.0).abs() < f64::EPSILON, "the node was not to follow");
    assert!(visitors.stop().await.failed.is_empty());
    let counted = scene.sandbox.plane.targets().await.unwrap();
    assert!(counted.iter().all(|target| target.healthy), "{counted:?}");
}

/// The share becomes what it should be, and is so for a hundred answers.
async fn settles(visitors: &Visitors, share: f64) {
    let began = Instant::now();
    loop {
        let seen = visitors.next(100).await;
        if (seen.share("new") - share).abs() < 3.0 {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{share}% were wanted: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_with_a_cookie_stay_where_they_are() {
    let scene = Scene::new(NewBalancer { sticky_seconds: Some(60), attached: true, ..NewBalancer::default() }).await;
    let keeping = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 4, true);
    keeping.next(40).await;
    weigh(&scene, &scene.direct().elb, 0, 100).await;
    let strangers = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    settles(&strangers, 100.0).await;
    assert!(keeping.next(40).await.share("new").abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_look_to_the_sdk_as_those_of_aws_do() {
    let scene = Scene::new(NewBalancer::default()).await;
    let through = sdk_config(&scene.proxy.url());
    let elb = Client::new(&through);
    let look = || elb.describe_listeners().listener_arns(&scene.sandbox.balancer.listener).send();
    scene.proxy.plant(at(ELB, "DescribeListeners").only(1), Fault::Throttled);
    scene.proxy.plant(at(ELB, "DescribeListeners").only(2), Fault::ErrorBefore(503));
    look().await.unwrap();
    assert_eq!(scene.proxy.count(ELB, "DescribeListeners"), 3, "the SDK repeats both");
    scene.proxy.plant(at(ELB, "DescribeListeners").times(1), Fault::Expired);
    assert_eq!(look().await.unwrap_err().code(), Some("ExpiredToken"));
    scene.proxy.heal();

    // The call took effect, and the SDK repeats it, since it can't know.
    scene.proxy.plant(at(ELB, "ModifyListener").only(1), Fault::ClosedAfter);
    weigh(&scene, &elb, 90, 10).await;
    assert_eq!(scene.proxy.count(ELB, "ModifyListener"), 2);
    assert_eq!(scene.weights(&scene.sandbox.balancer.listener).await, [("new".into(), 10), ("old".into(), 90)].into());

    // A read that is not up to date for twice after a write.
    look().await.unwrap();
    scene.proxy.plant(at(ELB, "DescribeListeners").after("ModifyListener").times(2), Fault::Stale);
    weigh(&scene, &elb, 50, 50).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(super::support::weights(look().await.unwrap().listeners()[0].default_actions())["new"]);
    }
    assert_eq!(seen, [10, 10, 50]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_protocol_says_no_in_its_own_shape() {
    let scene = Scene::new(NewBalancer::default()).await;
    let through = sdk_config(&scene.proxy.url());
    scene.proxy.plant(at("*", "*"), Fault::Expired);
    let code = |error: &dyn ProvideErrorMetadata| error.code().unwrap_or("none").to_owned();
    let secrets = aws_sdk_secretsmanager::Client::new(&through).list_secrets().send().await.unwrap_err();
    let zones = aws_sdk_route53::Client::new(&through).list_hosted_zones().send().await.unwrap_err();
    let alarms = aws_sdk_cloudwatch::Client::new(&through).describe_alarms().send().await.unwrap_err();
    let found = [code(&secrets), code(&zones), code(&alarms)];
    assert_eq!(found, ["ExpiredTokenException", "ExpiredToken", "ExpiredTokenException"]);
    let services: Vec<String> = scene.proxy.names();
    assert_eq!(services, ["secretsmanager ListSecrets", "route53 ListHostedZones", "monitoring DescribeAlarms"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudwatch_is_really_there() {
    let scene = Scene::new(NewBalancer::default()).await;
    let cloudwatch = scene.direct().cloudwatch;
    // Without its CBOR package the emulator says yes to everything.
    let absent = cloudwatch.set_alarm_state().alarm_name("absent").state_reason("x");
    let error = absent.state_value(aws_sdk_cloudwatch::types::StateValue::Ok).send().await.unwrap_err();
    assert!(error.code().is_some_and(|code| code.contains("ResourceNotFound")), "{error:?}");
    let visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    let began = Instant::now();
    while cloudwatch
        .list_metrics()
        .namespace("AWS/ApplicationELB")
        .metric_name("RequestCount")
        .send()
        .await
        .unwrap()
        .metrics()
        .is_empty()
    {
        assert!(began.elapsed() < Duration::from_secs(30), "the load balancer's requests are not published");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(visitors);
}

/// Rests on the overlay of a target's health, which is our belief about AWS.
#[tokio::test(flavor = "multi_thread")]
async fn health_is_what_a_test_says() {
    let scene = Scene::new(NewBalancer::default()).await;
    let elb = Client::new(&sdk_config(&scene.proxy.url()));
    let group = scene.sandbox.balancer.to.clone();
    scene.health.set(&group, &[Health::Healthy, Health::Unhealthy, Health::Initial]);
    let found = elb.describe_target_health().target_group_arn(&group).send().await.unwrap();
    let states: Vec<_> = found.target_health_descriptions().iter().map(|one| one.target_health().unwrap()).collect();
    let words: Vec<_> = states.iter().map(|health| health.state().unwrap().as_str()).collect();
    assert_eq!(words, ["healthy", "unhealthy", "initial"]);
    assert_eq!(states[1].reason().unwrap().as_str(), "Target.FailedHealthChecks");
}

/// Rests on the overlay of ECS, which is our belief about AWS.
#[tokio::test(flavor = "multi_thread")]
async fn rollouts_and_tasks_take_their_time() {
    let scene = Scene::new(NewBalancer::default()).await;
    let ecs = Arc::new(Ecs::new("shop", "web", "arn:aws:ecs:us-east-1:123456789012:task-definition/web:1", 2));
    scene.proxy.overlay(ecs.clone());
    let client = aws_sdk_ecs::Client::new(&sdk_config(&scene.proxy.url()));
    let look = async || -> Service {
        client.describe_services().cluster("shop").services("web").send().await.unwrap().services()[0].clone()
    };
    let update = || client.update_service().cluster("shop").service("web").force_new_deployment(true).send();
    update().await.unwrap();
    assert_eq!(look().await.deployments().len(), 2);
    while look().await.deployments().len() > 1 {}
    assert_eq!(look().await.deployments()[0].rollout_state().unwrap().as_str(), "COMPLETED");
    ecs.rolls(Rollout::Breaks);
    client.update_service().cluster("shop").service("web").task_definition("web:2").send().await.unwrap();
    while look().await.deployments()[0].task_definition() == Some("web:2") {}
    assert_eq!(look().await.deployments()[1].rollout_state().unwrap().as_str(), "FAILED");

    ecs.runs(Fate::Exits(3));
    let run = || client.run_task().cluster("shop").task_definition("migrate:1").client_token("one").send();
    let (first, again) = (run().await.unwrap(), run().await.unwrap());
    assert_eq!(first.tasks()[0].task_arn(), again.tasks()[0].task_arn());
    let arn = first.tasks()[0].task_arn().unwrap().to_owned();
    loop {
        let found = client.describe_tasks().cluster("shop").tasks(&arn).send().await.unwrap();
        if found.tasks()[0].last_status() == Some("STOPPED") {
            assert_eq!(found.tasks()[0].containers()[0].exit_code(), Some(3));
            break;
        }
    }
}
