//! The fence: keeps the application's writes out of a server. Nothing that was begun passes it, and nothing new gets in.
//!
//! MySQL has `super_read_only`, kept over a restart with `PERSIST`: it stops everybody, us too. MariaDB has `read_only`
//! only, which some accounts pass and a restart forgets. On both every account but ours is locked as well, so that
//! whoever was sent away stays away. RDS lets us set neither: there it is account locks alone.

use serde::{Deserialize, Serialize};

use super::setup::{self, CLIENTS};
use super::{Flavour, Session, literal};
use crate::runbook::model::Fence;
use crate::systems::Result;

/// What a server was like before it was fenced: what lifting the fence restores.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Whether it was read-only.
    pub read_only: bool,
    /// Whether its event scheduler ran.
    pub scheduler: bool,
    /// Accounts that could log in, quoted: those that the fence locks.
    pub accounts: Vec<String>,
}

/// A fence of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fencing<'a> {
    /// How: [`Fence::ReadOnly`] or [`Fence::Accounts`].
    pub mode: Fence,
    /// Which of the two it is.
    pub flavour: Flavour,
    /// What it was like open.
    pub open: &'a Open,
    /// Users that stay in.
    pub exempt: &'a [String],
    /// Whether what is done to accounts can be kept out of the binary log.
    pub quiet: bool,
}

/// Accounts that a person or a program logs in with; not the server's own, not roles, not ours.
const ACCOUNTS_MYSQL: &str = "SELECT CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.user WHERE account_locked = 'N' \
     AND User NOT LIKE 'mysql.%' AND User NOT LIKE 'rds%' \
     AND CONCAT(User, '@', Host) <> CURRENT_USER() AND NOT FIND_IN_SET(User, EXEMPT) ORDER BY 1";
const ACCOUNTS_MARIADB: &str = "SELECT CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.global_priv \
     WHERE COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') NOT IN ('1', 'true') \
     AND COALESCE(JSON_VALUE(Priv, '$.is_role'), '0') NOT IN ('1', 'true') AND User <> 'mariadb.sys' AND User NOT LIKE 'rds%' \
     AND CONCAT(User, '@', Host) <> CURRENT_USER() AND NOT FIND_IN_SET(User, EXEMPT) ORDER BY 1";

/// The accounts of a server's people and programs that can log in, quoted.
pub async fn accounts(session: &Session, exempt: &[String]) -> Result<Vec<String>> {
    let sql = match session.flavour() {
        Flavour::Mysql => ACCOUNTS_MYSQL,
        Flavour::Mariadb => ACCOUNTS_MARIADB,
    };
    let sql = sql.replace("EXEMPT", &literal(&exempt.join(",")));
    let rows = session.rows("list the accounts", &sql).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// Reads what the server is like now.
pub async fn read_open(session: &Session, exempt: &[String]) -> Result<Open> {
    let sql = "SELECT @@GLOBAL.read_only, @@GLOBAL.event_scheduler";
    let row = session.rows("read how the server is open", sql).await?.into_iter().next().unwrap_or_default();
    let value = |column: usize| row.get(column).cloned().flatten().unwrap_or_default();
    Ok(Open {
        read_only: value(0) != "0",
        scheduler: value(1).eq_ignore_ascii_case("ON"),
        accounts: accounts(session, exempt).await?,
    })
}

impl Fencing<'_> {
    /// Stops those who write: afterwards only the sessions that are open can hold anything.
    #[must_use]
    pub fn close(&self) -> String {
        let mut sql = String::new();
        sql += &self.each_account("LOCK");
        if self.mode == Fence::ReadOnly {
            if self.flavour == Flavour::Mariadb && self.open.scheduler {
                sql += "SET GLOBAL event_scheduler = OFF;\n";
            }
            sql += "SET GLOBAL read_only = ON;\n";
        }
        sql
    }

    /// Stops also those who pass the first; nothing at all is written from here on, by whomever.
    #[must_use]
    pub const fn shut(&self) -> &'static str {
        match (self.mode, self.flavour) {
            (Fence::ReadOnly, Flavour::Mysql) => "SET GLOBAL super_read_only = ON;\n",
            _ => "",
        }
    }

    /// The same, and it stays so when the server is started again. That is written to a file, which takes milliseconds.
    #[must_use]
    pub const fn seal(&self) -> &'static str {
        match (self.mode, self.flavour) {
            (Fence::ReadOnly, Flavour::Mysql) => "SET PERSIST super_read_only = ON;\n",
            _ => "",
        }
    }

    /// Lets our own account write again, and nobody else.
    #[must_use]
    pub const fn let_us_write(&self) -> &'static str {
        match (self.mode, self.flavour) {
            (Fence::ReadOnly, Flavour::Mysql) => "SET GLOBAL super_read_only = OFF;\n",
            _ => "",
        }
    }

    /// Ends the sessions of clients and waits until none is left.
    #[must_use]
    pub fn expel(&self, limit_ms: u64) -> String {
        format!("CALL pointsman.expel({}, {limit_ms});\n", literal(&self.exempt.join(",")))
    }

    /// Opens it for writes again, until it is started again.
    #[must_use]
    pub fn open(&self) -> String {
        let mut sql = self.writable();
        sql += &self.each_account("UNLOCK");
        if self.mode == Fence::ReadOnly && self.flavour == Flavour::Mariadb && self.open.scheduler {
            sql += "SET GLOBAL event_scheduler = ON;\n";
        }
        sql
    }

    /// Lets everybody write who can log in.
    #[must_use]
    pub fn writable(&self) -> String {
        match (self.mode, self.flavour) {
            (Fence::ReadOnly, Flavour::Mysql) => {
                "SET GLOBAL super_read_only = OFF;\nSET GLOBAL read_only = OFF;\n".into()
            }
            (Fence::ReadOnly, Flavour::Mariadb) => "SET GLOBAL read_only = OFF;\n".into(),
            _ => String::new(),
        }
    }

    /// What [`Fencing::seal`] wrote down is forgotten.
    #[must_use]
    pub fn forget(&self) -> String {
        match (self.mode, self.flavour) {
            (Fence::ReadOnly, Flavour::Mysql) => "RESET PERSIST IF EXISTS super_read_only;\n".to_owned(),
            _ => String::new(),
        }
    }

    /// Opens it for writes again, for good.
    #[must_use]
    pub fn lift(&self) -> String {
        format!("{}{}", self.open(), self.forget())
    }

    /// Statements of the freeze that change nothing on a server that is open: they show that they are allowed, and what
    /// is slow at the first time is done.
    #[must_use]
    pub fn trial(&self) -> String {
        let mut sql =
            format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE {};\nXA RECOVER;\n", self.clients());
        sql += &self.each_account("UNLOCK");
        if self.mode == Fence::ReadOnly {
            sql += match self.flavour {
                Flavour::Mysql => "SET PERSIST super_read_only = OFF;\nRESET PERSIST IF EXISTS super_read_only;\n",
                Flavour::Mariadb => "SET GLOBAL read_only = OFF;\n",
            };
        }
        sql
    }

    /// The sessions that are meant, as a condition on `information_schema.PROCESSLIST`.
    #[must_use]
    pub fn clients(&self) -> String {
        CLIENTS.replace("EXEMPT", &literal(&self.exempt.join(",")))
    }

    fn each_account(&self, word: &str) -> String {
        if self.open.accounts.is_empty() {
            return String::new();
        }
        let sql = format!("ALTER USER IF EXISTS {} ACCOUNT {word};\n", self.open.accounts.join(", "));
        setup::quietly(self.quiet, &sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fencing(mode: Fence, flavour: Flavour, open: &Open) -> Fencing<'_> {
        Fencing { mode, flavour, open, exempt: &[], quiet: true }
    }

    #[test]
    fn every_lock_is_lifted_again() {
        let open =
            Open { read_only: false, scheduler: true, accounts: vec!["'app'@'%'".into(), "'root'@'localhost'".into()] };
        let mariadb = fencing(Fence::ReadOnly, Flavour::Mariadb, &open);
        assert!(mariadb.close().contains("ALTER USER IF EXISTS 'app'@'%', 'root'@'localhost' ACCOUNT LOCK"));
        assert!(mariadb.lift().contains("ACCOUNT UNLOCK") && mariadb.lift().contains("event_scheduler = ON"));
        let mysql = fencing(Fence::ReadOnly, Flavour::Mysql, &open);
        assert!(mysql.close().contains("ACCOUNT LOCK") && mysql.seal().contains("PERSIST super_read_only = ON"));
        // An account can be unlocked only where something can be written.
        assert!(mysql.lift().starts_with("SET GLOBAL super_read_only = OFF;\nSET GLOBAL read_only = OFF;\n"));
        assert!(
            mysql.lift().contains("ACCOUNT UNLOCK")
                && mysql.lift().ends_with("RESET PERSIST IF EXISTS super_read_only;\n")
        );
        assert!(mysql.shut().contains("GLOBAL super_read_only = ON") && mariadb.shut().is_empty());
        assert!(!mysql.open().contains("PERSIST"), "a file is written only when nobody waits: {}", mysql.open());
        let rds = Fencing { quiet: false, ..fencing(Fence::Accounts, Flavour::Mysql, &open) };
        assert!(!rds.close().contains("SET") && rds.close().contains("ACCOUNT LOCK") && rds.seal().is_empty());
    }
}
