//! The hand-made minimum: what somebody with psql at hand and warm connections would do. No journal, no fence, no way
//! back. In as few round trips as can be.

use std::time::{Duration, Instant};

use pointsman::clock;
use pointsman::runbook::model::Postgres;
use pointsman::sandbox::{DATABASE, Role, connect};
use pointsman::systems::postgres::Database;
use pointsman::systems::postgres::barrier::{SequenceValue, carry_sequences, read_sequences};
use pointsman::systems::postgres::schema_copy::{self, ApplyOptions, Stage};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::Result;
use crate::site::{Routes, Site};
use crate::stats::Cutover;

const SETTLE: Duration = Duration::from_millis(1200);

/// Sets replication up, cuts over, and puts everything back. What was written on the target is thrown away.
pub async fn round(site: &Site, routes: &Routes) -> Result<Cutover> {
    site.empty_ledger().await?;
    let workload = site.load()?;
    tokio::time::sleep(SETTLE).await;
    set_up(site, routes).await?;
    tokio::time::sleep(SETTLE).await;
    let job = Job::new(site, routes)?;
    // A thread of its own, as ours has a process of its own: it does not queue behind the workload.
    let done = tokio::task::spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(job.cut_over())
    });
    let done = done.await?;
    tokio::time::sleep(SETTLE).await;
    let ledger = workload.stop().await;
    put_back(site).await?;
    let (mut cutover, from, to) = done?;
    cutover.seen(&ledger, from, to);
    Ok(cutover)
}

async fn set_up(site: &Site, routes: &Routes) -> Result<()> {
    let (source, target) = (database("source", site.source_url(routes)), database("target", site.target_url(routes)));
    let script = schema_copy::dump(&source, &site.dump_options()).await?;
    let options = ApplyOptions { workers: 2, guard: None };
    let (from, to) = (connect(&source.spec.url).await?, connect(&target.spec.url).await?);
    let marker = "CREATE SCHEMA IF NOT EXISTS bench; CREATE TABLE bench.marker (id int PRIMARY KEY, token text)";
    from.batch_execute(&format!("{marker}; INSERT INTO bench.marker VALUES (1, 'none')")).await?;
    to.batch_execute(marker).await?;
    schema_copy::apply(&target, &script, Stage::BeforeCopy, &options, &|_: &schema_copy::Progress| {}).await?;
    from.batch_execute("CREATE PUBLICATION bench_hand FOR ALL TABLES").await?;
    let url = &source.spec.url;
    to.batch_execute(&format!("CREATE SUBSCRIPTION bench_hand CONNECTION '{url}' PUBLICATION bench_hand")).await?;
    until(&to, "SELECT NOT EXISTS (SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r')").await?;
    to.batch_execute("ALTER SUBSCRIPTION bench_hand DISABLE").await?;
    until(&to, "SELECT NOT EXISTS (SELECT FROM pg_stat_subscription WHERE pid IS NOT NULL)").await?;
    schema_copy::apply(&target, &script, Stage::AfterCopy, &options, &|_: &schema_copy::Progress| {}).await?;
    to.batch_execute("ALTER SUBSCRIPTION bench_hand ENABLE; ANALYZE").await?;
    until(&to, "SELECT EXISTS (SELECT FROM pg_stat_subscription WHERE pid IS NOT NULL)").await
}

async fn put_back(site: &Site) -> Result<()> {
    let from = connect(&site.sandbox.source.url(Role::Superuser, DATABASE)).await?;
    let target = database("target", site.sandbox.target.url(Role::Superuser, DATABASE));
    let to = connect(&target.spec.url).await?;
    let console = connect(&site.pooler()?.admin_url()).await?;
    let ini = std::fs::read_to_string(site.pooler()?.ini())?;
    let (source_port, target_port) = (site.sandbox.source.port(), site.sandbox.target.port());
    std::fs::write(site.pooler()?.ini(), pointing(&ini, target_port, source_port))?;
    console.simple_query("RELOAD").await?;
    to.batch_execute("DROP SUBSCRIPTION bench_hand").await?;
    to.batch_execute("DROP SCHEMA bench CASCADE").await?;
    from.batch_execute("DROP PUBLICATION bench_hand").await?;
    from.batch_execute("DROP SCHEMA bench CASCADE").await?;
    schema_copy::undo(&target, None).await?;
    to.batch_execute("DROP SCHEMA IF EXISTS pointsman CASCADE").await?;
    Ok(())
}

fn database(name: &str, url: String) -> Database {
    let spec = Postgres { url, ..Postgres::default() };
    Database { name: name.to_owned(), spec }
}

async fn until(db: &Client, sql: &str) -> Result<()> {
    let began = Instant::now();
    while !db.query_one(sql, &[]).await?.get::<_, bool>(0) {
        if began.elapsed() > Duration::from_secs(60) {
            return Err(format!("in vain: {sql}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn pointing(ini: &str, from: u16, to: u16) -> String {
    ini.replace(&format!("host=127.0.0.1 port={from} "), &format!("host=127.0.0.1 port={to} "))
}

/// All that a cutover needs to know, for a thread of its own.
struct Job {
    source: String,
    target: String,
    console: String,
    ini: std::path::PathBuf,
    ports: (u16, u16),
}

impl Job {
    fn new(site: &Site, routes: &Routes) -> Result<Self> {
        Ok(Self {
            source: site.source_url(routes),
            target: site.target_url(routes),
            console: site.admin_url(routes)?,
            ini: site.pooler()?.ini(),
            ports: (site.sandbox.source.port(), site.sandbox.target.port()),
        })
    }

    async fn cut_over(self) -> Result<(Cutover, jiff::Timestamp, jiff::Timestamp)> {
        let (source, target) = tokio::try_join!(connect(&self.source), connect(&self.target))?;
        let console = connect(&self.console).await?;
        let before = std::fs::read_to_string(&self.ini)?;
        let after = pointing(&before, self.ports.0, self.ports.1);
        let sequences = sequences(&source).await?;
        let token = format!("{:x}", rand::random::<u64>());
        let read = format!(
            "UPDATE bench.marker SET token = '{token}'; SELECT pg_current_wal_insert_lsn();\n{}",
            read_sequences(&sequences)
        );
        // Warm: statements of the same kind were run once.
        source.simple_query(&read.replace(&token, "warm")).await?;
        target.simple_query(&wait_for("warm")).await?;
        console.simple_query("SHOW DATABASES").await?;

        let mut watch = Watch::start();
        console.simple_query("PAUSE shop").await?;
        watch.part("pause");
        let values = sequence_values(&source.simple_query(&read).await?);
        watch.part("position, sequences, marker");
        let carry = carry_sequences(&values);
        let arrive = format!("{}{carry}ALTER SUBSCRIPTION bench_hand DISABLE;", wait_for(&token));
        target.simple_query(&arrive).await?;
        watch.part("drain, set sequences, disable");
        std::fs::write(&self.ini, after)?;
        let (reloaded, set, resumed) = tokio::join!(
            biased;
            console.simple_query("RELOAD"),
            console.simple_query("SET server_login_retry='0'"),
            console.simple_query("RESUME shop"),
        );
        watch.part("ini, reload, resume");
        for outcome in [reloaded, set, resumed] {
            outcome?;
        }
        Ok(watch.end())
    }
}

fn wait_for(token: &str) -> String {
    format!(
        "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM bench.marker WHERE token = '{token}') LOOP PERFORM \
         pg_sleep(0.0005); END LOOP; END $$;\n"
    )
}

async fn sequences(db: &Client) -> Result<Vec<(String, String)>> {
    let rows = db.query("SELECT schemaname::text, sequencename::text FROM pg_sequences ORDER BY 1, 2", &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn sequence_values(messages: &[SimpleQueryMessage]) -> Vec<SequenceValue> {
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) if row.len() == 4 => Some(row),
        _ => None,
    });
    rows.filter_map(|row| {
        Some(SequenceValue {
            schema: row.get(0)?.to_owned(),
            name: row.get(1)?.to_owned(),
            value: row.get(2)?.parse().ok()?,
            called: row.get(3)? == "t",
        })
    })
    .collect()
}

/// Takes the time of each part.
pub struct Watch {
    from: jiff::Timestamp,
    began: Instant,
    last: Instant,
    parts: Vec<(String, f64)>,
}

impl Watch {
    pub fn start() -> Self {
        let now = clock::monotonic();
        Self { from: clock::now(), began: now, last: now, parts: Vec::new() }
    }

    pub fn part(&mut self, name: &str) {
        let now = clock::monotonic();
        self.parts.push((name.to_owned(), now.duration_since(self.last).as_secs_f64() * 1000.0));
        self.last = now;
    }

    pub fn end(self) -> (Cutover, jiff::Timestamp, jiff::Timestamp) {
        let paused_ms = self.last.duration_since(self.began).as_secs_f64() * 1000.0;
        (Cutover { paused_ms, parts: self.parts, ..Cutover::default() }, self.from, clock::now())
    }
}
