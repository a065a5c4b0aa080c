//! Accounts, and what they may do.

use serde::{Deserialize, Serialize};

use crate::systems::mysql::literal;

/// Our account on a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnAccount {
    /// `user@host`, as the server matched it.
    pub name: String,
    /// Privileges on everything (`ON *.*`), with those of active roles, in upper case with spaces: `REPLICATION SLAVE`.
    pub privileges: Vec<String>,
    /// Procedures of RDS that the server has: `rds_start_replication`.
    pub rds_procedures: Vec<String>,
}

impl OwnAccount {
    /// Whether it has one of these on everything. `ALL PRIVILEGES` counts for those that it holds on this flavour.
    #[must_use]
    pub fn may(&self, privileges: &[&str]) -> bool {
        let has = |name: &str| self.privileges.iter().any(|own| own == name);
        has("ALL PRIVILEGES") || privileges.iter().any(|name| has(name))
    }

    /// Whether the server has this procedure of RDS.
    #[must_use]
    pub fn can_call(&self, procedure: &str) -> bool {
        self.rds_procedures.iter().any(|name| name == procedure)
    }
}

/// Privileges that pass `read_only`, in upper case with spaces.
pub const PASSES_READ_ONLY: &[&str] = &["SUPER", "CONNECTION ADMIN", "READ ONLY ADMIN"];

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// User name.
    pub user: String,
    /// Where it may come from.
    pub host: String,
    /// Authentication plugin.
    pub plugin: String,
    /// Whether it can't log in.
    pub locked: bool,
    /// Its privileges on everything that matter here, in upper case with spaces.
    pub privileges: Vec<String>,
    /// Fingerprint of what it logs in with, comparable only within one gathering.
    pub print: Option<String>,
}

impl Account {
    /// `user@host`, for people.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }

    /// `'user'@'host'`, for statements.
    #[must_use]
    pub fn sql_name(&self) -> String {
        format!("{}@{}", literal(&self.user), literal(&self.host))
    }

    /// Whether the server made it for itself, or Amazon did.
    #[must_use]
    pub fn is_servers_own(&self) -> bool {
        let own = [
            "mysql.sys",
            "mysql.session",
            "mysql.infoschema",
            "mariadb.sys",
            "PUBLIC",
            "rdsadmin",
            "rdsrepladmin",
            "rdstopmgr",
        ];
        own.contains(&self.user.as_str())
            || self.user.starts_with("rds_")
            || (self.user == "mysql" && self.host == "localhost")
    }

    /// Whether it is one of MySQL's administrators, whose names only another one may give as a definer.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.privileges.iter().any(|name| name == "SYSTEM USER")
    }

    /// Whether it writes although the server is `read_only`.
    #[must_use]
    pub fn passes_read_only(&self) -> bool {
        self.privileges.iter().any(|name| PASSES_READ_ONLY.contains(&name.as_str()))
    }
}

/// `'app'@'%'` as `app@%`; how `information_schema` names accounts.
#[must_use]
pub fn unquoted(grantee: &str) -> String {
    grantee.replace(['\'', '`'], "")
}

/// The privileges on everything of one line of `SHOW GRANTS`.
#[must_use]
pub fn granted(line: &str) -> Vec<String> {
    let Some(rest) = line.strip_prefix("GRANT ") else { return Vec::new() };
    let Some((list, _)) = rest.split_once(" ON *.* TO ") else { return Vec::new() };
    list.split(',').map(|name| name.trim().to_ascii_uppercase().replace('_', " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_on_everything_are_read() {
        assert_eq!(
            granted("GRANT SELECT, REPLICATION_SLAVE_ADMIN ON *.* TO `a`@`%`"),
            ["SELECT", "REPLICATION SLAVE ADMIN"]
        );
        assert_eq!(granted("GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION"), ["ALL PRIVILEGES"]);
        assert!(granted("GRANT ALL PRIVILEGES ON `app`.* TO `a`@`%`").is_empty());
        assert!(granted("GRANT `role`@`%` TO `a`@`%`").is_empty());
        assert_eq!(unquoted("'app'@'10.%'"), "app@10.%");
    }

    #[test]
    fn who_passes_read_only_and_who_is_the_servers_own() {
        let account = |user: &str, privilege: &str| Account {
            user: user.into(),
            host: "localhost".into(),
            privileges: vec![privilege.into()],
            ..Account::default()
        };
        assert!(account("dba", "CONNECTION ADMIN").passes_read_only());
        assert!(!account("app", "SELECT").passes_read_only());
        assert!(account("dba", "SYSTEM USER").is_administrator() && !account("dba", "SUPER").is_administrator());
        assert!(account("mysql.sys", "").is_servers_own() && account("rdsadmin", "").is_servers_own());
        assert!(!account("app", "").is_servers_own());
        assert_eq!(account("it's", "").sql_name(), "'it''s'@'localhost'");
    }
}
