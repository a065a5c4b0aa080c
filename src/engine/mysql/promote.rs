//! The other side opens for writes. The stream back runs since `replicate`: it carries what is written from here on.

use serde_json::json;

use super::common;
use crate::engine::{Lines, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Promote;
use crate::systems::mysql::fence::Fencing;
use crate::systems::mysql::{ident, setup, stream};
use crate::systems::pair::Heading;

pub(super) fn describe(plan: &Plan, way: Heading, _step: &Promote) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let arriving = pair.arriving(way);
    let (open, exempt) = (common::planned_open(), common::exempt(plan, arriving));
    let sql = sql(plan, way, &common::fencing(plan, arriving, &open, &exempt), ("RUN", 1));
    let events = events(plan);
    let mut lines = vec![(arriving.to_owned(), sql)];
    if !events.is_empty() {
        lines.push((arriving.to_owned(), events));
    }
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
    let events = events(&cx.plan);
    if !events.is_empty() {
        session.batch("let the events run", &events).await?;
    }
    Ok(json!({ "opened_at_position": position }))
}

/// The position is read first: what is written from here on lies behind it.
fn sql(plan: &Plan, way: Heading, fencing: &Fencing<'_>, (run, epoch): (&str, u64)) -> String {
    let arriving = plan.pair.as_ref().map(|pair| pair.arriving(way)).unwrap_or_default();
    let new_words = common::side(plan, arriving).new_words;
    let position = stream::show_position(fencing.flavour, common::follow(plan), new_words);
    setup::held(run, epoch, &format!("{position}{}", fencing.lift()))
}

/// Events run on the side that is written: what switches them on here goes through the stream and switches them off
/// there, as every replicated event is.
fn events(plan: &Plan) -> String {
    let events = plan.choices.mysql.iter().flat_map(|chosen| &chosen.events);
    events.fold(String::new(), |sql, (schema, event, definer)| {
        let name = format!("{}.{}", ident(schema), ident(event));
        let (user, host) = definer.rsplit_once('@').unwrap_or((definer, "%"));
        sql + &format!("ALTER DEFINER = {}@{} EVENT {name} ENABLE;\n", ident(user), ident(host))
    })
}
