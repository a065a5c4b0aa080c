//! What a cutover asks of an endpoint: a thing that clients go through, or read, to find their database. The steps keep
//! the order, the intents and the budget; everything that only one kind of endpoint knows lies behind [`Endpoint`].
//! One file a kind; adding one is a file, a line in [`open`] and a line in `System::endpoint`.

mod cloud_map;
mod content;
mod ecs;
mod ends;
mod haproxy_tcp;
mod pgbouncer;
mod rds_proxy;
mod route;
mod route53;
mod secrets_manager;
mod ssm_parameter;
mod told;

pub use route::{Route, Side};
pub(crate) use told::arn;
pub use told::{token, unread};

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::preflight::Finding;
use crate::runbook::model::{Manner, System};
use crate::steps::StepError;
use crate::systems::aws::Permission;
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError, Result};

/// What a step gives.
pub type Outcome<T = Value> = std::result::Result<T, StepError>;

/// Where an endpoint leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To the side that is left.
    From,
    /// To the side that is moved to.
    To,
    /// Somewhere else, or its parts disagree: in words.
    Neither(String),
    /// It can't be seen, and why.
    Unknown(String),
}

/// What an endpoint is moved for: the run, the step, and from where to where.
pub struct Errand<'a> {
    /// What the step has in its hands.
    pub cx: &'a Context,
    /// The run so far.
    pub state: &'a RunState,
    /// The act that moves it.
    pub of: &'a Move,
    /// From where to where.
    pub route: &'a Route,
}

/// One endpoint. Every effect can be repeated, and done by a second process when the first one died half-way.
#[async_trait]
pub trait Endpoint: Send + Sync {
    /// Name of the system in the runbook.
    fn name(&self) -> &str;

    /// URL as an application dials it, where a canary can be written through it.
    fn probe(&self) -> Option<&str> {
        None
    }

    /// What [`Endpoint::hold`] sends.
    fn describe_hold(&self) -> Vec<String> {
        Vec::new()
    }

    /// What [`Endpoint::release`] sends.
    fn describe_release(&self) -> Vec<String> {
        Vec::new()
    }

    /// What [`Endpoint::switch`] sends.
    fn describe_switch(&self, route: &Route) -> Vec<String>;

    /// What its clients notice of a switch and of the way back, as the end of a sentence; `None` for nothing.
    fn clients(&self, _route: &Route) -> Option<String> {
        None
    }

    /// What a switch and the way back ask of IAM.
    fn permissions(&self) -> Vec<Permission> {
        Vec::new()
    }

    /// What could go wrong with it, looked at beforehand; reads only. For those outside of a window.
    async fn findings(&self, _route: &Route) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    /// Opens every connection that a window needs.
    async fn warm(&self) -> Result<()> {
        Ok(())
    }

    /// Before anything is held: it leads to the side that is left, is free to be moved, and its change lies ready.
    /// Changes nothing that a client could notice.
    async fn prepare(&self, _route: &Route) -> Outcome<()> {
        Ok(())
    }

    /// Holds its clients within a deadline; what is not granted by then is taken back before the error is given.
    async fn hold(&self, _deadline: Duration) -> Result<()> {
        Ok(())
    }

    /// Lets its clients go on, wherever it leads now.
    async fn release(&self) -> Result<()> {
        Ok(())
    }

    /// Looks where it leads.
    async fn observe(&self, errand: &Errand<'_>) -> Result<Leads>;

    /// Leads it to the side that is moved to, and proves that it does. Only from the side that is left: where it leads
    /// somewhere else, somebody else has moved it, and it is left alone.
    async fn switch(&self, errand: &Errand<'_>) -> Outcome;

    /// After a switch outside of a window: waits until what it says has reached its clients, as far as that can be known
    /// of it. Says what was seen.
    async fn settle(&self, _errand: &Errand<'_>) -> Outcome<Option<String>> {
        Ok(None)
    }

    /// Waits, for a moment, until those whom it held have gone on: what we send ourselves does not stand among them.
    async fn clients_first(&self) {}

    /// After a switch: clients that go through it arrive. Says what was seen.
    async fn clients_follow(&self, cx: &Context, arriving: &str) -> Outcome<String> {
        let name = self.name();
        let Some(url) = self.probe() else { return Ok(format!("{name} has no `probe` to write through")) };
        self.clients_first().await;
        cx.engine().canary(cx, name, url, arriving).await.map_err(|error| {
            let failure = error.into_failure();
            let message = failure.message;
            let message = format!("writes go to {arriving}, but a canary through {name} was not seen there: {message}");
            StepError::told(failure.kind, message, failure.hint.as_deref())
        })?;
        Ok(format!("a write through {name} arrived at {arriving}"))
    }
}

/// The endpoint of a plan by its name; nothing is connected yet. The registry.
pub fn open(world: &World, name: &str) -> Result<Arc<dyn Endpoint>> {
    match world.named(name)?.as_ref() {
        Some(System::Pgbouncer(_)) => Ok(Arc::new(pgbouncer::Pooled::open(name, &world.pgbouncer(name)?)?)),
        Some(System::HaproxyTcp(_)) => Ok(Arc::new(haproxy_tcp::Balanced::open(name, &world.haproxy_tcp(name)?))),
        Some(System::Route53(spec)) => Ok(Arc::new(route53::Record::new(world, name, spec))),
        Some(System::SecretsManager(spec)) => Ok(Arc::new(secrets_manager::Secrets::new(world, name, spec))),
        Some(System::SsmParameter(spec)) => Ok(Arc::new(ssm_parameter::Parameter::new(world, name, spec))),
        Some(System::Ecs(spec)) => Ok(Arc::new(ecs::Rolled::new(world, name, spec))),
        Some(System::CloudMap(spec)) => Ok(Arc::new(cloud_map::Registered::new(world, name, spec))),
        Some(System::RdsProxy(spec)) => Ok(Arc::new(rds_proxy::Proxied::new(world, name, spec))),
        other => {
            let reason = match other {
                Some(system) => format!("a {} is no endpoint", system.kind()),
                None => "the plan has no system of this name".to_owned(),
            };
            Err(DriverError::new(name, "look it up", reason, Certainty::NotSent))
        }
    }
}

/// How an endpoint of a plan takes part in a cutover.
#[must_use]
pub fn manner(world: &World, name: &str) -> Option<Manner> {
    world.get(name).and_then(System::endpoint)
}
