//! Services and tasks of ECS, whose rollouts the emulator never makes progress with, and whose tasks it never runs.
//!
//! Taken from the ECS API reference (`Service`, `Deployment`, `Task`, `RunTask`) and the developer guide: "Amazon ECS rolling
//! update deployments", "How the Amazon ECS deployment circuit breaker detects failures", "Amazon ECS task lifecycle" (a task
//! goes through PROVISIONING, PENDING, RUNNING, ..., STOPPED; `clientToken` makes `RunTask` idempotent).

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::aws::proxy::{Asked, Overlay, Protocol, Reply, refusal};

/// How the next rollout of the service goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rollout {
    /// After this many looks it has COMPLETED.
    #[default]
    Completes,
    /// It never gets further than IN_PROGRESS.
    Hangs,
    /// After some looks it has FAILED, and ECS goes back to the revision that was there.
    Breaks,
}

/// How the next one-off task goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its container ends with this code.
    Exits(i32),
    /// It never gets to run: ECS can't pull its image.
    NeverStarts,
    /// It runs for ever.
    Runs,
    /// ECS takes it on with no task, and says why: no capacity.
    NotPlaced,
}

/// How many looks each state of a rollout or of a task lasts.
const LOOKS: usize = 2;

/// One service, with one task for each of its `desired`, and one-off tasks.
pub struct Ecs {
    state: Mutex<State>,
}

struct State {
    cluster: String,
    service: String,
    desired: usize,
    rollout: Rollout,
    /// Deployments, the newest first.
    deployments: Vec<Deployment>,
    /// What is made next gets this number.
    next: usize,
    fate: Fate,
    tasks: Vec<Task>,
}

#[derive(Debug, Clone)]
struct Deployment {
    id: String,
    revision: String,
    created: f64,
    looks: usize,
    goes: Rollout,
    /// ECS makes this one itself, to go back.
    done: bool,
    failed: bool,
}

#[derive(Debug, Clone)]
struct Task {
    arn: String,
    revision: String,
    token: Option<String>,
    fate: Fate,
    looks: usize,
    overrides: Value,
    container: String,
    stopped: bool,
    started_by: Option<String>,
}

const STARTED: f64 = 1_700_000_000.0;

impl Ecs {
    /// A service that runs this revision (a task definition's ARN) since long ago.
    pub fn new(cluster: &str, service: &str, revision: &str, desired: usize) -> Self {
        let first = Deployment {
            id: "ecs-svc/0".into(),
            revision: revision.into(),
            created: STARTED,
            looks: 0,
            goes: Rollout::Completes,
            done: true,
            failed: false,
        };
        Self {
            state: Mutex::new(State {
                cluster: cluster.into(),
                service: service.into(),
                desired,
                rollout: Rollout::default(),
                deployments: vec![first],
                next: 1,
                fate: Fate::Exits(0),
                tasks: Vec::new(),
            }),
        }
    }

    /// How rollouts go from now on.
    pub fn rolls(&self, rollout: Rollout) {
        self.lock().rollout = rollout;
    }

    /// How one-off tasks go from now on.
    pub fn runs(&self, fate: Fate) {
        self.lock().fate = fate;
    }

    /// How many one-off tasks were ever started.
    pub fn started(&self) -> usize {
        self.lock().tasks.len()
    }

    /// The revision that the service is meant to run.
    pub fn revision(&self) -> String {
        self.lock().deployments[0].revision.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Overlay for Ecs {
    fn instead(&self, asked: &Asked) -> Option<Reply> {
        if asked.service != "ecs" {
            return None;
        }
        let mut state = self.lock();
        let body = match asked.action.as_str() {
            "DescribeServices" => Ok(state.describe_services(&asked.parameters)),
            "UpdateService" => state.update_service(&asked.parameters),
            "ListTasks" => Ok(state.list_tasks(&asked.parameters)),
            "DescribeTasks" => Ok(state.describe_tasks(&asked.parameters)),
            "RunTask" => Ok(state.run_task(&asked.parameters)),
            "StopTask" => state.stop_task(&asked.parameters),
            _ => return None,
        };
        Some(match body {
            Ok(body) => Reply::new(200, "application/x-amz-json-1.1", body.to_string()),
            Err((code, message)) => refusal(Protocol::Json, 400, code, &message),
        })
    }
}

type Answer = Result<Value, (&'static str, String)>;

impl State {
    fn arn(&self, kind: &str, id: &str) -> String {
        format!("arn:aws:ecs:us-east-1:123456789012:{kind}/{}/{id}", self.cluster)
    }

    /// A name or an ARN.
    fn is_ours(&self, named: &Value) -> bool {
        let name = named.as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        name == self.service
    }

    fn describe_services(&mut self, asked: &Value) -> Value {
        let named = asked["services"].as_array().cloned().unwrap_or_default();
        if !named.iter().any(|name| self.is_ours(name)) {
            return json!({ "services": [], "failures": [{ "reason": "MISSING" }] });
        }
        self.go_on();
        json!({ "services": [self.described()], "failures": [] })
    }

    /// A rollout makes progress when somebody looks.
    fn go_on(&mut self) {
        let newest = &mut self.deployments[0];
        if newest.done || newest.failed {
            return;
        }
        newest.looks += 1;
        if newest.looks <= LOOKS {
            return;
        }
        match newest.goes {
            Rollout::Hangs => {}
            Rollout::Completes => {
                newest.done = true;
                self.deployments.truncate(1);
            }
            Rollout::Breaks => {
                newest.failed = true;
                self.go_back();
            }
        }
    }

    /// The circuit breaker's rollback: a deployment of the revision that ran before.
    fn go_back(&mut self) {
        let Some(before) = self.deployments.iter().skip(1).find(|one| one.done).cloned() else { return };
        let id = format!("ecs-svc/{}", self.next);
        self.next += 1;
        let created = STARTED + self.next as f64;
        self.deployments.insert(0, Deployment { id, created, looks: 0, done: true, failed: false, ..before });
    }

    fn described(&self) -> Value {
        let deployments: Vec<Value> =
            self.deployments.iter().enumerate().map(|(at, one)| self.deployment(at, one)).collect();
        json!({
            "serviceArn": self.arn("service", &self.service),
            "serviceName": self.service,
            "clusterArn": format!("arn:aws:ecs:us-east-1:123456789012:cluster/{}", self.cluster),
            "status": "ACTIVE",
            "desiredCount": self.desired,
            "runningCount": self.desired,
            "pendingCount": 0,
            "taskDefinition": self.deployments[0].revision,
            "deployments": deployments,
            "deploymentController": { "type": "ECS" },
            "deploymentConfiguration": {
                "deploymentCircuitBreaker": { "enable": true, "rollback": true },
                "maximumPercent": 200, "minimumHealthyPercent": 100,
            },
            "loadBalancers": [],
            "events": [],
            "launchType": "FARGATE",
        })
    }

    fn deployment(&self, at: usize, one: &Deployment) -> Value {
        let running = if one.done { self.desired } else { 0 };
        let word = if one.failed {
            "FAILED"
        } else if one.done {
            "COMPLETED"
        } else {
            "IN_PROGRESS"
        };
        let status = if at == 0 { "PRIMARY" } else { "ACTIVE" };
        let reason = if one.failed { "ECS deployment circuit breaker: tasks failed to start." } else { "" };
        json!({
            "id": one.id, "status": status, "taskDefinition": one.revision, "desiredCount": self.desired,
            "runningCount": running, "pendingCount": 0, "failedTasks": if one.failed { 3 } else { 0 },
            "createdAt": one.created, "updatedAt": one.created, "launchType": "FARGATE",
            "rolloutState": word, "rolloutStateReason": reason,
        })
    }

    fn update_service(&mut self, asked: &Value) -> Answer {
        if !self.is_ours(&asked["service"]) {
            return Err(("ServiceNotFoundException", "Service not found.".into()));
        }
        let revision =
            asked["taskDefinition"].as_str().map_or_else(|| self.deployments[0].revision.clone(), str::to_owned);
        if let Some(desired) = asked["desiredCount"].as_u64() {
            self.desired = usize::try_from(desired).unwrap();
        }
        let forced = asked["forceNewDeployment"].as_bool() == Some(true);
        if forced || revision != self.deployments[0].revision {
            let (id, created) = (format!("ecs-svc/{}", self.next), now());
            self.next += 1;
            let goes = self.rollout;
            self.deployments
                .insert(0, Deployment { id, revision, created, looks: 0, goes, done: false, failed: false });
        }
        Ok(json!({ "service": self.described() }))
    }

    /// The service's tasks belong to the deployment that has them running.
    fn list_tasks(&self, asked: &Value) -> Value {
        let of_service = asked["serviceName"].as_str().is_some() || asked["family"].as_str().is_some();
        let arns: Vec<String> = if of_service {
            self.running().map(|(_, arn)| arn).collect()
        } else {
            let by = asked["startedBy"].as_str();
            let ours = self.tasks.iter().filter(|task| by.is_none() || task.started_by.as_deref() == by);
            ours.map(|task| task.arn.clone()).collect()
        };
        json!({ "taskArns": arns })
    }

    fn running(&self) -> impl Iterator<Item = (&Deployment, String)> {
        let newest = self.deployments.iter().find(|one| one.done);
        newest.into_iter().flat_map(move |one| {
            let id = one.id.replace('/', "-");
            (0..self.desired).map(move |number| (one, self.arn("task", &format!("{id}-{number}"))))
        })
    }

    fn describe_tasks(&mut self, asked: &Value) -> Value {
        let named: Vec<String> = serde_json::from_value(asked["tasks"].clone()).unwrap_or_default();
        let ends_with = |arn: &str, name: &str| arn == name || arn.rsplit('/').next() == Some(name);
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for name in &named {
            let of_service =
                self.running().find(|(_, arn)| ends_with(arn, name)).map(|(one, arn)| service_task(one, &arn));
            let one_off = self.tasks.iter_mut().find(|task| ends_with(&task.arn, name)).map(Task::look);
            match of_service.or(one_off) {
                Some(task) => tasks.push(task),
                None => failures.push(json!({ "arn": name, "reason": "MISSING" })),
            }
        }
        json!({ "tasks": tasks, "failures": failures })
    }

    fn run_task(&mut self, asked: &Value) -> Value {
        let token = asked["clientToken"].as_str().map(str::to_owned);
        if let Some(known) = self.tasks.iter().find(|task| token.is_some() && task.token == token) {
            return json!({ "tasks": [known.described()], "failures": [] });
        }
        if self.fate == Fate::NotPlaced {
            return json!({ "tasks": [], "failures": [{ "reason": "RESOURCE:CPU" }] });
        }
        let arn = self.arn("task", &format!("one-off-{}", self.next));
        self.next += 1;
        let container = asked["overrides"]["containerOverrides"][0]["name"].as_str().unwrap_or("app").to_owned();
        let task = Task {
            arn,
            revision: asked["taskDefinition"].as_str().unwrap_or_default().to_owned(),
            token,
            fate: self.fate,
            looks: 0,
            overrides: asked["overrides"].clone(),
            container,
            stopped: false,
            started_by: asked["startedBy"].as_str().map(str::to_owned),
        };
        let answer = json!({ "tasks": [task.described()], "failures": [] });
        self.tasks.push(task);
        answer
    }

    fn stop_task(&mut self, asked: &Value) -> Answer {
        let named = asked["task"].as_str().unwrap_or_default().to_owned();
        let found = self.tasks.iter_mut().find(|task| task.arn == named || task.arn.rsplit('/').next() == Some(&named));
        let Some(task) = found else {
            return Err(("InvalidParameterException", "The referenced task was not found.".into()));
        };
        task.stopped = true;
        Ok(json!({ "task": task.described() }))
    }
}

fn now() -> f64 {
    pointsman::clock::now().as_millisecond() as f64 / 1000.0
}

fn service_task(one: &Deployment, arn: &str) -> Value {
    json!({
        "taskArn": arn, "taskDefinitionArn": one.revision, "lastStatus": "RUNNING", "desiredStatus": "RUNNING",
        "healthStatus": "HEALTHY", "createdAt": one.created, "startedAt": one.created + 1.0, "startedBy": one.id,
        "containers": [{ "name": "app", "lastStatus": "RUNNING", "healthStatus": "HEALTHY" }], "launchType": "FARGATE",
    })
}

impl Task {
    fn look(&mut self) -> Value {
        self.looks += 1;
        self.described()
    }

    fn status(&self) -> &'static str {
        let ends = !matches!(self.fate, Fate::Runs);
        match self.looks / LOOKS {
            _ if self.stopped => "STOPPED",
            0 => "PROVISIONING",
            1 => "PENDING",
            2 if self.fate != Fate::NeverStarts => "RUNNING",
            _ if ends => "STOPPED",
            _ => "RUNNING",
        }
    }

    fn described(&self) -> Value {
        let status = self.status();
        let mut container = json!({ "name": self.container, "lastStatus": status });
        let mut task = json!({
            "taskArn": self.arn, "taskDefinitionArn": self.revision, "lastStatus": status,
            "desiredStatus": if status == "STOPPED" { "STOPPED" } else { "RUNNING" }, "overrides": self.overrides,
            "createdAt": STARTED, "launchType": "FARGATE", "startedBy": self.started_by,
        });
        if status == "STOPPED" {
            let (code, reason) = match self.fate {
                Fate::NeverStarts => {
                    ("TaskFailedToStart", "CannotPullContainerError: pull image manifest has been retried")
                }
                _ if self.stopped => ("UserInitiated", "Task stopped by user"),
                _ => ("EssentialContainerExited", "Essential container in task exited"),
            };
            task["stopCode"] = code.into();
            task["stoppedReason"] = reason.into();
            task["stoppedAt"] = (STARTED + 60.0).into();
            if let Fate::Exits(exit) = self.fate {
                container["exitCode"] = exit.into();
            }
        }
        task["containers"] = json!([container]);
        task
    }
}
