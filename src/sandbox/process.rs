//! One server process: started with few rights, watched, and stopped exactly.
//!
//! Each leaves a pid file with its start time in the sandbox's folder, so that a later sandbox can end it when this
//! process died without doing so (see [`super::sweep()`]).

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;

use super::{SandboxError, owner, proc::ProcessId};
use crate::clock;

/// How a process is ended when nobody needs it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndWith {
    /// SIGQUIT, then SIGKILL: PostgreSQL gives its shared memory back only when it is told to go.
    Quit,
    /// SIGKILL at once.
    Kill,
}

impl EndWith {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Kill => "kill",
        }
    }
}

/// What to start.
#[derive(Debug)]
pub(crate) struct Spawn<'a> {
    pub(crate) name: &'a str,
    pub(crate) program: &'a Path,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(&'a str, String)>,
    /// The sandbox's folder: logs and pid files lie here.
    pub(crate) root: &'a Path,
    /// Where the process stands.
    pub(crate) working_folder: &'a Path,
    /// Run as the servers' user when we are root.
    pub(crate) as_servant: bool,
    pub(crate) end_with: EndWith,
}

/// A running server process. Dropping it ends the process, unless it was left running.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    name: String,
    child: Child,
    id: ProcessId,
    uid: u32,
    end_with: EndWith,
    log: PathBuf,
    pid_file: PathBuf,
    left_running: bool,
}

impl ServerProcess {
    pub(crate) fn spawn(spawn: &Spawn<'_>) -> Result<Self, SandboxError> {
        let log = spawn.root.join("logs").join(format!("{}.log", spawn.name));
        let mut child = command(spawn, &log)?.spawn().map_err(SandboxError::io(format!(
            "start {} ({})",
            spawn.name,
            spawn.program.display()
        )))?;
        let Some(id) = ProcessId::of(child.id()) else {
            child.wait().ok();
            return Err(start_error(spawn.name, "it ended at once", &log));
        };
        let uid = owner::servant().filter(|_| spawn.as_servant);
        let pid_file = spawn.root.join("pids").join(spawn.name);
        let process = Self {
            name: spawn.name.to_owned(),
            child,
            id,
            uid: uid.unwrap_or_else(|| rustix::process::geteuid().as_raw()),
            end_with: spawn.end_with,
            log,
            pid_file,
            left_running: false,
        };
        let line = format!("{} {} {}\n", id.pid, id.started, spawn.end_with.word());
        fs::write(&process.pid_file, line).map_err(SandboxError::io("write a pid file"))?;
        Ok(process)
    }

    /// Waits until this very process listens on the port.
    pub(crate) async fn wait_listening(&mut self, port: u16, limit: Duration) -> Result<(), SandboxError> {
        let end = clock::monotonic() + limit;
        while !self.id.listens_on(port, self.uid) {
            self.fail_if_ended()?;
            if clock::monotonic() > end {
                return Err(self.error(&format!("it does not listen on port {port} after {limit:?}")));
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        Ok(())
    }

    pub(crate) fn fail_if_ended(&mut self) -> Result<(), SandboxError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.error(&format!("it ended with {status}"))),
            Err(error) => Err(self.error(&error.to_string())),
        }
    }

    pub(crate) fn error(&self, reason: &str) -> SandboxError {
        start_error(&self.name, reason, &self.log)
    }

    /// Sends the signal and waits for the end; SIGKILL after the limit.
    pub(crate) async fn stop(mut self, signal: Signal, limit: Duration) {
        self.id.signal(signal);
        let end = clock::monotonic() + limit;
        while clock::monotonic() < end && matches!(self.child.try_wait(), Ok(None)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // The drop ends what is left.
    }

    /// SIGKILL to the process and its children, as when a machine loses power; when it comes back, all are gone.
    pub(crate) fn kill(mut self) {
        // Stopped first, so that it makes no more children: one that is made meanwhile would keep its memory and its port.
        self.id.signal(Signal::STOP);
        let children = self.id.children();
        self.id.signal(Signal::KILL);
        signal_all(&children, Signal::KILL);
        self.child.wait().ok();
        for _ in 0..1000 {
            if !children.iter().any(|child| child.is_alive()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// SIGSTOP: the process and its children hang, their connections stay open.
    pub(crate) fn freeze(&self) {
        // First the parent, so that it makes no more children.
        self.id.signal(Signal::STOP);
        signal_all(&self.id.children(), Signal::STOP);
    }

    /// SIGCONT: undoes [`Self::freeze`].
    pub(crate) fn unfreeze(&self) {
        signal_all(&self.id.children(), Signal::CONT);
        self.id.signal(Signal::CONT);
    }

    /// From now on nobody here ends it.
    pub(crate) fn leave_running(&mut self) {
        self.left_running = true;
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if self.left_running {
            return;
        }
        end(self.id, self.end_with, || matches!(self.child.try_wait(), Ok(None)));
        self.child.wait().ok();
        fs::remove_file(&self.pid_file).ok();
    }
}

/// Ends a process; `lives` says whether it is still there (our own children must be reaped to be seen as gone).
pub(crate) fn end(id: ProcessId, with: EndWith, mut lives: impl FnMut() -> bool) {
    let children = id.children();
    signal_all(&children, Signal::CONT);
    if with == EndWith::Quit {
        id.signal(Signal::CONT);
        id.signal(Signal::QUIT);
        for _ in 0..1000 {
            if !lives() {
                break;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    id.signal(Signal::KILL);
    signal_all(&children, Signal::KILL);
}

fn signal_all(processes: &[ProcessId], signal: Signal) {
    for process in processes {
        process.signal(signal);
    }
}

fn command(spawn: &Spawn<'_>, log: &Path) -> Result<Command, SandboxError> {
    let logging = || SandboxError::io(format!("open the log {}", log.display()));
    let output = File::options().create(true).append(true).open(log).map_err(logging())?;
    let errors = output.try_clone().map_err(logging())?;
    let mut command = Command::new(spawn.program);
    command
        .args(&spawn.args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .envs(spawn.env.iter().map(|(key, value)| (key, value)))
        .current_dir(spawn.working_folder)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        // Ctrl-C on the terminal is for us; what it means for the servers is our decision.
        .process_group(0);
    if let Some(id) = owner::servant().filter(|_| spawn.as_servant) {
        command.uid(id).gid(id);
    }
    Ok(command)
}

/// Runs a program to its end, as the servers' user.
pub(crate) async fn run(spawn: &Spawn<'_>) -> Result<(), SandboxError> {
    let log = spawn.root.join("logs").join(format!("{}.log", spawn.name));
    let mut command = tokio::process::Command::from(command(spawn, &log)?);
    let doing = format!("run {}", spawn.program.display());
    let status = command.kill_on_drop(true).status().await.map_err(SandboxError::io(doing))?;
    if status.success() { Ok(()) } else { Err(start_error(spawn.name, &format!("it ended with {status}"), &log)) }
}

/// Runs a program to its end with this text as its input. It failed, too, when its output has the word.
pub(crate) async fn feed(spawn: &Spawn<'_>, text: &str, failed: &str) -> Result<(), SandboxError> {
    let log = spawn.root.join("logs").join(format!("{}.log", spawn.name));
    let doing = || SandboxError::io(format!("run {}", spawn.program.display()));
    let mut command = tokio::process::Command::from(command(spawn, &log)?);
    let mut child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn().map_err(doing())?;
    if let Some(mut input) = child.stdin.take() {
        // One that has ended takes no more: its status says why.
        input.write_all(text.as_bytes()).await.ok();
    }
    let status = child.wait().await.map_err(doing())?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    match said.lines().find(|line| line.contains(failed)) {
        Some(line) => Err(start_error(spawn.name, line, &log)),
        None if status.success() => Ok(()),
        None => Err(start_error(spawn.name, &format!("it ended with {status}"), &log)),
    }
}

fn start_error(server: &str, reason: &str, log: &Path) -> SandboxError {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(8)..].join("\n");
    SandboxError::Start { server: server.to_owned(), reason: reason.to_owned(), log: log.to_owned(), tail }
}
