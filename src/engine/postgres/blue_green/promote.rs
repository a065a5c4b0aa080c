//! RDS switches over, and the way back begins at exactly that point: its publications and its slot are made on the new side
//! while both are fenced. Before the switchover nothing of it is there that RDS could mind.

use super::kind::Logical;
use crate::engine::postgres::Postgres;
use crate::engine::postgres::carried;
use crate::engine::postgres::freeze::{fencing, known_open};
use crate::engine::postgres::replicate::Replication;
use crate::engine::promotion::{PATIENCE, Promotion};
use crate::engine::replica::promote::slot_of_way_back;
use crate::engine::{Engine, Lines, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::{Promote, Step};
use crate::steps::StepError;
use crate::systems::pair::Heading;
use crate::systems::postgres::{setup, stream};

const CONNECTION: &str = "CONNECTION STRING, password not shown";

pub(super) fn describe(plan: &Plan, way: Heading, step: &Promote) -> Lines {
    let Some(pair) = plan.pair.as_ref().filter(|_| way == Heading::Forth) else {
        return Postgres.describe_promote(plan, way, step);
    };
    let mut lines = vec![Promotion::of(plan).describe(&Logical, plan, &pair.target)];
    let open = Postgres.describe_promote(plan, way, step);
    if !step.keep_way_back {
        lines.extend(open);
        return lines;
    }
    let made = stream::create_publications(Heading::Back, &plan.choices.tables, false);
    lines.extend(made.into_iter().map(|sql| (pair.target.clone(), sql)));
    lines.push((pair.target.clone(), stream::create_slot(Heading::Back)));
    lines.extend(open);
    let follow = stream::subscribe_to_slot(Heading::Back, CONNECTION, true);
    let later = "-- behind the switch, when no write waits: RebootDBInstance of the old one, our schema there, then";
    lines.push((pair.source.clone(), format!("{later} {follow}")));
    lines
}

pub(super) fn waits(plan: &Plan) -> String {
    let timeout = plan.steps.iter().find_map(|step| match &step.step {
        Step::Promote(promote) => promote.timeout,
        _ => None,
    });
    let usual = Promotion::of(plan).usual();
    format!(
        "writes wait until RDS has switched over: {usual}, behind the commit point and beyond the budget; after {} a person \
         is asked",
        timeout.unwrap_or(PATIENCE)
    )
}

pub(super) async fn promote(cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome {
    if of.way == Heading::Forth {
        switch_over(cx, state, of, step).await?;
    }
    Postgres.promote(cx, state, of, step).await
}

async fn switch_over(cx: &Context, state: &RunState, of: &Move, step: &Promote) -> Outcome<()> {
    let limit = step.timeout.unwrap_or(PATIENCE);
    Promotion::of(&cx.plan).carry_out(&Logical, cx, state, of, limit).await?;
    let name = &cx.pair()?.target;
    let target = cx.rig.postgres(name).await?;
    // Our session may be from before.
    setup::raise_epoch(&target, &cx.run, cx.epoch).await?;
    if !step.keep_way_back {
        return Ok(());
    }
    let replicate = carried::replicate(cx).ok_or_else(|| StepError::broken("the plan replicates nothing"))?;
    Replication(replicate).publications(cx, &target, Heading::Back).await?;
    let open = known_open(cx, state, name)?;
    slot_of_way_back(cx, of, &target, &fencing(cx, name, &open)?).await
}
