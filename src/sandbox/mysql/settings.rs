//! The option files of a server and of a client that looks into it.

use std::path::{Path, PathBuf};

use super::Flavour;
use crate::sandbox::{DATABASE, Role, SandboxError, owner, server::StartServer};

/// The server's option file, in its data folder.
pub(super) const SERVER: &str = "server.cnf";
/// Options for the command line client, as the superuser.
pub(super) const CLIENT: &str = "client.cnf";
/// The Unix socket: in the data folder, whose path is short.
pub(super) const SOCKET: &str = "s";

pub(super) fn write(flavour: Flavour, start: &StartServer, data: &Path, port: u16) -> Result<(), SandboxError> {
    if let Some(tls) = &start.tls {
        tls.copy_to(data)?;
    }
    owner::make_folder(&temporary(start))?;
    owner::write_file(&data.join(SERVER), &server(flavour, start, data, port), 0o600)?;
    owner::write_file(&data.join(CLIENT), &client(start, port), 0o600)
}

fn temporary(start: &StartServer) -> PathBuf {
    start.root.join(format!("{}.tmp", start.name))
}

fn server(flavour: Flavour, start: &StartServer, data: &Path, port: u16) -> String {
    let (basedir, folder) = (start.program.path.display(), data.display());
    let mut text = format!(
        "[mysqld]\n\
         basedir = {basedir}\n\
         datadir = {folder}\n\
         socket = {}\n\
         pid-file = {folder}/pid\n\
         port = {port}\n\
         # As unique on this machine as the port is; of a replica more.\n\
         server-id = {}\n\
         # A server that starts deletes what others have left in its folder for temporary files, or use.\n\
         tmpdir = {}\n\
         report-host = 127.0.0.1\n\
         report-port = {port}\n{BASE}{}",
        data.join(SOCKET).display(),
        server_id(start, port),
        temporary(start).display(),
        if flavour == Flavour::Mariadb { MARIADB } else { MYSQL },
    );
    let mut add = |name: &str, value: &str| text.extend([name, " = ", value, "\n"]);
    let durable = if start.fsync { "1" } else { "0" };
    add("sync-binlog", durable);
    // 2: written with every commit, as a crash of the server alone needs; 1: on disk with every commit.
    add("innodb-flush-log-at-trx-commit", if start.fsync { "1" } else { "2" });
    if start.tls.is_some() {
        add("ssl-cert", "server.crt");
        add("ssl-key", "server.key");
    }
    start.settings.iter().for_each(|(name, value)| add(name, value));
    text
}

/// A replica that is made anew in the place of one that was promoted is another server: what that one wrote is in the
/// source's log under its id.
fn server_id(start: &StartServer, port: u16) -> u32 {
    let again = if start.replica_of.is_some() { rand::random::<u32>() % 60_000 + 1 } else { 0 };
    again * 0x1_0000 + u32::from(port)
}

fn client(start: &StartServer, port: u16) -> String {
    let (user, password) = (Role::Superuser.mysql_name(), start.passwords.of(Role::Superuser));
    format!(
        "[client]\nprotocol = tcp\nhost = 127.0.0.1\nport = {port}\nuser = {user}\npassword = {password}\n\
         [mysql]\ndatabase = {DATABASE}\n[mariadb]\ndatabase = {DATABASE}\n"
    )
}

/// Room for a workload, and memory for a small machine.
const BASE: &str = "\
bind-address = 127.0.0.1
skip-name-resolve
log-bin = binlog
max-connections = 300
innodb-buffer-pool-size = 128M
default-time-zone = '+00:00'
";

const MYSQL: &str = "\
mysqlx = 0
secure-file-priv = NULL
gtid-mode = ON
enforce-gtid-consistency = ON
innodb-redo-log-capacity = 64M
# One disk write for several transactions, as their writers have it.
replica-parallel-workers = 16
";

const MARIADB: &str = "\
character-set-server = utf8mb4
binlog-format = ROW
log-slave-updates = ON
innodb-log-file-size = 64M
slave-parallel-threads = 16
slave-parallel-mode = optimistic
";
