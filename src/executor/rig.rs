//! Connections that a run keeps open: everything that can be done before the window is done before it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::{try_join, try_join_all};
use tokio::sync::Mutex;

use crate::endpoints::{self, Endpoint};
use crate::runbook::model::System;
use crate::systems::Result;
use crate::systems::aws::{self, Aws};
use crate::systems::mysql;
use crate::systems::postgres::{Access, Session, setup};
use crate::systems::world::World;

/// Open connections by name of the system.
pub struct Rig {
    world: World,
    run: String,
    epoch: AtomicU64,
    postgres: Mutex<HashMap<String, Arc<Session>>>,
    mysql: Mutex<HashMap<String, Arc<mysql::Session>>>,
    endpoints: Mutex<HashMap<String, Arc<dyn Endpoint>>>,
}

impl Rig {
    /// A rig for one executor of a run; nothing is opened yet.
    #[must_use]
    pub fn new(world: World, run: &str, epoch: u64) -> Self {
        Self {
            world,
            run: run.to_owned(),
            epoch: AtomicU64::new(epoch),
            postgres: Mutex::default(),
            mysql: Mutex::default(),
            endpoints: Mutex::default(),
        }
    }

    /// The session to a PostgreSQL database, opened (again) when there is none. The first thing done in it is to make this
    /// executor's epoch the only one that may change the database.
    pub async fn postgres(&self, name: &str) -> Result<Arc<Session>> {
        let mut sessions = self.postgres.lock().await;
        if let Some(session) = sessions.get(name).filter(|session| !session.is_closed()) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.world.postgres(name)?.connect(Access::ReadWrite).await?);
        setup::raise_epoch(&session, &self.run, self.epoch.load(Ordering::SeqCst)).await?;
        sessions.insert(name.to_owned(), Arc::clone(&session));
        Ok(session)
    }

    /// The session to a MySQL or MariaDB server, in the same way.
    pub async fn mysql(&self, name: &str) -> Result<Arc<mysql::Session>> {
        self.mysql_kept(name, name.to_owned()).await
    }

    /// A second session to the same server: for the word that ends what the first one waits for.
    pub async fn mysql_spare(&self, name: &str) -> Result<Arc<mysql::Session>> {
        self.mysql_kept(name, spare(name)).await
    }

    async fn mysql_kept(&self, name: &str, key: String) -> Result<Arc<mysql::Session>> {
        let mut sessions = self.mysql.lock().await;
        if let Some(session) = sessions.get(&key).filter(|session| !session.is_closed()) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.world.mysql(name)?.connect(mysql::Access::ReadWrite).await?);
        mysql::setup::raise_epoch(&session, &self.run, self.epoch.load(Ordering::SeqCst)).await?;
        sessions.insert(key, Arc::clone(&session));
        Ok(session)
    }

    /// Drops every connection: one that was given up in the middle of something can't be used again.
    pub async fn forget(&self) {
        self.postgres.lock().await.clear();
        self.mysql.lock().await.clear();
        self.endpoints.lock().await.clear();
    }

    /// Drops the connections to these databases: the names lead elsewhere now.
    pub async fn part_from(&self, databases: &[&str]) {
        self.postgres.lock().await.retain(|name, _| !databases.contains(&name.as_str()));
        let left = |key: &str| databases.contains(&key) || databases.iter().any(|name| key == spare(name));
        self.mysql.lock().await.retain(|key, _| !left(key));
    }

    /// The endpoint of this name, with every connection open, and with what was made ready for the window.
    pub async fn endpoint(&self, name: &str) -> Result<Arc<dyn Endpoint>> {
        let mut endpoints = self.endpoints.lock().await;
        if let Some(endpoint) = endpoints.get(name) {
            return Ok(Arc::clone(endpoint));
        }
        let endpoint = endpoints::open(&self.world, name)?;
        endpoint.warm().await?;
        endpoints.insert(name.to_owned(), Arc::clone(&endpoint));
        Ok(endpoint)
    }

    /// The clients of a system of AWS, for changes too. The first time, the account is looked at.
    pub async fn aws(&self, name: &str) -> Result<Aws> {
        self.world.aws(name, aws::Access::ReadWrite).await
    }

    /// Makes a new epoch the only one that may change the databases, in every session that is open.
    pub async fn raise(&self, epoch: u64) -> Result<()> {
        self.epoch.store(epoch, Ordering::SeqCst);
        let sessions: Vec<Arc<Session>> = self.postgres.lock().await.values().cloned().collect();
        let raised = try_join_all(sessions.iter().map(|session| setup::raise_epoch(session, &self.run, epoch)));
        let sessions: Vec<Arc<mysql::Session>> = self.mysql.lock().await.values().cloned().collect();
        let more = sessions.iter().map(|session| mysql::setup::raise_epoch(session, &self.run, epoch));
        try_join(raised, try_join_all(more)).await.map(drop)
    }

    /// Opens everything that a window needs.
    pub async fn warm(&self, databases: &[&str], endpoints: &[String]) -> Result<()> {
        for database in databases {
            match self.world.get(database) {
                Some(System::Mysql(_) | System::Mariadb(_)) => drop(self.mysql(database).await?),
                _ => drop(self.postgres(database).await?),
            }
        }
        for endpoint in endpoints {
            self.endpoint(endpoint).await?;
        }
        Ok(())
    }
}

/// What a second session to a server is kept as.
fn spare(name: &str) -> String {
    format!("{name} (spare)")
}
