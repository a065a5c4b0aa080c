//! Finds a `pg_dump` that can read the source, and runs it without a secret on its command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio_postgres::config::Host;

use crate::runbook::model::TlsMode;
use crate::systems::postgres::Database;
use crate::systems::{Certainty, DriverError, Result};

const WHERE_ELSE: &str = "/usr/lib/postgresql";
const HINT: &str = "install postgresql-client of the source's version or newer, or name it: `pg-dump:` of the step, or \
                    POINTSMAN_PG_DUMP";

/// A `pg_dump` and its major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PgDump {
    path: PathBuf,
    major: u32,
}

/// Finds one that reads a server of version `major`: the one that was named, else that of `POINTSMAN_PG_DUMP`, else that of
/// `PATH` if it is new enough, else the newest below `/usr/lib/postgresql`.
pub(super) async fn find(source: &Database, named: Option<&str>, major: u32) -> Result<PgDump> {
    let named = named.map(PathBuf::from).or_else(|| std::env::var_os("POINTSMAN_PG_DUMP").map(PathBuf::from));
    if let Some(path) = named {
        let found = version(&path).await.map_err(|reason| unusable(source, &reason))?;
        return new_enough(source, PgDump { path, major: found }, major);
    }
    let mut best: Option<PgDump> = None;
    for path in candidates() {
        let Ok(found) = version(&path).await else { continue };
        let from_path = path.parent().is_none_or(|parent| parent.as_os_str().is_empty());
        if from_path && found >= major {
            return Ok(PgDump { path, major: found });
        }
        if best.as_ref().is_none_or(|best| best.major < found) {
            best = Some(PgDump { path, major: found });
        }
    }
    let best = best.ok_or_else(|| unusable(source, "this machine has no pg_dump"))?;
    new_enough(source, best, major)
}

/// The `pg_dump` that would be used for a server of version `major`, in words.
pub async fn dumper(source: &Database, named: Option<&str>, major: u32) -> Result<String> {
    let found = find(source, named, major).await?;
    Ok(format!("{} is of version {}, the server of {major}", found.path.display(), found.major))
}

fn candidates() -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from("pg_dump")];
    if let Ok(folders) = std::fs::read_dir(WHERE_ELSE) {
        paths.extend(folders.flatten().map(|folder| folder.path().join("bin/pg_dump")));
    }
    paths
}

fn new_enough(source: &Database, found: PgDump, major: u32) -> Result<PgDump> {
    if found.major >= major {
        return Ok(found);
    }
    let reason = format!("{} is of version {}, the server of {major}", found.path.display(), found.major);
    Err(unusable(source, &reason))
}

fn unusable(source: &Database, reason: &str) -> DriverError {
    DriverError::new(&source.name, "find a pg_dump", reason, Certainty::NotSent).with_hint(HINT)
}

/// "pg_dump (PostgreSQL) 18.6 (Debian 18.6-3)" is 18.
async fn version(path: &Path) -> std::result::Result<u32, String> {
    let output = Command::new(path)
        .arg("--version")
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{} can't be started: {error}", path.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.split_whitespace().find_map(|word| word.split(['.', 'd', 'b', 'r']).next()?.parse().ok());
    number.ok_or_else(|| format!("{} is not a pg_dump", path.display()))
}

impl PgDump {
    /// Dumps one section as it is seen by `snapshot`, without the schemas `others`.
    pub async fn run(&self, source: &Database, section: &str, snapshot: &str, others: &[String]) -> Result<String> {
        let failed = |reason: String| {
            let what = format!("dump its schema ({section})");
            DriverError::new(&source.name, &what, reason, Certainty::Refused)
        };
        let mut command = Command::new(&self.path);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.envs(self.environment(source)?).args(arguments(section, snapshot, others));
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(last_lines(&String::from_utf8_lossy(&output.stderr))));
        }
        String::from_utf8(output.stdout).map_err(|error| failed(error.to_string()))
    }

    /// libpq's words for how the source is reached. The environment of a process is closed to other users, its
    /// command line is not.
    fn environment(&self, source: &Database) -> Result<BTreeMap<&'static str, String>> {
        let (config, tls) = source.dialling()?;
        let hosts: Vec<String> = config.get_hosts().iter().map(host_text).collect();
        let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
        let mut variables = BTreeMap::from([
            ("PGHOST", hosts.join(",")),
            ("PGPORT", ports.join(",")),
            ("PGCONNECT_TIMEOUT", "10".to_owned()),
            ("PGAPPNAME", "pointsman".to_owned()),
            ("LC_ALL", "C".to_owned()),
        ]);
        let user = config.get_user().map(str::to_owned);
        variables.extend(user.map(|user| ("PGUSER", user)));
        let database = config.get_dbname().or(config.get_user()).map(str::to_owned);
        variables.extend(database.map(|database| ("PGDATABASE", database)));
        let password = config.get_password().map(|password| String::from_utf8_lossy(password).into_owned());
        variables.extend(password.map(|password| ("PGPASSWORD", password)));
        let mode = match tls.mode {
            TlsMode::Disable => "disable",
            TlsMode::Prefer => "prefer",
            TlsMode::Require => "require",
            TlsMode::VerifyFull => "verify-full",
        };
        variables.insert("PGSSLMODE", mode.to_owned());
        if tls.mode == TlsMode::VerifyFull {
            variables.insert("PGSSLROOTCERT", tls.ca.clone().unwrap_or_else(|| self.machine_roots()));
        }
        Ok(variables)
    }

    /// libpq knows `system` from 16 on.
    fn machine_roots(&self) -> String {
        let known = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
        let file = known.iter().find(|path| Path::new(path).exists());
        if self.major >= 16 { "system".to_owned() } else { file.unwrap_or(&known[0]).to_string() }
    }
}

fn host_text(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

fn arguments(section: &str, snapshot: &str, others: &[String]) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--schema-only",
        "--no-publications",
        "--no-subscriptions",
        "--no-tablespaces",
        "--no-table-access-method",
        "--no-password",
        "--encoding=UTF8",
        "--lock-wait-timeout=30s",
        "--exclude-schema=pointsman",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("--section={section}"));
    arguments.push(format!("--snapshot={snapshot}"));
    arguments.extend(others.iter().map(|schema| format!("--exclude-schema={}", super::super::ident(schema))));
    arguments
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join("; ")
}
