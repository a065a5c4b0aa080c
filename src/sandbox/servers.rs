//! Which server programs this machine has.
//!
//! An environment variable wins (`PG18_BIN`, `PGBOUNCER_NEW`, ...), then the `paths.env` that
//! `tools/install-servers.sh` leaves in its prefix, then what the machine itself has installed.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::SandboxError;

/// A server program with its version, such as `[1, 26, 1]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// The version's numbers.
    pub version: Vec<u32>,
    /// The program; for PostgreSQL the folder of its programs.
    pub path: PathBuf,
}

impl Program {
    /// The version as people write it.
    pub fn version_text(&self) -> String {
        self.version.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
    }
}

/// All server programs found.
#[derive(Debug, Clone, Default)]
pub struct Servers {
    /// PostgreSQL by major version; the path is the folder with `postgres`, `initdb`, `pg_dump`.
    pub postgres: BTreeMap<u32, Program>,
    /// PgBouncers, oldest first.
    pub pgbouncers: Vec<Program>,
    /// HAProxies, oldest first.
    pub haproxies: Vec<Program>,
}

impl Servers {
    /// Looks at the environment, the servers' prefix and the machine. Programs that don't run are left out.
    pub fn find() -> Self {
        let mut named: BTreeMap<String, PathBuf> = prefix_paths();
        named.extend(std::env::vars_os().filter_map(|(key, value)| {
            Some((key.into_string().ok()?, PathBuf::from(value))).filter(|(key, _)| names_a_server(key))
        }));
        Self {
            postgres: find_postgres(&named),
            pgbouncers: find_all(&named, "PGBOUNCER_", "pgbouncer", "--version"),
            haproxies: find_all(&named, "HAPROXY_", "haproxy", "-v"),
        }
    }

    /// The PostgreSQL of this major version.
    ///
    /// # Errors
    /// When this machine has none of it.
    pub fn postgres(&self, major: u32) -> Result<&Program, SandboxError> {
        self.postgres.get(&major).ok_or_else(|| missing(&format!("PostgreSQL {major}"), &format!("PG{major}_BIN")))
    }

    /// The PostgreSQL of the major version, or else the nearest one that is to be had.
    ///
    /// # Errors
    /// When this machine has no PostgreSQL at all.
    pub fn postgres_near(&self, major: u32) -> Result<&Program, SandboxError> {
        let nearest = self.postgres.iter().min_by_key(|(found, _)| found.abs_diff(major));
        nearest.map(|(_, program)| program).ok_or_else(|| missing("PostgreSQL", &format!("PG{major}_BIN")))
    }

    /// The newest or the oldest PgBouncer.
    ///
    /// # Errors
    /// When this machine has none.
    pub fn pgbouncer(&self, age: Age) -> Result<&Program, SandboxError> {
        age.pick(&self.pgbouncers).ok_or_else(|| missing("PgBouncer", "PGBOUNCER_NEW, PGBOUNCER_OLD"))
    }

    /// The newest or the oldest HAProxy.
    ///
    /// # Errors
    /// When this machine has none.
    pub fn haproxy(&self, age: Age) -> Result<&Program, SandboxError> {
        age.pick(&self.haproxies).ok_or_else(|| missing("HAProxy", "HAPROXY_NEW, HAPROXY_OLD"))
    }
}

/// A program that only some sandboxes need, by its name in the environment or in what the installers wrote.
///
/// # Errors
/// When this machine does not have it.
pub(crate) fn named(variable: &str, people: &str) -> Result<PathBuf, SandboxError> {
    let named = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    let found = named.or_else(|| prefix_paths().remove(variable)).filter(|path| path.is_file());
    found.ok_or_else(|| missing(people, variable))
}

/// Which of several versions of a program is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Age {
    /// The newest.
    #[default]
    New,
    /// The oldest.
    Old,
}

impl Age {
    fn pick(self, programs: &[Program]) -> Option<&Program> {
        match self {
            Self::New => programs.last(),
            Self::Old => programs.first(),
        }
    }
}

fn missing(program: &str, variables: &str) -> SandboxError {
    let looked_at = format!(
        "the environment ({variables}), {}, and this machine's own programs",
        prefix().join("paths.env").display()
    );
    SandboxError::Missing { program: program.to_owned(), looked_at }
}

fn names_a_server(key: &str) -> bool {
    major_of(key).is_some() || key.starts_with("PGBOUNCER_") || key.starts_with("HAPROXY_")
}

/// `PG18_BIN` is the folder of PostgreSQL 18.
fn major_of(key: &str) -> Option<u32> {
    key.strip_prefix("PG")?.strip_suffix("_BIN")?.parse().ok()
}

/// Where `tools/install-servers.sh` installs by default; the two must agree.
fn prefix() -> PathBuf {
    if let Some(prefix) = std::env::var_os("POINTSMAN_SERVERS") {
        return prefix.into();
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match home.filter(|home| !is_closed_to_others(home)) {
        Some(home) => home.join(".cache/pointsman-servers"),
        None => "/var/cache/pointsman-servers".into(),
    }
}

/// Root's servers run as `nobody`, who can't reach a cache folder below a home that is closed.
fn is_closed_to_others(home: &Path) -> bool {
    let closed = std::fs::metadata(home).is_ok_and(|meta| meta.mode() & 0o001 == 0);
    super::owner::servant().is_some() && closed
}

fn prefix_paths() -> BTreeMap<String, PathBuf> {
    let read = |file: &str| std::fs::read_to_string(prefix().join(file)).unwrap_or_default();
    let text = read("paths.env") + &read("emulators.env");
    let pairs = text.lines().filter_map(|line| line.trim().trim_start_matches("export ").split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.trim_matches(['"', '\'']).into())).collect()
}

fn find_postgres(named: &BTreeMap<String, PathBuf>) -> BTreeMap<u32, Program> {
    let named = named.iter().filter(|(key, _)| major_of(key).is_some()).map(|(_, folder)| folder.clone());
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = named.chain(packaged.map(|entry| entry.path().join("bin"))).chain(search_path());
    let mut found = BTreeMap::new();
    for folder in folders.filter(|folder| folder.join("initdb").is_file()) {
        if let Some(version) = version_of(&folder.join("postgres"), "--version") {
            found.entry(version[0]).or_insert(Program { version, path: folder });
        }
    }
    found
}

fn find_all(named: &BTreeMap<String, PathBuf>, prefix: &str, name: &str, flag: &str) -> Vec<Program> {
    let named = named.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, path)| path.clone());
    let installed = search_path().chain(["/usr/sbin".into()]).map(|folder| folder.join(name));
    let mut found: Vec<Program> = Vec::new();
    for path in named.chain(installed).filter(|path| path.is_file()) {
        let Some(version) = version_of(&path, flag) else { continue };
        if found.iter().all(|program| program.version != version) {
            found.push(Program { version, path });
        }
    }
    found.sort();
    found
}

fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

fn version_of(program: &Path, flag: &str) -> Option<Vec<u32>> {
    let output = Command::new(program).arg(flag).output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// The first word that begins with a digit, up to what is not a number: "PgBouncer 1.26.1", "18.6 (Debian ...)".
fn parse_version(text: &str) -> Option<Vec<u32>> {
    let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let numbers: Vec<u32> = word.split(['.', '-']).map_while(|part| part.parse().ok()).collect();
    (!numbers.is_empty()).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_the_programs_print_them() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)"), Some(vec![15, 20]));
        assert_eq!(parse_version("PgBouncer 1.26.1\nlibevent 2.1.12-stable"), Some(vec![1, 26, 1]));
        assert_eq!(parse_version("HAProxy version 2.6.12-1+deb12u3 2025/10/03"), Some(vec![2, 6, 12]));
        assert_eq!(parse_version("command not found"), None);
    }

    #[test]
    fn variables_that_name_a_postgres() {
        assert_eq!(major_of("PG18_BIN"), Some(18));
        assert_eq!(major_of("PGHOST"), None);
    }
}
