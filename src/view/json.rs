//! One JSON object a line, for programs. The types are fixed; fields are only added.
//!
//! | type | when | fields beside `type`, `run`, `at` |
//! | --- | --- | --- |
//! | `run-started`, `took`, `intent`, `noted`, `done`, `failed`, `interrupted`, `judged`, `committed`, `thawed`, `passed`, `held`, `said`, `refused`, `turned-back`, `ended` | an entry of the journal | `seq`, `epoch`, `by`, and those of the event |
//! | `sample` | a measurement; may be lost | `key`, `body` |
//! | `waiting` | every 10 s without another line | `step`, `seconds` |
//! | `conclusion` | the last line | `exit`, `reason` |

use std::io::{self, Write};
use std::time::Instant;

use serde_json::{Value, json};

use crate::clock;
use crate::executor::context::Published;
use crate::journal::{Entry, Event};

use super::plain::HEARTBEAT;

/// Every type that a line can have.
pub const TYPES: [&str; 20] = [
    "run-started",
    "took",
    "intent",
    "noted",
    "done",
    "failed",
    "interrupted",
    "judged",
    "committed",
    "thawed",
    "passed",
    "proved",
    "held",
    "said",
    "refused",
    "turned-back",
    "ended",
    "sample",
    "waiting",
    "conclusion",
];

/// The JSON view.
pub struct Json<W> {
    out: W,
    run: String,
    step: Option<(String, Instant)>,
    last: Instant,
}

impl<W: Write> Json<W> {
    /// A view that writes lines to `out`.
    pub fn new(out: W, run: &str) -> Self {
        Self { out, run: run.to_owned(), step: None, last: clock::monotonic() }
    }

    /// Shows what was published.
    pub fn show(&mut self, published: &Published) -> io::Result<()> {
        match published {
            Published::Entry(entry) => self.entry(entry),
            Published::Sample { key, body } => {
                let line = json!({ "type": "sample", "run": self.run, "at": clock::now(), "key": key, "body": body });
                self.write(&line)
            }
        }
    }

    /// Shows an entry.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        match &entry.event {
            Event::Intent { of, .. } => self.step = Some((of.step.clone(), clock::monotonic())),
            Event::Done { .. } | Event::Failed { .. } | Event::Interrupted { .. } => self.step = None,
            _ => {}
        }
        let mut line = serde_json::to_value(&entry.event)?;
        if let Value::Object(fields) = &mut line {
            if let Some(Value::Object(of)) = fields.remove("of") {
                fields.extend(of);
            }
            fields.insert("run".into(), json!(self.run));
            fields.insert("at".into(), json!(entry.at));
            fields.insert("seq".into(), json!(entry.seq));
            fields.insert("epoch".into(), json!(entry.epoch));
            fields.insert("by".into(), json!(entry.by));
        }
        self.write(&line)
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
        let seconds = now.saturating_duration_since(*since).as_secs();
        let line = json!({ "type": "waiting", "run": self.run, "at": clock::now(), "step": step, "seconds": seconds });
        self.write(&line)
    }

    /// The last line.
    pub fn conclude(&mut self, exit: u8, reason: &str) -> io::Result<()> {
        let line = json!({ "type": "conclusion", "run": self.run, "at": clock::now(), "exit": exit, "reason": reason });
        self.write(&line)
    }

    fn write(&mut self, line: &Value) -> io::Result<()> {
        self.last = clock::monotonic();
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }
}
