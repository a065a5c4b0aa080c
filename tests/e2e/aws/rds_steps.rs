//! Steps that change servers of RDS, through everything that can happen to a call and to the executor. Rests on the
//! overlay of RDS, which is our belief about AWS.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use aws_sdk_rds::Client;
use pointsman::{
    journal::halt,
    sandbox::{
        Passwords, Role, Servers,
        aws::{NewBalancer, sdk_config},
        postgres::Postgres,
        server::{Server, StartServer},
    },
};
use tokio::sync::Mutex;

use super::{
    book::Book,
    overlay::{
        ecs::Ecs,
        rds::{Local, Rds},
    },
    proxy::{Fault, at},
    shift::assert_no_errors,
    support::Scene,
    visitors::Visitors,
};
use crate::cutover::support::{KILLED, ended, summary};

const RDS: &str = "rds";

/// What only some of the tests name.
const SYSTEMS: &str = "  fresh: { rds: { instance: fresh } }\n  web: { ecs: { cluster: shop, service: web } }\n";

/// An instance `orders` that has been there for long, and a runbook of these steps.
pub(super) struct Ground {
    pub scene: Scene,
    pub overlay: Arc<Rds>,
    pub rds: Client,
}

impl Ground {
    pub async fn new(steps: &str) -> Self {
        let scene = Scene::new(NewBalancer::default()).await;
        let overlay = Arc::new(Rds::default());
        scene.proxy.overlay(overlay.clone());
        let rds = Client::new(&sdk_config(&scene.proxy.url()));
        scene.write(&format!(
            "version: 1\nname: changes\nstage: rehearsal\n\
             aws: {{ account: \"123456789012\", region: us-east-1, timeout: 2s }}\n\
             systems:\n  orders: {{ rds: {{ instance: orders }} }}\n{SYSTEMS}steps:\n{steps}"
        ));
        let ground = Self { scene, overlay, rds };
        ground.create("orders").await;
        ground
    }

    /// Gives `orders` a parameter group of its own, in force.
    pub async fn own_group(&self) {
        let group = self.rds.create_db_parameter_group().db_parameter_group_name("orders-17");
        group.db_parameter_group_family("postgres17").description("ours").send().await.unwrap();
        let change =
            self.rds.modify_db_instance().db_instance_identifier("orders").db_parameter_group_name("orders-17");
        change.send().await.unwrap();
        self.rds.reboot_db_instance().db_instance_identifier("orders").send().await.unwrap();
        self.settle().await;
    }

    /// What the group of `orders` sets, and how it stands.
    pub async fn group(&self) -> (BTreeMap<String, String>, String) {
        let found = self.rds.describe_db_parameters().db_parameter_group_name("orders-17").source("user");
        let found = found.send().await.unwrap();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let set = found.parameters().iter().map(|one| (text(one.parameter_name()), text(one.parameter_value())));
        let status = "DBParameterGroups/DBParameterGroup/ParameterApplyStatus";
        (set.collect(), self.overlay.shows("orders", status))
    }

    pub async fn create(&self, identifier: &str) {
        let create = self.rds.create_db_instance().db_instance_identifier(identifier).engine("postgres");
        let create = create.engine_version("17.4").db_instance_class("db.m7g.large").allocated_storage(20);
        create.master_username("keeper").master_user_password("not a secret").send().await.unwrap();
        self.settle().await;
    }

    /// Looks until every instance is at rest.
    pub async fn settle(&self) {
        let rests = |status: &str| matches!(status, "available" | "stopped");
        while !self.overlay.instances().iter().all(|(_, status)| rests(status)) {
            self.rds.describe_db_instances().send().await.unwrap();
        }
    }

    /// A run that is killed at an entry; whether it was.
    pub async fn killed_at(&self, words: &[&str], entry: &str) -> Option<String> {
        let child = self.scene.command(words).env(halt::KILL_AT, entry).spawn().unwrap();
        let code = ended(child).await.code;
        assert!([0, 5, KILLED].contains(&code), "{code}\n{}", self.scene.story());
        (code == KILLED).then(|| summary(&self.scene.entries().last().unwrap().event))
    }
}

const TWICE: &str = "  - snapshot: { of: orders, timeout: 30s }\n  - snapshot: { name: last, of: orders }\n";

/// A snapshot is made once, whatever happens to the answer, and is kept by a rollback.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_found_again_after_a_lost_answer() {
    let ground = Ground::new(TWICE).await;
    let faults = [
        ("closed before", Fault::ClosedBefore, 2),
        ("closed after", Fault::ClosedAfter, 2),
        ("an error after", Fault::ErrorAfter(503), 2),
        ("no answer", Fault::HangsAfter, 2),
        ("throttled", Fault::Throttled, 2),
    ];
    for (what, fault, wanted) in faults {
        let before = ground.overlay.snapshots().len();
        ground.scene.proxy.plant(at(RDS, "CreateDBSnapshot").only(1), fault);
        ground.scene.run(0).await;
        ground.scene.proxy.heal();
        let made = ground.overlay.snapshots().split_off(before);
        assert_eq!(made.len(), wanted, "{what}: {made:?}\n{}", ground.scene.story());
        assert!(made.iter().all(|(name, status)| name.starts_with("pointsman-") && status == "available"), "{made:?}");
        ground.scene.must(5, &["rollback", "--output", "json"]).await;
        assert_eq!(ground.overlay.snapshots().len(), before + wanted, "{what}: a rollback keeps it");
        ground.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_entry_it_makes_a_snapshot_once() {
    let ground = Ground::new(TWICE).await;
    for seq in 1.. {
        let before = ground.overlay.snapshots().len();
        let Some(what) = ground.killed_at(&ground.scene.run_words(), &seq.to_string()).await else {
            assert!(seq > 6, "a run has more entries than {seq}");
            return;
        };
        if ground.scene.state().outcome.is_none() {
            ground.scene.must(0, &["resume", "--output", "json"]).await;
        }
        let made = ground.overlay.snapshots().split_off(before);
        assert_eq!(made.len(), 2, "killed at entry {seq}, {what}\n{}", ground.scene.story());
        ground.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_fails_is_told_and_the_next_try_makes_another() {
    let ground = Ground::new("  - snapshot: { of: orders }\n").await;
    ground.overlay.snapshots_fail(true);
    ground.scene.run(4).await;
    assert!(ground.scene.held().contains("is failed"), "{}", ground.scene.held());
    ground.overlay.snapshots_fail(false);
    ground.settle().await;
    ground.scene.must(0, &["resume", "--output", "json"]).await;
    let made = ground.overlay.snapshots();
    assert_eq!(made.iter().map(|(_, status)| status.as_str()).collect::<Vec<_>>(), ["failed", "available"]);
}

/// Its name is given to another server while the run stands still; the one of the plan is found under its new name.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_the_plan_is_meant_whatever_it_is_called_now() {
    let ground = Ground::new("  - snapshot: { of: orders }\n").await;
    ground.killed_at(&ground.scene.run_words(), "intent:snapshot").await.expect("it was to be killed");
    let rename = ground.rds.modify_db_instance().db_instance_identifier("orders").new_db_instance_identifier("former");
    rename.apply_immediately(true).send().await.unwrap();
    ground.settle().await;
    let copy = ground.rds.create_db_instance_read_replica().db_instance_identifier("orders");
    copy.source_db_instance_identifier("former").send().await.unwrap();
    ground.settle().await;
    ground.scene.must(0, &["resume", "--output", "json"]).await;
    let last = ground.overlay.snapshots().pop().unwrap().0;
    let found = ground.rds.describe_db_snapshots().db_snapshot_identifier(&last).send().await.unwrap();
    assert_eq!(found.db_snapshots()[0].db_instance_identifier(), Some("former"));
}

const CHANGED: &str = "  - snapshot: { of: orders }\n  - parameters: { of: orders, timeout: 60s, \
                       set: { rds.logical_replication: 1, work_mem: 8192 } }\n";

fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What was there before is there again after a rollback, in force: a default, and a value of somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn parameters_come_into_force_and_go_back_whatever_is_lost() {
    let ground = Ground::new(CHANGED).await;
    ground.own_group().await;
    let wanted = set(&[("rds.logical_replication", "1"), ("work_mem", "8192")]);
    let faults = [
        ("ModifyDBParameterGroup", Fault::ClosedAfter),
        ("ModifyDBParameterGroup", Fault::Throttled),
        ("RebootDBInstance", Fault::ErrorAfter(503)),
        ("ResetDBParameterGroup", Fault::HangsAfter),
    ];
    for (action, fault) in faults {
        ground.scene.proxy.forget();
        ground.scene.proxy.plant(at(RDS, action).only(1), fault);
        ground.scene.run(0).await;
        assert_eq!(ground.group().await, (wanted.clone(), "in-sync".into()), "{action}\n{}", ground.scene.story());
        assert_eq!(ground.scene.proxy.count(RDS, "RebootDBInstance"), 1, "{action}: one reboot, and no more");
        ground.scene.must(5, &["rollback", "--output", "json"]).await;
        assert_eq!(ground.group().await, (set(&[]), "in-sync".into()), "{action}\n{}", ground.scene.story());
        ground.scene.proxy.heal();
        ground.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_entry_parameters_are_in_force_or_as_they_were() {
    let ground = Ground::new(CHANGED).await;
    ground.own_group().await;
    for seq in 2.. {
        let Some(what) = ground.killed_at(&ground.scene.run_words(), &seq.to_string()).await else {
            assert!(seq > 8, "a run has more entries than {seq}");
            return;
        };
        if seq % 2 == 0 && ground.scene.state().outcome.is_none() {
            ground.scene.must(0, &["resume", "--output", "json"]).await;
            let (now, status) = ground.group().await;
            assert_eq!((now.len(), status.as_str()), (2, "in-sync"), "killed at {what}\n{}", ground.scene.story());
        }
        ground.scene.must(5, &["rollback", "--output", "json"]).await;
        assert_eq!(ground.group().await, (set(&[]), "in-sync".into()), "killed at {what}\n{}", ground.scene.story());
        ground.settle().await;
    }
}

/// The default group can't be changed, and what to do is said; nothing is changed.
#[tokio::test(flavor = "multi_thread")]
async fn the_default_group_is_refused() {
    let ground = Ground::new("  - preflight\n  - parameters: { of: orders, set: { work_mem: 8192 } }\n").await;
    ground.scene.proxy.forget();
    let refused = ground.scene.run(3).await;
    assert!(refused.out.contains("create-db-parameter-group"), "{refused:?}");
    assert!(ground.scene.proxy.writes().is_empty(), "{:?}", ground.scene.proxy.names());
}

const MADE: &str = "  - create-instance: { of: fresh, engine: postgres, engine-version: \"17.4\", class: db.m7g.large, \
                    storage: 100GiB, user: keeper, password: \"${env:FRESH_PASSWORD}\", undo: delete-with-snapshot }\n";

/// It is made once, found again by the run's tag, and deleted with a snapshot by a rollback; its password is nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_made_once_and_deleted_only_by_who_made_it() {
    let mut ground = Ground::new(MADE).await;
    ground.scene.set("FRESH_PASSWORD", "hush-hush-hush");
    let text = std::fs::read_to_string(&ground.scene.runbook).unwrap();
    for (from, to, code, words) in [
        ("db.m7g.large", "db.m7g.large", 0, "the name is free, and RDS offers what is made"),
        ("db.m7g.large", "db.x1.large", 3, "db.x1.large for postgres 17.4, here"),
        ("17.4", "17.9", 3, "postgres 17.9 is none of 17.4, 17.5"),
        ("17.4", "16.1", 0, "AWS has given up postgres 16.1"),
    ] {
        ground.scene.write(&text.replace(from, to));
        let checked = ground.scene.must(code, &["check", ground.scene.runbook.to_str().unwrap()]).await;
        assert!(checked.says(words), "{words}: {checked:?}");
    }
    ground.scene.write(&text);
    for fault in [Fault::ClosedAfter, Fault::ClosedBefore, Fault::Throttled] {
        ground.scene.proxy.plant(at(RDS, "CreateDBInstance").only(1), fault);
        ground.scene.run(0).await;
        ground.scene.proxy.heal();
        assert_eq!(ground.overlay.shows("fresh", "DBInstanceStatus"), "available");
        ground.scene.must(5, &["rollback", "--output", "json"]).await;
        assert!(!ground.overlay.instances().iter().any(|(name, _)| name == "fresh"), "{}", ground.scene.story());
    }
    let entries = serde_json::to_string(&ground.scene.entries()).unwrap();
    assert!(!entries.contains("hush-hush-hush"), "the journal has the password");
    // Somebody else's is neither taken over nor deleted.
    ground.create("fresh").await;
    ground.scene.run(4).await;
    assert!(ground.scene.held().contains("has not made it"), "{}", ground.scene.held());
    ground.scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(ground.overlay.shows("fresh", "DBInstanceStatus"), "available");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_entry_an_instance_is_made_once() {
    let mut ground = Ground::new(MADE).await;
    ground.scene.set("FRESH_PASSWORD", "hush-hush-hush");
    for seq in 2.. {
        ground.scene.proxy.forget();
        let Some(what) = ground.killed_at(&ground.scene.run_words(), &seq.to_string()).await else {
            assert!(seq > 5, "a run has more entries than {seq}");
            return;
        };
        if ground.scene.state().outcome.is_none() {
            ground.scene.must(0, &["resume", "--output", "json"]).await;
        }
        assert_eq!(ground.overlay.shows("fresh", "DBInstanceStatus"), "available", "killed at {what}");
        assert_eq!(ground.scene.proxy.count(RDS, "CreateDBInstance"), 1, "killed at {what}\n{}", ground.scene.story());
        ground.scene.must(5, &["rollback", "--output", "json"]).await;
    }
}

const LAID_DOWN: &str = "  - bake: { for: 100ms }\n  - approve: { message: Old side?, timeout: 1s }\n  - decommission: { stop: [web, orders] }\n";

/// Rests on the overlay of ECS, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_goes_out_of_service_and_comes_back() {
    let ground = Ground::new(LAID_DOWN).await;
    let web = "arn:aws:ecs:us-east-1:123456789012:task-definition/web:1";
    ground.scene.proxy.overlay(Arc::new(Ecs::new("shop", "web", web, 2)));
    ground.scene.run(4).await;
    ground.scene.must(0, &["approve", "--reason", "yes"]).await;
    let ecs = aws_sdk_ecs::Client::new(&sdk_config(&ground.scene.proxy.url()));
    let tasks = async || {
        let found = ecs.describe_services().cluster("shop").services("web").send().await.unwrap();
        found.services()[0].desired_count()
    };
    // Each call of the way takes effect, and its answer is lost.
    for (service, action) in [("ecs", "UpdateService"), (RDS, "CreateDBSnapshot"), (RDS, "StopDBInstance")] {
        ground.scene.proxy.plant(at(service, action).only(1), Fault::ClosedAfter);
    }
    ground.scene.must(0, &["resume", "--output", "json"]).await;
    assert_eq!((tasks().await, ground.overlay.shows("orders", "DBInstanceStatus").as_str()), (0, "stopped"));
    assert_eq!(ground.overlay.snapshots().len(), 1);
    ground.scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!((tasks().await, ground.overlay.shows("orders", "DBInstanceStatus").as_str()), (2, "available"));
}

/// SIGKILL at each entry behind the approval: what was stopped is stopped once, behind one snapshot, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_entry_what_was_left_is_stopped_once() {
    let ground = Ground::new(LAID_DOWN).await;
    let web = "arn:aws:ecs:us-east-1:123456789012:task-definition/web:1";
    ground.scene.proxy.overlay(Arc::new(Ecs::new("shop", "web", web, 2)));
    let ecs = aws_sdk_ecs::Client::new(&sdk_config(&ground.scene.proxy.url()));
    let stands = async || {
        let found = ecs.describe_services().cluster("shop").services("web").send().await.unwrap();
        (found.services()[0].desired_count(), ground.overlay.shows("orders", "DBInstanceStatus"))
    };
    let checked = ground.scene.must(0, &["check", ground.scene.runbook.to_str().unwrap()]).await;
    for words in ["the service will get no tasks any more", "the server will be stopped, behind a last snapshot"] {
        assert!(checked.says(words), "check does not say {words}: {}", checked.out);
    }
    for number in 1.. {
        ground.scene.run(4).await;
        ground.scene.must(0, &["approve", "--reason", "yes"]).await;
        let (before, seq) = (ground.overlay.snapshots().len(), ground.scene.state().seq + number);
        let killed = ground.killed_at(&["resume", "--output", "json"], &seq.to_string()).await;
        if killed.is_some() && number % 2 == 1 && ground.scene.state().outcome.is_none() {
            ground.scene.must(0, &["resume", "--output", "json"]).await;
            assert_eq!(stands().await, (0, "stopped".to_owned()), "{killed:?}\n{}", ground.scene.story());
            assert_eq!(ground.overlay.snapshots().len(), before + 1, "{killed:?}\n{}", ground.scene.story());
        }
        ground.scene.must(5, &["rollback", "--output", "json"]).await;
        assert_eq!(stands().await, (2, "available".to_owned()), "{killed:?}\n{}", ground.scene.story());
        assert!(ground.overlay.snapshots().len() <= before + 1, "{killed:?}\n{}", ground.scene.story());
        if killed.is_none() {
            assert!(number > 6, "a run has more entries than {number}\n{}", ground.scene.story());
            return;
        }
    }
}

/// A real PostgreSQL behind `orders`: what a group says is set on it, and needs its restart where PostgreSQL says so.
struct Real(u16, Mutex<Server<Postgres>>);

#[async_trait]
impl Local for Real {
    fn port(&self) -> u16 {
        self.0
    }

    async fn set(&self, values: BTreeMap<String, String>, restarted: bool) {
        let server = self.1.lock().await;
        let db = server.connect(Role::Superuser).await.unwrap();
        for (name, value) in values.iter().filter(|(name, _)| !name.starts_with("rds.")) {
            db.batch_execute(&format!("ALTER SYSTEM SET {name} = '{value}'")).await.unwrap();
        }
        db.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        if restarted {
            drop(db);
            server.restart().await.unwrap();
        }
    }
}

/// A run that sets these parameters of `orders`, which the database `db` of the runbook is.
async fn on_a_real_server(set: &str) -> (Ground, Server<Postgres>) {
    let mut ground = Ground::new(&format!("  - parameters: {{ of: orders, set: {set} }}\n")).await;
    ground.own_group().await;
    let start = StartServer {
        name: "orders".into(),
        program: Servers::find().postgres(17).unwrap().clone(),
        root: ground.scene.sandbox.folder().to_owned(),
        passwords: Passwords::random(),
        fsync: false,
        settings: Vec::new(),
        tls: None,
        replica_of: None,
    };
    let server = Server::<Postgres>::start(start).await.unwrap();
    let text = std::fs::read_to_string(&ground.scene.runbook).unwrap();
    let database = "systems:\n  db: { postgres: { url: \"${env:ORDERS}\" } }\n";
    ground.scene.write(&text.replacen("systems:\n", database, 1));
    ground.scene.set("ORDERS", &server.url(Role::Superuser, "postgres"));
    (ground, server)
}

/// In force is what the server itself says: a reboot brings a static parameter there, and the run waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_has_the_parameters_in_the_end() {
    let (ground, server) = on_a_real_server("{ max_connections: 77, work_mem: 8192 }, timeout: 60s").await;
    let real = Arc::new(Real(server.port(), Mutex::new(server)));
    ground.overlay.serves("orders", real.clone());
    let says = async |name: &str| {
        let db = real.1.lock().await.connect(Role::Superuser).await.unwrap();
        let row = db.query_one("SELECT setting FROM pg_settings WHERE name = $1", &[&name]).await.unwrap();
        row.get::<_, String>(0)
    };
    assert_ne!(says("max_connections").await, "77");
    ground.scene.run(0).await;
    assert_eq!((says("max_connections").await, says("work_mem").await), ("77".into(), "8192".into()));
}

/// A group that AWS has in sync, and a server that has another value: the run does not go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_obey_is_told() {
    let (ground, server) = on_a_real_server("{ work_mem: 8192 }, timeout: 5s").await;
    ground.overlay.serves("orders", Arc::new(server.port()));
    ground.scene.run(4).await;
    let held = ground.scene.held();
    assert!(held.contains("the group says work_mem = 8192, and db itself 4096"), "{held}");
}

/// The old target group leaves the rules that the run has moved, and comes back with them.
#[tokio::test(flavor = "multi_thread")]
async fn the_old_target_group_leaves_the_rules() {
    let scene = Scene::new(NewBalancer::default()).await;
    let after = "  - bake: { for: 100ms }\n  - approve: { message: Old side?, timeout: 1s }\n  - decommission: { rules: [web] }\n";
    scene.book(&Book { weights: "[100]", after, ..Book::default() });
    let held = async || {
        (scene.weights(&scene.sandbox.balancer.listener).await, scene.weights(&scene.sandbox.balancer.rule).await)
    };
    let before = held().await;
    let visitors = Visitors::start(&scene.sandbox.plane.urls(), "/whoami", 2, false);
    scene.run(4).await;
    scene.must(0, &["approve", "--reason", "yes"]).await;
    scene.proxy.plant(at("elasticloadbalancing", "ModifyRule").only(1), Fault::ClosedAfter);
    scene.must(0, &["resume", "--output", "json"]).await;
    let (listener, rule) = held().await;
    assert!([&listener, &rule].iter().all(|one| !one.contains_key("old") && one["new"] > 0), "{listener:?} {rule:?}");
    scene.must(5, &["rollback", "--output", "json"]).await;
    assert_eq!(held().await, before, "{}", scene.story());
    assert_no_errors(&visitors.stop().await, &scene);
}
