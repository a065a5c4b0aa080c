//! How far the green side is behind: the blue side's insert position against what RDS's walsender knows to be applied there;
//! and how old what was applied last was, by the same. As long as the other side answers, the age of a stream that stands
//! still grows (`LagTrackerRead` in PostgreSQL's walsender.c).

use super::super::lag::catching_up;
use super::feed;
use crate::engine::Lag;
use crate::gates::{GateContext, seconds};
use crate::runbook::model::ReplicationLag;
use crate::systems::Result;
use crate::systems::pair::Flow;
use crate::systems::postgres::Session;

/// State, bytes behind, seconds behind, and seconds since the last answer, of the walsender of each logical slot of this database. A stream that has applied
/// everything, and is idle, has no lag.
const SENDERS: &str = "SELECT s.slot_name::text, r.state, \
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), r.replay_lsn)::float8, extract(epoch FROM r.replay_lag)::float8, \
    extract(epoch FROM clock_timestamp() - r.reply_time)::float8 \
    FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid \
    WHERE s.slot_type = 'logical' AND s.database = current_database()";

/// Whoever has not answered for so long says nothing; an answer comes every 10 s by default (`wal_receiver_status_interval`).
const SILENT_SECS: f64 = 30.0;

pub(super) fn describe(flow: Flow<'_>) -> Vec<String> {
    vec![format!("{}: {SENDERS}", flow.publisher())]
}

pub(super) async fn measure(gate: &ReplicationLag, flow: Flow<'_>, context: &GateContext<'_>) -> Result<Lag> {
    let (blue, green) = (flow.publisher(), flow.subscriber());
    let follows = async |session: &Session| feed::on_green(session).await;
    let found = context.sessions.postgres.ask(context.world, green, follows).await?;
    let sends = async |session: &Session| session.rows("look at RDS's stream", SENDERS, &[]).await;
    let rows = context.sessions.postgres.ask(context.world, blue, sends).await?;
    let reads = |row: &&tokio_postgres::Row| found.iter().any(|feed| feed.slot == row.get::<_, String>(0));
    let Some(row) = rows.iter().find(reads) else {
        return Ok(Lag::Nothing(format!("{green} has no enabled subscription of RDS to {blue}")));
    };
    let (state, bytes, age): (Option<String>, Option<f64>, Option<f64>) = (row.get(1), row.get(2), row.get(3));
    let bytes = match (state.as_deref(), bytes) {
        (None, _) => {
            return Ok(Lag::Nothing(format!(
                "no connection streams from RDS's slot of {blue}, or our role may not see it (GRANT pg_monitor)"
            )));
        }
        (Some("streaming"), Some(bytes)) => bytes.max(0.0),
        (Some("streaming"), None) => return Ok(Lag::Nothing(format!("{blue} does not know yet what was applied"))),
        (Some("catchup"), bytes) => return Ok(Lag::Behind(catching_up(&format!("RDS's stream of {blue}"), bytes))),
        (Some(other), _) => return Ok(Lag::Nothing(format!("RDS's stream of {blue} is in state {other}"))),
    };
    let silence: Option<f64> = row.get(4);
    if let Some(silence) = silence.filter(|silence| *silence > SILENT_SECS) {
        return Ok(Lag::Nothing(format!("{green} has not said what it has applied for {}", seconds(silence))));
    }
    let age = gate.max_age.map(|_| age.unwrap_or(0.0));
    Ok(Lag::Known { bytes: Some(bytes), age })
}
