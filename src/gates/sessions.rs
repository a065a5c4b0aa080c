//! Read-only sessions, one a database, kept from one measurement to the next.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::systems::Result;
use crate::systems::postgres::{Access, Session};
use crate::systems::world::World;

/// The server ends a query of ours that outlives its measurement.
const LIMITS: &str = "SET statement_timeout = '9s'";

/// One slot a database. Whoever uses a session has it alone.
#[derive(Default)]
pub struct Sessions {
    slots: Mutex<HashMap<String, Arc<Mutex<Option<Session>>>>>,
}

impl Sessions {
    /// Asks a database something. A session on which a question failed or was given up is not used again.
    pub async fn ask<T>(
        &self,
        world: &World,
        name: &str,
        question: impl AsyncFnOnce(&Session) -> Result<T>,
    ) -> Result<T> {
        let slot = Arc::clone(self.slots.lock().await.entry(name.to_owned()).or_default());
        let mut slot = slot.lock().await;
        let session = match slot.take().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => open(world, name).await?,
        };
        let answer = question(&session).await?;
        *slot = Some(session);
        Ok(answer)
    }
}

async fn open(world: &World, name: &str) -> Result<Session> {
    let session = world.database(name)?.connect(Access::ReadOnly).await?;
    session.batch("limit the session", LIMITS).await?;
    Ok(session)
}
