//! A scene whose source is an instance of RDS and whose target follows it: its read replica, or the green one of its
//! Blue/Green deployment. Both are real servers; a promotion and a switchover are really made, and the old one truly allows
//! nothing but reads until it is rebooted.
//!
//! User guide: "Switching a blue/green deployment in Amazon RDS" (what a switchover does, and its guardrails), "Promoting a
//! read replica to be a standalone DB instance" (it is rebooted), "Working with MySQL read replicas" (`read_only`).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
};

use async_trait::async_trait;
use aws_sdk_rds as rds;
use pointsman::sandbox::{
    Role, SandboxOptions,
    aws::{Cloud, sdk_config},
    history::Side,
    mysql::Family,
    server::Server,
};

use crate::{
    aws::{
        overlay::rds::{Local, Rds},
        proxy::Proxy,
    },
    cutover::support::{Load, Scene, Seen, Staged, steps},
    mysql::pairs::{sql, value},
    replica::blue_green::front::Fronts,
};

pub const DEPLOYMENT: &str = "orders-upgrade";
/// What RDS's master user is called in its procedures' script.
const MASTER: (&str, &str) = ("admin", "adm");
/// The filter that the way back needs where locks of accounts are logged, and what lets triggers be made without SUPER.
const GROUP: [(&str, &str); 2] = [("replicate-wild-ignore-table", "mysql.%"), ("log_bin_trust_function_creators", "1")];

/// How the target follows, as runbooks say it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    ReadReplica,
    BlueGreen,
}

impl How {
    /// The identifier of the one that follows.
    const fn follower(self) -> &'static str {
        match self {
            Self::ReadReplica => "orders-new",
            Self::BlueGreen => "orders-green",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::ReadReplica => "read-replica",
            Self::BlueGreen => "blue-green",
        }
    }

    const fn systems(self) -> &'static str {
        match self {
            Self::ReadReplica => "  here: { rds: { instance: orders } }\n  there: { rds: { instance: orders-new } }\n",
            Self::BlueGreen => {
                "  here: { rds: { instance: orders } }\n  there: { rds: { blue-green: orders-upgrade } }\n"
            }
        }
    }
}

/// An instance: its name, and the server behind it.
struct Behind<const M: bool> {
    is_source: bool,
    name: Mutex<String>,
    fronts: Arc<Fronts>,
    scene: Weak<Scene<Family<M>>>,
    port: u16,
}

impl<const M: bool> Behind<M> {
    fn server<'a>(&self, scene: &'a Scene<Family<M>>) -> &'a Server<Family<M>> {
        if self.is_source { &scene.sandbox.source } else { &scene.sandbox.target }
    }
}

#[async_trait]
impl<const M: bool> Local for Behind<M> {
    fn port(&self) -> u16 {
        self.fronts.port(&self.name.lock().unwrap())
    }

    fn renamed(&self, to: &str) {
        to.clone_into(&mut self.name.lock().unwrap());
        self.fronts.lead(to, Some(self.port));
    }

    /// What RDS writes on a green one when it makes it is on no other server, and may be purged.
    async fn follows(&self) {
        let Some(scene) = self.scene.upgrade() else { return };
        let own = "CREATE TABLE IF NOT EXISTS mysql.rds_upgraded (id INT PRIMARY KEY); FLUSH BINARY LOGS";
        sql(self.server(&scene), own).await;
        purge(self.server(&scene)).await;
    }

    async fn refuses(&self) -> Option<String> {
        let scene = self.scene.upgrade()?;
        if runs(&scene.sandbox.source).await {
            return Some("The blue environment is an external replica that is actively replicating.".into());
        }
        (!runs(&scene.sandbox.target).await).then(|| "Replication of the green environment is not healthy.".into())
    }

    async fn shut(&self) {
        let Some(scene) = self.scene.upgrade() else { return };
        self.fronts.lead(&self.name.lock().unwrap(), None);
        sql(self.server(&scene), if M { "SET GLOBAL read_only = ON" } else { "SET GLOBAL super_read_only = ON" }).await;
        disconnect(self.server(&scene)).await;
    }

    async fn caught_up(&self) {
        let Some(scene) = self.scene.upgrade() else { return };
        let (source, target) = (&scene.sandbox.source, &scene.sandbox.target);
        let wait = if M {
            format!("SELECT MASTER_GTID_WAIT('{}', 60) = 0", value(source, "SELECT @@GLOBAL.gtid_binlog_pos").await)
        } else {
            let client = source.connect(Role::Superuser).await.unwrap();
            let row = client.query("SHOW BINARY LOG STATUS").await.unwrap().into_iter().next().unwrap();
            let (file, place) = (row[0].clone().unwrap(), row[1].clone().unwrap());
            format!("SELECT SOURCE_POS_WAIT('{file}', {place}, 60) >= 0")
        };
        assert_eq!(value(target, &wait).await, "1", "the green one never had everything");
    }

    /// A read replica takes writes from its reboot on: nobody who read there can write before it.
    async fn promoted(&self) {
        let Some(scene) = self.scene.upgrade() else { return };
        let server = self.server(&scene);
        let alone = "STOP REPLICA; RESET REPLICA ALL; RESET PERSIST IF EXISTS read_only";
        sql(server, if M { "STOP SLAVE; RESET SLAVE ALL" } else { alone }).await;
        if self.name.lock().unwrap().as_str() == How::ReadReplica.follower() {
            return server.restart().await.unwrap();
        }
        let open = "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF";
        sql(server, if M { "SET GLOBAL read_only = OFF" } else { open }).await;
    }

    async fn set(&self, _values: BTreeMap<String, String>, restarted: bool) {
        if let (Some(scene), true) = (self.scene.upgrade(), restarted) {
            self.server(&scene).restart().await.unwrap();
        }
    }
}

/// Makes RDS's procedures and its master user, by the script of a kind and what both kinds have.
pub async fn become_rds<const M: bool>(server: &Server<Family<M>>) {
    let own = if M { include_str!("rds-mariadb.sql") } else { include_str!("rds.sql") };
    for script in [include_str!("rds-common.sql"), own] {
        for statement in script.split("\n//\n") {
            sql(server, statement).await;
        }
    }
}

/// A replica of RDS has `read_only` and no more: RDS itself may write.
async fn as_of_rds<const M: bool>(replica: &Server<Family<M>>) {
    let shut = "SET PERSIST read_only = ON; RESET PERSIST IF EXISTS super_read_only; SET GLOBAL super_read_only = OFF";
    sql(replica, if M { "SET GLOBAL read_only = ON" } else { shut }).await;
}

/// Ends every session but those of replication and of whoever plays RDS.
async fn disconnect<const M: bool>(server: &Server<Family<M>>) {
    let client = server.connect(Role::Superuser).await.unwrap();
    let sessions = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND NOT IN ('Daemon', 'Binlog Dump', \
                    'Binlog Dump GTID') AND USER NOT IN ('system user', 'event_scheduler', 'root')";
    for row in client.query(sessions).await.unwrap() {
        // It may have gone by itself.
        drop(client.execute(&format!("KILL {}", row[0].as_deref().unwrap())).await);
    }
}

/// Whether it follows somebody now.
async fn runs<const M: bool>(server: &Server<Family<M>>) -> bool {
    let running = "SELECT COUNT(*) FROM performance_schema.replication_applier_status a JOIN \
                   performance_schema.replication_connection_status c USING (CHANNEL_NAME) \
                   WHERE a.SERVICE_STATE = 'ON' AND c.SERVICE_STATE = 'ON'";
    let running = if M {
        "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'SLAVES_RUNNING'"
    } else {
        running
    };
    value(server, running).await != "0"
}

/// Only the newest file of its binary log is left.
async fn purge<const M: bool>(server: &Server<Family<M>>) {
    let client = server.connect(Role::Superuser).await.unwrap();
    let files = client.query("SHOW BINARY LOGS").await.unwrap();
    let newest = files.last().unwrap()[0].clone().unwrap();
    client.execute(&format!("PURGE BINARY LOGS TO '{newest}'")).await.unwrap();
}

pub struct OnRds<const M: bool> {
    pub scene: Arc<Scene<Family<M>>>,
    how: How,
    pub proxy: Proxy,
    pub overlay: Arc<Rds>,
    pub client: rds::Client,
    _cloud: Cloud,
}

impl<const M: bool> OnRds<M> {
    /// An instance, and what follows it; a deployment is not made yet.
    pub async fn new(how: How) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let group = GROUP.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let options = SandboxOptions {
            replica: true,
            source_settings: group,
            target_settings: vec![
                ("log_bin_trust_function_creators".to_owned(), "1".to_owned()),
                // In the green one's group: what it writes has a domain of its own.
                ("loose-gtid-domain-id".to_owned(), "7".to_owned()),
            ],
            ..Family::<M>::options()
        };
        let mut scene = Scene::<Family<M>>::with(options).await;
        // Its replica gets everything of it.
        become_rds(&scene.sandbox.source).await;
        // RDS gives it to nobody; who has it defined the sandbox's event.
        let own = if M {
            "ALTER DEFINER = admin@'%' EVENT shop.tidy ENABLE"
        } else {
            "REVOKE SYSTEM_USER ON *.* FROM 'root'@'%'"
        };
        sql(&scene.sandbox.source, own).await;
        as_of_rds(&scene.sandbox.target).await;
        let cloud = Cloud::start(scene.sandbox.folder()).await.unwrap();
        let proxy = Proxy::start(cloud.moto(), cloud.ministack()).await;
        let overlay = Arc::new(Rds::default());
        proxy.overlay(overlay.clone());
        scene.add_env(Cloud::env_through(&proxy.url()));
        scene.add_env([("RDS_PASSWORD".to_owned(), MASTER.1.to_owned())]);
        let scene = Arc::new(scene);
        let fronts = Arc::new(Fronts::default());
        for (is_source, name) in [(true, "orders"), (false, how.follower())] {
            let server = if is_source { &scene.sandbox.source } else { &scene.sandbox.target };
            let (fronts, weak, port) = (fronts.clone(), Arc::downgrade(&scene), server.port());
            let behind = Behind { is_source, name: Mutex::default(), fronts, scene: weak, port };
            behind.renamed(name);
            overlay.serves(name, Arc::new(behind));
        }
        let client = rds::Client::new(&sdk_config(&proxy.url()));
        let on = Self { scene, how, proxy, overlay, client, _cloud: cloud };
        on.make().await;
        on.write(&steps::<Family<M>>());
        on
    }

    async fn make(&self) {
        let group = self.client.create_db_parameter_group().db_parameter_group_name("orders-84");
        let (engine, family, version) =
            if M { ("mariadb", "mariadb10.11", "10.11.9") } else { ("mysql", "mysql8.4", "8.4.5") };
        group.db_parameter_group_family(family).description("ours").send().await.unwrap();
        let row = rds::types::Parameter::builder().parameter_name("binlog_format").parameter_value("ROW");
        let row = row.apply_method(rds::types::ApplyMethod::Immediate).build();
        let set = self.client.modify_db_parameter_group().db_parameter_group_name("orders-84").parameters(row);
        set.send().await.unwrap();
        let create = self.client.create_db_instance().db_instance_identifier("orders").engine(engine);
        let create = create.engine_version(version).db_instance_class("db.m7g.large").allocated_storage(100);
        let create = create.db_parameter_group_name("orders-84").backup_retention_period(7).master_username("admin");
        create.master_user_password("hush-hush-hush").send().await.unwrap();
        self.rest().await;
        if self.how == How::ReadReplica {
            let replica = self.client.create_db_instance_read_replica().db_instance_identifier(self.how.follower());
            replica.source_db_instance_identifier("orders").send().await.unwrap();
            self.rest().await;
            // Without, it would write no binary log.
            let modify = self.client.modify_db_instance().db_instance_identifier(self.how.follower());
            modify.backup_retention_period(7).apply_immediately(true).send().await.unwrap();
            self.rest().await;
        }
        self.proxy.forget();
    }

    async fn rest(&self) {
        while self.overlay.instances().iter().any(|(_, status)| status != "available") {
            self.client.describe_db_instances().send().await.unwrap();
        }
    }

    /// The deployment, made by a run of its own.
    pub async fn deploy(&self) {
        let file = self.scene.runbook.with_file_name("make.yaml");
        let text = format!(
            "version: 1\nname: make\nstage: rehearsal\nsystems:\n{}steps:\n  - create-blue-green: {{ of: there, from: here, \
             engine-version: {}, timeout: 1m }}\n",
            self.how.systems(),
            if M { "10.11.11" } else { "8.4.7" },
        );
        std::fs::write(&file, text).unwrap();
        self.scene.must(0, &["run", file.to_str().unwrap(), "--output", "json"]).await;
    }

    /// Writes the runbook: both databases name what they are in RDS.
    pub fn write(&self, steps: &[String]) {
        let through = format!("to: target, through: {}", self.how.word());
        // The test looks into both servers as an administrator, also behind the fence.
        let steps: Vec<_> = steps
            .iter()
            .map(|step| step.replace("to: target, timeout: 2m", &through))
            .map(|step| step.replace("preflight", "preflight: { accept: [fence-bypass] }"))
            .collect();
        self.scene.write(&steps);
        let text = std::fs::read_to_string(&self.scene.runbook).unwrap();
        let (root, kind) = (Role::Superuser.mysql_name(), if M { "mariadb" } else { "mysql" });
        let database = |rds: &str| {
            let (user, password) = (MASTER.0, "\"${env:RDS_PASSWORD}\"");
            format!("{{ {kind}: {{ rds: {rds}, user: {user}, password: {password}, exempt-users: [{root}] }} }}")
        };
        let by_url = |name: &str| format!("{{ {kind}: {{ url: \"${{env:{name}}}\" }} }}");
        let text =
            text.replace(&by_url("SOURCE_URL"), &database("here")).replace(&by_url("TARGET_URL"), &database("there"));
        let text = text.replacen("systems:\n", &format!("systems:\n{}", self.how.systems()), 1);
        std::fs::write(&self.scene.runbook, text).unwrap();
    }

    /// After a switchover, everything as it was before it: another green instance follows.
    pub async fn again(&self) {
        self.scene.sandbox.target.make_again().await.unwrap();
        as_of_rds(&self.scene.sandbox.target).await;
        self.overlay.deployment_again(DEPLOYMENT);
    }

    /// A rollback after which everything that clients wrote is on the source; what they saw.
    pub async fn led_back(&self, load: Load) -> Seen {
        load.flows().await;
        self.scene.must(5, &["rollback", "--output", "json"]).await;
        load.flows().await;
        self.assert_undone().await;
        let mut seen = load.stop().await;
        self.scene.clean(&mut seen, Side::Source, 2).await;
        println!("there and back: longest wait {:?}", seen.longest_wait());
        seen
    }

    /// Nothing of the run is left, and nobody is locked out of the source who was let in before.
    async fn assert_undone(&self) {
        for server in [&self.scene.sandbox.source, &self.scene.sandbox.target] {
            let ours: Vec<_> =
                Family::<M>::catalog(server).await.into_iter().filter(|line| line.contains("pointsman")).collect();
            assert!(ours.is_empty(), "{ours:?}\n{}", self.scene.story());
        }
        let locked = if M {
            "SELECT COUNT(*) FROM mysql.global_priv WHERE JSON_VALUE(priv, '$.account_locked') IN ('1', 'true') AND user LIKE 'app%'"
        } else {
            "SELECT COUNT(*) FROM mysql.user WHERE account_locked = 'Y' AND user LIKE 'app%'"
        };
        assert_eq!(value(&self.scene.sandbox.source, locked).await, "0", "{}", self.scene.story());
        assert!(!runs(&self.scene.sandbox.source).await);
    }
}
