//! Arming the window: the servers are those of the plan, both streams run and carry a token now, both sides have the same
//! tables, what the fence must restore is known, and the window's statements were tried.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join;
use serde_json::json;

use super::common;
use super::near::{self, Moment};
use crate::clock;
use crate::engine::{Lines, Outcome};
use crate::executor::context::Context;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::steps::{StepError, new_token};
use crate::systems::mysql::stream::{self, Receiver, Stream};
use crate::systems::mysql::{Flavour, Session, catalog, fence, setup};
use crate::systems::pair::Heading;

/// Names in a message; more are counted.
const SHOWN: usize = 5;

pub(super) fn describe(plan: &Plan, way: Heading) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let mut apply = Vec::new();
    for heading in [Heading::Forth, Heading::Back] {
        let written = setup::held("RUN", 1, &setup::write_token(heading, "RUN", "TOKEN"));
        apply.push((pair.leaving(heading).to_owned(), written));
        apply.push((pair.arriving(heading).to_owned(), stream::seen_token(heading, "TOKEN")));
    }
    let leaving = pair.leaving(way);
    let (open, exempt) = (common::planned_open(), common::exempt(plan, leaving));
    let trial = setup::held("RUN", 1, &common::fencing(plan, leaving, &open, &exempt).trial());
    apply.push((leaving.to_owned(), trial));
    apply
}

pub(super) async fn look_before(cx: &Context, way: Heading) -> Outcome<()> {
    let pair = cx.pair()?;
    let (leave, arrive) = (cx.rig.mysql(pair.leaving(way)).await?, cx.rig.mysql(pair.arriving(way)).await?);
    try_join(cx.rig.mysql_spare(pair.leaving(way)), cx.rig.mysql_spare(pair.arriving(way))).await?;
    same_servers(cx, &leave, &arrive).await?;
    same_tables(cx, &leave, &arrive).await?;
    try_join(prove(cx, Heading::Forth), prove(cx, Heading::Back)).await.map(drop)
}

pub(super) async fn arm(cx: &Context, of: &Move) -> Outcome<()> {
    own_domain(cx).await?;
    try_fence(cx, of).await
}

/// Remembers what the side that is left was like, and tries the window's statements there.
pub(super) async fn try_fence(cx: &Context, of: &Move) -> Outcome<()> {
    let pair = cx.pair()?;
    let leaving = pair.leaving(of.way);
    let leave = cx.rig.mysql(leaving).await?;
    let exempt = common::exempt(&cx.plan, leaving);
    let open = fence::read_open(&leave, &exempt).await?;
    if open.read_only {
        let message = format!("{leaving} is read-only already: something else keeps writes out of it");
        return Err(StepError::told(
            FailureKind::Refused,
            message,
            Some("SET GLOBAL read_only = OFF, if nobody needs it"),
        ));
    }
    cx.note(of, json!({ format!("open_{leaving}"): open }), Durability::Ordered)?;
    let trial = common::fencing(&cx.plan, leaving, &open, &exempt).trial();
    let results = setup::send_held(&leave, "try the statements of the window", (&cx.run, cx.epoch), &trial).await?;
    // The first rows count the clients, the second ones are prepared transactions.
    if results.get(1).is_some_and(|prepared| !prepared.is_empty()) {
        let message = format!("{leaving} has prepared XA transactions: they may commit whenever they like");
        let hint = "XA RECOVER lists them: let their owner XA COMMIT or XA ROLLBACK each, then try again";
        return Err(StepError::told(FailureKind::Refused, message, Some(hint)));
    }
    Ok(())
}

/// MariaDB: what the target writes has a domain of its own; a restart would have forgotten it.
pub(super) async fn own_domain(cx: &Context) -> Outcome<()> {
    let target = &cx.pair()?.target;
    let chosen = common::side(&cx.plan, target);
    if common::flavour(&cx.plan) == Flavour::Mysql || chosen.rds {
        return Ok(());
    }
    let session = cx.rig.mysql(target).await?;
    let domain = chosen.domain;
    let sql = format!("SET GLOBAL gtid_domain_id = {domain};\nSET SESSION gtid_domain_id = {domain};\n");
    session.batch("give what it writes a domain of its own", &sql).await?;
    Ok(())
}

/// The servers that answer now are those of the plan.
pub(super) async fn same_servers(cx: &Context, leave: &Session, arrive: &Session) -> Result<(), StepError> {
    for session in [leave, arrive] {
        let found = catalog::identity(session).await?.server();
        let planned = &common::choices(&cx.plan, session.system()).system_identifier;
        if found != *planned {
            let message =
                format!("{} is another server than the one of the plan ({found}, planned {planned})", session.system());
            return Err(StepError::told(FailureKind::Refused, message, Some("roll back, and make a new plan")));
        }
    }
    Ok(())
}

/// Changes of the schema go through the streams as well; what differs was made by somebody on one side only.
pub(super) async fn same_tables(cx: &Context, leave: &Session, arrive: &Session) -> Result<(), StepError> {
    let (here, there) = try_join(columns(cx, leave), columns(cx, arrive)).await?;
    let differs = |table: &&String| here.get(*table) != there.get(*table);
    let mut tables: Vec<&String> = here.keys().chain(there.keys()).filter(differs).collect();
    tables.sort_unstable();
    tables.dedup();
    if tables.is_empty() {
        return Ok(());
    }
    let more = if tables.len() > SHOWN { format!(" and {} more", tables.len() - SHOWN) } else { String::new() };
    let names: Vec<&str> = tables.iter().take(SHOWN).map(|name| name.as_str()).collect();
    let message =
        format!("{} and {} have other columns in {}{more}", leave.system(), arrive.system(), names.join(", "));
    let hint =
        "make both sides the same again, on the side that is written, and continue; or roll back and make a new plan";
    Err(StepError::told(FailureKind::Refused, message, Some(hint)))
}

async fn columns(cx: &Context, session: &Session) -> Result<BTreeMap<String, String>, StepError> {
    let sql = format!(
        "SELECT CONCAT(c.TABLE_SCHEMA, '.', c.TABLE_NAME), GROUP_CONCAT(CONCAT(c.COLUMN_NAME, ' ', c.DATA_TYPE) \
         ORDER BY c.ORDINAL_POSITION) FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) \
         WHERE t.TABLE_TYPE = 'BASE TABLE' AND c.TABLE_SCHEMA IN ({}) GROUP BY 1",
        catalog::listed(&cx.plan.choices.schemas)
    );
    Ok(catalog::pairs(session, "read the columns", &sql).await?.into_iter().collect())
}

/// Waits until the side that follows is near: what it is behind when writes stop, they wait for. To be asked when the guard
/// stands ready, because its start, too, takes what a busy machine needs to keep up.
pub(super) async fn await_near(cx: &Context, way: Heading, budget: Duration) -> Result<(), StepError> {
    let began = clock::monotonic();
    loop {
        let travel = prove(cx, way).await?;
        match near::moment(travel, began.elapsed(), budget) {
            Moment::Take => return Ok(()),
            Moment::Wait(rest) => cx.rest(rest).await?,
            Moment::TooFar => {
                let follower = cx.pair()?.arriving(way);
                let message = format!(
                    "{follower} is {} ms behind, and writes would wait for that: the window's budget is {} ms. Nothing was \
                     frozen",
                    travel.as_millis(),
                    budget.as_millis()
                );
                let hint = "wait for less load, or give it more parallel appliers; then `pointsman continue`";
                return Err(StepError::told(FailureKind::Refused, message, Some(hint)));
            }
        }
    }
}

/// A stream carries a token from end to end, now; gives how long it took.
pub(super) async fn prove(cx: &Context, heading: Heading) -> Result<Duration, StepError> {
    let pair = cx.pair()?;
    let (publisher, follower) =
        (cx.rig.mysql(pair.leaving(heading)).await?, cx.rig.mysql(pair.arriving(heading)).await?);
    let stream = common::stream(&cx.plan, heading);
    let what = if heading == Heading::Forth { "replication" } else { "the way back" };
    keeps_to_its_schemas(cx, &follower, &stream, what).await?;
    let token = new_token();
    let written = setup::write_token(heading, &cx.run, &token);
    setup::send_held(&publisher, "write a token", (&cx.run, cx.epoch), &written).await?;
    let (began, mut looked) = (clock::monotonic(), None::<Duration>);
    let seen = stream::seen_token(heading, &token);
    loop {
        let seen = follower.value("look for the token", &seen).await?.as_deref() == Some("1");
        let age = began.elapsed();
        let rest = match near::judge(seen, age) {
            Moment::Take => return Ok(age),
            Moment::Wait(rest) => rest,
            Moment::TooFar => return Err(too_far(&follower, &stream, what).await),
        };
        if looked.is_none_or(|at| age.saturating_sub(at) > near::STATE) {
            runs(&follower, &stream, what).await?;
            looked = Some(age);
        }
        tokio::time::sleep(rest).await;
    }
}

/// A stream that lost its filter applies what other schemas write, and what locks accounts.
async fn keeps_to_its_schemas(cx: &Context, follower: &Session, stream: &Stream, what: &str) -> Result<(), StepError> {
    let (side, filter) = (follower.system(), common::filter(&cx.plan, stream.heading));
    if filter.is_empty() || stream.state(follower).await?.is_none_or(|state| state.filtered) {
        return Ok(());
    }
    let message =
        format!("{what} is no longer kept to what is carried: {side} has started again, and forgot the filter");
    let hint = format!(
        "see on {side} what has come of other schemas meanwhile; then {}{}{} and `pointsman continue`",
        stream.stop().replace('\n', " "),
        filter.replace('\n', " "),
        stream.start().trim_end()
    );
    Err(StepError::told(FailureKind::Refused, message, Some(&hint)))
}

async fn too_far(follower: &Session, stream: &Stream, what: &str) -> StepError {
    let trouble = stream.state(follower).await.ok().flatten().and_then(|state| state.trouble());
    let trouble = trouble.map_or_else(String::new, |trouble| format!("{trouble}; "));
    let message =
        format!("{what} does not work: {trouble}a token has not come through within {} s", near::PROOF.as_secs());
    let hint = format!("on {}: {}", follower.system(), stream.show());
    StepError::told(FailureKind::Refused, message, Some(&hint))
}

/// A stream that is gone or stopped carries nothing: no need to wait. One that is dialling may yet.
async fn runs(follower: &Session, stream: &Stream, what: &str) -> Result<(), StepError> {
    let side = follower.system();
    let Some(state) = stream.state(follower).await? else {
        let message =
            format!("{what} does not work: {side} has no replication of the name {}", stream.heading.stream());
        return Err(StepError::told(
            FailureKind::Refused,
            message,
            Some("somebody dropped it; roll back, and make a new plan"),
        ));
    };
    let Some(trouble) = state.trouble() else { return Ok(()) };
    // Of a server that has come back, the last attempt's error stands there until the next one.
    if state.applies && (state.errors.is_empty() || state.receiver == Receiver::Dials) {
        return Ok(());
    }
    let hint = format!("on {side}: {}, then {}", stream.show(), stream.start().trim_end());
    Err(StepError::told(FailureKind::Refused, format!("{what} does not work: {trouble}"), Some(&hint)))
}
