//! A cluster's writer becomes another of its instances, and back. moto fails over at once; that it takes a while, and what
//! the cluster is called meanwhile, rests on the overlay here, which is our belief about AWS (Aurora User Guide, "High
//! availability for Amazon Aurora"; the status `failing-over` from "Viewing DB cluster status").

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
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

/// After a failover the cluster is `failing-over` for some looks, with the writer that it had.
#[derive(Default)]
struct Slow {
    looks: AtomicUsize,
}

impl Overlay for Slow {
    fn amend(&self, asked: &Asked, reply: &mut Reply) {
        match asked.action.as_str() {
            "FailoverDBCluster" if reply.status == 200 => self.looks.store(3, Ordering::SeqCst),
            "DescribeDBClusters" if self.looks.load(Ordering::SeqCst) > 0 => {
                self.looks.fetch_sub(1, Ordering::SeqCst);
                let body = String::from_utf8_lossy(&reply.body).into_owned();
                let body = body.replace("<Status>available</Status>", "<Status>failing-over</Status>");
                let (yes, no) = ("<IsClusterWriter>true<", "<IsClusterWriter>false<");
                reply.body =
                    body.replace(yes, "<IsClusterWriter>?<").replace(no, yes).replace("<IsClusterWriter>?<", no).into();
            }
            _ => {}
        }
    }
}

async fn shop() -> (Scene, rds::Client) {
    let scene = Scene::new(NewBalancer::default()).await;
    let client = rds::Client::new(&sdk_config(&scene.sandbox.cloud.moto()));
    let create = client.create_db_cluster().db_cluster_identifier("shop").engine("aurora-postgresql");
    create.master_username("root").master_user_password("hush-hush-hush").send().await.unwrap();
    for name in ["shop-1", "shop-2"] {
        let create = client.create_db_instance().db_instance_identifier(name).engine("aurora-postgresql");
        create.db_instance_class("db.r7g.large").db_cluster_identifier("shop").send().await.unwrap();
    }
    scene.proxy.overlay(Arc::new(Slow::default()));
    scene.write(
        "version: 1\nname: over\nstage: rehearsal\nsystems:\n\
         \x20 shop: { rds: { cluster: shop } }\nsteps:\n  - preflight\n  - failover: { of: shop, to: shop-2, timeout: 60s }\n",
    );
    (scene, client)
}

async fn writer(client: &rds::Client) -> String {
    let found = client.describe_db_clusters().db_cluster_identifier("shop").send().await.unwrap();
    let members = found.db_clusters.unwrap().remove(0).db_cluster_members.unwrap();
    let writer = members.into_iter().find(|member| member.is_cluster_writer == Some(true)).unwrap();
    writer.db_instance_identifier.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writer_is_exchanged_and_given_back_and_asked_for_once() {
    let (scene, client) = shop().await;
    assert_eq!(writer(&client).await, "shop-1");
    let runbook = scene.runbook.to_str().unwrap().to_owned();
    let policy = scene.must(0, &["iam-policy", &runbook]).await.out;
    let checked = scene.must(0, &["check", &runbook]).await;
    assert!(checked.out.contains("the cluster can fail over"), "{checked:?}");
    let planned = scene.must(0, &["plan", &runbook]).await;
    assert!(planned.out.contains("FailoverDBCluster"), "{planned:?}");
    assert!(scene.proxy.writes().is_empty(), "check and plan change nothing");
    scene.proxy.plant(at("rds", "FailoverDBCluster").only(1), Fault::ClosedAfter);
    scene.run(0).await;
    assert_eq!(writer(&client).await, "shop-2", "{}", scene.story());
    assert_eq!(scene.proxy.count("rds", "FailoverDBCluster"), 1, "a reply that was lost is looked for");
    for action in scene.proxy.names() {
        assert!(policy.contains(&format!("\"{}\"", action.replace(' ', ":"))), "{action} is not in {policy}");
    }
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(writer(&client).await, "shop-1", "{}", scene.story());
    assert_eq!(scene.proxy.count("rds", "FailoverDBCluster"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_it_is_asked_for_once_each_way() {
    let (scene, client) = shop().await;
    for seq in 1.. {
        let asked = scene.proxy.count("rds", "FailoverDBCluster");
        let run = scene.command(&scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        let code = ended(run).await.code;
        if code != 0 {
            assert_eq!(code, KILLED, "{}", scene.story());
            if scene.state().outcome.is_none() {
                scene.must(0, &["resume", "--output", "json"]).await;
            }
        }
        assert_eq!(writer(&client).await, "shop-2", "killed at {seq}\n{}", scene.story());
        scene.must(5, &["rollback", "--output", "json"]).await;
        assert_eq!(writer(&client).await, "shop-1", "killed at {seq}\n{}", scene.story());
        let now = scene.proxy.count("rds", "FailoverDBCluster");
        assert_eq!(now, asked + 2, "killed at {seq}\n{}", scene.story());
        if code == 0 {
            assert!(seq > 6, "a run has more entries than {seq}\n{}", scene.story());
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_not_there_is_told_beforehand_and_by_the_run() {
    let (scene, client) = shop().await;
    let text = std::fs::read_to_string(&scene.runbook).unwrap().replace("to: shop-2", "to: shop-3");
    scene.write(&text);
    let checked = scene.must(3, &["check", scene.runbook.to_str().unwrap()]).await;
    assert!(checked.out.contains("shop-3 is none of shop-1, shop-2"), "{checked:?}");
    scene.write(&text.replace("  - preflight\n", ""));
    scene.run(4).await;
    assert!(scene.held().contains("shop-3 is no instance of the cluster"), "{}", scene.held());
    assert_eq!((writer(&client).await.as_str(), scene.proxy.writes().len()), ("shop-1", 0));
}
