//! A physical standby: whether it follows, how far it has replayed, and its promotion.

use super::{Session, literal};
use crate::systems::Result;
use crate::systems::pair::Heading;

/// Asks a server to take writes from now on. It may be asked again: a server that is about to do so does it once, and
/// one that has done so refuses.
pub const PROMOTE: &str = "SELECT pg_promote(false)";

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby {
    /// Whether it is one.
    pub in_recovery: bool,
    /// How it receives: `streaming`, or nothing.
    pub receiver: Option<String>,
    /// The position up to which it has replayed; of a server that never was a standby nothing.
    pub replayed: Option<String>,
}

const LOOK: &str = "SELECT pg_is_in_recovery(), (SELECT status FROM pg_stat_wal_receiver LIMIT 1), \
     pg_last_wal_replay_lsn()::text";

/// Looks at a server.
pub async fn look(session: &Session) -> Result<Standby> {
    let rows = session.rows("see whether it is a standby", LOOK, &[]).await?;
    let row = &rows[0];
    Ok(Standby { in_recovery: row.get(0), receiver: row.get(1), replayed: row.get(2) })
}

/// Whether a server is a standby.
pub async fn in_recovery(session: &Session) -> Result<bool> {
    session.value("see whether it is a standby", "SELECT pg_is_in_recovery()", &[]).await
}

/// Says whether a token is visible on the standby, and with it everything that was written before it; with `position`,
/// also whether that was replayed. What was replayed was flushed before. One short statement: a snapshot that lives
/// longer would itself stand in the way of the replay.
#[must_use]
pub fn has_arrived(heading: Heading, token: &str, position: Option<&str>) -> String {
    let (table, token) = (heading.token_table(), literal(token));
    let reached = position.map_or(String::new(), |position| {
        format!(" AND coalesce(pg_last_wal_replay_lsn() >= {}::pg_lsn, false)", literal(position))
    });
    format!("SELECT EXISTS (SELECT FROM {table} WHERE token = {token}){reached}")
}
