//! RDS replicates already. What is made here is on the green side only: our schema, and the fence, so that nobody but RDS's
//! stream writes there. On the blue side a setting of our role is written, which is of the kind of what the fence does
//! there: should RDS mind it, the deployment says so long before writes stop.

use serde_json::json;

use super::feed;
use crate::engine::Outcome;
use crate::engine::postgres::freeze::{fencing, planned_fencing, planned_open};
use crate::engine::postgres::replicate::Replication;
use crate::engine::replica::finalize::sweep;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Replicate;
use crate::steps::Description;
use crate::systems::pair::Heading;
use crate::systems::postgres::fence::Open;
use crate::systems::postgres::hold::{self, emit};
use crate::systems::postgres::{Session, setup, stream};

pub(super) fn describe(plan: &Plan, step: &Replicate) -> Description {
    let (source, target) = (&step.from, &step.to);
    let open = planned_open(plan, target);
    let fencing = planned_fencing(plan, target, &open);
    let apply = vec![
        (source.clone(), hold::claiming("RUN", 1)),
        (target.clone(), setup::SETUP.to_owned()),
        (target.clone(), format!("BEGIN;\n{}COMMIT;", fencing.close())),
        (source.clone(), emit("TOKEN").trim_end().to_owned()),
    ];
    let undo = vec![
        (source.clone(), hold::releasing("RUN")),
        (target.clone(), format!("{}-- unless RDS has switched over since", fencing.lift())),
        (target.clone(), setup::TEARDOWN.to_owned()),
    ];
    let summary = format!(
        "Look that RDS replicates everything from {source} to {target} logically, and keeps up; fence {target}; copy nothing, \
         and change no schema on {source}"
    );
    let clients = Some(format!("nothing on {source}; {target} refuses clients until the switch"));
    Description { summary, apply, undo, clients }
}

pub(super) async fn apply(cx: &Context, state: &RunState, of: &Move, step: &Replicate) -> Outcome {
    let (source, target) = tokio::try_join!(cx.rig.postgres(&step.from), cx.rig.postgres(&step.to))?;
    let slot = feed::carries(cx).await?;
    hold::claim(&source, &cx.run, cx.epoch).await?;
    target.batch("make our schema", setup::SETUP).await?;
    setup::claim(&target, &cx.run, cx.epoch).await?;
    Replication(step).fence_target(cx, state, of, &target).await?;
    cx.progress(&of.step, "waiting until what is written now has been applied");
    feed::prove(cx, &slot).await?;
    Ok(json!({ "tables": cx.plan.choices.tables.len() }))
}

/// RDS's stream is never made again: what was switched over has parted from the old side for good.
pub(super) async fn undo(cx: &Context, state: &RunState, step: &Replicate) -> Outcome {
    let (source, target) = tokio::try_join!(cx.rig.postgres(&step.from), cx.rig.postgres(&step.to))?;
    if let Some(other) = other_owner(cx, &source, &target).await? {
        return Ok(json!({ "summary": format!("nothing to take back: run {other} has the databases") }));
    }
    if is_switched_over(&target).await? {
        stream::drop_subscription(&source, Heading::Back).await?;
        sweep(&target).await?;
        sweep(&source).await?;
        hold::release(&source, &cx.run).await?;
        let name = cx.plan.choices.blue_green.as_ref().map_or_else(String::new, |found| found.name.clone());
        let left = format!(
            "{to} was switched over: it is a server of its own, stays fenced, and does not follow {from} any more. Delete it \
             when nobody needs it. RDS has renamed both, and its deployment {name} is over: who dials by the name reaches the \
             fenced one. Make a new deployment before the next run",
            to = step.to,
            from = step.from
        );
        return Ok(json!({ "summary": left }));
    }
    if let Some(open) = remembered::<Open>(state, "replicate", &format!("open_{}", step.to)) {
        let sql = format!("BEGIN;\n{}COMMIT;", fencing(cx, &step.to, &open)?.lift());
        target.batch("lift the fence", &sql).await?;
    }
    target.batch("drop our schema", setup::TEARDOWN).await?;
    hold::release(&source, &cx.run).await?;
    Ok(json!({ "summary": format!("{} still follows {}, by RDS", step.to, step.from) }))
}

async fn other_owner(cx: &Context, source: &Session, target: &Session) -> Outcome<Option<String>> {
    let owners = [hold::owner(source).await?, setup::owner(source).await?, setup::owner(target).await?];
    Ok(owners.into_iter().flatten().find(|owner| *owner != cx.run))
}

/// The publication of the way back is made behind the switchover, and only there.
async fn is_switched_over(target: &Session) -> Outcome<bool> {
    let sql = "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)";
    Ok(target.value("look for the way back", sql, &[&Heading::Back.stream()]).await?)
}
