//! A service of ECS, whose tasks read where the database is when they start: it is deployed with a revision of its task
//! definition that says something else, or anew as it is. Done when every running task is of that deployment and
//! healthy; a deployment that ECS itself has rolled back (circuit breaker) is told.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ecs::types::{
    Deployment, DeploymentRolloutState, HealthStatus, Service as EcsService, Tag, Task, TaskDefinition,
};
use serde_json::{Value, json};

use super::ends::{ends, texts};
use super::told::{Reach, Waiting, arn};
use super::{Endpoint, Errand, Leads, Outcome, Route};
use crate::journal::{Act, FailureKind};
use crate::preflight::{Check, Finding};
use crate::runbook::model::{Ecs, EcsValue, Part};
use crate::steps::StepError;
use crate::systems::aws::ecs as driver;
use crate::systems::aws::{Aws, Call, Permission, Service};
use crate::systems::pair::Heading;
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError, Result};

const PAUSE: Duration = Duration::from_secs(5);

/// A service of ECS.
pub struct Rolled {
    reach: Reach,
    spec: Ecs,
}

/// How a deployment stands.
#[derive(Debug, PartialEq)]
enum Rollout {
    Done,
    Under(String),
    Failed(String),
}

impl Rolled {
    pub(super) fn new(world: &World, name: &str, spec: &Ecs) -> Self {
        Self { reach: Reach::new(world, name), spec: spec.clone() }
    }

    fn service(&self) -> Result<&str> {
        let missing = || {
            let reason = "the runbook names no `service` of it";
            DriverError::new(&self.reach.name, "find the service", reason, Certainty::NotSent)
        };
        self.spec.service.as_deref().ok_or_else(missing)
    }

    async fn read(&self, aws: &Aws) -> Result<EcsService> {
        driver::service(aws, &self.spec.cluster, self.service()?).await
    }

    /// Whether the deployment that this step wants was made already.
    fn deployed(&self, errand: &Errand<'_>, service: &EcsService) -> Result<Leads> {
        let told = |error: StepError| self.odd(error.into_failure().message);
        let before = errand.latest::<String>(&self.reach.name, &errand.own("before")).map_err(told)?;
        let began = errand.latest::<bool>(&self.reach.name, "apply-began").map_err(told)?;
        if errand.of.act == Act::Undo && began.is_none() {
            // There is nothing to take back.
            return Ok(Leads::To);
        }
        let now = primary(service).and_then(Deployment::id);
        Ok(match before {
            Some(before) if now.is_some_and(|now| now != before) => Leads::To,
            _ => Leads::From,
        })
    }

    fn odd(&self, reason: impl std::fmt::Display) -> DriverError {
        DriverError::new(&self.reach.name, "look at the service", reason, Certainty::Unknown)
    }

    /// The definition that the service is deployed with, and which side it leads to.
    async fn valued(
        &self,
        aws: &Aws,
        set: &EcsValue,
        service: &EcsService,
        route: &Route,
    ) -> Result<(TaskDefinition, Vec<Tag>, Leads)> {
        let name = service.task_definition().unwrap_or_default();
        let (definition, tags) = driver::definition(aws, name).await?;
        let leads = match driver::value(&definition, &set.container, &set.name) {
            Some((_, value)) => leads(set, value, route)?,
            None => Leads::Neither(format!("{name} has no `{}` in container {}", set.name, set.container)),
        };
        Ok((definition, tags, leads))
    }

    /// The revision to deploy: going back the former one, else one that says so already, else a new one.
    async fn revision(&self, errand: &Errand<'_>, aws: &Aws, set: &EcsValue, service: &EcsService) -> Outcome<String> {
        let (now, tags, leads) = self.valued(aws, set, service, errand.route).await?;
        if leads != Leads::From {
            return Err(self.reach.refused(format!("it was changed meanwhile ({leads:?})"), "find out who deploys it"));
        }
        let name = &self.reach.name;
        let own = errand.latest::<String>(name, "revision")?;
        if errand.of.act == Act::Undo
            && let Some(former) = errand.latest::<String>(name, "former")?
            && own.as_deref() == now.task_definition_arn()
        {
            return Ok(former);
        }
        let (value, family) = (wanted(set, errand.route)?, now.family().unwrap_or_default());
        let changed = driver::with_value(&now, &set.container, &set.name, &value);
        // One whose registration was not answered, or of an earlier try.
        let (newest, _) = driver::definition(aws, family).await?;
        let revision = if driver::same(&newest, &changed) {
            newest.task_definition_arn().unwrap_or_default().to_owned()
        } else {
            errand.cx.still_mine()?;
            driver::register(aws, &changed, &tags).await?
        };
        errand.note(name, "former", now.task_definition_arn().unwrap_or_default())?;
        errand.note(name, "revision", revision.clone())?;
        Ok(revision)
    }

    async fn rolled(&self, errand: &Errand<'_>, aws: &Aws) -> Outcome<std::result::Result<usize, String>> {
        let service = self.read(aws).await?;
        let name = &self.reach.name;
        let ours = errand.latest::<String>(name, &errand.own("deployment"))?;
        if let (None, Some(seen)) = (&ours, primary(&service).and_then(Deployment::id)) {
            // The answer that named it was lost.
            errand.note(name, &errand.own("deployment"), seen)?;
        }
        match rollout(&service, ours.as_deref()) {
            Rollout::Under(words) => return Ok(Err(format!("{name}: {words}"))),
            Rollout::Failed(reason) => {
                // The next try deploys again.
                errand.note(name, &errand.own("before"), Value::Null)?;
                let hint = "look at the service's events and the tasks' logs, mend it, then `pointsman retry`";
                return Err(StepError::told(FailureKind::Refused, format!("{name}: {reason}"), Some(hint)));
            }
            Rollout::Done => {}
        }
        let tasks = driver::running(aws, &self.spec.cluster, self.service()?).await?;
        let desired = usize::try_from(service.desired_count()).unwrap_or(0);
        Ok(fresh(&tasks, primary(&service), desired).map_err(|words| format!("{name}: {words}")))
    }
}

#[async_trait]
impl Endpoint for Rolled {
    fn name(&self) -> &str {
        &self.reach.name
    }

    fn describe_switch(&self, route: &Route) -> Vec<String> {
        let Ok(service) = self.service() else { return Vec::new() };
        let cluster = &self.spec.cluster;
        let call = |operation, parameters| Call::new(Service::Ecs, operation, parameters).to_string();
        let look = call("DescribeServices", json!({ "cluster": cluster, "services": [service] }));
        let tasks = call("ListTasks", json!({ "cluster": cluster, "serviceName": service }));
        let Some(set) = &self.spec.set else {
            let deploy = json!({ "cluster": cluster, "service": service, "forceNewDeployment": true });
            return vec![look, call("UpdateService", deploy), tasks];
        };
        if route.way == Heading::Back {
            let deploy = json!({ "cluster": cluster, "service": service, "taskDefinition": "THE FORMER REVISION" });
            let else_new = "# where somebody has deployed another since, a new revision as on the way there".to_owned();
            return vec![look, call("UpdateService", deploy), else_new, tasks];
        }
        let Ok(value) = wanted(set, route) else { return Vec::new() };
        let register = json!({ "family": "AS IT IS", "containerDefinitions": "AS THEY ARE",
                               "but": format!("{} of {} = {value}", set.name, set.container) });
        let deploy = json!({ "cluster": cluster, "service": service, "taskDefinition": "THE NEW REVISION" });
        vec![
            look,
            call("DescribeTaskDefinition", json!({ "taskDefinition": "OF THE SERVICE" })),
            call("RegisterTaskDefinition", register),
            call("UpdateService", deploy),
            tasks,
        ]
    }

    fn clients(&self, _route: &Route) -> Option<String> {
        let name = &self.reach.name;
        Some(format!(
            "the tasks of {name} are replaced by new ones, as its deployment says (a rolling update takes minutes)"
        ))
    }

    fn permissions(&self) -> Vec<Permission> {
        let cluster = self.spec.cluster.rsplit('/').next().unwrap_or_default();
        let service = self.spec.service.as_deref().unwrap_or("*");
        let service = arn("ecs", &self.reach.place(), &format!("service/{cluster}/{service}"));
        let mut all: Vec<Permission> = ["DescribeServices", "UpdateService"]
            .map(|operation| Permission::on(Service::Ecs, operation, service.clone()))
            .into();
        all.extend(["ListTasks", "DescribeTasks"].map(|operation| Permission::anywhere(Service::Ecs, operation)));
        if self.spec.set.is_some() {
            let definition = ["DescribeTaskDefinition", "RegisterTaskDefinition", "TagResource"];
            all.extend(definition.map(|operation| Permission::anywhere(Service::Ecs, operation)));
            // A revision hands the task's roles to ECS.
            all.push(Permission::anywhere(Service::Iam, "PassRole"));
        }
        all
    }

    async fn findings(&self, route: &Route) -> Result<Vec<Finding>> {
        let aws = self.reach.look().await?;
        let service = self.read(&aws).await?;
        let mut findings = vec![judge(&self.reach.name, &service)];
        if let Some(set) = &self.spec.set {
            let (_, _, leads) = self.valued(&aws, set, &service, route).await?;
            findings.push(self.reach.route(&leads));
        }
        Ok(findings)
    }

    async fn observe(&self, errand: &Errand<'_>) -> Result<Leads> {
        let aws = self.reach.aws(errand).await?;
        let service = self.read(&aws).await?;
        match &self.spec.set {
            None => self.deployed(errand, &service),
            Some(set) => Ok(self.valued(&aws, set, &service, errand.route).await?.2),
        }
    }

    async fn switch(&self, errand: &Errand<'_>) -> Outcome {
        let aws = self.reach.aws(errand).await?;
        let service = self.read(&aws).await?;
        let name = &self.reach.name;
        let revision = match &self.spec.set {
            Some(set) => Some(self.revision(errand, &aws, set, &service).await?),
            None => None,
        };
        let before = primary(&service).and_then(Deployment::id).unwrap_or_default();
        errand.note(name, &errand.own("began"), true)?;
        errand.note(name, &errand.own("before"), before)?;
        errand.note(name, &errand.own("deployment"), Value::Null)?;
        errand.cx.still_mine()?;
        let answer = driver::deploy(&aws, &self.spec.cluster, self.service()?, revision.as_deref()).await?;
        let deployment = primary(&answer).and_then(Deployment::id).unwrap_or_default();
        errand.note(name, &errand.own("deployment"), deployment)?;
        Ok(json!({ "deployment": deployment, "before": before, "revision": revision }))
    }

    async fn settle(&self, errand: &Errand<'_>) -> Outcome<Option<String>> {
        let aws = self.reach.aws(errand).await?;
        let waiting = Waiting::new(self.spec.timeout.0);
        loop {
            match self.rolled(errand, &aws).await? {
                Ok(count) => return Ok(Some(format!("all {count} tasks of {} are new and healthy", self.reach.name))),
                Err(words) => waiting.rest(errand, PAUSE, &words).await?,
            }
        }
    }
}

/// Whether the service can be deployed now, and whether a deployment that fails is noticed.
fn judge(name: &str, service: &EcsService) -> Finding {
    let check = Check {
        id: "ecs-deployment",
        system: name,
        why: "A deployment that somebody else has under way, or that nobody ends when it fails, keeps the run waiting.",
    };
    let controller = service.deployment_controller().map(|controller| controller.r#type().as_str().to_owned());
    let breaker = service.deployment_configuration().and_then(|found| found.deployment_circuit_breaker());
    if let Some(other) = controller.filter(|kind| kind != "ECS") {
        let detail = format!("its deployment controller is {other}.");
        return check.fail(
            "ECS does not deploy this service itself",
            detail,
            vec!["-- deploy it by a `command`".into()],
        );
    }
    if service.deployments().len() > 1 {
        let detail = format!("it has {} deployments.", service.deployments().len());
        return check.fail("a deployment is under way", detail, vec!["-- wait until it has ended".into()]);
    }
    if service.desired_count() == 0 {
        return check.warn(
            "the service has no tasks",
            "desiredCount is 0.",
            vec!["-- none needed, if it is meant so".into()],
        );
    }
    if !breaker.is_some_and(|breaker| breaker.enable) {
        let mend = vec![format!(
            "aws ecs update-service --service {name} --deployment-configuration \
                                 'deploymentCircuitBreaker={{enable=true,rollback=true}}'"
        )];
        return check.warn("a deployment that fails is not ended", "it has no circuit breaker.", mend);
    }
    check.pass("the service can be deployed", format!("{} tasks, with a circuit breaker.", service.desired_count()))
}

/// The value that leads to the side that is moved to.
fn wanted(set: &EcsValue, route: &Route) -> Result<String> {
    let (from, to) = (set.from.as_deref(), set.to.as_deref());
    match set.part {
        Some(part) => Ok(part.of(&ends(route, from, to)?.1)),
        None => Ok(texts(route, from, to)?.1),
    }
}

fn leads(set: &EcsValue, value: &str, route: &Route) -> Result<Leads> {
    let (from, to) = (set.from.as_deref(), set.to.as_deref());
    let (is_from, is_to) = if let Some(part) = set.part {
        let (from, to) = ends(route, from, to)?;
        (part.says(value, &from), part.says(value, &to))
    } else {
        let (from, to) = texts(route, from, to)?;
        (value == from, value == to)
    };
    // A URL may hold a password, and a value without a part may be anything.
    let shown =
        if matches!(set.part, Some(Part::Host | Part::Port | Part::HostPort)) { value } else { "something else" };
    Ok(match (is_from, is_to) {
        (_, true) => Leads::To,
        (true, false) => Leads::From,
        _ => Leads::Neither(format!("{} of {} is {shown}", set.name, set.container)),
    })
}

fn primary(service: &EcsService) -> Option<&Deployment> {
    service.deployments().iter().find(|deployment| deployment.status() == Some("PRIMARY"))
}

/// How the service's deployment stands. `ours` is the one that was asked for, where its id is known.
fn rollout(service: &EcsService, ours: Option<&str>) -> Rollout {
    let Some(primary) = primary(service) else { return Rollout::Under("it has no deployment yet".to_owned()) };
    let id = primary.id().unwrap_or_default();
    if let Some(ours) = ours.filter(|ours| *ours != id) {
        let reason = service.deployments().iter().find(|deployment| deployment.id() == Some(ours));
        let reason = reason.and_then(Deployment::rollout_state_reason).unwrap_or("no reason is given");
        return Rollout::Failed(format!(
            "its deployment {ours} was replaced by {id}: ECS has rolled it back, or somebody deployed another ({reason})"
        ));
    }
    let counts = format!("{} of {} tasks run", primary.running_count(), primary.desired_count());
    match primary.rollout_state() {
        Some(DeploymentRolloutState::Failed) => {
            let reason = primary.rollout_state_reason().unwrap_or("no reason is given");
            Rollout::Failed(format!("its deployment {id} failed: {reason}"))
        }
        Some(DeploymentRolloutState::InProgress) => Rollout::Under(format!("{counts}, the deployment is under way")),
        _ if service.deployments().len() > 1 => Rollout::Under(format!("{counts}, former tasks are being stopped")),
        _ if primary.running_count() < primary.desired_count() => Rollout::Under(counts),
        _ => Rollout::Done,
    }
}

/// Whether every task that runs is of the deployment and healthy, and all that are wanted run.
fn fresh(tasks: &[Task], deployment: Option<&Deployment>, desired: usize) -> std::result::Result<usize, String> {
    let wanted = deployment.and_then(Deployment::task_definition);
    let since = deployment.and_then(Deployment::created_at);
    let old = |task: &&Task| {
        let other = wanted.is_some_and(|wanted| task.task_definition_arn().is_some_and(|arn| arn != wanted));
        let earlier = since.zip(task.created_at()).is_some_and(|(since, created)| created < since);
        other || earlier
    };
    let unfit =
        |task: &&Task| task.last_status() != Some("RUNNING") || task.health_status() == Some(&HealthStatus::Unhealthy);
    let count = |of: &dyn Fn(&&Task) -> bool| tasks.iter().filter(of).count();
    match (count(&old), count(&unfit)) {
        (0, 0) if tasks.len() >= desired => Ok(tasks.len()),
        (0, 0) => Err(format!("{} of {desired} tasks run", tasks.len())),
        (0, unfit) => Err(format!("{unfit} tasks do not run or are not healthy yet")),
        (old, _) => Err(format!("{old} tasks are older than the change")),
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::DateTime;

    use super::*;

    fn deployment(id: &str, status: &str, state: DeploymentRolloutState, running: i32) -> Deployment {
        Deployment::builder()
            .id(id)
            .status(status)
            .task_definition("arn:2")
            .desired_count(2)
            .running_count(running)
            .rollout_state(state)
            .rollout_state_reason("tasks failed to start")
            .created_at(DateTime::from_secs(100))
            .build()
    }

    fn service(deployments: Vec<Deployment>) -> EcsService {
        EcsService::builder().set_deployments(Some(deployments)).build()
    }

    #[test]
    fn a_rollout_is_done_when_nothing_else_is_left() {
        use DeploymentRolloutState::{Completed, Failed, InProgress};
        let done = deployment("b", "PRIMARY", Completed, 2);
        assert_eq!(rollout(&service(vec![done.clone()]), Some("b")), Rollout::Done);
        assert_eq!(rollout(&service(vec![done.clone()]), None), Rollout::Done);
        let still = service(vec![done.clone(), deployment("a", "ACTIVE", Completed, 1)]);
        assert!(matches!(rollout(&still, Some("b")), Rollout::Under(words) if words.contains("being stopped")));
        for (state, running) in [(InProgress, 2), (Completed, 1)] {
            let under = service(vec![deployment("b", "PRIMARY", state, running)]);
            assert!(matches!(rollout(&under, Some("b")), Rollout::Under(_)));
        }
        let failed = service(vec![deployment("b", "PRIMARY", Failed, 0)]);
        assert!(matches!(rollout(&failed, Some("b")), Rollout::Failed(words) if words.contains("failed to start")));
        assert!(matches!(rollout(&service(vec![]), None), Rollout::Under(_)));
    }

    #[test]
    fn what_could_keep_a_deployment_from_ending_is_found() {
        use crate::preflight::Level;
        use aws_sdk_ecs::types::{
            DeploymentCircuitBreaker, DeploymentConfiguration, DeploymentController, DeploymentControllerType,
        };
        let breaker = DeploymentCircuitBreaker::builder().enable(true).rollback(true).build();
        let config = DeploymentConfiguration::builder().deployment_circuit_breaker(breaker).build();
        let done = || deployment("b", "PRIMARY", DeploymentRolloutState::Completed, 2);
        let fit =
            || EcsService::builder().desired_count(2).deployments(done()).deployment_configuration(config.clone());
        let level = |service: EcsService| judge("app", &service).level;
        assert_eq!(level(fit().build()), Level::Pass);
        assert_eq!(level(fit().deployments(done()).build()), Level::Fail);
        assert_eq!(level(fit().desired_count(0).build()), Level::Warn);
        assert_eq!(level(fit().set_deployment_configuration(None).build()), Level::Warn);
        let other = DeploymentController::builder().r#type(DeploymentControllerType::CodeDeploy).build().unwrap();
        assert_eq!(level(fit().deployment_controller(other).build()), Level::Fail);
    }

    #[test]
    fn a_circuit_breaker_that_rolled_back_is_told() {
        use DeploymentRolloutState::{Completed, Failed};
        let back = service(vec![deployment("c", "PRIMARY", Completed, 2), deployment("b", "ACTIVE", Failed, 0)]);
        let Rollout::Failed(words) = rollout(&back, Some("b")) else { panic!("it is not told") };
        assert!(words.contains("replaced by c") && words.contains("failed to start"), "{words}");
    }

    #[test]
    fn tasks_must_be_new_healthy_and_enough() {
        let task = |definition: &str, created: i64, status: &str, health: HealthStatus| {
            let created = DateTime::from_secs(created);
            let task = Task::builder().task_definition_arn(definition).created_at(created);
            task.last_status(status).health_status(health).build()
        };
        let new = || task("arn:2", 150, "RUNNING", HealthStatus::Healthy);
        let deployment = deployment("b", "PRIMARY", DeploymentRolloutState::Completed, 2);
        let judged = |tasks: &[Task]| fresh(tasks, Some(&deployment), 2);
        assert_eq!(judged(&[new(), new()]), Ok(2));
        assert!(judged(&[new()]).unwrap_err().contains("1 of 2"));
        assert!(judged(&[new(), task("arn:1", 150, "RUNNING", HealthStatus::Healthy)]).unwrap_err().contains("older"));
        assert!(judged(&[new(), task("arn:2", 50, "RUNNING", HealthStatus::Healthy)]).unwrap_err().contains("older"));
        assert!(
            judged(&[new(), task("arn:2", 150, "PENDING", HealthStatus::from("UNKNOWN"))])
                .unwrap_err()
                .contains("do not run")
        );
        assert!(judged(&[new(), task("arn:2", 150, "RUNNING", HealthStatus::Unhealthy)]).is_err());
    }
}
