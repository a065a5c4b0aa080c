//! What a run has in DMS: an instance, two endpoints, a task; serverless no instance. Each is looked for by its identifier
//! before it is made, and after an answer was lost; each is deleted only if the run made it.

use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use url::Url;

use super::words::{self, Names};
use crate::clock;
use crate::engine::Outcome;
use crate::executor::context::Context;
use crate::journal::FailureKind;
use crate::runbook::model::{Dms, DmsLogin, DmsRunner, DmsTask, Replicate};
use crate::secret;
use crate::steps::StepError;
use crate::systems::aws::Aws;
use crate::systems::aws::dms::{
    self as driver, Credentials, NewEndpoint, NewInstance, NewTask, On, Settings, State, Task,
};
use crate::systems::{Certainty, DriverError};

/// The longest time between two looks.
const PAUSE: Duration = Duration::from_secs(15);
/// What was made is seen by then.
const SEEN: Duration = Duration::from_secs(60);
/// Deleting takes DMS minutes.
const GONE: Duration = Duration::from_secs(1800);

/// What a run has in DMS.
pub(in crate::engine) struct Works<'a> {
    pub cx: &'a Context,
    /// Name of the step that is shown as busy.
    pub step: &'a str,
    pub aws: Aws,
    pub names: Names,
    pub spec: Dms,
    pub task: &'a DmsTask,
    pub replicate: &'a Replicate,
}

/// One thing in DMS that a run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Instance,
    Source,
    Target,
    Task,
}

/// What was seen of one.
struct Seen {
    arn: String,
    status: String,
}

impl<'a> Works<'a> {
    /// Those of a run; `urgent` on the way back.
    pub async fn of(cx: &'a Context, replicate: &'a Replicate, step: &'a str, urgent: bool) -> Outcome<Self> {
        let Some(task) = replicate.dms.as_deref() else {
            return Err(StepError::broken("the plan does not say what a task of DMS is told"));
        };
        let aws = cx.rig.aws(&task.instance).await?;
        let aws = if urgent { aws.urgent() } else { aws };
        let spec = cx.world.dms(&task.instance)?;
        Ok(Self { cx, step, aws, names: Names::of(&cx.run), spec, task, replicate })
    }

    /// Refuses with what is to be done next.
    pub fn told(&self, kind: FailureKind, message: impl std::fmt::Display, hint: &str) -> StepError {
        StepError::told(kind, format!("{}: {message}", self.aws.system()), Some(hint))
    }

    pub fn busy(&self, text: &str) {
        self.cx.progress(self.step, text);
    }

    /// Rests before the next look, the longer the longer it takes already.
    pub async fn rest(&self, since: Instant) -> Outcome<()> {
        self.cx.rest((since.elapsed() / 6).clamp(PAUSE / 50, PAUSE)).await
    }

    /// In which way of DMS the task runs.
    pub fn runner(&self) -> DmsRunner {
        self.spec.runner()
    }

    /// What the task runs on, as soon as it can.
    pub async fn on(&self) -> Outcome<On<'_>> {
        match &self.spec.serverless {
            Some(serverless) => Ok(On::Serverless(serverless)),
            None => self.instance().await.map(On::Instance),
        }
    }

    /// The replication instance, made if the runbook wants that; gives its ARN when tasks can run on it.
    async fn instance(&self) -> Outcome<String> {
        let limit = self.spec.create.as_ref().map_or(SEEN, |create| create.timeout.0);
        if self.spec.create.is_some() {
            self.make(Thing::Instance).await?;
        }
        let began = clock::monotonic();
        loop {
            let identifier = self.instance_name();
            let Some(found) = driver::instance(&self.aws, identifier).await? else {
                let message = format!("there is no replication instance {identifier}");
                return Err(self.told(
                    FailureKind::Refused,
                    message,
                    "correct the runbook's `instance`, and begin anew",
                ));
            };
            match found.status.as_str() {
                "available" => return Ok(found.arn),
                "failed" | "incompatible-network" | "incompatible-credentials" | "deleting" => {
                    let message = format!("the replication instance {identifier} is {}", found.status);
                    return Err(self.told(
                        FailureKind::Refused,
                        message,
                        "the console of DMS says why; then `pointsman retry`",
                    ));
                }
                _ if began.elapsed() > limit => {
                    let message = format!("the replication instance {identifier} is still {}", found.status);
                    return Err(self.told(FailureKind::Deadline, message, "`pointsman retry` waits for it again"));
                }
                status => self.busy(&format!("the replication instance {identifier} is {status}")),
            }
            self.rest(began).await?;
        }
    }

    fn instance_name(&self) -> &str {
        self.spec.instance.as_deref().unwrap_or(&self.names.instance)
    }

    /// Both endpoints, of the source and of the target; gives their ARNs. A serverless replication tries them as it starts,
    /// and nothing does before: after one that failed they are made anew.
    pub async fn endpoints(&self, on: &On<'_>) -> Outcome<[String; 2]> {
        if let On::Instance(arn) = on {
            return Ok([self.endpoint(arn, true).await?, self.endpoint(arn, false).await?]);
        }
        if self.look_at_task().await?.is_some_and(|task| task.state == State::Failed) {
            self.delete_task().await?;
            self.delete(Thing::Source).await?;
            self.delete(Thing::Target).await?;
        }
        Ok([self.make(Thing::Source).await?, self.make(Thing::Target).await?])
    }

    /// An endpoint that DMS has tried; gives its ARN. One that did not work is made anew: its login may be another now.
    async fn endpoint(&self, instance: &str, source: bool) -> Outcome<String> {
        let thing = if source { Thing::Source } else { Thing::Target };
        if let Some(found) = self.look(thing).await?
            && driver::connection(&self.aws, instance, &found.arn).await?.is_some_and(|test| test.status == "failed")
        {
            self.delete(thing).await?;
        }
        let arn = self.make(thing).await?;
        let (name, began, mut asked) = (self.name(thing).to_owned(), clock::monotonic(), false);
        loop {
            let test = driver::connection(&self.aws, instance, &arn).await?;
            match test.as_ref().map(|test| test.status.as_str()) {
                Some("successful") => return Ok(arn),
                Some("failed") if asked => {
                    let failure = test.map(|test| test.failure).unwrap_or_default();
                    let message = format!("DMS can't connect through {name}: {}", secret::mask(&failure));
                    let hint = "look at the login, at security groups and routes from the replication instance, and at TLS; \
                                then `pointsman retry` makes the endpoint anew";
                    return Err(self.told(FailureKind::Refused, message, hint));
                }
                Some("testing") => asked = true,
                _ if asked => {}
                _ => {
                    self.cx.still_mine()?;
                    in_doubt(driver::test(&self.aws, instance, &arn).await)?;
                    asked = true;
                }
            }
            if began.elapsed() > SEEN * 10 {
                let message = format!("the test of {name} has no result");
                return Err(self.told(FailureKind::Deadline, message, "`pointsman retry` waits for it again"));
            }
            self.busy(&format!("DMS tries to connect through {name}"));
            self.rest(began).await?;
        }
    }

    /// The task, made if it is not there.
    pub async fn task(&self, on: &On<'_>, [source, target]: &[String; 2]) -> Outcome<()> {
        if self.look(Thing::Task).await?.is_some() {
            return Ok(());
        }
        let mappings = words::mappings(&self.cx.plan.choices).to_string();
        let settings = words::settings(self.task, self.replicate).to_string();
        let new = NewTask {
            identifier: &self.names.task,
            on,
            source,
            target,
            mappings: &mappings,
            settings: &settings,
            run: &self.cx.run,
        };
        self.cx.still_mine()?;
        in_doubt(driver::create_task(&self.aws, &new).await)?;
        self.seen(Thing::Task).await.map(drop)
    }

    /// The task, if there is one.
    pub async fn look_at_task(&self) -> Outcome<Option<Task>> {
        Ok(driver::task(&self.aws, self.runner(), &self.names.task).await?)
    }

    /// The task as it stands.
    pub async fn state(&self) -> Outcome<Task> {
        self.look_at_task().await?.ok_or_else(|| {
            let message = format!("there is no task {} any more", self.names.task);
            self.told(FailureKind::Refused, message, "somebody deleted it: roll back, and begin anew")
        })
    }

    /// Stops the task, if it is there and runs, and waits until it has stopped.
    pub async fn stop(&self) -> Outcome<()> {
        let began = clock::monotonic();
        loop {
            let Some(found) = self.look_at_task().await? else { return Ok(()) };
            match found.state {
                State::Running | State::Starting => {
                    self.cx.still_mine()?;
                    in_doubt(driver::stop(&self.aws, self.runner(), &found.arn).await)?;
                }
                State::Passing => {}
                _ => return Ok(()),
            }
            self.overdue(began, "has not stopped", &found.status)?;
            self.busy(&format!("the task is {}", found.status));
            self.rest(began).await?;
        }
    }

    /// Stops and deletes the task, and waits until it is gone: with it goes its slot on the source.
    pub async fn delete_task(&self) -> Outcome<()> {
        self.stop().await?;
        self.delete(Thing::Task).await
    }

    /// Deletes everything that the run made, in the order in which DMS lets it go.
    pub async fn delete_all(&self) -> Outcome<()> {
        self.delete_task().await?;
        for thing in [Thing::Source, Thing::Target] {
            self.delete(thing).await?;
        }
        if self.spec.create.is_some() { self.delete(Thing::Instance).await } else { Ok(()) }
    }

    fn name(&self, thing: Thing) -> &str {
        match thing {
            Thing::Instance => &self.names.instance,
            Thing::Source => &self.names.source,
            Thing::Target => &self.names.target,
            Thing::Task => &self.names.task,
        }
    }

    async fn look(&self, thing: Thing) -> Outcome<Option<Seen>> {
        let (aws, name) = (&self.aws, self.name(thing));
        Ok(match thing {
            Thing::Instance => {
                driver::instance(aws, name).await?.map(|found| Seen { arn: found.arn, status: found.status })
            }
            Thing::Source | Thing::Target => {
                driver::endpoint(aws, name).await?.map(|found| Seen { arn: found.arn, status: found.status })
            }
            Thing::Task => self.look_at_task().await?.map(|found| Seen { arn: found.arn, status: found.status }),
        })
    }

    /// Makes an instance or an endpoint, unless it is there; gives its ARN.
    async fn make(&self, thing: Thing) -> Outcome<String> {
        if let Some(found) = self.look(thing).await? {
            return Ok(found.arn);
        }
        self.cx.still_mine()?;
        self.busy(&format!("making {}", self.name(thing)));
        in_doubt(match thing {
            Thing::Instance => {
                let Some(spec) = &self.spec.create else { return Err(StepError::broken("no instance is to be made")) };
                let new = NewInstance { identifier: self.name(thing), spec, run: &self.cx.run };
                driver::create_instance(&self.aws, &new).await
            }
            _ => self.create_endpoint(thing == Thing::Source).await,
        })?;
        self.seen(thing).await
    }

    async fn create_endpoint(&self, source: bool) -> Result<(), DriverError> {
        let login = if source { &self.task.source } else { &self.task.target };
        let plan = &self.cx.plan;
        let identifier = if source { &self.names.source } else { &self.names.target };
        let database = words::database(plan, source);
        let credentials = credentials(self.aws.system(), login, words::port(plan)).await?;
        let (engine, tls, run) = (words::engine(plan, login).name(), login.tls, self.cx.run.as_str());
        let (certificate, script) = (login.certificate.as_deref(), words::script(plan, source));
        let settings = if words::is_mysql(plan) { Settings::Mysql(script.as_deref()) } else { Settings::Postgres };
        let new = NewEndpoint { identifier, source, engine, database, tls, certificate, settings, credentials, run };
        driver::create_endpoint(&self.aws, &new).await
    }

    /// Waits until something that was made is seen; gives its ARN.
    async fn seen(&self, thing: Thing) -> Outcome<String> {
        let began = clock::monotonic();
        loop {
            if let Some(found) = self.look(thing).await? {
                return Ok(found.arn);
            }
            if began.elapsed() > SEEN {
                let message = format!("{} was asked for, and is not to be seen", self.name(thing));
                return Err(self.told(FailureKind::Unknown, message, "`pointsman retry` looks again"));
            }
            self.rest(began).await?;
        }
    }

    /// Deletes something, and waits until it is gone. What is still in use is waited for.
    async fn delete(&self, thing: Thing) -> Outcome<()> {
        let (name, began) = (self.name(thing), clock::monotonic());
        loop {
            let Some(found) = self.look(thing).await? else { return Ok(()) };
            if found.status != "deleting" {
                self.cx.still_mine()?;
                let asked = match thing {
                    Thing::Instance => driver::delete_instance(&self.aws, &found.arn).await,
                    Thing::Source | Thing::Target => driver::delete_endpoint(&self.aws, &found.arn).await,
                    Thing::Task => driver::delete_task(&self.aws, self.runner(), &found.arn).await,
                };
                in_doubt(asked)?;
            }
            self.overdue(began, &format!("{name} is not gone"), &found.status)?;
            self.busy(&format!("{name} is being deleted"));
            self.rest(began).await?;
        }
    }

    fn overdue(&self, began: Instant, what: &str, status: &str) -> Outcome<()> {
        if began.elapsed() <= GONE {
            return Ok(());
        }
        let message = format!("{what} after {} minutes ({status})", GONE.as_secs() / 60);
        Err(self.told(FailureKind::Deadline, message, "the console of DMS says why; then `pointsman retry`"))
    }
}

/// A call whose answer was lost, or that DMS does not take in the state that things are in: the next look says what is so.
pub(in crate::engine) fn in_doubt(asked: Result<(), DriverError>) -> Outcome<()> {
    match asked {
        Err(error) if error.certainty == Certainty::Unknown => Ok(()),
        Err(error) if [driver::EXISTS, driver::STATE, driver::MISSING].iter().any(|code| error.is_code(code)) => Ok(()),
        other => Ok(other?),
    }
}

/// How DMS comes to a login; read now, and kept nowhere.
async fn credentials(system: &str, login: &DmsLogin, port: u16) -> Result<Credentials, DriverError> {
    if let (Some(secret), Some(role)) = (&login.secret, &login.access_role) {
        return Ok(Credentials::Secret { secret: secret.clone(), role: role.clone() });
    }
    let what = "read the url of a login of DMS";
    let odd = |reason: &str| DriverError::new(system, what, reason, Certainty::NotSent);
    let text = login.url.as_deref().ok_or_else(|| odd("it has neither a url nor a secret"))?;
    let unresolved = |error| DriverError::unresolved(system, what, error);
    secret::remote::fresh(text).await.map_err(unresolved)?;
    let resolved = secret::resolve(text).map_err(unresolved)?;
    let url = Url::parse(resolved.expose()).map_err(|_| odd("it is not KIND://role:password@host:port/database"))?;
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    if plain(url.username()) != login.role {
        return Err(odd(&format!("it is of another role than `{}`", login.role)));
    }
    Ok(Credentials::Told {
        user: login.role.clone(),
        password: secret::Secret::new(plain(url.password().unwrap_or_default())),
        host: url.host_str().unwrap_or("localhost").to_owned(),
        port: url.port().unwrap_or(port),
    })
}
