//! Drops what a copy of a schema made on the target, and nothing that was there before or that somebody else made since.

use serde::Serialize;

use super::ledger::OBJECTS;
use crate::systems::postgres::{Access, Database, Session};
use crate::systems::{Certainty, DriverError, Result};

/// What was dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Undone {
    /// The statements that were run.
    pub statements: Vec<String>,
}

/// Objects of the copy that stand on their own: not members of an extension, not parts of a table.
const OURS: &str = "
    SELECT i.type, i.identity, c.classid, c.objid FROM pointsman.created c
    CROSS JOIN LATERAL pg_identify_object(c.classid, c.objid, 0) i
    WHERE i.type IS NOT NULL AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = c.classid
      AND d.objid = c.objid AND d.objsubid = 0 AND d.deptype IN ('i', 'e', 'P', 'S'))
    ORDER BY (c.classid = 'pg_event_trigger'::regclass) DESC, (c.classid = 'pg_extension'::regclass),
      (c.classid = 'pg_namespace'::regclass), c.objid DESC";

/// Everything that can be dropped on its own, in words; parts of a table and of an extension go with it.
fn inventory() -> String {
    format!(
        "SELECT o.classid, o.objid, i.type, i.identity FROM ({OBJECTS}) o
         CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, 0) i
         WHERE o.objid >= 16384 AND i.type IS NOT NULL AND NOT EXISTS (SELECT FROM pg_depend d
           WHERE d.classid = o.classid AND d.objid = o.objid AND d.objsubid = 0 AND d.deptype IN ('i', 'e', 'a', 'P', 'S'))
         AND NOT EXISTS (SELECT FROM pointsman.created c WHERE c.classid = o.classid AND c.objid = o.objid)"
    )
}

/// The statements that [`undo`] would run now. Changes nothing.
pub async fn undo_statements(target: &Database) -> Result<Vec<String>> {
    let session = target.connect(Access::ReadOnly).await?;
    if !noted(&session).await? {
        return Ok(Vec::new());
    }
    statements(&session).await
}

/// Drops what the copy made, in one transaction. Refuses, and leaves all as it is, when that would take something
/// along that the copy did not make. Can be repeated.
pub async fn undo(target: &Database, guard: Option<&str>) -> Result<Undone> {
    let session = target.connect(Access::ReadWrite).await?;
    if !noted(&session).await? {
        return Ok(Undone::default());
    }
    let guard = guard.map(|sql| format!("{sql};\n")).unwrap_or_default();
    let begin = format!(
        "BEGIN; SET LOCAL lock_timeout = '10s'; {guard}CREATE TEMP TABLE others ON COMMIT DROP AS {}",
        inventory()
    );
    session.batch("prepare to drop the copied schema", &begin).await?;
    let statements = statements(&session).await?;
    let dropped = session.batch("drop the copied schema", &statements.join(";\n")).await;
    dropped.map_err(|error| error.with_hint("nothing was dropped; see what holds it, and repeat"))?;
    refuse_losses(&session).await?;
    session.batch("restore the rights on its schemas", RESTORE_RIGHTS).await?;
    session.batch("commit the drop of the copied schema", FORGET).await?;
    Ok(Undone { statements })
}

async fn noted(session: &Session) -> Result<bool> {
    session.value("look for the notes on its schema", "SELECT to_regclass('pointsman.applied') IS NOT NULL", &[]).await
}

async fn statements(session: &Session) -> Result<Vec<String>> {
    let rows = session.rows("read what the copy made", OURS, &[]).await?;
    let word = |row: &tokio_postgres::Row| {
        let (kind, name): (String, String) = (row.get(0), row.get(1));
        let kind = match kind.as_str() {
            "foreign-data wrapper" => "FOREIGN DATA WRAPPER".to_owned(),
            "statistics object" => "STATISTICS".to_owned(),
            other => other.to_uppercase(),
        };
        format!("DROP {kind} IF EXISTS {name} CASCADE")
    };
    Ok(rows.iter().map(word).collect())
}

/// `CASCADE` is needed for objects of ours that need each other; what else it took is found by looking.
async fn refuse_losses(session: &Session) -> Result<()> {
    let sql = format!(
        "SELECT b.type || ' ' || b.identity FROM others b WHERE NOT EXISTS \
         (SELECT FROM ({OBJECTS}) o WHERE o.classid = b.classid AND o.objid = b.objid) ORDER BY 1"
    );
    let rows = session.rows("look what the drop takes along", &sql, &[]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    session.batch("roll back the drop", "ROLLBACK").await?;
    let lost: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let reason = format!("it would take along what the copy did not make: {}; nothing was dropped", lost.join(", "));
    let error = DriverError::new(session.system(), "drop the copied schema", reason, Certainty::Refused);
    Err(error.with_hint("move these elsewhere or drop them, and repeat"))
}

/// Gives schemas that were there before their owner and their rights back.
const RESTORE_RIGHTS: &str = "DO $rights$ DECLARE s record; g record; BEGIN
    FOR s IN SELECT n.oid, n.nspname, n.nspacl, b.acl, b.owner, n.nspowner FROM pointsman.present_before b
        JOIN pg_namespace n ON n.oid = b.objid AND b.classid = 'pg_namespace'::regclass
        WHERE n.nspacl IS DISTINCT FROM b.acl OR n.nspowner <> b.owner LOOP
      IF s.nspowner <> s.owner THEN
        EXECUTE format('ALTER SCHEMA %I OWNER TO %I', s.nspname, pg_get_userbyid(s.owner));
      END IF;
      FOR g IN SELECT DISTINCT grantee FROM aclexplode(s.nspacl) LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %s', s.nspname,
          CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END);
      END LOOP;
      FOR g IN SELECT * FROM aclexplode(coalesce(s.acl, acldefault('n', s.owner))) LOOP
        EXECUTE format('GRANT %s ON SCHEMA %I TO %s%s', g.privilege_type, s.nspname,
          CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
          CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
      END LOOP;
    END LOOP;
    END $rights$";

/// The notes go with the last step; our schema only when nothing else of ours is in it.
const FORGET: &str = "DROP TABLE pointsman.applied, pointsman.created, pointsman.present_before;
    DO $forget$ BEGIN
      IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('pointsman'))
         AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = to_regnamespace('pointsman')) THEN
        DROP SCHEMA pointsman;
      END IF;
    END $forget$;
    COMMIT";
