//! Two servers of a kind, and how a runbook would name them.

use std::path::{Path, PathBuf};

use pointsman::runbook::model::{Mysql as Spec, Tls, TlsMode};
use pointsman::sandbox::mysql::MysqlClient;
use pointsman::sandbox::server::{Kind, Server};
use pointsman::sandbox::{DATABASE, Role, Sandbox, SandboxOptions};
use pointsman::systems::mysql::{Database, Flavour};

/// What the tests add to the sandbox's own settings.
pub type Settings = &'static [(&'static str, &'static str)];

/// Two servers; the source has the sample shop.
pub async fn pair<K: Kind<Client = MysqlClient>>(source: Settings, target: Settings) -> Sandbox<K> {
    let memory = Path::new("/dev/shm");
    let base: PathBuf = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
    let own = |all: Settings| all.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let options = SandboxOptions {
        base: Some(base),
        app_binary: Some(env!("CARGO_BIN_EXE_pointsman").into()),
        source_settings: own(source),
        target_settings: own(target),
        ..SandboxOptions::of::<K>()
    };
    Sandbox::of(options).await.unwrap()
}

/// A server as a system of a runbook, with this role's account.
pub fn database<K: Kind>(name: &str, server: &Server<K>, role: Role) -> Database {
    let spec =
        Spec { url: server.url(role, DATABASE), tls: Tls { mode: TlsMode::Disable, ca: None }, ..Spec::default() };
    let flavour = if K::NAME == "MariaDB" { Flavour::Mariadb } else { Flavour::Mysql };
    Database { name: name.to_owned(), flavour, spec }
}

/// Runs SQL as the superuser, in a session of its own.
pub async fn sql<K: Kind<Client = MysqlClient>>(server: &Server<K>, text: &str) {
    let client = server.connect(Role::Superuser).await.unwrap();
    client.execute(text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
}

/// The first value of a query.
pub async fn value<K: Kind<Client = MysqlClient>>(server: &Server<K>, query: &str) -> String {
    let client = server.connect(Role::Superuser).await.unwrap();
    client.value(query).await.unwrap().unwrap_or_default()
}

/// What a server would show if anything had been changed.
pub async fn fingerprint<K: Kind<Client = MysqlClient>>(server: &Server<K>) -> String {
    let client = server.connect(Role::Superuser).await.unwrap();
    let mysql = K::NAME == "MySQL";
    let (gtids, users) = if mysql {
        (
            "SELECT @@GLOBAL.gtid_executed",
            "SELECT CONCAT_WS('|', User, Host, HEX(authentication_string), account_locked) FROM mysql.user",
        )
    } else {
        ("SELECT @@GLOBAL.gtid_binlog_pos", "SELECT CONCAT_WS('|', User, Host, Priv) FROM mysql.global_priv")
    };
    let log = if mysql { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    // What the server counts and times by itself says nothing.
    let variables = "SHOW GLOBAL VARIABLES WHERE Variable_name NOT IN ('timestamp', 'gtid_executed') AND Variable_name NOT LIKE 'rand_seed%'";
    let objects = "SELECT CONCAT_WS('|', TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, CREATE_TIME) FROM information_schema.TABLES \
                   WHERE TABLE_SCHEMA NOT IN ('performance_schema', 'information_schema') ORDER BY 1";
    let xa = "XA RECOVER";
    let mut lines = Vec::new();
    for query in [gtids, users, log, variables, objects, xa] {
        lines.push(format!("{:?}", client.query(query).await.unwrap()));
    }
    lines.join("\n")
}

/// Makes one server follow another from its first transaction on.
pub async fn follow<K: Kind<Client = MysqlClient>>(follower: &Server<K>, leader: &Server<K>) {
    let url = url::Url::parse(&leader.url(Role::Superuser, DATABASE)).unwrap();
    let (port, user, password) = (leader.port(), url.username(), url.password().unwrap());
    let text = if K::NAME == "MariaDB" {
        format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = '{user}', \
             MASTER_PASSWORD = '{password}', MASTER_USE_GTID = slave_pos; START SLAVE"
        )
    } else {
        format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = '{user}', \
             SOURCE_PASSWORD = '{password}', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1; START REPLICA"
        )
    };
    sql(follower, &text).await;
}
