//! The streams of a pair: publications, subscriptions, their points and their tokens. Which of the two carries rows is
//! set by the `publish` option of its publication, a single catalog change that takes effect at an exact place of the
//! publisher's write-ahead log: like points on a railway. A stream that is switched off still carries its token table.

use serde::{Deserialize, Serialize};

use super::{Session, ident, literal};
use crate::systems::pair::Heading;
use crate::systems::{Certainty, Result};

/// What a publication that is switched on publishes.
const ON: &str = "insert, update, delete, truncate";

/// Publication of the token table of a stream; always on.
#[must_use]
pub const fn token_publication(heading: Heading) -> &'static str {
    match heading {
        Heading::Forth => "pointsman_forward_token",
        Heading::Back => "pointsman_backward_token",
    }
}

/// Sets the points of a stream, on its publisher.
#[must_use]
pub fn set_points(heading: Heading, on: bool) -> String {
    format!("ALTER PUBLICATION {} SET (publish = '{}');\n", heading.stream(), if on { ON } else { "" })
}

/// Writes a token into the stream, on its publisher.
#[must_use]
pub fn write_token(heading: Heading, run: &str, token: &str) -> String {
    let (table, run, token) = (heading.token_table(), literal(run), literal(token));
    format!(
        "INSERT INTO {table} VALUES (1, {run}, {token}, clock_timestamp()) ON CONFLICT (id) DO UPDATE \
         SET run = excluded.run, token = excluded.token, written_at = excluded.written_at;\n"
    )
}

/// Waits, on the subscriber, until a token has come through the stream: everything that was committed before it is
/// there too, since a subscription applies in commit order. With `origin`, also until the stream's position is behind
/// `position`, flushed to disk.
#[must_use]
pub fn await_token(heading: Heading, token: &str, origin: Option<(&str, &str)>, limit_ms: u64) -> String {
    let (table, token) = (heading.token_table(), literal(token));
    let reached = match origin {
        Some((origin, position)) => format!(
            "IF seen THEN seen := coalesce(pg_replication_origin_progress({}, true) >= {}::pg_lsn, false); END IF;\n  ",
            literal(origin),
            literal(position)
        ),
        None => String::new(),
    };
    format!(
        "DO $$ DECLARE seen boolean; latest timestamptz := clock_timestamp() + interval '{limit_ms} ms'; BEGIN LOOP\n  \
         SELECT EXISTS (SELECT FROM {table} WHERE token = {token}) INTO seen;\n  {reached}EXIT WHEN seen;\n  \
         IF clock_timestamp() > latest THEN RAISE EXCEPTION 'the token has not come through {} within {limit_ms} ms' \
         USING ERRCODE = 'PM004'; END IF;\n  PERFORM pg_sleep(0.0005);\nEND LOOP; END $$;\n",
        heading.stream()
    )
}

/// The publications of a stream, on its publisher; `on` for the one that carries rows from the beginning.
#[must_use]
pub fn create_publications(heading: Heading, tables: &[(String, String)], on: bool) -> Vec<String> {
    let names: Vec<String> =
        tables.iter().map(|(schema, table)| format!("{}.{}", ident(schema), ident(table))).collect();
    let list = if names.is_empty() { String::new() } else { format!(" FOR TABLE {}", names.join(", ")) };
    vec![
        format!("CREATE PUBLICATION {} FOR TABLE {}", token_publication(heading), heading.token_table()),
        format!("CREATE PUBLICATION {}{list} WITH (publish = '{}')", heading.stream(), if on { ON } else { "" }),
    ]
}

/// The subscription of a stream, with the connection left out: for the plan.
#[must_use]
pub fn create_subscription(heading: Heading, connection: &str, copy: bool) -> String {
    format!(
        "CREATE SUBSCRIPTION {stream} CONNECTION {} PUBLICATION {}, {stream} WITH (copy_data = {copy})",
        literal(connection),
        token_publication(heading),
        stream = heading.stream(),
    )
}

/// The subscription of a stream whose slot was made before, at the place where the stream begins. Without a slot it is
/// only good for being tried: it dials the publisher and looks for the publications, in a transaction that is taken back.
#[must_use]
pub fn subscribe_to_slot(heading: Heading, connection: &str, with_slot: bool) -> String {
    let stream = heading.stream();
    let slot =
        if with_slot { format!("slot_name = '{stream}'") } else { "slot_name = NONE, enabled = false".to_owned() };
    format!(
        "CREATE SUBSCRIPTION {stream} CONNECTION {} PUBLICATION {}, {stream} \
         WITH (copy_data = false, create_slot = false, {slot})",
        literal(connection),
        token_publication(heading),
    )
}

/// Makes the slot of a stream, if it isn't there: what is written from here on goes through it.
#[must_use]
pub fn create_slot(heading: Heading) -> String {
    let slot = literal(heading.stream());
    format!(
        "SELECT pg_create_logical_replication_slot({slot}, 'pgoutput') \
         WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {slot})"
    )
}

/// State of a subscription on its subscriber.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Its oid, part of its origin's name.
    pub oid: u32,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Whether its apply worker runs.
    pub working: bool,
    /// Tables that are not ready yet.
    pub pending: i64,
    /// All its tables.
    pub tables: i64,
    /// Errors of the apply worker and the copies so far.
    pub errors: i64,
}

impl Subscription {
    /// Name of its replication origin.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("pg_{}", self.oid)
    }
}

const SUBSCRIPTION: &str = "SELECT s.oid, s.subenabled, \
    EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.relid IS NULL AND w.pid IS NOT NULL), \
    (SELECT count(*) FROM pg_subscription_rel r WHERE r.srsubid = s.oid AND r.srsubstate <> 'r'), \
    (SELECT count(*) FROM pg_subscription_rel r WHERE r.srsubid = s.oid), \
    (SELECT coalesce(sum(apply_error_count + sync_error_count), 0)::bigint FROM pg_stat_subscription_stats t WHERE t.subid = s.oid) \
    FROM pg_subscription s WHERE s.subname = $1 AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Reads a subscription; `None` when there is none.
pub async fn subscription(session: &Session, heading: Heading) -> Result<Option<Subscription>> {
    let rows = session.rows("read its subscription", SUBSCRIPTION, &[&heading.stream()]).await?;
    Ok(rows.first().map(|row| Subscription {
        oid: row.get(0),
        enabled: row.get(1),
        working: row.get(2),
        pending: row.get(3),
        tables: row.get(4),
        errors: row.get(5),
    }))
}

/// What tells a slot from one that was made again in its name, behind a gap. A slot has no date of birth, but its
/// statistics have one once they were reset, which we do; a new slot's have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SlotMark {
    /// When the slot's statistics were reset; nothing where we may not do that.
    pub stamp: Option<String>,
    /// When the server last lost all its statistics, which a crash does to it: the stamp is lost with them.
    pub statistics_since: Option<String>,
    /// The server's timeline: another one after a failover to a standby.
    pub timeline: String,
}

/// What a slot that is not the one of before says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotChange {
    /// It is the same one.
    None,
    /// The server has crashed and lost the stamp; the slot was most likely kept.
    Crashed,
    /// It was made again, or somebody reset its statistics.
    MadeAgain,
    /// Its server is another one since.
    Promoted,
}

impl SlotMark {
    /// What has become of the slot that had this mark.
    #[must_use]
    pub fn compare(&self, now: &Self) -> SlotChange {
        if self.timeline != now.timeline {
            SlotChange::Promoted
        } else if self.stamp.is_none() || self.stamp == now.stamp {
            SlotChange::None
        } else if self.statistics_since == now.statistics_since {
            SlotChange::MadeAgain
        } else {
            SlotChange::Crashed
        }
    }
}

/// Reads a slot's mark on its publisher.
pub async fn slot_mark(publisher: &Session, heading: Heading) -> Result<SlotMark> {
    const MARK: &str = "SELECT (SELECT extract(epoch FROM stats_reset)::text FROM pg_stat_replication_slots \
        WHERE slot_name = $1), (SELECT extract(epoch FROM stats_reset)::text FROM pg_stat_archiver), \
        substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)";
    let rows = publisher.rows("look at its slot", MARK, &[&heading.stream()]).await?;
    let row = &rows[0];
    Ok(SlotMark { stamp: row.get(0), statistics_since: row.get(1), timeline: row.get(2) })
}

/// The statement that marks a slot, if our role may.
#[must_use]
pub fn set_mark(heading: Heading) -> String {
    // In a block of its own: what is not allowed is refused as soon as a plain statement names it.
    format!(
        "DO $$ BEGIN IF has_function_privilege('pg_stat_reset_replication_slot(text)', 'EXECUTE') THEN PERFORM \
         pg_stat_reset_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {}; END IF; END $$",
        literal(heading.stream())
    )
}

/// Marks a slot anew and reads the mark.
pub async fn mark_slot(publisher: &Session, heading: Heading) -> Result<SlotMark> {
    publisher.batch("mark its slot", &set_mark(heading)).await?;
    slot_mark(publisher, heading).await
}

/// Drops a subscription, its slot too when the publisher can be reached; repeatable.
pub async fn drop_subscription(session: &Session, heading: Heading) -> Result<()> {
    let Some(found) = subscription(session, heading).await? else { return Ok(()) };
    let name = heading.stream();
    if found.enabled {
        session.batch("disable its subscription", &format!("ALTER SUBSCRIPTION {name} DISABLE")).await?;
    }
    let dropped = session.batch("drop its subscription", &format!("DROP SUBSCRIPTION {name}")).await;
    let Err(error) = dropped else { return Ok(()) };
    if error.certainty != Certainty::Refused {
        return Err(error);
    }
    // The publisher is gone or its slot is: part from the slot, which then is dropped on its own side.
    session
        .batch("part its subscription from the slot", &format!("ALTER SUBSCRIPTION {name} SET (slot_name = NONE)"))
        .await?;
    session.batch("drop its subscription", &format!("DROP SUBSCRIPTION {name}")).await.map(drop)
}

/// Drops what a stream has on its publisher: slots that nobody uses any more, and publications; repeatable.
pub async fn drop_publisher(session: &Session, heading: Heading) -> Result<()> {
    let slot = literal(heading.stream());
    session
        .batch(
            "drop its slot",
            &format!(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = {slot} AND active; \
                 SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {slot} AND NOT active"
            ),
        )
        .await?;
    let sql = format!("DROP PUBLICATION IF EXISTS {}, {}", heading.stream(), token_publication(heading));
    session.batch("drop its publications", &sql).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(stamp: Option<&str>, since: &str, timeline: &str) -> SlotMark {
        let text = str::to_owned;
        SlotMark { stamp: stamp.map(text), statistics_since: Some(since.into()), timeline: timeline.into() }
    }

    #[test]
    fn a_slot_that_was_made_again_is_another_one() {
        let known = mark(Some("5"), "1", "00000001");
        assert_eq!(known.compare(&known), SlotChange::None);
        assert_eq!(known.compare(&mark(None, "1", "00000001")), SlotChange::MadeAgain);
        assert_eq!(known.compare(&mark(Some("9"), "1", "00000001")), SlotChange::MadeAgain);
        assert_eq!(known.compare(&mark(None, "7", "00000001")), SlotChange::Crashed);
        assert_eq!(known.compare(&mark(Some("5"), "1", "00000002")), SlotChange::Promoted);
        let unmarked = mark(None, "1", "00000001");
        assert_eq!(unmarked.compare(&mark(Some("9"), "1", "00000001")), SlotChange::None, "nothing is known");
    }
}
