//! What a rehearsal found, to be read in ten seconds.

use std::fmt::Write as _;
use std::path::PathBuf;

use comfy_table::{Table, presets};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::error::{CliError, Exit};
use crate::executor::context::remembered;
use crate::executor::take;
use crate::journal::{Act, Entry, Event, Journal};
use crate::preflight::{Finding, Level};
use crate::sandbox::Sandbox;
use crate::sandbox::ledger::{Audit, Ledger};
use crate::sandbox::server::Kind;
use crate::systems::pair::Heading;
use crate::view::words;

use super::Rehearsal;

/// How long after a window a write may still have waited because of it.
const AFTER: SignedDuration = SignedDuration::from_secs(1);

/// How a client's error ends that PgBouncer's `KILL` disconnected between two transactions.
const KILLED: &str = "before COMMIT: FATAL 08P01: database removed";
/// The finding that announces it.
const ANNOUNCES: &str = "pooler-parameters";

/// What one direction showed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Direction {
    /// Whether the window was passed.
    pub passed: bool,
    /// The longest wait of a write around the window, in milliseconds.
    pub longest_wait_ms: f64,
    /// From pause to resume, in milliseconds.
    pub pause_to_resume_ms: f64,
    /// Writes that failed, as their clients were told.
    pub failed: u64,
    /// Writes whose clients were not told.
    pub unknown: u64,
    /// Reasons of both.
    pub errors: Vec<String>,
    /// Writes that failed because PgBouncer can't carry its clients to a server of 15 or older: announced by the
    /// preflight, and not among `failed`.
    pub disconnected: u64,
    /// Of `failed` and `unknown` together, how many the plan announces: at most one a client where no pooler holds them.
    pub announced: u64,
    /// Acknowledged writes.
    pub acknowledged: u64,
    /// Acknowledged, and not there.
    pub lost: u64,
    /// There more than once, or there though refused.
    pub duplicated: u64,
    /// Sequences that would give a number again.
    pub sequence_anomalies: Vec<String>,
}

impl Direction {
    /// Reads the journal and the ledger.
    #[must_use]
    pub fn measure(entries: &[Entry], heading: Heading, began: Timestamp, ledger: &Ledger, audit: Audit) -> Self {
        let passed = entries.iter().find_map(|entry| match entry.event {
            Event::Passed { way, millis } if way == heading => Some((entry.at, millis)),
            _ => None,
        });
        let frozen = entries.iter().find(|entry| {
            matches!(&entry.event, Event::Intent { of, .. }
                if of.step.starts_with("freeze") && of.way == heading && of.act == Act::Apply)
        });
        let around = passed.zip(frozen).map(|((at, _), frozen)| ledger.report_between(frozen.at, at + AFTER));
        let whole = ledger.report_between(began - SignedDuration::from_secs(60), Timestamp::MAX);
        Self {
            passed: passed.is_some(),
            longest_wait_ms: around.map_or(0.0, |report| report.longest_wait.as_secs_f64() * 1000.0),
            pause_to_resume_ms: passed.map_or(0.0, |(_, millis)| millis),
            failed: whole.failed,
            unknown: whole.unknown,
            errors: whole.errors.iter().map(|(reason, times)| format!("{times} × {reason}")).collect(),
            disconnected: 0,
            announced: 0,
            acknowledged: audit.acknowledged,
            lost: audit.lost.len() as u64,
            duplicated: (audit.duplicated.len() + audit.failed_present.len() + audit.strangers.len()) as u64,
            sequence_anomalies: audit.sequence_anomalies,
        }
    }

    /// Adds the writes of the way there, looked for again after the way back.
    pub fn also(&mut self, earlier: &Audit) {
        self.acknowledged += earlier.acknowledged;
        self.lost += earlier.lost.len() as u64;
        self.duplicated += (earlier.duplicated.len() + earlier.failed_present.len() + earlier.strangers.len()) as u64;
    }

    /// Counts the announced disconnects apart: one a client, before its `COMMIT`, by PgBouncer's `KILL`. More than that
    /// is a failure like any other.
    pub(super) fn set_apart(&mut self, announced: bool, clients: u64) {
        let by_kill = |error: &String| error.ends_with(KILLED);
        let times = |error: &String| error.split(' ').next().and_then(|times| times.parse::<u64>().ok()).unwrap_or(0);
        let killed: u64 = self.errors.iter().filter(|error| by_kill(error)).map(times).sum();
        if announced && killed <= clients.min(self.failed) {
            self.disconnected = killed;
            self.failed -= killed;
            self.errors.retain(|error| !by_kill(error));
        }
    }

    fn is_clean(&self) -> bool {
        self.passed
            && self.failed + self.unknown <= self.announced
            && self.lost + self.duplicated == 0
            && self.sequence_anomalies.is_empty()
    }
}

/// Traffic at one weight.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// The weight, in per cent.
    pub wanted: f64,
    /// The share that was seen.
    pub share: f64,
    /// Of how many requests.
    pub requests: u64,
}

/// What a rehearsal found.
#[derive(Clone, Debug, Serialize)]
pub struct RehearsalResult {
    /// The runbook.
    pub runbook: PathBuf,
    /// Kind of the databases, as people call it.
    pub kind: &'static str,
    /// Version of the source.
    pub source: String,
    /// Version of the target.
    pub target: String,
    /// Whether a pooler can hold the clients.
    #[serde(skip)]
    pooled: bool,
    /// Writes a second.
    pub rate: u32,
    /// Id of the run.
    pub run: String,
    /// The way there.
    pub forth: Direction,
    /// The way back.
    pub back: Option<Direction>,
    /// Exit code of the run.
    pub exit: Option<i32>,
    /// Traffic against weights.
    pub traffic: Vec<Seen>,
    /// Steps with their times, in milliseconds.
    pub steps: Vec<(String, f64)>,
    /// Where the journal lies.
    pub journal: PathBuf,
    /// Where the report lies.
    pub report: PathBuf,
}

impl RehearsalResult {
    pub(super) fn new<K: Kind>(rehearsal: &Rehearsal, sandbox: &Sandbox<K>) -> Self {
        Self {
            runbook: rehearsal.runbook.clone(),
            kind: K::NAME,
            source: sandbox.source.version(),
            target: sandbox.target.version(),
            pooled: K::POOLED,
            rate: rehearsal.rate,
            run: String::new(),
            forth: Direction::default(),
            back: None,
            exit: None,
            traffic: Vec::new(),
            steps: Vec::new(),
            journal: PathBuf::new(),
            report: PathBuf::new(),
        }
    }

    /// What moves where: `PostgreSQL 15 to 18`.
    pub(super) fn between(&self) -> String {
        format!("{} {} to {}", self.kind, self.source, self.target)
    }

    /// Reads the steps' times, the traffic and what was announced from the journal.
    pub(super) fn take_steps(&mut self, journal: &Journal, clients: u64) -> Result<(), CliError> {
        let state = take::replay(journal, &self.run)?;
        let observed: Vec<Value> = remembered(&state, "shift", "observed").unwrap_or_default();
        self.traffic = observed
            .iter()
            .map(|row| Seen {
                wanted: row["wanted"].as_f64().unwrap_or(0.0),
                share: row["seen"].as_f64().unwrap_or(0.0),
                requests: row["requests"].as_u64().unwrap_or(0),
            })
            .collect();
        let findings: Vec<Finding> = remembered(&state, "preflight", "findings").unwrap_or_default();
        let announced = findings.iter().any(|finding| finding.id == ANNOUNCES && finding.level == Level::Warn);
        if let Some(back) = &mut self.back {
            back.set_apart(announced, clients);
        }
        for way in std::iter::once(&mut self.forth).chain(&mut self.back).filter(|_| !self.pooled) {
            way.announced = clients;
        }
        for entry in journal.entries(&self.run, 0)? {
            if let Event::Done { of, millis, .. } = entry.event {
                let suffix = match (of.act, of.way) {
                    (Act::Undo, _) => " (undo)",
                    (Act::Apply, Heading::Back) => " (back)",
                    _ => "",
                };
                self.steps.push((format!("{}{suffix}", of.step), millis));
            }
        }
        Ok(())
    }

    /// Nothing was lost, duplicated or failed, both ways were passed, and the run ended as it must.
    #[must_use]
    pub fn passed(&self) -> bool {
        let rolled_back = self.exit == Some(i32::from(Exit::RolledBack as u8));
        self.forth.is_clean() && self.back.as_ref().is_some_and(Direction::is_clean) && rolled_back
    }

    /// The text of the result.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let verdict = if self.passed() { "PASSED" } else { "FAILED" };
        let name = self.runbook.file_stem().unwrap_or_default().to_string_lossy();
        let _ = writeln!(
            text,
            "\nREHEARSAL {verdict}: {name}, {} and back, {} writes a second\n",
            self.between(),
            self.rate
        );
        let _ = writeln!(text, "{}\n", self.directions());
        if !self.traffic.is_empty() {
            let row = |seen: &Seen| format!("{}% → {:.1}%", seen.wanted, seen.share);
            let _ = writeln!(
                text,
                "traffic wanted → seen   {}",
                self.traffic.iter().map(row).collect::<Vec<_>>().join("   ")
            );
        }
        let steps: Vec<String> =
            self.steps.iter().map(|(step, millis)| format!("{step} {}", words::span(*millis))).collect();
        let _ = writeln!(text, "steps                   {}", steps.join(" · "));
        if !self.pooled {
            let _ = writeln!(
                text,
                "announced               no pooler holds the clients: each sees an error at most once a way, and none of these writes is there"
            );
        }
        for way in self.back.iter().filter(|way| way.disconnected > 0) {
            let _ = writeln!(
                text,
                "announced               {} clients were disconnected once on the way back, none in a transaction: PgBouncer \
                 can't carry them from PostgreSQL {} to {} ({ANNOUNCES})",
                way.disconnected, self.target, self.source
            );
        }
        for error in self.errors() {
            let _ = writeln!(text, "error                   {error}");
        }
        let _ = writeln!(text, "journal                 {}", self.journal.display());
        let _ = writeln!(text, "report                  {}", self.report.display());
        text
    }

    fn directions(&self) -> Table {
        let empty = Direction::default();
        let back = self.back.as_ref().unwrap_or(&empty);
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["", "forward", "back"]);
        let mut row = |name: &str, value: &dyn Fn(&Direction) -> String| {
            table.add_row([name.to_owned(), value(&self.forth), value(back)]);
        };
        row("longest wait for a write", &|way| {
            if way.passed { words::span(way.longest_wait_ms) } else { "not passed".into() }
        });
        row("from pause to resume", &|way| words::span(way.pause_to_resume_ms));
        row("failed transactions", &|way| match way.announced {
            0 => (way.failed + way.unknown).to_string(),
            most => format!("{} (at most {most})", way.failed + way.unknown),
        });
        row("acknowledged writes", &|way| way.acknowledged.to_string());
        row("  of these lost", &|way| way.lost.to_string());
        row("  or duplicated", &|way| way.duplicated.to_string());
        table
    }

    fn errors(&self) -> Vec<String> {
        let ways = std::iter::once(&self.forth).chain(&self.back);
        ways.flat_map(|way| way.errors.iter().chain(&way.sequence_anomalies)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn killed(times: u64) -> Direction {
        let errors = vec![format!("{times} × before COMMIT: FATAL 08P01: database removed")];
        Direction { passed: true, failed: times, errors, ..Direction::default() }
    }

    #[test]
    fn only_announced_disconnects_are_counted_apart() {
        let mut announced = killed(12);
        announced.set_apart(true, 12);
        assert!(announced.is_clean());
        assert_eq!((announced.failed, announced.disconnected), (0, 12));
        let mut silent = killed(12);
        silent.set_apart(false, 12);
        assert!(!silent.is_clean());
    }

    #[test]
    fn more_than_one_a_client_is_a_failure() {
        let mut twice = killed(13);
        twice.set_apart(true, 12);
        assert!(!twice.is_clean());
        let mut other = Direction { failed: 13, ..killed(12) };
        other.errors.push("1 × connection refused".into());
        other.set_apart(true, 12);
        assert!(!other.is_clean());
        assert_eq!(other.errors, ["1 × connection refused"]);
    }
}
