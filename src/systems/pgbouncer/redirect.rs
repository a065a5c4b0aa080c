//! Points an instance elsewhere. What takes time (reading, editing, syncing the file) is prepared before the window;
//! inside it only a rename is left.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::ini::{self, IniError};
use crate::runbook::model::{Program, Redirect};
use crate::systems::address::Address;
use crate::systems::{Certainty, DriverError, Result, program};

/// A change of where an instance leads that is ready to be made.
#[derive(Debug)]
pub struct Prepared {
    system: String,
    change: Change,
}

#[derive(Debug)]
enum Change {
    /// The file says so already.
    Nothing,
    /// The new file lies beside the old one.
    File { path: PathBuf, before: String, after: TempPath },
    /// A program will do it.
    Program(Program, [(&'static str, String); 3]),
}

/// Makes everything ready to point `database` at `address`.
pub fn prepare(system: &str, redirect: Option<&Redirect>, database: &str, address: &Address) -> Result<Prepared> {
    let change = match redirect {
        Some(Redirect::Ini(path)) => file_change(system, Path::new(path), database, address)?,
        Some(Redirect::Command(command)) => Change::Program(command.apply.clone(), variables(address, database)),
        Some(Redirect::Dns) => Change::Nothing,
        None => {
            let reason = "the runbook does not say how this pooler is pointed elsewhere";
            let hint = "give it `redirect: { ini: PATH }`, `redirect: { command: ... }` or `redirect: dns`";
            return Err(DriverError::new(system, "point it elsewhere", reason, Certainty::NotSent).with_hint(hint));
        }
    };
    Ok(Prepared { system: system.to_owned(), change })
}

impl Prepared {
    /// Makes the change. PgBouncer does not know of it before its `RELOAD`.
    pub async fn commit(self) -> Result<()> {
        match self.change {
            Change::Nothing => Ok(()),
            Change::File { path, before, after } => swap(&self.system, &path, &before, after),
            Change::Program(run, variables) => {
                program::run_to_success(&self.system, "point it elsewhere", &run, &variables).await
            }
        }
    }
}

/// Makes the renamed file survive a crash of the machine. Takes milliseconds: for after the window.
pub fn sync_folder(path: &str) -> std::io::Result<()> {
    let path = fs::canonicalize(path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Where to lead, for the program's environment.
fn variables(address: &Address, database: &str) -> [(&'static str, String); 3] {
    let name = address.dbname.clone().unwrap_or_else(|| database.to_owned());
    [
        ("POINTSMAN_HOST", address.host.clone()),
        ("POINTSMAN_PORT", address.port.to_string()),
        ("POINTSMAN_DATABASE", name),
    ]
}

fn file_change(system: &str, named: &Path, database: &str, address: &Address) -> Result<Change> {
    let failed = |reason: String| DriverError::new(system, &what(named), reason, Certainty::NotSent);
    // Through a link, so that the link stays one.
    let path = fs::canonicalize(named).map_err(|error| failed(error.to_string()))?;
    let before = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    let after = ini::redirect(&before, database, address).map_err(|error| {
        let hint = hint(&error, &path, &before, database);
        failed(error.to_string()).with_hint(hint)
    })?;
    if after == before {
        return Ok(Change::Nothing);
    }
    let temp = write_beside(&path, &after).map_err(|error| {
        failed(error.to_string()).with_hint("run it as the file's owner, or use `redirect: { command: ... }`")
    })?;
    Ok(Change::File { path, before, after: temp })
}

fn what(path: &Path) -> String {
    format!("edit {}", path.display())
}

/// Writes the new file into the same folder with the old one's mode and owner, so that a rename is all that is left.
fn write_beside(path: &Path, text: &str) -> std::io::Result<TempPath> {
    let metadata = fs::metadata(path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut temp = tempfile::Builder::new().prefix(".pointsman-").suffix(".ini").tempfile_in(folder)?;
    temp.write_all(text.as_bytes())?;
    let owner = temp.as_file().metadata()?;
    if (owner.uid(), owner.gid()) != (metadata.uid(), metadata.gid()) {
        chown(temp.path(), Some(metadata.uid()), Some(metadata.gid()))?;
    }
    temp.as_file().set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    temp.as_file().sync_all()?;
    Ok(temp.into_temp_path())
}

/// Renames, unless somebody else has changed the file since it was read.
fn swap(system: &str, path: &Path, before: &str, after: TempPath) -> Result<()> {
    let failed = |reason: String| DriverError::new(system, &what(path), reason, Certainty::NotSent);
    let now = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    if now != before {
        let hint = "find out who changes it and stop that, then try again";
        return Err(failed("somebody has changed it since it was read; it was left alone".into()).with_hint(hint));
    }
    after.persist(path).map_err(|error| failed(error.error.to_string()))
}

fn hint(error: &IniError, path: &Path, text: &str, database: &str) -> String {
    if !matches!(error, IniError::NoEntry(_)) {
        return "write the entry on one line as PgBouncer's manual shows it".to_owned();
    }
    let included = ini::includes(text);
    let folder = path.parent().unwrap_or(Path::new("/"));
    let holds =
        |name: &&String| fs::read_to_string(folder.join(name)).is_ok_and(|text| ini::has_entry(&text, database));
    match included.iter().find(holds) {
        Some(name) => format!("the entry is in {}: name that file in the runbook", folder.join(name).display()),
        None if included.is_empty() => "name the file that holds the entry".to_owned(),
        None => format!("it includes {}: name the file that holds the entry", included.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ini(folder: &Path, text: &str) -> (PathBuf, Redirect) {
        let path = folder.join("pgbouncer.ini");
        fs::write(&path, text).unwrap();
        (path.clone(), Redirect::Ini(path.display().to_string()))
    }

    fn there() -> Address {
        Address { host: "b".into(), port: 2, dbname: None }
    }

    #[tokio::test]
    async fn keeps_mode_and_link_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (real, _) = ini(folder.path(), "[databases]\norders = host=a port=1\n");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link.ini");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let redirect = Redirect::Ini(link.display().to_string());
        drop(prepare("pool", Some(&redirect), "orders", &there()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "a dropped preparation cleans up");
        prepare("pool", Some(&redirect), "orders", &there()).unwrap().commit().await.unwrap();
        prepare("pool", Some(&redirect), "orders", &there()).unwrap().commit().await.unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_to_string(&real).unwrap(), "[databases]\norders = host=b port=2\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn an_edit_of_somebody_else_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (path, redirect) = ini(folder.path(), "[databases]\norders = host=a port=1\n");
        let prepared = prepare("pool", Some(&redirect), "orders", &there()).unwrap();
        fs::write(&path, "[databases]\norders = host=a port=1\nx = host=y\n").unwrap();
        let error = prepared.commit().await.unwrap_err();
        assert!(error.to_string().contains("somebody has changed it"), "{error}");
        assert!(fs::read_to_string(&path).unwrap().contains("host=a port=1\nx"));
    }

    #[test]
    fn names_the_included_file_that_has_the_entry() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("more.ini"), "[databases]\norders = host=a\n").unwrap();
        let (_, redirect) = ini(folder.path(), "[databases]\n%include more.ini\n");
        let error = prepare("pool", Some(&redirect), "orders", &there()).unwrap_err();
        assert!(error.to_string().contains("more.ini: name that file"), "{error}");
    }
}
