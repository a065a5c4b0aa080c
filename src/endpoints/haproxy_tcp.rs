//! HAProxy in TCP mode: holds new connections, leads them to the other database, and ends those that are open. Its
//! clients see an error once and connect anew.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Endpoint, Errand, Leads, Outcome, Route};
use crate::journal::FailureKind;
use crate::runbook::model::HaproxyTcp;
use crate::steps::StepError;
use crate::systems::haproxy::{Front, FrontNow, Open};
use crate::systems::pair::Heading;
use crate::systems::{Certainty, DriverError, Result};

/// A load balancer of connections with all its nodes.
pub struct Balanced {
    front: Front,
    probe: Option<String>,
}

impl Balanced {
    pub(super) fn open(name: &str, spec: &HaproxyTcp) -> Self {
        Self { front: Front::new(name, spec), probe: spec.probe.clone() }
    }

    /// A node that leads elsewhere than to this database.
    fn astray<'a>(&self, nodes: &'a [FrontNow], meant: Open) -> Option<&'a FrontNow> {
        nodes.iter().find(|node| self.front.open(node) != meant)
    }
}

/// Which database is moved to.
fn arriving(route: &Route) -> Open {
    match route.way {
        Heading::Forth => Open::Target,
        Heading::Back => Open::Source,
    }
}

#[async_trait]
impl Endpoint for Balanced {
    fn name(&self) -> &str {
        self.front.name()
    }

    fn probe(&self) -> Option<&str> {
        self.probe.as_deref()
    }

    fn describe_hold(&self) -> Vec<String> {
        let line = |line| format!("{line}  -- only HAProxy that can take it back: 2.6.20, 2.8.12, 3.0.6, 3.1 or newer");
        self.front.describe_hold().into_iter().map(line).collect()
    }

    fn describe_release(&self) -> Vec<String> {
        self.front.describe_release()
    }

    fn describe_switch(&self, route: &Route) -> Vec<String> {
        self.front.describe_lead(arriving(route))
    }

    fn clients(&self, _route: &Route) -> Option<String> {
        Some("open connections are ended, so that each client sees an error once; new connections wait".into())
    }

    /// Remembers the limits that a hold takes away.
    async fn warm(&self) -> Result<()> {
        self.front.look().await.map(drop)
    }

    async fn prepare(&self, route: &Route) -> Outcome<()> {
        let nodes = self.front.look().await?;
        let refused = |message: String, hint: &str| Err(StepError::told(FailureKind::Refused, message, Some(hint)));
        if let Some(node) = self.astray(&nodes, arriving(route).opposite()) {
            let message = format!(
                "{} ({}) does not lead to {} alone: {}",
                self.name(),
                node.node,
                route.from()?.name,
                node.words()
            );
            return refused(message, "one database is `ready`, the other one in `maint`: set server … state …");
        }
        if let Some(node) = nodes.iter().find(|node| node.limit == 0) {
            let message =
                format!("{} ({}) lets no new connection in: its frontend's maxconn is 0", self.name(), node.node);
            return refused(message, "raise it, or find out who lowered it: set maxconn frontend …");
        }
        Ok(())
    }

    async fn hold(&self, deadline: Duration) -> Result<()> {
        match tokio::time::timeout(deadline, self.front.hold()).await {
            Ok(held) => held,
            Err(_) => {
                let reason = format!("not done within {deadline:?}");
                Err(DriverError::new(self.name(), "hold new connections", reason, Certainty::Unknown))
            }
        }
    }

    async fn release(&self) -> Result<()> {
        self.front.release().await
    }

    async fn observe(&self, errand: &Errand<'_>) -> Result<Leads> {
        let nodes = self.front.look().await?;
        let to = arriving(errand.route);
        Ok(if self.astray(&nodes, to).is_none() {
            Leads::To
        } else if self.astray(&nodes, to.opposite()).is_none() {
            Leads::From
        } else {
            Leads::Neither(
                nodes.iter().map(|node| format!("{}: {}", node.node, node.words())).collect::<Vec<_>>().join("; "),
            )
        })
    }

    async fn switch(&self, errand: &Errand<'_>) -> Outcome {
        let to = arriving(errand.route);
        let nodes = self.front.lead(to).await?;
        let left: u64 = nodes.iter().map(|node| self.front.connections(node, to.opposite())).sum();
        Ok(json!({ "connections_left": left }) as Value)
    }
}
