//! Who logs in, and the empty database. Nothing of it goes into the binary log: on a target it would be an errant
//! transaction.

use std::path::Path;

use mysql_async::OptsBuilder;

use super::{Flavour, MysqlClient, settings};
use crate::sandbox::{DATABASE, Passwords, Role, SandboxError, server::StartServer, shop::Refusal};

/// Whether the server talks to clients: that it refuses this login, before there are users, is an answer too.
pub(super) async fn knock(start: &StartServer, port: u16) -> Result<(), SandboxError> {
    let url = start.passwords.mysql_url(Role::Superuser, port, "mysql");
    match MysqlClient::open(&url).await {
        Ok(_) => Ok(()),
        Err(refusal) if ["ERROR 1045", "ERROR 1130"].iter().any(|code| refusal.words.starts_with(code)) => Ok(()),
        Err(refusal) => Err(refusal.at("connect to a new server")),
    }
}

/// Makes the users by the Unix socket, where root has no password yet.
pub(super) async fn create(flavour: Flavour, start: &StartServer, data: &Path) -> Result<(), SandboxError> {
    let made = async {
        let socket = data.join(settings::SOCKET).display().to_string();
        let root = OptsBuilder::default().user(Some("root")).socket(Some(socket));
        MysqlClient::with(root).await?.run_sql(&sql(flavour, &start.passwords)).await
    };
    made.await.map_err(|refusal: Refusal| refusal.at(&format!("make the users and the database on {}", start.name)))
}

fn sql(flavour: Flavour, passwords: &Passwords) -> String {
    let user =
        |role: Role| format!("CREATE USER '{}'@'%' IDENTIFIED BY '{}';\n", role.mysql_name(), passwords.of(role));
    let users = [Role::Superuser, Role::Mover, Role::App, Role::App2].map(user).concat();
    let root = passwords.of(Role::Superuser);
    let mariadb = flavour == Flavour::Mariadb;
    let (more, first) = if mariadb { (MARIADB_MOVER, MARIADB_FIRST_USERS) } else { (MYSQL_MOVER, "") };
    format!(
        "SET SESSION sql_log_bin = 0;\n{first}{users}\
         GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;\n\
         GRANT {MOVER}{more} ON *.* TO 'mover'@'%' WITH GRANT OPTION;\n\
         CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4;\n\
         GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON {DATABASE}.* TO 'app'@'%', 'app2'@'%';\n\
         ALTER USER 'root'@'localhost' IDENTIFIED BY '{root}'"
    )
}

/// What RDS gives to its master user: neither SUPER nor any privilege that passes `read_only`.
const MOVER: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, \
                     CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, \
                     SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER";
const MYSQL_MOVER: &str = ", CREATE ROLE, DROP ROLE";
const MARIADB_MOVER: &str = ", DELETE HISTORY";
/// Without names to resolve, its first start makes users of addresses, who would go before those of `%`.
const MARIADB_FIRST_USERS: &str =
    "DELETE FROM mysql.global_priv WHERE user = '' OR user = 'root' AND host <> 'localhost';\nFLUSH PRIVILEGES;\n";
