//! The age of the oldest open transaction: one that is open across the freeze would commit after the drain.

use super::{GateContext, Reading, Verdict, seconds, unmeasured};
use crate::runbook::model::LongTransactions;
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

pub async fn measure(gate: &LongTransactions, context: &GateContext<'_>) -> Reading {
    let threshold = threshold(gate);
    let asked = context.sessions.ask(context.world, &gate.system, async |session| oldest(session).await).await;
    match asked {
        Ok((_, _, hidden @ 1..)) => {
            let why = format!("{hidden} sessions of other roles are hidden from ours; GRANT pg_monitor to it");
            Reading::no_data(why, &threshold)
        }
        Ok((None, ..)) => Reading::new(Verdict::Pass, "no open transaction", &threshold).number(0.0),
        Ok((Some(age), who, _)) => {
            let reading = Reading::known(age <= gate.max.0.as_secs_f64(), seconds(age), &threshold).number(age);
            reading.detail(who.unwrap_or_default())
        }
        Err(error) => unmeasured(&error, &threshold),
    }
}

pub fn threshold(gate: &LongTransactions) -> String {
    format!("at most {}", gate.max)
}

async fn oldest(session: &Session) -> Result<(Option<f64>, Option<String>, i64)> {
    let rows = session.rows("look for long transactions", OLDEST, &[]).await?;
    let row = rows.first();
    let hidden = row.map_or(0, |row| row.get(2));
    Ok((row.and_then(|row| row.get(0)), row.and_then(|row| row.get(1)), hidden))
}
