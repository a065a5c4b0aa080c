//! A write as an application makes it: through the endpoint, without any option of ours (PgBouncer refuses `options`).

use std::time::Duration;

use tokio_postgres::{Config, NoTls};

use super::literal;
use crate::secret;
use crate::systems::{Certainty, DriverError, Result};

const LIMIT: Duration = Duration::from_secs(5);

/// Writes a row into `pointsman.canary` through an endpoint.
pub async fn write_canary(system: &str, url: &str, token: &str) -> Result<()> {
    let failed = |reason: String| DriverError::new(system, "write a canary through it", reason, Certainty::Unknown);
    let url = secret::remote::fresh(url).await.map_err(|error| failed(error.to_string()))?;
    let config: Config = url.expose().parse().map_err(|_| failed("its probe is not a PostgreSQL URL".into()))?;
    let write = async {
        let (client, connection) = config.connect(NoTls).await?;
        let connection = tokio::spawn(connection);
        let outcome =
            client.simple_query(&format!("INSERT INTO pointsman.canary (token) VALUES ({})", literal(token))).await;
        drop(client);
        drop(connection.await);
        outcome
    };
    match tokio::time::timeout(LIMIT, write).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            Err(failed(error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned())))
        }
        Err(_) => Err(failed(format!("no answer within {} s", LIMIT.as_secs()))),
    }
}
