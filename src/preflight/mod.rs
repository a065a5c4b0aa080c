//! The preflight: everything that could go wrong, looked at before anything is changed.
//!
//! Each kind of database has its own: `gather` reads both sides through read-only sessions, `judge` turns what was read
//! into [`Finding`]s without asking anybody anything, so that every finding has a test; [`render()`] words them for
//! people.

mod alb;
pub mod aws;
pub mod blue_green;
mod decommission;
mod finding;
pub mod mysql;
pub mod postgres;
pub mod rds;
pub mod references;
mod render;

pub(crate) use finding::Check;
pub use finding::{Finding, Level};
pub use render::{counts, render};

/// Findings that a runbook can't accept: with them the cutover can't be done, or not safely.
pub const NEVER_ACCEPTED: &[&str] = &[
    "version",
    "same-database",
    "standby",
    "wal-level",
    "prepared-transactions",
    "server-id",
    "binary-log",
    "binlog-format",
    "binlog-filters",
    "replication-filters",
    "alb-routes",
    "alb-groups",
    "rds-engine",
    "blue-green-status",
    "blue-green-version",
    "blue-green-logical",
    "blue-green-external",
];

/// The findings, failures first; those that the runbook accepts warn.
pub(crate) fn accept(mut findings: Vec<Finding>, accepted: &[String]) -> Vec<Finding> {
    for finding in &mut findings {
        if accepted.contains(&finding.id) {
            finding.accept();
        }
    }
    findings.sort_by_key(|finding| finding.level);
    findings
}

/// What DMS would cut off, or stop at, because `lob` limits the length of a value; of columns with their longest one.
pub(crate) fn long_values(check: Check<'_>, limit: u64, columns: &[(String, u64)]) -> Finding {
    let longest = columns.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let long = columns.iter().filter(|(_, bytes)| *bytes > limit);
    let long: Vec<String> = long.map(|(column, bytes)| format!("{column} ({bytes} bytes)")).collect();
    if long.is_empty() {
        let detail = format!("The longest has {longest} bytes, and {limit} are allowed.");
        return check.pass("no value is longer than DMS carries", detail);
    }
    let mend = vec![format!(
        "-- `lob: {{ limited: {}KiB }}` of `dms`, and room for what is still to come; or `lob: full`",
        longest.div_ceil(1024)
    )];
    check.fail("values are longer than DMS carries", format!("{}.", finding::names(&long)), mend)
}

/// Whether a run may start.
#[must_use]
pub fn passes(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.level != Level::Fail)
}
