//! A proxy before the emulators. It sends each service to the emulator that tells the truth about it, records every call,
//! lets go wrong what a test wants to go wrong, and makes a test fail when an emulator itself broke.

mod fault;
mod http;
mod wire;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub use fault::{At, Fault, Stop, at};
pub use http::{Reply, Request};
pub use wire::{Asked, Protocol, refusal};

/// A call that was made.
#[derive(Debug, Clone)]
pub struct Call {
    pub service: String,
    pub action: String,
    pub parameters: Value,
    /// The status that the caller saw; none when it saw no reply, or not yet.
    pub status: Option<u16>,
    pub at: Instant,
}

impl Call {
    /// `service Action`.
    pub fn name(&self) -> String {
        format!("{} {}", self.service, self.action)
    }

    /// Whether it can't change anything: the name says so, or it is IAM's question "might I?".
    pub fn only_reads(&self) -> bool {
        let reads = ["Describe", "Get", "List", "BatchGet"];
        reads.iter().any(|verb| self.action.starts_with(verb)) || self.action == "SimulatePrincipalPolicy"
    }
}

/// What stands in for an emulator where that is wrong about AWS. It says on which page of AWS it rests.
pub trait Overlay: Send + Sync {
    /// A reply instead of the emulator's.
    fn instead(&self, _asked: &Asked) -> Option<Reply> {
        None
    }

    /// Changes the emulator's reply.
    fn amend(&self, _asked: &Asked, _reply: &mut Reply) {}
}

/// A running proxy. Dropping it fails the test when an emulator broke.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    moto: String,
    ministack: String,
    client: reqwest::Client,
    calls: Mutex<Vec<Call>>,
    planted: Mutex<Vec<Planted>>,
    overlays: Mutex<Vec<Arc<dyn Overlay>>>,
    /// Replies to reads, by the whole of the call, for reads that are not up to date.
    replies: Mutex<HashMap<String, Reply>>,
    broken: Mutex<Vec<String>>,
}

use fault::Planted;

/// Services of the emulator that keeps a rule's actions whole; all others go to the one that speaks today's CloudWatch.
const MOTO: [&str; 4] = ["elasticloadbalancing", "ecs", "rds", "ec2"];

impl Proxy {
    pub async fn start(moto: String, ministack: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let shared = Arc::new(Shared {
            moto,
            ministack,
            client,
            calls: Mutex::default(),
            planted: Mutex::default(),
            overlays: Mutex::default(),
            replies: Mutex::default(),
            broken: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets something go wrong.
    pub fn plant(&self, at: At, fault: Fault) {
        lock(&self.shared.planted).push(Planted::new(at, fault));
    }

    /// A call that stands still before it takes effect.
    pub fn stop_before(&self, at: At) -> Stop {
        let stop = Stop::new();
        self.plant(at, Fault::StopBefore(stop.clone()));
        stop
    }

    /// A call that stands still after it took effect, before its reply.
    pub fn stop_after(&self, at: At) -> Stop {
        let stop = Stop::new();
        self.plant(at, Fault::StopAfter(stop.clone()));
        stop
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        lock(&self.shared.planted).clear();
    }

    pub fn overlay(&self, overlay: Arc<dyn Overlay>) {
        lock(&self.shared.overlays).push(overlay);
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.shared.calls).clone()
    }

    /// Forgets the calls so far.
    pub fn forget(&self) {
        lock(&self.shared.calls).clear();
    }

    /// How often an action was called.
    pub fn count(&self, service: &str, action: &str) -> usize {
        self.calls().iter().filter(|call| call.service == service && call.action == action).count()
    }

    /// Calls that may change something.
    pub fn writes(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| !call.only_reads()).collect()
    }

    /// Waits until an action was called so often.
    pub async fn until_called(&self, service: &str, action: &str, times: usize) {
        let end = Instant::now() + Duration::from_secs(90);
        while self.count(service, action) < times {
            assert!(Instant::now() < end, "{service} {action} was not called {times} times: {:#?}", self.names());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The names of all calls, for a test that fails.
    pub fn names(&self) -> Vec<String> {
        self.calls().iter().map(Call::name).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        let broken = lock(&self.shared.broken).clone();
        if !std::thread::panicking() {
            assert!(broken.is_empty(), "an emulator broke, so that the test says nothing: {broken:#?}");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(serve(BufReader::new(stream), Arc::clone(&shared)));
    }
}

/// How a call ends for its caller.
enum End {
    Reply(Reply),
    Half(Reply),
    Closed,
    Hangs,
}

async fn serve(mut stream: BufReader<TcpStream>, shared: Arc<Shared>) {
    while let Ok(Some(request)) = http::read(&mut stream).await {
        let end = shared.take(&request).await;
        let written = match &end {
            End::Reply(reply) => http::write(&mut stream, reply, None).await,
            End::Half(reply) => {
                http::write(&mut stream, reply, Some(reply.body.len() / 2)).await.ok();
                return;
            }
            End::Closed => return,
            End::Hangs => std::future::pending().await,
        };
        if written.is_err() {
            return;
        }
    }
}

impl Shared {
    async fn take(&self, request: &Request) -> End {
        let asked = wire::asked(request);
        let number = self.record(&asked);
        // Every fault counts the call; the one that was planted last has its way.
        let fault =
            lock(&self.planted).iter_mut().filter_map(|one| one.takes(&asked).then(|| one.fault.clone())).last();
        let end = self.with_fault(fault, &asked, request).await;
        if let (End::Reply(reply), Some(call)) = (&end, lock(&self.calls).get_mut(number)) {
            call.status = Some(reply.status);
        }
        end
    }

    fn record(&self, asked: &Asked) -> usize {
        let mut calls = lock(&self.calls);
        let (service, action, parameters) = (asked.service.clone(), asked.action.clone(), asked.parameters.clone());
        calls.push(Call { service, action, parameters, status: None, at: Instant::now() });
        calls.len() - 1
    }

    async fn with_fault(&self, fault: Option<Fault>, asked: &Asked, request: &Request) -> End {
        match fault {
            None => End::Reply(self.answer(asked, request).await),
            Some(Fault::Throttled) => End::Reply(wire::throttled(asked.protocol)),
            Some(Fault::Expired) => End::Reply(wire::expired(asked.protocol)),
            Some(Fault::Denied) => End::Reply(wire::denied(asked.protocol, &asked.service, &asked.action)),
            Some(Fault::Refused(status, code, message)) => End::Reply(refusal(asked.protocol, status, code, message)),
            Some(Fault::ErrorBefore(status)) => End::Reply(wire::failed(asked.protocol, status)),
            Some(Fault::ErrorAfter(status)) => {
                self.answer(asked, request).await;
                End::Reply(wire::failed(asked.protocol, status))
            }
            Some(Fault::ClosedBefore) => End::Closed,
            Some(Fault::ClosedAfter) => {
                self.answer(asked, request).await;
                End::Closed
            }
            Some(Fault::HalfReply) => End::Half(self.answer(asked, request).await),
            Some(Fault::HangsBefore) => End::Hangs,
            Some(Fault::HangsAfter) => {
                self.answer(asked, request).await;
                End::Hangs
            }
            Some(Fault::Stale) => End::Reply(self.stale(asked, request).await),
            Some(Fault::StopBefore(stop)) => {
                stop.stand().await;
                End::Reply(self.answer(asked, request).await)
            }
            Some(Fault::StopAfter(stop)) => {
                let reply = self.answer(asked, request).await;
                stop.stand().await;
                End::Reply(reply)
            }
        }
    }

    /// The overlay's reply, or the emulator's.
    async fn answer(&self, asked: &Asked, request: &Request) -> Reply {
        let overlays = lock(&self.overlays).clone();
        let instead = overlays.iter().find_map(|overlay| overlay.instead(asked));
        let mut reply = match instead {
            Some(reply) => reply,
            None => self.emulated(asked, request).await,
        };
        for overlay in &overlays {
            overlay.amend(asked, &mut reply);
        }
        lock(&self.replies).insert(key(asked, request), reply.clone());
        for planted in lock(&self.planted).iter_mut() {
            planted.learn(asked);
        }
        reply
    }

    async fn emulated(&self, asked: &Asked, request: &Request) -> Reply {
        if let Some(reply) = super::overlay::quiet::reply(asked) {
            return reply;
        }
        let to = if MOTO.contains(&asked.service.as_str()) { &self.moto } else { &self.ministack };
        let reply = http::forward(&self.client, to, request).await;
        if let Some(how) = broke(&reply) {
            lock(&self.broken).push(format!("{} {}: {how}", asked.service, asked.action));
        }
        reply
    }

    /// The last reply to the same call, if there was one.
    async fn stale(&self, asked: &Asked, request: &Request) -> Reply {
        let earlier = lock(&self.replies).get(&key(asked, request)).cloned();
        match earlier {
            Some(reply) => reply,
            None => self.answer(asked, request).await,
        }
    }
}

fn key(asked: &Asked, request: &Request) -> String {
    format!("{} {} {} {}", asked.service, asked.action, request.target, request.text())
}

/// moto answers an HTML page where it has no such action or fell over, and MiniStack says that it has none. AWS does neither.
fn broke(reply: &Reply) -> Option<String> {
    let html = reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
    let text = reply.text();
    let absent = ["Unsupported service", "InvalidAction", "Unknown operation", "NotImplemented"];
    let absent = reply.status >= 400 && absent.iter().any(|words| text.contains(words));
    ((html && reply.status >= 400) || absent)
        .then(|| format!("{} {}", reply.status, text.chars().take(400).collect::<String>()))
}
