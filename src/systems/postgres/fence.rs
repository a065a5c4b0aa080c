//! The fence: keeps the application out of a database, so that no write passes, not even from a client that goes round
//! the pooler. `default_transaction_read_only` alone is a sign on the door (a session may override it, running
//! transactions pass it); here it only stands behind the fence, for those who still get in.

use serde::{Deserialize, Serialize};

use super::{Session, ident, literal};
use crate::runbook::model::Fence;
use crate::systems::Result;

/// What a database was like before it was fenced: what lifting the fence restores.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Name of the database on the server.
    pub database: String,
    /// Its connection limit; -1 for none.
    pub connection_limit: i32,
    /// Its own `default_transaction_read_only`, if it had one.
    pub read_only: Option<String>,
    /// Whether we own it, so that the sign can be put on its door.
    pub owned: bool,
    /// Login roles to keep out, in the mode that fences roles.
    pub roles: Vec<String>,
}

/// A fence of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fencing<'a> {
    /// How: never [`Fence::Auto`].
    pub mode: Fence,
    /// What it was like open.
    pub open: &'a Open,
    /// Roles that stay in.
    pub exempt: &'a [String],
    /// Whether our role may end the sessions of superusers.
    pub superuser: bool,
}

const OPEN: &str = "SELECT d.datname::text, d.datconnlimit, pg_has_role(d.datdba, 'MEMBER'), \
    (SELECT substr(c, length('default_transaction_read_only=') + 1) FROM pg_db_role_setting s, unnest(s.setconfig) c \
      WHERE s.setdatabase = d.oid AND s.setrole = 0 AND c LIKE 'default_transaction_read_only=%') \
    FROM pg_database d WHERE d.datname = current_database()";

/// Login roles that are neither superusers, nor ours, nor a server's own, nor for replication only.
const ROLES: &str = "SELECT rolname::text FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND NOT rolreplication \
    AND rolname <> current_user AND rolname <> session_user AND rolname NOT LIKE 'rds%' \
    AND rolname <> ALL ($1) ORDER BY 1";

/// Reads what the database is like now; it must be open.
pub async fn read_open(session: &Session, exempt: &[String]) -> Result<Open> {
    let rows = session.rows("read how the database is open", OPEN, &[]).await?;
    let row = &rows[0];
    let roles = session.rows("list the login roles", ROLES, &[&exempt]).await?;
    Ok(Open {
        database: row.get(0),
        connection_limit: row.get(1),
        owned: row.get(2),
        read_only: row.get(3),
        roles: roles.iter().map(|role| role.get(0)).collect(),
    })
}

impl Fencing<'_> {
    /// The statements that close it, inside a transaction.
    #[must_use]
    pub fn close(&self) -> String {
        let database = ident(&self.open.database);
        let mut sql = String::new();
        match self.mode {
            Fence::Roles | Fence::Accounts => sql += &self.each_role("NOLOGIN"),
            Fence::Auto | Fence::Database | Fence::ReadOnly => {
                sql += &format!("ALTER DATABASE {database} CONNECTION LIMIT 0;\n");
            }
        }
        if self.open.owned || self.superuser {
            sql += &format!("ALTER DATABASE {database} SET default_transaction_read_only = on;\n");
        }
        sql
    }

    /// The statements that open it again, inside a transaction.
    #[must_use]
    pub fn lift(&self) -> String {
        let database = ident(&self.open.database);
        let mut sql = String::new();
        match self.mode {
            Fence::Roles | Fence::Accounts => sql += &self.each_role("LOGIN"),
            Fence::Auto | Fence::Database | Fence::ReadOnly => {
                sql += &format!("ALTER DATABASE {database} CONNECTION LIMIT {};\n", self.open.connection_limit);
            }
        }
        if self.open.owned || self.superuser {
            sql += &match &self.open.read_only {
                Some(value) => {
                    format!("ALTER DATABASE {database} SET default_transaction_read_only = {};\n", literal(value))
                }
                None => format!("ALTER DATABASE {database} RESET default_transaction_read_only;\n"),
            };
        }
        sql
    }

    fn each_role(&self, option: &str) -> String {
        self.open.roles.iter().fold(String::new(), |sql, role| sql + &format!("ALTER ROLE {} {option};\n", ident(role)))
    }

    /// Ends the sessions of clients and waits until none is left: ending a session is asynchronous, and one that was
    /// logging in may appear late.
    #[must_use]
    pub fn expel(&self, limit_ms: u64) -> String {
        let clients = self.clients();
        format!(
            "DO $$ DECLARE ended int; latest timestamptz := clock_timestamp() + interval '{limit_ms} ms'; BEGIN LOOP\n  \
             PERFORM pg_stat_clear_snapshot();\n  \
             PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE {clients};\n  \
             GET DIAGNOSTICS ended = ROW_COUNT;\n  EXIT WHEN ended = 0;\n  \
             IF clock_timestamp() > latest THEN RAISE EXCEPTION 'sessions of clients do not end: %', \
             (SELECT string_agg(format('%s pid %s from %s', usename, pid, coalesce(client_addr::text, 'local')), ', ') \
             FROM pg_stat_activity WHERE {clients}) USING ERRCODE = 'PM002'; END IF;\n  \
             PERFORM pg_sleep(0.0003);\nEND LOOP; END $$;\n"
        )
    }

    /// Fails when a transaction could still bring a write: one that is open, or one that is prepared.
    #[must_use]
    pub fn nothing_in_flight() -> &'static str {
        "DO $$ DECLARE open text; BEGIN\n  PERFORM pg_stat_clear_snapshot();\n  \
         SELECT string_agg(format('%s %s pid %s', backend_type, usename, pid), ', ') INTO open FROM pg_stat_activity \
         WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid() \
         AND application_name <> 'pointsman' AND backend_type <> 'autovacuum worker' \
         AND backend_type NOT LIKE 'logical replication%';\n  \
         IF open IS NULL THEN SELECT 'prepared transaction ' || string_agg(gid, ', ') INTO open FROM pg_prepared_xacts \
         WHERE database = current_database(); END IF;\n  \
         IF open IS NOT NULL THEN RAISE EXCEPTION 'still open: %', open USING ERRCODE = 'PM003'; END IF;\nEND $$;\n"
    }

    /// The sessions that are meant, as a condition on `pg_stat_activity`.
    #[must_use]
    pub fn clients(&self) -> String {
        let mut clients = "datname = current_database() AND backend_type = 'client backend' \
                           AND pid <> pg_backend_pid() AND application_name <> 'pointsman'"
            .to_owned();
        if !self.exempt.is_empty() {
            let exempt: Vec<String> = self.exempt.iter().map(|role| literal(role)).collect();
            clients += &format!(" AND usename NOT IN ({})", exempt.join(", "));
        }
        if !self.superuser {
            clients += " AND usename NOT IN (SELECT rolname FROM pg_roles WHERE rolsuper)";
        }
        clients
    }
}
