//! What a run keeps in both databases: a schema `pointsman` with the run's epoch, the tokens of both streams and a
//! table for canary writes.

use super::{Session, hold, literal};
use crate::systems::Result;

/// SQLSTATE: client sessions do not end.
pub const SESSIONS_LEFT: &str = "PM002";
/// SQLSTATE: a transaction is still open, or prepared.
pub const IN_FLIGHT: &str = "PM003";
/// SQLSTATE: the token did not arrive in time.
pub const NOT_DRAINED: &str = "PM004";
/// SQLSTATE: another run has the database.
pub const CLAIMED: &str = "PM005";

/// SQLSTATE: no such table, no such schema.
const NOT_THERE: [&str; 2] = ["42P01", "3F000"];
/// SQLSTATE: a standby takes no writes.
pub const READ_ONLY: &str = "25006";

/// Makes the schema; repeatable.
pub const SETUP: &str = "BEGIN;
SELECT pg_advisory_xact_lock(hashtext('pointsman'));
CREATE SCHEMA IF NOT EXISTS pointsman;
CREATE TABLE IF NOT EXISTS pointsman.run (run text PRIMARY KEY, epoch bigint NOT NULL);
CREATE TABLE IF NOT EXISTS pointsman.token_forward (id int PRIMARY KEY, run text, token text, written_at timestamptz);
CREATE TABLE IF NOT EXISTS pointsman.token_backward (id int PRIMARY KEY, run text, token text, written_at timestamptz);
CREATE TABLE IF NOT EXISTS pointsman.canary (token text PRIMARY KEY, written_at timestamptz NOT NULL DEFAULT now());
GRANT USAGE ON SCHEMA pointsman TO PUBLIC;
GRANT INSERT ON pointsman.canary TO PUBLIC;
CREATE OR REPLACE FUNCTION pointsman.hold_epoch(run_id text, held bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog AS $$
BEGIN
  PERFORM 1 FROM pointsman.run r WHERE r.run = run_id AND r.epoch = held FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'another executor has run % (this one has epoch %)', run_id, held USING ERRCODE = 'PM001';
  END IF;
END $$;
REVOKE ALL ON FUNCTION pointsman.hold_epoch(text, bigint) FROM PUBLIC;
COMMIT;";

/// Removes the schema; repeatable.
pub const TEARDOWN: &str = "DROP SCHEMA IF EXISTS pointsman CASCADE";

/// Takes a database for a run: refused as long as another run has it, since both would share the streams, and the
/// rollback of one would drop those of the other.
pub async fn claim(session: &Session, run: &str, epoch: u64) -> Result<()> {
    let name = literal(run);
    let sql = format!(
        "LOCK TABLE pointsman.run IN SHARE ROW EXCLUSIVE MODE;\n\
         DO $$ DECLARE other text; BEGIN\n  \
         SELECT string_agg(r.run, ', ') INTO other FROM pointsman.run r WHERE r.run <> {name};\n  \
         IF other IS NOT NULL THEN RAISE EXCEPTION 'run % has this database', other USING ERRCODE = '{CLAIMED}'; \
         END IF;\nEND $$;\n\
         INSERT INTO pointsman.run VALUES ({name}, {epoch}) \
         ON CONFLICT (run) DO UPDATE SET epoch = excluded.epoch WHERE pointsman.run.epoch < excluded.epoch"
    );
    session.batch("take it for the run", &sql).await.map(drop).map_err(|error| {
        let hint = "nothing was changed there. Let that run end (`pointsman status`, `resume` or `rollback` with its name). \
                    If its journal is lost, drop what `pointsman check` names, then DROP SCHEMA pointsman CASCADE";
        if error.is_code(CLAIMED) { error.with_hint(hint) } else { error }
    })
}

/// The run that has a database; `None` where nobody does.
pub async fn owner(session: &Session) -> Result<Option<String>> {
    match session.batch("see which run has it", "SELECT run FROM pointsman.run").await {
        Err(error) if error.is_code("42P01") || error.is_code("3F000") => Ok(None),
        other => Ok(other?.first().and_then(|rows| rows.first()?.first()?.clone())),
    }
}

/// Makes `epoch` the only one that may change a database that the run has. Waits for a transaction of an older executor
/// that is under way. Does nothing before [`claim`], nor on a standby, which has what its primary has. Where our schema is
/// not, a setting may hold it.
pub async fn raise_epoch(session: &Session, run: &str, epoch: u64) -> Result<()> {
    let sql = format!("UPDATE pointsman.run SET epoch = {epoch} WHERE run = {} AND epoch < {epoch}", literal(run));
    match session.batch("take the run there", &sql).await {
        Err(error) if error.is_code(READ_ONLY) => Ok(()),
        Err(error) if NOT_THERE.iter().any(|code| error.is_code(code)) => hold::raise(session, run, epoch).await,
        other => other.map(drop),
    }
}

/// The statement that each transaction of ours begins with: it fails when another executor has the run.
#[must_use]
pub fn hold_epoch(run: &str, epoch: u64) -> String {
    format!("SELECT pointsman.hold_epoch({}, {epoch});", literal(run))
}
