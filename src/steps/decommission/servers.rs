//! A server of RDS is stopped, after a last snapshot.

use serde_json::json;

use crate::endpoints::arn;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{Rds, Snapshot};
use crate::runbook::units::Span;
use crate::steps::notes::noted_as;
use crate::steps::rds_server::{self, Waiting};
use crate::steps::{StepError, snapshot};
use crate::systems::Certainty;
use crate::systems::aws::rds::{self as driver, Kind, Server};
use crate::systems::aws::{Permission, Service};

/// Stops it; says what is left for a person.
pub(super) async fn stop(
    cx: &Context,
    state: &RunState,
    of: &Move,
    name: &str,
    limit: Span,
) -> Result<String, StepError> {
    let aws = cx.rig.aws(name).await?;
    let waiting = Waiting::new(name, limit);
    let step = Snapshot { name: None, of: name.to_owned(), timeout: limit };
    let mut backed_up = noted_as::<String>(state, of, &key("snapshot", name));
    loop {
        let server = rds_server::server(cx, &aws, name).await?;
        let words = match (server.status.as_str(), &backed_up) {
            ("stopped", snapshot) => {
                let snapshot = snapshot.as_deref().unwrap_or("none: it was stopped before");
                return Ok(format!(
                    "delete {} when nobody needs it (its last snapshot: {snapshot}); RDS starts it again after 7 days",
                    server.identifier
                ));
            }
            ("available", None) => {
                serves_nobody(cx, name, &server)?;
                let snapshot = step.take(cx, state, of).await?;
                cx.note(of, json!({ key("snapshot", name): snapshot }), Durability::Synced)?;
                backed_up = Some(snapshot);
                format!("{} has its last snapshot", server.identifier)
            }
            ("available", Some(_)) => {
                serves_nobody(cx, name, &server)?;
                cx.note(of, json!({ key("stopped", name): server.identifier }), Durability::Synced)?;
                cx.still_mine()?;
                asked(driver::stop(&aws, &server).await, &server)?
            }
            (status, _) => format!("{} is {status}", server.identifier),
        };
        waiting.rest(cx, of, &words).await?;
    }
}

/// Starts it again, if this step has stopped it.
pub(super) async fn start(cx: &Context, state: &RunState, of: &Move, name: &str, limit: Span) -> Result<(), StepError> {
    if noted_as::<String>(state, of, &key("stopped", name)).is_none() {
        return Ok(());
    }
    let aws = cx.rig.aws(name).await?.urgent();
    let waiting = Waiting::new(name, limit);
    loop {
        let server = rds_server::server(cx, &aws, name).await?;
        let words = match server.status.as_str() {
            "available" => return Ok(()),
            "stopped" => {
                cx.still_mine()?;
                asked(driver::start(&aws, &server).await, &server)?
            }
            status => format!("{} is {status}", server.identifier),
        };
        waiting.rest(cx, of, &words).await?;
    }
}

/// Where the answer is lost, or it is in the middle of something, the next look says how it stands.
fn asked(answer: Result<(), crate::systems::DriverError>, server: &Server) -> Result<String, StepError> {
    match answer {
        Err(error) if error.certainty != Certainty::Unknown && !is_busy(&error) => Err(error.into()),
        Err(error) => Ok(error.reason),
        Ok(()) => Ok(format!("{} was asked", server.identifier)),
    }
}

/// An instance that has a replica or is one is in a wrong state for ever: only the wait's end tells.
fn is_busy(error: &crate::systems::DriverError) -> bool {
    error.code.as_deref().is_some_and(|code| code.starts_with("InvalidDB"))
}

/// Never the server that takes the writes.
fn serves_nobody(cx: &Context, name: &str, server: &Server) -> Result<(), StepError> {
    let Some(pair) = &cx.plan.pair else { return Ok(()) };
    let (Ok(target), Some(here)) = (cx.world.address(&pair.target), &server.address) else { return Ok(()) };
    if (&target.host, target.port) != (&here.host, here.port) {
        return Ok(());
    }
    let message = format!("{name} is the server of {}, which takes the writes: it is not stopped", pair.target);
    Err(StepError::told(FailureKind::Refused, message, Some("name the side that was left, in a new run")))
}

fn key(what: &str, name: &str) -> String {
    format!("{what}-of-{name}")
}

pub(super) fn permissions(name: &str, spec: &Rds, plan: &Plan) -> Vec<Permission> {
    let step = Snapshot { name: None, of: name.to_owned(), timeout: Span::secs(0) };
    let (kind, operations) = match plan.kind_of_rds(name) {
        Kind::Instance => ("db", ["StopDBInstance", "StartDBInstance"]),
        Kind::Cluster => ("cluster", ["StopDBCluster", "StartDBCluster"]),
    };
    let resource = arn("rds", &spec.aws, &format!("{kind}:{}", rds_server::pattern(spec)));
    let own = operations.map(|operation| Permission::on(Service::Rds, operation, resource.clone()));
    snapshot::permissions(&step, plan).into_iter().chain(own).collect()
}
