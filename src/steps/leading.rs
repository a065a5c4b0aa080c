//! A `switch` outside of a window: endpoints that only say where the database is are led to the other side one after the
//! other, each looked at before and after. It can be repeated at any point: what leads there already is not touched.

use std::time::Duration;

use serde_json::{Value, json};

use super::{StepError, create_blue_green, create_instance, decommission, failover, parameters, run_task, snapshot};
use crate::clock;
use crate::endpoints::{self, Endpoint, Errand, Leads, Route};
use crate::executor::state::{RunState, Side};
use crate::journal::{Durability, FailureKind};
use crate::plan::{Plan, PlanStep};
use crate::preflight::Finding;
use crate::runbook::model::{Name, Place, Step, Switch};
use crate::systems::Certainty;
use crate::systems::aws::Permission;
use crate::systems::pair::Heading;
use crate::systems::world::World;

/// Sessions that are left are given this long to end by themselves.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a switch is one of endpoints whose clients follow within minutes.
pub(super) fn is_outside(world: &World, switch: &Switch) -> bool {
    let outside = |name: &Name| endpoints::manner(world, name).is_some_and(|manner| manner.place == Place::Outside);
    switch.endpoints.iter().any(outside)
}

/// Leads every endpoint along the route, in the order of the runbook: a secret comes before the service that reads it,
/// in both directions.
pub(super) async fn lead(errand: &Errand<'_>, names: &[Name]) -> Result<Value, StepError> {
    let cx = errand.cx;
    let mut seen = Vec::new();
    for name in names {
        cx.checkpoint()?;
        let endpoint = cx.rig.endpoint(name).await?;
        cx.progress(&errand.of.step, &format!("{name} is looked at"));
        lead_one(&*endpoint, errand).await?;
        seen.extend(endpoint.settle(errand).await?);
        if let Some(writer) = writer(errand.state) {
            seen.push(endpoint.clients_follow(cx, &writer).await?);
        }
    }
    seen.extend(nobody_left(errand).await?);
    Ok(json!({ "seen": seen }))
}

async fn lead_one(endpoint: &dyn Endpoint, errand: &Errand<'_>) -> Result<(), StepError> {
    let name = endpoint.name();
    match endpoint.observe(errand).await? {
        Leads::To => return Ok(()),
        Leads::From => {}
        Leads::Neither(words) => return Err(neither(name, &words)),
        Leads::Unknown(words) => {
            let message = format!("{name}: where it leads can't be seen: {words}");
            return Err(StepError::told(FailureKind::Unknown, message, None));
        }
    }
    errand.cx.still_mine()?;
    let error = match endpoint.switch(errand).await {
        Ok(note) => return errand.cx.note(errand.of, json!({ name: note }), Durability::Synced),
        Err(error) => error,
    };
    // A change whose answer was lost may have been made: what stands there says so.
    let lost = matches!(&error, StepError::Driver(error) if error.certainty == Certainty::Unknown);
    if lost && endpoint.observe(errand).await? == Leads::To {
        return errand.cx.note(errand.of, json!({ name: "its answer was lost; it was read back" }), Durability::Synced);
    }
    Err(error)
}

fn neither(name: &str, words: &str) -> StepError {
    let message = format!("{name} leads to neither side, and is left alone: {words}");
    let hint = "find out who changed it. Put it back and `pointsman retry`; or lead it yourself, then \
                `pointsman skip --reason`";
    StepError::told(FailureKind::Refused, message, Some(hint))
}

/// Looks at every endpoint that a switch of its own leads, and at what one-off tasks need; reads only. What can't be read
/// is a finding.
pub(super) async fn findings(plan: &Plan) -> Vec<Finding> {
    let world = World::new(plan.systems.clone());
    let mut findings = Vec::new();
    for step in plan.steps.iter().filter(|step| step.window.is_none()) {
        match &step.step {
            Step::Switch(switch) => {
                for name in &switch.endpoints {
                    findings.extend(looked_at(plan, &world, name).await);
                }
            }
            Step::RunTask(task) => findings.push(run_task::finding(task, &world).await),
            Step::Snapshot(step) => findings.push(snapshot::finding(step, &world).await),
            Step::Parameters(step) => findings.push(parameters::finding(step, &world).await),
            Step::CreateInstance(step) => findings.push(create_instance::finding(step, &world).await),
            Step::CreateBlueGreen(step) => findings.extend(create_blue_green::findings(step, &world).await),
            Step::Failover(step) => findings.push(failover::finding(step, &world).await),
            _ => {}
        }
    }
    findings
}

async fn looked_at(plan: &Plan, world: &World, name: &str) -> Vec<Finding> {
    let look = async {
        let route = Route::of(plan, world, Heading::Forth)?;
        endpoints::open(world, name)?.findings(&route).await
    };
    look.await.unwrap_or_else(|error| vec![endpoints::unread(name, &error)])
}

/// What a run of the plan asks of IAM for its endpoints and tasks.
pub fn permissions(plan: &Plan) -> Vec<Permission> {
    let world = World::new(plan.systems.clone());
    let of = |step: &PlanStep| match &step.step {
        Step::Switch(switch) => {
            let open = switch.endpoints.iter().filter_map(|name| endpoints::open(&world, name).ok());
            open.flat_map(|endpoint| endpoint.permissions()).collect()
        }
        Step::RunTask(task) => run_task::permissions(task, &world),
        Step::Snapshot(step) => snapshot::permissions(step, plan),
        Step::Parameters(step) => parameters::permissions(step, plan),
        Step::CreateInstance(step) => create_instance::permissions(step, &world),
        Step::CreateBlueGreen(step) => create_blue_green::permissions(step, plan),
        Step::Decommission(step) => decommission::permissions(step, plan),
        Step::Failover(step) => failover::permissions(step, &world),
        _ => Vec::new(),
    };
    plan.steps.iter().flat_map(of).collect()
}

/// The database that takes writes now, where the runbook has a pair.
fn writer(state: &RunState) -> Option<String> {
    let pair = state.plan.pair.as_ref()?;
    Some(if state.writer == Side::Source { pair.source.clone() } else { pair.target.clone() })
}

/// Behind the window, nobody of the application may be left on the source.
async fn nobody_left(errand: &Errand<'_>) -> Result<Option<String>, StepError> {
    let (cx, state) = (errand.cx, errand.state);
    let Some(pair) = &state.plan.pair else { return Ok(None) };
    if state.writer != Side::Target || errand.route.way != Heading::Forth {
        return Ok(None);
    }
    let latest = clock::monotonic() + PATIENCE;
    loop {
        let Some(left) = cx.engine().sessions_left(cx, &pair.source).await? else {
            return Ok(Some(format!("no session of the application is left on {}", pair.source)));
        };
        if clock::monotonic() >= latest {
            let hint = "end them, or wait until they have followed, then `pointsman retry`";
            return Err(StepError::told(
                FailureKind::GateHold,
                format!("every endpoint is led, but {left}"),
                Some(hint),
            ));
        }
        cx.progress(&errand.of.step, &left);
        cx.rest(Duration::from_secs(1)).await?;
    }
}
