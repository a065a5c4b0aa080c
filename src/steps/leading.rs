//! A `switch` outside of a window: endpoints that only say where the database is are led to the other side one after the
//! other, each looked at before and after. It can be repeated at any point: what leads there already is not touched.

use std::time::Duration;

use serde_json::{Value, json};

use super::StepError;
use crate::clock;
use crate::endpoints::{self, Endpoint, Errand, Leads};
use crate::executor::state::{RunState, Side};
use crate::journal::{Durability, FailureKind};
use crate::runbook::model::{Name, Place, Switch};
use crate::systems::Certainty;
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
