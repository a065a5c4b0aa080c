//! The sample application: a small HTTP server before a database, as a process of its own.
//!
//! `POST /write` answers 200 only after COMMIT was answered. Otherwise it answers 5xx, says why, and says in the
//! header `x-write-outcome` whether the write may have happened.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{
    SandboxError, Shop,
    shop::{self, Refusal},
    write::{WriteOutcome, WriteRequest, write},
};
use crate::clock;

/// The header that says how sure a 5xx is: `failed` or `unknown`.
pub(crate) const OUTCOME_HEADER: &str = "x-write-outcome";

/// A connection that was used so lately is taken to work; an older one is asked first, as connection pools do.
const FRESH: Duration = Duration::from_millis(500);

/// How to run the application.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it answers to `GET /whoami`, and writes into the ledger.
    pub name: String,
    /// Its database, normally what stands before it. Comes from the environment, never from the command line, which everybody on
    /// the machine can read.
    pub database_url: String,
}

impl AppOptions {
    /// From the arguments after `sandbox-app`, and `DATABASE_URL`.
    ///
    /// # Errors
    /// When something is missing or unknown.
    pub fn from_args(args: impl Iterator<Item = String>) -> Result<Self, SandboxError> {
        let usage =
            || SandboxError::Options("usage: DATABASE_URL=... pointsman sandbox-app --listen ADDR --name NAME".into());
        let (mut listen, mut name) = (None, None);
        let mut args = args;
        while let Some(flag) = args.next() {
            match flag.as_str() {
                "--listen" => listen = args.next().and_then(|address| address.parse().ok()),
                "--name" => name = args.next(),
                _ => return Err(usage()),
            }
        }
        let database_url = std::env::var("DATABASE_URL").map_err(|_| usage())?;
        Ok(Self { listen: listen.ok_or_else(usage)?, name: name.ok_or_else(usage)?, database_url })
    }
}

/// Serves until the process ends.
///
/// # Errors
/// When the address can't be listened on.
pub async fn run(options: AppOptions) -> Result<(), SandboxError> {
    let listening = format!("listen on {}", options.listen);
    let listener = tokio::net::TcpListener::bind(options.listen).await.map_err(SandboxError::io(listening))?;
    let app = Arc::new(App { options, idle: Mutex::default() });
    let routes = Router::new()
        .route("/write", post(take_write))
        // Only that it lives: a paused pooler must not make it look ill.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/whoami", get(whoami))
        .route("/api/whoami", get(whoami))
        .with_state(app);
    axum::serve(listener, routes).await.map_err(SandboxError::io("serve HTTP"))
}

async fn whoami(State(app): State<Arc<App>>) -> String {
    app.options.name.clone()
}

struct App {
    options: AppOptions,
    /// Connections that wait for their next use. There are as many as requests were ever under way at once.
    idle: Mutex<Vec<(Instant, Box<dyn Shop>)>>,
}

impl App {
    /// A connection that is not known to be broken.
    async fn connection(&self) -> Result<Box<dyn Shop>, Refusal> {
        loop {
            let Some((since, client)) = self.idle().pop() else {
                return shop::open(&self.options.database_url).await;
            };
            let fresh = !client.is_closed() && since.elapsed() < FRESH;
            if fresh || client.run("SELECT 1").await.is_ok() {
                return Ok(client);
            }
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Box<dyn Shop>)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, request: &WriteRequest) -> WriteOutcome {
        let client = match self.connection().await {
            Ok(client) => client,
            Err(refusal) => return WriteOutcome::Failed(format!("at connecting: {}", refusal.words)),
        };
        let outcome = write(&*client, request, &self.options.name).await;
        // A connection is used again only after a good end. One whose request was given up goes away with it.
        match outcome {
            WriteOutcome::Acknowledged => self.idle().push((clock::monotonic(), client)),
            // What happened to this one has most likely happened to the others, so that they would fail too.
            _ => self.idle().clear(),
        }
        outcome
    }
}

async fn take_write(State(app): State<Arc<App>>, Json(request): Json<WriteRequest>) -> Response {
    match app.write(&request).await {
        WriteOutcome::Acknowledged => app.options.name.clone().into_response(),
        WriteOutcome::Failed(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(OUTCOME_HEADER, "failed")], reason).into_response()
        }
        WriteOutcome::Unknown(reason) => {
            (StatusCode::BAD_GATEWAY, [(OUTCOME_HEADER, "unknown")], reason).into_response()
        }
    }
}
