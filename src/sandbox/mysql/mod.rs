//! MySQL and MariaDB in the sandbox: binary log and GTIDs on, everything durable, passwords for everybody.
//!
//! A first data folder takes seconds to make, so it is kept as a template, and copied from then on.

mod client;
mod replica;
mod schema;
mod settings;
mod shop;
mod users;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use rustix::process::Signal;

pub use self::client::MysqlClient;
use super::{
    Passwords, Program, Role, SandboxError, Servers, owner,
    process::{self, EndWith, Spawn},
    server::{Kind, Server, StartServer},
    template,
};

/// MySQL or MariaDB: they share a protocol and most words.
#[derive(Debug, Clone, Copy)]
pub struct Family<const MARIADB: bool>;

/// The kind MySQL.
pub type Mysql = Family<false>;

/// The kind MariaDB.
pub type Mariadb = Family<true>;

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flavour {
    Mysql,
    Mariadb,
}

impl<const MARIADB: bool> Family<MARIADB> {
    const FLAVOUR: Flavour = if MARIADB { Flavour::Mariadb } else { Flavour::Mysql };
}

#[async_trait]
impl<const MARIADB: bool> Kind for Family<MARIADB> {
    type Client = MysqlClient;
    const NAME: &'static str = if MARIADB { "MariaDB" } else { "MySQL" };
    const VERSIONS: (u32, u32) = if MARIADB { (1011, 1011) } else { (97, 97) };
    const POOLED: bool = false;
    const QUITS: bool = false;

    fn programs(servers: &Servers) -> &BTreeMap<u32, Program> {
        if MARIADB { &servers.mariadb } else { &servers.mysql }
    }

    fn variable(version: u32) -> String {
        format!("{}{version}_BASEDIR", if MARIADB { "MARIADB" } else { "MYSQL" })
    }

    fn url(passwords: &Passwords, role: Role, port: u16, database: &str) -> String {
        passwords.mysql_url(role, port, database)
    }

    async fn open(url: &str) -> Result<MysqlClient, SandboxError> {
        MysqlClient::open(url).await.map_err(|refusal| refusal.at("connect to a database of the sandbox"))
    }

    async fn init(start: &StartServer, data: &Path, port: u16) -> Result<(), SandboxError> {
        init(Self::FLAVOUR, start, data).await?;
        settings::write(Self::FLAVOUR, start, data, port)
    }

    fn command(start: &StartServer, data: &Path, _port: u16) -> (PathBuf, Vec<String>) {
        let defaults = format!("--defaults-file={}", data.join(settings::SERVER).display());
        (server_program(Self::FLAVOUR, &start.program), vec![defaults])
    }

    async fn answers(start: &StartServer, _data: &Path, port: u16) -> Result<(), SandboxError> {
        users::knock(start, port).await
    }

    fn stop_signal() -> Signal {
        Signal::TERM
    }

    async fn create_roles(start: &StartServer, data: &Path, port: u16) -> Result<(), SandboxError> {
        users::create(Self::FLAVOUR, start, data).await?;
        match start.replica_of {
            Some(primary) => replica::follow(Self::FLAVOUR, start, port, primary).await,
            None => Ok(()),
        }
    }

    async fn fill(db: &MysqlClient, scale: u32) -> Result<(), SandboxError> {
        schema::create(db, scale).await
    }

    fn env(source: &Server<Self>) -> Vec<(String, String)> {
        let dump = program(&source.start.program.path, if MARIADB { "mariadb-dump" } else { "mysqldump" });
        vec![(
            if MARIADB { "POINTSMAN_MARIADB_DUMP" } else { "POINTSMAN_MYSQLDUMP" }.into(),
            dump.display().to_string(),
        )]
    }

    fn look_around(source: &Server<Self>, target: &Server<Self>) -> String {
        let with = |server: &Server<Self>| {
            let client = program(&server.start.program.path, if MARIADB { "mariadb" } else { "mysql" });
            format!("{} --defaults-file={}", client.display(), server.data().join(settings::CLIENT).display())
        };
        format!("{}\n                              {}", with(source), with(target))
    }
}

/// The server program below a basedir, wherever its packagers put it.
pub(super) fn find_server(basedir: &Path, name: &str) -> Option<PathBuf> {
    let path = program(basedir, name);
    path.is_file().then_some(path)
}

fn program(basedir: &Path, name: &str) -> PathBuf {
    let mut places = ["sbin", "libexec", "scripts", "bin"].map(|folder| basedir.join(folder).join(name)).into_iter();
    let last = places.next_back().unwrap_or_default();
    places.find(|path| path.is_file()).unwrap_or(last)
}

fn server_program(flavour: Flavour, chosen: &Program) -> PathBuf {
    program(&chosen.path, if flavour == Flavour::Mariadb { "mariadbd" } else { "mysqld" })
}

/// A new data folder: from the template, or else made by the first start, and then the template for the next one.
async fn init(flavour: Flavour, start: &StartServer, data: &Path) -> Result<(), SandboxError> {
    let template = template::of(&server_program(flavour, &start.program), &start.program.version_text());
    if template.as_deref().is_some_and(|template| template::copy(template, data).is_ok()) {
        return Ok(());
    }
    std::fs::remove_dir_all(data).ok();
    owner::make_folder(data)?;
    first_start(flavour, start, data).await?;
    // A server's identity: each makes its own.
    std::fs::remove_file(data.join("auto.cnf")).ok();
    if let Some(template) = template {
        template::keep(data, &template);
    }
    Ok(())
}

async fn first_start(flavour: Flavour, start: &StartServer, data: &Path) -> Result<(), SandboxError> {
    let basedir = &start.program.path;
    let (program, own): (PathBuf, &[&str]) = match flavour {
        Flavour::Mysql => (
            program(basedir, "mysqld"),
            &["--initialize-insecure", "--innodb-redo-log-capacity=8M", "--secure-file-priv=NULL"],
        ),
        Flavour::Mariadb => (
            program(basedir, "mariadb-install-db"),
            &["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", "--cross-bootstrap"],
        ),
    };
    let folders = [format!("--basedir={}", basedir.display()), format!("--datadir={}", data.display())];
    let args = std::iter::once("--no-defaults".to_owned()).chain(folders).chain(own.iter().map(ToString::to_string));
    process::run(&Spawn {
        name: &format!("{}-first-start", start.name),
        program: &program,
        args: args.collect(),
        env: Vec::new(),
        root: &start.root,
        working_folder: data,
        as_servant: true,
        end_with: EndWith::Kill,
    })
    .await
}
