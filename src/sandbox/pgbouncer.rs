//! A PgBouncer of the sandbox, in transaction pooling.
//!
//! `server_login_retry` stays at its default of 15 s on purpose: that a switch copes with it is part of what a
//! rehearsal shows.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;

use super::{
    Passwords, Program, Role, SandboxError, owner,
    ports::free_port,
    process::{EndWith, ServerProcess, Spawn},
    roles::DATABASE,
};

const START_LIMIT: Duration = Duration::from_secs(20);

/// How to start a PgBouncer.
#[derive(Debug, Clone)]
pub struct StartPgbouncer {
    /// Its name in the sandbox: folder, log, errors.
    pub name: String,
    /// Which PgBouncer.
    pub program: Program,
    /// The sandbox's folder.
    pub root: PathBuf,
    /// The passwords of its users.
    pub passwords: Passwords,
    /// The port on 127.0.0.1 of the database that it leads to.
    pub database_port: u16,
}

/// A running PgBouncer. Dropping it ends it.
#[derive(Debug)]
pub struct Pgbouncer {
    start: StartPgbouncer,
    folder: PathBuf,
    port: u16,
    process: Option<ServerProcess>,
}

impl Pgbouncer {
    /// Writes its files and starts it.
    ///
    /// # Errors
    /// With the end of its log.
    pub async fn start(start: StartPgbouncer) -> Result<Self, SandboxError> {
        let folder = start.root.join(&start.name);
        owner::make_folder(&folder)?;
        let mut pooler = Self { folder, port: free_port()?, start, process: None };
        pooler.write_files()?;
        pooler.launch().await?;
        Ok(pooler)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its ini file, which a switch edits.
    pub fn ini(&self) -> PathBuf {
        self.folder.join("pgbouncer.ini")
    }

    /// The version, such as `[1, 26, 1]`.
    pub fn version(&self) -> &[u32] {
        &self.start.program.version
    }

    /// A URL through it to the sandbox's database.
    pub fn url(&self, role: Role) -> String {
        self.start.passwords.url(role, self.port, DATABASE)
    }

    /// The URL of its admin console, which speaks only simple queries.
    pub fn admin_url(&self) -> String {
        self.start.passwords.url(Role::PoolerAdmin, self.port, "pgbouncer")
    }

    /// SIGKILL and start again, with whatever its ini says now.
    ///
    /// # Errors
    /// With the end of its log.
    pub async fn restart(&mut self) -> Result<(), SandboxError> {
        self.kill9();
        self.launch().await
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends it; its clients are disconnected.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop(Signal::INT, Duration::from_secs(2)).await;
        }
    }

    /// SIGSTOP: it hangs, its connections stay open.
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
        let mut process = ServerProcess::spawn(&Spawn {
            name: &self.start.name,
            program: &self.start.program.path,
            args: vec![self.ini().display().to_string()],
            env: Vec::new(),
            root: &self.start.root,
            working_folder: &self.folder,
            as_servant: true,
            end_with: EndWith::Kill,
        })?;
        process.wait_listening(self.port, START_LIMIT).await?;
        self.process = Some(process);
        Ok(())
    }

    fn write_files(&self) -> Result<(), SandboxError> {
        let users = [Role::Superuser, Role::Mover, Role::App, Role::App2, Role::PoolerAdmin];
        let line = |role: Role| format!("\"{}\" \"{}\"\n", role.name(), self.start.passwords.of(role));
        let users_file = self.folder.join("users.txt");
        owner::write_file(&users_file, &users.map(line).concat(), 0o600)?;
        owner::write_file(&self.ini(), &self.ini_text(&users_file), 0o644)
    }

    fn ini_text(&self, users_file: &Path) -> String {
        format!(
            "[databases]\n\
             {DATABASE} = host=127.0.0.1 port={} dbname={DATABASE}\n\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {}\n\
             unix_socket_dir =\n\
             auth_type = scram-sha-256\n\
             auth_file = {}\n\
             admin_users = {}\n\
             pool_mode = transaction\n\
             default_pool_size = 20\n\
             max_client_conn = 500\n",
            self.start.database_port,
            self.port,
            users_file.display(),
            Role::PoolerAdmin.name(),
        )
    }
}
