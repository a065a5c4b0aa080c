//! What the other server would find when it dials a database for replication. Only a server can prove that *it* can
//! dial; from here the same credentials are tried, and what they lead to is looked at.

use serde::{Deserialize, Serialize};

use super::{Dialled, one, queries};
use crate::systems::Result;
use crate::systems::postgres::{Access, Database, Session, dial};

/// How a database is dialled for replication, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The system whose server dials.
    pub from: String,
    /// The system that is dialled.
    pub to: String,
    /// Where it is dialled.
    pub dialled: Dialled,
    /// What was found from here; `None` when the connection failed.
    pub found: Option<Found>,
    /// Why the connection failed.
    pub failure: Option<String>,
}

/// What a replication URL leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Identifier of the cluster, when the role may read it.
    pub system_identifier: Option<String>,
    /// The database.
    pub database: String,
    /// The role.
    pub role: String,
    /// Whether it may replicate: superuser, `REPLICATION`, or a member of `rds_replication`.
    pub replicates: bool,
    /// Whether row level security does not hide rows from it: superuser or `BYPASSRLS`.
    pub bypasses_rls: bool,
    /// Application tables that it can't read, so can't copy.
    pub unreadable: Vec<String>,
}

const SQL: &str = "
SELECT has_function_privilege('pg_control_system()', 'EXECUTE'), current_database()::text, current_user::text,
  rolsuper OR rolreplication OR EXISTS (SELECT FROM pg_roles g WHERE g.rolname = 'rds_replication'
    AND pg_has_role(r.oid, g.oid, 'MEMBER')), rolsuper OR rolbypassrls
FROM pg_roles r WHERE rolname = current_user";

impl Reach {
    /// Tries from here what the server of `from` will try: the replication URL of `to`, or its URL.
    pub async fn read(from: &Database, to: &Database) -> Result<Self> {
        let there = Database { name: to.name.clone(), spec: dial::as_other_server(&to.name, &to.spec)? };
        let dialled = Dialled::of(&there).await?;
        let (found, failure) = match look(&there).await {
            Ok(found) => (Some(found), None),
            Err(error) => (None, Some(error.reason)),
        };
        Ok(Self { from: from.name.clone(), to: to.name.clone(), dialled, found, failure })
    }
}

async fn look(database: &Database) -> Result<Found> {
    let session = database.connect(Access::ReadOnly).await?;
    let rows = session.rows("read the replication role", SQL, &[]).await?;
    let mut found = Found::default();
    if let Some(row) = rows.first() {
        if row.try_get(0).unwrap_or(false) {
            found.system_identifier = Some(identifier(&session).await?);
        }
        found.database = row.try_get(1).unwrap_or_default();
        found.role = row.try_get(2).unwrap_or_default();
        found.replicates = row.try_get(3).unwrap_or_default();
        found.bypasses_rls = row.try_get(4).unwrap_or_default();
    }
    found.unreadable = one(&session, "read what it can't read", &queries::unreadable()).await?;
    Ok(found)
}

async fn identifier(session: &Session) -> Result<String> {
    session.value("read the identifier", "SELECT system_identifier::text FROM pg_control_system()", &[]).await
}
