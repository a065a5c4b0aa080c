//! Who logs in to the sandbox's servers, with a password made for this sandbox alone.

use std::fmt;

/// The one database of the sandbox.
pub const DATABASE: &str = "shop";

/// A role of the sandbox's servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The superuser: `postgres`, or `root`.
    Superuser,
    /// `mover`: who moves a database where nobody is superuser, as on RDS. Owns the database and its tables.
    Mover,
    /// `app`: the application. Reads and writes rows, owns nothing.
    App,
    /// `app2`: a second role of the application, with the same rights.
    App2,
    /// `pooler_admin`: PgBouncer's administrator; unknown to the databases.
    PoolerAdmin,
}

impl Role {
    /// The name that logs in to PostgreSQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Superuser => "postgres",
            Self::Mover => "mover",
            Self::App => "app",
            Self::App2 => "app2",
            Self::PoolerAdmin => "pooler_admin",
        }
    }

    /// The name that logs in to MySQL and MariaDB.
    pub const fn mysql_name(self) -> &'static str {
        match self {
            Self::Superuser => "root",
            other => other.name(),
        }
    }
}

/// One password a role, the same on every server of a sandbox. Never shown by `Debug`.
#[derive(Clone)]
pub struct Passwords {
    seed: u128,
}

impl Passwords {
    /// New passwords from the system's random numbers.
    pub fn random() -> Self {
        Self { seed: rand::random() }
    }

    pub(crate) fn of(&self, role: Role) -> String {
        use sha2::Digest;
        let mut hash = sha2::Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(role.name());
        hex::encode(&hash.finalize()[..12])
    }

    /// A connection URL to PostgreSQL over loopback.
    pub(crate) fn url(&self, role: Role, port: u16, database: &str) -> String {
        format!("postgres://{}:{}@127.0.0.1:{port}/{database}", role.name(), self.of(role))
    }

    /// The same to MySQL or MariaDB.
    pub(crate) fn mysql_url(&self, role: Role, port: u16, database: &str) -> String {
        format!("mysql://{}:{}@127.0.0.1:{port}/{database}", role.mysql_name(), self.of(role))
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(..)")
    }
}

/// SQL that makes the roles on a new PostgreSQL server, a statement a line, each without a password. The `mover` is set up the
/// way RDS sets up its master user: no superuser, but REPLICATION, CREATEROLE, and membership in the predefined roles.
pub(crate) fn create_roles(major: u32) -> String {
    let login = |role: Role, attributes: &str| format!("CREATE ROLE {} LOGIN {attributes};\n", role.name());
    let mut sql = String::from("CREATE ROLE rds_superuser NOLOGIN;\nCREATE ROLE rds_replication NOLOGIN;\n");
    sql += &login(Role::Mover, "REPLICATION CREATEROLE CREATEDB");
    sql += &login(Role::App, "");
    sql += &login(Role::App2, "");
    sql += "GRANT pg_monitor, pg_signal_backend, rds_superuser, rds_replication TO mover;\n";
    if major >= 16 {
        // What a role with CREATEROLE gets over the roles that it makes itself, from 16 on.
        sql += "GRANT pg_create_subscription TO mover;\n";
        sql += "GRANT app, app2 TO mover WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;\n";
    }
    sql
}

/// SQL that gives them, and the superuser, this sandbox's passwords.
pub(crate) fn set_passwords(passwords: &Passwords) -> String {
    let set = |role: Role| format!("ALTER ROLE {} PASSWORD '{}';\n", role.name(), passwords.of(role));
    [Role::Superuser, Role::Mover, Role::App, Role::App2].map(set).concat()
}
