//! How far the side that carries the writes is ahead. From positions, of the insert position against what the other
//! side has applied: positions of what was sent or received lie. A stream that does not run has no lag, it has no data.

use super::{GateContext, Reading, Verdict, seconds, unmeasured};
use crate::runbook::model::ReplicationLag;
use crate::runbook::units::{Size, Span};
use crate::systems::Result;
use crate::systems::postgres::Session;
use crate::systems::postgres::pair::Flow;

/// On the side that is written: the walsender behind our slot, and the bytes that it is behind.
const PUBLISHER: &str = "SELECT r.state, \
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), r.replay_lsn)::float8 \
    FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE s.slot_name = $1";

/// On the side that follows: whether the subscription runs, and its tables that are not followed yet.
const SUBSCRIBER: &str = "SELECT s.subenabled, \
    EXISTS (SELECT FROM pg_stat_subscription a WHERE a.subid = s.oid AND a.relid IS NULL AND a.pid IS NOT NULL), \
    (SELECT count(*) FROM pg_subscription_rel t WHERE t.srsubid = s.oid), \
    (SELECT count(*) FROM pg_subscription_rel t WHERE t.srsubid = s.oid AND t.srsubstate <> 'r') \
    FROM pg_subscription s WHERE s.subname = $1 \
    AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())";

/// A token that nobody has written for this long says nothing about the stream.
const HEARTBEAT_LOST_SECS: f64 = 5.0;

/// The last token that is visible, and when it was written, in seconds by the clock of the side that wrote it.
fn token(table: &str) -> String {
    format!("SELECT token, extract(epoch FROM written_at)::float8 FROM {table} ORDER BY written_at DESC LIMIT 1")
}

/// The same with the time now: on the side that writes it, so that one clock measures the age.
fn token_and_clock(table: &str) -> String {
    format!(
        "SELECT token, extract(epoch FROM written_at)::float8, extract(epoch FROM clock_timestamp())::float8 \
         FROM {table} ORDER BY written_at DESC LIMIT 1"
    )
}

pub async fn measure(gate: &ReplicationLag, context: &GateContext<'_>) -> Reading {
    let threshold = threshold(gate);
    let Some(flow) = context.flow else {
        return Reading::no_data("replication is not set up yet", &threshold);
    };
    match look(gate, flow, context).await {
        Ok(Seen::Known { bytes, age }) => judged(gate, bytes, age, &threshold),
        Ok(Seen::Behind(why)) => Reading::new(Verdict::Fail, "not in step yet", &threshold).detail(why),
        Ok(Seen::Nothing(why)) => Reading::no_data(why, &threshold),
        Err(error) => unmeasured(&error, &threshold),
    }
}

pub fn threshold(gate: &ReplicationLag) -> String {
    let bytes = gate.max.map(|max| format!("at most {max}"));
    let age = gate.max_age.map(|max| format!("at most {max} old"));
    bytes.into_iter().chain(age).collect::<Vec<_>>().join(" and ")
}

pub fn describe(gate: &ReplicationLag, flow: Option<Flow<'_>>) -> Vec<String> {
    let Some(flow) = flow else { return Vec::new() };
    let (publisher, subscriber) = (flow.publisher(), flow.subscriber());
    let mut lines = vec![format!("{subscriber}: {SUBSCRIBER}"), format!("{publisher}: {PUBLISHER}")];
    if gate.max_age.is_some() {
        lines.push(format!("{subscriber}: {}", token(flow.token_table())));
        lines.push(format!("{publisher}: {}", token_and_clock(flow.token_table())));
    }
    lines
}

/// What both sides say.
enum Seen {
    Known { bytes: f64, age: Option<f64> },
    Behind(String),
    Nothing(String),
}

async fn look(gate: &ReplicationLag, flow: Flow<'_>, context: &GateContext<'_>) -> Result<Seen> {
    let stream = flow.stream();
    let follows = async |session: &Session| subscriber(session, stream).await;
    if let Some(seen) = context.sessions.ask(context.world, flow.subscriber(), follows).await? {
        return Ok(seen);
    }
    let sends = async |session: &Session| publisher(session, stream).await;
    let bytes = match context.sessions.ask(context.world, flow.publisher(), sends).await? {
        Ok(bytes) => bytes,
        Err(why) => return Ok(Seen::Nothing(why)),
    };
    if gate.max_age.is_none() {
        return Ok(Seen::Known { bytes, age: None });
    }
    Ok(match age(flow, context).await? {
        Ok(age) => Seen::Known { bytes, age: Some(age) },
        Err(why) => Seen::Nothing(why),
    })
}

/// Nothing when the subscription runs and follows every table.
async fn subscriber(session: &Session, stream: &str) -> Result<Option<Seen>> {
    let rows = session.rows("look at the subscription", SUBSCRIBER, &[&stream]).await?;
    let side = session.system();
    let Some(row) = rows.first() else {
        return Ok(Some(Seen::Nothing(format!("{side} has no subscription {stream}"))));
    };
    let (enabled, works, tables, copying): (bool, bool, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
    Ok(match (enabled, works, tables, copying) {
        (false, ..) => Some(Seen::Nothing(format!("the subscription {stream} of {side} is disabled"))),
        (_, false, ..) => {
            Some(Seen::Nothing(format!("the apply worker of {stream} is not running on {side}; its log says why")))
        }
        (_, _, 0, _) => Some(Seen::Nothing(format!("the subscription {stream} of {side} has no table"))),
        (_, _, tables, copying @ 1..) => {
            Some(Seen::Behind(format!("{copying} of {tables} tables are not copied and followed yet")))
        }
        _ => None,
    })
}

/// Bytes behind, or why that is not known.
async fn publisher(session: &Session, stream: &str) -> Result<std::result::Result<f64, String>> {
    let rows = session.rows("look at the replication slot", PUBLISHER, &[&stream]).await?;
    let side = session.system();
    let Some(row) = rows.first() else { return Ok(Err(format!("{side} has no replication slot {stream}"))) };
    let (state, bytes): (Option<String>, Option<f64>) = (row.get(0), row.get(1));
    Ok(match (state.as_deref(), bytes) {
        (None, _) => Err(format!(
            "no connection streams from slot {stream} of {side}, or our role may not see it (GRANT pg_monitor)"
        )),
        (Some("streaming"), Some(bytes)) if bytes >= 0.0 => Ok(bytes),
        (Some("streaming"), _) => Err(format!("{side} does not know yet what was applied of {stream}")),
        (Some(other), _) => Err(format!("the stream {stream} of {side} is in state {other}")),
    })
}

/// Seconds since the last token that has arrived was written, or why that is not known. Only the executor writes it.
async fn age(flow: Flow<'_>, context: &GateContext<'_>) -> Result<std::result::Result<f64, String>> {
    let (arrived_sql, written_sql) = (token(flow.token_table()), token_and_clock(flow.token_table()));
    let what = "read the token";
    let arrived = async |session: &Session| session.rows(what, &arrived_sql, &[]).await;
    let arrived = context.sessions.ask(context.world, flow.subscriber(), arrived).await?;
    let written = async |session: &Session| session.rows(what, &written_sql, &[]).await;
    let written = context.sessions.ask(context.world, flow.publisher(), written).await?;
    let (Some(arrived), Some(written)) = (arrived.first(), written.first()) else {
        return Ok(Err("no token has travelled through the stream yet".to_owned()));
    };
    let (arrived_at, written_at, now): (f64, f64, f64) = (arrived.get(1), written.get(1), written.get(2));
    if now - written_at > HEARTBEAT_LOST_SECS {
        let silence = seconds(now - written_at);
        return Ok(Err(format!("nobody has written a token on {} for {silence}", flow.publisher())));
    }
    Ok(Ok((now - arrived_at).max(0.0)))
}

#[expect(clippy::cast_precision_loss, reason = "a limit in bytes is far below 2^52")]
fn judged(gate: &ReplicationLag, bytes: f64, age: Option<f64>, threshold: &str) -> Reading {
    if gate.max.is_none() && gate.max_age.is_none() {
        return Reading::error("it has neither `max` nor `max-age`", threshold);
    }
    let near = gate.max.is_none_or(|Size(max)| bytes <= max as f64);
    let fresh = gate.max_age.is_none_or(|Span(max)| age.is_some_and(|age| age <= max.as_secs_f64()));
    let mut value = format!("{} behind", size(bytes));
    if let Some(age) = age {
        value = format!("{value}, {} old", seconds(age));
    }
    let number = if gate.max.is_some() { bytes } else { age.unwrap_or(bytes) };
    Reading::known(near && fresh, value, threshold).number(number)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be 0 or more")]
fn size(bytes: f64) -> String {
    Size(bytes as u64).to_string()
}
