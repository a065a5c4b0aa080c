//! The guard: a second process, started before writes are stopped, with its own open connections. If the executor dies
//! or hangs inside the window, the guard takes the run and leads it out: back before the commit point, forward after
//! it. A killed executor never leaves writes frozen.
//!
//! The executor speaks to it through a pipe, a line at a time: `freezing` before writes stop, `beat` many times a second
//! meanwhile, `passed` when they flow again. The pipe's end tells the guard at once that the executor is dead.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex, broadcast};
use tokio::time::Instant;

use super::context::Context;
use super::drive::{Drive, DriveError, OnHold};
use super::rig::Rig;
use super::state::RunState;
use super::take;
use crate::journal::{Durability, Event, Journal, JournalError, TakeReason};
use crate::plan::references;
use crate::secret::remote;
use crate::systems::DriverError;
use crate::systems::world::World;

const BEAT: Duration = Duration::from_millis(40);
const READY: Duration = Duration::from_secs(15);

/// The executor's end.
pub struct Guard {
    child: Child,
    pipe: Arc<Mutex<ChildStdin>>,
    beating: Option<tokio::task::JoinHandle<()>>,
}

impl Guard {
    /// Starts it and waits until it stands ready. Its own words go to a file beside the journal.
    pub async fn start(cx: &Context, budget: Duration) -> Result<Self, String> {
        let words = |error: std::io::Error| error.to_string();
        // This very program, also when its file was replaced by another version since.
        let own = Path::new("/proc/self/exe");
        let program = if own.exists() { own.to_owned() } else { std::env::current_exe().map_err(words)? };
        let log = cx.journal.path().with_file_name(format!("guard-{}.log", cx.run));
        let log = std::fs::File::create(log).map_err(words)?;
        let mut command = Command::new(program);
        #[cfg(debug_assertions)]
        command.env_remove(crate::journal::halt::KILL_AT).env_remove(crate::journal::halt::STOP_AT);
        let mut child = command
            .arg("guard")
            .args(["--state", &cx.journal.path().display().to_string()])
            .args(["--run", &cx.run, "--epoch", &cx.epoch.to_string()])
            .args(["--budget-ms", &budget.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            // Its own group: neither Ctrl-C nor the end of the terminal reaches it.
            .process_group(0)
            .spawn()
            .map_err(words)?;
        let pipe = child.stdin.take().ok_or("it has no pipe")?;
        let answers = child.stdout.take().ok_or("it has no answers")?;
        let mut line = String::new();
        let mut answers = BufReader::new(answers);
        match tokio::time::timeout(READY, answers.read_line(&mut line)).await {
            Ok(Ok(_)) if line.trim() == "ready" => {}
            _ => return Err(format!("it did not get ready ({}); see its log beside the journal", line.trim())),
        }
        Ok(Self { child, pipe: Arc::new(Mutex::new(pipe)), beating: None })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Writes are about to wait.
    pub async fn freezing(&mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(format!("it has left ({status})"));
        }
        send(&self.pipe, "freezing\n").await?;
        let pipe = Arc::clone(&self.pipe);
        self.beating = Some(tokio::spawn(async move {
            while send(&pipe, "beat\n").await.is_ok() {
                tokio::time::sleep(BEAT).await;
            }
        }));
        Ok(())
    }

    /// Writes flow again.
    pub async fn passed(&mut self) -> Result<(), String> {
        self.quiet();
        send(&self.pipe, "passed\n").await
    }

    fn quiet(&mut self) {
        if let Some(beating) = self.beating.take() {
            beating.abort();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.quiet();
    }
}

async fn send(pipe: &Mutex<ChildStdin>, line: &str) -> Result<(), String> {
    let mut pipe = pipe.lock().await;
    pipe.write_all(line.as_bytes()).await.map_err(|error| error.to_string())
}

/// What the guard's own process is told.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The run.
    pub run: String,
    /// Epoch of the executor that is watched.
    pub epoch: u64,
    /// The window's budget.
    pub budget: Duration,
}

/// Why the guard acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The executor is dead.
    Dead,
    /// The executor has left the run held, and writes wait still: a person has to do something first.
    Left,
    /// It does not beat any more.
    Silent,
    /// It used up the budget before the commit point.
    Late,
}

impl Alarm {
    /// The same, when the journal is looked at: whoever is gone may have said why before.
    const fn seen(self, state: &RunState) -> Self {
        if matches!(self, Self::Dead) && state.hold.is_some() { Self::Left } else { self }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Dead => "the executor died inside the window",
            Self::Left => "the executor could not get out of the window, and left the run held",
            Self::Silent => "the executor hung inside the window",
            Self::Late => "the executor used up the window's budget",
        }
    }
}

/// The guard's process: stands ready, and acts when it must.
pub async fn watch(journal: Arc<Journal>, watch: Watch, mut ready: impl FnMut()) -> Result<(), DriveError> {
    let state = take::replay(&journal, &watch.run)?;
    let world = World::new(state.plan.systems.clone());
    let rig = Rig::new(world, &watch.run, watch.epoch);
    let unready = |error: DriverError| JournalError::Store { path: "guard".into(), reason: error.to_string() };
    references::open(&state.plan);
    references::warm(&state.plan).await.map_err(unready)?;
    if let Some(pair) = &state.plan.pair {
        let warmed = rig.warm(&[&pair.source, &pair.target], state.plan.endpoints()).await;
        warmed.map_err(unready)?;
    }
    ready();
    let Some(alarm) = listen(&journal, &watch).await else { return Ok(()) };
    // Writes wait: what was read while it got ready must do.
    remote::seal(true);
    let epoch = match take::take(&journal, &watch.run, watch.epoch, TakeReason::Guard) {
        Err(error @ JournalError::Store { .. }) if alarm == Alarm::Dead => {
            return Err(instead_of_the_dead(journal, &watch, rig, error).await);
        }
        epoch => epoch?,
    };
    // Where a database can't be reached now, the session that is opened later raises it.
    drop(rig.raise(epoch).await);
    let state = take::replay(&journal, &watch.run)?;
    let alarm = alarm.seen(&state);
    let frozen = state.passage.is_some();
    let (views, _) = broadcast::channel(64);
    let drive = Drive::with_rig(Arc::clone(&journal), &watch.run, epoch, state, OnHold::Leave, views, rig);
    if frozen {
        drive.window_only().run().await?;
    }
    say_what_happened(&journal, &watch.run, epoch, alarm)
}

/// The journal can't be written, so that the run can't be taken; but whoever had it is dead, and writes wait. The guard
/// leads out of the window with the lease that the dead one left; as soon as somebody takes the run it can do nothing
/// more.
async fn instead_of_the_dead(journal: Arc<Journal>, watch: &Watch, rig: Rig, error: JournalError) -> DriveError {
    let state = match take::replay(&journal, &watch.run) {
        Ok(state) => state,
        Err(error) => return error.into(),
    };
    // The lease may be all that could still be written.
    let epoch = match journal.lease(&watch.run) {
        Ok(lease) if lease.holder.as_ref() == Some(&super::process::this()) => lease.epoch,
        _ => watch.epoch,
    };
    drop(rig.raise(epoch).await);
    let (views, _) = broadcast::channel(64);
    Drive::with_rig(journal, &watch.run, epoch, state, OnHold::Leave, views, rig).window_only().leave(error).await
}

/// Waits for an alarm; `None` when the window was passed or left and the executor is gone, or has no more need.
async fn listen(journal: &Journal, watch: &Watch) -> Option<Alarm> {
    let patience = (watch.budget / 4).clamp(Duration::from_millis(200), Duration::from_secs(1));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut frozen: Option<Instant> = None;
    loop {
        let limit = if frozen.is_some() { patience } else { Duration::from_secs(3600) };
        match tokio::time::timeout(limit, lines.next_line()).await {
            Ok(Ok(Some(line))) => match line.as_str() {
                "freezing" => frozen = Some(Instant::now()),
                "passed" => frozen = None,
                _ => {}
            },
            Ok(_) => return frozen.map(|_| Alarm::Dead).filter(|_| is_frozen(journal, &watch.run)),
            Err(_) if frozen.is_some() => return Some(Alarm::Silent),
            Err(_) => {}
        }
        let late = frozen.is_some_and(|since| since.elapsed() > watch.budget * 9 / 10);
        if late && !is_committed(journal, &watch.run) {
            return Some(Alarm::Late);
        }
    }
}

fn is_frozen(journal: &Journal, run: &str) -> bool {
    take::replay(journal, run).map_or(true, |state| state.passage.is_some())
}

fn is_committed(journal: &Journal, run: &str) -> bool {
    take::replay(journal, run).is_ok_and(|state| state.passage.is_none_or(|passage| passage.committed))
}

fn say_what_happened(journal: &Journal, run: &str, epoch: u64, alarm: Alarm) -> Result<(), DriveError> {
    let state = take::replay(journal, run)?;
    let reason = told(&state, run, alarm);
    let by = super::process::this();
    journal.append(run, epoch, &by, Event::Held { reason }, Durability::Synced)?;
    journal.release(run, epoch)?;
    Ok(())
}

fn told(state: &RunState, run: &str, alarm: Alarm) -> String {
    let words = alarm.words();
    if state.passage.is_none() {
        let led = format!("the guard led it out: writes go to the {:?}", state.writer).to_lowercase();
        return format!("{words}; {led}. `pointsman resume {run}` goes on, `pointsman rollback {run}` goes back");
    }
    let why = state.hold.as_deref().unwrap_or("see its log");
    format!("{words}, and WRITES WAIT; the guard could not lead it out: {why}. Then `pointsman resume {run}`")
}

/// Where the guard's own words go.
#[must_use]
pub fn log_path(journal: &Path, run: &str) -> std::path::PathBuf {
    journal.with_file_name(format!("guard-{run}.log"))
}
