//! The deployment as the plan and the preflight look at it.

use super::{BlueGreen, Promotable};
use crate::plan::Plan;
use crate::preflight::Finding;
use crate::preflight::blue_green::{Facts, judge};
use crate::runbook::model::{Replicate, System};
use crate::secret::remote;
use crate::systems::aws::Access;
use crate::systems::aws::rds::{self, blue_green as driver};
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError, Result};

/// What the preflight finds.
pub async fn findings(kind: &dyn Promotable, plan: &Plan, chosen: &BlueGreen) -> Result<Vec<Finding>> {
    let Some(pair) = &plan.pair else { return Ok(Vec::new()) };
    let world = World::new(plan.systems.clone());
    let aws = world.aws(&chosen.rds, Access::ReadOnly).await?;
    let blue = named(plan, &pair.source)?;
    let (of_blue, spec) = (world.aws(blue, Access::ReadOnly).await?, world.rds(blue)?);
    let cluster = match &spec.cluster {
        Some(identifier) => Some(rds::cluster(&of_blue, identifier).await?),
        None => None,
    };
    let facts = Facts {
        system: chosen.rds.clone(),
        source: pair.source.clone(),
        target: pair.target.clone(),
        deployment: driver::deployment(&aws, &chosen.id).await?,
        blue: match &cluster {
            Some(cluster) => cluster.server.clone(),
            None => rds::look(&of_blue, &spec).await?,
        },
        cluster,
        green: rds::look(&aws, &world.rds(&chosen.rds)?).await?,
    };
    let mut findings = judge(&facts);
    findings.extend(kind.findings(&world, &facts).await?);
    Ok(findings)
}

/// The deployment that a plan is made for.
pub async fn chosen(plan: &Plan, replicate: &Replicate) -> Result<crate::plan::BlueGreen> {
    let world = World::new(plan.systems.clone());
    let name = named(plan, &replicate.to)?;
    let aws = world.aws(name, Access::ReadOnly).await?;
    let refused = |reason: String, hint: &str| {
        DriverError::new(name, "make the plan", reason, Certainty::Refused).with_hint(hint)
    };
    let wanted = world.rds(name)?.blue_green.unwrap_or_default();
    let Some(found) = driver::deployment_named(&aws, &wanted).await? else {
        return Err(refused(format!("there is no Blue/Green deployment {wanted}"), "make it first"));
    };
    let blue = named(plan, &replicate.from)?;
    let known = remote::known_of_rds(blue, "identifier").unwrap_or_default();
    let kind = plan.kind_of_rds(blue);
    if found.kind() != Some(kind) || found.blue_identifier() != known {
        let reason = format!("{wanted} is of {}, and {blue} is the {} {known}", found.blue, kind.word());
        let hint = "name the deployment of this very server; one that was switched over is over";
        return Err(refused(reason, hint));
    }
    Ok(crate::plan::BlueGreen { id: found.id, name: found.name })
}

/// The `rds` system that a database names.
fn named<'a>(plan: &'a Plan, database: &str) -> Result<&'a str> {
    let naming = plan.systems.get(database).and_then(System::naming);
    let reason = "it names no `rds` system";
    naming
        .map(|naming| naming.rds)
        .ok_or_else(|| DriverError::new(database, "look its server up", reason, Certainty::NotSent))
}
