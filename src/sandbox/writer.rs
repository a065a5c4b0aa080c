//! How a client of the workload writes: through the application, or straight through the pooler.

use std::time::Duration;

use reqwest::StatusCode;

use super::{SandboxError, Shop, WriteOutcome, WriteRequest, app::OUTCOME_HEADER, shop, write::write};

/// How long a client waits for an answer. Longer than any write may ever have to wait, so that giving up is a finding.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(60);

pub(crate) enum Writer {
    Http { http: reqwest::Client, url: String },
    Direct { url: String, connection: Option<Box<dyn Shop>> },
}

impl Writer {
    pub(crate) fn http(base: &str) -> Result<Self, SandboxError> {
        // reqwest wants a TLS provider even where no TLS is spoken; that there is one already is as good.
        rustls::crypto::ring::default_provider().install_default().ok();
        let http =
            reqwest::Client::builder().no_proxy().pool_max_idle_per_host(1).build().map_err(|error| {
                SandboxError::Http { doing: "set up an HTTP client".into(), reason: error.to_string() }
            })?;
        Ok(Self::Http { http, url: format!("{base}/write") })
    }

    pub(crate) fn direct(url: String) -> Self {
        Self::Direct { url, connection: None }
    }

    /// Makes one attempt; returns also who wrote it.
    pub(crate) async fn write(&mut self, request: &WriteRequest) -> (WriteOutcome, String) {
        match self {
            Self::Http { http, url } => write_http(http, url, request).await,
            Self::Direct { url, connection } => (write_direct(url, connection, request).await, "direct".into()),
        }
    }

    /// Forgets a connection whose state is not known.
    pub(crate) fn reset(&mut self) {
        if let Self::Direct { connection, .. } = self {
            *connection = None;
        }
    }
}

async fn write_direct(url: &str, connection: &mut Option<Box<dyn Shop>>, request: &WriteRequest) -> WriteOutcome {
    let client = match connection.take().filter(|client| !client.is_closed()) {
        Some(client) => client,
        None => match shop::open(url).await {
            Ok(client) => client,
            Err(refusal) => return WriteOutcome::Failed(format!("at connecting: {}", refusal.words)),
        },
    };
    let outcome = write(&*client, request, "direct").await;
    if outcome == WriteOutcome::Acknowledged {
        *connection = Some(client);
    }
    outcome
}

async fn write_http(http: &reqwest::Client, url: &str, request: &WriteRequest) -> (WriteOutcome, String) {
    let response = match http.post(url).json(request).send().await {
        Ok(response) => response,
        // Without a connection nothing was sent.
        Err(error) if error.is_connect() => return (WriteOutcome::Failed(format!("HTTP: {error}")), String::new()),
        Err(error) => return (WriteOutcome::Unknown(format!("HTTP: {error}")), String::new()),
    };
    let status = response.status();
    let sure = response.headers().get(OUTCOME_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = response.text().await.unwrap_or_default();
    if status == StatusCode::OK {
        return (WriteOutcome::Acknowledged, body);
    }
    (refusal(status, sure.as_deref(), &body), String::new())
}

/// Without the application's own word: the load balancer answers 503 when it had nobody to send the request to, and
/// other 5xx when somebody had it and did not answer.
fn refusal(status: StatusCode, sure: Option<&str>, body: &str) -> WriteOutcome {
    let told = sure.is_some();
    let reason = if told { body.to_owned() } else { format!("HTTP {status} from the load balancer") };
    let failed = match sure {
        Some(word) => word == "failed",
        None => status == StatusCode::SERVICE_UNAVAILABLE || status.is_client_error(),
    };
    if failed { WriteOutcome::Failed(reason) } else { WriteOutcome::Unknown(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_did_not_happen_is_failed() {
        let refused = |status: u16, sure| refusal(StatusCode::from_u16(status).unwrap(), sure, "why");
        assert!(matches!(refused(503, Some("failed")), WriteOutcome::Failed(reason) if reason == "why"));
        assert!(matches!(refused(502, Some("unknown")), WriteOutcome::Unknown(_)));
        assert!(matches!(refused(503, None), WriteOutcome::Failed(_)));
        assert!(matches!(refused(502, None), WriteOutcome::Unknown(_)));
        assert!(matches!(refused(504, None), WriteOutcome::Unknown(_)));
    }
}
