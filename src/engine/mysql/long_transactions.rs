//! The age of the oldest open transaction.

use crate::engine::Oldest;
use crate::systems::Result;
use crate::systems::mysql::Session;

/// Age in seconds, and a description, of the oldest transaction; no row without any. Those of appliers are not meant:
/// a window waits for them anyway. `trx_started` has the server's own time zone.
pub const OLDEST: &str = "SELECT TIMESTAMPDIFF(MICROSECOND, t.trx_started, CONVERT_TZ(UTC_TIMESTAMP(6), '+00:00', 'SYSTEM')) / 1000000, \
    CONCAT('connection ', t.trx_mysql_thread_id, ' of user ', COALESCE(p.USER, '?'), ' from ', COALESCE(p.HOST, '?'), ', ', \
    COALESCE(p.COMMAND, '?')) \
    FROM information_schema.INNODB_TRX t LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id \
    WHERE t.trx_mysql_thread_id <> CONNECTION_ID() AND COALESCE(p.USER, '') <> 'system user' \
    AND IS_USED_LOCK(CONCAT('pointsman:', t.trx_mysql_thread_id)) IS NULL \
    ORDER BY t.trx_started LIMIT 1";

pub(super) async fn oldest(session: &Session) -> Result<Oldest> {
    let rows = match session.rows("look for long transactions", OLDEST).await {
        // Without PROCESS.
        Err(error) if error.is_code("1227") => {
            return Ok(Oldest::Hidden("our account may not see transactions; GRANT PROCESS ON *.* to it".to_owned()));
        }
        other => other?,
    };
    let Some(row) = rows.into_iter().next() else { return Ok(Oldest::None) };
    let mut values = row.into_iter().map(Option::unwrap_or_default);
    let seconds: f64 = values.next().and_then(|value| value.parse().ok()).unwrap_or(0.0);
    Ok(Oldest::Open { seconds: seconds.max(0.0), who: values.next().unwrap_or_default() })
}
