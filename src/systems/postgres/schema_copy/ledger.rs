//! What the target remembers of a copy: what was done, what that made, and what was there before.

use std::collections::HashSet;

use crate::systems::Result;
use crate::systems::postgres::{Session, literal};

/// Anybody's lock on the copy of a schema; "points" in ASCII.
pub(super) const LOCK: i64 = 0x0070_6f69_6e74_7301;

/// Objects that a transaction of ours made. Each kind that can be dropped on its own.
pub(super) const OBJECTS: &str = "
    SELECT 'pg_namespace'::regclass::oid AS classid, oid AS objid, xmin FROM pg_namespace
    UNION ALL SELECT 'pg_class'::regclass, oid, xmin FROM pg_class WHERE relkind IN ('r','p','v','m','S','f')
    UNION ALL SELECT 'pg_proc'::regclass, oid, xmin FROM pg_proc
    UNION ALL SELECT 'pg_type'::regclass, oid, xmin FROM pg_type WHERE typelem = 0
    UNION ALL SELECT 'pg_operator'::regclass, oid, xmin FROM pg_operator
    UNION ALL SELECT 'pg_opfamily'::regclass, oid, xmin FROM pg_opfamily
    UNION ALL SELECT 'pg_opclass'::regclass, oid, xmin FROM pg_opclass
    UNION ALL SELECT 'pg_cast'::regclass, oid, xmin FROM pg_cast
    UNION ALL SELECT 'pg_collation'::regclass, oid, xmin FROM pg_collation
    UNION ALL SELECT 'pg_conversion'::regclass, oid, xmin FROM pg_conversion
    UNION ALL SELECT 'pg_ts_config'::regclass, oid, xmin FROM pg_ts_config
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid, xmin FROM pg_ts_dict
    UNION ALL SELECT 'pg_ts_parser'::regclass, oid, xmin FROM pg_ts_parser
    UNION ALL SELECT 'pg_ts_template'::regclass, oid, xmin FROM pg_ts_template
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, xmin FROM pg_statistic_ext
    UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, xmin FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'pg_foreign_server'::regclass, oid, xmin FROM pg_foreign_server
    UNION ALL SELECT 'pg_language'::regclass, oid, xmin FROM pg_language
    UNION ALL SELECT 'pg_extension'::regclass, oid, xmin FROM pg_extension
    UNION ALL SELECT 'pg_event_trigger'::regclass, oid, xmin FROM pg_event_trigger";

/// Makes the tables that remember what was done and what was there before. All or nothing, once.
pub(super) async fn setup(session: &Session, guard: &str) -> Result<()> {
    let sql = format!(
        "{guard}SELECT pg_advisory_xact_lock({LOCK});
        CREATE SCHEMA IF NOT EXISTS pointsman;
        DO $setup$ BEGIN
          IF to_regclass('pointsman.applied') IS NULL THEN
            CREATE TABLE pointsman.applied(hash text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), sql text NOT NULL);
            CREATE TABLE pointsman.created(classid oid, objid oid, PRIMARY KEY (classid, objid));
            CREATE TABLE pointsman.present_before(classid oid, objid oid, owner oid, acl aclitem[], PRIMARY KEY (classid, objid));
            INSERT INTO pointsman.present_before
              SELECT o.classid, o.objid, n.nspowner, n.nspacl FROM ({OBJECTS}) o
              LEFT JOIN pg_namespace n ON n.oid = o.objid AND o.classid = 'pg_namespace'::regclass
              WHERE o.objid >= 16384 OR n.nspname = 'public';
          END IF;
        END $setup$"
    );
    session.batch("prepare the notes on its schema", &sql).await.map(|_| ())
}

pub(super) async fn done(session: &Session) -> Result<HashSet<String>> {
    let rows = session.rows("read what was done before", "SELECT hash FROM pointsman.applied", &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// A statement together with the note that it was done.
pub(super) fn noted(key: &str, sql: &str) -> String {
    format!("{sql};\nINSERT INTO pointsman.applied(hash, sql) VALUES ({}, {});\n", literal(key), literal(sql))
}

/// Rows that this transaction wrote, without those of objects that were there and are only changed.
pub(super) fn note_created() -> String {
    format!(
        "INSERT INTO pointsman.created SELECT o.classid, o.objid FROM ({OBJECTS}) o \
         WHERE o.xmin = pg_current_xact_id()::xid AND o.objid >= 16384 AND NOT EXISTS \
         (SELECT FROM pointsman.present_before b WHERE b.classid = o.classid AND b.objid = o.objid) \
         ON CONFLICT DO NOTHING;\n"
    )
}
