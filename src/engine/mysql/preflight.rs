//! What the preflight looks at: both servers, the ways between them, and what lies behind the endpoints.

use crate::endpoints;
use crate::plan::Plan;
use crate::preflight::Finding;
use crate::preflight::mysql::{self, EndpointFacts, PreflightInput, Wanted};
use crate::runbook::model::{Mysql, Promote, Step};
use crate::systems::mysql::{Access, Database, catalog};
use crate::systems::pair::Pair;
use crate::systems::world::World;
use crate::systems::{self, Result};

/// Looks at everything that the plan names; reads only.
pub(super) async fn findings(plan: &Plan, accept: &[String]) -> Result<Vec<Finding>> {
    if plan.pair.is_none() {
        return Ok(Vec::new());
    }
    Ok(mysql::judge(&input(plan, accept).await?))
}

/// What is judged.
pub(super) async fn input(plan: &Plan, accept: &[String]) -> Result<PreflightInput> {
    let pair = plan.pair.clone().unwrap_or_else(|| Pair::new("", ""));
    let world = World::new(plan.systems.clone());
    let (source, target) = (world.mysql(&pair.source)?, world.mysql(&pair.target)?);
    let mut facts = Vec::new();
    for name in plan.endpoints() {
        facts.push(endpoint(&world, name, &source).await?);
    }
    mysql::gather(&source, &target, wanted(plan, &source.spec), facts, accept.to_vec()).await
}

fn wanted(plan: &Plan, source: &Mysql) -> Wanted {
    let mut wanted = Wanted {
        budget: plan.window().map(|(_, window)| window.budget),
        exempt_accounts: source.exempt_users.clone(),
        ..Wanted::default()
    };
    for step in &plan.steps {
        match &step.step {
            Step::Replicate(replicate) => {
                wanted.schemas.clone_from(&replicate.schemas);
                wanted.copy_schema = replicate.copy_schema;
                wanted.copy_limit = replicate.timeout;
            }
            Step::Promote(Promote { keep_way_back, .. }) => wanted.way_back = *keep_way_back,
            _ => {}
        }
    }
    wanted
}

/// Who answers behind an endpoint to whom an application's URL leads.
async fn endpoint(world: &World, name: &str, source: &Database) -> Result<EndpointFacts> {
    let endpoint = endpoints::open(world, name)?;
    let mut facts = EndpointFacts { name: name.to_owned(), ..EndpointFacts::default() };
    let Some(probe) = endpoint.probe() else { return Ok(facts) };
    let spec = Mysql { url: probe.to_owned(), replication_url: None, address: None, ..source.spec.clone() };
    let through = Database { name: name.to_owned(), flavour: source.flavour, spec };
    let target = through.target()?;
    facts.dialled = Some(format!("{}:{}", target.host, target.port));
    if let Err(error) = look(&through, &mut facts).await {
        facts.failure = Some(error.reason);
    }
    Ok(facts)
}

async fn look(through: &Database, facts: &mut EndpointFacts) -> systems::Result<()> {
    let session = through.connect(Access::ReadOnly).await?;
    let identity = catalog::identity(&session).await?;
    let seen = session.value("read where it comes from", "SELECT SUBSTRING_INDEX(USER(), '@', -1)").await?;
    (facts.uuid, facts.server_id) = (identity.uuid, Some(i64::from(identity.server_id)));
    facts.seen_from = seen.map(|host| host.split(':').next().unwrap_or_default().to_owned());
    Ok(())
}
