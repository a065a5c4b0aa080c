//! An RDS Proxy: the database that is left is taken out of its target group, and the other one is put in. A target group
//! has one database only, so that clients of the proxy wait between the two, and those that wait for longer than its
//! borrow timeout see an error.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::told::{Reach, Waiting, arn};
use super::{Endpoint, Errand, Leads, Outcome, Route};
use crate::preflight::{Check, Finding};
use crate::runbook::model::{Rds, RdsProxy, System};
use crate::systems::aws::rds::Kind;
use crate::systems::aws::rds::proxy::{self as driver, Health, NOT_REGISTERED, Proxy, REGISTERED, Target};
use crate::systems::aws::{Aws, Call, Permission, Service};
use crate::systems::pair::Heading;
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError, Result};

const PAUSE: Duration = Duration::from_secs(5);
/// A change of an answer that was lost shows by then.
const SETTLES: Duration = Duration::from_secs(60);

/// A proxy that clients connect to.
pub struct Proxied {
    reach: Reach,
    world: World,
    spec: RdsProxy,
}

/// A database that is registered, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    kind: Kind,
    identifier: String,
}

impl End {
    fn of(spec: &Rds) -> Option<Self> {
        let cluster = spec.cluster.clone().map(|identifier| Self { kind: Kind::Cluster, identifier });
        cluster.or_else(|| spec.instance.clone().map(|identifier| Self { kind: Kind::Instance, identifier }))
    }

    fn is(&self, target: &Target) -> bool {
        // Identifiers are no case-sensitive names; AWS answers in lower case.
        target.kind == self.kind && target.identifier.eq_ignore_ascii_case(&self.identifier)
    }

    fn key(&self) -> &'static str {
        match self.kind {
            Kind::Instance => "DBInstanceIdentifiers",
            Kind::Cluster => "DBClusterIdentifiers",
        }
    }
}

impl Proxied {
    pub(super) fn new(world: &World, name: &str, spec: &RdsProxy) -> Self {
        Self { reach: Reach::new(world, name), world: world.clone(), spec: spec.clone() }
    }

    /// What is left, and what is moved to.
    fn ends(&self, way: Heading) -> Result<(End, End)> {
        let end = |name: &str| {
            let odd = || DriverError::new(name, "look it up", "it names no server", Certainty::NotSent);
            End::of(&self.world.rds(name)?).ok_or_else(odd)
        };
        let (from, to) = (end(&self.spec.from)?, end(&self.spec.to)?);
        Ok(if way == Heading::Forth { (from, to) } else { (to, from) })
    }

    async fn targets(&self, aws: &Aws) -> Result<Vec<Target>> {
        driver::targets(aws, &self.spec.proxy, &self.spec.target_group).await
    }

    fn call(&self, operation: &'static str, end: &End) -> String {
        let (proxy, group) = (&self.spec.proxy, &self.spec.target_group);
        let parameters = json!({ "DBProxyName": proxy, "TargetGroupName": group, (end.key()): [end.identifier] });
        Call::new(Service::Rds, operation, parameters).to_string()
    }
}

/// Where a proxy leads by what is registered. `begun`: this act has begun to change it, so that nothing being registered
/// is half of our own way.
fn leads(targets: &[Target], from: &End, to: &End, begun: bool) -> Leads {
    match targets {
        [one] if to.is(one) => Leads::To,
        [one] if from.is(one) => Leads::From,
        [] if begun => Leads::From,
        [] => Leads::Neither("no database is registered with it".to_owned()),
        several => {
            let names: Vec<String> =
                several.iter().map(|target| format!("{} {}", target.kind.word(), target.identifier)).collect();
            Leads::Neither(format!("it leads to {}", names.join(", ")))
        }
    }
}

#[async_trait]
impl Endpoint for Proxied {
    fn name(&self) -> &str {
        &self.reach.name
    }

    fn probe(&self) -> Option<&str> {
        self.spec.probe.as_deref()
    }

    fn describe_switch(&self, route: &Route) -> Vec<String> {
        let Ok((from, to)) = self.ends(route.way) else { return Vec::new() };
        let look = json!({ "DBProxyName": self.spec.proxy, "TargetGroupName": self.spec.target_group });
        let look = Call::new(Service::Rds, "DescribeDBProxyTargets", look).to_string();
        vec![look.clone(), self.call("DeregisterDBProxyTargets", &from), self.call("RegisterDBProxyTargets", &to), look]
    }

    fn clients(&self, _route: &Route) -> Option<String> {
        let name = &self.reach.name;
        Some(format!(
            "those of {name} are disconnected, and wait until the proxy is ready for the other database; \
             those that wait for longer than its borrow timeout see an error"
        ))
    }

    fn permissions(&self) -> Vec<Permission> {
        let place = self.reach.place();
        // The ARN of a proxy has an id in it that only AWS knows: `db-proxy:prx-…`.
        let mut resources = vec![arn("rds", &place, "db-proxy:*"), arn("rds", &place, "target-group:*")];
        for name in [&self.spec.from, &self.spec.to] {
            let Some(System::Rds(spec)) = self.world.get(name) else { continue };
            let Some(end) = End::of(spec) else { continue };
            let kind = if end.kind == Kind::Cluster { "cluster" } else { "db" };
            let named = if end.identifier.contains("${") { "*" } else { &end.identifier };
            resources.push(arn("rds", &place, &format!("{kind}:{named}")));
        }
        let change = |operation: &str| {
            let on = |resource: &String| Permission::on(Service::Rds, operation, resource.clone());
            resources.iter().map(on).collect::<Vec<_>>()
        };
        let reads = ["DescribeDBProxies", "DescribeDBProxyTargetGroups", "DescribeDBProxyTargets"];
        let reads = reads.map(|operation| Permission::anywhere(Service::Rds, operation));
        [reads.to_vec(), change("RegisterDBProxyTargets"), change("DeregisterDBProxyTargets")].concat()
    }

    async fn findings(&self, route: &Route) -> Result<Vec<Finding>> {
        let aws = self.reach.look().await?;
        let (from, to) = self.ends(route.way)?;
        let found = driver::proxy(&aws, &self.spec.proxy, &self.spec.target_group).await?;
        let targets = self.targets(&aws).await?;
        let way = self.reach.route(&leads(&targets, &from, &to, false));
        Ok(vec![way, ready(&self.reach.name, &self.spec.proxy, &found)])
    }

    async fn observe(&self, errand: &Errand<'_>) -> Result<Leads> {
        let aws = self.reach.aws(errand).await?;
        let (from, to) = self.ends(errand.route.way)?;
        let begun = self.begun(errand).unwrap_or_default();
        Ok(leads(&self.targets(&aws).await?, &from, &to, begun))
    }

    async fn switch(&self, errand: &Errand<'_>) -> Outcome {
        let aws = self.reach.aws(errand).await?;
        let (from, to) = self.ends(errand.route.way)?;
        let targets = self.targets(&aws).await?;
        let before = leads(&targets, &from, &to, self.begun(errand)?);
        if before != Leads::From {
            return Err(self
                .reach
                .refused(format!("it was changed meanwhile ({before:?})"), "find out who changes it"));
        }
        errand.note(&self.reach.name, &errand.own("begun"), true)?;
        if !targets.is_empty() {
            errand.cx.still_mine()?;
            self.change(errand, &aws, &from, false).await?;
        }
        errand.cx.still_mine()?;
        self.change(errand, &aws, &to, true).await?;
        Ok(json!({ "before": from.identifier, "now": to.identifier }) as Value)
    }

    async fn settle(&self, errand: &Errand<'_>) -> Outcome<Option<String>> {
        let aws = self.reach.aws(errand).await?;
        let (_, to) = self.ends(errand.route.way)?;
        let waiting = Waiting::new(self.spec.timeout.0);
        loop {
            let found = self.targets(&aws).await?;
            let words = match found.iter().find(|target| to.is(target)).map(|target| &target.health) {
                Some(Health::Available) => {
                    return Ok(Some(format!("{} is ready for {}", self.reach.name, to.identifier)));
                }
                Some(Health::Registering) => format!("it makes itself ready for {}", to.identifier),
                Some(Health::Unavailable(reason, words)) => {
                    format!("it does not get through to {}: {reason} {words} ({})", to.identifier, meaning(reason))
                }
                None => return Err(self.reach.in_doubt(format!("{} is not registered any more", to.identifier))),
            };
            waiting.rest(errand, PAUSE, &format!("{}: {words}", self.reach.name)).await?;
        }
    }
}

impl Proxied {
    fn begun(&self, errand: &Errand<'_>) -> Outcome<bool> {
        Ok(errand.latest(&self.reach.name, &errand.own("begun"))?.unwrap_or_default())
    }

    /// Puts a database in or takes it out, and waits until that is read back. One that is in, or out, already is what was
    /// wanted: an answer before may have been lost.
    async fn change(&self, errand: &Errand<'_>, aws: &Aws, end: &End, put: bool) -> Outcome<()> {
        let (proxy, group, identifier) = (&self.spec.proxy, &self.spec.target_group, &end.identifier);
        let sent = if put {
            driver::register(aws, proxy, group, end.kind, identifier).await
        } else {
            driver::deregister(aws, proxy, group, end.kind, identifier).await
        };
        let fulfilled = if put { REGISTERED } else { NOT_REGISTERED };
        match sent {
            Err(error) if !error.is_code(fulfilled) && error.certainty != Certainty::Unknown => {
                return Err(error.into());
            }
            _ => {}
        }
        let waiting = Waiting::new(SETTLES);
        loop {
            let found = self.targets(aws).await?;
            if found.iter().any(|target| end.is(target)) == put {
                return Ok(());
            }
            let word = if put { "registered" } else { "taken out" };
            let words = format!("{}: {identifier} is not {word} yet", self.reach.name);
            waiting.rest(errand, Duration::from_secs(2), &words).await?;
        }
    }
}

/// Whether the proxy can be led at all.
fn ready(system: &str, name: &str, proxy: &Proxy) -> Finding {
    let check = Check {
        id: "rds-proxy",
        system,
        why: "While its database is exchanged, clients of a proxy wait for as long as its borrow timeout; then they see \
              an error.",
    };
    if proxy.status != "available" {
        let detail = format!("it is {}.", proxy.status);
        return check.fail("the proxy is not available", detail, vec!["-- wait until it is".to_owned()]);
    }
    let Some(seconds) = proxy.borrow_seconds else {
        return check.warn(
            "it is not known how long its clients wait",
            "its target group tells no borrow timeout.",
            vec!["-- look at it with `aws rds describe-db-proxy-target-groups`".to_owned()],
        );
    };
    let detail = format!("its clients wait up to {seconds} s for a connection.");
    if seconds >= 120 {
        return check.pass("the proxy is available", detail);
    }
    let mend = format!(
        "aws rds modify-db-proxy-target-group --db-proxy-name {name} --target-group-name default \
         --connection-pool-config ConnectionBorrowTimeout=300"
    );
    check.warn("its clients may wait too short", detail, vec![mend])
}

/// What a person does about a reason of `TargetHealth`.
fn meaning(reason: &str) -> &'static str {
    match reason {
        "AUTH_FAILURE" => "the secrets of the proxy don't fit the users of this database",
        "UNREACHABLE" | "CONNECTION_FAILED" => {
            "security groups: those of the database must let the proxy in; or it is not up"
        }
        "INVALID_REPLICATION_STATE" => "it is a replica that can't be used",
        _ => "see the log of the proxy",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Level;

    fn end(name: &str) -> End {
        End { kind: Kind::Instance, identifier: name.to_owned() }
    }

    fn target(name: &str) -> Target {
        Target { kind: Kind::Instance, identifier: name.to_owned(), health: Health::Registering }
    }

    #[test]
    fn a_proxy_leads_to_what_is_registered_with_it() {
        let (from, to) = (end("Old"), end("new"));
        let of = |targets: &[Target], begun| leads(targets, &from, &to, begun);
        assert_eq!(of(&[target("old")], false), Leads::From, "identifiers have no case");
        assert_eq!(of(&[target("new")], false), Leads::To);
        assert_eq!(of(&[], true), Leads::From, "half-way on our own way");
        assert!(matches!(of(&[], false), Leads::Neither(_)), "somebody took it out");
        assert!(matches!(of(&[target("old"), target("new")], true), Leads::Neither(_)));
        let cluster = Target { kind: Kind::Cluster, ..target("old") };
        assert!(matches!(of(&[cluster], false), Leads::Neither(words) if words == "it leads to cluster old"));
    }

    #[test]
    fn a_short_patience_is_warned_about() {
        let of = |status: &str, seconds| {
            let proxy = Proxy { status: status.to_owned(), family: String::new(), borrow_seconds: seconds };
            ready("front", "orders", &proxy).level
        };

        assert_eq!(of("available", Some(120)), Level::Pass);
        assert_eq!(of("available", Some(10)), Level::Warn);
        assert_eq!(of("modifying", Some(300)), Level::Fail);
        assert_eq!(of("available", None), Level::Warn);
    }
}
