//! The terminal screen as a person has it: in tmux, by keys, on a real sandbox.

mod by_hand;
mod lost;
mod tmux;

use pointsman::executor::process;
use rustix::process::Signal;

use crate::cutover::support::{Scene, signal};

/// The executor behind a screen outlives its terminal, and must not outlive a test that fails.
struct EndsWithTheTest<'a>(&'a Scene);

impl Drop for EndsWithTheTest<'_> {
    fn drop(&mut self) {
        let Ok(run) = self.0.journal.find(None) else { return };
        let holder = self.0.journal.lease(&run.id).ok().and_then(|lease| lease.holder);
        if let Some(holder) = holder.filter(|holder| process::lives(holder) == Some(true)) {
            signal(i32::try_from(holder.pid).unwrap(), Signal::KILL);
        }
    }
}
