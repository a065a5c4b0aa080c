//! A HAProxy of the sandbox, with two servers `old` and `new` in the backend `app`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

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
    /// HTTP or TCP.
    pub mode: HaproxyMode,
    /// The port on 127.0.0.1 of the server `old`, which has all weight (100).
    pub old_port: u16,
    /// The port on 127.0.0.1 of the server `new`, which has no weight.
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

    /// SIGKILL and start again: weights are those of the configuration once more.
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
        let (mode, check) = match self.start.mode {
            HaproxyMode::Http => ("http", "option httpchk GET /healthz"),
            HaproxyMode::Tcp => ("tcp", "option tcp-check"),
        };
        let socket = self.socket();
        config_text(&socket, self.admin_port, self.port, mode, check, &self.start)
    }
}

fn config_text(socket: &Path, admin: u16, port: u16, mode: &str, check: &str, start: &StartHaproxy) -> String {
    format!(
        "global\n\
         \x20   maxconn 4000\n\
         \x20   stats socket {} mode 600 level admin\n\
         \x20   stats socket ipv4@127.0.0.1:{admin} level admin\n\
         \x20   stats timeout 10m\n\n\
         defaults\n\
         \x20   mode {mode}\n\
         \x20   timeout connect 2s\n\
         \x20   timeout check 2s\n\
         \x20   timeout client 5m\n\
         \x20   timeout server 5m\n\n\
         frontend web\n\
         \x20   bind 127.0.0.1:{port}\n\
         \x20   default_backend app\n\n\
         backend app\n\
         \x20   balance roundrobin\n\
         \x20   {check}\n\
         \x20   default-server check inter 200ms fall 3 rise 1\n\
         \x20   server old 127.0.0.1:{} weight 100\n\
         \x20   server new 127.0.0.1:{} weight 0\n",
        socket.display(),
        start.old_port,
        start.new_port,
    )
}
