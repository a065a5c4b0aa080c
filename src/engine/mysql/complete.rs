//! What a window leaves to do once writes go on: what must outlive a restart is written down on both servers, and events
//! run where writes go. None of it may be waited for by a client. Each can be repeated; what is done already is left alone.

use super::common;
use crate::engine::{Lines, Outcome};
use crate::executor::context::Context;
use crate::plan::Plan;
use crate::systems;
use crate::systems::mysql::{Session, catalog, ident, setup};
use crate::systems::pair::Heading;

const KEPT: &str = "SELECT COUNT(*) FROM performance_schema.persisted_variables \
                    WHERE VARIABLE_NAME = 'super_read_only' AND VARIABLE_VALUE = 'ON'";

pub(super) fn describe(plan: &Plan, way: Heading) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let (arriving, leaving) = (pair.arriving(way), pair.leaving(way));
    let said = |side: &str, sql: String| (side.to_owned(), format!("-- when writes go on:\n{sql}"));
    let mut lines = Vec::new();
    for (side, sql) in [(arriving, forget(plan, arriving)), (leaving, seal(plan, leaving))] {
        lines.extend(Some(sql).filter(|sql| !sql.is_empty()).map(|sql| said(side, sql)));
    }
    let events = plan.choices.mysql.iter().flat_map(|chosen| &chosen.events);
    let events = events.fold(String::new(), |sql, event| sql + &enable(event));
    lines.extend(Some(events).filter(|sql| !sql.is_empty()).map(|sql| said(arriving, sql)));
    lines
}

pub(super) async fn complete(cx: &Context, way: Heading) -> Outcome<()> {
    let pair = cx.pair()?;
    opened(cx, pair.arriving(way)).await?;
    let sql = seal(&cx.plan, pair.leaving(way));
    if !sql.is_empty() {
        let leaving = cx.rig.mysql(pair.leaving(way)).await?;
        setup::send_held(&leaving, "keep its fence over a restart", (&cx.run, cx.epoch), &sql).await?;
    }
    Ok(())
}

/// The side that was opened stays open when it is started again, and its events run.
pub(super) async fn opened(cx: &Context, side: &str) -> Outcome<()> {
    let session = cx.rig.mysql(side).await?;
    let held = (cx.run.as_str(), cx.epoch);
    let forget = forget(&cx.plan, side);
    // Only what is of the run still: a person may have shut the server since.
    if !forget.is_empty() && session.value("see what outlives a restart", KEPT).await?.as_deref() != Some("0") {
        let open = common::planned_open();
        let sql = common::fencing(&cx.plan, side, &open, &[]).writable() + &forget;
        setup::send_held(&session, "keep it open over a restart", held, &sql).await?;
    }
    let resting = resting(cx, &session).await?.iter().fold(String::new(), |sql, event| sql + &enable(event));
    if !resting.is_empty() {
        setup::send_held(&session, "let the events run", held, &resting).await?;
    }
    Ok(())
}

/// What keeps the side that was left shut when it is started again.
pub(super) fn seal(plan: &Plan, side: &str) -> String {
    common::fencing(plan, side, &common::planned_open(), &[]).seal().to_owned()
}

fn forget(plan: &Plan, side: &str) -> String {
    common::fencing(plan, side, &common::planned_open(), &[]).forget()
}

/// Schema, name and definer.
type Event = (String, String, String);

/// Those of the plan that rest because the server followed: not those that somebody has disabled or dropped.
async fn resting(cx: &Context, session: &Session) -> systems::Result<Vec<Event>> {
    let planned: Vec<&Event> = cx.plan.choices.mysql.iter().flat_map(|chosen| &chosen.events).collect();
    if planned.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS \
               WHERE STATUS IN ('SLAVESIDE_DISABLED', 'REPLICA_SIDE_DISABLED')";
    let there = catalog::pairs(session, "look for events that rest", sql).await?;
    let rests = |event: &&&Event| there.iter().any(|(schema, name)| (schema, name) == (&event.0, &event.1));
    Ok(planned.iter().filter(rests).map(|event| (*event).clone()).collect())
}

/// Events run on the side that is written: what switches them on here goes through the stream and switches them off
/// there, as every replicated event is.
fn enable((schema, event, definer): &Event) -> String {
    let (user, host) = definer.rsplit_once('@').unwrap_or((definer, "%"));
    format!("ALTER DEFINER = {}@{} EVENT {}.{} ENABLE;\n", ident(user), ident(host), ident(schema), ident(event))
}
