//! PgBouncer: holds its clients without an error (`PAUSE`), is pointed elsewhere (a file, a program, DNS), and lets them
//! go (`RESUME`).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Endpoint, Errand, Leads, Outcome, Route, Side};
use crate::clock;
use crate::journal::FailureKind;
use crate::runbook::model::Pgbouncer;
use crate::steps::StepError;
use crate::systems::Result;
use crate::systems::address::Address;
use crate::systems::pgbouncer::{Entry, Pooler, Switch, needs_kill};

/// How long those who waited in it go before us.
const CLIENTS_FIRST: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(25);

/// A pooler with all its instances.
pub struct Pooled {
    pooler: Pooler,
    probe: Option<String>,
    /// The change that was made ready before the window.
    ready: Mutex<Option<Switch>>,
}

impl Pooled {
    pub(super) fn open(name: &str, spec: &Pgbouncer) -> Result<Self> {
        let pooler = Pooler::open(name, spec)?;
        Ok(Self { pooler, probe: spec.probe.clone(), ready: Mutex::default() })
    }

    fn keep(&self, switch: Switch) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(switch);
    }

    /// The change that was made ready, once, if it leads to this address.
    fn take(&self, address: &Address) -> Option<Switch> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        ready.filter(|switch| switch.address() == address)
    }
}

#[async_trait]
impl Endpoint for Pooled {
    fn name(&self) -> &str {
        self.pooler.name()
    }

    fn probe(&self) -> Option<&str> {
        self.probe.as_deref()
    }

    fn describe_hold(&self) -> Vec<String> {
        self.pooler.describe_pause()
    }

    fn describe_release(&self) -> Vec<String> {
        self.pooler.describe_open()
    }

    fn describe_switch(&self, route: &Route) -> Vec<String> {
        let Ok(to) = route.to() else { return Vec::new() };
        let mut lines = self.pooler.describe_switch(&to.address);
        if may_kill(route) {
            let kill = self.pooler.describe_kill().into_iter();
            lines.extend(kill.map(|line| format!("{line}  -- only PgBouncer newer than 1.18")));
        }
        lines
    }

    fn clients(&self, route: &Route) -> Option<String> {
        let words = "going back, a PgBouncer newer than 1.18 disconnects each of its clients once (KILL), between \
                     transactions: it can't carry them to a server older than 16";
        may_kill(&route.reversed()).then(|| words.to_owned())
    }

    async fn warm(&self) -> Result<()> {
        self.pooler.warm().await
    }

    async fn prepare(&self, route: &Route) -> Outcome<()> {
        let (from, to) = (route.from()?, route.to()?);
        for (instance, entry) in self.pooler.instances().iter().zip(self.pooler.entries().await?) {
            fit(instance.name(), &entry, from)?;
        }
        self.pooler.learn_versions().await?;
        self.keep(self.pooler.prepare(&to.address)?);
        Ok(())
    }

    async fn hold(&self, deadline: Duration) -> Result<()> {
        self.pooler.pause(deadline).await
    }

    /// A login that the pause or the fence made fail must not keep them waiting any longer.
    async fn release(&self) -> Result<()> {
        self.pooler.open_doors().await
    }

    /// It logs in to the other side for one client after the other, and works out a password each time; a canary is one
    /// more.
    async fn clients_first(&self) {
        let began = clock::monotonic();
        while began.elapsed() < CLIENTS_FIRST {
            tokio::time::sleep(LOOK).await;
            if !matches!(self.pooler.clients_waiting().await, Ok(1..)) {
                return;
            }
        }
    }

    async fn observe(&self, errand: &Errand<'_>) -> Result<Leads> {
        let (from, to) = (errand.route.from()?, errand.route.to()?);
        let entries = self.pooler.entries().await?;
        let all = |side: &Side| entries.iter().all(|entry| leads_to(entry, side));
        let words = || entries.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Ok(match (all(from), all(to)) {
            (_, true) => Leads::To,
            (true, false) => Leads::From,
            (false, false) => Leads::Neither(words()),
        })
    }

    async fn switch(&self, errand: &Errand<'_>) -> Outcome {
        let address = &errand.route.to()?.address;
        let switch = match self.take(address) {
            Some(switch) => switch,
            None => self.pooler.prepare(address)?,
        };
        self.pooler.switch(switch).await?;
        let (from, to) = majors(errand.route);
        if from > to && self.pooler.needs_kill(from, to).await? {
            self.pooler.kill().await?;
        }
        Ok(json!({}) as Value)
    }
}

/// It leads to the side that is left and nobody has paused it.
fn fit(instance: &str, entry: &Entry, from: &Side) -> Outcome<()> {
    let refused = |message: String, hint: &str| Err(StepError::told(FailureKind::Refused, message, Some(hint)));
    if entry.paused {
        let message = format!("{instance} is paused already: its clients wait");
        return refused(message, "RESUME it, or find out who paused it");
    }
    if !leads_to(entry, from) {
        let message = format!("{instance} does not lead to {} ({}): {entry}", from.name, from.address);
        return refused(message, "give the database its `address` as the pooler knows it");
    }
    Ok(())
}

fn leads_to(entry: &Entry, side: &Side) -> bool {
    entry.host.as_deref() == Some(side.address.host.as_str()) && entry.port == side.address.port
}

/// The major versions of the server that is left and of the one that is moved to.
fn majors(route: &Route) -> (u32, u32) {
    let major = |side: Result<&Side>| side.map_or(0, |side| u32::try_from(side.version / 10_000).unwrap_or(0));
    (major(route.from()), major(route.to()))
}

/// Whether a PgBouncer that tracks parameters has to drop its clients on this way; see `needs_kill`.
fn may_kill(route: &Route) -> bool {
    let (from, to) = majors(route);
    needs_kill((u32::MAX, 0), from, to)
}
