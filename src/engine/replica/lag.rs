//! How far a replica is behind: the source's insert position against what the replica has replayed.

use super::super::postgres::lag::{age, describe_age};
use crate::engine::Lag;
use crate::gates::GateContext;
use crate::runbook::model::ReplicationLag;
use crate::systems::Result;
use crate::systems::pair::Flow;
use crate::systems::postgres::{Session, standby};

const AHEAD: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::text::pg_lsn)::float8";
const REPLAYED: &str = "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()";

pub(super) fn describe(gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
    let (publisher, subscriber) = (flow.publisher(), flow.subscriber());
    let lines = vec![format!("{subscriber}: {REPLAYED}"), format!("{publisher}: {AHEAD}")];
    lines.into_iter().chain(describe_age(gate, flow)).collect()
}

pub(super) async fn measure(gate: &ReplicationLag, flow: Flow<'_>, context: &GateContext<'_>) -> Result<Lag> {
    let looks = async |session: &Session| standby::look(session).await;
    let replica = context.sessions.postgres.ask(context.world, flow.subscriber(), looks).await?;
    let name = flow.subscriber();
    let replayed = match (replica.in_recovery, replica.replayed) {
        (false, _) => return Ok(Lag::Nothing(format!("{name} is no replica any more"))),
        (true, None) => return Ok(Lag::Nothing(format!("{name} has replayed nothing yet"))),
        (true, Some(position)) => position,
    };
    let ahead = async |session: &Session| session.value::<f64>("read its position", AHEAD, &[&replayed]).await;
    let bytes = context.sessions.postgres.ask(context.world, flow.publisher(), ahead).await?.max(0.0);
    if gate.max_age.is_none() {
        return Ok(Lag::Known { bytes, age: None });
    }
    Ok(match age(flow, context).await? {
        Ok(age) => Lag::Known { bytes, age: Some(age) },
        Err(why) => Lag::Nothing(why),
    })
}
