//! Arming the window: both servers are those of the plan, RDS's stream carries everything now, RDS would switch over, what
//! the fence must restore is known, and the statements of the window were tried, as far as they make nothing on the blue side.

use serde_json::json;

use super::kind::Logical;
use super::{feed, way_back};
use crate::engine::postgres::arm as native;
use crate::engine::postgres::freeze::{fencing, known_open, planned_fencing, planned_open};
use crate::engine::postgres::{Postgres, carried};
use crate::engine::promotion::Promotion;
use crate::engine::{Engine, Lines, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, Move};
use crate::plan::Plan;
use crate::steps::new_token;
use crate::systems::pair::Heading;
use crate::systems::postgres::barrier::BarrierPlan;
use crate::systems::postgres::fence::Fencing;
use crate::systems::postgres::hold::{Hold, emit};
use crate::systems::postgres::{catalog, setup, stream};

/// RDS's slot, in the notes of the window.
pub(super) const SLOT: &str = "slot_of_rds";

pub(super) fn describe(plan: &Plan, way: Heading) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    if way == Heading::Back {
        return native::describe_with(plan, way, &[way]);
    }
    let open = planned_open(plan, &pair.source);
    let fencing = planned_fencing(plan, &pair.source, &open);
    let sequences = plan.choices.sequences.as_slice();
    let barrier =
        BarrierPlan { run: "RUN", epoch: 1, way, fencing, sequences, token: "TOKEN", points: "", limit_ms: 0 };
    let open = planned_open(plan, &pair.target);
    let lift = planned_fencing(plan, &pair.target, &open);
    vec![
        (pair.source.clone(), emit("TOKEN").trim_end().to_owned()),
        (pair.source.clone(), barrier.trial_by(Hold::Setting)),
        (pair.target.clone(), trial(plan, "RUN", 1, &lift)),
    ]
}

pub(super) async fn look_before(cx: &Context, way: Heading) -> Outcome<()> {
    let pair = cx.pair()?;
    if way == Heading::Back {
        way_back::lay(cx).await?;
    }
    let (source, target) = tokio::try_join!(cx.rig.postgres(&pair.source), cx.rig.postgres(&pair.target))?;
    native::same_servers(cx, &source, &target).await?;
    carried::schema(cx).await?;
    if way == Heading::Back {
        carried::tables(cx, Heading::Back).await?;
        return native::prove(cx, Heading::Back).await;
    }
    let slot = feed::carries(cx).await?;
    feed::tables_of_plan(cx).await?;
    feed::prove(cx, &slot).await?;
    Promotion::of(&cx.plan).may(&Logical, cx).await
}

pub(super) async fn arm(cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
    if of.way == Heading::Back {
        return Postgres.arm(cx, state, of).await;
    }
    let pair = cx.pair()?;
    let (source, target) = tokio::try_join!(cx.rig.postgres(&pair.source), cx.rig.postgres(&pair.target))?;
    let slot = feed::carries(cx).await?;
    let sequences = catalog::sequences(&source, &cx.plan.choices.schemas).await?;
    cx.note(of, json!({ "sequences": sequences, (SLOT): slot }), Durability::Ordered)?;
    let open = native::remember_open(cx, of, &source).await?;
    let (run, epoch, token, way) = (cx.run.as_str(), cx.epoch, new_token(), of.way);
    let here = fencing(cx, &pair.source, &open)?;
    let barrier =
        BarrierPlan { run, epoch, way, fencing: here, sequences: &sequences, token: &token, points: "", limit_ms: 0 };
    let there = known_open(cx, state, &pair.target)?;
    let promote = trial(&cx.plan, run, epoch, &fencing(cx, &pair.target, &there)?);
    native::tried(cx, source.system(), barrier.trial_by(Hold::Setting)).await?;
    native::tried(cx, target.system(), promote).await?;
    Promotion::of(&cx.plan).remember(&Logical, cx, of).await
}

/// What `promote` does on the green side, taken back, but for the slot, which no transaction takes back.
fn trial(plan: &Plan, run: &str, epoch: u64, fencing: &Fencing<'_>) -> String {
    let mut made = String::new();
    if plan.keeps_way_back() {
        for sql in stream::create_publications(Heading::Back, &plan.choices.tables, false) {
            made += &format!("{sql};\n");
        }
    }
    format!("BEGIN;\n{}\n{made}{}ROLLBACK;\n", setup::hold_epoch(run, epoch), fencing.lift())
}
