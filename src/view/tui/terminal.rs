//! The terminal: raw mode and the alternate screen, given back on every way out: the end, an error, a panic. And a
//! thread that reads keys.

use std::io::{self, IsTerminal, Stdout, Write, stdin, stdout};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event as Came, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, execute};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::key::Key;
use super::update::Event;

/// Whether the alternate screen is up: only then a panic has to put it away.
static UP: AtomicBool = AtomicBool::new(false);

/// Whether there is a terminal that can show the screen.
#[must_use]
pub fn is_able() -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb" || term.is_empty());
    stdin().is_terminal() && stdout().is_terminal() && !dumb
}

/// The terminal while the screen is up.
pub struct Alternate {
    /// What is drawn to.
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Alternate {
    /// Takes the terminal.
    pub fn enter() -> io::Result<Self> {
        restore_on_panic();
        enable_raw_mode()?;
        UP.store(true, Ordering::SeqCst);
        let entered = execute!(stdout(), EnterAlternateScreen, cursor::Hide);
        let terminal = entered.and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match terminal {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Rings.
    pub fn bell(&mut self) -> io::Result<()> {
        let out = self.terminal.backend_mut();
        out.write_all(b"\x07")?;
        Write::flush(out)
    }
}

impl Drop for Alternate {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back; errors are those of a terminal that is gone.
fn restore() {
    if UP.swap(false, Ordering::SeqCst) {
        drop(execute!(stdout(), LeaveAlternateScreen, cursor::Show));
        drop(disable_raw_mode());
    }
}

fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
}

/// Reads keys until nobody wants them, or the terminal is gone. A terminal that was hung up is seen before it is read:
/// reading from it would never end.
pub fn read_keys(events: &Sender<Event>, stop: &AtomicBool) {
    let wait = Timespec::try_from(Duration::from_millis(250)).ok();
    let stdin = stdin();
    while !stop.load(Ordering::SeqCst) {
        let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut polled, wait.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Err(_) => break,
            Ok(_) => {}
        }
        if polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            break;
        }
        if !forward(events) {
            return;
        }
    }
    drop(events.send(Event::Close));
}

/// Hands on what can be read now; false when nobody wants it any more.
fn forward(events: &Sender<Event>) -> bool {
    while matches!(event::poll(Duration::ZERO), Ok(true)) {
        let told = match event::read() {
            Ok(Came::Key(key)) => key_of(key).map(Event::Key),
            Ok(Came::Resize(..)) => Some(Event::Resized),
            Ok(_) => None,
            Err(_) => return false,
        };
        if told.is_some_and(|told| events.send(told).is_err()) {
            return false;
        }
    }
    true
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char(char) if ctrl => Key::Ctrl(char.to_ascii_lowercase()),
        KeyCode::Char(char) => Key::Char(char),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}
