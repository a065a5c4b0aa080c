//! The identifier of a server of RDS: it is given to another server, and the DNS name that clients know goes with it. The
//! one that has it gets another first, so that between the two nobody has it. Both servers are known by their resource ids,
//! which stay.
//!
//! AWS: "Renaming a DB instance" of the RDS User Guide; `NewDBInstanceIdentifier` of ModifyDBInstance (an instance restarts
//! for it).

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::told::{Reach, Waiting, arn};
use super::{Endpoint, Errand, Leads, Outcome, Route};
use crate::clock;
use crate::plan::RdsServer;
use crate::preflight::{Check, Finding};
use crate::runbook::model::{RdsNames, System};
use crate::systems::aws::rds::{self as driver, Kind, Server};
use crate::systems::aws::{Aws, Call, Permission, Service};
use crate::systems::pair::Heading;
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError, Result};

const PAUSE: Duration = Duration::from_secs(5);
/// A rename that was asked for shows by then; asking again does no harm.
const BEGINS: Duration = Duration::from_secs(60);

/// An identifier that clients know.
pub struct Named {
    reach: Reach,
    world: World,
    spec: RdsNames,
}

/// Who is called what, on one side of the switch: the server that is left, and the one that is moved to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Names {
    from: String,
    to: String,
}

/// One server of the two as the plan means it.
struct Planned<'a> {
    kind: Kind,
    server: &'a RdsServer,
}

impl Named {
    pub(super) fn new(world: &World, name: &str, spec: &RdsNames) -> Self {
        Self { reach: Reach::new(world, name), world: world.clone(), spec: spec.clone() }
    }

    fn kind(&self) -> Kind {
        match self.world.get(&self.spec.from) {
            Some(System::Rds(spec)) if spec.cluster.is_some() => Kind::Cluster,
            _ => Kind::Instance,
        }
    }

    fn identifier(&self, system: &str) -> Result<String> {
        let spec = self.world.rds(system)?;
        let odd = || DriverError::new(system, "look it up", "it names no server", Certainty::NotSent);
        spec.cluster.or(spec.instance).ok_or_else(odd)
    }

    /// The names before the switch, and after it.
    fn names(&self) -> Result<(Names, Names)> {
        let (known, other) = (self.identifier(&self.spec.from)?, self.identifier(&self.spec.to)?);
        let former = self.spec.former.clone().unwrap_or_else(|| format!("{known}-old"));
        Ok((Names { from: known.clone(), to: other }, Names { from: former, to: known }))
    }

    /// The calls that make it so, in their order: nobody gets a name that another still has.
    fn renames(&self, way: Heading) -> Result<[(String, String); 2]> {
        let (before, after) = self.names()?;
        Ok(if way == Heading::Forth {
            [(before.from, after.from), (before.to, after.to)]
        } else {
            [(after.to, before.to), (after.from, before.from)]
        })
    }

    fn planned<'a>(&self, errand: &Errand<'a>, system: &str) -> Result<Planned<'a>> {
        let server = errand.cx.plan.choices.servers.get(system);
        let missing = || {
            let reason = "there was no such server when the plan was made";
            DriverError::new(system, "look it up", reason, Certainty::NotSent)
                .with_hint("make a new plan now that it is there")
        };
        Ok(Planned { kind: self.kind(), server: server.ok_or_else(missing)? })
    }

    /// What both servers are called now.
    async fn now(&self, errand: &Errand<'_>, aws: &Aws) -> Result<(Server, Server)> {
        let from = found(aws, &self.planned(errand, &self.spec.from)?).await?;
        let to = found(aws, &self.planned(errand, &self.spec.to)?).await?;
        Ok((from, to))
    }
}

async fn found(aws: &Aws, planned: &Planned<'_>) -> Result<Server> {
    let RdsServer { resource_id, identifier } = planned.server;
    let found = driver::by_resource(aws, planned.kind, resource_id).await?;
    let gone = || {
        let reason = format!("the {} {identifier} ({resource_id}) is gone", planned.kind.word());
        DriverError::new(aws.system(), "look for it", reason, Certainty::Refused)
    };
    found.ok_or_else(gone)
}

/// Where the name leads on the way from `start` to `end`, by what both servers are called. `half`: the names between the
/// two renames of an errand that has begun.
fn leads(now: &Names, start: &Names, end: &Names, half: Option<&Names>) -> Leads {
    if now == end {
        Leads::To
    } else if now == start || half == Some(now) {
        Leads::From
    } else {
        Leads::Neither(format!("the server that is left is called {}, the other {}", now.from, now.to))
    }
}

#[async_trait]
impl Endpoint for Named {
    fn name(&self) -> &str {
        &self.reach.name
    }

    fn probe(&self) -> Option<&str> {
        self.spec.probe.as_deref()
    }

    fn describe_switch(&self, route: &Route) -> Vec<String> {
        let Ok(renames) = self.renames(route.way) else { return Vec::new() };
        let (operation, key, new) = match self.kind() {
            Kind::Instance => ("ModifyDBInstance", "DBInstanceIdentifier", "NewDBInstanceIdentifier"),
            Kind::Cluster => ("ModifyDBCluster", "DBClusterIdentifier", "NewDBClusterIdentifier"),
        };
        let call = |(is, becomes): &(String, String)| {
            let parameters = json!({ (key): is, (new): becomes, "ApplyImmediately": true });
            Call::new(Service::Rds, operation, parameters).to_string()
        };
        renames.iter().map(call).collect()
    }

    fn clients(&self, _route: &Route) -> Option<String> {
        let name = self.identifier(&self.spec.from).unwrap_or_default();
        Some(format!(
            "both servers restart, and for some minutes nothing is called {name}: connections break, and new ones by that \
             name fail until it is given"
        ))
    }

    fn permissions(&self) -> Vec<Permission> {
        let place = self.reach.place();
        let (change, kind) = match self.kind() {
            Kind::Instance => ("ModifyDBInstance", "db"),
            Kind::Cluster => ("ModifyDBCluster", "cluster"),
        };
        let names = self.names().map(|(before, after)| [before.from, before.to, after.from]).unwrap_or_default();
        let on = |name: &String| {
            let name = if name.is_empty() || name.contains("${") { "*" } else { name };
            Permission::on(Service::Rds, change, arn("rds", &place, &format!("{kind}:{name}")))
        };
        names.iter().map(on).collect()
    }

    async fn findings(&self, _route: &Route) -> Result<Vec<Finding>> {
        let aws = self.reach.look().await?;
        let (_, after) = self.names()?;
        let mut findings = Vec::new();
        for system in [&self.spec.from, &self.spec.to] {
            let server = driver::look(&aws, &self.world.rds(system)?).await?;
            findings.push(ready(&self.reach.name, &server));
        }
        findings.push(self.free(&aws, &after.from).await?);
        Ok(findings)
    }

    async fn observe(&self, errand: &Errand<'_>) -> Result<Leads> {
        let aws = self.reach.aws(errand).await?;
        Ok(self.standing(errand, &aws).await?.0)
    }

    async fn switch(&self, errand: &Errand<'_>) -> Outcome {
        let aws = self.reach.aws(errand).await?;
        let (leads, now) = self.standing(errand, &aws).await?;
        if leads != Leads::From {
            return Err(self.reach.refused(format!("it was changed meanwhile ({leads:?})"), "find out who changes it"));
        }
        errand.note(&self.reach.name, &errand.own("begun"), json!([now.from, now.to]))?;
        let waiting = Waiting::new(self.spec.timeout.0);
        let systems = match errand.route.way {
            Heading::Forth => [&self.spec.from, &self.spec.to],
            Heading::Back => [&self.spec.to, &self.spec.from],
        };
        let renames = self.renames(errand.route.way)?;
        for (system, (_, becomes)) in systems.into_iter().zip(&renames) {
            let planned = self.planned(errand, system)?;
            self.rename(errand, &aws, &planned, becomes, &waiting).await?;
        }
        Ok(json!({ "renamed": renames }) as Value)
    }
}

impl Named {
    async fn standing(&self, errand: &Errand<'_>, aws: &Aws) -> Result<(Leads, Names)> {
        let (before, after) = self.names()?;
        let (from, to) = self.now(errand, aws).await?;
        let now = Names { from: from.identifier, to: to.identifier };
        let begun = errand.latest::<Value>(&self.reach.name, &errand.own("begun")).unwrap_or_default();
        let half = begun.map(|_| Names { from: after.from.clone(), to: before.to.clone() });
        let (start, end) = if errand.route.way == Heading::Forth { (&before, &after) } else { (&after, &before) };
        Ok((leads(&now, start, end, half.as_ref()), now))
    }

    /// Whether nobody has the name that the former server will get.
    async fn free(&self, aws: &Aws, former: &str) -> Result<Finding> {
        let check = Check {
            id: "rds-names",
            system: &self.reach.name,
            why: "A name that another server has is refused, and the run holds between the two renames.",
        };
        let taken = match self.kind() {
            Kind::Instance => driver::instance(aws, former).await.map(drop),
            Kind::Cluster => driver::cluster(aws, former).await.map(drop),
        };
        match taken {
            Ok(()) => {
                let mend = vec!["-- give `former` another value".to_owned()];
                Ok(check.fail("the name of the former server is taken", format!("{former} exists already."), mend))
            }
            Err(error) if error.is_code(driver::NO_INSTANCE) || error.is_code(driver::NO_CLUSTER) => {
                Ok(check.pass("the name of the former server is free", format!("it will be called {former}.")))
            }
            Err(error) => Err(error),
        }
    }

    /// Gives one server its name, and waits until it has it and is available.
    async fn rename(
        &self,
        errand: &Errand<'_>,
        aws: &Aws,
        planned: &Planned<'_>,
        becomes: &str,
        waiting: &Waiting,
    ) -> Outcome<()> {
        let mut asked: Option<std::time::Instant> = None;
        loop {
            let server = found(aws, planned).await?;
            let has = server.identifier == becomes;
            if has && server.is_available() {
                return Ok(());
            }
            if !has && server.is_available() && asked.is_none_or(|at| at.elapsed() >= BEGINS) {
                errand.cx.still_mine()?;
                match driver::rename(aws, planned.kind, &server.identifier, becomes).await {
                    Err(error) if error.certainty != Certainty::Unknown => return Err(error.into()),
                    _ => asked = Some(clock::monotonic()),
                }
            }
            let words = format!(
                "{}: {} is {} and shall be called {becomes}",
                self.reach.name, server.identifier, server.status
            );
            errand.cx.listen(errand.of, &self.reach.name, &[(&server).into()]);
            waiting.rest(errand, PAUSE, &words).await?;
        }
    }
}

/// Whether a server can be renamed now.
fn ready(system: &str, server: &Server) -> Finding {
    let check = Check {
        id: "rds-names",
        system,
        why: "A server that is not available can't be renamed, and the run holds between the two renames.",
    };
    let name = &server.identifier;
    if server.is_available() {
        return check.pass("the server can be renamed", format!("{name} is available."));
    }
    let detail = format!("{name} is {}.", server.status);
    check.fail("the server can't be renamed", detail, vec!["-- wait until it is available".to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(from: &str, to: &str) -> Names {
        Names { from: from.to_owned(), to: to.to_owned() }
    }

    #[test]
    fn a_name_leads_to_the_server_that_has_it() {
        let (before, after) = (names("orders", "orders-2"), names("orders-old", "orders"));
        let half = names("orders-old", "orders-2");
        assert_eq!(leads(&before, &before, &after, None), Leads::From);
        assert_eq!(leads(&after, &before, &after, None), Leads::To);
        assert_eq!(leads(&after, &after, &before, None), Leads::From, "on the way back");
        assert_eq!(leads(&half, &before, &after, Some(&half)), Leads::From, "half of our own way");
        assert!(matches!(leads(&half, &before, &after, None), Leads::Neither(_)), "somebody renamed it");
        assert!(matches!(leads(&names("other", "orders-2"), &before, &after, Some(&half)), Leads::Neither(_)));
    }
}
