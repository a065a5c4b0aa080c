//! `preflight`: everything that could go wrong, looked at before anything is changed.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Action, Description, StepError};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::preflight::{self, Finding, Level, PoolerFacts, Wanted};
use crate::runbook::model::{Pgbouncer, Preflight, Promote, Step, System};
use crate::systems;
use crate::systems::pgbouncer::{Instance, Pooler};
use crate::systems::postgres::pair::Heading;
use crate::systems::world::World;

#[async_trait]
impl Action for Preflight {
    fn describe(&self, _plan: &Plan, _way: Heading) -> Description {
        Description::new(
            "Look at both databases, the poolers and the ways between them; refuse to start if something is not as it must be",
        )
    }

    async fn apply(&self, cx: &Context, _state: &RunState, of: &Move) -> Result<Value, StepError> {
        let findings = findings(&cx.plan, &self.accept).await?;
        let summary = preflight::counts(&findings);
        cx.note(of, json!({ "findings": findings, "summary": summary }), Durability::Ordered)?;
        if preflight::passes(&findings) {
            return Ok(json!({}));
        }
        let failed: Vec<String> = findings
            .iter()
            .filter(|finding| finding.level == Level::Fail)
            .map(|finding| format!("{}: {} ({})", finding.system, finding.title, finding.id))
            .collect();
        let hint = format!("pointsman check {} shows each with the statement that mends it", cx.plan.file);
        Err(StepError::told(FailureKind::Preflight, failed.join("; "), Some(&hint)))
    }
}

/// Looks at everything that the plan names; reads only.
pub async fn findings(plan: &Plan, accept: &[String]) -> systems::Result<Vec<Finding>> {
    let world = World::new(plan.systems.clone());
    let Some(pair) = &plan.pair else { return Ok(Vec::new()) };
    let (source, target) = (world.database(&pair.source)?, world.database(&pair.target)?);
    let poolers = pooler_facts(plan).await?;
    let input = preflight::gather(&source, &target, wanted(plan), poolers, accept.to_vec()).await?;
    Ok(preflight::judge(&input))
}

/// What the runbook accepts.
pub fn accepted(plan: &Plan) -> Vec<String> {
    let accepts = |step: &crate::plan::PlanStep| match &step.step {
        Step::Preflight(preflight) => preflight.accept.clone(),
        _ => Vec::new(),
    };
    plan.steps.iter().flat_map(accepts).collect()
}

fn wanted(plan: &Plan) -> Wanted {
    let mut wanted = Wanted { budget: plan.window().map(|(_, window)| window.budget), ..Wanted::default() };
    for step in &plan.steps {
        match &step.step {
            Step::Replicate(replicate) => {
                wanted.schemas.clone_from(&replicate.schemas);
                wanted.copy_schema = replicate.copy_schema;
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

async fn pooler_facts(plan: &Plan) -> systems::Result<Vec<PoolerFacts>> {
    let mut facts = Vec::new();
    for name in plan.endpoints() {
        let spec = World::new(plan.systems.clone()).pgbouncer(name)?;
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
        users,
        server_pids: instance.server_pids().await?,
    })
}
