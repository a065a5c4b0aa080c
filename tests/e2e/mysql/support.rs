//! Scenes of MySQL and MariaDB: the same as PostgreSQL's, behind a HAProxy that balances connections.

use std::collections::BTreeSet;

use pointsman::sandbox::{
    Role, Sandbox, SandboxOptions,
    mysql::{Family, MysqlClient},
    server::{Kind, Server},
};

use crate::cutover::support::{Staged, stats};

impl<const MARIADB: bool> Staged for Family<MARIADB> {
    const SYSTEMS: &'static str = if MARIADB { MARIADB_SYSTEMS } else { MYSQL_SYSTEMS };
    const ENDPOINT: &'static str = "front";
    const BROKEN: &'static str = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'division by zero'";

    fn options() -> SandboxOptions {
        SandboxOptions::of::<Self>()
    }

    async fn catalog(server: &Server<Self>) -> BTreeSet<String> {
        let db = Self::open(&server.url(Role::Superuser, "mysql")).await.unwrap();
        let queries = OBJECTS.iter().chain(if MARIADB { MARIADB_OBJECTS } else { MYSQL_OBJECTS });
        let mut found = BTreeSet::new();
        for query in queries {
            found.extend(lines(&db, query).await);
        }
        found
    }

    async fn stays_open(server: &Server<Self>) -> bool {
        let db = Self::open(&server.url(Role::Superuser, "mysql")).await.unwrap();
        let shut = "SELECT COUNT(*) FROM performance_schema.persisted_variables
          WHERE variable_name = 'super_read_only' AND variable_value = 'ON'";
        MARIADB || lines(&db, shut).await == ["0"]
    }

    /// Which server takes connections, and how many may come.
    fn endpoint(sandbox: &Sandbox<Self>) -> Vec<String> {
        let admin = sandbox.fronts[0].admin_address();
        let states = stats(&admin, &["source", "target"], "status");
        // A server that has just been made ready is `UP 1/3` for a while.
        let states = states.iter().map(|state| state.split(' ').take(2).collect::<Vec<_>>().join(" "));
        states.chain(stats(&admin, &["FRONTEND"], "slim")).collect()
    }
}

async fn lines(db: &MysqlClient, query: &str) -> Vec<String> {
    let rows = db.query(query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    let text = |row: Vec<Option<String>>| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(" ");
    rows.into_iter().map(text).collect()
}

const MYSQL_SYSTEMS: &str = r#"
  source: { mysql: { url: "${env:SOURCE_URL}" } }
  target: { mysql: { url: "${env:TARGET_URL}" } }
  front:
    haproxy-tcp: { sockets: ["${env:FRONT_SOCKET}"], frontend: db, backend: databases, source: [source], target: [target], probe: "${env:FRONT_URL}" }"#;

const MARIADB_SYSTEMS: &str = r#"
  source: { mariadb: { url: "${env:SOURCE_URL}" } }
  target: { mariadb: { url: "${env:TARGET_URL}" } }
  front:
    haproxy-tcp: { sockets: ["${env:FRONT_SOCKET}"], frontend: db, backend: databases, source: [source], target: [target], probe: "${env:FRONT_URL}" }"#;

/// What both have.
const OBJECTS: &[&str] = &[
    "SELECT 'schema', schema_name FROM information_schema.schemata",
    "SELECT 'table', table_schema, table_name, table_type, engine FROM information_schema.tables
      WHERE table_schema NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')",
    "SELECT 'column', table_schema, table_name, column_name, column_type, extra FROM information_schema.columns
      WHERE table_schema NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')",
    "SELECT 'trigger', trigger_schema, trigger_name, event_object_table FROM information_schema.triggers
      WHERE trigger_schema <> 'sys'",
    "SELECT 'routine', routine_schema, routine_name, routine_type FROM information_schema.routines
      WHERE routine_schema NOT IN ('mysql', 'sys')",
    "SELECT 'event', event_schema, event_name, status FROM information_schema.events",
    "SELECT 'user', user, host, plugin, password_expired FROM mysql.user",
    "SELECT 'grant', grantee, privilege_type, is_grantable FROM information_schema.user_privileges",
    "SELECT 'grant', grantee, table_schema, privilege_type FROM information_schema.schema_privileges",
    "SHOW GLOBAL VARIABLES WHERE variable_name IN ('read_only', 'super_read_only', 'event_scheduler', 'offline_mode',
      'max_connections', 'lock_wait_timeout', 'log_bin_trust_function_creators', 'local_infile', 'init_connect')",
];

const MYSQL_OBJECTS: &[&str] = &[
    "SELECT 'lock', user, host, account_locked FROM mysql.user",
    "SELECT 'persisted', variable_name, variable_value FROM performance_schema.persisted_variables",
    "SELECT 'channel', channel_name, host, port FROM performance_schema.replication_connection_configuration",
];

const MARIADB_OBJECTS: &[&str] = &[
    "SELECT 'lock', user, host, COALESCE(JSON_VALUE(priv, '$.account_locked'), '0') FROM mysql.global_priv",
    // The first two columns: names of the connection and its state.
    "SHOW ALL SLAVES STATUS",
];
