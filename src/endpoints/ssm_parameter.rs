//! A parameter: written anew with another host and port in it, and nothing else changed. Systems Manager has no
//! compare-and-swap; a write of somebody else that came between is seen by the version, and told.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::content::Content;
use super::ends::ends;
use super::told::{Reach, arn};
use super::{Endpoint, Errand, Leads, Outcome, Route};
use crate::preflight::{Check, Finding};
use crate::runbook::model::SsmParameter;
use crate::secret::Secret;
use crate::systems::Result;
use crate::systems::address::Address;
use crate::systems::aws::parameters::{self as driver, Stored};
use crate::systems::aws::{Aws, Call, Permission, Service};
use crate::systems::world::World;

/// A parameter that applications read.
pub struct Parameter {
    reach: Reach,
    spec: SsmParameter,
}

impl Parameter {
    pub(super) fn new(world: &World, name: &str, spec: &SsmParameter) -> Self {
        Self { reach: Reach::new(world, name), spec: spec.clone() }
    }

    fn content(&self) -> Content<'_> {
        Content { keys: &self.spec.keys, text: self.spec.text }
    }

    fn ends(&self, route: &Route) -> Result<(Address, Address)> {
        ends(route, self.spec.from.as_deref(), self.spec.to.as_deref())
    }

    async fn leads(&self, aws: &Aws, route: &Route) -> Result<(Stored, Leads)> {
        let (from, to) = self.ends(route)?;
        let now = driver::read(aws, &self.spec.parameter).await?;
        let leads = self.content().leads(now.value.expose(), &from, &to);
        Ok((now, leads))
    }
}

#[async_trait]
impl Endpoint for Parameter {
    fn name(&self) -> &str {
        &self.reach.name
    }

    fn describe_switch(&self, route: &Route) -> Vec<String> {
        let Ok((_, to)) = self.ends(route) else { return Vec::new() };
        let name = &self.spec.parameter;
        let value = format!("(the same, with {})", self.content().words(&to));
        let call = |operation, parameters| Call::new(Service::Ssm, operation, parameters).to_string();
        vec![
            call("GetParameter", json!({ "Name": name, "WithDecryption": true })),
            call(
                "DescribeParameters",
                json!({ "ParameterFilters": [{ "Key": "Name", "Option": "Equals", "Values": [name] }] }),
            ),
            call("PutParameter", json!({ "Name": name, "Value": value, "Overwrite": true })),
        ]
    }

    fn clients(&self, _route: &Route) -> Option<String> {
        let name = &self.reach.name;
        Some(format!("those that read {name} only when they start follow when they are started again"))
    }

    fn permissions(&self) -> Vec<Permission> {
        let name = self.spec.parameter.trim_start_matches('/');
        let resource = arn("ssm", &self.reach.place(), &format!("parameter/{name}"));
        vec![
            Permission::on(Service::Ssm, "GetParameter", resource.clone()),
            Permission::on(Service::Ssm, "PutParameter", resource),
            Permission::anywhere(Service::Ssm, "DescribeParameters"),
        ]
    }

    async fn findings(&self, route: &Route) -> Result<Vec<Finding>> {
        let aws = self.reach.look().await?;
        let (_, leads) = self.leads(&aws, route).await?;
        let check = Check {
            id: "parameter-policies",
            system: &self.reach.name,
            why: "A write drops the policies of a parameter, so that the switch refuses one that has any.",
        };
        let policies = if driver::manner(&aws, &self.spec.parameter).await?.policies {
            check.fail("the parameter has policies", "such as an expiry.", vec!["-- remove them".to_owned()])
        } else {
            check.pass("the parameter has no policies", "nothing would be lost by a write.")
        };
        Ok(vec![self.reach.route(&leads), policies])
    }

    async fn observe(&self, errand: &Errand<'_>) -> Result<Leads> {
        let aws = self.reach.aws(errand).await?;
        Ok(self.leads(&aws, errand.route).await?.1)
    }

    async fn switch(&self, errand: &Errand<'_>) -> Outcome {
        let aws = self.reach.aws(errand).await?;
        let (from, to) = self.ends(errand.route)?;
        let (was, leads) = self.leads(&aws, errand.route).await?;
        if leads != Leads::From {
            return Err(self.reach.refused(format!("it was changed meanwhile ({leads:?})"), "find out who changes it"));
        }
        let manner = driver::manner(&aws, &self.spec.parameter).await?;
        if manner.policies {
            let hint = "remove the policies, or change it by hand and `pointsman skip`";
            return Err(self.reach.refused("it has policies (an expiry), which a write would drop", hint));
        }
        let led = self.content().led(was.value.expose(), &from, &to);
        let value = led.map(Secret::new).map_err(|reason| self.reach.refused(reason, "look at it by hand"))?;
        errand.note(&self.reach.name, "before", was.version)?;
        errand.cx.still_mine()?;
        let written = driver::write(&aws, &self.spec.parameter, &was, &manner, &value).await?;
        if written > was.version + 1 {
            let message = format!(
                "version {} was read and {written} written: somebody else wrote between, and that is overwritten now \
                 (its history has it)",
                was.version
            );
            return Err(self.reach.refused(message, "look at its history; `pointsman retry` takes it as it stands"));
        }
        let (read, leads) = self.leads(&aws, errand.route).await?;
        if leads != Leads::To {
            return Err(self
                .reach
                .in_doubt(format!("version {written} was written, and {} reads otherwise", read.version)));
        }
        Ok(json!({ "version": written, "before": was.version }) as Value)
    }
}
