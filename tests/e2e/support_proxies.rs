//! Small helpers to start real servers for the tests of drivers and gates: each on free ports, in a folder of its own,
//! gone when dropped.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pointsman::runbook::model::{Pgbouncer, Postgres, Redirect, System, Tls};
use pointsman::runbook::units::Span;
use pointsman::systems::world::World;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::cutover::support::lives;

/// The program that an environment variable names.
pub fn program(variable: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| panic!("set {variable}"), PathBuf::from)
}

pub fn free_port() -> u16 {
    pointsman::sandbox::free_port().unwrap()
}

/// A folder in memory that `nobody` may write to: the servers refuse root.
pub fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("pointsman-e2e-").tempdir_in("/dev/shm").unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    give(folder.path());
    folder
}

/// Gives a file to the servers' user.
pub fn give(path: &Path) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(65534), Some(65534)).unwrap();
    }
}

pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A server that is killed when it is dropped.
pub struct Server {
    child: Child,
}

impl Server {
    pub fn spawn(command: &mut Command) -> Self {
        Self { child: command.spawn().unwrap() }
    }

    /// It is gone with its children when this returns: PostgreSQL's outlive it for a moment, and as long as they do, the same
    /// data can't be served again.
    pub fn kill(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let children = children(self.child.id());
        self.child.kill().ok();
        self.child.wait().ok();
        for child in children {
            kill_process(Pid::from_raw(child).unwrap(), Signal::KILL).ok();
            while lives(child) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn children(pid: u32) -> Vec<i32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks until it is so.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..1500 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never came true: {what}");
}

pub struct Pg {
    pub port: u16,
    pub folder: TempDir,
    pub server: Server,
    bin: PathBuf,
}

impl Pg {
    pub async fn start(variable: &str) -> Self {
        let (bin, folder) = (program(variable), folder());
        let data = folder.path().join("data");
        let mut initdb = command(&bin.join("initdb"));
        let done = initdb.arg("-D").arg(&data).args(["--no-sync", "-A", "trust", "-U", "postgres"]).status().unwrap();
        assert!(done.success());
        let port = free_port();
        let server = Self::spawn(&bin, folder.path(), port);
        let pg = Self { port, folder, server, bin };
        pg.answers().await;
        pg
    }

    fn spawn(bin: &Path, folder: &Path, port: u16) -> Server {
        let mut postgres = command(&bin.join("postgres"));
        postgres.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "wal_level=logical",
            "shared_buffers=32MB",
            "max_prepared_transactions=5",
            "wal_receiver_timeout=2s",
            "wal_sender_timeout=2s",
        ] {
            postgres.args(["-c", setting]);
        }
        Server::spawn(&mut postgres)
    }

    pub async fn restart(&mut self) {
        self.server.kill();
        std::fs::remove_file(self.folder.path().join("data/postmaster.pid")).ok();
        self.server = Self::spawn(&self.bin, self.folder.path(), self.port);
        self.answers().await;
    }

    async fn answers(&self) {
        let url = self.url("postgres");
        until("postgres answers", async || tokio_postgres::connect(&url, NoTls).await.is_ok()).await;
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub fn system(&self, database: &str) -> System {
        System::Postgres(Postgres { url: self.url(database), tls: Tls::default(), ..Postgres::default() })
    }

    pub async fn sql(&self, database: &str, sql: &str) {
        connect(&self.url(database)).await.batch_execute(sql).await.unwrap();
    }
}

pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}

pub struct Bouncer {
    pub port: u16,
    pub folder: TempDir,
    pub server: Server,
    program: PathBuf,
}

impl Bouncer {
    /// A pooler with these lines under `[databases]`.
    pub async fn start(variable: &str, databases: &str) -> Self {
        let (folder, port) = (folder(), free_port());
        let users = folder.path().join("users.txt");
        std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let ini = format!(
            "[databases]\n{databases}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = trust\n\
             auth_file = {}\nadmin_users = postgres\npool_mode = transaction\nunix_socket_dir =\nlogfile = {}\n",
            users.display(),
            folder.path().join("log").display()
        );
        std::fs::write(folder.path().join("pgbouncer.ini"), ini).unwrap();
        let program = program(variable);
        let server = Self::spawn(&program, folder.path());
        let bouncer = Self { port, folder, server, program };
        bouncer.answers().await;
        bouncer
    }

    fn spawn(program: &Path, folder: &Path) -> Server {
        Server::spawn(command(program).arg("-q").arg(folder.join("pgbouncer.ini")))
    }

    async fn answers(&self) {
        until("pgbouncer answers", async || tokio_postgres::connect(&self.admin(), NoTls).await.is_ok()).await;
    }

    pub async fn restart(&mut self) {
        self.server.kill();
        self.server = Self::spawn(&self.program, self.folder.path());
        self.answers().await;
    }

    pub fn admin(&self) -> String {
        self.url("pgbouncer")
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub fn ini(&self) -> PathBuf {
        self.folder.path().join("pgbouncer.ini")
    }

    pub fn redirect(&self) -> Redirect {
        Redirect::Ini(self.ini().display().to_string())
    }

    pub fn spec(&self, database: &str) -> Pgbouncer {
        Pgbouncer {
            admin: Some(self.admin()),
            instances: Vec::new(),
            database: database.to_owned(),
            redirect: Some(self.redirect()),
            probe: None,
            login_retry: Span::secs(0),
        }
    }
}

pub fn world(systems: impl IntoIterator<Item = (&'static str, System)>) -> World {
    World::new(systems.into_iter().map(|(name, system)| (name.to_owned(), system)).collect())
}
