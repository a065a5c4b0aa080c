//! Everything that is worth knowing about one database before it is moved, read in one go and without changing
//! anything: every query runs in a read-only session, as JSON that the server builds, so that a survey takes about
//! fifteen round trips however many tables there are. A survey is frozen in the plan, so it holds no secret.

mod access;
mod activity;
mod dialled;
mod disk;
mod model;
mod objects;
mod queries;
mod reach;
mod settings;

pub use crate::systems::survey::ClockReading;
pub use access::*;
pub use activity::*;
pub use dialled::Dialled;
pub use model::*;
pub use objects::*;
pub use reach::{Found, Reach};
pub use settings::{MEANING, Setting, TUNING};

use serde::de::DeserializeOwned;
use tokio_postgres::types::Json;

use super::session::{Access, Database, Session};
use crate::clock;
use crate::systems::Result;

/// PostgreSQL refused for want of a lock within `lock_timeout`.
const LOCK_TIMEOUT: &str = "55P03";

impl Survey {
    /// Reads one database. `nonce` is mixed into the fingerprints of passwords, so that two surveys of one gathering
    /// can be compared and nothing can be learned from a stored one; it is not kept.
    pub async fn read(database: &Database, nonce: &str) -> Result<Self> {
        let dialled = Dialled::of(database).await?;
        let settings = settings::read(database).await?;
        let session = database.connect(Access::ReadOnly).await?;
        let role: OwnRole = one(&session, "read our role", queries::ROLE).await?;
        let (server, clock) = server(&session, &role).await?;
        let disk = disk::read(&session, &role, &dialled).await?;
        Ok(Self {
            system: database.name.clone(),
            address: database.spec.address.clone(),
            dialled,
            server,
            clock,
            settings,
            usage: one(&session, "read what is in use", queries::USAGE).await?,
            database: one(&session, "read the database", queries::DATABASE).await?,
            own_settings: list(&session, "read the settings of databases and roles", queries::OWN_SETTINGS).await?,
            schemas: list(&session, "read the schemas", &queries::schemas()).await?,
            tables: tables(&session).await?,
            sequences: list(&session, "read the sequences", &queries::sequences()).await?,
            objects: one(&session, "read the other objects", &queries::objects()).await?,
            logins: list(&session, "read the login roles", &queries::logins(role.superuser, nonce)).await?,
            roles: one(&session, "read the roles", &queries::roles()).await?,
            activity: one(&session, "read what is going on", queries::ACTIVITY).await?,
            hba: hba(&session, &role).await?,
            disk,
            role,
        })
    }
}

/// Exact sizes need a glance at each table, which waits behind somebody who has locked one; then estimates will do.
async fn tables(session: &Session) -> Result<Vec<Table>> {
    match list(session, "read the tables", &queries::tables(true)).await {
        Err(error) if error.is_code(LOCK_TIMEOUT) => list(session, "read the tables", &queries::tables(false)).await,
        other => other,
    }
}

async fn server(session: &Session, role: &OwnRole) -> Result<(Server, ClockReading)> {
    let (before, started) = (clock::now(), clock::monotonic());
    let theirs: f64 =
        session.value("read the clock", "SELECT extract(epoch FROM clock_timestamp())::float8 * 1000", &[]).await?;
    let round_trip = started.elapsed();
    let server = one(session, "read the server", &queries::server(role.reads_control)).await?;
    Ok((server, ClockReading::new(before, round_trip, theirs)))
}

async fn hba(session: &Session, role: &OwnRole) -> Result<Option<Vec<HbaRule>>> {
    if !role.reads_hba {
        return Ok(None);
    }
    list(session, "read pg_hba.conf", queries::HBA).await.map(Some)
}

/// The only value of a query that gives one JSON object.
async fn one<T: DeserializeOwned>(session: &Session, what: &str, sql: &str) -> Result<T> {
    session.value::<Json<T>>(what, sql, &[]).await.map(|json| json.0)
}

/// The rows of a query, each as one JSON object.
async fn list<T: DeserializeOwned>(session: &Session, what: &str, sql: &str) -> Result<Vec<T>> {
    one(session, what, &format!("SELECT coalesce(json_agg(x), '[]') FROM ({sql}) x")).await
}
