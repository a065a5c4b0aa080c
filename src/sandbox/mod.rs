//! Rehearsals on this machine: real servers in a temporary folder, a sample application before them, a workload that
//! writes all the time, and a ledger that knows every acknowledged write.
//!
//! ```text
//! workload ─┬─► HAProxy ─► application old | new ─┬─► PgBouncer ─► source   target
//!           └─────────────────────────────────────┘                 ▲         ▲
//! probes ───────────────────────────────────────────────────────────┴─────────┘
//! ```
//!
//! MySQL and MariaDB have a HAProxy that balances connections where PostgreSQL has PgBouncer.
//!
//! It knows nothing of runbooks, plans or runs: what happens to the servers is somebody else's doing. Everything it
//! starts ends with it; what a killed sandbox left behind is cleaned up by the next one (see [`sweep()`]).

mod db;
mod error;
mod memory;
mod options;
mod owner;
mod ports;
mod proc;
mod process;
mod roles;
mod shop;
mod sweep;
mod template;
mod write;
mod writer;

pub mod app;
pub mod aws;
pub mod delay;
pub mod haproxy;
pub mod history;
pub mod instance;
pub mod ledger;
pub mod mysql;
pub mod pgbouncer;
pub mod postgres;
pub mod probe;
pub mod server;
pub mod servers;
pub mod workload;

pub use db::connect;
pub use error::SandboxError;
pub use options::SandboxOptions;
pub use ports::free_port;
pub use roles::{DATABASE, Passwords, Role};
pub use servers::{Age, Program, Servers};
pub use shop::{Refusal, Shop};
pub use sweep::{stop_folder, sweep};
pub use write::{WriteOutcome, WriteRequest};

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use haproxy::{Haproxy, HaproxyMode, SOCKET_PATH_MAX, StartHaproxy};
use instance::AppInstance;
use pgbouncer::{Pgbouncer, StartPgbouncer};
use postgres::Postgres;
use server::{Kind, Server, StartServer};
use workload::{Workload, WorkloadConfig};

/// Running servers with everything around them. Dropping it ends them all and deletes the folder.
#[derive(Debug)]
pub struct Sandbox<K: Kind = Postgres> {
    /// The database that is left. Has the sample application's tables and rows.
    pub source: Server<K>,
    /// The database that is moved to. Has the roles and an empty database.
    pub target: Server<K>,
    /// The poolers before PostgreSQL; they lead to the source.
    pub pgbouncers: Vec<Pgbouncer>,
    /// What stands before databases of other kinds: load balancers of connections, which lead to the source.
    pub fronts: Vec<Haproxy>,
    /// The application instance that has all the traffic at first.
    pub app_old: AppInstance,
    /// The application instance that has none at first.
    pub app_new: AppInstance,
    /// The load balancers, all before the same two instances.
    pub haproxies: Vec<Haproxy>,
    /// AWS in the place of the load balancers, where it was asked for.
    pub aws: Option<aws::Front>,
    notes: Vec<String>,
    // The last field, so that the servers have ended when the folder is deleted.
    folder: Folder,
}

/// The sandbox's folder, deleted with it.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            sweep::remove(&self.path).ok();
        }
    }
}

impl Sandbox {
    /// A sandbox of PostgreSQL; see [`Sandbox::of`].
    ///
    /// # Errors
    /// As there.
    pub async fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        Self::of(options).await
    }
}

impl<K: Kind> Sandbox<K> {
    /// Cleans up after dead sandboxes, then starts everything, both databases at the same time.
    ///
    /// # Errors
    /// When a server program is missing or does not start; what had started by then is ended.
    pub async fn of(options: SandboxOptions) -> Result<Self, SandboxError> {
        let mut notes = Vec::new();
        let base = base_folder(&options, &mut notes);
        sweep(&base);
        let folder = Folder { path: sweep::new_folder(&base)?, kept: false };
        let chosen = Chosen::from::<K>(&Servers::find(), &options, &mut notes)?;
        let build = Build { options, chosen, root: folder.path.clone(), passwords: Passwords::random() };
        let (source, target) = build.databases::<K>().await?;
        let pgbouncers = build.pgbouncers(source.port()).await?;
        let fronts = build.fronts::<K>(source.port(), target.port()).await?;
        let doors = doors::<K>(&pgbouncers, &fronts, &build.passwords);
        let (app_old, app_new) = tokio::try_join!(build.app("old", doors.first()), build.app("new", doors.last()))?;
        let haproxies = build.haproxies(&app_old, &app_new).await?;
        Ok(Self { source, target, pgbouncers, fronts, app_old, app_new, haproxies, aws: None, notes, folder })
    }

    /// What is not as it was asked for, for people.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The folder that everything lies in.
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// Puts AWS before the application, in the place of the load balancers.
    ///
    /// # Errors
    /// When a program is missing or does not start.
    pub async fn put_aws_before(&mut self) -> Result<(), SandboxError> {
        let apps = (self.app_old.port(), self.app_new.port());
        self.aws = Some(aws::Front::start(self.folder(), apps, self.door_port()).await?);
        Ok(())
    }

    /// Where the application connects to.
    fn door_port(&self) -> u16 {
        let mut doors = self.pgbouncers.iter().map(Pgbouncer::port).chain(self.fronts.iter().map(Haproxy::port));
        doors.next().unwrap_or_else(|| self.source.port())
    }

    /// The address of every load balancer, as `http://127.0.0.1:port`.
    pub fn web_urls(&self) -> Vec<String> {
        if let Some(aws) = &self.aws {
            return aws.plane.urls();
        }
        self.haproxies.iter().map(|balancer| format!("http://127.0.0.1:{}", balancer.port())).collect()
    }

    /// Where the application's role dials its database: the poolers, or what stands in their place.
    pub fn doors(&self) -> Vec<String> {
        doors::<K>(&self.pgbouncers, &self.fronts, &self.source.start.passwords)
    }

    /// The environment variables that a runbook reads, with the superuser's URLs. Of several poolers and load
    /// balancers the second is `POOL_ADMIN_URL_2` and so on.
    pub fn env(&self) -> BTreeMap<String, String> {
        self.env_as(Role::Superuser)
    }

    /// The same with the URLs of another role: [`Role::Mover`] is how it is on RDS.
    pub fn env_as(&self, role: Role) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        let mut put = |name: &str, index: usize, value: String| {
            let number = if index == 0 { String::new() } else { format!("_{}", index + 1) };
            env.insert(format!("{name}{number}"), value);
        };
        put("SOURCE_URL", 0, self.source.url(role, DATABASE));
        put("TARGET_URL", 0, self.target.url(role, DATABASE));
        for (name, value) in K::env(&self.source) {
            put(&name, 0, value);
        }
        for (index, pooler) in self.pgbouncers.iter().enumerate() {
            put("POOL_ADMIN_URL", index, pooler.admin_url());
            put("POOL_INI", index, pooler.ini().display().to_string());
            put("POOL_URL", index, pooler.url(Role::App));
        }
        for (index, (front, url)) in self.fronts.iter().zip(self.doors()).enumerate() {
            put("FRONT_SOCKET", index, front.socket().display().to_string());
            put("FRONT_ADDRESS", index, front.admin_address());
            put("FRONT_URL", index, url);
        }
        for (index, balancer) in self.haproxies.iter().enumerate() {
            put("HAPROXY_SOCKET", index, balancer.socket().display().to_string());
            put("HAPROXY_ADDRESS", index, balancer.admin_address());
            put("WEB_URL", index, format!("http://127.0.0.1:{}", balancer.port()));
        }
        env.extend(self.aws.iter().flat_map(aws::Front::env));
        env
    }

    /// Starts a workload: `http_clients` through the load balancers, `direct_clients` straight to [`Sandbox::doors`].
    ///
    /// # Errors
    /// When the HTTP clients can't be set up.
    pub fn workload(&self, http: usize, direct: usize, rate_per_second: f64) -> Result<Workload, SandboxError> {
        Workload::start(&WorkloadConfig {
            http_urls: self.web_urls(),
            http_clients: http,
            direct_urls: self.doors(),
            direct_clients: direct,
            rate_per_second,
        })
    }

    /// Ends everything and deletes the folder.
    pub async fn stop(mut self) {
        // Clients first, so that no server waits for them.
        self.aws = None;
        self.haproxies.iter_mut().for_each(Haproxy::kill9);
        self.app_old.kill9();
        self.app_new.kill9();
        self.pgbouncers.iter_mut().for_each(Pgbouncer::kill9);
        self.fronts.iter_mut().for_each(Haproxy::kill9);
        tokio::join!(self.source.stop(), self.target.stop());
    }

    /// Leaves everything running when this process ends, and says how to look around and how to end it.
    ///
    /// # Errors
    /// When the folder can't be marked, or the URLs can't be written into it.
    pub fn keep(mut self) -> Result<String, SandboxError> {
        use std::fmt::Write;
        sweep::keep(&self.folder.path)?;
        let mut env = String::new();
        for (name, value) in self.env() {
            writeln!(env, "export {name}='{value}'").ok();
        }
        let env_file = self.folder.path.join("env");
        owner::write_file(&env_file, &env, 0o600)?;
        self.leave_running();
        Ok(format!(
            "The sandbox is left running in {0}.\n\
             Its addresses and passwords:  . {1}\n\
             Look around:                  {2}\n\
             Logs:                         {0}/logs\n\
             End it:                       pointsman sandbox-stop {0}",
            self.folder.path.display(),
            env_file.display(),
            K::look_around(&self.source, &self.target),
        ))
    }

    fn leave_running(&mut self) {
        self.folder.kept = true;
        self.source.leave_running();
        self.target.leave_running();
        self.pgbouncers.iter_mut().for_each(Pgbouncer::leave_running);
        self.fronts.iter_mut().for_each(Haproxy::leave_running);
        self.app_old.leave_running();
        self.app_new.leave_running();
        self.haproxies.iter_mut().for_each(Haproxy::leave_running);
        self.aws.iter_mut().for_each(aws::Front::leave_running);
    }
}

fn doors<K: Kind>(pgbouncers: &[Pgbouncer], fronts: &[Haproxy], passwords: &Passwords) -> Vec<String> {
    let poolers = pgbouncers.iter().map(Pgbouncer::port);
    let ports = poolers.chain(fronts.iter().map(Haproxy::port));
    ports.map(|port| K::url(passwords, Role::App, port, DATABASE)).collect()
}

/// The folder to build below. A Unix socket's path is short: where it would not fit, /tmp is taken.
fn base_folder(options: &SandboxOptions, notes: &mut Vec<String>) -> PathBuf {
    let base = options.base.clone().unwrap_or_else(std::env::temp_dir);
    // HAProxy binds a temporary name first, which is longer by a pid and a suffix.
    let room_for_names = format!("/{}/haproxy-10/sock.4194304.tmp", sweep::new_name().unwrap_or_default()).len();
    if base.as_os_str().len() + room_for_names <= SOCKET_PATH_MAX {
        return base;
    }
    notes.push(format!("{} is too long a path for Unix sockets: the sandbox is below /tmp", base.display()));
    "/tmp".into()
}

/// The programs that this sandbox runs.
struct Chosen {
    source: Program,
    target: Program,
    pgbouncer: Option<Program>,
    haproxy: Program,
}

impl Chosen {
    fn from<K: Kind>(
        servers: &Servers,
        options: &SandboxOptions,
        notes: &mut Vec<String>,
    ) -> Result<Self, SandboxError> {
        let mut near = |side: &str, wanted: u32| {
            let program = servers.near::<K>(wanted)?;
            if !K::programs(servers).contains_key(&wanted) {
                let version = program.version_text();
                notes.push(format!("no {} {wanted} on this machine: the {side} is {version}", K::NAME));
            }
            Ok::<_, SandboxError>(program.clone())
        };
        Ok(Self {
            source: near("source", options.source_version)?,
            target: near("target", options.target_version)?,
            pgbouncer: if K::POOLED { Some(servers.pgbouncer(options.pgbouncer)?.clone()) } else { None },
            haproxy: servers.haproxy(options.haproxy)?.clone(),
        })
    }
}

/// The parts in the order of their building.
struct Build {
    options: SandboxOptions,
    chosen: Chosen,
    root: PathBuf,
    passwords: Passwords,
}

impl Build {
    /// Both at the same time, unless one is copied from the other.
    async fn databases<K: Kind>(&self) -> Result<(Server<K>, Server<K>), SandboxError> {
        if !self.options.replica {
            return tokio::try_join!(self.source::<K>(), self.server::<K>("target", None));
        }
        let source = self.source::<K>().await?;
        let target = self.server::<K>("target", Some(source.port())).await?;
        Ok((source, target))
    }

    async fn source<K: Kind>(&self) -> Result<Server<K>, SandboxError> {
        let server = self.server::<K>("source", None).await?;
        K::fill(&server.connect(Role::Superuser).await?, self.options.scale).await?;
        Ok(server)
    }

    async fn server<K: Kind>(&self, name: &str, replica_of: Option<u16>) -> Result<Server<K>, SandboxError> {
        let (program, settings) = match name {
            _ if replica_of.is_some() => (&self.chosen.source, &self.options.target_settings),
            "source" => (&self.chosen.source, &self.options.source_settings),
            _ => (&self.chosen.target, &self.options.target_settings),
        };
        Server::start(StartServer {
            name: name.to_owned(),
            program: program.clone(),
            root: self.root.clone(),
            passwords: self.passwords.clone(),
            fsync: self.options.fsync,
            settings: settings.clone(),
            tls: self.options.tls.clone(),
            replica_of,
        })
        .await
    }

    async fn pgbouncers(&self, database_port: u16) -> Result<Vec<Pgbouncer>, SandboxError> {
        let mut poolers = Vec::new();
        let Some(program) = &self.chosen.pgbouncer else { return Ok(poolers) };
        for number in 1..=self.options.pgbouncers.max(1) {
            let start = StartPgbouncer {
                name: format!("pgbouncer-{number}"),
                program: program.clone(),
                root: self.root.clone(),
                passwords: self.passwords.clone(),
                database_port,
            };
            poolers.push(Pgbouncer::start(start).await?);
        }
        Ok(poolers)
    }

    async fn fronts<K: Kind>(&self, source: u16, target: u16) -> Result<Vec<Haproxy>, SandboxError> {
        let mut fronts = Vec::new();
        if !K::POOLED {
            for number in 1..=self.options.fronts.max(1) {
                fronts.push(self.haproxy(&format!("front-{number}"), HaproxyMode::Front, (source, target)).await?);
            }
        }
        Ok(fronts)
    }

    async fn app(&self, name: &str, door: Option<&String>) -> Result<AppInstance, SandboxError> {
        let url = door.cloned().unwrap_or_default();
        AppInstance::start(name, &self.options.app_binary()?, &self.root, url).await
    }

    async fn haproxies(&self, old: &AppInstance, new: &AppInstance) -> Result<Vec<Haproxy>, SandboxError> {
        let mut balancers = Vec::new();
        for number in 1..=self.options.haproxies.max(1) {
            let ports = (old.port(), new.port());
            balancers.push(self.haproxy(&format!("haproxy-{number}"), HaproxyMode::Http, ports).await?);
        }
        Ok(balancers)
    }

    async fn haproxy(&self, name: &str, mode: HaproxyMode, ports: (u16, u16)) -> Result<Haproxy, SandboxError> {
        Haproxy::start(StartHaproxy {
            name: name.to_owned(),
            program: self.chosen.haproxy.clone(),
            root: self.root.clone(),
            mode,
            old_port: ports.0,
            new_port: ports.1,
        })
        .await
    }
}
