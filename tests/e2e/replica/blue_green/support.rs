//! A scene whose source is an instance of RDS and whose target is the green one of its Blue/Green deployment: a streaming
//! standby, truly promoted by the switchover, or a server of another major version that truly subscribes to it. Or both are
//! clusters of Aurora of one instance each, and the green one is a clone that subscribes to the blue one. The old one truly
//! allows nothing but reads until it is rebooted, the writer instance of a cluster.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
};

use async_trait::async_trait;
use aws_sdk_rds as rds;
use pointsman::sandbox::{
    Role, SandboxOptions,
    aws::{Cloud, sdk_config},
    connect,
    postgres::{Postgres, PostgresServer},
};

use super::{super::support::Stage, front::Fronts, logical};
use crate::{
    aws::{
        overlay::rds::{Local, Rds},
        proxy::Proxy,
    },
    cutover::support::{STEPS, Staged},
};

pub const DEPLOYMENT: &str = "orders-upgrade";
/// The parameter group of the green one.
const GROUP: &str = "orders-green";
const STANDBY: &str = "standby.signal";

/// Which of the two servers of the sandbox.
#[derive(Clone, Copy)]
enum Which {
    Blue,
    Green,
}

/// How the green one follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// As a streaming standby.
    Physically,
    /// By a subscription of RDS, from another major version.
    Logically,
    /// By a subscription of RDS, as a cluster that began as a clone of the blue one.
    Cloned,
}

/// An instance: its name, and the server behind it.
struct Behind {
    which: Which,
    how: How,
    name: Mutex<String>,
    fronts: Arc<Fronts>,
    stage: Weak<Stage>,
    port: u16,
    url: String,
    data: PathBuf,
}

impl Behind {
    fn server<'a>(&self, stage: &'a Stage) -> &'a PostgresServer {
        match self.which {
            Which::Blue => &stage.scene.sandbox.source,
            Which::Green => &stage.scene.sandbox.target,
        }
    }

    async fn restart(&self) {
        let Some(stage) = self.stage.upgrade() else { return };
        self.server(&stage).restart().await.unwrap();
    }
}

#[async_trait]
impl Local for Behind {
    fn port(&self) -> u16 {
        self.fronts.port(&self.name.lock().unwrap())
    }

    fn renamed(&self, to: &str) {
        to.clone_into(&mut self.name.lock().unwrap());
        self.fronts.lead(to, Some(self.port));
    }

    async fn shut(&self) {
        self.fronts.lead(&self.name.lock().unwrap(), None);
    }

    async fn follows(&self) {
        match (self.stage.upgrade(), self.how) {
            (Some(stage), How::Logically) => logical::follow(&stage.scene.sandbox).await,
            (Some(stage), How::Cloned) => logical::follow_as_a_clone(&stage.scene.sandbox).await,
            _ => {}
        }
    }

    async fn refuses(&self) -> Option<String> {
        match (self.stage.upgrade(), self.how) {
            (Some(stage), How::Logically | How::Cloned) => logical::refuses(&stage.scene.sandbox).await,
            _ => None,
        }
    }

    async fn caught_up(&self) {
        let Some(stage) = self.stage.upgrade() else { return };
        if self.how != How::Physically {
            return logical::caught_up(&stage.scene.sandbox).await;
        }
        let blue = stage.scene.sandbox.source.connect(Role::Superuser).await.unwrap();
        let end: String = blue.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.unwrap().get(0);
        let green = connect(&self.url).await.unwrap();
        let sql = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
        while !green.query_one(sql, &[&end]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// More than RDS does perhaps: no session can override it.
    async fn left_behind(&self) {
        std::fs::write(self.data.join(STANDBY), "").unwrap();
        self.restart().await;
    }

    async fn promoted(&self) {
        if let (Some(stage), How::Logically | How::Cloned) = (self.stage.upgrade(), self.how) {
            return logical::opened(&stage.scene.sandbox).await;
        }
        connect(&self.url).await.unwrap().query("SELECT pg_promote()", &[]).await.unwrap();
    }

    async fn set(&self, _values: BTreeMap<String, String>, restarted: bool) {
        if restarted {
            drop(std::fs::remove_file(self.data.join(STANDBY)));
            self.restart().await;
        }
    }
}

/// A whole cutover through the deployment that can still be rolled back.
pub fn steps() -> Vec<String> {
    STEPS.iter().map(|step| step.replace("to: target, timeout: 2m", "to: target, through: blue-green")).collect()
}

pub struct Account {
    pub stage: Arc<Stage>,
    how: How,
    role: Role,
    pub proxy: Proxy,
    pub overlay: Arc<Rds>,
    pub fronts: Arc<Fronts>,
    pub client: rds::Client,
    _cloud: Cloud,
}

impl Account {
    pub async fn new() -> Self {
        let empty = Self::without_deployment().await;
        empty.deploy().await;
        empty
    }

    /// One of another major version, which our role moves.
    pub async fn to_another_major(from: u32, role: Role) -> Self {
        let account = Self::before_another_major(from, role).await;
        account.deploy().await;
        account
    }

    pub async fn before_another_major(from: u32, role: Role) -> Self {
        let options = SandboxOptions { source_version: from, target_version: 18, ..Postgres::hurried() };
        Self::of(Stage::of(options).await, How::Logically, role).await
    }

    /// A cluster without a deployment.
    pub async fn of_a_cluster() -> Self {
        Self::of(Stage::with(Postgres::hurried()).await, How::Cloned, Role::Superuser).await
    }

    pub async fn without_deployment() -> Self {
        Self::of(Stage::with(Postgres::hurried()).await, How::Physically, Role::Superuser).await
    }

    async fn of(mut stage: Stage, how: How, role: Role) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let cloud = Cloud::start(stage.scene.sandbox.folder()).await.unwrap();
        let proxy = Proxy::start(cloud.moto(), cloud.ministack()).await;
        let overlay = Arc::new(Rds::default());
        proxy.overlay(overlay.clone());
        let fronts = Arc::new(Fronts::default());
        lead_the_pooler(&mut stage, fronts.port("orders")).await;
        stage.scene.add_env(Cloud::env_through(&proxy.url()));
        let password = password(&stage, role);
        stage.scene.add_env([("RDS_PASSWORD".to_owned(), password)]);
        let stage = Arc::new(stage);
        let members = [(Which::Blue, "orders-1"), (Which::Green, "orders-1-green")];
        let members = members.into_iter().filter(|_| how == How::Cloned);
        for (which, name) in [(Which::Blue, "orders"), (Which::Green, "orders-green")].into_iter().chain(members) {
            let sandbox = &stage.scene.sandbox;
            let server = if matches!(which, Which::Blue) { &sandbox.source } else { &sandbox.target };
            let (fronts, stage) = (fronts.clone(), Arc::downgrade(&stage));
            let (url, data) = (server.url(Role::Superuser, "postgres"), server.data().to_owned());
            let behind = Behind { which, how, name: Mutex::default(), fronts, stage, port: server.port(), url, data };
            behind.renamed(name);
            overlay.serves(name, Arc::new(behind));
        }
        let client = rds::Client::new(&sdk_config(&proxy.url()));
        let account = Self { stage, how, role, proxy, overlay, fronts, client, _cloud: cloud };
        match how {
            How::Cloned => account.make_blue_cluster().await,
            How::Physically | How::Logically => account.make_blue().await,
        }
        account.write(&steps());
        account
    }

    fn versions(&self) -> (String, String) {
        let sandbox = &self.stage.scene.sandbox;
        let version = |server: &PostgresServer| format!("{}.8", server.major());
        (version(&sandbox.source), version(&sandbox.target))
    }

    async fn make_group(&self, name: &str, version: &str) {
        let family = format!("postgres{}", version.split('.').next().unwrap());
        let group = self.client.create_db_parameter_group().db_parameter_group_name(name);
        group.db_parameter_group_family(family).description("ours").send().await.unwrap();
        let logical = rds::types::Parameter::builder().parameter_name("rds.logical_replication").parameter_value("1");
        let logical = logical.apply_method(rds::types::ApplyMethod::PendingReboot).build();
        let set = self.client.modify_db_parameter_group().db_parameter_group_name(name).parameters(logical);
        set.send().await.unwrap();
    }

    async fn make_blue(&self) {
        let (blue, green) = self.versions();
        self.make_group("orders-blue", &blue).await;
        self.make_group(GROUP, &green).await;
        let create =
            self.client.create_db_instance().db_instance_identifier("orders").db_instance_class("db.m7g.large");
        let create = create.db_parameter_group_name("orders-blue").engine("postgres").engine_version(blue);
        let create = create.allocated_storage(100).backup_retention_period(7).master_username("postgres");
        create.master_user_password("hush-hush-hush").send().await.unwrap();
        self.rest().await;
    }

    /// As `make_blue`: the group that publishes is that of the cluster.
    async fn make_blue_cluster(&self) {
        let (blue, _) = self.versions();
        let family = format!("aurora-postgresql{}", blue.split('.').next().unwrap());
        let group = self.client.create_db_cluster_parameter_group().db_cluster_parameter_group_name("orders-blue");
        group.db_parameter_group_family(family).description("ours").send().await.unwrap();
        let logical = rds::types::Parameter::builder().parameter_name("rds.logical_replication").parameter_value("1");
        let logical = logical.apply_method(rds::types::ApplyMethod::PendingReboot).build();
        let set = self.client.modify_db_cluster_parameter_group().db_cluster_parameter_group_name("orders-blue");
        set.parameters(logical).send().await.unwrap();
        let create = self.client.create_db_cluster().db_cluster_identifier("orders").engine("aurora-postgresql");
        let create = create.engine_version(blue).db_cluster_parameter_group_name("orders-blue");
        let create = create.master_username("postgres").master_user_password("hush-hush-hush");
        create.send().await.unwrap();
        let create = self.client.create_db_instance().db_instance_identifier("orders-1").engine("aurora-postgresql");
        create.db_instance_class("db.r7g.large").db_cluster_identifier("orders").send().await.unwrap();
        self.rest().await;
    }

    async fn rest(&self) {
        let all = || self.overlay.instances().into_iter().chain(self.overlay.clusters());
        while all().any(|(_, status)| status != "available") {
            self.client.describe_db_instances().send().await.unwrap();
            if self.how == How::Cloned {
                self.client.describe_db_clusters().send().await.unwrap();
            }
        }
    }

    /// The deployment, made by hand.
    pub async fn deploy(&self) {
        let create = self.client.create_blue_green_deployment().blue_green_deployment_name(DEPLOYMENT);
        let create = create.target_engine_version(self.versions().1).target_db_parameter_group_name(GROUP);
        create.source("arn:aws:rds:us-east-1:123456789012:db:orders").send().await.unwrap();
        while self.overlay.deployment_status(DEPLOYMENT) != "AVAILABLE" {
            self.client.describe_blue_green_deployments().send().await.unwrap();
            self.rest().await;
        }
    }

    /// The deployment, made by a run of its own.
    pub async fn make(&self) {
        let scene = &self.stage.scene;
        let file = scene.runbook.with_file_name("make.yaml");
        // A clone has the blue one's group.
        let group = if self.how == How::Cloned { String::new() } else { format!("parameter-group: {GROUP}, ") };
        let text = format!(
            "version: 1\nname: make\nstage: rehearsal\nsystems:\n{}steps:\n  - create-blue-green: {{ of: green, from: blue, \
             engine-version: \"{}\", {group}timeout: 1m }}\n",
            self.named(),
            self.versions().1
        );
        std::fs::write(&file, text).unwrap();
        scene.must(0, &["run", file.to_str().unwrap(), "--output", "json"]).await;
    }

    /// Writes the runbook: both databases name what they are in RDS.
    pub fn write(&self, steps: &[String]) {
        let scene = &self.stage.scene;
        scene.write(steps);
        let text = std::fs::read_to_string(&scene.runbook).unwrap();
        let role = self.role.name();
        let database = |rds: &str| {
            format!(
                "{{ postgres: {{ rds: {rds}, user: {role}, password: \"${{env:RDS_PASSWORD}}\", database: shop }} }}"
            )
        };
        let text = text
            .replace("{ postgres: { url: \"${env:SOURCE_URL}\" } }", &database("blue"))
            .replace("{ postgres: { url: \"${env:TARGET_URL}\" } }", &database("green"));
        std::fs::write(&scene.runbook, text.replacen("systems:\n", &format!("systems:\n{}", self.named()), 1)).unwrap();
    }

    /// After a switchover, everything as it was before it: another green instance follows, the pooler knows the old name.
    pub async fn again(&self) {
        match self.how {
            How::Physically => self.stage.replica_again().await,
            How::Logically => logical::follow(&self.stage.scene.sandbox).await,
            How::Cloned => unreachable!("a clone goes there and back once"),
        }
        self.overlay.deployment_again(DEPLOYMENT);
        let pooler = &self.stage.scene.sandbox.pgbouncers[0];
        let (old, new) = (self.fronts.port("orders-old1"), self.fronts.port("orders"));
        let text = std::fs::read_to_string(pooler.ini()).unwrap();
        std::fs::write(pooler.ini(), text.replace(&format!("port={old} "), &format!("port={new} "))).unwrap();
        connect(&pooler.admin_url()).await.unwrap().simple_query("RELOAD").await.unwrap();
    }

    /// What both databases name.
    fn named(&self) -> String {
        let blue = if self.how == How::Cloned { "cluster" } else { "instance" };
        format!("  blue: {{ rds: {{ {blue}: orders }} }}\n  green: {{ rds: {{ blue-green: {DEPLOYMENT} }} }}\n")
    }

    pub fn asked(&self) -> usize {
        self.proxy.count("rds", "SwitchoverBlueGreenDeployment")
    }

    /// The port that the pooler leads to.
    pub fn pooled(&self) -> String {
        Postgres::endpoint(&self.stage.scene.sandbox).concat()
    }
}

fn password(stage: &Stage, role: Role) -> String {
    let url = stage.scene.sandbox.source.url(role, "postgres");
    url.split_once(&format!("//{}:", role.name())).unwrap().1.split_once('@').unwrap().0.to_owned()
}

/// As a team has it: the pooler knows the source by its name.
async fn lead_the_pooler(stage: &mut Stage, port: u16) {
    let from = format!("host=127.0.0.1 port={} ", stage.scene.sandbox.source.port());
    let pooler = &mut stage.scene.sandbox.pgbouncers[0];
    let text = std::fs::read_to_string(pooler.ini()).unwrap();
    assert!(text.contains(&from), "{text}");
    std::fs::write(pooler.ini(), text.replace(&from, &format!("host=127.0.0.1 port={port} "))).unwrap();
    pooler.restart().await.unwrap();
    stage.scene.settle().await;
}
