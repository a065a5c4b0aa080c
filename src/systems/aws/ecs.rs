//! Services, task definitions and tasks of ECS.

use aws_sdk_ecs::types::{
    DesiredStatus, Failure, NetworkConfiguration, Secret, Service as EcsService, Tag, Task, TaskDefinition,
    TaskDefinitionField, TaskField, TaskOverride,
};

use super::{Aws, Service};
use crate::systems::{Certainty, DriverError, Result};

/// AWS describes at most so many tasks in one call.
const AT_ONCE: usize = 100;

/// A service as it stands.
pub async fn service(aws: &Aws, cluster: &str, name: &str) -> Result<EcsService> {
    let what = format!("read the service {name}");
    let ask = || aws.ecs().describe_services().cluster(cluster).services(name).send();
    let answer = aws.read(Service::Ecs, &what, ask).await?;
    let missing = || {
        let reason = failures(answer.failures()).unwrap_or_else(|| "there is no such service".to_owned());
        DriverError::new(aws.system(), &what, reason, Certainty::Refused)
    };
    let found = answer.services().iter().find(|service| service.status() != Some("INACTIVE"));
    found.cloned().ok_or_else(missing)
}

/// A task definition with its tags: by ARN, `family:revision`, or the newest of a family.
pub async fn definition(aws: &Aws, name: &str) -> Result<(TaskDefinition, Vec<Tag>)> {
    let what = format!("read the task definition {name}");
    let ask = || aws.ecs().describe_task_definition().task_definition(name).include(TaskDefinitionField::Tags).send();
    let answer = aws.read(Service::Ecs, &what, ask).await?;
    let odd = || DriverError::new(aws.system(), &what, "the answer is empty", Certainty::Refused);
    Ok((answer.task_definition.ok_or_else(odd)?, answer.tags.unwrap_or_default()))
}

/// Registers a revision; gives its ARN.
pub async fn register(aws: &Aws, of: &TaskDefinition, tags: &[Tag]) -> Result<String> {
    let what = "register a revision of the task definition";
    let ask = || {
        let register = aws.ecs().register_task_definition();
        let register =
            register.set_family(of.family.clone()).set_container_definitions(of.container_definitions.clone());
        let register = register.set_task_role_arn(of.task_role_arn.clone()).set_volumes(of.volumes.clone());
        let register = register.set_execution_role_arn(of.execution_role_arn.clone());
        let register = register.set_network_mode(of.network_mode.clone()).set_cpu(of.cpu.clone());
        let register = register.set_placement_constraints(of.placement_constraints.clone());
        let register = register.set_requires_compatibilities(of.requires_compatibilities.clone());
        let register = register.set_memory(of.memory.clone()).set_pid_mode(of.pid_mode.clone());
        let register = register.set_ipc_mode(of.ipc_mode.clone());
        let register = register.set_proxy_configuration(of.proxy_configuration.clone());
        let register = register.set_ephemeral_storage(of.ephemeral_storage.clone());
        let register = register.set_runtime_platform(of.runtime_platform.clone());
        let register = register.set_enable_fault_injection(of.enable_fault_injection);
        register.set_tags((!tags.is_empty()).then(|| tags.to_vec())).send()
    };
    let answer = aws.write(Service::Ecs, what, ask).await?;
    let odd = || DriverError::new(aws.system(), what, "the answer names no revision", Certainty::Unknown);
    answer.task_definition.and_then(|definition| definition.task_definition_arn).ok_or_else(odd)
}

/// Deploys a service: with another task definition, or anew as it is.
pub async fn deploy(aws: &Aws, cluster: &str, name: &str, definition: Option<&str>) -> Result<EcsService> {
    let what = format!("deploy the service {name}");
    let ask = || {
        let update = aws.ecs().update_service().cluster(cluster).service(name);
        update.set_task_definition(definition.map(str::to_owned)).force_new_deployment(definition.is_none()).send()
    };
    let answer = aws.write(Service::Ecs, &what, ask).await?;
    let odd = || DriverError::new(aws.system(), &what, "the answer is empty", Certainty::Unknown);
    answer.service.ok_or_else(odd)
}

/// Says how many tasks a service has. The same again does no harm.
pub async fn scale(aws: &Aws, cluster: &str, name: &str, to: i32) -> Result<()> {
    let ask = || aws.ecs().update_service().cluster(cluster).service(name).desired_count(to).send();
    aws.write(Service::Ecs, &format!("give the service {name} {to} tasks"), ask).await.map(drop)
}

/// The tasks of a service that run, or are about to.
pub async fn running(aws: &Aws, cluster: &str, name: &str) -> Result<Vec<Task>> {
    let mut arns = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let ask = || {
            let list = aws.ecs().list_tasks().cluster(cluster).service_name(name);
            list.desired_status(DesiredStatus::Running).set_next_token(next.clone()).send()
        };
        let answer = aws.read(Service::Ecs, "list the tasks of the service", ask).await?;
        arns.extend(answer.task_arns.unwrap_or_default());
        next = answer.next_token;
        if next.is_none() {
            return tasks(aws, cluster, &arns).await;
        }
    }
}

/// Tasks by ARN; those that AWS has forgotten are missing.
pub async fn tasks(aws: &Aws, cluster: &str, arns: &[String]) -> Result<Vec<Task>> {
    let mut found = Vec::new();
    for some in arns.chunks(AT_ONCE) {
        let ask = || {
            let describe = aws.ecs().describe_tasks().cluster(cluster).set_tasks(Some(some.to_vec()));
            describe.include(TaskField::Tags).send()
        };
        found.extend(aws.read(Service::Ecs, "look at the tasks", ask).await?.tasks.unwrap_or_default());
    }
    Ok(found)
}

/// The tasks that somebody has started, by the name that he gave himself: those that run and those that stopped within
/// about the last hour.
pub async fn started_by(aws: &Aws, cluster: &str, who: &str) -> Result<Vec<Task>> {
    let mut arns = Vec::new();
    for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let ask = || aws.ecs().list_tasks().cluster(cluster).started_by(who).desired_status(status.clone()).send();
        arns.extend(
            aws.read(Service::Ecs, "list the tasks that were started", ask).await?.task_arns.unwrap_or_default(),
        );
    }
    tasks(aws, cluster, &arns).await
}

/// A task to be run once.
#[derive(Clone, Debug)]
pub struct OneOff {
    /// The cluster.
    pub cluster: String,
    /// Task definition.
    pub definition: String,
    /// What is different from the definition.
    pub overrides: TaskOverride,
    /// Its network.
    pub network: Option<NetworkConfiguration>,
    /// Where it runs.
    pub launch: Option<aws_sdk_ecs::types::LaunchType>,
    /// Who starts it.
    pub started_by: String,
    /// The same token again starts nothing.
    pub token: String,
}

/// Starts a task; gives its ARN.
pub async fn run(aws: &Aws, task: &OneOff) -> Result<String> {
    let what = format!("start a task of {}", task.definition);
    let ask = || {
        let run = aws.ecs().run_task().cluster(&task.cluster).task_definition(&task.definition).count(1);
        let run = run.overrides(task.overrides.clone()).set_network_configuration(task.network.clone());
        let run = run.set_launch_type(task.launch.clone()).started_by(&task.started_by);
        run.client_token(&task.token).send()
    };
    let answer = aws.write(Service::Ecs, &what, ask).await?;
    let refused = || {
        let reason =
            failures(answer.failures()).unwrap_or_else(|| "no task was started, and no reason given".to_owned());
        DriverError::new(aws.system(), &what, reason, Certainty::Refused)
    };
    answer.tasks().first().and_then(Task::task_arn).map(str::to_owned).ok_or_else(refused)
}

/// Stops a task.
pub async fn stop(aws: &Aws, cluster: &str, arn: &str, reason: &str) -> Result<()> {
    let ask = || aws.ecs().stop_task().cluster(cluster).task(arn).reason(reason).send();
    aws.write(Service::Ecs, "stop the task", ask).await.map(drop)
}

fn failures(failures: &[Failure]) -> Option<String> {
    let words = |failure: &Failure| {
        let parts = [failure.arn(), failure.reason(), failure.detail()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
    };
    let all: Vec<String> = failures.iter().map(words).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Where a value of a container stands in a task definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An environment variable, which everybody can read who may read the definition.
    Environment,
    /// A secret or a parameter, by its ARN.
    Secret,
}

/// A value of a container.
#[must_use]
pub fn value<'a>(of: &'a TaskDefinition, container: &str, name: &str) -> Option<(Place, &'a str)> {
    let container = of.container_definitions().iter().find(|found| found.name() == Some(container))?;
    let plain = container.environment().iter().find(|pair| pair.name() == Some(name)).and_then(|pair| pair.value());
    let secret = || container.secrets().iter().find(|secret| secret.name() == name).map(Secret::value_from);
    plain.map(|value| (Place::Environment, value)).or_else(|| secret().map(|arn| (Place::Secret, arn)))
}

/// The definition with one value changed, which is there already.
#[must_use]
pub fn with_value(of: &TaskDefinition, container: &str, name: &str, value: &str) -> TaskDefinition {
    let mut changed = of.clone();
    let containers = changed.container_definitions.iter_mut().flatten();
    for found in containers.filter(|found| found.name.as_deref() == Some(container)) {
        for pair in found.environment.iter_mut().flatten().filter(|pair| pair.name.as_deref() == Some(name)) {
            pair.value = Some(value.to_owned());
        }
        for secret in found.secrets.iter_mut().flatten().filter(|secret| secret.name == name) {
            value.clone_into(&mut secret.value_from);
        }
    }
    changed
}

/// Whether two revisions say the same, apart from their numbers.
#[must_use]
pub fn same(one: &TaskDefinition, other: &TaskDefinition) -> bool {
    let plain = |of: &TaskDefinition| {
        let mut plain = of.clone();
        (plain.task_definition_arn, plain.revision) = (None, 0);
        (plain.registered_at, plain.registered_by) = (None, None);
        (plain.deregistered_at, plain.status) = (None, None);
        plain
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::types::{ContainerDefinition, KeyValuePair};

    use super::*;

    fn definition(host: &str, revision: i32) -> TaskDefinition {
        let secret = Secret::builder().name("PASSWORD").value_from("arn:one").build().unwrap();
        let app = ContainerDefinition::builder()
            .name("app")
            .environment(KeyValuePair::builder().name("DB_HOST").value(host).build())
            .environment(KeyValuePair::builder().name("MODE").value("x").build())
            .secrets(secret)
            .build();
        let other = ContainerDefinition::builder()
            .name("sidecar")
            .environment(KeyValuePair::builder().name("DB_HOST").value("kept").build())
            .build();
        TaskDefinition::builder()
            .family("orders")
            .revision(revision)
            .set_container_definitions(Some(vec![app, other]))
            .build()
    }

    #[test]
    fn one_value_of_one_container_is_changed() {
        let before = definition("old", 3);
        assert_eq!(value(&before, "app", "DB_HOST"), Some((Place::Environment, "old")));
        assert_eq!(value(&before, "app", "PASSWORD"), Some((Place::Secret, "arn:one")));
        assert_eq!(value(&before, "app", "NOPE"), None);
        assert_eq!(value(&before, "nope", "DB_HOST"), None);
        let after = with_value(&before, "app", "DB_HOST", "new");
        assert!(same(&after, &definition("new", 4)) && !same(&after, &before));
        let moved = with_value(&before, "app", "PASSWORD", "arn:two");
        assert_eq!(value(&moved, "app", "PASSWORD"), Some((Place::Secret, "arn:two")));
        assert_eq!(value(&moved, "sidecar", "DB_HOST"), Some((Place::Environment, "kept")));
    }
}
