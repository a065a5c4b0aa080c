//! Feeds a view: from the executor of this process, or from the journal of another one's.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::sync::broadcast;

use super::json::Json;
use super::plain::Plain;
use crate::cli::Output;
use crate::executor::context::Published;
use crate::journal::{Entry, Journal, JournalError};

const TICK: Duration = Duration::from_millis(500);

/// A view of either form.
pub enum View<W> {
    /// Lines for people.
    Plain(Plain<W>),
    /// Lines for programs.
    Json(Json<W>),
}

impl View<io::Stdout> {
    /// The view that the command line asks for, on standard output.
    #[must_use]
    pub fn stdout(output: Output, run: &str) -> Self {
        match output {
            Output::Json => Self::Json(Json::new(io::stdout(), run)),
            Output::Plain | Output::Tui => Self::Plain(Plain::new(io::stdout(), is_colourful())),
        }
    }
}

/// Whether standard output is a terminal that wants colour.
#[must_use]
pub fn is_colourful() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
}

impl<W: Write> View<W> {
    fn show(&mut self, published: &Published) -> io::Result<()> {
        match self {
            Self::Plain(view) => view.show(published),
            Self::Json(view) => view.show(published),
        }
    }

    /// Shows an entry.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        match self {
            Self::Plain(view) => view.entry(entry),
            Self::Json(view) => view.entry(entry),
        }
    }

    fn tick(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(view) => view.tick(),
            Self::Json(view) => view.tick(),
        }
    }

    /// Shows what the executor of this process publishes, until it has gone. A broken output (closed terminal) ends the
    /// view and nothing else.
    pub async fn live(mut self, mut feed: broadcast::Receiver<Published>) -> Self {
        loop {
            let shown = match tokio::time::timeout(TICK, feed.recv()).await {
                Ok(Ok(published)) => self.show(&published),
                Ok(Err(broadcast::error::RecvError::Lagged(_))) => Ok(()),
                Ok(Err(broadcast::error::RecvError::Closed)) => return self,
                Err(_) => self.tick(),
            };
            if shown.is_err() {
                return self;
            }
        }
    }

    /// Shows a run that another process executes, until `ended` says so.
    pub async fn distant(
        &mut self,
        journal: &Journal,
        run: &str,
        mut ended: impl FnMut(&[Entry]) -> bool,
    ) -> Result<(), JournalError> {
        let mut seen = 0;
        loop {
            let entries = journal.entries(run, seen)?;
            for entry in &entries {
                seen = entry.seq;
                if self.entry(entry).is_err() {
                    return Ok(());
                }
            }
            if ended(&entries) {
                return Ok(());
            }
            for (key, (at, body)) in journal.samples(run)? {
                if let Self::Plain(view) = self
                    && view.is_recent(at)
                {
                    drop(view.show(&Published::Sample { key, body }));
                }
            }
            if self.tick().is_err() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
