//! Small PostgreSQL clusters in memory, one a test.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pointsman::runbook::model::{Postgres, Tls, TlsMode};
use pointsman::systems::postgres::Database;
use tokio_postgres::{Client, NoTls};

const NOBODY: u32 = 65534;

/// A running cluster; it ends with the value.
pub struct Cluster {
    folder: tempfile::TempDir,
    pub bin: PathBuf,
    server: Child,
    /// Loopback port it listens on.
    pub port: u16,
}

impl Cluster {
    /// Makes and starts a cluster with the programs that the environment variable names.
    pub async fn start(bin_variable: &str, settings: &[&str]) -> Self {
        let bin =
            std::env::var(bin_variable).unwrap_or_else(|_| panic!("set {bin_variable} to PostgreSQL's bin folder"));
        let bin = PathBuf::from(bin);
        let base = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
        let folder = tempfile::Builder::new().prefix("pointsman-preflight-").tempdir_in(base).unwrap();
        if is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = folder.path().join("data");
        let mut initdb = as_nobody(&bin.join("initdb"));
        let made = initdb
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut postgres = as_nobody(&bin.join("postgres"));
        postgres.arg("-D").arg(&data).stdout(Stdio::null()).stderr(Stdio::null());
        let fixed = [
            format!("port={port}"),
            format!("unix_socket_directories={}", folder.path().display()),
            "listen_addresses=127.0.0.1".to_owned(),
            "fsync=off".to_owned(),
            "autovacuum=off".to_owned(),
            "shared_buffers=16MB".to_owned(),
        ];
        for setting in fixed.iter().map(String::as_str).chain(settings.iter().copied()) {
            postgres.arg("-c").arg(setting);
        }
        let server = postgres.spawn().unwrap();
        let cluster = Self { folder, bin, server, port };
        cluster.wait().await;
        cluster
    }

    async fn wait(&self) {
        let pid_file = self.folder.path().join("data/postmaster.pid");
        for _ in 0..600 {
            let ready = std::fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready"));
            if ready && text_pid(&pid_file) == Some(self.server.id()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server on port {} did not start", self.port);
    }

    /// A session of this role.
    pub async fn client(&self, role: &str, database: &str) -> Client {
        let text = format!("host=127.0.0.1 port={} user={role} dbname={database}", self.port);
        let (client, connection) = tokio_postgres::connect(&text, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Runs statements as the superuser.
    pub async fn run(&self, database: &str, sql: &str) {
        self.client("postgres", database).await.batch_execute(sql).await.unwrap();
    }

    /// The database as a system of a runbook.
    pub fn database(&self, name: &str, credentials: &str, database: &str) -> Database {
        Database {
            name: name.to_owned(),
            spec: Postgres {
                url: format!("postgresql://{credentials}@127.0.0.1:{}/{database}", self.port),
                tls: Tls { mode: TlsMode::Disable, ca: None },
                ..Postgres::default()
            },
        }
    }

    /// Everything that a dump holds, without the random words of newer dumps.
    pub fn dump(&self) -> String {
        let output = Command::new(self.bin.join("pg_dumpall"))
            .args(["--host=127.0.0.1", "--username=postgres", "--no-sync", &format!("--port={}", self.port)])
            .output()
            .unwrap();
        assert!(output.status.success(), "pg_dumpall: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.server.id().try_into().unwrap()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = self.server.wait();
    }
}

fn text_pid(file: &Path) -> Option<u32> {
    std::fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Servers refuse to run as root.
fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
