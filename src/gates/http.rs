//! The answer to a GET: its status, and a value of its JSON.

use std::sync::Once;
use std::time::Duration;

use serde_json::Value;
use serde_json_path::JsonPath;

use super::{Reading, compare, expectation};
use crate::runbook::model::{Expect, HttpGate};
use crate::secret::{self, Secret};

const LIMIT: Duration = Duration::from_secs(8);
/// An answer longer than this is not one to a question.
const BODY_BYTES: usize = 1024 * 1024;

pub async fn measure(gate: &HttpGate) -> Reading {
    let threshold = threshold(gate);
    match get(gate).await {
        Ok((status, _)) if status != gate.status => {
            Reading::known(false, format!("status {status}"), &threshold).number(f64::from(status))
        }
        Ok((status, body)) => judged(gate, status, &body, &threshold),
        Err(reason) => Reading::error(reason, &threshold),
    }
}

pub fn threshold(gate: &HttpGate) -> String {
    let status = format!("status {}", gate.status);
    match &gate.json_path {
        Some(path) => format!("{status}, {path} {}", expectation(&gate.expect)),
        None if gate.expect != Expect::default() => format!("{status}, body {}", expectation(&gate.expect)),
        None => status,
    }
}

fn judged(gate: &HttpGate, status: u16, body: &str, threshold: &str) -> Reading {
    let Some(path) = &gate.json_path else {
        if gate.expect == Expect::default() {
            return Reading::known(true, format!("status {status}"), threshold).number(f64::from(status));
        }
        return compare(Some(body.trim()), &gate.expect, threshold);
    };
    match at(path, body) {
        Ok(value) => compare(value.as_deref(), &gate.expect, threshold),
        Err(reason) => Reading::error(reason, threshold),
    }
}

/// The value at a path as text; nothing when it is null or absent.
fn at(path: &str, body: &str) -> Result<Option<String>, String> {
    let path = JsonPath::parse(path).map_err(|error| format!("`{path}` is not a JSON path: {error}"))?;
    let json: Value = serde_json::from_str(body).map_err(|error| format!("the answer is not JSON: {error}"))?;
    Ok(match path.query(&json).first() {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    })
}

async fn get(gate: &HttpGate) -> Result<(u16, String), String> {
    let url = secret::remote::fresh(&gate.url).await.map_err(|error| error.to_string())?;
    fetch(url.expose(), &[]).await
}

/// A GET: status and body of its answer. No error repeats the URL or a header.
pub(super) async fn fetch(url: &str, headers: &[(&str, Secret)]) -> Result<(u16, String), String> {
    let words = |error: reqwest::Error| chain(&error.without_url());
    let mut request = client().map_err(words)?.get(url);
    for (name, value) in headers {
        request = request.header(*name, value.expose());
    }
    let mut answer = request.send().await.map_err(words)?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(words)? {
        if body.len() + chunk.len() > BODY_BYTES {
            return Err(format!("the answer is longer than {BODY_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn client() -> reqwest::Result<reqwest::Client> {
    static PROVIDER: Once = Once::new();
    // reqwest is built without a provider of its own; somebody may have installed one already.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    // A redirect is an answer too: it must not be taken for that of the page behind it.
    reqwest::Client::builder().timeout(LIMIT).redirect(reqwest::redirect::Policy::none()).build()
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::super::Verdict;
    use super::*;
    use crate::runbook::model::GateRules;

    async fn serve() -> String {
        let app = Router::new()
            .route("/json", get(|| async { r#"{"queue":{"depth":7,"name":null,"ok":true}}"# }))
            .route("/down", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
            .route("/text", get(|| async { "fine\n" }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    fn gate(url: String, path: Option<&str>, expect: Expect) -> HttpGate {
        HttpGate { url, status: 200, json_path: path.map(str::to_owned), expect, rules: GateRules::default() }
    }

    #[tokio::test]
    async fn reads_status_and_value() {
        let url = serve().await;
        let any = Expect::default;
        let ask = async |path: &str, json: Option<&str>, expect| {
            measure(&gate(format!("{url}{path}"), json, expect)).await.verdict
        };
        let at_most = |max| Expect { max: Some(max), ..any() };
        assert_eq!(ask("/json", None, any()).await, Verdict::Pass);
        assert_eq!(ask("/down", None, any()).await, Verdict::Fail);
        assert_eq!(ask("/json", Some("$.queue.depth"), at_most(7.0)).await, Verdict::Pass);
        assert_eq!(ask("/json", Some("$.queue.depth"), at_most(6.0)).await, Verdict::Fail);
        assert_eq!(ask("/json", Some("$.queue.ok"), any()).await, Verdict::Pass);
        assert_eq!(ask("/json", Some("$.queue.name"), any()).await, Verdict::NoData);
        assert_eq!(ask("/json", Some("$.nothing"), at_most(1.0)).await, Verdict::NoData);
        assert_eq!(ask("/text", Some("$.queue"), any()).await, Verdict::Error);
        assert_eq!(ask("/text", None, Expect { equals: Some("fine".into()), ..any() }).await, Verdict::Pass);
    }

    #[tokio::test]
    async fn an_unreachable_server_is_an_error_without_the_url() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let reading = measure(&gate(format!("http://u:hush@127.0.0.1:{port}/"), None, Expect::default())).await;
        assert_eq!(reading.verdict, Verdict::Error);
        assert!(!reading.detail.unwrap().contains("hush"));
    }
}
