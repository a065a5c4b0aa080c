//! What holds the epoch of a run in a database, and marks its barrier. As a rule our schema does. In the blue database of a
//! Blue/Green deployment that RDS replicates logically nothing may be made: RDS finds each change of the schema, and switches
//! over no more. There a setting of our role in that database holds it: roles and databases are shared objects, which no
//! event trigger sees ("Overview of Event Trigger Behavior" in PostgreSQL's documentation), and no stream carries them.
//!
//! The setting is `application_name`, which each of our own sessions says otherwise when it begins.

use super::{Session, literal, setup, stream};
use crate::systems::Result;
use crate::systems::pair::Heading;

/// What holds the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Our schema.
    Schema,
    /// A setting of our role in the database.
    Setting,
}

/// Runs that a setting holds this database for: role, run, epoch.
const HELD: &str = "SELECT r.rolname, split_part(c, ' ', 2) AS run, split_part(c, ' ', 3)::bigint AS epoch \
    FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase AND d.datname = current_database() \
    JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) c WHERE c LIKE 'application\\_name=pointsman %'";

/// Each change of the setting waits for the transactions that rest on it, as a change of our row would.
const LOCK: &str = "hashtext('pointsman')";

impl Hold {
    /// The statement that each transaction of ours begins with: it fails when another executor has the run.
    #[must_use]
    pub fn held(self, run: &str, epoch: u64) -> String {
        match self {
            Self::Schema => setup::hold_epoch(run, epoch),
            Self::Setting => {
                let run = literal(run);
                format!(
                    "DO $$ BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK});\n  \
                     IF NOT EXISTS (SELECT FROM ({HELD}) h WHERE h.run = {run} AND h.epoch = {epoch} \
                     AND h.rolname = current_user) THEN RAISE EXCEPTION \
                     'another executor has run % (this one has epoch %)', {run}, {epoch} USING ERRCODE = 'PM001'; \
                     END IF;\nEND $$;\nSELECT true;"
                )
            }
        }
    }

    /// What is written behind everything else: a token, or a message in the write-ahead log, which is in no table.
    #[must_use]
    pub fn mark(self, way: Heading, run: &str, token: &str) -> String {
        match self {
            Self::Schema => stream::write_token(way, run, token),
            Self::Setting => emit(token),
        }
    }
}

/// Writes a message into the write-ahead log: it lies behind everything that was committed before.
#[must_use]
pub fn emit(token: &str) -> String {
    format!("DO $$ BEGIN PERFORM pg_logical_emit_message(true, 'pointsman', {}); END $$;\n", literal(token))
}

/// Takes a database for a run by the setting: refused as long as another run has it.
pub async fn claim(session: &Session, run: &str, epoch: u64) -> Result<()> {
    session.batch("take it for the run", &claiming(run, epoch)).await.map(drop).map_err(|error| {
        let hint = "nothing was changed there. Let that run end (`pointsman status`, `resume` or `rollback` with its name). If \
                    its journal is lost: ALTER ROLE … IN DATABASE … RESET application_name";
        if error.is_code(setup::CLAIMED) { error.with_hint(hint) } else { error }
    })
}

/// What [`claim`] sends.
#[must_use]
pub fn claiming(run: &str, epoch: u64) -> String {
    let (name, claimed, set) = (literal(run), setup::CLAIMED, set(run, epoch));
    format!(
        "DO $$ DECLARE other text; BEGIN PERFORM pg_advisory_xact_lock({LOCK});\n  \
         SELECT format('run %s has this database', h.run) INTO other FROM ({HELD}) h WHERE h.run <> {name};\n  \
         IF other IS NULL THEN SELECT 'our role has a setting of its own there: ' || c INTO other \
         FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase AND d.datname = current_database() \
         JOIN pg_roles r ON r.oid = s.setrole AND r.rolname = current_user, unnest(s.setconfig) c \
         WHERE c LIKE 'application\\_name=%' AND c NOT LIKE 'application\\_name=pointsman %'; END IF;\n  \
         IF other IS NOT NULL THEN RAISE EXCEPTION '%', other USING ERRCODE = '{claimed}'; END IF;\n  \
         IF NOT EXISTS (SELECT FROM ({HELD}) h WHERE h.rolname = current_user AND h.epoch >= {epoch}) THEN {set} END IF;\n\
         END $$;"
    )
}

/// Makes `epoch` the only one that may change a database that the run has by the setting; nothing before [`claim`].
pub async fn raise(session: &Session, run: &str, epoch: u64) -> Result<()> {
    let (name, set) = (literal(run), set(run, epoch));
    let older =
        format!("SELECT FROM ({HELD}) h WHERE h.rolname = current_user AND h.run = {name} AND h.epoch < {epoch}");
    let sql = format!(
        "DO $$ BEGIN IF EXISTS ({older}) THEN PERFORM pg_advisory_xact_lock({LOCK});\n  \
         IF EXISTS ({older}) THEN {set} END IF; END IF;\nEND $$;"
    );
    match session.batch("take the run there", &sql).await {
        Err(error) if error.is_code(setup::READ_ONLY) => Ok(()),
        other => other.map(drop),
    }
}

/// Gives the database back; repeatable.
pub async fn release(session: &Session, run: &str) -> Result<()> {
    session.batch("give it back", &releasing(run)).await.map(drop)
}

/// What [`release`] sends.
#[must_use]
pub fn releasing(run: &str) -> String {
    format!(
        "DO $$ BEGIN PERFORM pg_advisory_xact_lock({LOCK});\n  \
         IF EXISTS (SELECT FROM ({HELD}) h WHERE h.rolname = current_user AND h.run = {}) THEN EXECUTE format('ALTER ROLE %I \
         IN DATABASE %I RESET application_name', current_user, current_database()); END IF;\nEND $$;",
        literal(run)
    )
}

/// The run that has a database by the setting.
pub async fn owner(session: &Session) -> Result<Option<String>> {
    let rows = session.rows("see which run has it", &format!("SELECT h.run FROM ({HELD}) h"), &[]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

fn set(run: &str, epoch: u64) -> String {
    format!(
        "EXECUTE format('ALTER ROLE %I IN DATABASE %I SET application_name = %L', current_user, current_database(), {});",
        literal(&format!("pointsman {run} {epoch}"))
    )
}
