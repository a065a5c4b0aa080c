//! Where a database was dialled.

use tokio_postgres::config::Host;

use crate::systems::Result;
use crate::systems::postgres::Database;
pub use crate::systems::survey::Dialled;

impl Dialled {
    /// Reads the database's URL and resolves its host.
    pub async fn of(database: &Database) -> Result<Self> {
        database.freshen().await?;
        let config = database.config()?;
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let user = config.get_user().unwrap_or_default().to_owned();
        let dialled = Self {
            addresses: Vec::new(),
            database: config.get_dbname().unwrap_or(&user).to_owned(),
            with_password: config.get_password().is_some(),
            port: config.get_ports().first().copied().unwrap_or(5432),
            host,
            user,
        };
        Ok(dialled.resolved().await)
    }
}
