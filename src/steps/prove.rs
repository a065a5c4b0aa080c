//! After a window: a write through each endpoint arrives where it must, and nobody of the application is left on the
//! other side. Writes flow already; what fails here holds the run.

use super::StepError;
use super::freeze::new_token;
use crate::executor::context::Context;
use crate::runbook::model::System;
use crate::systems::postgres::fence::Open;
use crate::systems::postgres::pair::Heading;
use crate::systems::postgres::{literal, probe};

/// Proves a window that was passed: says what was seen. `Err` says what is not as it must be.
pub async fn prove(cx: &Context, way: Heading) -> Result<String, String> {
    let words = |error: StepError| error.into_failure().message;
    let pair = cx.pair().map_err(words)?;
    let (leaving, arriving) = (pair.leaving(way).to_owned(), pair.arriving(way).to_owned());
    let mut seen = Vec::new();
    for name in cx.plan.endpoints() {
        let written = canary(cx, name, &arriving).await.map_err(|error| {
            let message = error.into_failure().message;
            format!("writes go to {arriving}, but a canary through {name} was not seen there: {message}")
        })?;
        seen.push(if written {
            format!("a write through {name} arrived at {arriving}")
        } else {
            format!("{name} has no `probe` to write through")
        });
    }
    let left = sessions_left(cx, &leaving).await.map_err(words)?;
    match left {
        0 => {
            seen.push(format!("no session of the application is left on {leaving}"));
            Ok(seen.join("; "))
        }
        left => Err(format!(
            "writes go to {arriving}, but {left} session(s) of the application are still on {leaving}: \
             SELECT usename, application_name, client_addr FROM pg_stat_activity; they can't write there"
        )),
    }
}

/// Writes a row through an endpoint and looks for it; whether there is a way to write.
async fn canary(cx: &Context, name: &str, arriving: &str) -> Result<bool, StepError> {
    let Some(System::Pgbouncer(spec)) = cx.plan.systems.get(name) else { return Ok(false) };
    let Some(url) = &spec.probe else { return Ok(false) };
    let token = new_token();
    probe::write_canary(name, url, &token).await?;
    let session = cx.rig.session(arriving).await?;
    let sql = format!("DELETE FROM pointsman.canary WHERE token = {} RETURNING token", literal(&token));
    let seen = session.batch("look for the canary", &sql).await?;
    if seen.first().is_some_and(|rows| !rows.is_empty()) {
        return Ok(true);
    }
    Err(StepError::broken("it was written, but somewhere else"))
}

async fn sessions_left(cx: &Context, leaving: &str) -> Result<i64, StepError> {
    let session = cx.rig.session(leaving).await?;
    let fencing = cx.fencing(leaving, &NOTHING)?;
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE {}", fencing.clients());
    Ok(session.value("count the sessions that are left", &sql, &[]).await?)
}

static NOTHING: Open =
    Open { database: String::new(), connection_limit: -1, read_only: None, owned: false, roles: Vec::new() };
