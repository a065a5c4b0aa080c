//! A service of ECS gets no tasks any more; how many it had is remembered.

use serde_json::json;

use crate::endpoints::arn;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, Move};
use crate::runbook::model::{Ecs, System};
use crate::runbook::units::Span;
use crate::steps::StepError;
use crate::steps::notes::noted_as;
use crate::steps::rds_server::Waiting;
use crate::systems::Certainty;
use crate::systems::aws::{Aws, Permission, Service, ecs};

/// Ends all tasks; says what is left for a person.
pub(super) async fn end(
    cx: &Context,
    state: &RunState,
    of: &Move,
    name: &str,
    limit: Span,
) -> Result<String, StepError> {
    let (cluster, service) = named(cx, name)?;
    let aws = cx.rig.aws(name).await?;
    let waiting = Waiting::new(name, limit);
    let mut remembered = noted_as::<i32>(state, of, &key(name));
    loop {
        let found = ecs::service(&aws, &cluster, &service).await?;
        let (desired, running) = (found.desired_count(), found.running_count());
        if desired == 0 && running == 0 {
            let hint = "its scaling policies could bring tasks back";
            return Ok(format!("delete the service {service} when nobody needs it ({hint})"));
        }
        if desired != 0 {
            if remembered.is_none() {
                cx.note(of, json!({ key(name): desired }), Durability::Synced)?;
                remembered = Some(desired);
            }
            scale(cx, &aws, &cluster, &service, 0).await?;
        }
        waiting.rest(cx, of, &format!("{running} tasks of {service} still run")).await?;
    }
}

/// As many tasks as before.
pub(super) async fn begin_again(cx: &Context, state: &RunState, of: &Move, name: &str) -> Result<(), StepError> {
    let Some(desired) = noted_as::<i32>(state, of, &key(name)) else { return Ok(()) };
    let (cluster, service) = named(cx, name)?;
    let aws = cx.rig.aws(name).await?.urgent();
    if ecs::service(&aws, &cluster, &service).await?.desired_count() != 0 {
        return Ok(());
    }
    scale(cx, &aws, &cluster, &service, desired).await
}

/// Where the answer is lost the next look says whether it took effect: the same again does no harm.
async fn scale(cx: &Context, aws: &Aws, cluster: &str, service: &str, to: i32) -> Result<(), StepError> {
    cx.still_mine()?;
    match ecs::scale(aws, cluster, service, to).await {
        Err(error) if error.certainty != Certainty::Unknown => Err(error.into()),
        Err(_) if ecs::service(aws, cluster, service).await?.desired_count() != to => {
            Ok(ecs::scale(aws, cluster, service, to).await?)
        }
        _ => Ok(()),
    }
}

fn named(cx: &Context, name: &str) -> Result<(String, String), StepError> {
    match cx.world.get(name) {
        Some(System::Ecs(Ecs { cluster, service: Some(service), .. })) => Ok((cluster.clone(), service.clone())),
        _ => Err(StepError::broken(format!("{name} names no service of ECS"))),
    }
}

fn key(name: &str) -> String {
    format!("tasks-of-{name}")
}

pub(super) fn permissions(spec: &Ecs) -> Vec<Permission> {
    let cluster = spec.cluster.rsplit('/').next().unwrap_or_default();
    let service = arn("ecs", &spec.aws, &format!("service/{cluster}/{}", spec.service.as_deref().unwrap_or("*")));
    ["DescribeServices", "UpdateService"]
        .map(|operation| Permission::on(Service::Ecs, operation, service.clone()))
        .into()
}
