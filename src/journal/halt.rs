//! Test-only stop points, in debug builds: right behind an entry that an environment variable names, the process kills
//! or stops itself with a signal, so that tests can end it everywhere. An entry is named by its number, or by its type
//! and step, such as `committed` or `intent:freeze`. A guard does not inherit them.

use rustix::process::{Signal, getpid, kill_process};

use super::Entry;

/// SIGKILL behind this entry.
pub const KILL_AT: &str = "POINTSMAN_TEST_KILL_AT_ENTRY";
/// SIGSTOP behind this entry.
pub const STOP_AT: &str = "POINTSMAN_TEST_STOP_AT_ENTRY";

/// The process ends or stands still here if it was told so.
pub(super) fn behind(entry: &Entry) {
    for (variable, signal) in [(KILL_AT, Signal::KILL), (STOP_AT, Signal::STOP)] {
        if std::env::var(variable).is_ok_and(|named| is_named(entry, &named)) {
            kill_process(getpid(), signal).ok();
            // Another thread may take the signal: this one does not run ahead of it.
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

fn is_named(entry: &Entry, named: &str) -> bool {
    if let Ok(seq) = named.parse::<u64>() {
        return entry.seq == seq;
    }
    let event = serde_json::to_value(&entry.event).unwrap_or_default();
    let kind = event["type"].as_str().unwrap_or_default();
    match event["of"]["step"].as_str() {
        Some(step) => named == format!("{kind}:{step}"),
        None => named == kind,
    }
}
