//! `failover`: a cluster's writer becomes another of its instances. Asked for once: what was asked for and not confirmed
//! is looked for, for as long as AWS may take to begin, before anybody asks again.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::notes::{key, noted, noted_as};
use super::{Action, Description, Observation, StepError};
use crate::clock;
use crate::endpoints::arn;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Act, Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::preflight::{Check, Finding};
use crate::runbook::model::{Failover, System};
use crate::systems::aws::rds::{self as driver, Cluster};
use crate::systems::aws::{Access, Aws, Call, Permission, Service};
use crate::systems::pair::Heading;
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError};

const PAUSE: Duration = Duration::from_secs(5);
/// A failover that was asked for shows in the cluster's status by then.
const BEGINS: Duration = Duration::from_secs(20);

#[async_trait]
impl Action for Failover {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        let Some(System::Rds(spec)) = plan.systems.get(&self.of) else { return Description::default() };
        let cluster = spec.cluster.as_deref().unwrap_or_default();
        let line =
            |operation, parameters| (self.of.clone(), Call::new(Service::Rds, operation, parameters).to_string());
        let ask = |to: &str| {
            let parameters = json!({ "DBClusterIdentifier": cluster, "TargetDBInstanceIdentifier": to });
            line("FailoverDBCluster", parameters)
        };
        let look = line("DescribeDBClusters", json!({ "DBClusterIdentifier": cluster }));
        Description {
            summary: format!("Make {} the writer of the cluster {cluster}, and wait until it is", self.to),
            apply: vec![ask(&self.to), look.clone()],
            undo: vec![ask("THE FORMER WRITER"), look],
            clients: Some("their connections break, mostly for less than 35 s".to_owned()),
        }
    }

    async fn observe(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Observation, StepError> {
        let found = self.cluster(cx, &cx.rig.aws(&self.of).await?).await?;
        let wanted = self.wanted(state, of);
        let is = wanted.as_deref().is_none_or(|wanted| stands(&found, wanted));
        Ok(if is { Observation::Applied(json!({ "writer": found.writer() })) } else { Observation::NotApplied })
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let aws = cx.rig.aws(&self.of).await?;
        let found = self.cluster(cx, &aws).await?;
        if noted::<Value>(state, of, "before").is_none() {
            cx.note(of, json!({ key(of, "before"): found.writer() }), Durability::Synced)?;
        }
        self.lead(cx, state, of, &aws, &self.to).await
    }

    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        match self.wanted(state, of) {
            Some(former) => self.lead(cx, state, of, &cx.rig.aws(&self.of).await?.urgent(), &former).await,
            None => Ok(json!({})),
        }
    }
}

/// Whether an instance is the writer of a cluster that is at rest.
fn stands(found: &Cluster, instance: &str) -> bool {
    found.server.is_available() && found.writer().is_some_and(|writer| writer.eq_ignore_ascii_case(instance))
}

impl Failover {
    async fn cluster(&self, cx: &Context, aws: &Aws) -> Result<Cluster, StepError> {
        let spec = cx.world.rds(&self.of)?;
        let odd = || DriverError::new(&self.of, "look it up", "it is an instance, not a cluster", Certainty::NotSent);
        let found = driver::cluster(aws, &spec.cluster.ok_or_else(odd)?).await?;
        cx.plan.choices.same_server(&self.of, &found.server)?;
        Ok(found)
    }

    /// The instance that shall be the writer after this act; on the way back, the one that was.
    fn wanted(&self, state: &RunState, of: &Move) -> Option<String> {
        if of.act == Act::Apply { Some(self.to.clone()) } else { noted_as(state, of, "apply-before") }
    }

    async fn lead(&self, cx: &Context, state: &RunState, of: &Move, aws: &Aws, to: &str) -> Result<Value, StepError> {
        let began = clock::monotonic();
        // An executor before this one may have asked, and died before it heard.
        let mut asked = noted::<bool>(state, of, "asked").unwrap_or_default().then_some(began);
        loop {
            let found = self.cluster(cx, aws).await?;
            if stands(&found, to) {
                cx.note(of, json!({ key(of, "asked"): false }), Durability::Synced)?;
                return Ok(json!({ "writer": to, "seconds": began.elapsed().as_secs_f64() }));
            }
            let writer = found.writer().unwrap_or("nobody").to_owned();
            let words = format!("{}: the cluster is {}, its writer {writer}", self.of, found.server.status);
            if found.server.is_available() && may_ask(asked) {
                self.ask(cx, of, aws, &found, to).await?;
                asked = Some(clock::monotonic());
            }
            if began.elapsed() >= self.timeout.0 {
                let message = format!("{words}; {to} is not the writer within {}", self.timeout);
                let hint = "look at its events in the console; `pointsman retry` looks and waits again";
                return Err(StepError::told(FailureKind::Deadline, message, Some(hint)));
            }
            cx.progress(&of.step, &words);
            cx.listen(of, &self.of, &[(&found.server).into()]);
            cx.rest((began.elapsed() / 4).clamp(PAUSE / 20, PAUSE)).await?;
        }
    }

    async fn ask(&self, cx: &Context, of: &Move, aws: &Aws, found: &Cluster, to: &str) -> Result<(), StepError> {
        if !found.members.iter().any(|member| member.instance.eq_ignore_ascii_case(to)) {
            let members: Vec<&str> = found.members.iter().map(|member| member.instance.as_str()).collect();
            let message = format!("{}: {to} is no instance of the cluster; it has {}", self.of, members.join(", "));
            return Err(StepError::told(FailureKind::Refused, message, Some("add it, then `pointsman retry`")));
        }
        cx.note(of, json!({ key(of, "asked"): true }), Durability::Synced)?;
        cx.still_mine()?;
        match driver::failover(aws, &found.server.identifier, to).await {
            // It may be under way: the cluster says.
            Err(error) if error.certainty != Certainty::Unknown => {
                cx.note(of, json!({ key(of, "asked"): false }), Durability::Synced)?;
                Err(error.into())
            }
            _ => Ok(()),
        }
    }
}

/// Whether it may be asked for: never while it may be under way unseen.
fn may_ask(asked: Option<Instant>) -> bool {
    asked.is_none_or(|at| at.elapsed() >= BEGINS)
}

/// Whether the cluster can do it; reads only.
pub(super) async fn finding(step: &Failover, world: &World) -> Finding {
    let check = Check {
        id: "failover",
        system: &step.of,
        why: "An instance that is not there, or not available, can't become the writer, and the run holds in the middle.",
    };
    let look = async {
        let aws = world.aws(&step.of, Access::ReadOnly).await?;
        let spec = world.rds(&step.of)?;
        driver::cluster(&aws, spec.cluster.as_deref().unwrap_or_default()).await
    };
    let found = match look.await {
        Ok(found) => found,
        Err(error) => {
            let mend = vec!["-- correct what the step names".to_owned()];
            return check.fail("the cluster can't be read", format!("{error}."), mend);
        }
    };
    let member = found.members.iter().find(|member| member.instance.eq_ignore_ascii_case(&step.to));
    match member {
        None => {
            let members: Vec<&str> = found.members.iter().map(|member| member.instance.as_str()).collect();
            let detail = format!("{} is none of {}.", step.to, members.join(", "));
            check.fail("the cluster has no such instance", detail, vec!["-- add it, or correct `to`".to_owned()])
        }
        Some(member) if member.writer => {
            let detail = format!("{} is the writer already; the step will do nothing.", step.to);
            check.warn("there is nothing to do", detail, Vec::new())
        }
        Some(_) => check.pass("the cluster can fail over", format!("from {} to {}.", writer(&found), step.to)),
    }
}

fn writer(found: &Cluster) -> &str {
    found.writer().unwrap_or("nobody")
}

/// What the step asks of IAM.
pub(super) fn permissions(step: &Failover, world: &World) -> Vec<Permission> {
    let Some(System::Rds(spec)) = world.get(&step.of) else { return Vec::new() };
    let cluster = spec.cluster.as_deref().filter(|name| !name.contains("${")).unwrap_or("*");
    vec![Permission::on(Service::Rds, "FailoverDBCluster", arn("rds", &spec.aws, &format!("cluster:{cluster}")))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_again_only_when_it_had_time_to_begin() {
        assert!(may_ask(None));
        assert!(!may_ask(Some(clock::monotonic())));
        let long_ago = clock::monotonic().checked_sub(BEGINS).unwrap();
        assert!(may_ask(Some(long_ago)));
    }
}
