//! What the catalogs say: identity of a server, its tables and sequences.

use super::Session;
use crate::systems::Result;

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `server_version_num`.
    pub version: i32,
    /// `system_identifier` of the cluster.
    pub system_identifier: String,
    /// Name of the database.
    pub database: String,
    /// Our role.
    pub role: String,
    /// Whether our role is a superuser.
    pub superuser: bool,
    /// Whether it is a standby.
    pub in_recovery: bool,
}

/// Schemas that are not the server's, not ours, and not an extension's.
pub const APPLICATION_SCHEMAS: &str = "SELECT n.nspname::text FROM pg_namespace n \
     WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'pointsman') \
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e') \
     ORDER BY 1";

/// Ordinary tables (leaves of partitioned ones included) that replication carries.
pub const TABLES: &str = "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname::text = ANY ($1) \
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
     ORDER BY 1, 2";

/// All sequences, owned or not, those of identity columns too.
pub const SEQUENCES: &str = "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname::text = ANY ($1) ORDER BY 1, 2";

impl Identity {
    /// Major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        u32::try_from(self.version / 10_000).unwrap_or(0)
    }
}

const IDENTITY: &str = "SELECT current_setting('server_version_num')::int, \
     (SELECT system_identifier::text FROM pg_control_system()), current_database()::text, current_user::text, \
     (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), pg_is_in_recovery()";

/// Reads who answers.
pub async fn identity(session: &Session) -> Result<Identity> {
    let rows = session.rows("read its identity", IDENTITY, &[]).await?;
    let row = &rows[0];
    Ok(Identity {
        version: row.get(0),
        system_identifier: row.get(1),
        database: row.get(2),
        role: row.get(3),
        superuser: row.get(4),
        in_recovery: row.get(5),
    })
}

/// The application's schemas.
pub async fn application_schemas(session: &Session) -> Result<Vec<String>> {
    let rows = session.rows("list the schemas", APPLICATION_SCHEMAS, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The tables of these schemas that replication carries.
pub async fn tables(session: &Session, schemas: &[String]) -> Result<Vec<(String, String)>> {
    names(session, "list the tables", TABLES, schemas).await
}

/// The sequences of these schemas.
pub async fn sequences(session: &Session, schemas: &[String]) -> Result<Vec<(String, String)>> {
    names(session, "list the sequences", SEQUENCES, schemas).await
}

async fn names(session: &Session, what: &str, sql: &str, schemas: &[String]) -> Result<Vec<(String, String)>> {
    let rows = session.rows(what, sql, &[&schemas]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
