//! The only reader of time. Decisions get the time as an argument, so that they can be tested.

use std::time::Instant;

use jiff::Timestamp;

/// Wall-clock time, for the journal and for people.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Monotonic time, for deadlines. It goes on while the process is stopped.
#[must_use]
pub fn monotonic() -> Instant {
    Instant::now()
}
