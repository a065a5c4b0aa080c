//! The sandbox's folder, and cleaning up after sandboxes whose owner died without doing so.
//!
//! The folder's name says who owns it: `pointsman-sandbox-PIDNAMESPACE-PID-STARTED-RANDOM`. A name is there from the
//! first moment, so that nobody sweeps a folder that is only just being filled. Only folders of the same user and the
//! same pid namespace are judged; of others nothing is known.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{
    SandboxError, memory,
    proc::ProcessId,
    process::{self, EndWith},
};

const PREFIX: &str = "pointsman-sandbox-";
const KEPT: &str = "kept";

/// Makes a new sandbox folder below `base`.
pub(crate) fn new_folder(base: &Path) -> Result<PathBuf, SandboxError> {
    let doing = || SandboxError::io(format!("make a sandbox folder below {}", base.display()));
    let folder = base.join(new_name()?);
    for path in [folder.clone(), folder.join("logs"), folder.join("pids")] {
        fs::create_dir(&path).map_err(doing())?;
        // The servers' user has to pass through; what is secret inside has its own mode.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o711)).map_err(doing())?;
    }
    Ok(folder)
}

/// A new name for a folder of ours. Numbers in hexadecimal: the path of a Unix socket inside must be short.
pub(crate) fn new_name() -> Result<String, SandboxError> {
    let id = ProcessId::of(std::process::id()).ok_or_else(|| SandboxError::Options("/proc is not mounted".into()))?;
    let random = rand::random::<u16>();
    Ok(format!("{PREFIX}{}-{:x}-{:x}-{random:04x}", pid_namespace(), id.pid, id.started))
}

/// Marks the folder as left running on purpose.
pub(crate) fn keep(folder: &Path) -> Result<(), SandboxError> {
    fs::write(folder.join(KEPT), "").map_err(SandboxError::io("mark the sandbox as kept"))
}

/// Ends the processes and deletes the folders of sandboxes below `base` whose owner is dead. Returns these folders.
pub fn sweep(base: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path());
    let stale: Vec<PathBuf> = folders.filter(|folder| is_stale(folder)).collect();
    for folder in &stale {
        // Another process may sweep the same folder at the same time; what it has done needs no doing.
        stop_folder(folder).ok();
    }
    stale
}

/// Ends every process of the sandbox in this folder and deletes the folder: the end of a kept sandbox.
///
/// # Errors
/// When it is not the folder of a sandbox, or can't be deleted.
pub fn stop_folder(folder: &Path) -> Result<(), SandboxError> {
    let named = folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX));
    if !named {
        return Err(SandboxError::Options(format!("{} is not the folder of a sandbox", folder.display())));
    }
    for entry in fs::read_dir(folder.join("pids")).into_iter().flatten().flatten() {
        if let Some((id, with)) = fs::read_to_string(entry.path()).ok().as_deref().and_then(parse_pid_file) {
            process::end(id, with, || id.is_alive());
        }
    }
    remove(folder).map_err(SandboxError::io(format!("delete {}", folder.display())))
}

/// Deletes the folder of a sandbox whose processes have ended, and what they left outside of it.
pub(crate) fn remove(folder: &Path) -> std::io::Result<()> {
    memory::remove_left(folder);
    fs::remove_dir_all(folder)
}

fn is_stale(folder: &Path) -> bool {
    let ours = fs::symlink_metadata(folder)
        .is_ok_and(|meta| meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw());
    ours && !folder.join(KEPT).exists() && owner_of(folder).is_some_and(|owner| !owner.is_alive())
}

fn owner_of(folder: &Path) -> Option<ProcessId> {
    let mut parts = folder.file_name()?.to_str()?.strip_prefix(PREFIX)?.split('-');
    if parts.next()? != pid_namespace() {
        return None;
    }
    let pid = u32::from_str_radix(parts.next()?, 16).ok()?;
    Some(ProcessId { pid, started: u64::from_str_radix(parts.next()?, 16).ok()? })
}

/// The number of our pid namespace: a pid means something only inside it.
fn pid_namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits: String = link.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    format!("{:x}", digits.parse::<u64>().unwrap_or(0))
}

fn parse_pid_file(text: &str) -> Option<(ProcessId, EndWith)> {
    let mut fields = text.split_whitespace();
    let id = ProcessId { pid: fields.next()?.parse().ok()?, started: fields.next()?.parse().ok()? };
    let with = [EndWith::Quit, EndWith::Kill].into_iter().find(|with| Some(with.word()) == fields.clone().next());
    Some((id, with?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_folder_is_not_stale_and_a_dead_owners_is() {
        let base = tempfile::tempdir().unwrap();
        let ours = new_folder(base.path()).unwrap();
        let dead = base.path().join(format!("{PREFIX}{}-400000-1-0", pid_namespace()));
        let reused_pid = base.path().join(format!("{PREFIX}{}-{:x}-1-0", pid_namespace(), std::process::id()));
        let elsewhere = base.path().join(format!("{PREFIX}77-400000-1-0"));
        let kept = base.path().join(format!("{PREFIX}{}-400000-2-0", pid_namespace()));
        for folder in [&dead, &reused_pid, &elsewhere, &kept] {
            fs::create_dir(folder).unwrap();
        }
        keep(&kept).unwrap();
        let mut swept = sweep(base.path());
        swept.sort();
        let mut expected = vec![dead, reused_pid];
        expected.sort();
        assert_eq!(swept, expected);
        assert!(ours.exists() && elsewhere.exists() && kept.exists());
        assert!(swept.iter().all(|folder| !folder.exists()));
    }

    #[test]
    fn only_a_sandbox_folder_is_ever_deleted() {
        let base = tempfile::tempdir().unwrap();
        assert!(stop_folder(base.path()).is_err());
        assert!(base.path().exists());
    }
}
