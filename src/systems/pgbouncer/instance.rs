//! One PgBouncer instance: two connections to its console, one of which may hang in a `PAUSE` while the other takes it
//! back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::console::{Console, Row};
use super::redirect::{self, Prepared};
use super::show::{Blocker, Entry, PoolClient, Pools};
use super::statements as sql;
use crate::runbook::model::Redirect;
use crate::runbook::units::Span;
use crate::systems::address::Address;
use crate::systems::{Certainty, DriverError, Result};

/// One instance of a pooler. Every method can be repeated.
#[derive(Debug)]
pub struct Instance {
    /// How errors call it: the pooler's name, and which one of several.
    pub(super) system: String,
    database: String,
    redirect: Option<Redirect>,
    /// For everything; lent to a `PAUSE` while that waits.
    pub(super) work: Console,
    /// For taking a `PAUSE` back.
    pub(super) spare: Console,
    /// What it last said its version was.
    version: Mutex<Option<(u32, u32)>>,
    /// What its limit of connections was before a pause; nothing once that is put back.
    pub(super) limit: Mutex<Option<String>>,
}

impl Instance {
    pub(super) fn new(system: String, url: &str, database: &str, redirect: Option<Redirect>) -> Self {
        let work = Console::new(&system, url);
        let spare = Console::new(&system, url);
        let (version, limit) = (Mutex::default(), Mutex::default());
        Self { system, database: database.to_owned(), redirect, work, spare, version, limit }
    }

    /// How errors call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.system
    }

    /// `host:port` of its console.
    pub fn address(&self) -> Result<String> {
        self.work.address()
    }

    /// How it is pointed elsewhere.
    #[must_use]
    pub const fn redirect(&self) -> Option<&Redirect> {
        self.redirect.as_ref()
    }

    /// Opens both connections, so that none has to be opened in the window.
    pub async fn warm(&self) -> Result<()> {
        let (work, spare) = tokio::join!(self.work.client(), self.spare.client());
        work.and(spare).map(drop)
    }

    /// The pooler's version, such as `(1, 26)`.
    pub async fn version(&self) -> Result<(u32, u32)> {
        let rows = self.work.ask("read its version", sql::SHOW_VERSION).await?;
        let text = rows.first().and_then(|row| row.get("version")).unwrap_or_default();
        let odd = || self.odd("read its version", format!("`{text}` is not a version"));
        let version = version(text).ok_or_else(odd)?;
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        Ok(version)
    }

    /// What it last said its version was; asked only where it was never asked before.
    pub async fn known_version(&self) -> Result<(u32, u32)> {
        let known = *self.version.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some(version) => Ok(version),
            None => self.version().await,
        }
    }

    /// A setting, as `SHOW CONFIG` says it.
    pub async fn config(&self, key: &str) -> Result<String> {
        let what = format!("read its setting {key}");
        let rows = self.work.ask(&what, sql::SHOW_CONFIG).await?;
        self.setting(&what, &rows, key)
    }

    pub(super) fn setting(&self, what: &str, config: &[Row], key: &str) -> Result<String> {
        let row = config.iter().find(|row| row.get("key") == Some(key));
        let row = row.ok_or_else(|| self.odd(what, format!("this version has no setting {key}")))?;
        Ok(row.get("value").unwrap_or_default().to_owned())
    }

    /// How long clients wait now after a failed login: to be kept, so that it can be put back.
    pub async fn login_retry(&self) -> Result<Span> {
        let text = self.config("server_login_retry").await?;
        let secs = text.parse::<f64>().ok().and_then(|secs| Duration::try_from_secs_f64(secs).ok());
        secs.map(Span).ok_or_else(|| self.odd("read its setting server_login_retry", format!("`{text}` is no time")))
    }

    /// Where our entry leads and whether it is paused.
    pub async fn entry(&self) -> Result<Entry> {
        let what = self.what("look at");
        let rows = self.work.ask(&what, sql::SHOW_DATABASES).await?;
        self.entry_of(&what, &rows)
    }

    fn entry_of(&self, what: &str, rows: &[Row]) -> Result<Entry> {
        let row = rows.iter().find(|row| row.get("name") == Some(&self.database));
        if let Some(entry) = row.and_then(Entry::of) {
            return Ok(entry);
        }
        let names: Vec<&str> =
            rows.iter().filter_map(|row| row.get("name")).filter(|name| *name != "pgbouncer").collect();
        let reason = format!("it has no database of this name; it has: {}", names.join(", "));
        let hint = "put the name that the applications use under `database`; one that only `*` serves is listed once a \
                    client has asked for it";
        Err(DriverError::new(&self.system, what, reason, Certainty::Refused).with_hint(hint))
    }

    /// Sums of our entry's pools.
    pub async fn pools(&self) -> Result<Pools> {
        let rows = self.work.ask(&self.what("read the pools of"), sql::SHOW_POOLS).await?;
        Ok(Pools::of(&rows, &self.database))
    }

    /// The clients of our entry.
    pub async fn clients(&self) -> Result<Vec<PoolClient>> {
        let rows = self.work.ask(&self.what("list the clients of"), sql::SHOW_CLIENTS).await?;
        Ok(PoolClient::all(&rows, &self.database))
    }

    /// Processes of the server behind our entry's connections (`remote_pid`): the proof of where they lead.
    pub async fn server_pids(&self) -> Result<Vec<i32>> {
        let rows = self.work.ask(&self.what("list the servers of"), sql::SHOW_SERVERS).await?;
        // One that logs in has no session on the server yet.
        let is_open = |row: &&Row| row.get("state") != Some("new");
        let ours = rows.iter().filter(|row| row.get("database") == Some(&self.database)).filter(is_open);
        Ok(ours.filter_map(|row| i32::try_from(row.number("remote_pid")?).ok()).collect())
    }

    /// The clients of our entry that hold a server connection now.
    pub async fn holders(&self) -> Result<Vec<Blocker>> {
        let what = self.what("list the clients in a transaction of");
        let (clients, servers) = self.work.ask_two(&what, sql::SHOW_CLIENTS, sql::SHOW_SERVERS).await?;
        Ok(Blocker::all(&clients?, &servers?, &self.database))
    }

    /// Holds every client, once the running transactions have ended. When they have not by the deadline, the pause is
    /// taken back at once and the error names who was in the way; clients then wait no longer.
    pub async fn pause(&self, deadline: Duration) -> Result<()> {
        self.stop_growth().await;
        let paused = self.ask_to_pause(deadline).await;
        // Not sent behind the pause: while one waits, the console answers the next statement first.
        self.let_grow().await;
        paused
    }

    async fn ask_to_pause(&self, deadline: Duration) -> Result<()> {
        let what = self.what("pause");
        let client = self.work.lend().await?;
        // A paused database answers at once, and one where somebody's PAUSE still waits makes us wait too: `paused` in
        // SHOW DATABASES is set in both cases, so looking first would tell nothing.
        let asked = self.work.within(&what, &client, &sql::pause(&self.database), deadline).await;
        match asked {
            Ok(_) => {
                self.work.give_back(&client);
                Ok(())
            }
            Err(error) if error.certainty == Certainty::Refused => {
                self.work.give_back(&client);
                Err(error)
            }
            Err(_) if !client.is_closed() => Err(self.take_back(&what, deadline).await),
            Err(error) => Err(error.with_hint("look whether it is paused, and RESUME it if it is")),
        }
    }

    /// Lets the clients go after a pause that was not granted. All is sent at once: one round trip.
    async fn take_back(&self, what: &str, deadline: Duration) -> DriverError {
        let looked = async {
            let client = self.spare.client().await?;
            let ask = |sql: String| {
                let client = &client;
                async move { self.spare.within(what, client, &sql, Duration::from_secs(5)).await }
            };
            let (clients, servers, resumed, databases) = tokio::join!(
                biased;
                ask(sql::SHOW_CLIENTS.into()),
                ask(sql::SHOW_SERVERS.into()),
                ask(sql::resume(&self.database)),
                ask(sql::SHOW_DATABASES.into()),
            );
            let blockers = clients.and_then(|clients| Ok(Blocker::all(&clients, &servers?, &self.database)));
            let entry = self.entry_of(what, &databases?)?;
            Result::Ok((blockers.unwrap_or_default(), resumed, entry))
        };
        match looked.await {
            Ok((blockers, _, entry)) if !entry.paused => self.not_granted(what, deadline, &blockers),
            Ok((_, resumed, _)) => self.still_paused(what, &resumed.err().map_or_else(String::new, |e| e.to_string())),
            Err(error) => self.still_paused(what, &error.to_string()),
        }
    }

    fn not_granted(&self, what: &str, deadline: Duration, blockers: &[Blocker]) -> DriverError {
        let named: Vec<String> = blockers.iter().map(ToString::to_string).collect();
        let held = match named.len() {
            0 => "no client that still held a connection was seen; a server connection may hang".to_owned(),
            1 => format!("one client holds a connection: {}", named[0]),
            count => format!("{count} clients hold a connection: {}", named.join("; ")),
        };
        let reason = format!("not granted within {deadline:?}, so it was taken back and clients go on; {held}");
        let hint =
            "end these transactions (pg_terminate_backend of the server process), or wait for them, and try again";
        let mut error = DriverError::new(&self.system, what, reason, Certainty::Refused).with_hint(hint);
        error.code = Some(PAUSE_NOT_GRANTED.to_owned());
        error
    }

    fn still_paused(&self, what: &str, reason: &str) -> DriverError {
        let reason = format!("not granted in time, and it could not be taken back: {reason}; clients may be waiting");
        let hint = format!("on its admin console: {}; RELOAD", sql::resume(&self.database));
        DriverError::new(&self.system, what, reason, Certainty::Unknown).with_hint(hint)
    }

    /// Lets the clients go. On the spare connection, so that it works while a `PAUSE` hangs.
    pub async fn resume(&self) -> Result<()> {
        let what = self.what("resume");
        let asked = self.spare.ask(&what, &sql::resume(&self.database)).await;
        self.let_grow().await;
        self.settle_resume(&what, asked.map(drop)).await
    }

    /// A refused `RESUME` is fine when the database is not paused.
    async fn settle_resume(&self, what: &str, asked: Result<()>) -> Result<()> {
        let Err(error) = asked else { return Ok(()) };
        if error.certainty != Certainty::Refused {
            return Err(error);
        }
        let rows = self.spare.ask(what, sql::SHOW_DATABASES).await?;
        if self.entry_of(what, &rows)?.paused { Err(error) } else { Ok(()) }
    }

    /// Reads the configuration file again. Resets what was `SET`.
    pub async fn reload(&self) -> Result<()> {
        self.work.ask("reload", sql::RELOAD).await.map(drop)
    }

    /// Sets how long clients wait after a failed login. To be called after a reload, since that resets it.
    pub async fn set_login_retry(&self, span: Span) -> Result<()> {
        self.work.ask("set server_login_retry", &sql::set_login_retry(span)).await.map(drop)
    }

    /// Makes server connections new as they are released: they follow a moved DNS name.
    pub async fn reconnect(&self) -> Result<()> {
        self.work.ask(&self.what("reconnect"), &sql::reconnect(&self.database)).await.map(drop)
    }

    /// Drops every client and server connection. Leaves the database paused.
    pub async fn kill(&self) -> Result<()> {
        self.spare.ask(&self.what("kill the connections of"), &sql::kill(&self.database)).await.map(drop)
    }

    /// Makes everything ready to point it at `address`, so that little is left to do in the window.
    pub fn prepare(&self, address: &Address) -> Result<Prepared> {
        redirect::prepare(&self.system, self.redirect.as_ref(), &self.database, address)
    }

    /// Makes a prepared change and proves that it took effect.
    pub async fn switch(&self, change: Prepared, address: &Address) -> Result<Entry> {
        change.commit().await?;
        self.reload_and_show(address).await
    }

    /// Makes it follow what a prepared change has written, and proves that it leads to `address`: PgBouncer 1.18 says
    /// that it reloaded even when it could not read the file. One round trip.
    pub async fn reload_and_show(&self, address: &Address) -> Result<Entry> {
        let what = format!("point it at {address}");
        let follow = if self.follows_dns() { sql::reconnect(&self.database) } else { sql::RELOAD.to_owned() };
        let (reloaded, databases) = self.work.ask_two(&what, &follow, sql::SHOW_DATABASES).await?;
        reloaded?;
        let entry = self.entry_of(&what, &databases?)?;
        if self.follows_dns() || entry.leads_to(address) {
            return Ok(entry);
        }
        let reason = format!("after its RELOAD it is still {entry}");
        let hint = "look into its log; the file that was edited may not be the one that it reads";
        Err(DriverError::new(&self.system, &what, reason, Certainty::Refused).with_hint(hint))
    }

    fn follows_dns(&self) -> bool {
        matches!(self.redirect, Some(Redirect::Dns))
    }

    /// Sets the wait after a failed login and lets the clients go, in one round trip; then lifts what a process that died at
    /// a pause may have left.
    pub async fn open(&self, login_retry: Span) -> Result<()> {
        let what = self.what("resume");
        let (set, resume) = (sql::set_login_retry(login_retry), sql::resume(&self.database));
        let opened = self.spare.ask_two(&what, &set, &resume);
        let (opened, config) = tokio::join!(biased; opened, self.spare.ask(&what, sql::SHOW_CONFIG));
        let (set, resumed) = opened?;
        self.settle_resume(&what, resumed.map(drop)).await?;
        set?;
        if self.let_grow().await { Ok(()) } else { self.lift_leftover(&config?, login_retry).await }
    }

    pub(super) fn what(&self, verb: &str) -> String {
        format!("{verb} database {}", self.database)
    }

    fn odd(&self, what: &str, reason: impl std::fmt::Display) -> DriverError {
        DriverError::new(&self.system, what, reason, Certainty::Refused)
    }
}

/// Code of the error of a pause that was taken back.
pub const PAUSE_NOT_GRANTED: &str = "pause-not-granted";

/// `PgBouncer 1.26.1` → `(1, 26)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.rsplit(' ').next()?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Whether clients must be disconnected before they are let go. From PostgreSQL 16 on the server reports
/// `scram_iterations`; PgBouncer 1.26 sets it for each client that logged in then, and a server of 15 or older refuses
/// it: every such client, and every new one, would fail. 1.18 does not. The versions between were not measured, and
/// a needless disconnect costs less than clients that can't come back.
#[must_use]
pub fn needs_kill(version: (u32, u32), from_server_major: u32, to_server_major: u32) -> bool {
    version > (1, 18) && from_server_major >= 16 && to_server_major < 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(version("PgBouncer 1.26.1"), Some((1, 26)));
        assert_eq!(version("1.18.0"), Some((1, 18)));
        assert_eq!(version("PgBouncer"), None);
    }

    #[test]
    fn kills_only_on_the_way_to_15() {
        assert!(needs_kill((1, 26), 18, 15));
        assert!(!needs_kill((1, 26), 15, 18));
        assert!(!needs_kill((1, 26), 18, 17));
        assert!(!needs_kill((1, 18), 18, 15));
    }
}
