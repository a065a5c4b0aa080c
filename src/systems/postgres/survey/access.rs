//! Roles, what they may do, and who may connect from where.

use serde::{Deserialize, Serialize};

/// Our role on a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a privilege of its own")]
pub struct OwnRole {
    /// Its name.
    pub name: String,
    /// `SUPERUSER`.
    pub superuser: bool,
    /// `REPLICATION`.
    pub replication: bool,
    /// `CREATEROLE`.
    pub create_role: bool,
    /// `BYPASSRLS`.
    pub bypass_rls: bool,
    /// The predefined and RDS roles whose privileges it has.
    pub member_of: Vec<String>,
    /// Whether it may create schemas and publications in the database.
    pub creates_in_database: bool,
    /// Whether it may ask how far an origin has come, durably.
    pub reads_origins: bool,
    /// Whether it may reset a slot's statistics, which marks the slot.
    pub marks_slots: bool,
    /// Whether it may read the control file's identifiers.
    pub reads_control: bool,
    /// Whether it may look into `pg_wal`.
    pub reads_wal: bool,
    /// Whether it may read `pg_hba.conf`.
    pub reads_hba: bool,
    /// Whether it sees other roles' sessions in full.
    pub sees_sessions: bool,
}

impl OwnRole {
    /// Whether it has the privileges of this role.
    #[must_use]
    pub fn is_member(&self, role: &str) -> bool {
        self.member_of.iter().any(|name| name == role)
    }
}

/// A role that can log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own")]
pub struct LoginRole {
    /// Its name.
    pub name: String,
    /// Passes every fence.
    pub superuser: bool,
    /// `REPLICATION`.
    pub replication: bool,
    /// `CONNECTION LIMIT`; -1 is none. The fence must give back what was there.
    pub connection_limit: i64,
    /// `VALID UNTIL`.
    pub valid_until: Option<String>,
    /// Its sessions in this database now.
    pub sessions: i64,
    /// Whether it may write to an application table.
    pub writes: bool,
    /// Whether our role may take its `LOGIN` away and give it back.
    pub we_may_alter: bool,
    /// Whether our role may end its sessions.
    pub we_may_end: bool,
    /// Fingerprint of its password, comparable only within one gathering; `None` without a password, or when we may
    /// not see it.
    pub password_print: Option<String>,
}

/// Roles by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// Every role of the server.
    pub all: Vec<String>,
    /// Those that own or are granted something in the application's schemas.
    pub needed: Vec<String>,
}

/// A line of `pg_hba.conf`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HbaRule {
    /// Line in the file.
    pub line: i64,
    /// `local`, `host`, `hostssl`, `hostnossl` and so on; `None` when the line is wrong.
    pub kind: Option<String>,
    /// Databases, or keywords such as `all`.
    pub databases: Vec<String>,
    /// Roles, `+groups`, or `all`.
    pub users: Vec<String>,
    /// Address or host name, or `all`, `samehost`, `samenet`.
    pub address: Option<String>,
    /// Such as `scram-sha-256`, `reject`.
    pub method: Option<String>,
}
