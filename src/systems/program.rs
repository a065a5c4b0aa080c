//! Runs programs of the runbook: no shell, an end to every run, and output that is bounded and masked.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::{Certainty, DriverError, Result};
use crate::runbook::model::Program;
use crate::secret;

/// Bytes that are kept of each of the two outputs: the last ones, where errors stand.
const OUTPUT_LIMIT: usize = 32 * 1024;
/// Time between the request to end and the kill.
const GRACE: Duration = Duration::from_millis(500);
/// How long the output is waited for when the program has ended; something it left running may hold it open.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Exit status; nothing when a signal ended it.
    pub code: Option<i32>,
    /// Last part of its standard output, masked.
    pub stdout: String,
    /// Last part of its standard error, masked.
    pub stderr: String,
}

impl Outcome {
    /// The last lines of what it said, for an error.
    #[must_use]
    pub fn last_words(&self) -> String {
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = said.trim().lines().collect();
        lines[lines.len().saturating_sub(3)..].join(" / ")
    }

    fn ending(&self) -> String {
        self.code.map_or_else(|| "a signal ended it".to_owned(), |code| format!("it exited with status {code}"))
    }
}

/// Runs a program to its end, whatever status that has. `variables` are added to its environment as they are. An error
/// means that it could not be started (not sent) or had to be killed (unknown).
pub async fn run(system: &str, what: &str, program: &Program, variables: &[(&str, String)]) -> Result<Outcome> {
    let not_sent = |reason: String| DriverError::new(system, what, reason, Certainty::NotSent);
    for text in program.env.values() {
        let read = secret::remote::fresh(text).await;
        read.map_err(|error| DriverError::unresolved(system, "resolve its variables", error))?;
    }
    let (mut command, secrets) = command(program, variables).map_err(not_sent)?;
    let child = command.spawn().map_err(|error| not_sent(format!("{} can't be started: {error}", program.run[0])))?;
    let mut group = Group::of(&child);
    let mut finishing = std::pin::pin!(finish(child));
    match tokio::time::timeout(program.timeout.0, &mut finishing).await {
        Ok(Ok((status, stdout, stderr))) => {
            group.forget();
            let clean = |bytes: &[u8]| masked(&String::from_utf8_lossy(bytes), &secrets);
            Ok(Outcome { code: status.code(), stdout: clean(&stdout), stderr: clean(&stderr) })
        }
        Ok(Err(error)) => Err(DriverError::new(system, what, error, Certainty::Unknown)),
        Err(_) => {
            group.end().await;
            let reason = format!("{} ran longer than {} and was killed", program.run[0], program.timeout);
            Err(DriverError::new(system, what, reason, Certainty::Unknown))
        }
    }
}

/// Runs a program that must exit with status 0.
pub async fn run_to_success(system: &str, what: &str, program: &Program, variables: &[(&str, String)]) -> Result<()> {
    let outcome = run(system, what, program, variables).await?;
    if outcome.code == Some(0) {
        return Ok(());
    }
    let reason = format!("{}: {}: {}", words(&program.run), outcome.ending(), outcome.last_words());
    let certainty = if outcome.code.is_some() { Certainty::Refused } else { Certainty::Unknown };
    Err(DriverError::new(system, what, reason, certainty))
}

/// The program and its arguments as a person would type them.
#[must_use]
pub fn words(run: &[String]) -> String {
    let quoted = run.iter().map(|word| shlex::try_quote(word).map_or_else(|_| word.clone(), Into::into));
    secret::mask(&quoted.collect::<Vec<String>>().join(" "))
}

/// The command, and the secrets that its output may hold.
fn command(program: &Program, variables: &[(&str, String)]) -> std::result::Result<(Command, Vec<String>), String> {
    let (name, arguments) = program.run.split_first().ok_or("`run` names no program")?;
    let secret = ["${env:", "${file:", "${aws-secret:", "${ssm:"];
    if let Some(word) = program.run.iter().find(|word| secret.iter().any(|scheme| word.contains(scheme))) {
        return Err(format!("`{word}` would put a secret into the process list; pass it under `env`"));
    }
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut secrets = Vec::new();
    for (key, text) in &program.env {
        let value = secret::resolve(text).map_err(|error| error.to_string())?;
        if value.expose() != text && value.expose().len() >= 4 {
            secrets.push(value.expose().to_owned());
        }
        command.env(key, value.expose());
    }
    command.envs(variables.iter().map(|(key, value)| (key, value)));
    Ok((command, secrets))
}

fn masked(text: &str, secrets: &[String]) -> String {
    let hidden = secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
    secret::mask(&hidden)
}

async fn finish(mut child: Child) -> std::io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (mut stdout, mut stderr) = (Tail::of(child.stdout.take()), Tail::of(child.stderr.take()));
    let status = child.wait().await?;
    let both = async { tokio::join!(&mut stdout.reader, &mut stderr.reader) };
    // When it lapses, what was said so far is what there is.
    drop(tokio::time::timeout(OUTPUT_GRACE, both).await);
    Ok((status, stdout.end(), stderr.end()))
}

/// Reads a pipe to its end and keeps the last part, so that a program that talks a lot neither blocks nor fills the
/// memory.
struct Tail {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Tail {
    fn of(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let reader = tokio::spawn(read(pipe, Arc::clone(&kept)));
        Self { kept, reader }
    }

    fn end(self) -> Vec<u8> {
        self.reader.abort();
        let mut kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        kept.drain(..kept.len().saturating_sub(OUTPUT_LIMIT));
        kept
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, into: Arc<Mutex<Vec<u8>>>) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; 8 * 1024];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&chunk[..length]);
        let surplus = if kept.len() > 2 * OUTPUT_LIMIT { kept.len() - OUTPUT_LIMIT } else { 0 };
        kept.drain(..surplus);
    }
}

/// The process group of a program: it goes when this is dropped, with everything that the program started.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// The program ended by itself: what it left running on purpose stays.
    const fn forget(&mut self) {
        self.0 = None;
    }

    async fn end(&mut self) {
        let Some(pid) = self.0 else { return };
        if kill_process_group(pid, Signal::TERM).is_ok() {
            tokio::time::sleep(GRACE).await;
        }
        self.kill();
    }

    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            // Nothing left to kill is what is wanted.
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::units::Span;

    fn shell(script: &str) -> Program {
        let run = ["sh", "-c", script].map(str::to_owned).to_vec();
        Program { run, env: std::collections::BTreeMap::new(), timeout: Span::secs(10) }
    }

    #[tokio::test]
    async fn gives_status_and_output() {
        let outcome = run("x", "try", &shell("echo out; echo err >&2; exit 3"), &[]).await.unwrap();
        assert_eq!(outcome, Outcome { code: Some(3), stdout: "out\n".into(), stderr: "err\n".into() });
        let error = run_to_success("x", "try", &shell("echo no >&2; exit 3"), &[]).await.unwrap_err();
        assert_eq!(error.certainty, Certainty::Refused);
        assert!(error.to_string().contains("it exited with status 3: no"), "{error}");
        let absent = Program { run: vec!["/no/such/program".into()], ..shell("") };
        assert_eq!(run("x", "try", &absent, &[]).await.unwrap_err().certainty, Certainty::NotSent);
    }

    #[tokio::test]
    async fn passes_variables_and_hides_secrets() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hush-hush\n").unwrap();
        let mut program = shell("echo $A $TOKEN postgres://u:pw@h/d");
        program.env.insert("TOKEN".into(), format!("${{file:{}}}", file.path().display()));
        let outcome = run("x", "try", &program, &[("A", "${env:B}".into())]).await.unwrap();
        assert_eq!(outcome.stdout, "${env:B} *** postgres://u:***@h/d\n");
        let leaky = Program { run: vec!["echo".into(), "${env:HOME}".into()], ..program };
        let error = run("x", "try", &leaky, &[]).await.unwrap_err();
        assert!(error.to_string().contains("process list"), "{error}");
    }

    #[tokio::test]
    async fn keeps_the_end_of_a_long_output() {
        let outcome = run("x", "try", &shell("seq 1 100000"), &[]).await.unwrap();
        assert!(outcome.stdout.len() <= OUTPUT_LIMIT && outcome.stdout.ends_with("\n99999\n100000\n"));
    }

    #[tokio::test]
    async fn a_timeout_kills_the_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let script = format!("trap '' TERM; sleep 600 & echo $! > {}; wait", pid_file.display());
        let program = Program { timeout: Span::millis(700), ..shell(&script) };
        let error = run("x", "try", &program, &[]).await.unwrap_err();
        assert_eq!(error.certainty, Certainty::Unknown);
        let pid = std::fs::read_to_string(&pid_file).unwrap();
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        for _ in 0..500 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the grandchild {pid} lives on");
    }

    #[tokio::test]
    async fn a_daemon_that_holds_the_output_open_does_not_hold_us() {
        let program = shell("sleep 600 & echo $!");
        let outcome = run("x", "try", &program, &[]).await.unwrap();
        assert_eq!(outcome.code, Some(0));
        let daemon = Pid::from_raw(outcome.stdout.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(daemon, Signal::KILL).unwrap();
    }
}
