//! PostgreSQL in the sandbox: its own cluster, with passwords by SCRAM.

mod cluster;
mod schema;
mod shop;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use rustix::process::Signal;
use tokio_postgres::Client;

pub use super::server::{StartServer, TlsFiles};
use super::{
    Passwords, Program, Role, SandboxError, Servers, db, owner,
    server::{Kind, Server},
};

/// The kind.
#[derive(Debug, Clone, Copy)]
pub struct Postgres;

/// A running PostgreSQL server. Dropping it ends it.
pub type PostgresServer = Server<Postgres>;

impl PostgresServer {
    /// The major version.
    pub fn major(&self) -> u32 {
        self.start.program.version[0]
    }

    /// The folder of this version's programs.
    pub fn bin(&self) -> &Path {
        self.programs()
    }
}

#[async_trait]
impl Kind for Postgres {
    type Client = Client;
    const NAME: &'static str = "PostgreSQL";
    const VERSIONS: (u32, u32) = (15, 18);
    const POOLED: bool = true;
    // It gives its shared memory back only when it is told to go.
    const QUITS: bool = true;

    fn programs(servers: &Servers) -> &BTreeMap<u32, Program> {
        &servers.postgres
    }

    fn variable(version: u32) -> String {
        format!("PG{version}_BIN")
    }

    fn url(passwords: &Passwords, role: Role, port: u16, database: &str) -> String {
        passwords.url(role, port, database)
    }

    async fn open(url: &str) -> Result<Client, SandboxError> {
        db::connect(url).await
    }

    async fn init(start: &StartServer, data: &Path, port: u16) -> Result<(), SandboxError> {
        match start.replica_of {
            Some(primary) => cluster::copy(start, data, primary).await?,
            None => cluster::init(start, data).await?,
        }
        write_settings(start, data, port)
    }

    fn command(start: &StartServer, data: &Path, port: u16) -> (PathBuf, Vec<String>) {
        let args = vec!["-D".into(), data.display().to_string(), "-p".into(), port.to_string()];
        (start.program.path.join("postgres"), args)
    }

    async fn answers(start: &StartServer, _data: &Path, port: u16) -> Result<(), SandboxError> {
        db::connect(&start.passwords.url(Role::Superuser, port, "postgres")).await.map(drop)
    }

    fn stop_signal() -> Signal {
        Signal::INT
    }

    /// The data folder has them already.
    async fn create_roles(_start: &StartServer, _data: &Path, _port: u16) -> Result<(), SandboxError> {
        Ok(())
    }

    async fn fill(db: &Client, scale: u32) -> Result<(), SandboxError> {
        schema::create(db, scale).await
    }

    /// The `pg_dump` of the `PATH` may be older than the source.
    fn env(source: &Server<Self>) -> Vec<(String, String)> {
        vec![("POINTSMAN_PG_DUMP".into(), source.bin().join("pg_dump").display().to_string())]
    }

    fn look_around(_source: &Server<Self>, _target: &Server<Self>) -> String {
        r#"psql "$SOURCE_URL" | psql "$TARGET_URL" | psql "$POOL_ADMIN_URL""#.into()
    }
}

fn write_settings(start: &StartServer, data: &Path, port: u16) -> Result<(), SandboxError> {
    let conf = data.join("postgresql.conf");
    let mut text = fs::read_to_string(&conf).map_err(SandboxError::io("read postgresql.conf"))?;
    text += BASE_SETTINGS;
    let mut add = |name: &str, value: &str| {
        text.extend([name, " = '", &value.replace('\'', "''"), "'\n"]);
    };
    add("port", &port.to_string());
    add("fsync", if start.fsync { "on" } else { "off" });
    if let Some(tls) = &start.tls {
        tls.copy_to(data)?;
        add("ssl", "on");
    }
    start.settings.iter().for_each(|(name, value)| add(name, value));
    owner::write_file(&conf, &text, 0o600)?;
    owner::write_file(&data.join("pg_hba.conf"), HBA, 0o600)
}

const HBA: &str = "host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n";

/// Room for two directions of replication at once, and memory for a small machine. What a killed server leaves of its
/// shared memory lies in its folder.
const BASE_SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
wal_level = logical
max_connections = 200
shared_buffers = 64MB
dynamic_shared_memory_type = mmap
max_wal_size = 1GB
max_wal_senders = 20
max_replication_slots = 20
max_worker_processes = 32
max_logical_replication_workers = 16
max_sync_workers_per_subscription = 4
log_line_prefix = '%m [%p] %u@%d %a '
log_min_messages = warning
log_timezone = 'UTC'
timezone = 'UTC'
";
