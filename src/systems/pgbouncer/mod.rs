//! PgBouncer 1.18 and newer, by its admin console. A [`Pooler`] is all the instances that lead to the same database;
//! its methods speak to all of them at the same time, and an error says what state each one is in.

mod console;
mod growth;
mod ini;
mod instance;
mod redirect;
mod show;
pub mod statements;

use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;

pub use instance::{Instance, PAUSE_NOT_GRANTED, needs_kill};
pub use redirect::{Prepared, sync_folder};
pub use show::{Blocker, Entry, PoolClient, Pools};

pub use super::address::Address;
use super::{Certainty, DriverError, Result};
use crate::runbook::model::{Pgbouncer, Redirect};
use crate::runbook::units::Span;

/// How long an instance is given to say what state it is in when another one failed.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// All instances of a pooler.
#[derive(Debug)]
pub struct Pooler {
    name: String,
    database: String,
    login_retry: Span,
    instances: Vec<Instance>,
}

impl Pooler {
    /// The pooler of a runbook, not connected yet: for whoever has to reach the instances that can be reached.
    pub fn open(name: &str, spec: &Pgbouncer) -> Result<Self> {
        let mut instances = Vec::new();
        for (url, redirect) in urls(spec) {
            let mut instance = Instance::new(name.to_owned(), url, &spec.database, redirect.cloned());
            if spec.instances.len() > 1 {
                let system = format!("{name} ({})", instance.address()?);
                instance = Instance::new(system, url, &spec.database, redirect.cloned());
            }
            instances.push(instance);
        }
        if instances.is_empty() {
            let error = DriverError::new(name, "find its instances", "the runbook names none", Certainty::NotSent);
            return Err(error.with_hint("give it `admin: URL`, or `instances:`"));
        }
        Ok(Self { name: name.to_owned(), database: spec.database.clone(), login_retry: spec.login_retry, instances })
    }

    /// The pooler of a runbook, with every connection open.
    pub async fn connect(name: &str, spec: &Pgbouncer) -> Result<Self> {
        let pooler = Self::open(name, spec)?;
        pooler.warm().await?;
        Ok(pooler)
    }

    /// Name of the system in the runbook.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The entry that the applications use.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Its instances.
    #[must_use]
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// Opens every connection that is not open.
    pub async fn warm(&self) -> Result<()> {
        self.everywhere("connect", Instance::warm).await.map(drop)
    }

    /// Where each instance leads and whether it is paused, in the order of the instances.
    pub async fn entries(&self) -> Result<Vec<Entry>> {
        self.everywhere("look at", Instance::entry).await
    }

    /// Clients that wait for a connection to the database, on all instances.
    pub async fn clients_waiting(&self) -> Result<u64> {
        let pools = self.everywhere("read the pools of", Instance::pools).await?;
        Ok(pools.iter().map(|pools| pools.clients_waiting).sum())
    }

    /// What each instance waits after a failed login, to be put back later.
    pub async fn login_retries(&self) -> Result<Vec<Span>> {
        self.everywhere("read the settings of", Instance::login_retry).await
    }

    /// Holds every client of every instance. When one instance does not grant it in time, none stays paused, and the
    /// error names the clients that were in the way. Can be repeated.
    pub async fn pause(&self, deadline: Duration) -> Result<()> {
        let results = join_all(self.instances.iter().map(|instance| instance.pause(deadline))).await;
        if results.iter().all(Result::is_ok) {
            return Ok(());
        }
        if self.instances.len() > 1 {
            // Also where the pause is in doubt. Whether it worked is what the error's states say.
            join_all(self.instances.iter().map(Instance::resume)).await;
        }
        self.gathered("pause", results).await.map(drop)
    }

    /// Lets the clients of every instance go. Can be repeated.
    pub async fn resume(&self) -> Result<()> {
        self.everywhere("resume", Instance::resume).await.map(drop)
    }

    /// Makes every instance read its configuration again.
    pub async fn reload(&self) -> Result<()> {
        self.everywhere("reload", Instance::reload).await.map(drop)
    }

    /// Sets how long clients wait after a failed login; after a reload, since that resets it.
    pub async fn set_login_retry(&self, span: Span) -> Result<()> {
        self.everywhere("set server_login_retry of", |instance| instance.set_login_retry(span)).await.map(drop)
    }

    /// Makes server connections new as they are released.
    pub async fn reconnect(&self) -> Result<()> {
        self.everywhere("reconnect", Instance::reconnect).await.map(drop)
    }

    /// Drops every client and server connection; leaves the database paused on every instance.
    pub async fn kill(&self) -> Result<()> {
        self.everywhere("kill the connections of", Instance::kill).await.map(drop)
    }

    /// Whether any instance must drop its clients before they are let go; see [`needs_kill`]. Asks the instances only
    /// where it depends on their version.
    pub async fn needs_kill(&self, from_server_major: u32, to_server_major: u32) -> Result<bool> {
        if !needs_kill((u32::MAX, 0), from_server_major, to_server_major) {
            return Ok(false);
        }
        let versions = self.everywhere("read the version of", Instance::known_version).await?;
        Ok(versions.into_iter().any(|version| needs_kill(version, from_server_major, to_server_major)))
    }

    /// Asks every instance for its version, so that [`Self::needs_kill`] need not while clients wait.
    pub async fn learn_versions(&self) -> Result<()> {
        self.everywhere("read the version of", Instance::version).await.map(drop)
    }

    /// Makes everything ready to point every instance at `address`.
    pub fn prepare(&self, address: &Address) -> Result<Switch> {
        let changes = self.instances.iter().map(|instance| instance.prepare(address)).collect::<Result<_>>()?;
        Ok(Switch { address: address.clone(), changes })
    }

    /// Points every instance at the prepared address and proves that it leads there.
    pub async fn switch(&self, switch: Switch) -> Result<Vec<Entry>> {
        let address = &switch.address;
        let pairs = self.instances.iter().zip(switch.changes);
        let results = join_all(pairs.map(|(instance, change)| instance.switch(change, address))).await;
        self.gathered(&format!("point it at {address}"), results).await
    }

    /// Points every instance at `address`: [`Self::prepare`] and [`Self::switch`]. Can be repeated.
    pub async fn redirect(&self, address: &Address) -> Result<Vec<Entry>> {
        self.switch(self.prepare(address)?).await
    }

    /// Lets the clients of every instance go, with the runbook's wait after a failed login.
    pub async fn open_doors(&self) -> Result<()> {
        self.everywhere("resume", |instance| instance.open(self.login_retry)).await.map(drop)
    }

    /// What [`Self::pause`] sends to each instance.
    #[must_use]
    pub fn describe_pause(&self) -> Vec<String> {
        growth::describe(statements::pause(&self.database))
    }

    /// What [`Self::resume`] sends to each instance.
    #[must_use]
    pub fn describe_resume(&self) -> Vec<String> {
        vec![statements::resume(&self.database)]
    }

    /// What [`Self::kill`] sends to each instance.
    #[must_use]
    pub fn describe_kill(&self) -> Vec<String> {
        vec![statements::kill(&self.database)]
    }

    /// What [`Self::switch`] does, instance by instance.
    #[must_use]
    pub fn describe_switch(&self, address: &Address) -> Vec<String> {
        let change = |instance: &Instance| match instance.redirect() {
            Some(Redirect::Ini(path)) => {
                vec![format!("edit {path}: {} = host={} port={}", self.database, address.host, address.port)]
            }
            Some(Redirect::Command(command)) => vec![format!(
                "POINTSMAN_HOST={} POINTSMAN_PORT={} POINTSMAN_DATABASE={} {}",
                address.host,
                address.port,
                address.dbname.as_ref().unwrap_or(&self.database),
                super::program::words(&command.apply.run)
            )],
            Some(Redirect::Dns) | None => Vec::new(),
        };
        let follow = |instance: &Instance| match instance.redirect() {
            Some(Redirect::Dns) => statements::reconnect(&self.database),
            _ => statements::RELOAD.to_owned(),
        };
        let one = |instance: &Instance| {
            let mut lines = change(instance);
            lines.extend([follow(instance), statements::SHOW_DATABASES.to_owned()]);
            let prefix = if self.instances.len() > 1 { format!("{}: ", instance.name()) } else { String::new() };
            lines.into_iter().map(move |line| format!("{prefix}{line}")).collect::<Vec<_>>()
        };
        self.instances.iter().flat_map(one).collect()
    }

    /// What [`Self::open_doors`] sends to each instance.
    #[must_use]
    pub fn describe_open(&self) -> Vec<String> {
        vec![statements::set_login_retry(self.login_retry), statements::resume(&self.database)]
    }

    /// Does the same on every instance at the same time.
    async fn everywhere<'a, T, F>(&'a self, what: &str, each: impl Fn(&'a Instance) -> F) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>>,
    {
        let results = join_all(self.instances.iter().map(each)).await;
        self.gathered(what, results).await
    }

    /// All values, or one error that says what each instance answered and what state it is in now.
    async fn gathered<T>(&self, what: &str, mut results: Vec<Result<T>>) -> Result<Vec<T>> {
        if results.len() == 1 || results.iter().all(Result::is_ok) {
            return results.drain(..).collect();
        }
        let states = join_all(self.instances.iter().map(state)).await;
        let line = |((result, instance), state): ((&Result<T>, &Instance), String)| match result {
            Ok(_) => format!("{}: done; {state}", instance.name()),
            Err(error) => format!("{error}; {state}"),
        };
        let lines: Vec<String> = results.iter().zip(&self.instances).zip(states).map(line).collect();
        let errors: Vec<&DriverError> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        let reason = format!("{} of {} instances failed: {}", errors.len(), results.len(), lines.join(" | "));
        let what = format!("{what} database {}", self.database);
        let mut error = DriverError::new(&self.name, &what, reason, certainty(&errors, results.len()));
        error.code = errors.iter().find_map(|error| error.code.clone());
        Err(error)
    }
}

/// A change of where all instances lead that is ready to be made.
#[derive(Debug)]
pub struct Switch {
    address: Address,
    changes: Vec<Prepared>,
}

impl Switch {
    /// Where the instances will lead.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }
}

fn urls(spec: &Pgbouncer) -> Vec<(&str, Option<&Redirect>)> {
    let only = spec.admin.as_deref().map(|url| (url, spec.redirect.as_ref()));
    let several = spec.instances.iter().map(|instance| (instance.admin.as_str(), Some(&instance.redirect)));
    only.into_iter().chain(several).collect()
}

async fn state(instance: &Instance) -> String {
    match tokio::time::timeout(LOOK_LIMIT, instance.entry()).await {
        Ok(Ok(entry)) => format!("it is {entry}"),
        Ok(Err(_)) | Err(_) => "its state is not known".to_owned(),
    }
}

/// Instances that disagree leave the whole in doubt.
fn certainty(errors: &[&DriverError], total: usize) -> Certainty {
    match errors.first() {
        Some(first) if errors.len() == total && errors.iter().all(|error| error.certainty == first.certainty) => {
            first.certainty
        }
        _ => Certainty::Unknown,
    }
}
