//! A TCP proxy that stands for a network: every byte comes later, and connections can hang or break on demand.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};

use super::SandboxError;
use crate::clock;

/// How many reads may be under way in one direction, each of up to 16 KiB.
const IN_FLIGHT: usize = 1024;

/// A running proxy. Dropping it closes the port and its connections.
#[derive(Debug)]
pub struct DelayProxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    accepting: JoinHandle<()>,
}

/// The state of the make-believe network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    delay: Duration,
    hangs: bool,
    refuses: bool,
    /// Counts breaks: a connection lives as long as the count it was born under.
    breaks: u64,
    by_reset: bool,
}

impl DelayProxy {
    /// Listens on a free port of 127.0.0.1 and passes on to `to`, each byte `delay` later, in both directions: a
    /// round trip takes twice that.
    ///
    /// # Errors
    /// When it can't listen.
    pub async fn start(to: SocketAddr, delay: Duration) -> Result<Self, SandboxError> {
        let doing = || SandboxError::io("start a delaying proxy");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, super::free_port()?)).await.map_err(doing())?;
        let address = listener.local_addr().map_err(doing())?;
        let state = Network { delay, hangs: false, refuses: false, breaks: 0, by_reset: false };
        let (network, seen) = watch::channel(state);
        let accepting = tokio::spawn(accept(listener, to, seen));
        Ok(Self { address, network, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the delay of each direction, for bytes that arrive from now on.
    pub fn set_delay(&self, delay: Duration) {
        self.network.send_modify(|network| network.delay = delay);
    }

    /// Nothing is passed on any more, but connections stay open: a network that swallows packets.
    pub fn hang(&self) {
        self.network.send_modify(|network| network.hangs = true);
    }

    /// Closes all connections in good order, and new ones at once, until [`Self::restore`].
    pub fn cut(&self) {
        self.break_all(false, true);
    }

    /// Resets all connections once; new ones work.
    pub fn reset(&self) {
        self.break_all(true, false);
    }

    /// A good network again: what hung is passed on, new connections work.
    pub fn restore(&self) {
        self.network.send_modify(|network| (network.hangs, network.refuses) = (false, false));
    }

    fn break_all(&self, by_reset: bool, refuses: bool) {
        self.network.send_modify(|network| {
            network.breaks += 1;
            (network.by_reset, network.refuses) = (by_reset, refuses);
        });
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, network: watch::Receiver<Network>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if network.borrow().refuses {
            continue;
        }
        connections.spawn(pass(client, to, network.clone()));
        // Those that have ended need not be kept.
        while connections.try_join_next().is_some() {}
    }
}

/// Passes one connection on until it ends or is broken.
async fn pass(mut client: TcpStream, to: SocketAddr, mut network: watch::Receiver<Network>) {
    let born = network.borrow().breaks;
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let both = async {
            tokio::join!(pump(from_client, to_server, network.clone()), pump(from_server, to_client, network.clone()),)
        };
        let mut breaks = network.clone();
        tokio::select! {
            _ = both => return,
            _ = breaks.wait_for(|network| network.breaks != born) => {}
        }
    }
    if network.borrow_and_update().by_reset {
        client.set_zero_linger().ok();
        server.set_zero_linger().ok();
    }
}

/// One direction. Reading goes on while earlier bytes are still under way, so that only the latency is added.
async fn pump(mut from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin, network: watch::Receiver<Network>) {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let state = network.clone();
    let read = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let due = clock::monotonic() + state.borrow().delay;
            if sender.send((due, buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, deliver(receiver, to, network));
}

async fn deliver(
    mut bytes: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut to: impl AsyncWrite + Unpin,
    mut network: watch::Receiver<Network>,
) {
    while let Some((due, bytes)) = bytes.recv().await {
        tokio::time::sleep_until(due.into()).await;
        if network.wait_for(|network| !network.hangs).await.is_err() || to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    to.shutdown().await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy before a server that answers with what it gets.
    async fn echo(delay: Duration) -> (DelayProxy, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let to = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        let proxy = DelayProxy::start(to, delay).await.unwrap();
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        (proxy, client)
    }

    async fn ask(client: &mut TcpStream) -> std::io::Result<u8> {
        client.write_all(b"x").await?;
        client.read_u8().await
    }

    #[tokio::test]
    async fn a_round_trip_takes_twice_the_delay() {
        let (_proxy, mut client) = echo(Duration::from_millis(20)).await;
        let from = clock::monotonic();
        assert_eq!(ask(&mut client).await.unwrap(), b'x');
        assert!(from.elapsed() >= Duration::from_millis(40));
    }

    #[tokio::test]
    async fn a_reset_is_seen_as_one_and_the_next_connection_works() {
        let (proxy, mut client) = echo(Duration::ZERO).await;
        ask(&mut client).await.unwrap();
        proxy.reset();
        assert_eq!(client.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        let mut next = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut next).await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn cut_refuses_and_hang_only_waits() {
        let (proxy, mut client) = echo(Duration::ZERO).await;
        ask(&mut client).await.unwrap();
        proxy.hang();
        client.write_all(b"y").await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(100), client.read_u8()).await.is_err());
        proxy.restore();
        assert_eq!(client.read_u8().await.unwrap(), b'y');
        proxy.cut();
        assert!(client.read_u8().await.is_err());
        let mut next = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut next).await.is_err());
        proxy.restore();
        let mut next = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut next).await.unwrap(), b'x');
    }
}
