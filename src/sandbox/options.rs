//! What a sandbox is to be made of.

use std::path::PathBuf;

use super::{
    Age, SandboxError,
    server::{Kind, TlsFiles},
};

/// What a sandbox is to be made of. The default is PostgreSQL 15 to 18, one PgBouncer and one HAProxy, the newest.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// Version of the source as [`super::Servers`] counts it: 15, or 97 for MySQL 9.7. The nearest is taken where it is
    /// not to be had.
    pub source_version: u32,
    /// Version of the target.
    pub target_version: u32,
    /// Whether the target is a replica of the source, of its version: of PostgreSQL a physical one.
    pub replica: bool,
    /// Settings of the source beyond the sandbox's own.
    pub source_settings: Vec<(String, String)>,
    /// Settings of the target beyond the sandbox's own.
    pub target_settings: Vec<(String, String)>,
    /// TLS for both databases.
    pub tls: Option<TlsFiles>,
    /// Which PgBouncer.
    pub pgbouncer: Age,
    /// How many PgBouncers.
    pub pgbouncers: usize,
    /// Which HAProxy, for both of its uses.
    pub haproxy: Age,
    /// How many HAProxies before the application.
    pub haproxies: usize,
    /// How many HAProxies before the databases, where there is no pooler.
    pub fronts: usize,
    /// Whether the databases make their writes durable; on, unless speed matters more than truth.
    pub fsync: bool,
    /// Rows: 1 is about ten thousand.
    pub scale: u32,
    /// The folder to build below; by default `$TMPDIR` or `/tmp`.
    pub base: Option<PathBuf>,
    /// The program that has the subcommand `sandbox-app`; by default this one.
    pub app_binary: Option<PathBuf>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            source_version: 15,
            target_version: 18,
            replica: false,
            source_settings: Vec::new(),
            target_settings: Vec::new(),
            tls: None,
            pgbouncer: Age::New,
            pgbouncers: 1,
            haproxy: Age::New,
            haproxies: 1,
            fronts: 1,
            fsync: true,
            scale: 1,
            base: None,
            app_binary: None,
        }
    }
}

impl SandboxOptions {
    /// The default for a kind of database.
    pub fn of<K: Kind>() -> Self {
        let (source_version, target_version) = K::VERSIONS;
        Self { source_version, target_version, ..Self::default() }
    }

    pub(crate) fn app_binary(&self) -> Result<PathBuf, SandboxError> {
        match &self.app_binary {
            Some(binary) => Ok(binary.clone()),
            None => std::env::current_exe().map_err(SandboxError::io("find this program's own file")),
        }
    }
}
