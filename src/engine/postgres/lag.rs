//! How far the side that carries the writes is ahead, from positions: of the insert position against what the other side
//! has applied. Positions of what was sent or received lie.

use crate::engine::Lag;
use crate::gates::{GateContext, seconds};
use crate::runbook::model::ReplicationLag;
use crate::systems::Result;
use crate::systems::pair::Flow;
use crate::systems::postgres::Session;

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

pub(in crate::engine) fn describe(gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
    let (publisher, subscriber) = (flow.publisher(), flow.subscriber());
    let lines = vec![format!("{subscriber}: {SUBSCRIBER}"), format!("{publisher}: {PUBLISHER}")];
    lines.into_iter().chain(describe_age(gate, flow)).collect()
}

/// The queries for the age of the last token, where it is asked for.
pub(in crate::engine) fn describe_age(gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
    if gate.max_age.is_none() {
        return Vec::new();
    }
    let table = flow.token_table();
    vec![
        format!("{}: {}", flow.subscriber(), token(table)),
        format!("{}: {}", flow.publisher(), token_and_clock(table)),
    ]
}

pub(in crate::engine) async fn measure(
    gate: &ReplicationLag,
    flow: Flow<'_>,
    context: &GateContext<'_>,
) -> Result<Lag> {
    let stream = flow.stream();
    let follows = async |session: &Session| subscriber(session, stream).await;
    if let Some(seen) = context.sessions.postgres.ask(context.world, flow.subscriber(), follows).await? {
        return Ok(seen);
    }
    let sends = async |session: &Session| publisher(session, stream).await;
    let bytes = match context.sessions.postgres.ask(context.world, flow.publisher(), sends).await? {
        Lag::Known { bytes, .. } if gate.max_age.is_some() => bytes,
        seen => return Ok(seen),
    };
    Ok(match age(flow, context).await? {
        Ok(age) => Lag::Known { bytes, age: Some(age) },
        Err(why) => Lag::Nothing(why),
    })
}

/// Nothing when the subscription runs and follows every table.
async fn subscriber(session: &Session, stream: &str) -> Result<Option<Lag>> {
    let rows = session.rows("look at the subscription", SUBSCRIBER, &[&stream]).await?;
    let side = session.system();
    let Some(row) = rows.first() else {
        return Ok(Some(Lag::Nothing(format!("{side} has no subscription {stream}"))));
    };
    let (enabled, works, tables, copying): (bool, bool, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
    Ok(match (enabled, works, tables, copying) {
        (false, ..) => Some(Lag::Nothing(format!("the subscription {stream} of {side} is disabled"))),
        (_, false, ..) => {
            Some(Lag::Nothing(format!("the apply worker of {stream} is not running on {side}; its log says why")))
        }
        (_, _, 0, _) => Some(Lag::Nothing(format!("the subscription {stream} of {side} has no table"))),
        (_, _, tables, copying @ 1..) => {
            Some(Lag::Behind(format!("{copying} of {tables} tables are not copied and followed yet")))
        }
        _ => None,
    })
}

/// Bytes behind. A stream that was stopped catches up first, which may take as long as it stood: it is behind, not unknown.
pub(super) async fn publisher(session: &Session, stream: &str) -> Result<Lag> {
    let rows = session.rows("look at the replication slot", PUBLISHER, &[&stream]).await?;
    let side = session.system();
    let Some(row) = rows.first() else { return Ok(Lag::Nothing(format!("{side} has no replication slot {stream}"))) };
    let (state, bytes): (Option<String>, Option<f64>) = (row.get(0), row.get(1));
    Ok(match (state.as_deref(), bytes) {
        (None, _) => Lag::Nothing(format!(
            "no connection streams from slot {stream} of {side}, or our role may not see it (GRANT pg_monitor)"
        )),
        (Some("streaming"), Some(bytes)) if bytes >= 0.0 => Lag::Known { bytes: Some(bytes), age: None },
        (Some("streaming"), _) => Lag::Nothing(format!("{side} does not know yet what was applied of {stream}")),
        (Some("catchup"), bytes) => Lag::Behind(catching_up(&format!("the stream {stream} of {side}"), bytes)),
        (Some(other), _) => Lag::Nothing(format!("the stream {stream} of {side} is in state {other}")),
    })
}

/// What is known of a stream that was stopped and goes on.
pub(super) fn catching_up(stream: &str, bytes: Option<f64>) -> String {
    let behind = bytes.map(|bytes| format!(", {} behind", crate::gates::size(bytes.max(0.0))));
    format!("{stream} catches up{}", behind.unwrap_or_default())
}

/// Seconds since the last token that has arrived was written, or why that is not known. Only the executor writes it.
pub(in crate::engine) async fn age(
    flow: Flow<'_>,
    context: &GateContext<'_>,
) -> Result<std::result::Result<f64, String>> {
    let (arrived_sql, written_sql) = (token(flow.token_table()), token_and_clock(flow.token_table()));
    let what = "read the token";
    let arrived = async |session: &Session| session.rows(what, &arrived_sql, &[]).await;
    let arrived = context.sessions.postgres.ask(context.world, flow.subscriber(), arrived).await?;
    let written = async |session: &Session| session.rows(what, &written_sql, &[]).await;
    let written = context.sessions.postgres.ask(context.world, flow.publisher(), written).await?;
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
