//! What the preflight looks at: both databases and the poolers.

use crate::plan::Plan;
use crate::preflight::Finding;
use crate::preflight::postgres::{self as preflight, PoolerFacts, Wanted};
use crate::runbook::model::{Pgbouncer, Promote, Step, System};
use crate::systems;
use crate::systems::pgbouncer::{Instance, Pooler};
use crate::systems::world::World;

/// Looks at everything that the plan names; reads only.
pub(super) async fn findings(plan: &Plan, accept: &[String]) -> systems::Result<Vec<Finding>> {
    let world = World::new(plan.systems.clone());
    let Some(pair) = &plan.pair else { return Ok(Vec::new()) };
    let (source, target) = (world.postgres(&pair.source)?, world.postgres(&pair.target)?);
    let poolers = pooler_facts(plan).await?;
    let input = preflight::gather(&source, &target, wanted(plan), poolers, accept.to_vec()).await?;
    Ok(preflight::judge(&input))
}

pub(in crate::engine) fn wanted(plan: &Plan) -> Wanted {
    let mut wanted = Wanted { budget: plan.window().map(|(_, window)| window.budget), ..Wanted::default() };
    for step in &plan.steps {
        match &step.step {
            Step::Replicate(replicate) => {
                wanted.schemas.clone_from(&replicate.schemas);
                wanted.copy_schema = replicate.copy_schema;
                wanted.pg_dump.clone_from(&replicate.pg_dump);
                wanted.workers = replicate.workers;
            }
            Step::Freeze(freeze) => wanted.fence = freeze.fence,
            Step::Promote(Promote { keep_way_back, .. }) => wanted.way_back = *keep_way_back,
            _ => {}
        }
    }
    if let Some(System::Postgres(spec)) = plan.pair.as_ref().and_then(|pair| plan.systems.get(&pair.source)) {
        wanted.exempt_roles.clone_from(&spec.exempt_roles);
    }
    wanted
}

pub(in crate::engine) async fn pooler_facts(plan: &Plan) -> systems::Result<Vec<PoolerFacts>> {
    let mut facts = Vec::new();
    let world = World::new(plan.systems.clone());
    let pooled = |name: &&String| matches!(plan.systems.get(*name), Some(System::Pgbouncer(_)));
    for name in plan.endpoints().iter().filter(pooled) {
        let spec = world.pgbouncer(name)?;
        for instance in Pooler::connect(name, &spec).await?.instances() {
            facts.push(instance_facts(name, &spec, instance).await?);
        }
    }
    Ok(facts)
}

async fn instance_facts(name: &str, spec: &Pgbouncer, instance: &Instance) -> systems::Result<PoolerFacts> {
    let (major, minor) = instance.version().await?;
    let entry = instance.entry().await?;
    let pool_mode = match &entry.pool_mode {
        Some(mode) => mode.clone(),
        None => instance.config("pool_mode").await?,
    };
    let min_pool_size = match entry.min_pool_size {
        Some(least) => least,
        None => instance.config("min_pool_size").await?.parse().unwrap_or(0),
    };
    let seconds = |text: String| text.parse().unwrap_or(0.0);
    let mut users: Vec<String> = instance.clients().await?.into_iter().map(|client| client.user).collect();
    users.sort();
    users.dedup();
    Ok(PoolerFacts {
        name: name.to_owned(),
        instance: instance.address()?,
        version: format!("{major}.{minor}"),
        entry: spec.database.clone(),
        host: entry.host.clone(),
        port: entry.port,
        database: entry.dbname.clone(),
        pool_mode,
        paused: entry.paused,
        query_wait_timeout_s: seconds(instance.config("query_wait_timeout").await?),
        server_login_retry_s: seconds(instance.config("server_login_retry").await?),
        login_retry_is_set: true,
        min_pool_size,
        users,
        server_pids: instance.server_pids().await?,
    })
}
