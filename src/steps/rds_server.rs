//! What the steps that change servers of RDS have in common: which server is meant, what is made for a run is called,
//! and how long AWS is waited for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::StepError;
use super::notes::key;
use crate::clock;
use crate::endpoints::token;
use crate::executor::context::Context;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{Rds, Step, System};
use crate::runbook::units::Span;
use crate::systems::aws::rds::{self as driver, Kind, Server, Source};
use crate::systems::aws::{Access, Aws};
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError};

/// The tag of what a run has made.
pub(super) const TAG: &str = "pointsman-run";
const PAUSE: Duration = Duration::from_secs(10);

/// What the runbook calls the server.
pub(super) fn called(spec: &Rds) -> &str {
    spec.cluster.as_deref().or(spec.instance.as_deref()).or(spec.blue_green.as_deref()).unwrap_or_default()
}

/// The same for a policy: anything where that is known only later.
pub(super) fn pattern(spec: &Rds) -> &str {
    let said = spec.cluster.as_deref().or(spec.instance.as_deref());
    said.filter(|name| !name.contains("${")).unwrap_or("*")
}

/// The `rds` system of a plan.
pub(super) fn system<'a>(plan: &'a Plan, name: &str) -> Option<&'a Rds> {
    match plan.systems.get(name) {
        Some(System::Rds(spec)) => Some(spec),
        _ => None,
    }
}

/// The systems whose servers the plan must know by their resource ids.
pub fn changed(step: &Step) -> Vec<&str> {
    match step {
        Step::Snapshot(step) => vec![&step.of],
        Step::Parameters(step) => vec![&step.of],
        Step::CreateBlueGreen(step) => vec![&step.from],
        Step::Decommission(step) => step.stop.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The server that the plan was made for, whatever it is called now: never another one that has got its identifier.
pub(super) async fn server(cx: &Context, aws: &Aws, name: &str) -> Result<Server, StepError> {
    let spec = cx.world.rds(name)?;
    let Some(known) = cx.plan.choices.servers.get(name) else { return Ok(driver::look(aws, &spec).await?) };
    let kind = Kind::of_resource(&known.resource_id);
    let found = driver::by_resource(aws, kind, &known.resource_id).await?;
    found.ok_or_else(|| {
        let (word, was, id) = (kind.word(), &known.identifier, &known.resource_id);
        let message = format!("{name}: the {word} {was} of the plan ({id}) is gone");
        let hint = "nothing was changed: make a new plan for the server that is there now";
        StepError::told(FailureKind::Refused, message, Some(hint))
    })
}

/// The same for a look beforehand.
pub(super) async fn looked_at(world: &World, name: &str) -> Result<Server, DriverError> {
    let aws = world.aws(name, Access::ReadOnly).await?;
    driver::look(&aws, &world.rds(name)?).await
}

/// An identifier of RDS that is the same whenever this act is done again: letters, digits and single hyphens, at most 63.
pub(super) fn identifier(run: &str, of: &Move, system: &str, number: u64) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let step: String = of.step.chars().map(plain).take(24).collect();
    let step = step.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    let token = token(&[run, &of.step, system, &number.to_string()]).replace('-', "");
    format!("pointsman-{step}-{}", &token[..16])
}

/// The calls that delete a server, as the plan shows them.
pub(super) fn deletion(kind: Kind, called: &str) -> Vec<(&'static str, Value)> {
    let snapshot = "pointsman-…";
    match kind {
        Kind::Instance => vec![
            ("ModifyDBInstance", json!({ "DBInstanceIdentifier": called, "DeletionProtection": false })),
            ("DeleteDBInstance", json!({ "DBInstanceIdentifier": called, "FinalDBSnapshotIdentifier": snapshot })),
        ],
        Kind::Cluster => vec![
            ("ModifyDBCluster", json!({ "DBClusterIdentifier": called, "DeletionProtection": false })),
            ("DeleteDBInstance", json!({ "DBInstanceIdentifier": "EACH OF IT", "SkipFinalSnapshot": true })),
            ("DeleteDBCluster", json!({ "DBClusterIdentifier": called, "FinalDBSnapshotIdentifier": snapshot })),
        ],
    }
}

/// Whether something else is done with it at the moment.
pub(super) fn is_busy(error: &DriverError) -> bool {
    ["InvalidDBInstanceState", "InvalidDBClusterStateFault"].iter().any(|code| error.is_code(code))
}

/// Asks for the deletion of a server, with a last snapshot; says what was asked for. The instances of a cluster go before it.
/// It can be asked for again.
pub(super) async fn delete(
    cx: &Context,
    of: &Move,
    aws: &Aws,
    name: &str,
    found: &Server,
) -> Result<String, StepError> {
    let called = &found.identifier;
    let members = members(aws, found).await?;
    if !members.is_empty() && members.iter().all(|member| member.status == "deleting") {
        return Ok(format!("the instances of {called} are being deleted"));
    }
    let snapshot = identifier(&cx.run, of, name, 0);
    cx.note(of, json!({ key(of, "deleting"): called, key(of, "snapshot"): snapshot }), Durability::Synced)?;
    cx.still_mine()?;
    let asked = match found.kind {
        kind if found.protected => driver::unprotect(aws, kind, called).await,
        Kind::Instance => driver::delete_instance(aws, called, &snapshot).await,
        Kind::Cluster if members.is_empty() => driver::delete_cluster(aws, called, &snapshot).await,
        Kind::Cluster => delete_members(aws, &members).await,
    };
    match asked {
        Err(error) if error.certainty != Certainty::Unknown && !is_busy(&error) => Err(error.into()),
        _ => Ok(format!("{called} was asked to be deleted, with the snapshot {snapshot}")),
    }
}

/// The instances that a cluster has still.
async fn members(aws: &Aws, found: &Server) -> Result<Vec<Server>, DriverError> {
    if found.kind == Kind::Instance {
        return Ok(Vec::new());
    }
    let all = driver::environment(aws, Kind::Cluster, &found.identifier).await?;
    Ok(all.instances.into_iter().map(|instance| instance.server).collect())
}

async fn delete_members(aws: &Aws, members: &[Server]) -> Result<(), DriverError> {
    for member in members.iter().filter(|member| member.status != "deleting") {
        driver::delete_member(aws, &member.identifier).await?;
    }
    Ok(())
}

/// A wait for AWS that ends.
pub(super) struct Waiting<'a> {
    name: &'a str,
    began: Instant,
    limit: Span,
}

impl<'a> Waiting<'a> {
    /// A wait for a system that begins now.
    pub fn new(name: &'a str, limit: Span) -> Self {
        Self { name, began: clock::monotonic(), limit }
    }

    /// Says what is waited for, and waits a while: longer, the longer it has taken. What RDS says of the server is told.
    pub async fn rest(&self, cx: &Context, of: &Move, words: &str) -> Result<(), StepError> {
        let sources: Vec<Source> = cx.world.rds(self.name).iter().filter_map(Source::of).collect();
        self.rest_for(cx, of, words, &sources).await
    }

    /// The same, where something else is of interest as well.
    pub async fn rest_for(&self, cx: &Context, of: &Move, words: &str, sources: &[Source]) -> Result<(), StepError> {
        cx.listen(of, self.name, sources);
        if self.began.elapsed() >= self.limit.0 {
            let message = format!("{}: {words}, and has been for {}", self.name, self.limit);
            let hint = "its events say more (`aws rds describe-events`); `pointsman retry` looks and waits again";
            return Err(StepError::told(FailureKind::Deadline, message, Some(hint)));
        }
        cx.progress(&of.step, &format!("{}: {words}", self.name));
        cx.rest((self.began.elapsed() / 4).clamp(PAUSE / 40, PAUSE)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Act;
    use crate::systems::pair::Heading;

    #[test]
    fn an_identifier_is_what_aws_takes_and_stands_for_one_act() {
        let of = |step: &str| Move { step: step.into(), act: Act::Apply, way: Heading::Forth };
        let one = identifier("run", &of("_Last--backup_"), "a", 0);
        assert!(one.starts_with("pointsman-last-backup-") && one.len() <= 63 && !one.contains("--"), "{one}");
        assert_eq!(one, identifier("run", &of("_Last--backup_"), "a", 0));
        let others = [identifier("run", &of("snapshot"), "a", 0), identifier("other", &of("_Last--backup_"), "a", 0)];
        assert!(!others.contains(&one) && one != identifier("run", &of("_Last--backup_"), "a", 1));
        assert!(identifier("run", &of("_"), "a", 0).starts_with("pointsman-"));
    }
}
