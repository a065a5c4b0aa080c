//! The queries of a survey. Names of columns are in capitals, as MySQL gives them.

use crate::systems::mysql::catalog::NOT_OF_THE_APPLICATION;
use crate::systems::mysql::{Flavour, Version, literal};

/// The application's schemas, as a condition on a column.
fn of_application(column: &str) -> String {
    format!("LOWER({column}) NOT IN ({NOT_OF_THE_APPLICATION})")
}

/// Schemas, tables, unique keys, columns: four answers.
pub fn tables() -> String {
    let of = of_application;
    format!(
        "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA \
         WHERE {} ORDER BY 1;
SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE, TABLE_COLLATION, CREATE_OPTIONS, COALESCE(TABLE_ROWS, 0), \
         COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0) FROM information_schema.TABLES \
         WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND {} ORDER BY 1, 2;
SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, MAX(COALESCE(NULLABLE, '') = 'YES' OR COLUMN_NAME IS NULL) \
         FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 AND {} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, EXTRA \
         FROM information_schema.COLUMNS WHERE {} ORDER BY 1, 2, ORDINAL_POSITION",
        of("SCHEMA_NAME"),
        of("TABLE_SCHEMA"),
        of("TABLE_SCHEMA"),
        of("TABLE_SCHEMA"),
    )
}

/// Programs, foreign keys, sequences: three answers.
pub fn programs() -> String {
    let of = of_application;
    format!(
        "SELECT 'view', TABLE_SCHEMA, TABLE_NAME, DEFINER, SECURITY_TYPE = 'DEFINER', '' \
         FROM information_schema.VIEWS WHERE {} \
         UNION ALL SELECT 'trigger', TRIGGER_SCHEMA, TRIGGER_NAME, DEFINER, 1, \
           CONCAT(EVENT_OBJECT_SCHEMA, '.', EVENT_OBJECT_TABLE) FROM information_schema.TRIGGERS WHERE {} \
         UNION ALL SELECT 'routine', ROUTINE_SCHEMA, ROUTINE_NAME, DEFINER, SECURITY_TYPE = 'DEFINER', '' \
           FROM information_schema.ROUTINES WHERE {} \
         UNION ALL SELECT 'event', EVENT_SCHEMA, EVENT_NAME, DEFINER, 1, STATUS FROM information_schema.EVENTS WHERE {};
SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME, UPDATE_RULE, \
         DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE {};
SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_TYPE = 'SEQUENCE' AND {}",
        of("TABLE_SCHEMA"),
        of("TRIGGER_SCHEMA"),
        of("ROUTINE_SCHEMA"),
        of("EVENT_SCHEMA"),
        of("CONSTRAINT_SCHEMA"),
        of("TABLE_SCHEMA"),
    )
}

/// Character sets, collations, plugins, whether zones have names, RDS's procedures, leftovers: six answers.
pub const WORDS: &str = "SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS;
SELECT COLLATION_NAME FROM information_schema.COLLATIONS;
SELECT LOWER(PLUGIN_NAME) FROM information_schema.PLUGINS WHERE PLUGIN_STATUS = 'ACTIVE';
SELECT CONVERT_TZ('2004-01-01 12:00:00', 'UTC', 'Europe/Berlin') IS NOT NULL;
SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'mysql' AND ROUTINE_NAME LIKE 'rds\\_%';
SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'pointsman'";

/// Every account, and who passes `read_only` or is an administrator: two answers. Fingerprints are of use to nobody without the nonce.
pub fn accounts(flavour: Flavour, version: Version, nonce: &str) -> String {
    let nonce = literal(nonce);
    let list = match flavour {
        Flavour::Mysql => format!(
            "SELECT User, Host, COALESCE(plugin, ''), account_locked = 'Y', \
             LEFT(SHA2(CONCAT({nonce}, COALESCE(HEX(authentication_string), '')), 256), 16) FROM mysql.user"
        ),
        Flavour::Mariadb => format!(
            "SELECT User, Host, COALESCE(JSON_VALUE(Priv, '$.plugin'), ''), \
             COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') IN ('1', 'true'), \
             LEFT(SHA2(CONCAT({nonce}, COALESCE(JSON_VALUE(Priv, '$.authentication_string'), ''), \
             COALESCE(JSON_QUERY(Priv, '$.auth_or'), '')), 256), 16) FROM mysql.global_priv \
             WHERE COALESCE(JSON_VALUE(Priv, '$.is_role'), '0') NOT IN ('1', 'true')"
        ),
    };
    // From 10.11 on MariaDB's SUPER does not pass read_only any more.
    let passing = match flavour {
        Flavour::Mysql => "'SUPER', 'CONNECTION ADMIN', 'SYSTEM USER'",
        Flavour::Mariadb if version.from(10, 11, 0) => "'READ ONLY ADMIN'",
        Flavour::Mariadb => "'SUPER', 'READ ONLY ADMIN'",
    };
    format!(
        "{list} ORDER BY 1, 2;
SELECT GRANTEE, REPLACE(PRIVILEGE_TYPE, '_', ' ') FROM information_schema.USER_PRIVILEGES \
         WHERE REPLACE(PRIVILEGE_TYPE, '_', ' ') IN ({passing}) ORDER BY 1, 2"
    )
}

/// Sessions, and transactions that are older than five seconds: two answers. A transaction's start is told in the zone of
/// the server's host.
pub const SESSIONS: &str = "SELECT ID, USER, HOST, DB, COMMAND FROM information_schema.PROCESSLIST \
     WHERE COMMAND <> 'Daemon' AND COMMAND NOT LIKE 'Slave%' AND USER NOT IN ('system user', 'event_scheduler', 'rdsadmin', \
     'rdsrepladmin', 'mysql.session', 'mariadb.sys') AND IS_USED_LOCK(CONCAT('pointsman:', ID)) IS NULL ORDER BY 1;
SELECT t.trx_mysql_thread_id, COALESCE(p.USER, ''), COALESCE(p.HOST, ''), COALESCE(p.STATE, ''), \
     TIMESTAMPDIFF(SECOND, t.trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')) AS age, t.trx_rows_modified \
     FROM information_schema.INNODB_TRX t LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id \
     WHERE COALESCE(p.USER, '') <> 'system user' HAVING age >= 5 ORDER BY age DESC LIMIT 50";

/// Prepared XA transactions, with their ids as statements take them.
pub const fn prepared(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mysql => "XA RECOVER CONVERT XID",
        Flavour::Mariadb => "XA RECOVER FORMAT = 'SQL'",
    }
}

/// Every channel.
pub const fn channels(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mysql => "SHOW REPLICA STATUS",
        Flavour::Mariadb => "SHOW ALL SLAVES STATUS",
    }
}

/// Position and filters of the binary log.
pub const fn log(flavour: Flavour, version: Version) -> &'static str {
    match flavour {
        Flavour::Mysql if version.from(8, 2, 0) => "SHOW BINARY LOG STATUS",
        _ => "SHOW MASTER STATUS",
    }
}

/// Replication filters that are there before any channel is (MySQL; MariaDB has variables for them).
pub const FILTERS: &str = "SELECT FILTER_NAME, FILTER_RULE FROM performance_schema.replication_applier_global_filters";
