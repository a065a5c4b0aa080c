//! A cutover between servers that somebody else started: those of docker-compose.test.yml, or any that the variables
//! `POINTSMAN_TEST_*` name. Where none are named, servers of our own are given in the same way.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use pointsman::sandbox::{
    Sandbox, SandboxOptions, connect,
    workload::{Workload, WorkloadConfig},
};
use tokio::process::Command;
use tokio_postgres::{Client, Config, config::Host};

/// The application's role and password on the given servers and in their pooler.
const APP: &str = "pointsman_test_app";
const SCHEMA: &str = include_str!("../../src/sandbox/postgres/schema.sql");
const ACCOUNTS: &str =
    "INSERT INTO accounts (name, code) SELECT 'account ' || i, 'c' || i FROM generate_series(1, 1000) i";

const RUNBOOK: &str = r#"version: 1
name: given
stage: rehearsal
systems:
  source: { postgres: { url: "${env:SOURCE_URL}" } }
  target: { postgres: { url: "${env:TARGET_URL}" } }
  pool:
    pgbouncer: { admin: "${env:POOL_ADMIN_URL}", database: DATABASE, redirect: { ini: "${env:POOL_INI}" } }
gates:
  lag: { replication-lag: { max: 1MiB, interval: 100ms, timeout: 30s } }
steps:
  - preflight
  - replicate: { from: source, to: target, timeout: 2m }
  - wait: { gates: [lag], timeout: 1m }
  - window:
      budget: 5s
      steps:
        - freeze: { database: source, through: [pool] }
        - drain
        - sequences
        - promote: { keep-way-back: true }
        - switch: { endpoints: [pool] }
  - verify: { compare: checksums, timeout: 2m }
"#;

/// Servers that are there already, as the superuser of each sees them.
struct Given {
    source: String,
    target: String,
    admin: String,
    ini: PathBuf,
    /// Where it is not this machine's own.
    pg_dump: Option<String>,
    // Ends the servers that are our own.
    _ours: Option<Sandbox>,
}

impl Given {
    /// Those that the environment names; all of them or none.
    async fn take() -> Self {
        let names = ["SOURCE_URL", "TARGET_URL", "POOL_ADMIN_URL", "POOL_INI"];
        let read = |name: &str| std::env::var(format!("POINTSMAN_TEST_{name}")).ok();
        let [source, target, admin, ini] = names.map(read);
        match (source, target, admin, ini) {
            (Some(source), Some(target), Some(admin), Some(ini)) => {
                Self { source, target, admin, ini: ini.into(), pg_dump: None, _ours: None }
            }
            (None, None, None, None) => Self::ours().await,
            _ => panic!("some of POINTSMAN_TEST_{{{}}} are set and some are not", names.join(",")),
        }
    }

    async fn ours() -> Self {
        let app_binary = Some(env!("CARGO_BIN_EXE_pointsman").into());
        let sandbox = Sandbox::start(SandboxOptions { app_binary, fsync: false, ..SandboxOptions::default() }).await;
        let sandbox = sandbox.unwrap();
        let env = sandbox.env();
        let of = |name: &str| env[name].clone();
        let (source, target, admin) = (of("SOURCE_URL"), of("TARGET_URL"), of("POOL_ADMIN_URL"));
        let (ini, pg_dump) = (of("POOL_INI").into(), Some(of("POINTSMAN_PG_DUMP")));
        Self { source, target, admin, ini, pg_dump, _ours: Some(sandbox) }
    }

    fn database(&self) -> String {
        config(&self.source).get_dbname().unwrap().to_owned()
    }

    /// The application's tables on the source, nothing on the target, the application's role everywhere.
    async fn prepare(&self) {
        let (source, target) = (connect(&self.source).await.unwrap(), connect(&self.target).await.unwrap());
        for db in [&source, &target] {
            clean(db).await;
        }
        source.batch_execute(SCHEMA).await.unwrap();
        source.batch_execute(ACCOUNTS).await.unwrap();
        let grants = format!(
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO {APP}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {APP}"
        );
        source.batch_execute(&grants).await.unwrap();
        self.let_the_application_in().await;
    }

    /// PgBouncer reads its users from the file beside its ini (inside a container the folder has another name).
    async fn let_the_application_in(&self) {
        let ini = std::fs::read_to_string(&self.ini).unwrap();
        let named = ini.lines().find_map(|line| line.strip_prefix("auth_file = ")).unwrap();
        let users = self.ini.with_file_name(Path::new(named.trim()).file_name().unwrap());
        let line = format!("\"{APP}\" \"{APP}\"\n");
        let known = std::fs::read_to_string(&users).unwrap();
        if !known.contains(&line) {
            std::fs::write(&users, format!("{known}{line}")).unwrap();
        }
        connect(&self.admin).await.unwrap().batch_execute("RELOAD").await.unwrap();
    }

    fn workload(&self) -> Workload {
        let pooler = config(&self.admin);
        let Host::Tcp(host) = &pooler.get_hosts()[0] else { panic!("the pooler's console is not at a TCP address") };
        let url = format!("postgres://{APP}:{APP}@{host}:{}/{}", pooler.get_ports()[0], self.database());
        let (http_urls, direct_urls) = (Vec::new(), vec![url]);
        let load =
            WorkloadConfig { http_urls, http_clients: 0, direct_urls, direct_clients: 8, rate_per_second: 200.0 };
        Workload::start(&load).unwrap()
    }

    async fn pointsman(&self, folder: &Path, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(words).stdin(Stdio::null()).env("POINTSMAN_STATE", folder.join("journal.db"));
        command.env("SOURCE_URL", &self.source).env("TARGET_URL", &self.target);
        command.env("POOL_ADMIN_URL", &self.admin).env("POOL_INI", &self.ini);
        command.envs(self.pg_dump.iter().map(|path| ("POINTSMAN_PG_DUMP", path)));
        command.output().await.unwrap()
    }
}

fn config(url: &str) -> Config {
    url.parse().unwrap()
}

/// Empties a database, and makes the roles: one whose password the test knows, and those that the tables name.
async fn clean(db: &Client) {
    let sql = format!(
        "DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC;
         DO $$ BEGIN CREATE ROLE {APP}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         DO $$ BEGIN CREATE ROLE app; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         DO $$ BEGIN CREATE ROLE app2; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         ALTER ROLE {APP} LOGIN PASSWORD '{APP}'"
    );
    db.batch_execute(&sql).await.unwrap();
}

async fn grows(load: &Workload) {
    let before = load.acknowledged();
    super::cutover::support::until("writes flow", || load.acknowledged() >= before + 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_between_servers_that_are_given() {
    let given = Given::take().await;
    given.prepare().await;
    let folder = tempfile::tempdir().unwrap();
    let runbook = folder.path().join("runbook.yaml");
    std::fs::write(&runbook, RUNBOOK.replace("DATABASE", &given.database())).unwrap();
    let load = given.workload();
    grows(&load).await;
    let run = ["run", runbook.to_str().unwrap(), "--output", "json"];
    for (words, code) in [(run.as_slice(), 0), (&["rollback", "--output", "json"], 5)] {
        let ended = given.pointsman(folder.path(), words).await;
        assert_eq!(ended.status.code(), Some(code), "{words:?}: {ended:?}");
        grows(&load).await;
    }
    let ledger = load.stop().await;
    let audit = ledger.audit(&connect(&given.source).await.unwrap()).await.unwrap();
    assert!(audit.is_clean() && audit.acknowledged > 0, "{audit:?}");
    let left = "SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()";
    for url in [&given.source, &given.target] {
        let db = connect(url).await.unwrap();
        assert_eq!(db.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
        // Servers that are not ours keep nothing of the test but its roles.
        clean(&db).await;
    }
}
