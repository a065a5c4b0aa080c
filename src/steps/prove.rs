//! After a window: a write through each endpoint arrives where it must, and nobody of the application is left on the
//! other side. Writes flow already; what fails here holds the run.

use super::StepError;
use crate::executor::context::Context;
use crate::systems::pair::Heading;

/// Proves a window that was passed: says what was seen. `Err` says what is not as it must be.
pub async fn prove(cx: &Context, way: Heading) -> Result<String, String> {
    let words = |error: StepError| error.into_failure().message;
    let pair = cx.pair().map_err(words)?;
    let (leaving, arriving) = (pair.leaving(way).to_owned(), pair.arriving(way).to_owned());
    cx.engine().complete(cx, way).await.map_err(words)?;
    let mut seen = Vec::new();
    for name in cx.plan.endpoints() {
        let endpoint = cx.rig.endpoint(name).await.map_err(|error| words(error.into()))?;
        seen.push(endpoint.clients_follow(cx, &arriving).await.map_err(words)?);
    }
    if let Some(left) = cx.engine().sessions_left(cx, &leaving).await.map_err(words)? {
        return Err(format!("writes go to {arriving}, but {left}; they can't write there"));
    }
    seen.push(format!("no session of the application is left on {leaving}"));
    seen.extend(cx.engine().settle(cx, way).await.map_err(words)?);
    Ok(seen.join("; "))
}
