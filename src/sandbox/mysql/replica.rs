//! A target that is a replica of the source: it follows from the source's first transaction on, and is read-only.

use super::{Flavour, MysqlClient};
use crate::sandbox::{Role, SandboxError, server::StartServer};

/// Who it follows as.
const USER: &str = "follower";
const GTIDS: &str = "SELECT @@GLOBAL.gtid_mode";
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
    let by_position = flavour == Flavour::Mysql && source.value(GTIDS).await?.as_deref() != Some("ON");
    let from = match flavour {
        Flavour::Mysql if by_position => {
            let first = source.value("SHOW BINARY LOGS").await?.unwrap_or_default();
            format!("SOURCE_LOG_FILE = '{first}', SOURCE_LOG_POS = 4")
        }
        Flavour::Mysql => "SOURCE_AUTO_POSITION = 1".to_owned(),
        Flavour::Mariadb => "MASTER_USE_GTID = slave_pos".to_owned(),
    };
    replica.execute(&sql(flavour, primary, &password, &from)).await?;
    let position = if by_position {
        let row = source.query("SHOW BINARY LOG STATUS").await?.into_iter().next().unwrap_or_default();
        let column = |n: usize| row.get(n).cloned().flatten().unwrap_or_default();
        format!("SOURCE_POS_WAIT('{}', {}, {LIMIT_S}) >= 0", column(0), column(1))
    } else {
        let reached = source.value(position(flavour)).await?.unwrap_or_default();
        format!("{}('{reached}', {LIMIT_S}) = 0", wait(flavour))
    };
    if replica.value(&format!("SELECT {position}")).await?.as_deref() == Some("1") {
        return Ok(());
    }
    let words = format!("{} has not caught up with the source within {LIMIT_S} s", start.name);
    Err(crate::sandbox::Refusal { words, sure: true }.at("make a replica"))
}

fn sql(flavour: Flavour, primary: u16, password: &str, from: &str) -> String {
    match flavour {
        Flavour::Mysql => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {primary}, SOURCE_USER = '{USER}', \
             SOURCE_PASSWORD = '{password}', {from}, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1; \
             START REPLICA; SET PERSIST super_read_only = ON"
        ),
        Flavour::Mariadb => format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {primary}, MASTER_USER = '{USER}', \
             MASTER_PASSWORD = '{password}', MASTER_CONNECT_RETRY = 1, {from}; START SLAVE; \
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
