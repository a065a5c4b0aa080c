//! A database server of the sandbox: its own data folder, on loopback only, with passwords. What differs from one kind
//! of database to another lies behind [`Kind`].

use std::{
    collections::BTreeMap,
    fmt, fs,
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rustix::process::Signal;

use super::{
    Passwords, Program, Role, SandboxError, Servers, Shop, owner,
    ports::free_port,
    process::{EndWith, ServerProcess, Spawn},
    roles,
};
use crate::clock;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A kind of database.
#[async_trait]
pub trait Kind: Sized + Send + Sync + 'static {
    /// A connection to it.
    type Client: Shop + 'static;
    /// What people call it.
    const NAME: &'static str;
    /// The versions that a sandbox moves between when nobody says others, as [`Servers`] counts them.
    const VERSIONS: (u32, u32);
    /// Whether its clients come through PgBouncer; else they come through a HAProxy that balances connections.
    const POOLED: bool;

    /// Its programs on this machine, by version.
    fn programs(servers: &Servers) -> &BTreeMap<u32, Program>;
    /// The variable that names the programs of a version.
    fn variable(version: u32) -> String;

    /// A connection URL, with the password.
    fn url(passwords: &Passwords, role: Role, port: u16, database: &str) -> String;
    /// Opens a connection.
    async fn open(url: &str) -> Result<Self::Client, SandboxError>;

    /// Makes the data folder, with everything that the server reads from it at its start.
    async fn init(start: &StartServer, data: &Path, port: u16) -> Result<(), SandboxError>;
    /// The server program, and its arguments.
    fn command(start: &StartServer, data: &Path, port: u16) -> (PathBuf, Vec<String>);
    /// What the first look at a started server needs: a connection that is closed again.
    async fn answers(start: &StartServer, data: &Path, port: u16) -> Result<(), SandboxError>;
    /// Whether an orderly end (SIGQUIT) gives back what SIGKILL leaves behind.
    const QUITS: bool;
    /// The signal for a fast, orderly stop.
    fn stop_signal() -> Signal;

    /// Makes the roles and the empty database; and a replica of what is one.
    async fn create_roles(start: &StartServer, data: &Path, port: u16) -> Result<(), SandboxError>;
    /// Makes the sample application's tables and rows.
    async fn fill(db: &Self::Client, scale: u32) -> Result<(), SandboxError>;

    /// Further environment variables of a run, as the source has them.
    fn env(source: &Server<Self>) -> Vec<(String, String)>;
    /// How a person looks into both databases of a sandbox that was left running, in a shell.
    fn look_around(source: &Server<Self>, target: &Server<Self>) -> String;
}

/// How to start a database server.
#[derive(Debug, Clone)]
pub struct StartServer {
    /// Its name in the sandbox: folder, log, errors.
    pub name: String,
    /// Which program.
    pub program: Program,
    /// The sandbox's folder.
    pub root: PathBuf,
    /// The passwords that its roles get.
    pub passwords: Passwords,
    /// `false` only where a crash of the machine is not part of what is looked at.
    pub fsync: bool,
    /// Further settings; the last of a name wins.
    pub settings: Vec<(String, String)>,
    /// Certificate and key, when it shall take TLS connections with them.
    pub tls: Option<TlsFiles>,
    /// The port of the server that it is made a replica of.
    pub replica_of: Option<u16>,
}

/// PEM files of a server.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Copies both into a server's data folder, as `server.crt` and `server.key`.
    pub(super) fn copy_to(&self, data: &Path) -> Result<(), SandboxError> {
        for (from, to) in [(&self.certificate, "server.crt"), (&self.key, "server.key")] {
            let text = fs::read_to_string(from).map_err(SandboxError::io(format!("read {}", from.display())))?;
            owner::write_file(&data.join(to), &text, 0o600)?;
        }
        Ok(())
    }
}

/// A running database server. Dropping it ends it.
pub struct Server<K: Kind> {
    pub(super) start: StartServer,
    data: PathBuf,
    port: u16,
    process: Mutex<Option<ServerProcess>>,
    kind: PhantomData<K>,
}

impl<K: Kind> fmt::Debug for Server<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(K::NAME).field("start", &self.start).field("port", &self.port).finish_non_exhaustive()
    }
}

impl<K: Kind> Server<K> {
    /// Makes a data folder, starts a server on it, and makes the sandbox's roles and its empty database.
    ///
    /// # Errors
    /// When a program can't be run, with the end of the server's log.
    pub async fn start(start: StartServer) -> Result<Self, SandboxError> {
        let (data, port) = (start.root.join(&start.name), free_port()?);
        K::init(&start, &data, port).await?;
        let server = Self { port, start, data, process: Mutex::new(None), kind: PhantomData };
        server.launch().await?;
        K::create_roles(&server.start, &server.data, port).await?;
        Ok(server)
    }

    /// The port on 127.0.0.1; the same for the server's whole life.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The version as people call it: `18`, `9.7`.
    pub fn version(&self) -> String {
        self.start.program.series_text()
    }

    /// Name and version: `PostgreSQL 18`, `MySQL 9.7`.
    pub fn title(&self) -> String {
        format!("{} {}", K::NAME, self.version())
    }

    /// The folder of this version's programs, or its basedir.
    pub fn programs(&self) -> &Path {
        &self.start.program.path
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A connection URL, with the password.
    pub fn url(&self, role: Role, database: &str) -> String {
        K::url(&self.start.passwords, role, self.port, database)
    }

    /// A connection to the sandbox's database.
    ///
    /// # Errors
    /// With the server's own words.
    pub async fn connect(&self, role: Role) -> Result<K::Client, SandboxError> {
        K::open(&self.url(role, roles::DATABASE)).await
    }

    /// A fast shutdown: sessions are ended, everything is written.
    pub async fn stop(&self) {
        let process = self.process().take();
        if let Some(process) = process {
            process.stop(K::stop_signal(), STOP_LIMIT).await;
        }
    }

    /// Starts it again where it was, if it does not run; after [`Self::stop`] or [`Self::kill9`].
    ///
    /// # Errors
    /// With the end of the server's log.
    pub async fn restart(&self) -> Result<(), SandboxError> {
        self.stop().await;
        self.launch().await
    }

    /// Makes its data folder anew and starts it where it was: of a replica that was promoted, a replica again.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn make_again(&self) -> Result<(), SandboxError> {
        if K::QUITS {
            self.stop().await;
        } else if let Some(process) = self.process().take() {
            // Nothing of it is needed any more.
            process.kill();
        }
        fs::remove_dir_all(&self.data).map_err(SandboxError::io("remove a data folder"))?;
        K::init(&self.start, &self.data, self.port).await?;
        self.launch().await?;
        K::create_roles(&self.start, &self.data, self.port).await
    }

    /// SIGKILL to all its processes, as when the machine loses power.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process().take() {
            process.kill();
        }
    }

    /// SIGSTOP: the server hangs, its connections stay open.
    pub fn pause(&self) {
        self.process().iter().for_each(ServerProcess::freeze);
    }

    /// SIGCONT: undoes [`Self::pause`].
    pub fn cont(&self) {
        self.process().iter().for_each(ServerProcess::unfreeze);
    }

    pub(crate) fn leave_running(&mut self) {
        self.process().iter_mut().for_each(ServerProcess::leave_running);
    }

    fn process(&self) -> MutexGuard<'_, Option<ServerProcess>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn launch(&self) -> Result<(), SandboxError> {
        let (program, args) = K::command(&self.start, &self.data, self.port);
        let mut process = ServerProcess::spawn(&Spawn {
            name: &self.start.name,
            program: &program,
            args,
            env: Vec::new(),
            root: &self.start.root,
            working_folder: &self.data,
            as_servant: true,
            end_with: if K::QUITS { EndWith::Quit } else { EndWith::Kill },
        })?;
        process.wait_listening(self.port, START_LIMIT).await?;
        self.wait_answering(&mut process).await?;
        *self.process() = Some(process);
        Ok(())
    }

    /// It listens before it answers: first it may have to recover.
    async fn wait_answering(&self, process: &mut ServerProcess) -> Result<(), SandboxError> {
        let end = clock::monotonic() + START_LIMIT;
        loop {
            let Err(error) = K::answers(&self.start, &self.data, self.port).await else { return Ok(()) };
            process.fail_if_ended()?;
            if clock::monotonic() > end {
                return Err(process.error(&error.to_string()));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
