//! Data folders that take long to make, kept below the user's cache folder: made once, copied from then on.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{SandboxError, owner};

/// Where the template of this program lies, or would lie. A program that was replaced has another one. `None` without
/// a place to keep it.
pub(super) fn of(program: &Path, version: &str) -> Option<PathBuf> {
    use sha2::Digest;
    let file = fs::metadata(program).ok()?;
    let mut hash = sha2::Sha256::new();
    hash.update(format!("{} {} {} {}", program.display(), file.len(), file.mtime(), file.ino()));
    let name = program.file_name()?.to_string_lossy();
    let key = format!("{name}-{version}-{}", hex::encode(&hash.finalize()[..6]));
    Some(cache()?.join("pointsman/templates").join(key))
}

fn cache() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
}

/// Keeps a copy of a data folder as the template. Where that is not possible, the next start takes longer.
pub(super) fn keep(data: &Path, template: &Path) {
    let Some(folder) = template.parent() else { return };
    // Whole or not at all: another process may look for it at this moment.
    let unfinished = template.with_extension(format!("{:08x}", rand::random::<u32>()));
    let kept = fs::create_dir_all(folder)
        .and_then(|()| copy_tree(data, &unfinished, &|_| Ok(())))
        .and_then(|()| fs::rename(&unfinished, template));
    if kept.is_err() {
        fs::remove_dir_all(&unfinished).ok();
    }
}

/// Copies the template to where a server's data shall be, for the servers' user.
pub(super) fn copy(template: &Path, data: &Path) -> Result<(), SandboxError> {
    let given = |path: &Path| owner::give(path, if path.is_dir() { 0o700 } else { 0o600 }).map_err(io::Error::other);
    copy_tree(template, data, &given).map_err(SandboxError::io("copy a data folder"))
}

fn copy_tree(from: &Path, to: &Path, also: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    fs::create_dir(to)?;
    also(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        let target = to.join(entry.file_name().unwrap_or_default());
        if kind.is_dir() {
            copy_tree(&entry, &target, also)?;
        } else if kind.is_file() {
            fs::copy(&entry, &target)?;
            also(&target)?;
        }
    }
    Ok(())
}
