//! `decommission`: the side that was left goes out of service, behind `finalize`. Its target group leaves the rules, its
//! tasks end, its server of RDS is stopped after a last snapshot. Nothing is deleted, and what is left is listed.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Action, Description, StepError};
use crate::executor::context::Context;
use crate::executor::state::{RunState, Side};
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{Decommission, System};
use crate::systems::aws::{Call, Permission, Service};
use crate::systems::pair::Heading;

mod rules;
mod servers;
mod tasks;

#[async_trait]
impl Action for Decommission {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        let (mut apply, mut undo) = (Vec::new(), Vec::new());
        for name in &self.rules {
            apply.push((
                name.clone(),
                "# each rule: ModifyRule or ModifyListener without the old target group".to_owned(),
            ));
            undo.push((name.clone(), "# each rule: as it was, with the old target group at weight 0".to_owned()));
        }
        for name in &self.stop {
            let (there, back) = lines(plan.systems.get(name));
            apply.extend(there.into_iter().map(|line| (name.clone(), line)));
            undo.extend(back.into_iter().map(|line| (name.clone(), line)));
        }
        Description {
            summary: "Take the side that was left out of service; nothing is deleted".to_owned(),
            apply,
            undo,
            clients: Some("whoever still uses the side that was left sees errors".to_owned()),
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        if cx.plan.pair.is_some() && state.writer != Side::Target {
            let message = "writes go to the source: it can't be taken out of service";
            return Err(StepError::told(FailureKind::Refused, message, None));
        }
        let mut left = Vec::new();
        for name in &self.rules {
            left.push(rules::leave(cx, state, of, name).await?);
        }
        for name in &self.stop {
            cx.checkpoint()?;
            left.push(match cx.world.get(name) {
                Some(System::Ecs(_)) => tasks::end(cx, state, of, name, self.patience()).await?,
                _ => servers::stop(cx, state, of, name, self.patience()).await?,
            });
        }
        if let Some(pair) = &cx.plan.pair {
            left.push(format!("users and secrets of {} that nobody needs any more", pair.source));
        }
        Ok(json!({ "left": left, "summary": format!("out of service. For a person: {}", left.join("; ")) }))
    }

    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        for name in self.stop.iter().rev() {
            match cx.world.get(name) {
                Some(System::Ecs(_)) => tasks::begin_again(cx, state, of, name).await?,
                _ => servers::start(cx, state, of, name, self.patience()).await?,
            }
        }
        for name in self.rules.iter().rev() {
            rules::come_back(cx, state, of, name).await?;
        }
        Ok(json!({ "summary": "in service again" }))
    }
}

/// What is sent to stop a system, and to start it again.
fn lines(system: Option<&System>) -> (Vec<String>, Vec<String>) {
    let call = |service, operation, parameters| Call::new(service, operation, parameters).to_string();
    match system {
        Some(System::Ecs(spec)) => {
            let to = |count: Value| {
                let parameters = json!({ "cluster": spec.cluster, "service": spec.service, "desiredCount": count });
                vec![call(Service::Ecs, "UpdateService", parameters)]
            };
            (to(json!(0)), to(json!("AS IT WAS")))
        }
        Some(System::Rds(spec)) => {
            let (kind, key, named) = match &spec.cluster {
                Some(cluster) => ("Cluster", "DBClusterIdentifier", cluster.clone()),
                None => ("Instance", "DBInstanceIdentifier", spec.instance.clone().unwrap_or_default()),
            };
            let cluster = kind == "Cluster";
            let snapshot = if cluster { "CreateDBClusterSnapshot" } else { "CreateDBSnapshot" };
            let (stop, start) =
                if cluster { ("StopDBCluster", "StartDBCluster") } else { ("StopDBInstance", "StartDBInstance") };
            let one = |operation| call(Service::Rds, operation, json!({ key: named }));
            (vec![one(snapshot), one(stop)], vec![one(start)])
        }
        _ => (Vec::new(), Vec::new()),
    }
}

/// What the step asks of IAM.
pub(super) fn permissions(step: &Decommission, plan: &Plan) -> Vec<Permission> {
    let of = |name: &String| match plan.systems.get(name) {
        Some(System::Ecs(spec)) => tasks::permissions(spec),
        Some(System::Rds(spec)) => servers::permissions(name, spec, plan),
        _ => Vec::new(),
    };
    step.stop.iter().flat_map(of).collect()
}
