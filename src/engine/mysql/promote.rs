//! The other side opens for writes. The stream back runs since `replicate`: it carries what is written from here on.

use serde_json::json;

use super::{common, complete};
use crate::engine::{Lines, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Promote;
use crate::systems::mysql::fence::Fencing;
use crate::systems::mysql::{setup, stream};
use crate::systems::pair::Heading;

pub(super) fn describe(plan: &Plan, way: Heading, _step: &Promote) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let arriving = pair.arriving(way);
    let (open, exempt) = (common::planned_open(), common::exempt(plan, arriving));
    let sql = sql(plan, way, &common::fencing(plan, arriving, &open, &exempt), ("RUN", 1));
    let mut lines = vec![(arriving.to_owned(), sql)];
    lines.extend(complete::describe(plan, way));
    lines
}

pub(super) async fn promote(cx: &Context, state: &RunState, of: &Move, _step: &Promote) -> Outcome {
    let arriving = cx.pair()?.arriving(of.way);
    let open = common::known_open(cx, state, arriving)?;
    let exempt = common::exempt(&cx.plan, arriving);
    let session = cx.rig.mysql(arriving).await?;
    let fencing = common::fencing(&cx.plan, arriving, &open, &exempt);
    let sql = sql(&cx.plan, of.way, &fencing, (&cx.run, cx.epoch));
    let results = session.batch("open it for writes", &sql).await;
    let results = match results {
        Ok(results) => results,
        Err(error) => {
            setup::let_go(&session).await;
            return Err(error.into());
        }
    };
    let domain = common::side(&cx.plan, arriving).domain;
    let position = results
        .first()
        .and_then(|rows| stream::read_position(rows.first()?, session.flavour(), common::follow(&cx.plan), domain));
    Ok(json!({ "opened_at_position": position }))
}

/// The position is read first: what is written from here on lies behind it.
fn sql(plan: &Plan, way: Heading, fencing: &Fencing<'_>, (run, epoch): (&str, u64)) -> String {
    let arriving = plan.pair.as_ref().map(|pair| pair.arriving(way)).unwrap_or_default();
    let new_words = common::side(plan, arriving).new_words;
    let position = stream::show_position(fencing.flavour, common::follow(plan), new_words);
    setup::held(run, epoch, &format!("{position}{}", fencing.open()))
}
