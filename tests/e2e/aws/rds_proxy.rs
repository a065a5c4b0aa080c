//! An RDS Proxy, led to another database and back. The proxy and its targets are moto's, which makes a target available at
//! the first look; what a target that is not available says rests on the overlay here, which is our belief about AWS
//! (API reference: `TargetHealth`).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aws_sdk_rds as rds;
use pointsman::{
    journal::halt,
    sandbox::aws::{NewBalancer, sdk_config},
};

use super::{
    proxy::{Asked, Fault, Overlay, Reply, at},
    support::Scene,
};
use crate::cutover::support::{KILLED, ended};

/// Answers `DescribeDBProxyTargets` with a target that the proxy does not get through to, while it is wanted.
#[derive(Default)]
struct Shut(AtomicBool);

impl Overlay for Shut {
    fn amend(&self, asked: &Asked, reply: &mut Reply) {
        if asked.service != "rds" || asked.action != "DescribeDBProxyTargets" || !self.0.load(Ordering::SeqCst) {
            return;
        }
        let shut = "<State>UNAVAILABLE</State><Reason>AUTH_FAILURE</Reason><Description>no secret fits</Description>";
        reply.body = String::from_utf8_lossy(&reply.body).replace("<State>AVAILABLE</State>", shut).into();
    }
}

/// A proxy before one of two instances, and a runbook that leads it to the other.
async fn front() -> (Scene, rds::Client) {
    let scene = Scene::new(NewBalancer::default()).await;
    let client = rds::Client::new(&sdk_config(&scene.sandbox.cloud.moto()));
    for name in ["orders-old", "orders-new"] {
        let create = client.create_db_instance().db_instance_identifier(name).engine("postgres");
        let create = create.db_instance_class("db.m7g.large").allocated_storage(20).master_username("root");
        create.master_user_password("hush-hush-hush").send().await.unwrap();
    }
    let auth = rds::types::UserAuthConfig::builder().secret_arn("arn:aws:secretsmanager:us-east-1:1:secret:a").build();
    let create = client.create_db_proxy().db_proxy_name("orders").engine_family(rds::types::EngineFamily::Postgresql);
    let create = create.auth(auth).role_arn("arn:aws:iam::123456789012:role/proxy");
    let network = aws_sdk_elasticloadbalancingv2::Client::new(&sdk_config(&scene.sandbox.cloud.moto()));
    let balancer = network.describe_load_balancers().send().await.unwrap().load_balancers.unwrap();
    let zones = balancer[0].availability_zones();
    let subnets = zones.iter().filter_map(|zone| zone.subnet_id().map(str::to_owned)).collect();
    create.set_vpc_subnet_ids(Some(subnets)).send().await.unwrap();
    let register = client.register_db_proxy_targets().db_proxy_name("orders").target_group_name("default");
    register.db_instance_identifiers("orders-old").send().await.unwrap();
    scene.write(
        "version: 1\nname: proxied\nstage: rehearsal\nsystems:\n\
         \x20 old: { rds: { instance: orders-old } }\n\x20 new: { rds: { instance: orders-new } }\n\
         \x20 front: { rds-proxy: { proxy: orders, from: old, to: new, timeout: 20s } }\n\
         steps:\n  - switch: { endpoints: [front] }\n",
    );
    (scene, client)
}

async fn registered(client: &rds::Client) -> Vec<String> {
    let found = client.describe_db_proxy_targets().db_proxy_name("orders").target_group_name("default").send().await;
    let found = found.unwrap().targets.unwrap_or_default();
    found.into_iter().filter_map(|target| target.rds_resource_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_led_there_and_back() {
    let (scene, client) = front().await;
    let runbook = scene.runbook.to_str().unwrap().to_owned();
    let checked = scene.must(0, &["check", &runbook]).await;
    assert!(checked.out.contains("it leads to the side that is left"), "{checked:?}");
    let planned = scene.must(0, &["plan", &runbook]).await;
    assert!(planned.out.contains("DeregisterDBProxyTargets") && planned.out.contains("borrow timeout"), "{planned:?}");
    assert!(scene.proxy.writes().is_empty(), "check and plan change nothing");
    let policy = scene.must(0, &["iam-policy", &runbook]).await.out;
    scene.run(0).await;
    assert_eq!(registered(&client).await, ["orders-new"], "{}", scene.story());
    for action in scene.proxy.names() {
        assert!(policy.contains(&format!("\"{}\"", action.replace(' ', ":"))), "{action} is not in {policy}");
    }
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(registered(&client).await, ["orders-old"], "{}", scene.story());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_on_the_way_each_change_is_made_once() {
    let (scene, client) = front().await;
    scene.proxy.plant(at("rds", "DeregisterDBProxyTargets").only(1), Fault::ClosedAfter);
    scene.proxy.plant(at("rds", "RegisterDBProxyTargets").only(1), Fault::ErrorAfter(503));
    scene.proxy.plant(at("rds", "DescribeDBProxyTargets").only(2), Fault::Throttled);
    scene.run(0).await;
    assert_eq!(registered(&client).await, ["orders-new"], "{}", scene.story());
    assert_eq!(scene.proxy.count("rds", "RegisterDBProxyTargets"), 1);
    assert_eq!(scene.proxy.count("rds", "DeregisterDBProxyTargets"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_it_goes_on_and_back() {
    let (scene, client) = front().await;
    for seq in 1.. {
        let run = scene.command(&scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(run).await.code;
        if code != 0 {
            assert_eq!(code, KILLED, "{}", scene.story());
            if scene.state().outcome.is_none() {
                scene.must(0, &["resume", "--output", "json"]).await;
            }
        }
        assert_eq!(registered(&client).await, ["orders-new"], "killed at {seq}\n{}", scene.story());
        scene.must(5, &["rollback", "--output", "json"]).await;
        assert_eq!(registered(&client).await, ["orders-old"], "killed at {seq}\n{}", scene.story());
        if code == 0 {
            assert!(seq > 6, "a run has more entries than {seq}\n{}", scene.story());
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_it_does_not_get_through_to_holds_the_run_and_says_why() {
    let (scene, client) = front().await;
    let shut = Arc::new(Shut::default());
    scene.proxy.overlay(shut.clone());
    shut.0.store(true, Ordering::SeqCst);
    scene.run(4).await;
    let held = scene.held();
    assert!(held.contains("AUTH_FAILURE no secret fits") && held.contains("secrets of the proxy"), "{held}");
    shut.0.store(false, Ordering::SeqCst);
    scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!(registered(&client).await, ["orders-new"], "{}", scene.story());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_somebody_else_has_led_is_left_alone() {
    let (scene, client) = front().await;
    let take = client.deregister_db_proxy_targets().db_proxy_name("orders").target_group_name("default");
    take.db_instance_identifiers("orders-old").send().await.unwrap();
    scene.run(4).await;
    assert!(scene.held().contains("no database is registered with it"), "{}", scene.held());
    assert!(scene.proxy.writes().is_empty(), "{:?}", scene.proxy.writes());
}
