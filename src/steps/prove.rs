//! After a window: a write through each endpoint arrives where it must, and nobody of the application is left on the
//! other side. Writes flow already; what fails here holds the run.

use super::StepError;
use crate::executor::context::Context;
use crate::runbook::model::System;
use crate::systems::pair::Heading;

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

/// The URL of an endpoint as an application dials it.
fn probe<'a>(cx: &'a Context, name: &str) -> Option<&'a str> {
    match cx.plan.systems.get(name)? {
        System::Pgbouncer(spec) => spec.probe.as_deref(),
        _ => None,
    }
}
