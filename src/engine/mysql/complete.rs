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
    let resting = of_plan(cx, &session, RESTING).await?.iter().fold(String::new(), |sql, event| sql + &enable(event));
    if !resting.is_empty() {
        setup::send_held(&session, "let the events run", held, &resting).await?;
    }
    Ok(())
}

/// A copy of files has its events switched on, though it follows. What switches them on once more goes through the way back,
/// and switches them off where they run as well.
pub(super) async fn events_rest_elsewhere(cx: &Context, way: Heading) -> Outcome<()> {
    let pair = cx.pair()?;
    let (arrive, leave) = (cx.rig.mysql(pair.arriving(way)).await?, cx.rig.mysql(pair.leaving(way)).await?);
    let (here, there) = tokio::try_join!(of_plan(cx, &arrive, ENABLED), of_plan(cx, &leave, ENABLED))?;
    let sql = here.iter().filter(|event| there.contains(event)).fold(String::new(), |sql, event| sql + &enable(event));
    if !sql.is_empty() {
        setup::send_held(&arrive, "let the events rest on the other side", (&cx.run, cx.epoch), &sql).await?;
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

/// Because the server followed: not those that somebody has disabled or dropped.
const RESTING: &str = "'SLAVESIDE_DISABLED', 'REPLICA_SIDE_DISABLED'";
const ENABLED: &str = "'ENABLED'";

/// Those of the plan that stand so on a server.
async fn of_plan(cx: &Context, session: &Session, status: &str) -> systems::Result<Vec<Event>> {
    let planned: Vec<&Event> = cx.plan.choices.mysql.iter().flat_map(|chosen| &chosen.events).collect();
    if planned.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS WHERE STATUS IN ({status})");
    let there = catalog::pairs(session, "look at the events", &sql).await?;
    let is_there = |event: &&&Event| there.iter().any(|(schema, name)| (schema, name) == (&event.0, &event.1));
    Ok(planned.iter().filter(is_there).map(|event| (*event).clone()).collect())
}

/// Events run on the side that is written: what switches them on here goes through the stream and switches them off
/// there, as every replicated event is.
fn enable((schema, event, definer): &Event) -> String {
    let (user, host) = definer.rsplit_once('@').unwrap_or((definer, "%"));
    format!("ALTER DEFINER = {}@{} EVENT {}.{} ENABLE;\n", ident(user), ident(host), ident(schema), ident(event))
}
