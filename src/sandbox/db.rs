//! Connections to PostgreSQL over loopback, without TLS.

use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls};

use super::SandboxError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a connection; it ends when the client is dropped.
///
/// # Errors
/// tokio-postgres's own, so that a caller can look at the SQLSTATE.
pub(crate) async fn open(url: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config: Config = url.parse()?;
    config.connect_timeout(CONNECT_TIMEOUT).application_name("shop");
    let (client, connection) = config.connect(NoTls).await?;
    // How a connection ends is seen by its client.
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}

/// Opens a connection to a PostgreSQL server of the sandbox.
///
/// # Errors
/// With the server's own words; the URL is not repeated, since it holds a password.
pub async fn connect(url: &str) -> Result<Client, SandboxError> {
    open(url).await.map_err(SandboxError::database("connect to a database of the sandbox"))
}
