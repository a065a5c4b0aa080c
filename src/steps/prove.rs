//! After a window: a write through each endpoint arrives where it must, and nobody of the application is left on the
//! other side. Writes flow already; what fails here holds the run.

use std::time::Duration;

use super::StepError;
use crate::clock;
use crate::executor::context::Context;
use crate::runbook::model::System;
use crate::systems::pair::Heading;

/// How long those who waited in a pooler go before the canary.
const CLIENTS_FIRST: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(25);

/// Proves a window that was passed: says what was seen. `Err` says what is not as it must be.
pub async fn prove(cx: &Context, way: Heading) -> Result<String, String> {
    let words = |error: StepError| error.into_failure().message;
    let pair = cx.pair().map_err(words)?;
    let (leaving, arriving) = (pair.leaving(way).to_owned(), pair.arriving(way).to_owned());
    let mut seen = Vec::new();
    for name in cx.plan.endpoints() {
        let Some(url) = probe(cx, name) else {
            seen.push(format!("{name} has no `probe` to write through"));
            continue;
        };
        clients_first(cx, name).await;
        cx.engine().canary(cx, name, url, &arriving).await.map_err(|error| {
            let message = error.into_failure().message;
            format!("writes go to {arriving}, but a canary through {name} was not seen there: {message}")
        })?;
        seen.push(format!("a write through {name} arrived at {arriving}"));
    }
    if let Some(left) = cx.engine().sessions_left(cx, &leaving).await.map_err(words)? {
        return Err(format!("writes go to {arriving}, but {left}; they can't write there"));
    }
    seen.push(format!("no session of the application is left on {leaving}"));
    Ok(seen.join("; "))
}

/// A pooler logs in to the other side for one client after the other, and works out each password meanwhile: a canary
/// among those who waited would make them wait longer.
async fn clients_first(cx: &Context, name: &str) {
    let Ok(pooler) = cx.rig.pooler(name).await else { return };
    let began = clock::monotonic();
    while began.elapsed() < CLIENTS_FIRST {
        tokio::time::sleep(LOOK).await;
        if !matches!(pooler.clients_waiting().await, Ok(1..)) {
            return;
        }
    }
}

/// The URL of an endpoint as an application dials it.
fn probe<'a>(cx: &'a Context, name: &str) -> Option<&'a str> {
    match cx.plan.systems.get(name)? {
        System::Pgbouncer(spec) => spec.probe.as_deref(),
        _ => None,
    }
}
