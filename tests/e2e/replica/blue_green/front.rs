//! Names of RDS as clients know them: each is an address that leads to whichever server has the name now. A name that
//! moves takes nobody along who came by it before.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Where a name leads; who came before the last change is disconnected.
type To = Option<u16>;

#[derive(Default)]
pub struct Fronts {
    known: Mutex<BTreeMap<String, (u16, watch::Sender<To>)>>,
}

impl Fronts {
    /// The port of a name on 127.0.0.1; the same for ever.
    pub fn port(&self, name: &str) -> u16 {
        self.lock().entry(name.to_owned()).or_insert_with(open).0
    }

    /// From now on the name leads there, or nowhere; whoever came by it is disconnected.
    pub fn lead(&self, name: &str, to: To) {
        self.lock().entry(name.to_owned()).or_insert_with(open).1.send_replace(to);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (u16, watch::Sender<To>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open() -> (u16, watch::Sender<To>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (to, seen) = watch::channel(None);
    tokio::spawn(accept(TcpListener::from_std(listener).unwrap(), seen));
    (port, to)
}

async fn accept(listener: TcpListener, to: watch::Receiver<To>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(pass(client, to.clone()));
    }
}

async fn pass(mut client: TcpStream, mut to: watch::Receiver<To>) {
    let Some(port) = *to.borrow_and_update() else { return };
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = to.changed() => {}
    }
}
