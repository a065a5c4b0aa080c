//! A sandbox with a runbook and a journal, the program as a child process, and what clients saw.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use pointsman::{
    executor::{state::RunState, take},
    journal::{Act, Entry, Event, Journal},
    sandbox::{
        Age, DATABASE, Role, Sandbox, SandboxOptions,
        history::Side,
        postgres::Postgres,
        probe::Probes,
        server::{Kind, Server},
    },
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

pub use super::load::{Load, Seen};

/// The budget of the window in [`STEPS`].
pub const BUDGET: Duration = Duration::from_secs(2);
/// What a machine that is busy with something else may add to a wait.
pub const SLACK: Duration = Duration::from_secs(1);
/// Far away: it only keeps a broken test from hanging.
const PATIENCE: Duration = Duration::from_secs(120);

/// Clients of a load: of the application, and direct ones.
const CLIENTS: (usize, usize) = (8, 4);

/// What the scenes need to know of a kind of database.
pub trait Staged: Kind {
    /// The runbook's systems `source`, `target` and the one that clients go through.
    const SYSTEMS: &'static str;
    /// What clients go through is called so in the runbook.
    const ENDPOINT: &'static str;

    /// A statement that fails.
    const BROKEN: &'static str;

    /// The options that a scene takes when it has no wishes.
    fn options() -> SandboxOptions;

    /// The same for many runs on one scene: servers that start again at once what they otherwise start again in seconds.
    fn hurried() -> SandboxOptions {
        Self::options()
    }

    /// Everything that a rollback must leave as it was, in a database.
    fn catalog(server: &Server<Self>) -> impl Future<Output = BTreeSet<String>>;

    /// Whether a server that is open now is so after a restart, too.
    fn stays_open(_server: &Server<Self>) -> impl Future<Output = bool> {
        async { true }
    }

    /// The same of what clients go through.
    fn endpoint(sandbox: &Sandbox<Self>) -> Vec<String>;
}

impl Staged for Postgres {
    const SYSTEMS: &'static str = r#"
  source: { postgres: { url: "${env:SOURCE_URL}" } }
  target: { postgres: { url: "${env:TARGET_URL}" } }
  pool:
    pgbouncer:
      admin: "${env:POOL_ADMIN_URL}"
      database: shop
      redirect: { ini: "${env:POOL_INI}" }
      probe: "${env:POOL_URL}""#;
    const ENDPOINT: &'static str = "pool";
    const BROKEN: &'static str = "DO $$ BEGIN RAISE 'division by zero'; END $$";

    /// PgBouncer 1.18, which lets a cutover go back without an error (1.26 needs KILL from 18 to 15).
    fn options() -> SandboxOptions {
        SandboxOptions { pgbouncer: Age::Old, fsync: false, ..SandboxOptions::default() }
    }

    /// Up to PostgreSQL 15 a server starts one apply worker in so long, 5 s by default.
    fn hurried() -> SandboxOptions {
        let settings = vec![("wal_retrieve_retry_interval".to_owned(), "200ms".to_owned())];
        SandboxOptions { source_settings: settings.clone(), target_settings: settings, ..Self::options() }
    }

    async fn catalog(server: &Server<Self>) -> BTreeSet<String> {
        let db = server.connect(Role::Superuser).await.unwrap();
        db.query(CATALOG, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    fn endpoint(sandbox: &Sandbox<Self>) -> Vec<String> {
        vec![std::fs::read_to_string(sandbox.pgbouncers[0].ini()).unwrap()]
    }
}

const HEAD: &str = r#"version: 1
name: cutover
stage: rehearsal
systems:SYSTEMS
  web: { haproxy: { sockets: ["${env:HAPROXY_SOCKET}"], backend: app, from: [old], to: [new] } }
gates:
  lag: { replication-lag: { max: 1MiB, interval: 100ms, timeout: 30s } }
  door: { command: { run: [test, -e, DOOR], interval: 100ms, on-fail: wait } }
steps:
"#;

/// A step that opens when [`Scene::open_door`] was called, and holds the run otherwise.
pub const DOOR: &str = "wait: { name: door, gates: [door], timeout: 200ms }";

/// A window with the usual members.
pub const WINDOW: &str = "window: { budget: 2s, gates: [lag], steps: [{ freeze: { database: source, through: [pool] } }, \
     drain: {}, sequences: {}, { promote: { keep-way-back: true } }, { switch: { endpoints: [pool] } }] }";

/// A whole cutover that can still be rolled back.
pub const STEPS: [&str; 7] = [
    "preflight",
    "replicate: { from: source, to: target, timeout: 2m }",
    "wait: { gates: [lag], timeout: 1m }",
    "shift: { traffic: web, weights: [50, 100], bake: 50ms, min-requests: 20, tolerance: 15, timeout: 60s }",
    WINDOW,
    "bake: { for: 100ms }",
    "verify: { compare: checksums, timeout: 2m }",
];

/// The steps for a kind of database.
pub fn steps<K: Staged>() -> Vec<String> {
    let through = format!("[{}]", K::ENDPOINT);
    STEPS.iter().map(|step| step.replace("[pool]", &through)).collect()
}

/// The steps with `inserted` behind the one that begins with `after`.
pub fn steps_with<K: Staged>(after: &str, inserted: &str) -> Vec<String> {
    let mut steps = steps::<K>();
    let at = steps.iter().position(|step| step.starts_with(after)).unwrap();
    steps.insert(at + 1, inserted.to_owned());
    steps
}

/// The steps to the very end, with the question before the way back is dropped.
pub fn steps_to_the_end<K: Staged>() -> Vec<String> {
    let end = [r#"approve: { message: "Drop the way back?" }"#, "finalize"].map(String::from);
    steps::<K>().into_iter().chain(end).collect()
}

/// A sandbox, a journal and a runbook.
pub struct Scene<K: Staged = Postgres> {
    pub sandbox: Sandbox<K>,
    pub journal: Journal,
    pub runbook: PathBuf,
    env: BTreeMap<String, String>,
    folder: PathBuf,
    /// What both databases, the pooler and the load balancer were like at first.
    pristine: Footprint,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Called {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Called {
    pub fn says(&self, words: &str) -> bool {
        self.out.contains(words) || self.err.contains(words)
    }
}

/// Everything that a rollback must leave as it was.
#[derive(Debug, PartialEq, Eq)]
struct Footprint {
    source: BTreeSet<String>,
    target: BTreeSet<String>,
    endpoint: Vec<String>,
    weights: Vec<String>,
}

impl Scene {
    /// Of PostgreSQL.
    pub async fn new() -> Self {
        Self::of_kind().await
    }
}

impl<K: Staged> Scene<K> {
    pub async fn of_kind() -> Self {
        Self::with(K::options()).await
    }

    pub async fn with(options: SandboxOptions) -> Self {
        let memory = Path::new("/dev/shm");
        let base = memory.is_dir().then(|| memory.to_owned());
        let app_binary = Some(env!("CARGO_BIN_EXE_pointsman").into());
        let sandbox = Sandbox::<K>::of(SandboxOptions { base, app_binary, ..options }).await.unwrap();
        let folder = sandbox.folder().join("pointsman");
        let journal = Journal::open(&folder.join("journal.db")).unwrap();
        let env = sandbox.env();
        let pristine = footprint(&sandbox).await;
        let scene = Self { runbook: folder.join("runbook.yaml"), sandbox, journal, env, folder, pristine };
        scene.write(&steps::<K>());
        scene
    }

    /// Writes the runbook.
    pub fn write(&self, steps: &[impl AsRef<str>]) {
        let lines: String = steps.iter().map(|step| format!("  - {}\n", step.as_ref())).collect();
        let head = HEAD.replace("SYSTEMS", K::SYSTEMS).replace("DOOR", &self.folder.join("door").display().to_string());
        std::fs::write(&self.runbook, format!("{head}{lines}")).unwrap();
    }

    /// What is there now is what a rollback must leave: for a test that has prepared more than the sandbox does.
    pub async fn settle(&mut self) {
        self.pristine = footprint(&self.sandbox).await;
    }

    /// Adds to the program's environment.
    pub fn add_env(&mut self, more: impl IntoIterator<Item = (String, String)>) {
        self.env.extend(more);
    }

    pub fn open_door(&self) {
        std::fs::write(self.folder.join("door"), "").unwrap();
    }

    pub fn command(&self, words: &[&str]) -> Command {
        self.wrapped(Command::new(env!("CARGO_BIN_EXE_pointsman")), words)
    }

    /// The same, where another program starts ours.
    pub fn wrapped(&self, mut command: Command, words: &[&str]) -> Command {
        command.args(words).envs(&self.env).env("POINTSMAN_STATE", self.journal.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub fn run_words(&self) -> [&str; 4] {
        ["run", self.runbook.to_str().unwrap(), "--output", "json"]
    }

    pub async fn call(&self, words: &[&str]) -> Called {
        ended(self.command(words).spawn().unwrap()).await
    }

    /// Calls, and wants this exit code.
    pub async fn must(&self, code: i32, words: &[&str]) -> Called {
        let called = self.call(words).await;
        assert_eq!(called.code, code, "pointsman {}: {called:?}\n{}", words.join(" "), self.story());
        called
    }

    pub async fn run(&self, code: i32) -> Called {
        self.must(code, &self.run_words()).await
    }

    /// What the program wants in its environment.
    pub fn env(&self) -> Vec<(String, String)> {
        let state = ("POINTSMAN_STATE".to_owned(), self.journal.path().display().to_string());
        self.env.clone().into_iter().chain([state]).collect()
    }

    /// The newest run.
    pub fn id(&self) -> String {
        self.journal.find(None).unwrap().id
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.journal.entries(&self.id(), 0).unwrap()
    }

    pub fn state(&self) -> RunState {
        take::replay(&self.journal, &self.id()).unwrap()
    }

    /// The journal of the newest run in words, for a test that fails.
    pub fn story(&self) -> String {
        let Ok(run) = self.journal.find(None) else { return "no run".into() };
        let entries = self.journal.entries(&run.id, 0).unwrap();
        entries.iter().map(|entry| format!("{:>3} {} {}\n", entry.seq, entry.at, summary(&entry.event))).collect()
    }

    /// Waits until the newest run's journal says so.
    pub async fn until(&self, what: &str, mut so: impl FnMut(&Event) -> bool) {
        let began = Instant::now();
        loop {
            let known = self.journal.runs().unwrap().into_iter().next();
            let entries = known.map(|run| self.journal.entries(&run.id, 0).unwrap()).unwrap_or_default();
            if entries.iter().any(|entry| so(&entry.event)) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "it never happened: {what}\n{}", self.story());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The process id of the last guard, as the journal has it.
    pub fn guard_pid(&self) -> Option<i32> {
        let entries = self.entries();
        let notes = entries.iter().rev().filter_map(|entry| match &entry.event {
            Event::Done { note, .. } => note["guard"].as_i64(),
            _ => None,
        });
        notes.map(|pid| i32::try_from(pid).unwrap()).next()
    }

    /// Waits until the last guard has done what it had to do.
    pub async fn guard_gone(&self) {
        let Some(pid) = self.guard_pid() else { return };
        until("the guard ends", || !lives(pid)).await;
    }

    /// Nothing of the run is left anywhere.
    pub async fn assert_undone(&self, when: &str) {
        let found = footprint(&self.sandbox).await;
        let differ = |side: &str, was: &BTreeSet<String>, is: &BTreeSet<String>| {
            let left: Vec<_> = is.difference(was).collect();
            let gone: Vec<_> = was.difference(is).collect();
            assert!(
                left.is_empty() && gone.is_empty(),
                "{when}: {side}: left {left:?}, gone {gone:?}\n{}",
                self.story()
            );
        };
        differ("source", &self.pristine.source, &found.source);
        differ("target", &self.pristine.target, &found.target);
        assert_eq!(found, self.pristine, "{when}");
    }

    /// Clients and probes that write from now on.
    pub fn load(&self, rate: f64) -> Load {
        let url = |server: &Server<K>| server.url(Role::App, DATABASE);
        let (source, target) = (url(&self.sandbox.source), url(&self.sandbox.target));
        let probes = Probes::start(&source, &target, Duration::from_millis(5));
        Load { workload: self.sandbox.workload(CLIENTS.0, CLIENTS.1, rate).unwrap(), probes }
    }

    /// How many writes may fail at most: none where a pooler holds them, else one a client each time that writes were
    /// frozen since the load began.
    fn excused(&self, seen: &Seen) -> u64 {
        if K::POOLED {
            return 0;
        }
        let began = seen.ledger.attempts().iter().map(|attempt| attempt.started).min();
        let runs = self.journal.runs().unwrap().into_iter();
        let entries = runs.flat_map(|run| self.journal.entries(&run.id, 0).unwrap());
        let freezes = entries.filter(|entry| freezes(&entry.event) && began.is_some_and(|began| entry.at >= began));
        (freezes.count() * (CLIENTS.0 + CLIENTS.1)) as u64
    }

    /// The audit, and no write failed that need not.
    pub async fn clean(&self, seen: &mut Seen, writer: Side, switches: usize) {
        let failed = self.audit(seen, writer, switches).await;
        let most = self.excused(seen);
        assert!(failed <= most, "{failed} writes failed (at most {most}): {:?}\n{}", seen.errors(), self.story());
    }

    /// What is true of every cutover, however it went: nothing lost, nothing twice, never two databases at once.
    pub async fn audit(&self, seen: &mut Seen, writer: Side, switches: usize) -> u64 {
        let source = self.sandbox.source.connect(Role::Superuser).await.unwrap();
        let target = self.sandbox.target.connect(Role::Superuser).await.unwrap();
        let audit = seen.ledger.audit(if writer == Side::Source { &source } else { &target }).await.unwrap();
        assert!(audit.is_clean(), "{audit:?}\n{}", self.story());
        assert!(audit.acknowledged > 0, "nobody wrote anything");
        seen.probes.resolve(&source).await.unwrap();
        if writer == Side::Target {
            seen.probes.resolve(&target).await.unwrap();
        }
        assert_eq!(seen.probes.overlap(switches), None, "both databases took writes\n{}", self.story());
        audit.failed + audit.unknown_present + audit.unknown_absent
    }
}

/// Writes are about to be frozen.
pub(super) fn freezes(event: &Event) -> bool {
    matches!(event, Event::Intent { of, .. } if of.step == "freeze" && of.act == Act::Apply)
}

/// Waits for the end of a child.
pub async fn ended(child: Child) -> Called {
    let output =
        tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("the program did not end").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // A signal has no exit code; shells give 128 and its number.
    let code =
        output.status.code().or_else(|| std::os::unix::process::ExitStatusExt::signal(&output.status).map(|n| 128 + n));
    Called { code: code.unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Killed by SIGKILL.
pub const KILLED: i32 = 128 + 9;

pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "it never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

pub fn pid(child: &Child) -> i32 {
    i32::try_from(child.id().unwrap()).unwrap()
}

/// The state letter of a process (proc(5)).
pub fn process_state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a process is there and not only waits to be buried.
pub fn lives(pid: i32) -> bool {
    process_state(pid).is_some_and(|state| state != 'Z' && state != 'X')
}

/// An entry in a few words.
pub fn summary(event: &Event) -> String {
    let mut value = serde_json::to_value(event).unwrap();
    if matches!(event, Event::RunStarted { .. }) {
        value["plan"] = "…".into();
    }
    let text = value.to_string();
    text.chars().take(400).collect()
}

async fn footprint<K: Staged>(sandbox: &Sandbox<K>) -> Footprint {
    let (source, target) = tokio::join!(K::catalog(&sandbox.source), K::catalog(&sandbox.target));
    let weights = stats(&sandbox.haproxies[0].admin_address(), &["old", "new"], "weight");
    Footprint { source, target, endpoint: K::endpoint(sandbox), weights }
}

const CATALOG: &str = "
WITH ours AS (SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
SELECT 'schema ' || nspname FROM ours
UNION ALL SELECT format('relation %s.%s %s %s %s', nspname, relname, relkind, relreplident, relacl)
  FROM pg_class c JOIN ours ON ours.oid = relnamespace
UNION ALL SELECT format('column %s.%s.%s %s', nspname, relname, attname, atttypid::regtype)
  FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN ours ON ours.oid = relnamespace
UNION ALL SELECT format('constraint %s %s %s', nspname, conname, pg_get_constraintdef(c.oid))
  FROM pg_constraint c JOIN ours ON ours.oid = connamespace
UNION ALL SELECT format('trigger %s %s %s', tgname, relname, tgenabled)
  FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid JOIN ours ON ours.oid = relnamespace WHERE NOT tgisinternal
UNION ALL SELECT format('function %s.%s', nspname, proname) FROM pg_proc JOIN ours ON ours.oid = pronamespace
UNION ALL SELECT format('type %s.%s', nspname, typname) FROM pg_type JOIN ours ON ours.oid = typnamespace
UNION ALL SELECT 'extension ' || extname FROM pg_extension
UNION ALL SELECT 'publication ' || pubname FROM pg_publication
UNION ALL SELECT 'subscription ' || subname FROM pg_subscription
UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots
UNION ALL SELECT 'origin ' || roname FROM pg_replication_origin
UNION ALL SELECT format('database %s %s %s', datname, datconnlimit, datacl) FROM pg_database
UNION ALL SELECT format('setting %s %s %s', setdatabase, setrole::regrole, setconfig) FROM pg_db_role_setting
UNION ALL SELECT format('role %s %s', rolname, rolcanlogin) FROM pg_roles";

/// `server value` of a load balancer's servers, as it shows them in this column.
pub fn stats(admin: &str, servers: &[&str], wanted: &str) -> Vec<String> {
    let mut admin = std::net::TcpStream::connect(admin).unwrap();
    admin.write_all(b"show stat\n").unwrap();
    let mut answer = String::new();
    admin.read_to_string(&mut answer).unwrap();
    let mut lines = answer.lines();
    let names: Vec<&str> = lines.next().unwrap().trim_start_matches("# ").split(',').collect();
    let column = |name: &str| names.iter().position(|found| *found == name).unwrap();
    let (server, value) = (column("svname"), column(wanted));
    let rows = lines.map(|line| line.split(',').collect::<Vec<_>>());
    let ours = rows.filter(|row| row.len() > value && servers.contains(&row[server]));
    ours.map(|row| format!("{} {}", row[server], row[value])).collect()
}

/// Tests of one kind of database from scenarios of a module: `scenarios!(module, Kind, rate; one, another)`.
macro_rules! scenarios {
    ($module:ident, $kind:ty, $rate:expr; $($name:ident),* $(,)?) => {
        use crate::cutover::$module as scenario;
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                scenario::$name::<$kind>($rate).await;
            }
        )*
    };
}
pub(crate) use scenarios;
