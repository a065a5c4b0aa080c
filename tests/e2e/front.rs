//! HAProxy in TCP mode before two databases, 2.6 and 3.2: new connections wait, are led elsewhere, and open ones end.

use std::time::Duration;

use pointsman::runbook::model::HaproxyTcp;
use pointsman::systems::haproxy::{Front, Open, can_hold};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::haproxy::BOTH;
use crate::support_proxies::{Server, command, folder, free_port, program, until};

/// A server that tells its name first, as MySQL does, and again for each byte.
async fn database(name: u8) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut byte = [0];
                while client.write_all(&[name]).await.is_ok() && client.read_exact(&mut byte).await.is_ok() {}
            });
        }
    });
    port
}

struct Node {
    folder: TempDir,
    port: u16,
    server: Server,
}

impl Node {
    async fn start(variable: &str, source: u16, target: u16, limit: &str) -> Self {
        let (folder, port) = (folder(), free_port());
        let config = format!(
            "global\n  maxconn 500\n  stats socket {} level admin\ndefaults\n  mode tcp\n  timeout client 60s\n  timeout server 60s\n  \
             timeout connect 1s\nfrontend db\n  bind 127.0.0.1:{port}\n{limit}  default_backend databases\nbackend databases\n  \
             server source 127.0.0.1:{source}\n  server target 127.0.0.1:{target} disabled\n",
            folder.path().join("ha.sock").display()
        );
        std::fs::write(folder.path().join("ha.cfg"), config).unwrap();
        let server = Server::spawn(command(&program(variable)).args(["-db", "-f"]).arg(folder.path().join("ha.cfg")));
        let node = Self { folder, port, server };
        let front = node.front();
        until("haproxy answers", async || front.look().await.is_ok()).await;
        node
    }

    fn spec(&self) -> HaproxyTcp {
        HaproxyTcp {
            sockets: vec![self.folder.path().join("ha.sock").display().to_string()],
            frontend: "db".into(),
            backend: "databases".into(),
            source: vec!["source".into()],
            target: vec!["target".into()],
            maxconn: None,
            probe: None,
        }
    }

    fn front(&self) -> Front {
        Front::new("front", &self.spec())
    }

    async fn dial(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }
}

/// Whose connection it is; `None` while it waits.
async fn greeted(client: &mut TcpStream) -> Option<u8> {
    tokio::time::timeout(Duration::from_millis(300), client.read_u8()).await.ok()?.ok()
}

/// One node's view.
async fn now(front: &Front) -> (Open, u32) {
    let nodes = front.look().await.unwrap();
    (front.open(&nodes[0]), nodes[0].limit)
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_wait_and_go_to_the_other_database() {
    let (source, target) = (database(b's').await, database(b't').await);
    for limit in ["", "  maxconn 77\n"] {
        let node = Node::start(BOTH[1], source, target, limit).await;
        let front = node.front();
        let was = now(&front).await;
        assert_eq!(was, (Open::Source, if limit.is_empty() { 500 } else { 77 }));
        let mut open = node.dial().await;
        assert_eq!(greeted(&mut open).await, Some(b's'));
        front.hold().await.unwrap();
        front.hold().await.unwrap();
        let (mut first, mut second) = (node.dial().await, node.dial().await);
        assert_eq!((greeted(&mut first).await, greeted(&mut second).await), (None, None), "they are let in");
        // What is open stays so, and serves.
        open.write_all(b"?").await.unwrap();
        assert_eq!(greeted(&mut open).await, Some(b's'));
        // It is led away twice, as after a crash in between; a second process leads it and lets go.
        front.lead(Open::Target).await.unwrap();
        front.lead(Open::Target).await.unwrap();
        assert_eq!(open.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof, "it was not ended");
        front.release().await.unwrap();
        front.release().await.unwrap();
        assert_eq!((greeted(&mut first).await, greeted(&mut second).await), (Some(b't'), Some(b't')));
        assert_eq!(now(&front).await, (Open::Target, was.1), "the limit is what it was");
        let nodes = front.look().await.unwrap();
        assert_eq!((front.connections(&nodes[0], Open::Source), front.connections(&nodes[0], Open::Target)), (0, 2));
        // And back.
        front.hold().await.unwrap();
        let mut third = node.dial().await;
        front.lead(Open::Source).await.unwrap();
        front.release().await.unwrap();
        assert_eq!(greeted(&mut third).await, Some(b's'));
        assert_eq!(now(&front).await, was);
    }
}

/// One that never saw the limit lets in what the process may have.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_comes_later_lets_the_clients_go() {
    let (source, target) = (database(b's').await, database(b't').await);
    let node = Node::start(BOTH[1], source, target, "  maxconn 77\n").await;
    node.front().hold().await.unwrap();
    let mut waits = node.dial().await;
    assert_eq!(greeted(&mut waits).await, None);
    node.front().release().await.unwrap();
    assert_eq!(greeted(&mut waits).await, Some(b's'));
    assert_eq!(now(&node.front()).await, (Open::Source, 500));
    let told = Front::new("front", &HaproxyTcp { maxconn: Some(60), ..node.spec() });
    told.hold().await.unwrap();
    told.release().await.unwrap();
    assert_eq!(now(&told).await, (Open::Source, 60));
}

/// Where a limit of 0 could not be taken back without killing HAProxy, nobody is held, and the rest works.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_one_is_led_but_never_held() {
    let (source, target) = (database(b's').await, database(b't').await);
    let mut node = Node::start(BOTH[0], source, target, "").await;
    let front = node.front();
    assert!(!can_hold(&front.look().await.unwrap()[0].version));
    front.hold().await.unwrap();
    let mut open = node.dial().await;
    assert_eq!(greeted(&mut open).await, Some(b's'), "it was held");
    front.lead(Open::Target).await.unwrap();
    assert!(open.read_u8().await.is_err(), "it was not ended");
    front.release().await.unwrap();
    let mut next = node.dial().await;
    assert_eq!(greeted(&mut next).await, Some(b't'));
    node.server.kill();
    let error = front.look().await.unwrap_err().to_string();
    assert!(error.contains("is HAProxy running"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_names_are_told() {
    let node = Node::start(BOTH[1], database(b's').await, database(b't').await, "").await;
    let with = |spec: HaproxyTcp| Front::new("front", &spec);
    let names = |name: &str| vec![name.to_owned()];
    for (front, said) in [
        (with(HaproxyTcp { target: names("nosuch"), ..node.spec() }), "no server nosuch"),
        (with(HaproxyTcp { frontend: "nosuch".into(), ..node.spec() }), "no frontend nosuch"),
        (with(HaproxyTcp { backend: "nosuch".into(), ..node.spec() }), "no backend nosuch"),
    ] {
        let error = front.look().await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
