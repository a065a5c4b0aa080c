//! MySQL behind HAProxy: the sandbox, and the hand-made minimum of somebody with a client at hand and warm connections:
//! read-only, GTID wait, stop and forget the channel, open, switch, shut sessions. No journal, no fence, no way back.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pointsman::clock;
use pointsman::sandbox::ledger::Ledger;
use pointsman::sandbox::mysql::{Mysql, MysqlClient};
use pointsman::sandbox::workload::Workload;
use pointsman::sandbox::{Role, Sandbox, SandboxOptions};

use crate::hand::Watch;
use crate::site::{CLIENTS, Place, wrong};
use crate::stats::Cutover;
use crate::{POINTSMAN, Result};

const SETTLE: Duration = Duration::from_millis(1200);
/// The target has what the source had this long ago.
const NEAR: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);

/// A running sandbox of MySQL.
pub struct Site {
    sandbox: Sandbox<Mysql>,
    folder: tempfile::TempDir,
    rate: f64,
}

impl Site {
    pub async fn start(rate: f64) -> Result<Self> {
        let options = SandboxOptions { app_binary: Some(POINTSMAN.into()), ..SandboxOptions::of::<Mysql>() };
        Ok(Self { sandbox: Sandbox::of(options).await?, folder: tempfile::tempdir()?, rate })
    }

    pub fn title(&self) -> String {
        let version: Vec<String> =
            self.sandbox.fronts.iter().flat_map(|front| front.version().iter().map(ToString::to_string)).collect();
        format!("{} to {}, HAProxy {}", self.sandbox.source.title(), self.sandbox.target.version(), version.join("."))
    }

    pub async fn stop(self) {
        self.sandbox.stop().await;
    }

    async fn both(&self) -> Result<(MysqlClient, MysqlClient)> {
        let (source, target) = (&self.sandbox.source, &self.sandbox.target);
        Ok(tokio::try_join!(source.connect(Role::Superuser), target.connect(Role::Superuser))?)
    }
}

impl Place for Site {
    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn runbook(&self) -> Result<PathBuf> {
        let path = self.folder.path().join("bench.yaml");
        std::fs::write(&path, include_str!("bench-mysql.yaml"))?;
        Ok(path)
    }

    fn env(&self) -> Result<BTreeMap<String, String>> {
        Ok(self.sandbox.env())
    }

    fn load(&self) -> Result<Workload> {
        Ok(self.sandbox.workload(0, CLIENTS, self.rate)?)
    }

    async fn empty_ledger(&self) -> Result<()> {
        let source = self.sandbox.source.connect(Role::Superuser).await?;
        source.execute("DELETE FROM ledger; DELETE FROM order_history; DELETE FROM orders WHERE state = 'new'").await?;
        Ok(())
    }

    async fn lost(&self, ledger: &Ledger) -> Result<usize> {
        let source = self.sandbox.source.connect(Role::Superuser).await?;
        Ok(wrong(&ledger.audit(&source).await?))
    }
}

/// Sets replication up, cuts over, and puts everything back. What was written on the target is thrown away.
pub async fn by_hand(site: &Site) -> Result<Cutover> {
    site.empty_ledger().await?;
    let workload = site.load()?;
    tokio::time::sleep(SETTLE).await;
    set_up(site).await?;
    tokio::time::sleep(SETTLE).await;
    let (source, target) = site.both().await?;
    let admin = site.sandbox.fronts[0].admin_address();
    in_step(&source, &target).await?;
    let mut watch = Watch::start();
    source.execute("SET GLOBAL super_read_only = ON").await?;
    let done = source.value("SELECT @@GLOBAL.gtid_executed").await?.unwrap_or_default();
    watch.part("read-only, position");
    target.value(&wait_for(&done)).await?;
    watch.part("GTID wait");
    target.execute("STOP REPLICA; RESET REPLICA ALL").await?;
    watch.part("stop and forget the channel");
    target.execute("SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF").await?;
    watch.part("open");
    lead(&admin, "target", "source")?;
    watch.part("switch, shut sessions");
    let (mut cutover, from, to) = watch.end();
    tokio::time::sleep(SETTLE).await;
    let ledger = workload.stop().await;
    put_back(&source, &target, &admin).await?;
    cutover.seen(&ledger, from, to);
    Ok(cutover)
}

/// As our gate does, and as anybody would: not before the target is near.
async fn in_step(source: &MysqlClient, target: &MysqlClient) -> Result<()> {
    let began = clock::monotonic();
    while began.elapsed() < PATIENCE {
        let asked = clock::monotonic();
        let done = source.value("SELECT @@GLOBAL.gtid_executed").await?.unwrap_or_default();
        target.value(&wait_for(&done)).await?;
        if asked.elapsed() < NEAR {
            return Ok(());
        }
    }
    Err("the target does not follow".into())
}

fn wait_for(gtids: &str) -> String {
    format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{}', 60)", gtids.replace('\n', ""))
}

async fn set_up(site: &Site) -> Result<()> {
    let (source, target) = site.both().await?;
    target.execute("SET sql_log_bin = 0; DROP DATABASE shop").await?;
    target.execute("RESET BINARY LOGS AND GTIDS").await?;
    copy(site)?;
    let url = url::Url::parse(&site.sandbox.source.url(Role::Superuser, "mysql"))?;
    let (port, password) = (site.sandbox.source.port(), url.password().unwrap_or_default().to_owned());
    target
        .execute(&format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'root', \
             SOURCE_PASSWORD = '{password}', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_SSL = 0; \
             START REPLICA; SET GLOBAL super_read_only = ON"
        ))
        .await?;
    let done = source.value("SELECT @@GLOBAL.gtid_executed").await?.unwrap_or_default();
    target.value(&wait_for(&done)).await?;
    Ok(())
}

fn copy(site: &Site) -> Result<()> {
    let dump = PathBuf::from(site.sandbox.env().remove("POINTSMAN_MYSQLDUMP").unwrap_or_default());
    let options = |data: &Path| format!("--defaults-file={}", data.join("client.cnf").display());
    let mut dumping = std::process::Command::new(&dump)
        .arg(options(site.sandbox.source.data()))
        .args(["--single-transaction", "--set-gtid-purged=ON", "--routines", "--events", "--triggers"])
        .args(["--no-tablespaces", "--databases", "shop"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let text = dumping.stdout.take().ok_or("the dump has no output")?;
    let loaded = std::process::Command::new(dump.with_file_name("mysql"))
        .arg(options(site.sandbox.target.data()))
        .arg("--database=mysql")
        .stdin(text)
        .status()?;
    if loaded.success() && dumping.wait()?.success() { Ok(()) } else { Err("the copy failed".into()) }
}

async fn put_back(source: &MysqlClient, target: &MysqlClient, admin: &str) -> Result<()> {
    target.execute("SET sql_log_bin = 0; DROP DATABASE shop; CREATE DATABASE shop").await?;
    target.execute("RESET BINARY LOGS AND GTIDS").await?;
    source.execute("SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF").await?;
    lead(admin, "source", "target")
}

fn lead(admin: &str, to: &str, from: &str) -> Result<()> {
    let mut socket = std::net::TcpStream::connect(admin)?;
    let line = format!(
        "set server databases/{to} state ready;set server databases/{from} state maint;shutdown sessions server \
         databases/{from}\n"
    );
    socket.write_all(line.as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    if answer.trim().is_empty() { Ok(()) } else { Err(answer.into()) }
}
