//! The sandbox that both kinds of cutover work on, by turns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pointsman::sandbox::ledger::{Audit, Ledger};
use pointsman::sandbox::pgbouncer::Pgbouncer;
use pointsman::sandbox::workload::Workload;
use pointsman::sandbox::{Age, DATABASE, Role, Sandbox, SandboxOptions, connect};
use pointsman::systems::postgres::schema_copy::DumpOptions;

use crate::{POINTSMAN, Result};

/// Clients that write through the pooler.
pub const CLIENTS: usize = 8;
/// Their writes a second, together, unless `--rate` says another number.
pub const RATE: f64 = 1000.0;

/// What a cutover by the product needs of the sandbox that it works on.
pub trait Place {
    /// Runbook and journal.
    fn folder(&self) -> &Path;
    /// The runbook of a round.
    fn runbook(&self) -> Result<PathBuf>;
    /// Environment of the program.
    fn env(&self) -> Result<BTreeMap<String, String>>;
    /// The clients.
    fn load(&self) -> Result<Workload>;
    /// What earlier rounds wrote would make each copy longer than the last.
    async fn empty_ledger(&self) -> Result<()>;
    /// How many acknowledged writes the source lacks, has twice, or would number again.
    async fn lost(&self, ledger: &Ledger) -> Result<usize>;

    fn journal(&self) -> PathBuf {
        self.folder().join("journal.db")
    }
}

/// Of an audit, what must be nothing.
pub fn wrong(audit: &Audit) -> usize {
    audit.lost.len() + audit.duplicated.len() + audit.sequence_anomalies.len()
}

/// PostgreSQL, with the ways by which a cutover reaches it.
impl Place for (&Site, &Routes) {
    fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    fn runbook(&self) -> Result<PathBuf> {
        self.0.runbook()
    }

    fn env(&self) -> Result<BTreeMap<String, String>> {
        self.0.env(self.1)
    }

    fn load(&self) -> Result<Workload> {
        self.0.load()
    }

    async fn empty_ledger(&self) -> Result<()> {
        self.0.empty_ledger().await
    }

    async fn lost(&self, ledger: &Ledger) -> Result<usize> {
        let source = connect(&self.0.sandbox.source.url(Role::Superuser, DATABASE)).await?;
        Ok(wrong(&ledger.audit(&source).await?))
    }
}

/// A running sandbox.
pub struct Site {
    pub sandbox: Sandbox,
    /// Runbook and journal.
    pub folder: tempfile::TempDir,
    rate: f64,
}

/// Ports by which a cutover reaches the servers: their own, or those of proxies before them.
pub struct Routes {
    pub source: u16,
    pub target: u16,
    pub pooler: u16,
}

impl Routes {
    pub fn direct(site: &Site) -> Self {
        Self {
            source: site.sandbox.source.port(),
            target: site.sandbox.target.port(),
            pooler: site.sandbox.pgbouncers.first().map_or(0, Pgbouncer::port),
        }
    }
}

impl Site {
    /// Real servers with `fsync`, below `$TMPDIR`.
    pub async fn start(source: u32, target: u32, pgbouncer: Age, rate: f64) -> Result<Self> {
        let options = SandboxOptions {
            source_version: source,
            target_version: target,
            pgbouncer,
            app_binary: Some(POINTSMAN.into()),
            ..SandboxOptions::default()
        };
        Ok(Self { sandbox: Sandbox::start(options).await?, folder: tempfile::tempdir()?, rate })
    }

    pub fn title(&self) -> String {
        let version = self.sandbox.pgbouncers.first().map(|pooler| pooler.version().to_vec()).unwrap_or_default();
        let version: Vec<String> = version.iter().map(ToString::to_string).collect();
        let (source, target) = (self.sandbox.source.major(), self.sandbox.target.major());
        format!("PostgreSQL {source} to {target}, PgBouncer {}", version.join("."))
    }

    pub fn pooler(&self) -> Result<&Pgbouncer> {
        self.sandbox.pgbouncers.first().ok_or_else(|| "the sandbox has no pooler".into())
    }

    pub fn load(&self) -> Result<Workload> {
        Ok(self.sandbox.workload(0, CLIENTS, self.rate)?)
    }

    /// What earlier rounds wrote would make each copy longer than the last.
    pub async fn empty_ledger(&self) -> Result<()> {
        let source = connect(&self.sandbox.source.url(Role::Superuser, DATABASE)).await?;
        source.batch_execute("TRUNCATE ledger, order_history; DELETE FROM orders WHERE state = 'new'").await?;
        Ok(())
    }

    pub fn source_url(&self, routes: &Routes) -> String {
        let server = &self.sandbox.source;
        rerouted(&server.url(Role::Superuser, DATABASE), server.port(), routes.source)
    }

    pub fn target_url(&self, routes: &Routes) -> String {
        let server = &self.sandbox.target;
        rerouted(&server.url(Role::Superuser, DATABASE), server.port(), routes.target)
    }

    pub fn admin_url(&self, routes: &Routes) -> Result<String> {
        let pooler = self.pooler()?;
        Ok(rerouted(&pooler.admin_url(), pooler.port(), routes.pooler))
    }

    /// Environment of the program.
    pub fn env(&self, routes: &Routes) -> Result<BTreeMap<String, String>> {
        let mut env = self.sandbox.env();
        env.insert("SOURCE_URL".into(), self.source_url(routes));
        env.insert("TARGET_URL".into(), self.target_url(routes));
        env.insert("POOL_ADMIN_URL".into(), self.admin_url(routes)?);
        Ok(env)
    }

    pub fn dump_options(&self) -> DumpOptions {
        DumpOptions { pg_dump: self.sandbox.env().remove("POINTSMAN_PG_DUMP"), ..DumpOptions::default() }
    }

    /// The runbook of a round: poolers reach the databases without any proxy.
    pub fn runbook(&self) -> Result<PathBuf> {
        let path = self.folder.path().join("bench.yaml");
        let text = include_str!("bench.yaml")
            .replace("SOURCE_PORT", &self.sandbox.source.port().to_string())
            .replace("TARGET_PORT", &self.sandbox.target.port().to_string());
        std::fs::write(&path, text)?;
        Ok(path)
    }

    pub async fn stop(self) {
        self.sandbox.stop().await;
    }
}

fn rerouted(url: &str, from: u16, to: u16) -> String {
    url.replace(&format!(":{from}/"), &format!(":{to}/"))
}
