//! A sandbox, a small runbook with short waits, and this very program as a child process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pointsman::executor::state::RunState;
use pointsman::executor::take;
use pointsman::journal::{Act, Entry, Event, Journal};
use pointsman::sandbox::ledger::{Audit, Ledger};
use pointsman::sandbox::postgres::PostgresServer;
use pointsman::sandbox::workload::Workload;
use pointsman::sandbox::{Role, Sandbox, SandboxOptions, connect};
use tokio::process::{Child, Command};
use tokio_postgres::Client;
use tokio_postgres::types::{FromSqlOwned, ToSql};

/// Far away: it only keeps a broken test from hanging.
const PATIENCE: Duration = Duration::from_secs(90);

pub fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_pointsman").into()
}

/// In memory where the machine has such a folder, and without fsync.
pub fn options() -> SandboxOptions {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    SandboxOptions { base: Some(base), app_binary: Some(program()), fsync: false, ..SandboxOptions::default() }
}

pub fn settings(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What is different in the runbook of a test.
pub struct Book {
    pub preflight: &'static str,
    /// More words of the source's system, such as `, tls: { … }`.
    pub postgres: String,
    /// Lines between `replicate` and the question `go`.
    pub before: &'static str,
    /// Whether the run asks `go` before its window.
    pub asks: bool,
    pub gates: &'static str,
    pub budget: &'static str,
    pub pause_timeout: &'static str,
    /// The window waits here, behind the step of this kind, until the test lets it go on: [`Stage::at`], [`Stage::pass`].
    pub point_after: Option<&'static str>,
    pub poolers: usize,
    /// Shifts HTTP traffic of this many load balancers before the window.
    pub balancers: usize,
    /// Lines behind the window.
    pub after: &'static str,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            preflight: "preflight",
            postgres: String::new(),
            before: "",
            asks: true,
            gates: "[]",
            budget: "2s",
            pause_timeout: "500ms",
            point_after: None,
            poolers: 1,
            balancers: 0,
            after: "",
        }
    }
}

impl Book {
    fn text(&self, folder: &Path) -> String {
        let mut text = format!(
            "version: 1\nname: failures\nstage: rehearsal\nsystems:\n\
             \x20 source: {{ postgres: {{ url: \"${{env:SOURCE_URL}}\"{0} }} }}\n\
             \x20 target: {{ postgres: {{ url: \"${{env:TARGET_URL}}\"{0} }} }}\n",
            self.postgres
        );
        let number = |index: usize| if index == 0 { String::new() } else { format!("_{}", index + 1) };
        if self.poolers > 0 {
            text +=
                "  pool:\n    pgbouncer:\n      database: shop\n      probe: \"${env:POOL_URL}\"\n      instances:\n";
            for n in (0..self.poolers).map(number) {
                let (admin, ini) = (format!("${{env:POOL_ADMIN_URL{n}}}"), format!("${{env:POOL_INI{n}}}"));
                writeln!(text, "        - {{ admin: \"{admin}\", redirect: {{ ini: \"{ini}\" }} }}").unwrap();
            }
        }
        if self.balancers > 0 {
            let sockets: Vec<String> =
                (0..self.balancers).map(|n| format!("\"${{env:HAPROXY_SOCKET{}}}\"", number(n))).collect();
            let sockets = sockets.join(", ");
            writeln!(text, "  web: {{ haproxy: {{ sockets: [{sockets}], backend: app, from: [old], to: [new] }} }}")
                .unwrap();
        }
        text += "gates:\n  lag: { replication-lag: { max: 1MiB, interval: 100ms, timeout: 60s } }\nsteps:\n";
        writeln!(text, "  - {}\n  - replicate: {{ from: source, to: target, timeout: 2m }}", self.preflight).unwrap();
        text += self.before;
        if self.balancers > 0 {
            text +=
                "  - shift: { traffic: web, weights: [10, 50, 100], bake: 200ms, min-requests: 50, timeout: 60s }\n";
        }
        if self.asks {
            text += "  - approve: { name: go, message: \"Go?\" }\n";
        }
        self.window(&mut text, folder);
        text + self.after
    }

    fn window(&self, text: &mut String, folder: &Path) {
        let pool = if self.poolers > 0 { "[pool]" } else { "[]" };
        writeln!(text, "  - window:\n      budget: {}\n      gates: {}\n      steps:", self.budget, self.gates)
            .unwrap();
        let freeze = format!("freeze: {{ database: source, through: {pool}, pause-timeout: {} }}", self.pause_timeout);
        let switch = format!("switch: {{ endpoints: {pool} }}");
        for step in [freeze.as_str(), "drain", "sequences", "promote: { keep-way-back: true }", switch.as_str()] {
            writeln!(text, "        - {step}").unwrap();
            if self.point_after.is_some_and(|kind| step.starts_with(kind)) {
                let (here, go) = (folder.join("here"), folder.join("go"));
                let script = format!("touch {}; until [ -e {} ]; do sleep 0.005; done", here.display(), go.display());
                writeln!(
                    text,
                    "        - command: {{ name: point, apply: {{ run: [/bin/sh, -c, \"{script}\"] }}, undo: nothing }}"
                )
                .unwrap();
            }
        }
    }
}

/// A sandbox with a runbook.
pub struct Stage {
    pub sandbox: Sandbox,
    pub env: BTreeMap<String, String>,
    pub journal: Journal,
    pub folder: tempfile::TempDir,
}

impl Stage {
    pub async fn new(options: SandboxOptions, book: Book) -> Self {
        let sandbox = Sandbox::start(options).await.unwrap();
        let folder = tempfile::Builder::new().prefix("pointsman-failures-").tempdir().unwrap();
        std::fs::write(folder.path().join("book.yaml"), book.text(folder.path())).unwrap();
        let journal = Journal::open(&folder.path().join("journal.db")).unwrap();
        Self { env: sandbox.env(), sandbox, journal, folder }
    }

    pub fn book(&self) -> PathBuf {
        self.folder.path().join("book.yaml")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(words).arg("--state").arg(self.journal.path()).envs(&self.env).stdin(Stdio::null());
        command.kill_on_drop(true);
        command
    }

    /// Starts a command of this program; its words go to a file.
    pub fn start(&self, words: &[&str]) -> Runner {
        let file = self.folder.path().join(format!("out-{}", words[0]));
        let out = std::fs::File::create(&file).unwrap();
        let child = self.command(words).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        Runner { child, file }
    }

    /// Starts the run; when it is held it stays for a word.
    pub fn run(&self) -> Runner {
        self.start(&["run", self.book().to_str().unwrap(), "--wait"])
    }

    /// Runs a command of this program to its end: exit code, and all that it said.
    pub async fn says(&self, words: &[&str]) -> (i32, String) {
        let output = tokio::time::timeout(PATIENCE, self.command(words).output()).await.unwrap().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.code().unwrap_or(-1), text)
    }

    /// Says a word to the run; it must be taken.
    pub async fn say(&self, words: &[&str]) {
        let (code, text) = self.says(words).await;
        assert_eq!(code, 0, "{words:?}: {text}");
    }

    pub fn entries(&self) -> Vec<Entry> {
        match self.journal.find(None) {
            Ok(run) => self.journal.entries(&run.id, 0).unwrap(),
            Err(_) => Vec::new(),
        }
    }

    pub fn state(&self) -> RunState {
        take::replay(&self.journal, &self.journal.find(None).unwrap().id).unwrap()
    }

    /// Waits until the journal says so.
    pub async fn until(&self, what: &str, mut happened: impl FnMut(&[Entry]) -> bool) {
        let said = || std::fs::read_to_string(self.folder.path().join("out-run")).unwrap_or_default();
        let seen = async {
            while !happened(&self.entries()) {
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, seen).await;
        assert!(ended.is_ok(), "{what}: it never happened\n{}", said());
    }

    /// Waits until the run asks before its window.
    pub async fn until_asked(&self) {
        self.until_begun("go", 1).await;
    }

    /// Waits until a step was begun this many times.
    pub async fn until_begun(&self, step: &str, times: usize) {
        let begun = |entry: &&Entry| matches!(&entry.event, Event::Intent { of, .. } if of.step == step && of.act == Act::Apply);
        self.until(&format!("{step} begins"), |entries| entries.iter().filter(begun).count() >= times).await;
    }

    pub async fn until_committed(&self) {
        let committed = |entries: &[Entry]| entries.iter().any(|entry| matches!(entry.event, Event::Committed { .. }));
        self.until("the commit point", committed).await;
    }

    /// Waits until the run is held for this many times in all; gives the last reason.
    pub async fn until_held(&self, times: usize) -> String {
        let mut last = String::new();
        self.until("a hold", |entries| {
            let reasons: Vec<&String> = entries
                .iter()
                .filter_map(|entry| match &entry.event {
                    Event::Held { reason } => Some(reason),
                    _ => None,
                })
                .collect();
            last = reasons.last().map(|reason| (*reason).clone()).unwrap_or_default();
            reasons.len() >= times
        })
        .await;
        last
    }

    /// How many windows were left before their commit point, with the waits of writes in milliseconds.
    pub fn thaws(&self) -> Vec<f64> {
        self.entries()
            .iter()
            .filter_map(|entry| match entry.event {
                Event::Thawed { millis, .. } => Some(millis),
                _ => None,
            })
            .collect()
    }

    /// Whether the run ever began to stop writes.
    pub fn froze(&self) -> bool {
        self.entries()
            .iter()
            .any(|entry| matches!(&entry.event, Event::Intent { of, .. } if of.step.starts_with("freeze")))
    }

    /// Waits until the window stands at its point.
    pub async fn at_point(&self) {
        wait_for("the window's point", || self.folder.path().join("here").exists()).await;
    }

    /// Lets the window go on from its point.
    pub fn pass_point(&self) {
        std::fs::write(self.folder.path().join("go"), "").unwrap();
    }

    /// A session of the application through the first pooler.
    pub async fn client(&self) -> Client {
        connect(&self.sandbox.pgbouncers[0].url(Role::App)).await.unwrap()
    }

    /// Compares what clients were told with what a database holds.
    pub async fn audit(&self, ledger: &Ledger, server: &PostgresServer) -> Audit {
        let audit = ledger.audit(&server.connect(Role::Superuser).await.unwrap()).await.unwrap();
        assert!(audit.is_clean(), "{audit:#?}");
        assert!(audit.acknowledged > 0, "the workload wrote nothing");
        audit
    }
}

/// A running command.
pub struct Runner {
    child: Child,
    file: PathBuf,
}

impl Runner {
    /// Its exit code, and all that it said.
    pub async fn finish(mut self) -> (i32, String) {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let text = std::fs::read_to_string(&self.file).unwrap();
        let status = ended.unwrap_or_else(|_| panic!("it does not end\n{text}")).unwrap();
        (status.code().unwrap_or(-1), text)
    }

    pub async fn expect(self, code: i32) -> String {
        let (got, text) = self.finish().await;
        assert_eq!(got, code, "{text}");
        text
    }
}

/// Waits for something that comes sooner or later.
pub async fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !happened() {
        assert!(tokio::time::Instant::now() < end, "{what}: it never happened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a query says true.
pub async fn until_true(db: &Client, sql: &str) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !value::<bool>(db, sql).await {
        assert!(tokio::time::Instant::now() < end, "{sql}: it never became true");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The workload goes on: this many more writes are acknowledged.
pub async fn flows(workload: &Workload, more: usize) {
    let before = workload.acknowledged();
    wait_for("writes flow", || workload.acknowledged() >= before + more).await;
}

pub async fn value<T: FromSqlOwned>(db: &Client, sql: &str) -> T {
    let none: &[&(dyn ToSql + Sync)] = &[];
    db.query_one(sql, none).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

pub async fn superuser(server: &PostgresServer) -> Client {
    server.connect(Role::Superuser).await.unwrap()
}

/// A superuser's session that overrides the sign on a fenced database's door.
pub async fn overriding(server: &PostgresServer) -> Client {
    let client = superuser(server).await;
    client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    client
}

/// A role of the application is kept out of a server.
pub async fn assert_kept_out(server: &PostgresServer, role: Role) {
    let Ok(client) = server.connect(role).await else { return };
    let written = client.batch_execute("INSERT INTO probe (token, side) VALUES ('kept out', 'nowhere')").await;
    panic!("{} got in, and its write was answered with {written:?}", role.name());
}

/// The statement that writes one row of the ledger.
pub fn ledger_row(token: &str) -> String {
    format!("INSERT INTO ledger (client, n, token, via, ticket) VALUES (0, 0, '{token}', 'test', nextval('tickets'))")
}

/// How often a token is in a database.
pub async fn times(server: &PostgresServer, token: &str) -> i64 {
    value(&superuser(server).await, &format!("SELECT count(*) FROM ledger WHERE token = '{token}'")).await
}
