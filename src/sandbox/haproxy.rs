//! A HAProxy of the sandbox: before two instances of the application, or before two databases.

use std::{path::PathBuf, time::Duration};

use super::{
    Program, SandboxError, owner,
    ports::free_port,
    process::{EndWith, ServerProcess, Spawn},
};

const START_LIMIT: Duration = Duration::from_secs(20);

/// The longest path that a Unix socket can have on Linux, without the closing zero byte.
pub(crate) const SOCKET_PATH_MAX: usize = 107;

/// What a HAProxy of the sandbox understands of its traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HaproxyMode {
    /// Balances requests; health by `GET /healthz`.
    #[default]
    Http,
    /// Balances connections; health by connecting.
    Tcp,
    /// Leads connections to one of two databases: frontend `db`, backend `databases`, servers `source` and `target`, of which
    /// the second is in maintenance at first.
    Front,
}

impl HaproxyMode {
    /// Frontend, backend, and the lines of its servers.
    fn names(self) -> (&'static str, &'static str, [&'static str; 2]) {
        match self {
            Self::Http | Self::Tcp => ("web", "app", ["old ADDRESS weight 100", "new ADDRESS weight 0"]),
            Self::Front => ("db", "databases", ["source ADDRESS", "target ADDRESS disabled"]),
        }
    }

    /// The mode, and how health is checked.
    const fn speaks(self) -> (&'static str, &'static str) {
        match self {
            Self::Http => ("http", "option httpchk GET /healthz"),
            Self::Tcp | Self::Front => ("tcp", "option tcp-check"),
        }
    }
}

/// How to start a HAProxy.
#[derive(Debug, Clone)]
pub struct StartHaproxy {
    /// Its name in the sandbox: folder, log, errors.
    pub name: String,
    /// Which HAProxy.
    pub program: Program,
    /// The sandbox's folder.
    pub root: PathBuf,
    /// What it stands before.
    pub mode: HaproxyMode,
    /// The port on 127.0.0.1 of the server `old` (`source`), which has all the traffic at first.
    pub old_port: u16,
    /// The port on 127.0.0.1 of the server `new` (`target`), which has none.
    pub new_port: u16,
}

/// A running HAProxy. Dropping it ends it.
#[derive(Debug)]
pub struct Haproxy {
    start: StartHaproxy,
    folder: PathBuf,
    port: u16,
    admin_port: u16,
    process: Option<ServerProcess>,
}

impl Haproxy {
    /// Writes its configuration and starts it.
    ///
    /// # Errors
    /// With the end of its log.
    pub async fn start(start: StartHaproxy) -> Result<Self, SandboxError> {
        let folder = start.root.join(&start.name);
        owner::make_folder(&folder)?;
        let mut balancer = Self { folder, port: free_port()?, admin_port: free_port()?, start, process: None };
        if balancer.socket().as_os_str().len() > SOCKET_PATH_MAX {
            let path = balancer.socket();
            return Err(SandboxError::Options(format!("{} is too long a path for a Unix socket", path.display())));
        }
        owner::write_file(&balancer.config(), &balancer.config_text(), 0o600)?;
        balancer.launch().await?;
        Ok(balancer)
    }

    /// The port on 127.0.0.1 that takes the traffic.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The version, such as `[3, 2, 26]`.
    pub fn version(&self) -> &[u32] {
        &self.start.program.version
    }

    /// The runtime socket, level admin.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("sock")
    }

    /// The same over TCP, as `127.0.0.1:port`.
    pub fn admin_address(&self) -> String {
        format!("127.0.0.1:{}", self.admin_port)
    }

    /// SIGKILL and start again: weights and states are those of the configuration once more.
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
            // -db: one process in the foreground, so that the pid is the one that serves.
            args: vec!["-db".into(), "-f".into(), self.config().display().to_string()],
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

    fn config(&self) -> PathBuf {
        self.folder.join("haproxy.cfg")
    }

    fn config_text(&self) -> String {
        let (frontend, backend, servers) = self.start.mode.names();
        let (mode, check) = self.start.mode.speaks();
        let [old, new] = [(servers[0], self.start.old_port), (servers[1], self.start.new_port)]
            .map(|(line, port)| line.replace("ADDRESS", &format!("127.0.0.1:{port}")));
        format!(
            "global\n\
             \x20   maxconn 4000\n\
             \x20   stats socket {} mode 600 level admin\n\
             \x20   stats socket ipv4@127.0.0.1:{} level admin\n\
             \x20   stats timeout 10m\n\n\
             defaults\n\
             \x20   mode {mode}\n\
             \x20   timeout connect 2s\n\
             \x20   timeout check 2s\n\
             \x20   timeout client 5m\n\
             \x20   timeout server 5m\n\n\
             frontend {frontend}\n\
             \x20   bind 127.0.0.1:{}\n\
             \x20   default_backend {backend}\n\n\
             backend {backend}\n\
             \x20   balance roundrobin\n\
             \x20   {check}\n\
             \x20   default-server check inter 200ms fall 3 rise 1\n\
             \x20   server {old}\n\
             \x20   server {new}\n",
            self.socket().display(),
            self.admin_port,
            self.port,
        )
    }
}
