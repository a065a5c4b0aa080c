//! A PostgreSQL server of the sandbox: its own cluster, on loopback only, with passwords by SCRAM.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;

use super::{
    Passwords, Program, Role, SandboxError, db, owner,
    ports::free_port,
    process::{self, EndWith, ServerProcess, Spawn},
    roles,
};
use crate::clock;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How to start a PostgreSQL server.
#[derive(Debug, Clone)]
pub struct StartPostgres {
    /// Its name in the sandbox: folder, log, errors.
    pub name: String,
    /// Which PostgreSQL.
    pub program: Program,
    /// The sandbox's folder.
    pub root: PathBuf,
    /// The passwords that its roles get.
    pub passwords: Passwords,
    /// `off` only where a crash of the server is not part of what is looked at.
    pub fsync: bool,
    /// Further settings; the last of a name wins.
    pub settings: Vec<(String, String)>,
    /// Certificate and key, when it shall also take TLS connections.
    pub tls: Option<TlsFiles>,
}

/// PEM files of a server.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A running PostgreSQL server. Dropping it ends it.
#[derive(Debug)]
pub struct PostgresServer {
    start: StartPostgres,
    data: PathBuf,
    port: u16,
    process: Option<ServerProcess>,
}

impl PostgresServer {
    /// Makes a cluster, starts a server on it, and makes the sandbox's roles and its empty database.
    ///
    /// # Errors
    /// When a program can't be run, with the end of the server's log.
    pub async fn start(start: StartPostgres) -> Result<Self, SandboxError> {
        let data = start.root.join(&start.name);
        init_cluster(&start, &data).await?;
        let mut server = Self { port: free_port()?, start, data, process: None };
        server.write_settings()?;
        server.launch().await?;
        server.create_roles_and_database().await?;
        Ok(server)
    }

    /// The port on 127.0.0.1; the same for the server's whole life.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The major version.
    pub fn major(&self) -> u32 {
        self.start.program.version[0]
    }

    /// The folder of this version's programs.
    pub fn bin(&self) -> &Path {
        &self.start.program.path
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A connection URL, with the password.
    pub fn url(&self, role: Role, database: &str) -> String {
        self.start.passwords.url(role, self.port, database)
    }

    /// A connection to the sandbox's database.
    ///
    /// # Errors
    /// With the server's own words.
    pub async fn connect(&self, role: Role) -> Result<tokio_postgres::Client, SandboxError> {
        db::connect(&self.url(role, roles::DATABASE)).await
    }

    /// A fast shutdown: sessions are ended, everything is written.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop(Signal::INT, STOP_LIMIT).await;
        }
    }

    /// Starts it again where it was, if it does not run; after [`Self::stop`] or [`Self::kill9`].
    ///
    /// # Errors
    /// With the end of the server's log.
    pub async fn restart(&mut self) -> Result<(), SandboxError> {
        self.stop().await;
        self.launch().await
    }

    /// SIGKILL to all its processes, as when the machine loses power.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGSTOP: the server hangs, its connections stay open.
    pub fn pause(&self) {
        self.process.iter().for_each(ServerProcess::freeze);
    }

    /// SIGCONT: undoes [`Self::pause`].
    pub fn cont(&self) {
        self.process.iter().for_each(ServerProcess::unfreeze);
    }

    pub(crate) fn leave_running(&mut self) {
        self.process.iter_mut().for_each(ServerProcess::leave_running);
    }

    async fn launch(&mut self) -> Result<(), SandboxError> {
        let args = vec!["-D".into(), self.data.display().to_string(), "-p".into(), self.port.to_string()];
        let mut process = ServerProcess::spawn(&Spawn {
            name: &self.start.name,
            program: &self.start.program.path.join("postgres"),
            args,
            env: Vec::new(),
            root: &self.start.root,
            working_folder: &self.data,
            as_servant: true,
            end_with: EndWith::Quit,
        })?;
        process.wait_listening(self.port, START_LIMIT).await?;
        self.wait_answering(&mut process).await?;
        self.process = Some(process);
        Ok(())
    }

    /// It listens before it answers: first it may have to recover.
    async fn wait_answering(&self, process: &mut ServerProcess) -> Result<(), SandboxError> {
        let end = clock::monotonic() + START_LIMIT;
        loop {
            let Err(error) = db::open(&self.url(Role::Superuser, "postgres")).await else { return Ok(()) };
            process.fail_if_ended()?;
            if clock::monotonic() > end {
                return Err(process.error(&super::error::explain(&error)));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn write_settings(&self) -> Result<(), SandboxError> {
        let conf = self.data.join("postgresql.conf");
        let mut text = fs::read_to_string(&conf).map_err(SandboxError::io("read postgresql.conf"))?;
        text += BASE_SETTINGS;
        let mut add = |name: &str, value: &str| {
            text.extend([name, " = '", &value.replace('\'', "''"), "'\n"]);
        };
        add("port", &self.port.to_string());
        add("fsync", if self.start.fsync { "on" } else { "off" });
        if let Some(tls) = &self.start.tls {
            self.copy_tls(tls)?;
            add("ssl", "on");
        }
        self.start.settings.iter().for_each(|(name, value)| add(name, value));
        owner::write_file(&conf, &text, 0o600)?;
        owner::write_file(&self.data.join("pg_hba.conf"), HBA, 0o600)
    }

    fn copy_tls(&self, tls: &TlsFiles) -> Result<(), SandboxError> {
        for (from, to) in [(&tls.certificate, "server.crt"), (&tls.key, "server.key")] {
            let text = fs::read_to_string(from).map_err(SandboxError::io(format!("read {}", from.display())))?;
            owner::write_file(&self.data.join(to), &text, 0o600)?;
        }
        Ok(())
    }

    async fn create_roles_and_database(&self) -> Result<(), SandboxError> {
        let doing = |what: &str| SandboxError::database(format!("make the {what} on {}", self.start.name));
        let admin = db::connect(&self.url(Role::Superuser, "postgres")).await?;
        let sql = roles::create_roles(&self.start.passwords, self.major());
        admin.batch_execute(&sql).await.map_err(doing("roles"))?;
        let sql = format!("CREATE DATABASE {} OWNER {}", roles::DATABASE, Role::Mover.name());
        admin.batch_execute(&sql).await.map_err(doing("database"))
    }
}

async fn init_cluster(start: &StartPostgres, data: &Path) -> Result<(), SandboxError> {
    owner::make_folder(data)?;
    let password_file = start.root.join(format!("{}.initdb", start.name));
    owner::write_file(&password_file, &start.passwords.of(Role::Superuser), 0o600)?;
    let initdb = Spawn {
        name: &format!("{}-initdb", start.name),
        program: &start.program.path.join("initdb"),
        args: [
            "--no-sync",
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            &format!("--pwfile={}", password_file.display()),
            &format!("--pgdata={}", data.display()),
        ]
        .map(String::from)
        .to_vec(),
        env: Vec::new(),
        root: &start.root,
        working_folder: data,
        as_servant: true,
        end_with: EndWith::Kill,
    };
    let done = process::run(&initdb).await;
    fs::remove_file(&password_file).map_err(SandboxError::io("remove a password file"))?;
    done
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
