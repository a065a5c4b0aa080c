//! The HAProxy driver against 2.6 and 3.2.

use axum::Router;
use axum::routing::get;
use pointsman::runbook::model::Haproxy;
use pointsman::systems::Certainty;
use pointsman::systems::haproxy::{Balancer, Weights, observed};
use tempfile::TempDir;

use crate::support_proxies::{Server, command, folder, free_port, program, until};

pub const BOTH: [&str; 2] = ["HAPROXY_OLD", "HAPROXY_NEW"];

/// One node with the servers `blue` and `green`.
pub struct Node {
    pub folder: TempDir,
    pub frontend: u16,
    pub server: Server,
    pub socket: String,
    program: &'static str,
}

impl Node {
    /// `tcp` puts the runtime socket on a port.
    pub async fn start(program: &'static str, blue: u16, green: u16, tcp: bool) -> Self {
        let (folder, frontend) = (folder(), free_port());
        let path = folder.path().join("ha.sock").display().to_string();
        let socket = if tcp { format!("127.0.0.1:{}", free_port()) } else { path };
        let config = format!(
            "global\n  stats socket {socket} level admin\ndefaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  \
             timeout connect 1s\nfrontend f\n  bind 127.0.0.1:{frontend}\n  default_backend app\nbackend app\n  \
             balance roundrobin\n  server blue 127.0.0.1:{blue} weight 100\n  \
             server green 127.0.0.1:{green} weight 0 check inter 50ms\n"
        );
        std::fs::write(folder.path().join("ha.cfg"), config).unwrap();
        let server = spawn(program, &folder);
        let node = Self { folder, frontend, server, socket, program };
        node.answers().await;
        node
    }

    async fn answers(&self) {
        let balancer = self.balancer();
        until("haproxy answers", async || balancer.stats().await.is_ok()).await;
    }

    pub async fn restart(&mut self) {
        self.server.kill();
        self.server = spawn(self.program, &self.folder);
        self.answers().await;
    }

    pub fn balancer(&self) -> Balancer {
        Balancer::new("web", &spec([self]))
    }

    pub async fn requests(&self, count: usize) {
        for _ in 0..count {
            reqwest_get(self.frontend).await;
        }
    }
}

fn spawn(variable: &str, folder: &TempDir) -> Server {
    Server::spawn(command(&program(variable)).arg("-db").arg("-f").arg(folder.path().join("ha.cfg")))
}

/// One request on a connection of its own.
async fn reqwest_get(port: u16) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

pub async fn app() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new().route("/", get(|| async { "hello" }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

pub fn spec<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Haproxy {
    Haproxy {
        sockets: nodes.into_iter().map(|node| node.socket.clone()).collect(),
        backend: "app".into(),
        from: vec!["blue".into()],
        to: vec!["green".into()],
    }
}

fn weights(share: f64) -> Weights {
    Weights::for_share(share, &["blue".into()], &["green".into()])
}

#[tokio::test]
async fn weighs_and_counts_on_every_node() {
    let (blue, green) = (app().await, app().await);
    let nodes = [Node::start(BOTH[0], blue, green, false).await, Node::start(BOTH[1], blue, green, true).await];
    let balancer = Balancer::new("web", &spec(&nodes));
    let former = balancer.weights().await.unwrap();
    until("green is up", async || {
        balancer.stats().await.unwrap().iter().all(|node| node.server("green").unwrap().is_up())
    })
    .await;
    balancer.set_all(&weights(25.0)).await.unwrap();
    balancer.set_all(&weights(25.0)).await.unwrap();
    let before = balancer.stats().await.unwrap();
    for node in &nodes {
        node.requests(40).await;
    }
    let traffic = observed(&before, &balancer.stats().await.unwrap(), balancer.from(), balancer.to());
    let total = traffic.total.unwrap();
    assert_eq!(total.requests, 80);
    assert!((total.share.unwrap() - 25.0).abs() < 2.6, "{total:?}");
    balancer.restore(&former).await.unwrap();
    assert_eq!(balancer.weights().await.unwrap(), former);
    assert!(before[0].version.starts_with("2.6") && before[1].version.starts_with("3.2"));
}

#[tokio::test]
async fn says_what_is_wrong() {
    let (blue, green) = (app().await, app().await);
    for version in BOTH {
        let node = Node::start(version, blue, green, false).await;
        let mut wrong = spec([&node]);
        wrong.to = vec!["violet".into()];
        let error = Balancer::new("web", &wrong).stats().await.unwrap_err().to_string();
        assert!(error.contains("no server violet") && error.contains("blue, green"), "{error}");
        let mut wrong = spec([&node]);
        wrong.backend = "nosuch".into();
        let error = Balancer::new("web", &wrong).stats().await.unwrap_err();
        assert!(error.to_string().contains("No such") && error.certainty == Certainty::Refused, "{error}");
        let stray = Weights(std::iter::once(("violet".to_owned(), 5)).collect());
        let error = node.balancer().set_all(&stray).await.unwrap_err();
        assert!(error.to_string().contains("No such server."), "{error}");
        let heavy = Weights(std::iter::once(("green".to_owned(), 300)).collect());
        let error = node.balancer().set_all(&heavy).await.unwrap_err();
        assert!(error.to_string().contains("between 0 and 256"), "{error}");
    }
}

#[tokio::test]
async fn a_node_that_is_down_is_named() {
    let (blue, green) = (app().await, app().await);
    let mut nodes = [Node::start(BOTH[0], blue, green, false).await, Node::start(BOTH[1], blue, green, false).await];
    let balancer = Balancer::new("web", &spec(&nodes));
    nodes[1].server.kill();
    let error = balancer.set_all(&weights(50.0)).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.certainty, Certainty::Unknown);
    assert!(text.contains("1 of 2 nodes failed") && text.contains(&nodes[1].socket), "{text}");
    assert!(text.contains("the other node did it"), "{text}");
    assert_eq!(nodes[0].balancer().weights().await.unwrap()[0].weights, weights(50.0));
}

#[tokio::test]
async fn counters_that_began_anew_are_unknown() {
    let (blue, green) = (app().await, app().await);
    for version in BOTH {
        let mut node = Node::start(version, blue, green, false).await;
        let balancer = node.balancer();
        node.requests(3).await;
        let before = balancer.stats().await.unwrap();
        node.restart().await;
        node.requests(10).await;
        let after = balancer.stats().await.unwrap();
        assert_eq!(observed(&before, &after, balancer.from(), balancer.to()).total, None);
    }
}
