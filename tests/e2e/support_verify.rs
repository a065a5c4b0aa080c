//! Real PostgreSQL clusters for a test: made in memory when the machine can, gone when dropped.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends by a panic")]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pointsman::runbook::model::{Postgres, Tls, TlsMode};
use pointsman::systems::postgres::{Access, Database, Session};
use tempfile::TempDir;

const NOBODY: u32 = 65534;

/// A running server.
pub struct Cluster {
    folder: TempDir,
    bin: PathBuf,
    pub port: u16,
}

/// The programs of a major version: `PG15_BIN`, or where Debian puts them.
fn bin(major: u32) -> PathBuf {
    let named = std::env::var_os(format!("PG{major}_BIN")).map(PathBuf::from);
    let path = named.unwrap_or_else(|| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")));
    assert!(path.join("postgres").exists(), "no PostgreSQL {major}: set PG{major}_BIN to the folder of its programs");
    path
}

/// The `pg_dump` of a major version.
pub fn pg_dump(major: u32) -> String {
    bin(major).join("pg_dump").display().to_string()
}

/// A program that doesn't run as root, for servers refuse that.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/").stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Cluster {
    pub fn start(major: u32) -> Self {
        Self::start_with(major, &[])
    }

    /// Starts a cluster with more settings. What it is given is on loopback only.
    pub fn start_with(major: u32, settings: &[&str]) -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("pointsman-verify-").tempdir_in(parent).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let bin = bin(major);
        let data = folder.path().join("data");
        run(unprivileged(&bin.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "-N"])
            .args(["-E", "UTF8"]));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut text = format!(
            "port={port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories=''\nfsync=off\nwal_level=logical\n\
             max_connections=80\nshared_buffers=64MB\nlog_statement=none\n"
        );
        for setting in settings {
            text.push_str(setting);
            text.push('\n');
        }
        let config = data.join("postgresql.auto.conf");
        std::fs::write(&config, text).unwrap();
        let log = folder.path().join("log");
        run(unprivileged(&bin.join("pg_ctl"))
            .arg("-D")
            .arg(&data)
            .arg("-l")
            .arg(&log)
            .args(["-w", "-t", "60", "start"])
            .stdout(Stdio::null()));
        let pid = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
        assert_eq!(pid.lines().nth(3), Some(port.to_string().as_str()), "another server has the port");
        Self { folder, bin, port }
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub fn database(&self, name: &str) -> Database {
        let tls = Tls { mode: TlsMode::Disable, ca: None };
        let spec = Postgres { url: self.url("postgres"), tls, ..Postgres::default() };
        Database { name: name.to_owned(), spec }
    }

    pub async fn session(&self) -> Session {
        self.database("test").connect(Access::ReadWrite).await.unwrap()
    }

    /// Runs SQL with `public` in the search path.
    pub async fn sql(&self, sql: &str) {
        let session = self.session().await;
        session.batch("prepare", "SET search_path = public, pg_catalog").await.unwrap();
        session.batch("run the test's SQL", sql).await.unwrap();
    }

    pub async fn text(&self, sql: &str) -> String {
        let rows = self.session().await.batch("ask", sql).await.unwrap();
        rows.into_iter().flatten().next().and_then(|row| row.into_iter().next().flatten()).unwrap_or_default()
    }

    /// The schema as `pg_dump` of this version writes it, without what is random in it.
    pub fn dumped(&self) -> String {
        let output = Command::new(self.bin.join("pg_dump"))
            .args(["--schema-only", "--exclude-schema=pointsman", "--dbname", &self.url("postgres")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let kept = |line: &&str| {
            !line.starts_with("--") && !line.starts_with('\\') && !line.contains("pg_attver") && !line.trim().is_empty()
        };
        text.lines().filter(kept).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let stopped =
            unprivileged(&self.bin.join("pg_ctl")).arg("-D").arg(data).args(["-m", "immediate", "stop"]).output();
        if let Err(error) = stopped {
            eprintln!("the test server was not stopped: {error}");
        }
    }
}
