//! What goes wrong, and at which call.

use std::sync::Arc;

use tokio::sync::watch;

use super::wire::Asked;

/// What goes wrong with a call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Refused as one too many; nothing happens.
    Throttled,
    /// Refused because the token has expired; nothing happens.
    Expired,
    /// Refused for want of a permission; nothing happens.
    Denied,
    /// Refused with this status, code and message; nothing happens.
    Refused(u16, &'static str, &'static str),
    /// A 5xx status; nothing happens.
    ErrorBefore(u16),
    /// A 5xx status, though the call took effect.
    ErrorAfter(u16),
    /// The connection closes; nothing happens.
    ClosedBefore,
    /// The connection closes instead of a reply, though the call took effect.
    ClosedAfter,
    /// The reply stops half-way, though the call took effect.
    HalfReply,
    /// Never an answer; nothing happens.
    HangsBefore,
    /// Never an answer, though the call took effect.
    HangsAfter,
    /// The reply to the same call as it was before the last write: a read that is not up to date.
    Stale,
    /// Stands still before the call goes on, until the test lets it.
    StopBefore(Stop),
    /// Stands still before the reply, until the test lets it.
    StopAfter(Stop),
}

/// A place where a call stands still.
#[derive(Debug, Clone)]
pub struct Stop {
    reached: Arc<watch::Sender<bool>>,
    released: Arc<watch::Sender<bool>>,
}

impl Stop {
    pub fn new() -> Self {
        Self { reached: Arc::new(watch::channel(false).0), released: Arc::new(watch::channel(false).0) }
    }

    /// Waits until a call stands here.
    pub async fn reached(&self) {
        let mut seen = self.reached.subscribe();
        let limit = std::time::Duration::from_secs(90);
        tokio::time::timeout(limit, seen.wait_for(|reached| *reached)).await.expect("the call was never made").unwrap();
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    pub(super) async fn stand(&self) {
        self.reached.send_replace(true);
        self.released.subscribe().wait_for(|released| *released).await.unwrap();
    }
}

/// At which calls: of an action, from the n-th on (counted since the fault was planted), so many times.
#[derive(Debug, Clone)]
pub struct At {
    service: &'static str,
    action: &'static str,
    after: Option<&'static str>,
    from: usize,
    times: usize,
}

/// The calls of an action (`*`, or `Describe*`, stand for several), beginning with the next one, for ever.
pub fn at(service: &'static str, action: &'static str) -> At {
    At { service, action, after: None, from: 1, times: usize::MAX }
}

impl At {
    /// Beginning with the n-th call, counted from 1.
    pub fn nth(self, from: usize) -> Self {
        Self { from, ..self }
    }

    /// Only so many calls.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Only the n-th call.
    pub fn only(self, nth: usize) -> Self {
        self.nth(nth).times(1)
    }

    /// Counted only after a call of another action of the same service took effect.
    pub fn after(self, action: &'static str) -> Self {
        Self { after: Some(action), ..self }
    }
}

/// A fault that was planted.
#[derive(Debug)]
pub(super) struct Planted {
    at: At,
    pub(super) fault: Fault,
    seen: usize,
    armed: bool,
}

impl Planted {
    pub(super) fn new(at: At, fault: Fault) -> Self {
        Self { armed: at.after.is_none(), at, fault, seen: 0 }
    }

    /// Whether it concerns this call, which it counts.
    pub(super) fn takes(&mut self, asked: &Asked) -> bool {
        if asked.service != self.at.service && self.at.service != "*" {
            return false;
        }
        if !self.armed || !matches(self.at.action, &asked.action) {
            return false;
        }
        self.seen += 1;
        self.seen >= self.at.from && self.seen - self.at.from < self.at.times
    }

    /// Learns of a call that took effect.
    pub(super) fn learn(&mut self, asked: &Asked) {
        let ours = self.at.service == "*" || asked.service == self.at.service;
        self.armed |= ours && self.at.after == Some(asked.action.as_str());
    }
}

fn matches(pattern: &str, action: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == action, |start| action.starts_with(start))
}
