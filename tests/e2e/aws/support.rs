//! The sandbox of AWS with a proxy before its emulators, a journal, and the program as a child process.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_elasticloadbalancingv2 as elb;
use pointsman::{
    executor::{state::RunState, take},
    journal::{Act, Entry, Event, Journal},
    sandbox::aws::{AwsSandbox, Cloud, NewBalancer, sdk_config},
};
use tokio::process::{Child, Command};

use super::{overlay::health::TargetHealth, proxy::Proxy};
use crate::cutover::support::{Called, ended, summary};

/// Far away: it only keeps a broken test from hanging.
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything that a test of AWS needs.
pub struct Scene {
    pub proxy: Proxy,
    pub sandbox: AwsSandbox,
    pub health: Arc<TargetHealth>,
    pub journal: Journal,
    pub runbook: PathBuf,
    env: BTreeMap<String, String>,
}

/// Clients that go round the proxy.
pub struct Direct {
    pub elb: elb::Client,
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    pub route53: aws_sdk_route53::Client,
    pub secrets: aws_sdk_secretsmanager::Client,
    pub ssm: aws_sdk_ssm::Client,
    pub ecs: aws_sdk_ecs::Client,
    pub iam: aws_sdk_iam::Client,
}

impl Scene {
    pub async fn new(balancer: NewBalancer) -> Self {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let sandbox = AwsSandbox::start(&base, Path::new(env!("CARGO_BIN_EXE_pointsman")), balancer).await.unwrap();
        let proxy = Proxy::start(sandbox.cloud.moto(), sandbox.cloud.ministack()).await;
        let health = Arc::new(TargetHealth::default());
        proxy.overlay(health.clone());
        let folder = sandbox.folder().join("pointsman");
        let journal = Journal::open(&folder.join("journal.db")).unwrap();
        let mut env = sandbox.env();
        env.retain(|name, _| !name.starts_with("AWS_ENDPOINT_URL"));
        env.extend(Cloud::env_through(&proxy.url()));
        Self { proxy, sandbox, health, journal, runbook: folder.join("runbook.yaml"), env }
    }

    pub fn direct(&self) -> Direct {
        let (moto, ministack) = (sdk_config(&self.sandbox.cloud.moto()), sdk_config(&self.sandbox.cloud.ministack()));
        Direct {
            elb: elb::Client::new(&moto),
            ecs: aws_sdk_ecs::Client::new(&moto),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&ministack),
            route53: aws_sdk_route53::Client::new(&ministack),
            secrets: aws_sdk_secretsmanager::Client::new(&ministack),
            ssm: aws_sdk_ssm::Client::new(&ministack),
            iam: aws_sdk_iam::Client::new(&ministack),
        }
    }

    /// Writes the runbook.
    pub fn write(&self, text: &str) {
        std::fs::write(&self.runbook, text).unwrap();
    }

    /// Adds a variable to the program's environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.into(), value.into());
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(words).envs(&self.env).env("POINTSMAN_STATE", self.journal.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub fn run_words(&self) -> [&str; 4] {
        ["run", self.runbook.to_str().unwrap(), "--output", "json"]
    }

    pub fn start(&self) -> Child {
        self.command(&self.run_words()).spawn().unwrap()
    }

    pub async fn call(&self, words: &[&str]) -> Called {
        ended(self.command(words).spawn().unwrap()).await
    }

    /// Calls, and wants this exit code.
    pub async fn must(&self, code: i32, words: &[&str]) -> Called {
        let called = self.call(words).await;
        assert_eq!(called.code, code, "pointsman {}: {called:?}\n{}", words.join(" "), self.story());
        called
    }

    pub async fn run(&self, code: i32) -> Called {
        self.must(code, &self.run_words()).await
    }

    /// The newest run's entries.
    pub fn entries(&self) -> Vec<Entry> {
        self.journal.entries(&self.journal.find(None).unwrap().id, 0).unwrap()
    }

    pub fn state(&self) -> RunState {
        take::replay(&self.journal, &self.journal.find(None).unwrap().id).unwrap()
    }

    /// Why the newest run was held last.
    pub fn held(&self) -> String {
        let reasons = self.entries().into_iter().rev().filter_map(|entry| match entry.event {
            Event::Held { reason } => Some(reason),
            _ => None,
        });
        reasons.into_iter().next().unwrap_or_else(|| panic!("it was not held\n{}", self.story()))
    }

    /// The journal of the newest run in words, and the calls, for a test that fails.
    pub fn story(&self) -> String {
        let Ok(run) = self.journal.find(None) else { return format!("no run; {:#?}", self.proxy.names()) };
        let entries = self.journal.entries(&run.id, 0).unwrap();
        let lines: String =
            entries.iter().map(|entry| format!("{:>3} {} {}\n", entry.seq, entry.at, summary(&entry.event))).collect();
        format!("{lines}{:?}", self.proxy.names())
    }

    /// Waits until the newest run's journal says so.
    pub async fn until(&self, what: &str, mut so: impl FnMut(&Event) -> bool) {
        let began = Instant::now();
        loop {
            let known = self.journal.runs().unwrap().into_iter().next();
            let entries = known.map(|run| self.journal.entries(&run.id, 0).unwrap()).unwrap_or_default();
            if entries.iter().any(|entry| so(&entry.event)) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "it never happened: {what}\n{}", self.story());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a step was begun.
    pub async fn until_begun(&self, step: &str) {
        let begun =
            |event: &Event| matches!(event, Event::Intent { of, .. } if of.step == step && of.act == Act::Apply);
        self.until(&format!("{step} begins"), begun).await;
    }

    /// What the emulator holds of a rule, or of the listener's default: `group weight` by the group's name.
    pub async fn weights(&self, arn: &str) -> BTreeMap<String, i32> {
        let elb = self.direct().elb;
        let actions = if arn.contains(":listener/") {
            let found = elb.describe_listeners().listener_arns(arn).send().await.unwrap();
            found.listeners()[0].default_actions().to_vec()
        } else {
            let found = elb.describe_rules().rule_arns(arn).send().await.unwrap();
            found.rules()[0].actions().to_vec()
        };
        weights(&actions)
    }
}

/// The weights of the action that forwards, by the groups' names.
pub fn weights(actions: &[elb::types::Action]) -> BTreeMap<String, i32> {
    let name = |arn: &str| arn.split('/').nth(1).unwrap_or_default().to_owned();
    let Some(action) = actions.iter().find(|action| action.r#type() == Some(&elb::types::ActionTypeEnum::Forward))
    else {
        return BTreeMap::new();
    };
    match action.forward_config() {
        Some(config) => config
            .target_groups()
            .iter()
            .map(|tuple| (name(tuple.target_group_arn().unwrap()), tuple.weight().unwrap_or(1)))
            .collect(),
        None => action.target_group_arn().map(|arn| (name(arn), 1)).into_iter().collect(),
    }
}
