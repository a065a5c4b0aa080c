//! The Prometheus gate against a real Prometheus, which scrapes an application of ours.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use pointsman::gates::{Baselines, GateContext, Reading, Sessions, Verdict, describe, measure};
use pointsman::runbook::model::Gate;
use pointsman::systems::world::World;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support_proxies::{Server, command, folder, free_port, program, until};

/// What the application says of itself.
type Page = Arc<Mutex<String>>;

/// `pointsman:switch` as Prometheus wants a password.
const HASHED: &str = "$2b$04$41P2w2S5EU0zLs6A9vZPFukX1EevoePyTnGRaOko3Qdz9MzpyDhRS";

struct Prometheus {
    _folder: TempDir,
    server: Server,
    url: String,
    page: Page,
}

impl Prometheus {
    async fn start() -> Self {
        Self::serving("").await
    }

    /// With an own file of settings about who may ask.
    async fn serving(web: &str) -> Self {
        let (folder, port, page) = (folder(), free_port(), Page::default());
        let config = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\nscrape_configs:\n  - job_name: shop\n    \
             static_configs: [{{ targets: ['127.0.0.1:{}'] }}]\n",
            application(&page).await
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        std::fs::write(folder.path().join("web.yml"), web).unwrap();
        let argument = |name: &str, value: &str| format!("--{name}={value}");
        let below = |name: &str| folder.path().join(name).display().to_string();
        let server = Server::spawn(command(&program("PROMETHEUS")).args([
            argument("config.file", &below("prometheus.yml")),
            argument("web.config.file", &below("web.yml")),
            argument("storage.tsdb.path", &below("data")),
            argument("web.listen-address", &format!("127.0.0.1:{port}")),
        ]));
        Self { _folder: folder, server, url: format!("http://127.0.0.1:{port}"), page }
    }

    fn says(&self, text: &str) {
        text.clone_into(&mut self.page.lock().unwrap());
    }

    fn gate(&self, query: &str, more: Value) -> Gate {
        gate(&self.url, query, more)
    }

    async fn has(&self, query: &str) {
        let gate = self.gate(query, json!({ "min": -1e9 }));
        until(&format!("prometheus has {query}"), async || look(&gate).await.verdict == Verdict::Pass).await;
    }
}

async fn application(page: &Page) -> u16 {
    let app = Router::new()
        .route("/metrics", get(|State(page): State<Page>| async move { page.lock().unwrap().clone() }))
        .with_state(Arc::clone(page));
    serve(app).await
}

async fn serve(app: Router) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

fn gate(url: &str, query: &str, more: Value) -> Gate {
    let mut shape = json!({ "url": url, "query": query });
    let Value::Object(more) = more else { panic!("{more} is no map") };
    shape.as_object_mut().unwrap().extend(more);
    serde_json::from_value(json!({ "prometheus": shape })).unwrap()
}

async fn look(gate: &Gate) -> Reading {
    let (world, sessions, baselines) = (World::default(), Sessions::default(), Baselines::default());
    measure(gate, &GateContext { world: &world, flow: None, sessions: &sessions, baselines: &baselines, since: None })
        .await
}

fn millis_ago(secs: i64) -> i64 {
    pointsman::clock::now().as_millisecond() - secs * 1000
}

#[tokio::test]
async fn a_query_is_judged_and_silence_is_no_pass() {
    let mut prometheus = Prometheus::start().await;
    prometheus.says("queue_depth{queue=\"mail\"} 3\nqueue_depth{queue=\"bills\"} 7.25\nidle_share NaN\n");
    prometheus.has("queue_depth").await;

    let at_most = |max: f64| prometheus.gate("queue_depth", json!({ "max": max }));
    let reading = look(&at_most(7.25)).await;
    assert_eq!((reading.verdict, reading.number, reading.value.as_str()), (Verdict::Pass, Some(7.25), "7.25"));
    let reading = look(&at_most(7.0)).await;
    assert_eq!(reading.verdict, Verdict::Fail);
    assert!(reading.detail.as_deref().unwrap().contains("queue=\"bills\""), "{reading:?}");
    let ask = async |query: &str, more| look(&prometheus.gate(query, more)).await;
    assert_eq!(ask("sum(queue_depth)", json!({ "min": 10, "max": 10.25 })).await.verdict, Verdict::Pass);
    assert_eq!(ask("scalar(sum(queue_depth))", json!({ "max": 10.25 })).await.verdict, Verdict::Pass);

    for silent in ["queue_depth{queue=\"none\"}", "idle_share", "queue_depth / 0", "scalar(queue_depth)"] {
        let reading = ask(silent, json!({ "max": 1e9 })).await;
        assert_eq!(reading.verdict, Verdict::NoData, "{silent}: {reading:?}");
    }
    for wrong in ["sum(", "queue_depth[1m]", "nosuch(queue_depth)"] {
        let reading = ask(wrong, json!({ "max": 1e9 })).await;
        assert_eq!(reading.verdict, Verdict::Error, "{wrong}: {reading:?}");
    }
    let gate = prometheus.gate("queue_depth", json!({ "max": 1 }));
    let context = (World::default(), Sessions::default(), Baselines::default());
    let context =
        GateContext { world: &context.0, flow: None, sessions: &context.1, baselines: &context.2, since: None };
    assert_eq!(
        describe(&gate, &context)[1],
        format!("GET {}/api/v1/query query=timestamp(queue_depth)", prometheus.url)
    );

    prometheus.server.kill();
    let reading = look(&gate).await;
    assert_eq!(reading.verdict, Verdict::Error, "{reading:?}");
}

#[tokio::test]
async fn a_sample_is_as_old_as_it_says_itself() {
    let prometheus = Prometheus::start().await;
    // Samples with a time of their own stay visible without being fresh.
    prometheus.says(&format!("queue_depth 3 {}\nserved_total 40 {}\n", millis_ago(60), millis_ago(65)));
    prometheus.has("queue_depth").await;
    prometheus.says(&format!("queue_depth 3 {}\nserved_total 90 {}\n", millis_ago(40), millis_ago(40)));
    let rate = "rate(served_total[5m])";
    prometheus.has(rate).await;

    let aged = |query: &str, age: &str| prometheus.gate(query, json!({ "max": 1e9, "max-age": age }));
    assert_eq!(look(&aged("queue_depth", "120s")).await.verdict, Verdict::Pass);
    let reading = look(&aged("queue_depth", "10s")).await;
    assert_eq!(reading.verdict, Verdict::NoData, "{reading:?}");
    assert!(reading.detail.as_deref().unwrap().contains("old, more than 10s"), "{reading:?}");

    // An expression hides the age of what is in it: `samples` names them.
    assert_eq!(look(&aged("queue_depth / 2", "10s")).await.verdict, Verdict::Pass);
    assert_eq!(look(&aged(rate, "10s")).await.verdict, Verdict::Pass);
    let named = json!({ "max": 1e9, "max-age": "10s", "samples": "served_total" });
    assert_eq!(look(&prometheus.gate(rate, named)).await.verdict, Verdict::NoData);
    let named = json!({ "max": 1e9, "max-age": "120s", "samples": "served_total" });
    assert_eq!(look(&prometheus.gate(rate, named)).await.verdict, Verdict::Pass);
}

#[tokio::test]
async fn who_asks_is_proved_by_a_secret_that_is_never_shown() {
    let prometheus = Prometheus::serving(&format!("basic_auth_users: {{ pointsman: {HASHED} }}\n")).await;
    prometheus.says("queue_depth 3\n");
    let secret = tempfile::NamedTempFile::new().unwrap();
    // pointsman:switch
    std::fs::write(secret.path(), "cG9pbnRzbWFuOnN3aXRjaA==\n").unwrap();
    let headers = json!({ "Authorization": format!("Basic ${{file:{}}}", secret.path().display()) });
    let trusted = prometheus.gate("queue_depth", json!({ "max": 5, "headers": headers }));
    until("prometheus knows us", async || look(&trusted).await.verdict == Verdict::Pass).await;

    let reading = look(&prometheus.gate("queue_depth", json!({ "max": 5 }))).await;
    assert_eq!(reading.verdict, Verdict::Error);
    assert!(reading.detail.as_deref().unwrap().contains("401: look at the gate's `headers`"), "{reading:?}");
    std::fs::write(secret.path(), "d3Jvbmc6d3Jvbmc=\n").unwrap();
    let reading = look(&trusted).await;
    assert_eq!(reading.verdict, Verdict::Error, "the secret is read each time");
    assert!(!format!("{reading:?}").contains("d3Jvbmc6"), "{reading:?}");
    std::fs::remove_file(secret.path()).unwrap();
    let reading = look(&trusted).await;
    assert!(reading.detail.as_deref().unwrap().contains("with a secret can't be read"), "{reading:?}");
}
