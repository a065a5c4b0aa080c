//! Who the servers run as, and files that belong to them.
//!
//! PostgreSQL and PgBouncer refuse to run as root, so for root they run as `nobody` (65534), which every system has.
//! An ordinary user runs them as itself.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use super::SandboxError;

const NOBODY: u32 = 65_534;

/// The user and group id for servers, when they must differ from ours.
pub(crate) fn servant() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(NOBODY)
}

/// Makes a folder that only the servers' user (and root) can enter.
pub(crate) fn make_folder(path: &Path) -> Result<(), SandboxError> {
    fs::create_dir_all(path).map_err(SandboxError::io(format!("make the folder {}", path.display())))?;
    give(path, 0o700)
}

/// Writes a file that belongs to the servers' user; `mode` as in chmod.
pub(crate) fn write_file(path: &Path, text: &str, mode: u32) -> Result<(), SandboxError> {
    // The mode is narrowed before anything secret is in the file.
    fs::write(path, "").map_err(SandboxError::io(format!("create {}", path.display())))?;
    give(path, mode)?;
    fs::write(path, text).map_err(SandboxError::io(format!("write {}", path.display())))
}

/// Gives a file to the servers' user, with this mode.
pub(crate) fn give(path: &Path, mode: u32) -> Result<(), SandboxError> {
    let doing = || SandboxError::io(format!("hand {} to the servers' user", path.display()));
    if let Some(id) = servant() {
        chown(path, Some(id), Some(id)).map_err(doing())?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(doing())
}
