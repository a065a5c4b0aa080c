//! Arming the window of a physical replica: both servers are those of the plan, the replica follows now, the way back can
//! be laid, what the fence must restore is known, and the statements of the freeze were tried.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::postgres::arm as between;
use super::super::postgres::carried;
use super::super::postgres::freeze::{fencing, points};
use super::old_blue;
use super::physical::Physical;
use super::replicate::{is_standby, prove, try_way_back};
use crate::engine::Outcome;
use crate::engine::promotion::Promotion;
use crate::executor::context::Context;
use crate::journal::{Durability, FailureKind, Move};
use crate::steps::{StepError, new_token};
use crate::systems::pair::Heading;
use crate::systems::postgres::barrier::BarrierPlan;
use crate::systems::postgres::{Session, catalog};

pub(super) async fn look_before(cx: &Context, way: Heading) -> Outcome<()> {
    let pair = cx.pair()?;
    let (source, target) = tokio::try_join!(cx.rig.postgres(&pair.source), cx.rig.postgres(&pair.target))?;
    between::same_servers(cx, &source, &target).await?;
    if way == Heading::Back {
        if matches!(Promotion::of(&cx.plan), Promotion::BlueGreen(_)) {
            old_blue::lay_way_back(cx).await?;
        }
        // Only the stream back is there, and only it is needed.
        carried::schema(cx).await?;
        carried::tables(cx, Heading::Back).await?;
        return between::prove(cx, Heading::Back).await;
    }
    is_standby(&target).await?;
    prove(cx, &source, &target).await?;
    if cx.plan.keeps_way_back() {
        everything_goes_back(cx, &source).await?;
        try_way_back(cx).await?;
    }
    Promotion::of(&cx.plan).may(&Physical, cx).await
}

pub(super) async fn arm(cx: &Context, of: &Move) -> Outcome<()> {
    let pair = cx.pair()?;
    let source = cx.rig.postgres(&pair.source).await?;
    let sequences = catalog::sequences(&source, &cx.plan.choices.schemas).await?;
    cx.note(of, json!({ "sequences": sequences }), Durability::Ordered)?;
    let open = between::remember_open(cx, of, &source).await?;
    // The replica has the same roles and limits, and is fenced with the source.
    cx.note(of, json!({ format!("open_{}", pair.target): open }), Durability::Ordered)?;
    let (run, epoch, token, way) = (cx.run.as_str(), cx.epoch, new_token(), Heading::Forth);
    let fencing = fencing(cx, &pair.source, &open)?;
    let points = &points(&cx.plan, way, false);
    let barrier = BarrierPlan { run, epoch, way, fencing, sequences: &sequences, token: &token, points, limit_ms: 0 };
    between::tried(cx, &pair.source, barrier.trial()).await?;
    Promotion::of(&cx.plan).remember(&Physical, cx, of).await
}

/// The stream back lists the tables of the plan.
async fn everything_goes_back(cx: &Context, source: &Session) -> Outcome<()> {
    let there: BTreeSet<_> = catalog::tables(source, &cx.plan.choices.schemas).await?.into_iter().collect();
    let published = carried::published(source, Heading::Back).await?;
    let missing: Vec<String> =
        there.difference(&published).map(|(schema, table)| format!("{schema}.{table}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let stream = Heading::Back.stream();
    let message = format!("the way back would not carry {}: made after the plan", missing.join(", "));
    let hint = format!("on {}: ALTER PUBLICATION {stream} ADD TABLE …; then continue", source.system());
    Err(StepError::told(FailureKind::Refused, message, Some(&hint)))
}
