//! Read-only sessions, one a database, kept from one measurement to the next.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::systems::Result;
use crate::systems::mysql;
use crate::systems::postgres::{Access, Session};
use crate::systems::world::World;

/// Kept sessions, by the kind of database.
#[derive(Default)]
pub struct Sessions {
    /// To PostgreSQL databases.
    pub postgres: Kept<Session>,
    /// To MySQL and MariaDB servers.
    pub mysql: Kept<mysql::Session>,
}

/// One slot a database. Whoever uses a session has it alone.
pub struct Kept<S> {
    slots: Mutex<HashMap<String, Arc<Mutex<Option<S>>>>>,
}

impl<S> Default for Kept<S> {
    fn default() -> Self {
        Self { slots: Mutex::default() }
    }
}

/// A read-only session that can be kept.
#[async_trait]
pub trait Keep: Sized + Send {
    /// Opens it, with a limit of its own: the server ends a query of ours that outlives its measurement.
    async fn open(world: &World, name: &str) -> Result<Self>;
    /// Whether it is of no more use.
    fn is_closed(&self) -> bool;
}

impl<S: Keep> Kept<S> {
    /// Asks a database something. A session on which a question failed or was given up is not used again.
    pub async fn ask<T>(&self, world: &World, name: &str, question: impl AsyncFnOnce(&S) -> Result<T>) -> Result<T> {
        let slot = Arc::clone(self.slots.lock().await.entry(name.to_owned()).or_default());
        let mut slot = slot.lock().await;
        let session = match slot.take().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => S::open(world, name).await?,
        };
        let answer = question(&session).await?;
        *slot = Some(session);
        Ok(answer)
    }
}

#[async_trait]
impl Keep for Session {
    async fn open(world: &World, name: &str) -> Result<Self> {
        let session = world.postgres(name)?.connect(Access::ReadOnly).await?;
        session.batch("limit the session", "SET statement_timeout = '9s'").await?;
        Ok(session)
    }

    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}

#[async_trait]
impl Keep for mysql::Session {
    async fn open(world: &World, name: &str) -> Result<Self> {
        let session = world.mysql(name)?.connect(mysql::Access::ReadOnly).await?;
        let limit = match session.flavour() {
            mysql::Flavour::Mysql => "SET SESSION max_execution_time = 9000",
            mysql::Flavour::Mariadb => "SET SESSION max_statement_time = 9",
        };
        session.batch("limit the session", limit).await?;
        Ok(session)
    }

    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}
