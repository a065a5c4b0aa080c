//! One measured cutover, and numbers of several.

use pointsman::sandbox::ledger::Ledger;

/// How long after the clients were let go a write may still have waited because of the cutover.
const AFTER: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// A write that was under way just before the pause belongs to the cutover.
const BEFORE: jiff::SignedDuration = jiff::SignedDuration::from_millis(100);

/// One cutover.
#[derive(Clone, Debug, Default)]
pub struct Cutover {
    /// From the pause to the resume, in milliseconds.
    pub paused_ms: f64,
    /// The longest wait of a write around it, in milliseconds.
    pub waited_ms: f64,
    /// The longest wait of a write in the second before it, with nothing going on.
    pub quiet_ms: f64,
    /// Writes that failed, or whose client was not told.
    pub failed: u64,
    /// Acknowledged writes that are not there, or there twice.
    pub lost: usize,
    /// Where the milliseconds went.
    pub parts: Vec<(String, f64)>,
    /// Reasons of failed writes.
    pub errors: Vec<String>,
}

impl Cutover {
    /// Adds what the clients saw between the two moments.
    pub fn seen(&mut self, ledger: &Ledger, from: jiff::Timestamp, to: jiff::Timestamp) {
        let report = ledger.report_between(from, to + AFTER);
        self.waited_ms = report.longest_wait.as_secs_f64() * 1000.0;
        let quiet = ledger.report_between(from - AFTER, from - BEFORE);
        self.quiet_ms = quiet.longest_wait.as_secs_f64() * 1000.0;
        self.failed = report.failed + report.unknown;
        self.errors = report.errors.into_keys().collect();
    }

    pub fn brief(&self) -> String {
        let failed = if self.failed + self.lost as u64 == 0 {
            String::new()
        } else {
            format!(", {} FAILED, {} LOST {:?}", self.failed, self.lost, self.errors)
        };
        format!("{:5.1} ms (clients {:5.1}, before {:5.1}{failed})", self.paused_ms, self.waited_ms, self.quiet_ms)
    }
}

/// The middle one; of an even number, the lower of the two.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

pub fn worst(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NAN, f64::max)
}

pub fn paused(cutovers: &[Cutover]) -> f64 {
    median(cutovers.iter().map(|cutover| cutover.paused_ms))
}

pub fn waited(cutovers: &[Cutover]) -> f64 {
    median(cutovers.iter().map(|cutover| cutover.waited_ms))
}

/// Median of each part, in the order of the first cutover.
pub fn parts(cutovers: &[Cutover]) -> Vec<(String, f64, f64)> {
    let Some(first) = cutovers.first() else { return Vec::new() };
    let names = first.parts.iter().map(|(name, _)| name);
    let of = |name: &String| {
        let values: Vec<f64> = cutovers
            .iter()
            .filter_map(|cutover| cutover.parts.iter().find(|(part, _)| part == name).map(|(_, millis)| *millis))
            .collect();
        (name.clone(), median(values.iter().copied()), worst(values.into_iter()))
    };
    names.map(of).collect()
}
