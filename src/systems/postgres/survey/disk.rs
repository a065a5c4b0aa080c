//! What can be known about a server's disk. SQL has no word for free room, so it is known only when the server runs on
//! this machine, which its `postmaster.pid` proves.

use std::path::Path;

use super::{Dialled, Disk, OwnRole};
use crate::systems::Result;
use crate::systems::postgres::Session;

const SQL: &str = "SELECT (SELECT setting FROM pg_settings WHERE name = 'data_directory'), \
                   (SELECT setting FROM pg_settings WHERE name = 'port'), \
                   extract(epoch FROM pg_postmaster_start_time())::bigint";

/// Reads what can be known.
pub async fn read(session: &Session, role: &OwnRole, dialled: &Dialled) -> Result<Disk> {
    let mut disk = Disk::default();
    if role.reads_wal {
        let sql = "SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()";
        disk.wal_bytes = Some(session.value("read the size of pg_wal", sql, &[]).await?);
    }
    let rows = session.rows("read where its data is", SQL, &[]).await?;
    let Some(row) = rows.first() else { return Ok(disk) };
    disk.data_directory = row.try_get(0).ok().flatten();
    let (port, started): (Option<String>, Option<i64>) = (row.try_get(1).ok(), row.try_get(2).ok());
    if let (true, Some(folder), Some(port), Some(started)) =
        (dialled.is_loopback(), &disk.data_directory, port, started)
    {
        disk.free_bytes = free_bytes(Path::new(folder), &port, started);
    }
    Ok(disk)
}

/// Free room of the file system of `folder`, if the server of `port` that began at `started` lives there: a server in
/// a container may name a folder that this machine has for another.
fn free_bytes(folder: &Path, port: &str, started: i64) -> Option<u64> {
    let pid_file = std::fs::read_to_string(folder.join("postmaster.pid")).ok()?;
    let mut lines = pid_file.lines().skip(2);
    let began: i64 = lines.next()?.trim().parse().ok()?;
    if (began - started).abs() > 2 || lines.next()?.trim() != port {
        return None;
    }
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
