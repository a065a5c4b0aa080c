//! The systems of one plan, by name: where steps and gates get their drivers from.

use indexmap::IndexMap;

use super::address::Address;
use super::aws::{self, Access, Aws, Hubs};
use super::haproxy::Balancer;
use super::mysql;
use super::mysql::Flavour;
use super::postgres::Database;
use super::traffic::Traffic;
use super::{Certainty, DriverError, Result};
use crate::runbook::model::{
    Alb, AwsPlace, Dms, Haproxy, HaproxyTcp, Name, Observe, Pgbouncer, Postgres, Rds, Redirect, System,
};
use crate::secret;

/// The systems of one plan. Clones share what was opened to AWS.
#[derive(Clone, Debug, Default)]
pub struct World {
    systems: IndexMap<Name, System>,
    hubs: Hubs,
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.systems == other.systems
    }
}

impl World {
    /// The systems of a runbook or a plan.
    #[must_use]
    pub fn new(systems: IndexMap<Name, System>) -> Self {
        Self { systems, hubs: Hubs::default() }
    }

    /// The PostgreSQL database of this name.
    pub fn postgres(&self, name: &str) -> Result<Database> {
        match self.systems.get(name) {
            Some(System::Postgres(spec)) => Ok(Database { name: name.to_owned(), spec: Postgres::clone(spec) }),
            other => Err(Self::wrong(name, "postgres", other)),
        }
    }

    /// Where poolers and applications reach a database: its `address`, else what its URL says.
    pub fn address(&self, name: &str) -> Result<Address> {
        match self.systems.get(name) {
            Some(System::Mysql(_) | System::Mariadb(_)) => self.mysql(name)?.address(),
            _ => self.postgres(name)?.address(),
        }
    }

    /// The MySQL or MariaDB server of this name.
    pub fn mysql(&self, name: &str) -> Result<mysql::Database> {
        let (flavour, spec) = match self.systems.get(name) {
            Some(System::Mysql(spec)) => (Flavour::Mysql, spec),
            Some(System::Mariadb(spec)) => (Flavour::Mariadb, spec),
            other => return Err(Self::wrong(name, "mysql or mariadb", other)),
        };
        Ok(mysql::Database { name: name.to_owned(), flavour, spec: spec.clone() })
    }

    /// The pooler of this name.
    pub fn pgbouncer(&self, name: &str) -> Result<Pgbouncer> {
        match self.systems.get(name) {
            Some(System::Pgbouncer(spec)) => pgbouncer(name, spec.clone()),
            other => Err(Self::wrong(name, "pgbouncer", other)),
        }
    }

    /// The load balancer of this name.
    pub fn haproxy(&self, name: &str) -> Result<Haproxy> {
        match self.systems.get(name) {
            Some(System::Haproxy(spec)) => haproxy(name, spec.clone()),
            other => Err(Self::wrong(name, "haproxy", other)),
        }
    }

    /// The load balancer of AWS of this name.
    pub fn alb(&self, name: &str) -> Result<Alb> {
        match self.systems.get(name) {
            Some(System::Alb(spec)) => alb(name, Alb::clone(spec)),
            other => Err(Self::wrong(name, "alb", other)),
        }
    }

    /// The database server of RDS of this name.
    pub fn rds(&self, name: &str) -> Result<Rds> {
        match self.systems.get(name) {
            Some(System::Rds(spec)) => rds(name, spec.clone()),
            other => Err(Self::wrong(name, "rds", other)),
        }
    }

    /// What runs tasks of DMS, of this name.
    pub fn dms(&self, name: &str) -> Result<Dms> {
        match self.systems.get(name) {
            Some(System::Dms(spec)) => dms(name, Dms::clone(spec)),
            other => Err(Self::wrong(name, "dms", other)),
        }
    }

    /// What divides traffic under this name. `urgent` is for going back; `planned` is what stood in a load balancer of
    /// AWS when the plan was made.
    pub async fn traffic(
        &self,
        name: &str,
        access: Access,
        urgent: bool,
        planned: Option<&aws::alb::State>,
    ) -> Result<Box<dyn Traffic>> {
        if !matches!(self.systems.get(name), Some(System::Alb(_))) {
            return Ok(Box::new(Balancer::new(name, &self.haproxy(name)?)));
        }
        let aws = self.aws(name, access).await?;
        let aws = if urgent { aws.urgent() } else { aws };
        Ok(Box::new(aws::alb::Alb::new(name.to_owned(), self.alb(name)?, aws, planned.cloned())))
    }

    /// The load balancer of connections of this name.
    pub fn haproxy_tcp(&self, name: &str) -> Result<HaproxyTcp> {
        match self.systems.get(name) {
            Some(System::HaproxyTcp(spec)) => haproxy_tcp(name, spec.clone()),
            other => Err(Self::wrong(name, "haproxy-tcp", other)),
        }
    }

    /// The clients of a system of AWS. With [`Access::ReadOnly`] they can't change anything.
    pub async fn aws(&self, name: &str, access: Access) -> Result<Aws> {
        self.hubs.aws(name, &self.place(name)?, access).await
    }

    /// Where the calls of a system of AWS go.
    pub fn place(&self, name: &str) -> Result<AwsPlace> {
        let system = self.systems.get(name);
        let mut place = system.and_then(System::aws).ok_or_else(|| Self::wrong(name, "system of AWS", system))?.clone();
        if matches!(system, Some(System::Alb(_))) {
            // An ARN says where its resource is.
            let spec = self.alb(name)?;
            place.region = spec.region.clone().or_else(|| spec.region_of_arns()).or(place.region);
        }
        Ok(place)
    }

    /// Clients for a place that belongs to no system (a gate's, a secret's); `label` is what errors call them.
    pub async fn aws_at(&self, label: &str, place: &AwsPlace, access: Access) -> Result<Aws> {
        self.hubs.aws(label, place, access).await
    }

    /// Forgets the clients of AWS, and with them the credentials.
    pub async fn forget_aws(&self) {
        self.hubs.forget().await;
    }

    /// A system as the runbook has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&System> {
        self.systems.get(name)
    }

    /// The same, with the references in the names that it holds resolved, of an endpoint that only says where the
    /// database is.
    pub fn named(&self, name: &str) -> Result<Option<System>> {
        let Some(mut system) = self.systems.get(name).cloned() else { return Ok(None) };
        for text in names_in(&mut system) {
            *text = plain(name, text)?;
        }
        Ok(Some(system))
    }

    /// Every system.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &System)> {
        self.systems.iter()
    }

    fn wrong(name: &str, kind: &str, found: Option<&System>) -> DriverError {
        let reason = match found {
            Some(system) => format!("it is a {}, not a {kind}", system.kind()),
            None => format!("the plan has no system of this name (a {kind} is wanted)"),
        };
        DriverError::new(name, "look it up", reason, Certainty::NotSent)
    }
}

/// References in the fields that are no secrets (paths, addresses, names) are resolved here; URLs stay references until
/// a connection is opened.
fn plain(name: &str, text: &str) -> Result<String> {
    let resolved = secret::resolve(text);
    resolved
        .map(|resolved| resolved.expose().to_owned())
        .map_err(|error| DriverError::new(name, "resolve its settings", error, Certainty::NotSent))
}

fn names_in(system: &mut System) -> Vec<&mut String> {
    match system {
        System::Route53(spec) => {
            [&mut spec.zone, &mut spec.record].into_iter().chain(&mut spec.from).chain(&mut spec.to).collect()
        }
        System::SecretsManager(spec) => {
            [&mut spec.secret].into_iter().chain(&mut spec.from).chain(&mut spec.to).collect()
        }
        System::SsmParameter(spec) => {
            [&mut spec.parameter].into_iter().chain(&mut spec.from).chain(&mut spec.to).collect()
        }
        System::RdsProxy(spec) => vec![&mut spec.proxy],
        System::RdsNames(spec) => spec.former.iter_mut().collect(),
        System::Ecs(spec) => [&mut spec.cluster].into_iter().chain(&mut spec.service).collect(),
        System::CloudMap(spec) => {
            [&mut spec.service, &mut spec.instance].into_iter().chain(&mut spec.from).chain(&mut spec.to).collect()
        }
        _ => Vec::new(),
    }
}

fn rds(name: &str, mut spec: Rds) -> Result<Rds> {
    for text in spec.instance.iter_mut().chain(&mut spec.cluster).chain(&mut spec.blue_green) {
        *text = plain(name, text)?;
    }
    Ok(spec)
}

fn dms(name: &str, mut spec: Dms) -> Result<Dms> {
    let create =
        spec.create.iter_mut().flat_map(|create| create.subnet_group.iter_mut().chain(&mut create.security_groups));
    let serverless =
        spec.serverless.iter_mut().flat_map(|spec| spec.subnet_group.iter_mut().chain(&mut spec.security_groups));
    for text in spec.instance.iter_mut().chain(create).chain(serverless) {
        *text = plain(name, text)?;
    }
    Ok(spec)
}

fn haproxy(name: &str, mut spec: Haproxy) -> Result<Haproxy> {
    for text in spec.sockets.iter_mut().chain([&mut spec.backend]).chain(&mut spec.from).chain(&mut spec.to) {
        *text = plain(name, text)?;
    }
    Ok(spec)
}

fn alb(name: &str, mut spec: Alb) -> Result<Alb> {
    let texts =
        spec.listeners.iter_mut().chain(&mut spec.rules).chain([&mut spec.from, &mut spec.to]).chain(&mut spec.region);
    for text in texts {
        *text = plain(name, text)?;
    }
    if let Observe::Http(http) = &mut spec.observe {
        http.url = plain(name, &http.url)?;
    }
    Ok(spec)
}

fn haproxy_tcp(name: &str, mut spec: HaproxyTcp) -> Result<HaproxyTcp> {
    let servers = spec.source.iter_mut().chain(&mut spec.target);
    for text in spec.sockets.iter_mut().chain([&mut spec.frontend, &mut spec.backend]).chain(servers) {
        *text = plain(name, text)?;
    }
    Ok(spec)
}

fn pgbouncer(name: &str, mut spec: Pgbouncer) -> Result<Pgbouncer> {
    spec.database = plain(name, &spec.database)?;
    let redirects = spec.redirect.iter_mut().chain(spec.instances.iter_mut().map(|instance| &mut instance.redirect));
    for redirect in redirects {
        if let Redirect::Ini(path) = redirect {
            *path = plain(name, path)?;
        }
    }
    Ok(spec)
}
