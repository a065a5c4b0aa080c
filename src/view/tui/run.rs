//! The loop of the screen, on a thread of its own: one channel in, at most ten frames a second out.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::draw::draw;
use super::model::{Mode, Model};
use super::source::{self, Control};
use super::terminal::{self, Alternate};
use super::theme::Theme;
use super::update::{Effect, Event, update};
use crate::clock;
use crate::executor::process;
use crate::journal::{Journal, Word};
use crate::view::board::PRESENCE_SECS;

/// The least time between two frames.
const FRAME: Duration = Duration::from_millis(100);
/// Without news a frame this often: ages and times go on.
const IDLE: Duration = Duration::from_secs(1);

/// What a screen shows.
pub struct Screen {
    /// The store.
    pub journal: Arc<Journal>,
    /// The run.
    pub run: String,
    /// What it may do.
    pub mode: Mode,
    /// Whether it was opened by the command that began the run.
    pub owner: bool,
    /// The command that opens a screen of this run again.
    pub again: String,
    events: (Sender<Event>, Receiver<Event>),
}

impl Screen {
    /// A screen that is not shown yet.
    #[must_use]
    pub fn new(journal: Arc<Journal>, run: &str, mode: Mode, owner: bool, again: String) -> Self {
        Self { journal, run: run.to_owned(), mode, owner, again, events: channel() }
    }

    /// The way in, for what else may happen while it is shown.
    #[must_use]
    pub fn sender(&self) -> Sender<Event> {
        self.events.0.clone()
    }
}

/// Whether the terminal can show it.
#[must_use]
pub fn is_able() -> bool {
    terminal::is_able()
}

/// Shows a run until the person leaves; gives what was known last. Blocks: it wants a thread of its own.
pub fn show(screen: Screen) -> io::Result<Model> {
    let Screen { journal, run, mode, owner, again, events: (sender, events) } = screen;
    let stop = Arc::new(AtomicBool::new(false));
    let own = format!("watcher:{}:{}", process::person(), std::process::id());
    let control = feed(&journal, &run, &own, mode, &sender, &stop);
    let mut model = Model::new(&run, &process::person(), mode, clock::now());
    (model.owner, model.again) = (owner, again);
    let mut alternate = Alternate::enter()?;
    let (keys, stopped) = (sender, Arc::clone(&stop));
    thread::spawn(move || terminal::read_keys(&keys, &stopped));
    let mut hands = Hands { journal, run, own, control, presence: None };
    let shown = frames(&mut alternate, &mut model, &events, &mut hands);
    stop.store(true, Ordering::SeqCst);
    hands.gone();
    drop(alternate);
    shown.map(|()| model)
}

/// Starts what feeds the channel; a replay can be told its pace.
fn feed(
    journal: &Arc<Journal>,
    run: &str,
    own: &str,
    mode: Mode,
    sender: &Sender<Event>,
    stop: &Arc<AtomicBool>,
) -> Option<Sender<Control>> {
    let (journal, run, own) = (Arc::clone(journal), run.to_owned(), own.to_owned());
    let (sender, stop) = (sender.clone(), Arc::clone(stop));
    if let Mode::Replay(pace) = mode {
        let (told, control) = channel();
        thread::spawn(move || {
            let entries = journal.entries(&run, 0).unwrap_or_default();
            source::replay(&entries, pace, &control, &sender);
        });
        return Some(told);
    }
    let (earlier, news) = ((Arc::clone(&journal), run.clone()), sender.clone());
    thread::spawn(move || source::follow(&journal, &run, &own, &sender, &stop));
    thread::spawn(move || {
        // The board is there first: its run may have no entry yet.
        thread::sleep(IDLE);
        source::estimates(&earlier.0, &earlier.1).map(|event| news.send(event))
    });
    None
}

fn frames(alternate: &mut Alternate, model: &mut Model, events: &Receiver<Event>, hands: &mut Hands) -> io::Result<()> {
    let theme = Theme::from_env();
    let (mut dirty, mut last): (bool, Option<Instant>) = (true, None);
    loop {
        let since = last.map_or(FRAME, |last| last.elapsed());
        if dirty && since >= FRAME {
            frame(alternate, model, theme)?;
            hands.here(model);
            (dirty, last) = (false, Some(clock::monotonic()));
        }
        let wait = match (dirty, model.is_lively()) {
            (true, _) => FRAME.saturating_sub(since),
            (false, true) => FRAME,
            (false, false) => IDLE,
        };
        match events.recv_timeout(wait) {
            Ok(event) => {
                for effect in update(model, event) {
                    if !hands.carry_out(model, alternate, effect)? {
                        return Ok(());
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        dirty = true;
    }
}

fn frame(alternate: &mut Alternate, model: &mut Model, theme: Theme) -> io::Result<()> {
    if !matches!(model.mode, Mode::Replay(_)) {
        drop(update(model, Event::Tick(clock::now())));
    }
    #[cfg(debug_assertions)]
    fail_for_a_test(model);
    let mut drawn = super::draw::Drawn::default();
    alternate.terminal.draw(|frame| drawn = draw(frame, model, theme))?;
    model.settle(drawn.top, drawn.behind);
    Ok(())
}

/// Test-only, in debug builds: drawing panics while the run is at the step that an environment variable names.
#[cfg(debug_assertions)]
fn fail_for_a_test(model: &Model) {
    let Ok(named) = std::env::var("POINTSMAN_TEST_SCREEN_FAILS_AT") else { return };
    let at = model.board.as_ref().and_then(|board| board.step()).map(|(step, _)| step.id.clone());
    assert!(at.as_deref() != Some(named.as_str()), "drawing failed, as a test wanted");
}

/// What the screen does outside of its model.
struct Hands {
    journal: Arc<Journal>,
    run: String,
    own: String,
    control: Option<Sender<Control>>,
    presence: Option<Instant>,
}

impl Hands {
    /// False when the screen closes.
    fn carry_out(&mut self, model: &mut Model, alternate: &mut Alternate, effect: Effect) -> io::Result<bool> {
        match effect {
            Effect::Leave => return Ok(false),
            Effect::Bell => alternate.bell()?,
            Effect::Say(word, why) => {
                let said = self.say(model, &word, why.as_deref());
                drop(update(model, Event::Said(word, said)));
            }
            Effect::Next => self.tell(Control::Next),
            Effect::Pace => {
                if let Mode::Replay(pace) = model.mode {
                    self.tell(Control::Pace(pace));
                }
            }
        }
        Ok(true)
    }

    fn say(&self, model: &Model, word: &Word, why: Option<&str>) -> Result<(), String> {
        self.journal.say(&self.run, word, &model.who, why).map_err(|error| error.to_string())
    }

    fn tell(&self, control: Control) {
        if let Some(told) = &self.control {
            drop(told.send(control));
        }
    }

    /// Says now and then that somebody looks; never near a window, where the store is the executor's alone.
    fn here(&mut self, model: &Model) {
        let Some(board) = model.board.as_ref().filter(|_| self.control.is_none()) else { return };
        let busy = board.state.passage.is_some() || board.state.armed.is_some() || board.state.outcome.is_some();
        let due = self.presence.is_none_or(|last| last.elapsed() >= Duration::from_secs(u64::from(PRESENCE_SECS)));
        if due && !busy {
            self.presence = Some(clock::monotonic());
            let here = json!({ "who": model.who, "control": model.mode == Mode::Control });
            drop(self.journal.sample(&self.run, &self.own, &here));
        }
    }

    fn gone(&self) {
        if self.presence.is_some() {
            drop(self.journal.forget_sample(&self.run, &self.own));
        }
    }
}
