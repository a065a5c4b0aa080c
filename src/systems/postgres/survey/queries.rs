//! The SQL of a survey, for PostgreSQL 15 to 18. Column names are the field names of the shapes. What only some
//! versions have is reached through `to_jsonb(row) ->> 'column'`, which is NULL where it is missing.

use crate::systems::postgres::literal;

/// Our role. `USAGE` is what the server itself asks for, and is true of everything for a superuser.
pub const ROLE: &str = "
SELECT row_to_json(x) FROM (
  SELECT rolname AS name, rolsuper AS superuser, rolreplication AS replication, rolcreaterole AS create_role,
    rolbypassrls AS bypass_rls,
    (SELECT coalesce(json_agg(g.rolname ORDER BY g.rolname), '[]') FROM pg_roles g
      WHERE g.rolname IN ('rds_superuser', 'rds_replication', 'pg_create_subscription', 'pg_monitor',
        'pg_signal_backend', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_read_all_data')
        AND pg_has_role(r.oid, g.oid, 'USAGE')) AS member_of,
    has_database_privilege(current_database(), 'CREATE') AS creates_in_database,
    has_function_privilege('pg_replication_origin_progress(text,boolean)', 'EXECUTE') AS reads_origins,
    has_function_privilege('pg_stat_reset_replication_slot(text)', 'EXECUTE') AS marks_slots,
    has_function_privilege('pg_control_system()', 'EXECUTE')
      AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE') AS reads_control,
    has_function_privilege('pg_ls_waldir()', 'EXECUTE') AS reads_wal,
    has_function_privilege('pg_hba_file_rules()', 'EXECUTE')
      AND has_table_privilege('pg_hba_file_rules', 'SELECT') AS reads_hba,
    pg_has_role(r.oid, 'pg_read_all_stats', 'USAGE') AS sees_sessions
  FROM pg_roles r WHERE rolname = current_user) x";

/// What is in use. Backend types are hidden from a role that does not see other sessions.
pub const USAGE: &str = "
SELECT row_to_json(x) FROM (
  SELECT
    (SELECT count(*) FROM pg_replication_slots WHERE slot_name !~ '^pointsman_') AS slots,
    (SELECT count(*) FROM pg_stat_replication) AS senders,
    (SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL) AS logical_workers,
    (SELECT CASE WHEN pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN count(*) END
      FROM pg_stat_activity WHERE backend_type NOT IN ('client backend', 'autovacuum launcher', 'autovacuum worker',
        'archiver', 'background writer', 'checkpointer', 'startup', 'walreceiver', 'walsender', 'walwriter',
        'walsummarizer', 'logger', 'io worker', 'slotsync worker', 'standalone backend', 'parallel worker'))
      AS worker_processes,
    (SELECT count(*) FROM pg_replication_origin) AS origins,
    (SELECT CASE WHEN pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN count(*) END
      FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) AS synchronous_standbys) x";

/// The database. `daticulocale` became `datlocale` in 17.
pub const DATABASE: &str = "
SELECT row_to_json(x) FROM (
  SELECT d.datname AS name, r.rolname AS owner, pg_has_role(d.datdba, 'USAGE') AS ours,
    pg_encoding_to_char(d.encoding) AS encoding, d.datlocprovider AS provider, d.datcollate AS collate,
    d.datctype AS ctype, coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale,
    d.datcollversion AS collation_version, pg_database_collation_actual_version(d.oid) AS collation_version_now,
    d.datconnlimit AS connection_limit, pg_database_size(d.oid) AS bytes
  FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = current_database()) x";

/// `ALTER DATABASE ... SET` for this database and `ALTER ROLE ... SET` of roles that are not PostgreSQL's.
pub const OWN_SETTINGS: &str = "
SELECT r.rolname AS role, s.setdatabase <> 0 AS in_database, split_part(c.entry, '=', 1) AS name,
  substr(c.entry, strpos(c.entry, '=') + 1) AS value
FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS c (entry)
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
ORDER BY 1 NULLS FIRST, 2, 3";

/// What goes on.
pub const ACTIVITY: &str = "
SELECT json_build_object(
  'sessions', (SELECT coalesce(json_agg(g), '[]') FROM (
    SELECT usename AS role, coalesce(application_name, '') AS application, host(client_addr) AS address,
      array_agg(pid ORDER BY pid) AS pids
    FROM pg_stat_activity
    WHERE datname = current_database() AND coalesce(backend_type, 'client backend') = 'client backend'
      AND usename IS NOT NULL AND pid <> pg_backend_pid() AND coalesce(application_name, '') <> 'pointsman'
    GROUP BY 1, 2, 3 ORDER BY count(*) DESC, 1, 2, 3) g),
  'transactions', (SELECT coalesce(json_agg(t), '[]') FROM (
    SELECT pid, usename AS role, application_name AS application, datname AS database, state,
      extract(epoch FROM clock_timestamp() - xact_start)::bigint AS age_s, backend_xid IS NOT NULL AS writes
    FROM pg_stat_activity
    WHERE xact_start < clock_timestamp() - interval '5 s' AND backend_type = 'client backend'
      AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 50) t),
  'prepared', (SELECT coalesce(json_agg(p), '[]') FROM (
    SELECT gid, owner, database, extract(epoch FROM clock_timestamp() - prepared)::bigint AS age_s
    FROM pg_prepared_xacts ORDER BY prepared) p),
  'slots', (SELECT coalesce(json_agg(s), '[]') FROM (
    SELECT slot_name AS name, slot_type AS kind, plugin, database, active, wal_status,
      CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)::bigint END
        AS kept_bytes
    FROM pg_replication_slots ORDER BY 1) s),
  'subscriptions', (SELECT coalesce(json_agg(s), '[]') FROM (
    SELECT subname AS name, subenabled AS enabled, subslotname AS slot, subpublications AS publications
    FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY 1) s),
  'publications', (SELECT coalesce(json_agg(p), '[]') FROM (
    SELECT pubname AS name, puballtables AS all_tables, pg_get_userbyid(pubowner) AS owner
    FROM pg_publication ORDER BY 1) p))";

/// `pg_hba.conf`, in order.
pub const HBA: &str = "
SELECT line_number AS line, type AS kind, coalesce(database, '{}') AS databases, coalesce(user_name, '{}') AS users,
  address, auth_method AS method FROM pg_hba_file_rules ORDER BY line_number";

/// Whether the namespace `n` is the application's.
const APPLICATION: &str = "
  n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pointsman')
  AND NOT EXISTS (SELECT FROM pg_depend d
    WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')";

/// Whether the relation `c` is no extension's.
const NO_EXTENSIONS: &str = "
  NOT EXISTS (SELECT FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";

/// The server. Not every service lets everybody read the control file.
pub fn server(control: bool) -> String {
    let (identifier, timeline) = if control {
        (
            "(SELECT system_identifier::text FROM pg_control_system())",
            "(SELECT timeline_id FROM pg_control_checkpoint())",
        )
    } else {
        ("NULL", "NULL")
    };
    format!(
        "SELECT row_to_json(x) FROM (
  SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS version_text,
    {identifier} AS system_identifier, {timeline} AS timeline, pg_is_in_recovery() AS in_recovery,
    EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_superuser') AS rds, host(inet_server_addr()) AS own_address) x"
    )
}

/// The application's schemas.
pub fn schemas() -> String {
    format!(
        "SELECT n.nspname AS name, pg_get_userbyid(n.nspowner) AS owner FROM pg_namespace n WHERE {APPLICATION} \
         ORDER BY 1"
    )
}

/// The tables. With `exact` sizes each is locked for a moment, in the mode that any `SELECT` takes.
pub fn tables(exact: bool) -> String {
    let (heap, whole) = if exact {
        ("pg_relation_size(c.oid)", "pg_total_relation_size(c.oid)")
    } else {
        (
            "c.relpages::bigint * current_setting('block_size')::bigint",
            "(SELECT sum(p.relpages)::bigint * current_setting('block_size')::bigint FROM pg_class p \
             WHERE p.oid IN (c.oid, c.reltoastrelid) \
             OR p.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = c.oid))",
        )
    };
    format!(
        "SELECT n.nspname AS schema, c.relname AS name, c.relkind AS kind, c.relispartition AS partition,
  c.relpersistence = 'u' AS unlogged, pg_get_userbyid(c.relowner) AS owner, pg_has_role(c.relowner, 'USAGE') AS ours,
  c.relreplident AS identity,
  EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AS primary_key,
  EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
    AND ((c.relreplident = 'd' AND i.indisprimary) OR (c.relreplident = 'i' AND i.indisreplident))) AS keyed,
  (SELECT ic.relname FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
      AND i.indexprs IS NULL AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
        AND a.attnum = ANY (i.indkey::int2[]) AND NOT a.attnotnull)
    ORDER BY i.indnkeyatts, ic.relname LIMIT 1) AS candidate,
  (SELECT coalesce(json_agg(a.attname ORDER BY a.attnum), '[]') FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      AND t.typname IN ('json', 'xml', 'point', 'polygon', 'line', 'box', 'path', 'lseg', 'circle')
      AND NOT EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
        WHERE o.opcintype = t.oid AND o.opcdefault AND m.amname IN ('btree', 'hash'))) AS incomparable,
  (SELECT coalesce(json_agg(a.attname ORDER BY a.attnum), '[]') FROM pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> '') AS generated,
  c.relrowsecurity AS row_security,
  (SELECT coalesce(json_agg(p.pubname ORDER BY p.pubname), '[]') FROM pg_publication p
    WHERE p.puballtables OR EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid)
      OR EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = n.oid)) AS publications,
  c.reltuples::bigint AS rows, CASE c.relkind WHEN 'r' THEN {heap} ELSE 0 END AS heap_bytes,
  CASE c.relkind WHEN 'r' THEN {whole} ELSE 0 END AS bytes,
  (SELECT substr(encode(sha256(convert_to(coalesce(string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod),
    ',' ORDER BY a.attname), ''), 'UTF8')), 'hex'), 1, 16) FROM pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {APPLICATION} AND {NO_EXTENSIONS}
ORDER BY 1, 2"
    )
}

/// The sequences.
pub fn sequences() -> String {
    format!(
        "SELECT n.nspname AS schema, c.relname AS name, format_type(s.seqtypid, NULL) AS kind,
  CASE WHEN has_sequence_privilege(c.oid, 'SELECT') THEN pg_sequence_last_value(c.oid) END AS last_value,
  s.seqincrement AS increment, s.seqmin AS min_value, s.seqmax AS max_value, s.seqcache AS cache, s.seqcycle AS cycle,
  (SELECT format('%s.%s.%s', tn.nspname, t.relname, a.attname) FROM pg_depend o
    JOIN pg_class t ON t.oid = o.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = o.refobjsubid
    WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid AND o.refclassid = 'pg_class'::regclass
      AND o.deptype IN ('a', 'i') LIMIT 1) AS owned_by,
  has_sequence_privilege(c.oid, 'SELECT') AS readable, has_sequence_privilege(c.oid, 'UPDATE') AS settable
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND {APPLICATION} AND {NO_EXTENSIONS} ORDER BY 1, 2"
    )
}

/// Everything else in the database.
pub fn objects() -> String {
    let relations = |kind: &str| {
        format!(
            "(SELECT coalesce(json_agg(n.nspname || '.' || c.relname ORDER BY n.nspname, c.relname), '[]')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = '{kind}' AND {APPLICATION} AND {NO_EXTENSIONS})"
        )
    };
    format!(
        "SELECT json_build_object(
  'large_objects', (SELECT count(*) FROM pg_largeobject_metadata),
  'temporary_tables', (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relkind IN ('r', 'p')),
  'foreign_tables', {foreign},
  'materialized_views', {materialized},
  'triggers', (SELECT coalesce(json_agg(t), '[]') FROM (
    SELECT n.nspname AS schema, c.relname AS table, t.tgname AS name, t.tgenabled AS enabled
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', 'R') AND {APPLICATION} ORDER BY 1, 2, 3) t),
  'event_triggers', (SELECT coalesce(json_agg(e), '[]') FROM (
    SELECT evtname AS name, evtevent AS event, evtenabled AS enabled FROM pg_event_trigger e
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid
      AND d.deptype = 'e') ORDER BY 1) e),
  'rules', (SELECT coalesce(json_agg(r.rulename || ' on ' || n.nspname || '.' || c.relname ORDER BY n.nspname, c.relname, r.rulename), '[]')
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND {APPLICATION}),
  'enums', (SELECT count(*) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype = 'e' AND {APPLICATION}),
  'domains', (SELECT count(*) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype = 'd' AND {APPLICATION}),
  'extensions', (SELECT coalesce(json_object_agg(extname, extversion), '{{}}') FROM pg_extension),
  'available', (SELECT coalesce(json_object_agg(name, default_version), '{{}}') FROM pg_available_extensions))",
        foreign = relations("f"),
        materialized = relations("m"),
    )
}

/// The login roles. Only a superuser sees passwords; their fingerprints are of use to nobody without the nonce.
pub fn logins(superuser: bool, nonce: &str) -> String {
    let print = if superuser {
        format!(
            "(SELECT substr(encode(sha256(convert_to({} || a.rolpassword, 'UTF8')), 'hex'), 1, 16)
    FROM pg_authid a WHERE a.oid = r.oid)",
            literal(nonce)
        )
    } else {
        "NULL".to_owned()
    };
    // Until 15, CREATEROLE alters every role that is neither superuser nor REPLICATION; from 16 on it takes ADMIN.
    format!(
        "SELECT r.rolname AS name, r.rolsuper AS superuser, r.rolreplication AS replication,
  r.rolconnlimit AS connection_limit, r.rolvaliduntil::text AS valid_until,
  (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid AND a.datname = current_database()
    AND a.pid <> pg_backend_pid()) AS sessions,
  r.rolsuper OR EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND {APPLICATION} AND has_schema_privilege(r.oid, n.oid, 'USAGE')
      AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) AS writes,
  me.rolsuper OR (me.rolcreaterole AND NOT r.rolsuper AND
    CASE WHEN current_setting('server_version_num')::int >= 160000
      THEN pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') ELSE NOT r.rolreplication END) AS we_may_alter,
  me.rolsuper OR (NOT r.rolsuper AND (pg_has_role(r.oid, 'USAGE')
    OR pg_has_role('pg_signal_backend', 'USAGE'))) AS we_may_end,
  {print} AS password_print
FROM pg_roles r, pg_roles me WHERE r.rolcanlogin AND me.rolname = current_user ORDER BY 1"
    )
}

/// Every role, and those that own or are granted something in the application's schemas.
pub fn roles() -> String {
    format!(
        "WITH relation AS (
  SELECT c.oid, c.relowner, c.relacl FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {APPLICATION} AND {NO_EXTENSIONS}),
named (id) AS (
  SELECT relowner FROM relation
  UNION SELECT a.grantee FROM relation, aclexplode(relacl) a
  UNION SELECT a.grantee FROM relation JOIN pg_attribute t ON t.attrelid = relation.oid AND t.attacl IS NOT NULL,
    aclexplode(t.attacl) a
  UNION SELECT n.nspowner FROM pg_namespace n WHERE {APPLICATION}
  UNION SELECT a.grantee FROM pg_namespace n, aclexplode(n.nspacl) a WHERE {APPLICATION}
  UNION SELECT p.proowner FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {APPLICATION}
  UNION SELECT a.grantee FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, aclexplode(p.proacl) a
    WHERE {APPLICATION}
  UNION SELECT d.defaclrole FROM pg_default_acl d
  UNION SELECT a.grantee FROM pg_default_acl d, aclexplode(d.defaclacl) a)
SELECT json_build_object(
  'all', (SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_roles),
  'needed', (SELECT coalesce(json_agg(r.rolname ORDER BY r.rolname), '[]') FROM pg_roles r
    WHERE r.oid IN (SELECT id FROM named) AND r.rolname !~ '^pg_'))"
    )
}

/// Tables of the application that the session's role can't read: it could not copy them.
pub fn unreadable() -> String {
    format!(
        "SELECT coalesce(json_agg(n.nspname || '.' || c.relname ORDER BY n.nspname, c.relname), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND {APPLICATION} AND {NO_EXTENSIONS}
  AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))"
    )
}
