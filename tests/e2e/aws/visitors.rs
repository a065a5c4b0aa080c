//! People at a web site: they ask all the time, some keep the cookies that they are given, and all remember who answered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

/// One answer.
#[derive(Debug, Clone)]
struct Answer {
    at: Instant,
    /// The application's name, or what went wrong.
    by: Result<String, String>,
}

/// Visitors under way.
pub struct Visitors {
    answers: Arc<Mutex<Vec<Answer>>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What visitors saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Answers by the application's name.
    pub by: BTreeMap<String, usize>,
    /// What went wrong, and how often.
    pub failed: BTreeMap<String, usize>,
}

impl Seen {
    /// The share of the application of this name, in per cent.
    pub fn share(&self, name: &str) -> f64 {
        let all: usize = self.by.values().sum();
        100.0 * self.by.get(name).copied().unwrap_or(0) as f64 / all.max(1) as f64
    }
}

impl Visitors {
    /// So many visitors, spread over the addresses; `keep_cookies` makes them come back as the same persons.
    pub fn start(urls: &[String], path: &str, count: usize, keep_cookies: bool) -> Self {
        let answers = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let url = format!("{}{path}", urls[number % urls.len()]);
            tasks.spawn(visit(url, keep_cookies, Arc::clone(&answers), stopped.clone()));
        }
        Self { answers, stop, tasks }
    }

    /// What was seen since this moment.
    pub fn since(&self, from: Instant) -> Seen {
        let mut seen = Seen::default();
        for answer in self.answers.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|one| one.at >= from) {
            match &answer.by {
                Ok(name) => *seen.by.entry(name.clone()).or_default() += 1,
                Err(error) => *seen.failed.entry(error.clone()).or_default() += 1,
            }
        }
        seen
    }

    /// Waits until so many more answers came, and says what they were.
    pub async fn next(&self, answers: usize) -> Seen {
        let from = Instant::now();
        loop {
            let seen = self.since(from);
            if seen.by.values().chain(seen.failed.values()).sum::<usize>() >= answers {
                return seen;
            }
            assert!(from.elapsed() < Duration::from_secs(60), "there is no traffic");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn stop(mut self) -> Seen {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        let mut seen = Seen::default();
        for answer in self.answers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            match &answer.by {
                Ok(name) => *seen.by.entry(name.clone()).or_default() += 1,
                Err(error) => *seen.failed.entry(error.clone()).or_default() += 1,
            }
        }
        seen
    }
}

async fn visit(url: String, keep: bool, answers: Arc<Mutex<Vec<Answer>>>, stopped: watch::Receiver<bool>) {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    let mut cookie: Option<String> = None;
    while !*stopped.borrow() {
        let mut request = client.get(&url);
        if let Some(cookie) = cookie.as_ref().filter(|_| keep) {
            request = request.header("cookie", cookie);
        }
        let by = match request.send().await {
            Ok(answer) if answer.status().is_success() => {
                let given = answer.headers().get("set-cookie").and_then(|value| value.to_str().ok());
                cookie = given.and_then(|text| text.split(';').next()).map(str::to_owned).or(cookie);
                answer.text().await.map_err(|error| error.to_string())
            }
            Ok(answer) => Err(answer.status().to_string()),
            Err(error) => Err(format!("{error:?}")),
        };
        answers.lock().unwrap_or_else(PoisonError::into_inner).push(Answer { at: Instant::now(), by });
        tokio::time::sleep(Duration::from_millis(8)).await;
    }
}
