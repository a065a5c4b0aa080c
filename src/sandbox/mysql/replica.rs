//! A target that is a replica of the source: it follows from the source's first transaction on, and is read-only.

use super::{Flavour, MysqlClient};
use crate::sandbox::{Role, SandboxError, server::StartServer};

/// Who it follows as.
const USER: &str = "follower";
/// By then it has everything that the source had.
const LIMIT_S: u32 = 60;

pub(super) async fn follow(flavour: Flavour, start: &StartServer, port: u16, primary: u16) -> Result<(), SandboxError> {
    let open = async |port| {
        let url = start.passwords.mysql_url(Role::Superuser, port, "mysql");
        MysqlClient::open(&url).await.map_err(|refusal| refusal.at("make a replica"))
    };
    let (source, replica) = tokio::try_join!(open(primary), open(port))?;
    let password = start.passwords.of(Role::Mover);
    // Not kept out of the binary log: the replica has it, too.
    let user = format!("CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{password}'");
    source.execute(&format!("{user}; GRANT REPLICATION SLAVE ON *.* TO '{USER}'@'%'")).await?;
    replica.execute(&sql(flavour, primary, &password)).await?;
    let position = source.value(position(flavour)).await?.unwrap_or_default();
    let arrived = replica.value(&format!("SELECT {}('{position}', {LIMIT_S})", wait(flavour))).await?;
    if arrived.as_deref() == Some("0") {
        return Ok(());
    }
    let words = format!("{} has not caught up with the source within {LIMIT_S} s", start.name);
    Err(crate::sandbox::Refusal { words, sure: true }.at("make a replica"))
}

fn sql(flavour: Flavour, primary: u16, password: &str) -> String {
    match flavour {
        Flavour::Mysql => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {primary}, SOURCE_USER = '{USER}', \
             SOURCE_PASSWORD = '{password}', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1; \
             START REPLICA; SET PERSIST super_read_only = ON"
        ),
        Flavour::Mariadb => format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {primary}, MASTER_USER = '{USER}', \
             MASTER_PASSWORD = '{password}', MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos; START SLAVE; \
             SET GLOBAL read_only = ON"
        ),
    }
}

const fn position(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mysql => "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')",
        Flavour::Mariadb => "SELECT @@GLOBAL.gtid_binlog_pos",
    }
}

const fn wait(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mysql => "WAIT_FOR_EXECUTED_GTID_SET",
        Flavour::Mariadb => "MASTER_GTID_WAIT",
    }
}
