//! `run-task`: a task of ECS that runs once and must exit with 0, such as a migration of the schema in the application's
//! image. By one actor at a time: an advisory lock of the database is held meanwhile. A task that was started is found
//! again by who started it, also after a crash, and never started twice.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, Container, ContainerOverride, KeyValuePair, NetworkConfiguration,
    Service as EcsService, Task, TaskDefinition, TaskOverride, TaskStopCode,
};
use serde_json::{Value, json};

use super::notes::{key, noted};
use super::{Action, Description, StepError};
use crate::clock;
use crate::endpoints::{arn, token};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Act, Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::preflight::{Check, Finding};
use crate::runbook::model::{Ecs, RunTask, System, TaskNetwork, UndoTask};
use crate::systems::aws::ecs::{self as driver, OneOff};
use crate::systems::aws::{Access as AwsAccess, Aws, Call, Permission, Service};
use crate::systems::mysql;
use crate::systems::pair::Heading;
use crate::systems::postgres::{Access, Session};
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError};

const PAUSE: Duration = Duration::from_secs(3);
/// One key for every task of ours: whoever changes a schema keeps everybody else out who does.
const LOCK: i64 = 0x0070_6f69_6e74_736d;

#[async_trait]
impl Action for RunTask {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        let Some(System::Ecs(cluster)) = plan.systems.get(&self.cluster) else { return Description::default() };
        let mut apply = Vec::new();
        if let Some(database) = &self.database {
            apply.push((database.clone(), lock_sql(is_postgres(plan.systems.get(database)))));
        }
        apply.push((self.cluster.clone(), self.call(cluster, &self.command)));
        let look = Call::new(Service::Ecs, "DescribeTasks", json!({ "cluster": cluster.cluster, "tasks": ["IT"] }));
        apply.push((self.cluster.clone(), look.to_string()));
        let undo = match &self.undo {
            UndoTask::Run(command) => vec![(self.cluster.clone(), self.call(cluster, command))],
            UndoTask::Nothing => Vec::new(),
            UndoTask::Irreversible => vec![(self.cluster.clone(), "# none: it can't be taken back".to_owned())],
        };
        Description {
            summary: "Run a task of ECS once, and wait until it has ended well".into(),
            apply,
            undo,
            clients: None,
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        self.once(cx, state, of, &self.command).await
    }

    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        match &self.undo {
            UndoTask::Run(command) => self.once(cx, state, of, command).await,
            UndoTask::Nothing => Ok(json!({})),
            UndoTask::Irreversible => {
                Err(StepError::told(FailureKind::Refused, "the runbook says that it can't be taken back", None))
            }
        }
    }
}

/// What is known of a task before it runs.
struct Job {
    one_off: OneOff,
    /// Whose exit code counts.
    container: String,
    /// Group and prefix of its log stream.
    logs: Option<(String, String)>,
}

/// How a task ended.
#[derive(Debug, PartialEq)]
enum Ending {
    Runs(String),
    Well,
    Badly(String),
}

impl RunTask {
    fn call(&self, cluster: &Ecs, command: &[String]) -> String {
        let definition = self.task_definition.as_deref().unwrap_or("THAT OF THE SERVICE");
        let environment: Vec<Value> =
            self.environment.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let container = self.container.as_deref().unwrap_or("THE FIRST");
        let overrides = json!({ "containerOverrides": [
            { "name": container, "command": command, "environment": environment } ] });
        let network = self.network.as_ref().map_or(json!("THAT OF THE SERVICE"), |network| {
            json!({ "awsvpcConfiguration": { "subnets": network.subnets, "securityGroups": network.security_groups } })
        });
        let parameters = json!({ "cluster": cluster.cluster, "taskDefinition": definition, "count": 1,
            "overrides": overrides, "networkConfiguration": network, "startedBy": "pointsman-…", "clientToken": "NEW" });
        Call::new(Service::Ecs, "RunTask", parameters).to_string()
    }

    async fn once(&self, cx: &Context, state: &RunState, of: &Move, command: &[String]) -> Result<Value, StepError> {
        let lock = self.lock(cx).await?;
        let aws = cx.rig.aws(&self.cluster).await?;
        let aws = if of.act == Act::Undo { aws.urgent() } else { aws };
        let job = self.job(cx, state, of, &aws, command).await?;
        let arn = self.start(cx, state, of, &aws, &job).await?;
        let logs = job.logs.as_ref().map(|(group, prefix)| log_address(group, prefix, &job.container, &arn));
        cx.note(of, json!({ key(of, "task"): arn, key(of, "logs"): logs }), Durability::Synced)?;
        let ending = self.wait(cx, of, &aws, &job, &arn).await?;
        drop(lock);
        match ending {
            Ok(()) => Ok(json!({ "exit": 0 })),
            Err(reason) => {
                // What is tried again is another task.
                let ended: u64 = noted(state, of, "ended").unwrap_or(0);
                cx.note(of, json!({ key(of, "ended"): ended + 1, key(of, "task"): null }), Durability::Synced)?;
                let logs = logs.map(|logs| format!("its log is {logs}; "));
                let hint = format!("{}mend it, then `pointsman retry` runs it again", logs.unwrap_or_default());
                Err(StepError::told(
                    FailureKind::Refused,
                    format!("{}: task {arn} {reason}", self.cluster),
                    Some(&hint),
                ))
            }
        }
    }

    /// Keeps a second actor out for as long as the session lives.
    async fn lock(&self, cx: &Context) -> Result<Option<Lock>, StepError> {
        let Some(name) = &self.database else { return Ok(None) };
        let what = "keep other actors out";
        let (lock, held) = if is_postgres(cx.world.get(name)) {
            let session = cx.world.postgres(name)?.connect(Access::ReadWrite).await?;
            let held: bool = session.value(what, &lock_sql(true), &[]).await?;
            (Lock::Postgres(session), held)
        } else {
            let session = cx.world.mysql(name)?.connect(mysql::Access::ReadWrite).await?;
            let held = session.value(what, &lock_sql(false)).await?.as_deref() == Some("1");
            (Lock::Mysql(session), held)
        };
        if held {
            return Ok(Some(lock));
        }
        let (who, named) = match lock {
            Lock::Postgres(_) => ("SELECT * FROM pg_locks WHERE locktype = 'advisory'", LOCK.to_string()),
            Lock::Mysql(_) => ("SELECT IS_USED_LOCK('pointsman')", "pointsman".to_owned()),
        };
        let message = format!("{name}: somebody else changes the schema now (advisory lock {named})");
        let hint = format!("{who} names the session; wait for it, then `pointsman retry`");
        Err(StepError::told(FailureKind::Refused, message, Some(&hint)))
    }

    async fn job(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        aws: &Aws,
        command: &[String],
    ) -> Result<Job, StepError> {
        let Some(System::Ecs(cluster)) = cx.world.get(&self.cluster) else {
            return Err(StepError::broken(format!("{} is no cluster", self.cluster)));
        };
        let service = match &cluster.service {
            Some(name) if self.task_definition.is_none() || self.network.is_none() => {
                Some(driver::service(aws, &cluster.cluster, name).await?)
            }
            _ => None,
        };
        let of_service = service.as_ref().and_then(EcsService::task_definition);
        let named = self.task_definition.as_deref().or(of_service).unwrap_or_default();
        let (definition, _) = driver::definition(aws, named).await?;
        let container = self.container_of(&definition)?;
        let network = match &self.network {
            Some(network) => Some(configured(network).map_err(|reason| self.odd(reason))?),
            None => service.as_ref().and_then(EcsService::network_configuration).cloned(),
        };
        let ended: u64 = noted(state, of, "ended").unwrap_or(0);
        let token =
            token(&[&cx.run, &of.step, if of.act == Act::Apply { "apply" } else { "undo" }, &ended.to_string()]);
        let one_off = OneOff {
            cluster: cluster.cluster.clone(),
            definition: definition.task_definition_arn().unwrap_or(named).to_owned(),
            overrides: self.overrides(&container, command),
            network,
            launch: service.as_ref().and_then(EcsService::launch_type).cloned(),
            // AWS took at most 36 characters for long.
            started_by: format!("pointsman-{}", &token[..23]),
            token,
        };
        Ok(Job { one_off, logs: log_stream(&definition, &container), container })
    }

    fn container_of(&self, definition: &TaskDefinition) -> Result<String, StepError> {
        let names: Vec<&str> = definition.container_definitions().iter().filter_map(|found| found.name()).collect();
        let wanted = self.container.as_deref().or(names.first().copied());
        let found = wanted.filter(|wanted| names.contains(wanted)).map(str::to_owned);
        let missing = || self.odd(format!("its task definition has no such container; it has {}", names.join(", ")));
        Ok(found.ok_or_else(missing)?)
    }

    fn odd(&self, reason: impl std::fmt::Display) -> DriverError {
        DriverError::new(&self.cluster, "prepare the task", reason, Certainty::NotSent)
    }

    fn overrides(&self, container: &str, command: &[String]) -> TaskOverride {
        let variable = |(name, value): (&String, &String)| KeyValuePair::builder().name(name).value(value).build();
        let environment: Vec<KeyValuePair> = self.environment.iter().map(variable).collect();
        let own = ContainerOverride::builder()
            .name(container)
            .set_command((!command.is_empty()).then(|| command.to_vec()))
            .set_environment((!environment.is_empty()).then_some(environment))
            .build();
        TaskOverride::builder().container_overrides(own).build()
    }

    /// The task of this act: the one that was started already, or a new one.
    async fn start(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        aws: &Aws,
        job: &Job,
    ) -> Result<String, StepError> {
        if let Some(arn) = noted::<String>(state, of, "task") {
            return Ok(arn);
        }
        let (cluster, who) = (&job.one_off.cluster, &job.one_off.started_by);
        let first = async || -> Result<Option<String>, StepError> {
            let found = driver::started_by(aws, cluster, who).await?;
            Ok(found.first().and_then(Task::task_arn).map(str::to_owned))
        };
        if let Some(arn) = first().await? {
            return Ok(arn);
        }
        cx.still_mine()?;
        match driver::run(aws, &job.one_off).await {
            Ok(arn) => Ok(arn),
            // The answer was lost; the task may run.
            Err(error) if error.certainty == Certainty::Unknown => first().await?.ok_or_else(|| error.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the task has ended; `Err` inside says how badly.
    async fn wait(
        &self,
        cx: &Context,
        of: &Move,
        aws: &Aws,
        job: &Job,
        arn: &str,
    ) -> Result<Result<(), String>, StepError> {
        let began = clock::monotonic();
        loop {
            let found = driver::tasks(aws, &job.one_off.cluster, &[arn.to_owned()]).await?;
            let words = match found.first().map(|task| ending(task, &job.container)) {
                Some(Ending::Well) => return Ok(Ok(())),
                Some(Ending::Badly(reason)) => return Ok(Err(reason)),
                Some(Ending::Runs(words)) => words,
                None => return Err(self.forgotten(arn)),
            };
            if began.elapsed() >= self.timeout.0 {
                let message = format!("{}: task {arn} has not ended within {} ({words})", self.cluster, self.timeout);
                let hint = "it is not stopped: `pointsman retry` waits for it again";
                return Err(StepError::told(FailureKind::Deadline, message, Some(hint)));
            }
            cx.progress(&of.step, &format!("task {} {words}", task_id(arn)));
            cx.rest((began.elapsed() / 4).clamp(PAUSE / 10, PAUSE)).await?;
        }
    }

    /// AWS keeps a task that has stopped for about an hour.
    fn forgotten(&self, arn: &str) -> StepError {
        let message =
            format!("{}: AWS does not know the task {arn} any more; how it ended is in its log only", self.cluster);
        let hint = "if it ended well, `pointsman skip --reason`; else roll back or mend it by hand";
        StepError::told(FailureKind::Deadline, message, Some(hint))
    }
}

/// Looks whether what a task needs is there; reads only.
pub(super) async fn finding(step: &RunTask, world: &World) -> Finding {
    let check = Check {
        id: "run-task",
        system: &step.cluster,
        why: "A task whose definition or container is not there is not started, and the run holds in the middle.",
    };
    let look = async {
        let Some(System::Ecs(cluster)) = world.get(&step.cluster) else {
            return Err(StepError::broken("it is no cluster"));
        };
        let aws = world.aws(&step.cluster, AwsAccess::ReadOnly).await?;
        let definition = match (&step.task_definition, &cluster.service) {
            (Some(named), _) => named.clone(),
            (None, service) => {
                let service = driver::service(&aws, &cluster.cluster, service.as_deref().unwrap_or_default()).await?;
                service.task_definition().unwrap_or_default().to_owned()
            }
        };
        let (definition, _) = driver::definition(&aws, &definition).await?;
        let container = step.container_of(&definition)?;
        Ok((definition.task_definition_arn().unwrap_or_default().to_owned(), container))
    };
    match look.await {
        Ok((definition, container)) => {
            check.pass("the task can be started", format!("{definition}, container {container}."))
        }
        Err(error) => {
            let detail = format!("{}.", error.into_failure().message);
            check.fail("the task can't be started", detail, vec!["-- correct what the step names".to_owned()])
        }
    }
}

/// What the step asks of IAM.
pub(super) fn permissions(step: &RunTask, world: &World) -> Vec<Permission> {
    let place = world.get(&step.cluster).and_then(System::aws).cloned().unwrap_or_default();
    let family = step.task_definition.as_deref().map_or("*", |named| named.split(':').next().unwrap_or(named));
    let run = if step.task_definition.as_deref().is_some_and(|named| named.starts_with("arn:")) {
        step.task_definition.clone().unwrap_or_default()
    } else {
        arn("ecs", &place, &format!("task-definition/{family}:*"))
    };
    let mut all = vec![Permission::on(Service::Ecs, "RunTask", run), Permission::anywhere(Service::Iam, "PassRole")];
    let reads = ["DescribeServices", "DescribeTaskDefinition", "ListTasks", "DescribeTasks"];
    all.extend(reads.map(|operation| Permission::anywhere(Service::Ecs, operation)));
    all
}

/// A session whose end gives the lock back.
#[expect(dead_code, reason = "it is kept, and never asked anything")]
enum Lock {
    Postgres(Session),
    Mysql(mysql::Session),
}

const fn is_postgres(system: Option<&System>) -> bool {
    matches!(system, Some(System::Postgres(_)))
}

fn lock_sql(postgres: bool) -> String {
    if postgres { format!("SELECT pg_try_advisory_lock({LOCK})") } else { "SELECT GET_LOCK('pointsman', 0)".to_owned() }
}

/// Notes of the way there are not those of the way back.
fn configured(network: &TaskNetwork) -> Result<NetworkConfiguration, String> {
    let public = if network.public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(network.subnets.clone()))
        .set_security_groups((!network.security_groups.is_empty()).then(|| network.security_groups.clone()))
        .assign_public_ip(public)
        .build()
        .map_err(|error| error.to_string())?;
    Ok(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
}

/// How a task stands. Only an exit code of 0 is a good end; a task that never started has none.
fn ending(task: &Task, container: &str) -> Ending {
    let status = task.last_status().unwrap_or("UNKNOWN");
    if status != "STOPPED" {
        return Ending::Runs(format!("is {status}"));
    }
    let found = task.containers().iter().find(|found| found.name() == Some(container));
    let reason = found.and_then(|found| found.reason()).or(task.stopped_reason());
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let by_itself = matches!(task.stop_code(), None | Some(TaskStopCode::EssentialContainerExited));
    let code = task.stop_code().map(|code| format!(" ({})", code.as_str())).unwrap_or_default();
    match found.and_then(Container::exit_code) {
        Some(0) if by_itself => Ending::Well,
        Some(exit) => Ending::Badly(format!("ended with exit code {exit}{code}{reason}")),
        None => Ending::Badly(format!("ended without an exit code{code}{reason}")),
    }
}

/// Group and prefix of a container's stream in CloudWatch Logs.
fn log_stream(definition: &TaskDefinition, container: &str) -> Option<(String, String)> {
    let found = definition.container_definitions().iter().find(|found| found.name() == Some(container))?;
    let options = found.log_configuration()?.options()?;
    Some((options.get("awslogs-group")?.clone(), options.get("awslogs-stream-prefix")?.clone()))
}

fn log_address(group: &str, prefix: &str, container: &str, arn: &str) -> String {
    format!("group {group}, stream {prefix}/{container}/{}", task_id(arn))
}

fn task_id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(status: &str, exit: Option<i32>, code: Option<TaskStopCode>) -> Task {
        let container = Container::builder().name("app").set_exit_code(exit).build();
        Task::builder().last_status(status).containers(container).set_stop_code(code).stopped_reason("why").build()
    }

    #[test]
    fn only_an_exit_code_of_0_is_a_good_end() {
        let exited = Some(TaskStopCode::EssentialContainerExited);
        assert_eq!(ending(&task("STOPPED", Some(0), exited.clone()), "app"), Ending::Well);
        assert!(
            matches!(ending(&task("RUNNING", Some(0), None), "app"), Ending::Runs(_)),
            "an early code says nothing"
        );
        for (bad, words) in [
            (task("STOPPED", Some(1), exited.clone()), "exit code 1"),
            (
                task("STOPPED", None, Some(TaskStopCode::TaskFailedToStart)),
                "without an exit code (TaskFailedToStart): why",
            ),
            (task("STOPPED", Some(0), Some(TaskStopCode::UserInitiated)), "UserInitiated"),
        ] {
            assert!(matches!(ending(&bad, "app"), Ending::Badly(said) if said.contains(words)), "{words}");
        }
        assert!(
            matches!(ending(&task("STOPPED", Some(0), exited), "other"), Ending::Badly(_)),
            "it is another container's"
        );
    }

    #[test]
    fn the_log_has_an_address() {
        let arn = "arn:aws:ecs:eu-central-1:1:task/prod/0123abc";
        assert_eq!(log_address("/ecs/orders", "app", "migrate", arn), "group /ecs/orders, stream app/migrate/0123abc");
    }
}
