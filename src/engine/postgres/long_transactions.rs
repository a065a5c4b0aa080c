//! The age of the oldest open transaction.

use crate::engine::Oldest;
use crate::systems::Result;
use crate::systems::postgres::Session;

/// Age in seconds, and a description, of the oldest transaction of this database; no row without any. Prepared
/// transactions count: they commit whenever they like. A session of another role is only seen by a member of
/// `pg_read_all_stats`; the last column counts those that are hidden.
pub const OLDEST: &str = "SELECT max(t.age), (array_agg(t.who ORDER BY t.age DESC))[1], \
    (SELECT count(*) FROM pg_stat_activity h WHERE h.datname = current_database() AND h.query = '<insufficient privilege>') \
    FROM (SELECT extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age, \
    format('process %s of role %s, application %s, %s', a.pid, a.usename, a.application_name, a.state) AS who \
    FROM pg_stat_activity a WHERE a.datname = current_database() AND a.backend_type = 'client backend' \
    AND a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid() AND a.application_name <> 'pointsman' \
    UNION ALL \
    SELECT extract(epoch FROM clock_timestamp() - p.prepared)::float8, \
    format('prepared transaction %L of role %s', p.gid, p.owner) \
    FROM pg_prepared_xacts p WHERE p.database = current_database()) t";

pub(super) async fn oldest(session: &Session) -> Result<Oldest> {
    let rows = session.rows("look for long transactions", OLDEST, &[]).await?;
    let row = rows.first();
    let hidden: i64 = row.map_or(0, |row| row.get(2));
    if hidden > 0 {
        let why = format!("{hidden} sessions of other roles are hidden from ours; GRANT pg_monitor to it");
        return Ok(Oldest::Hidden(why));
    }
    let age: Option<f64> = row.and_then(|row| row.get(0));
    let who: Option<String> = row.and_then(|row| row.get(1));
    Ok(age.map_or(Oldest::None, |seconds| Oldest::Open { seconds, who: who.unwrap_or_default() }))
}
