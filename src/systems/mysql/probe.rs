//! A write through an endpoint, as an application does it.

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use super::dial::Target;
use super::literal;
use super::session::driver_error;
use crate::runbook::model::Tls;
use crate::secret;
use crate::systems::{Certainty, DriverError, Result};

const LIMIT: Duration = Duration::from_secs(5);

/// Writes a canary row through the URL that applications use.
pub async fn write_canary(system: &str, url: &str, token: &str) -> Result<()> {
    let what = "write a canary";
    let unusable = |reason: String| DriverError::new(system, "read its probe url", reason, Certainty::NotSent);
    let url = secret::remote::fresh(url).await.map_err(|error| unusable(error.to_string()))?;
    let target = Target::read(url.expose()).map_err(unusable)?;
    let options = |encrypted| target.options(&Tls::default(), encrypted).map_err(unusable);
    let (encrypted, plain) = (options(true)?, options(false)?);
    let write = async {
        let mut conn = match Conn::new(encrypted).await {
            Err(mysql_async::Error::Driver(mysql_async::DriverError::NoClientSslFlagFromServer)) => {
                Conn::new(plain).await?
            }
            other => other?,
        };
        conn.query_drop(format!("INSERT INTO pointsman.canary (token) VALUES ({})", literal(token))).await?;
        conn.disconnect().await
    };
    match tokio::time::timeout(LIMIT, write).await {
        Ok(done) => done.map_err(|error| driver_error(system, what, &error, Certainty::Unknown)),
        Err(_) => {
            let reason = format!("no answer within {} s", LIMIT.as_secs());
            Err(DriverError::new(system, what, reason, Certainty::Unknown))
        }
    }
}
