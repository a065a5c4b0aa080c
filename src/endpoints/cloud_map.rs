//! An instance of Cloud Map: its attributes are registered anew, those that say where the database is changed, the others
//! as they are.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::ends::ends;
use super::told::{Reach, Waiting};
use super::{Endpoint, Errand, Leads, Outcome, Route};
use crate::preflight::Finding;
use crate::runbook::model::CloudMap;
use crate::systems::Result;
use crate::systems::address::Address;
use crate::systems::aws::cloud_map::{self as driver, Operation};
use crate::systems::aws::{Aws, Call, Permission, Service};
use crate::systems::world::World;

const PAUSE: Duration = Duration::from_secs(2);

type Attributes = BTreeMap<String, String>;

/// An instance that clients discover.
pub struct Registered {
    reach: Reach,
    spec: CloudMap,
}

impl Registered {
    pub(super) fn new(world: &World, name: &str, spec: &CloudMap) -> Self {
        Self { reach: Reach::new(world, name), spec: spec.clone() }
    }

    fn ends(&self, route: &Route) -> Result<(Address, Address)> {
        ends(route, self.spec.from.as_deref(), self.spec.to.as_deref())
    }

    fn says(&self, attributes: &Attributes, side: &Address) -> bool {
        let says = |(key, part): (&String, &crate::runbook::model::Part)| {
            attributes.get(key).is_some_and(|value| part.says(value, side))
        };
        self.spec.attributes.iter().all(says)
    }

    async fn leads(&self, aws: &Aws, route: &Route) -> Result<(Attributes, Leads)> {
        let (from, to) = self.ends(route)?;
        let now = driver::attributes(aws, &self.spec.service, &self.spec.instance).await?;
        let shown = |key: &String| format!("{key} = {}", now.get(key).map_or("nothing", String::as_str));
        let leads = match (self.says(&now, &from), self.says(&now, &to)) {
            (_, true) => Leads::To,
            (true, false) => Leads::From,
            _ => Leads::Neither(self.spec.attributes.keys().map(shown).collect::<Vec<_>>().join(", ")),
        };
        Ok((now, leads))
    }

    /// What the attributes will be.
    fn changed(&self, now: &Attributes, to: &Address) -> Attributes {
        let mut changed = now.clone();
        changed.extend(self.spec.attributes.iter().map(|(key, part)| (key.clone(), part.of(to))));
        changed
    }
}

#[async_trait]
impl Endpoint for Registered {
    fn name(&self) -> &str {
        &self.reach.name
    }

    fn probe(&self) -> Option<&str> {
        self.spec.probe.as_deref()
    }

    fn describe_switch(&self, route: &Route) -> Vec<String> {
        let Ok((_, to)) = self.ends(route) else { return Vec::new() };
        let call = |operation, parameters| Call::new(Service::ServiceDiscovery, operation, parameters).to_string();
        let (service, instance) = (&self.spec.service, &self.spec.instance);
        let attributes = self.changed(&Attributes::new(), &to);
        vec![
            call("GetInstance", json!({ "ServiceId": service, "InstanceId": instance })),
            call(
                "RegisterInstance",
                json!({ "ServiceId": service, "InstanceId": instance, "CreatorRequestId": "NEW",
                        "Attributes": attributes, "(and)": "its other attributes as they are" }),
            ),
            call("GetOperation", json!({ "OperationId": "OF THE REGISTRATION" })),
        ]
    }

    fn clients(&self, _route: &Route) -> Option<String> {
        let name = &self.reach.name;
        Some(format!("those that look {name} up follow at their next look; through DNS, when its TTL has passed"))
    }

    fn permissions(&self) -> Vec<Permission> {
        ["GetInstance", "RegisterInstance", "GetOperation"]
            .map(|operation| Permission::anywhere(Service::ServiceDiscovery, operation))
            .into()
    }

    async fn findings(&self, route: &Route) -> Result<Vec<Finding>> {
        let aws = self.reach.look().await?;
        let (_, leads) = self.leads(&aws, route).await?;
        Ok(vec![self.reach.route(&leads)])
    }

    async fn observe(&self, errand: &Errand<'_>) -> Result<Leads> {
        let aws = self.reach.aws(errand).await?;
        Ok(self.leads(&aws, errand.route).await?.1)
    }

    async fn switch(&self, errand: &Errand<'_>) -> Outcome {
        let aws = self.reach.aws(errand).await?;
        let (_, to) = self.ends(errand.route)?;
        let (now, leads) = self.leads(&aws, errand.route).await?;
        if leads != Leads::From {
            return Err(self.reach.refused(format!("it was changed meanwhile ({leads:?})"), "find out who changes it"));
        }
        let name = &self.reach.name;
        let token = errand.token(name, &json!(now).to_string());
        errand.note(name, "before", json!(now))?;
        errand.cx.still_mine()?;
        let changed = self.changed(&now, &to);
        let (service, instance) = (&self.spec.service, &self.spec.instance);
        let operation = driver::register(&aws, service, instance, &changed, &token).await?;
        if let Some(operation) = operation {
            errand.note(name, "operation", operation.clone())?;
            self.registered(errand, &aws, &operation).await?;
        }
        let (_, leads) = self.leads(&aws, errand.route).await?;
        if leads != Leads::To {
            return Err(self.reach.in_doubt(format!("it was registered, and reads otherwise ({leads:?})")));
        }
        Ok(json!({ "before": now, "now": changed }) as Value)
    }
}

impl Registered {
    async fn registered(&self, errand: &Errand<'_>, aws: &Aws, operation: &str) -> Outcome<()> {
        let waiting = Waiting::new(self.spec.timeout.0);
        loop {
            match driver::operation(aws, operation).await? {
                Operation::Done => return Ok(()),
                Operation::Failed(reason) => {
                    let message = format!("the registration failed: {reason}");
                    return Err(self.reach.refused(message, "`pointsman retry` tries again"));
                }
                Operation::Pending => {}
            }
            waiting.rest(errand, PAUSE, &format!("{}: the registration runs", self.reach.name)).await?;
        }
    }
}
