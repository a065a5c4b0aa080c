//! One line an event, and every ten seconds a line that says what the run waits for. Also the form for log files.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;

use super::words;
use crate::clock;
use crate::executor::context::Published;
use crate::journal::{Entry, Event};

/// Silence after which the view says what the run waits for.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// The plain view.
pub struct Plain<W> {
    out: W,
    colour: bool,
    step: Option<(String, Instant)>,
    samples: BTreeMap<String, String>,
    /// When the step began: what was measured before is old.
    since: Timestamp,
    last: Instant,
}

impl<W: Write> Plain<W> {
    /// A view that writes lines to `out`.
    pub fn new(out: W, colour: bool) -> Self {
        let (samples, since) = (BTreeMap::new(), Timestamp::MIN);
        Self { out, colour, step: None, samples, since, last: clock::monotonic() }
    }

    /// Whether something was measured by the step under way.
    pub fn is_recent(&self, at: Timestamp) -> bool {
        at >= self.since
    }

    /// Shows what was published.
    pub fn show(&mut self, published: &Published) -> io::Result<()> {
        match published {
            Published::Entry(entry) => self.entry(entry),
            Published::Sample { key, body } => {
                // What another step measured says nothing about this one.
                let of_step = self.step.as_ref().is_some_and(|(step, _)| body.get("step").is_none_or(|of| of == step));
                if let Some(text) = words::sample(body).filter(|_| of_step) {
                    self.samples.insert(key.clone(), text);
                }
                Ok(())
            }
        }
    }

    /// Shows an entry.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        match &entry.event {
            Event::Intent { of, .. } => {
                self.step = Some((of.step.clone(), clock::monotonic()));
                self.since = entry.at;
                self.samples.clear();
            }
            Event::Done { .. } | Event::Failed { .. } | Event::Interrupted { .. } => self.step = None,
            _ => {}
        }
        let Some((step, text)) = words::line(entry) else { return Ok(()) };
        self.last = clock::monotonic();
        let time = entry.at.strftime("%H:%M:%S%.3f");
        let style = if self.colour { style(&entry.event) } else { Style::new() };
        writeln!(self.out, "{time}  {step:<14} {style}{text}{style:#}")?;
        self.out.flush()
    }

    /// Says what the run waits for, when nothing was said for a while.
    pub fn tick(&mut self) -> io::Result<()> {
        self.tick_at(clock::monotonic())
    }

    /// The same at a given moment.
    pub fn tick_at(&mut self, now: Instant) -> io::Result<()> {
        let Some((step, since)) = &self.step else { return Ok(()) };
        if now.saturating_duration_since(self.last) < HEARTBEAT {
            return Ok(());
        }
        self.last = now;
        let waited = now.saturating_duration_since(*since).as_secs();
        let known: Vec<&str> = self.samples.values().map(String::as_str).collect();
        let known = if known.is_empty() { String::new() } else { format!("; {}", known.join("; ")) };
        let time = clock::now().strftime("%H:%M:%S%.3f");
        writeln!(self.out, "{time}  {step:<14} still at it [{waited} s]{known}")?;
        self.out.flush()
    }
}

fn style(event: &Event) -> Style {
    let coloured = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match event {
        Event::Failed { .. } | Event::Refused { .. } => coloured(AnsiColor::Red).bold(),
        Event::Held { .. } | Event::TurnedBack { .. } | Event::Thawed { .. } => coloured(AnsiColor::Yellow).bold(),
        Event::Committed { .. } | Event::Passed { .. } | Event::Ended { .. } => coloured(AnsiColor::Green).bold(),
        Event::Intent { .. } => Style::new().dimmed(),
        _ => Style::new(),
    }
}
