//! Reads what is judged. What can't be read beside the server itself is a fact of its own.

use super::facts::{Facts, Part};
use super::groups::Client;
use crate::clock;
use crate::plan::Plan;
use crate::preflight::aws::at_least;
use crate::runbook::model::{Gate, Rds, RunTask, Step, System, Tls};
use crate::systems::aws::rds::{self, Kind};
use crate::systems::aws::{Access, Aws, ec2, ecs};
use crate::systems::pair::Side;
use crate::systems::world::World;
use crate::systems::{DriverError, Result};

/// How far back events are read.
const MINUTES: i32 = 360;

/// Everything of one `rds` system.
pub(super) async fn read(plan: &Plan, world: &World, name: &str, source_bytes: Option<i64>) -> Result<Facts> {
    let aws = world.aws(name, Access::ReadOnly).await?;
    let part = part(plan, name, source_bytes);
    let mut facts = Facts {
        system: name.to_owned(),
        part,
        instance: None,
        cluster: None,
        parameters: None,
        maintenance: Vec::new(),
        events: Vec::new(),
        rules: None,
        clients: Vec::new(),
        unread: Vec::new(),
    };
    servers(&aws, &world.rds(name)?, &mut facts).await?;
    beside(&aws, &mut facts).await;
    if facts.part.database.is_some() {
        facts.clients = clients(plan, world, &mut facts.unread).await;
    }
    Ok(facts)
}

async fn servers(aws: &Aws, spec: &Rds, facts: &mut Facts) -> Result<()> {
    let (kind, mut identifier) = rds::named(aws, spec).await?;
    if kind == Kind::Cluster {
        let cluster = rds::cluster(aws, &identifier).await?;
        let any = cluster.members.first().map(|member| member.instance.as_str());
        let of_cluster = cluster.writer().or(any).map(str::to_owned);
        facts.cluster = Some(cluster);
        let Some(instance) = of_cluster else { return Ok(()) };
        identifier = instance;
    }
    facts.instance = Some(rds::instance(aws, &identifier).await?);
    Ok(())
}

async fn beside(aws: &Aws, facts: &mut Facts) {
    let Some(server) = facts.server().cloned() else { return };
    let mut unread = Vec::new();
    if let Some((group, _)) = facts.group() {
        facts.parameters = or_told(rds::parameters(aws, facts.kind(), &group).await, &mut unread);
    }
    facts.events = or_told(rds::events(aws, &server, MINUTES).await, &mut unread).unwrap_or_default();
    facts.maintenance = or_told(rds::maintenance(aws, &server).await, &mut unread).unwrap_or_default();
    let groups: Vec<String> = server.security_groups.iter().map(|(group, _)| group.clone()).collect();
    if !groups.is_empty() {
        facts.rules = or_told(ec2::security_groups(aws, &groups).await, &mut unread);
    }
    facts.unread = unread;
}

/// The services and tasks of the runbook, with the security groups that their tasks have.
async fn clients(plan: &Plan, world: &World, unread: &mut Vec<String>) -> Vec<Client> {
    let mut clients = Vec::new();
    for name in plan.systems.iter().filter(|(_, system)| matches!(system, System::Ecs(_))).map(|(name, _)| name) {
        let Ok(Some(System::Ecs(spec))) = world.named(name) else { continue };
        let Some(service) = spec.service else { continue };
        let groups = or_told(service_groups(world, name, &spec.cluster, &service).await, unread).flatten();
        clients.push(Client { name: format!("the service {service}"), groups });
    }
    for step in &plan.steps {
        if let Step::RunTask(RunTask { network: Some(network), .. }) = &step.step {
            let groups = Some(network.security_groups.clone()).filter(|groups| !groups.is_empty());
            clients.push(Client { name: format!("the task of {}", step.id), groups });
        }
    }
    clients
}

/// `None` where its tasks have no network of their own.
async fn service_groups(world: &World, name: &str, cluster: &str, service: &str) -> Result<Option<Vec<String>>> {
    let aws = world.aws(name, Access::ReadOnly).await?;
    let found = ecs::service(&aws, cluster, service).await?;
    let network = found.network_configuration.and_then(|network| network.awsvpc_configuration);
    Ok(network.map(|network| network.security_groups.unwrap_or_default()))
}

fn or_told<T>(read: Result<T>, unread: &mut Vec<String>) -> Option<T> {
    read.map_err(|error: DriverError| unread.push(format!("{}: {}", error.what, error.reason))).ok()
}

/// The database that names an `rds` system.
pub(super) fn named<'a>(plan: &'a Plan, name: &str) -> Option<(&'a String, &'a System)> {
    plan.systems.iter().find(|(_, system)| system.naming().is_some_and(|naming| naming.rds == name))
}

fn part(plan: &Plan, name: &str, source_bytes: Option<i64>) -> Part {
    let named = named(plan, name);
    let side = named.zip(plan.pair.as_ref()).and_then(|((database, _), pair)| match database {
        database if *database == pair.source => Some(Side::Source),
        database if *database == pair.target => Some(Side::Target),
        _ => None,
    });
    let tls = match named {
        Some((_, System::Postgres(spec))) => spec.tls.clone(),
        Some((_, System::Mysql(spec) | System::Mariadb(spec))) => spec.tls.clone(),
        _ => Tls::default(),
    };
    Part {
        side,
        database: named.map(|(database, system)| (database.clone(), system.kind())),
        tls,
        // Of MySQL and MariaDB a replica follows by the log of changes.
        physical: !is_mysql(named)
            && plan.pair.as_ref().is_some_and(|pair| pair.through.is_physical() && pair.replicated.is_physically()),
        way_back: plan.keeps_way_back(),
        source_bytes,
        now: clock::now(),
        minutes: i64::try_from(at_least(plan).as_secs() / 60).unwrap_or(i64::MAX),
        hours: hours(plan),
    }
}

const fn is_mysql(named: Option<(&String, &System)>) -> bool {
    matches!(named, Some((_, System::Mysql(_) | System::Mariadb(_))))
}

/// The time windows that steps up to the window wait for.
fn hours(plan: &Plan) -> Vec<crate::runbook::model::TimeWindow> {
    let waits = plan.steps.iter().filter(|step| matches!(step.step, Step::Wait(_) | Step::Window(_)));
    let names = waits.flat_map(|step| step.step.gates());
    let of = |name: &String| match plan.gates.get(name) {
        Some(Gate::TimeWindow(gate)) => Some(gate.clone()),
        _ => None,
    };
    names.filter_map(of).collect()
}
