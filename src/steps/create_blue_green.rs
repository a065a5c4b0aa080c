//! `create-blue-green`: a Blue/Green deployment of RDS with the settings of the runbook. Its name is its identity, and it has
//! the tag of the run: what this run made is found again after a lost answer, and what somebody else made is never touched.
//!
//! "Creating a blue/green deployment" in the user guides of RDS and of Aurora:
//! <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/blue-green-deployments-creating.html>
//! <https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/blue-green-deployments-creating.html>

mod back;
mod finding;
mod judge;

use async_trait::async_trait;
use serde_json::{Value, json};

pub(super) use self::finding::{findings, permissions};
use super::notes::{key, noted};
use super::rds_server::{self, TAG, Waiting};
use super::{Action, Description, StepError};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{CreateBlueGreen, UndoCreate};
use crate::systems::aws::rds::blue_green::{self as driver, Deployment, Standing};
use crate::systems::aws::rds::{self, Environment, Kind, Source};
use crate::systems::aws::{Aws, Call, Service};
use crate::systems::pair::Heading;
use crate::systems::{Certainty, DriverError};

#[async_trait]
impl Action for CreateBlueGreen {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        let specs = rds_server::system(plan, &self.of).zip(rds_server::system(plan, &self.from));
        let Some((spec, source)) = specs else { return Description::default() };
        let (name, source, kind) = (rds_server::called(spec), rds_server::called(source), plan.kind_of_rds(&self.from));
        let filter = json!([{ "Name": "blue-green-deployment-name", "Values": [name] }]);
        let apply = [
            ("CreateBlueGreenDeployment", self.parameters(name, source, kind)),
            ("DescribeBlueGreenDeployments", json!({ "Filters": filter })),
        ];
        let clients = "writes to an instance that is not Multi-AZ may wait, for a minute at most, when RDS copies it";
        Description {
            summary: format!(
                "Make the Blue/Green deployment {name} of the {} {source} ({}), and wait until it is available",
                kind.word(),
                self.changes()
            ),
            apply: apply.map(|call| self.line(call)).into(),
            undo: self.undone(kind),
            // Aurora clones the volume.
            clients: (kind == Kind::Instance).then(|| clients.to_owned()),
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let aws = cx.rig.aws(&self.of).await?;
        let name = self.called(cx)?;
        let waiting = Waiting::new(&self.of, self.timeout);
        let mut known = noted::<String>(state, of, "made");
        loop {
            let found = driver::deployment_named(&aws, &name).await?;
            let words = match &found {
                Some(found) if !is_ours(found, &cx.run) => return Err(self.taken(cx, &aws, found).await?),
                Some(found) if known.as_ref().is_some_and(|known| *known != found.id) => return Err(self.gone(&name)),
                Some(found) => {
                    if known.is_none() {
                        cx.note(of, json!({ key(of, "made"): found.id }), Durability::Synced)?;
                        known = Some(found.id.clone());
                    }
                    match self.stands(&aws, found).await? {
                        Stands::Ready(result) => return Ok(result),
                        Stands::Busy(words) => words,
                    }
                }
                None if known.is_some() => return Err(self.gone(&name)),
                None => self.begin(cx, of, &aws, &name).await?,
            };
            waiting.rest_for(cx, of, &words, &self.told_of(cx, found.as_ref())).await?;
        }
    }

    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        self.take_back(cx, state, of).await
    }
}

/// How a deployment of ours stands.
enum Stands {
    /// As planned, with what is remembered.
    Ready(Value),
    /// On its way.
    Busy(String),
}

impl CreateBlueGreen {
    fn called(&self, cx: &Context) -> Result<String, DriverError> {
        Ok(rds_server::called(&cx.world.rds(&self.of)?).to_owned())
    }

    fn line(&self, (operation, parameters): (&'static str, Value)) -> (String, String) {
        (self.of.clone(), Call::new(Service::Rds, operation, parameters).to_string())
    }

    /// What takes it back, for the plan.
    fn undone(&self, kind: Kind) -> Vec<(String, String)> {
        let green = kind.word();
        let kept = format!("# the green {green} is kept: RDS makes it one of its own, and it goes on to cost");
        let record = ("DeleteBlueGreenDeployment", json!({ "BlueGreenDeploymentIdentifier": "bgd-…" }));
        let mut undo = vec![self.line(record)];
        match self.undo {
            UndoCreate::Keep => undo.push((self.of.clone(), kept)),
            UndoCreate::DeleteWithSnapshot => {
                let called = format!("THE GREEN {}", green.to_uppercase());
                undo.extend(rds_server::deletion(kind, &called).into_iter().map(|call| self.line(call)));
            }
        }
        undo
    }

    /// What is sent.
    fn parameters(&self, name: &str, source: &str, kind: Kind) -> Value {
        let (of_cluster, of_instances) = self.groups(Some(kind));
        let mut all = json!({
            "BlueGreenDeploymentName": name, "Source": format!("THE ARN OF {source}"),
            "Tags": [{ "Key": TAG, "Value": "THE RUN" }],
        });
        let more = [
            ("TargetEngineVersion", self.engine_version.as_ref().map(|text| json!(text))),
            ("TargetDBInstanceClass", self.class.as_ref().map(|text| json!(text))),
            ("TargetDBClusterParameterGroupName", of_cluster.map(|text| json!(text))),
            ("TargetDBParameterGroupName", of_instances.map(|text| json!(text))),
            ("TargetAllocatedStorage", self.storage.map(|size| json!(size.0 >> 30))),
            ("TargetStorageType", self.storage_type.as_ref().map(|text| json!(text))),
            ("TargetIops", self.iops.map(|iops| json!(iops))),
            ("TargetStorageThroughput", self.throughput.map(|mib| json!(mib))),
        ];
        for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            all[name] = value;
        }
        all
    }

    /// What RDS's events are about.
    fn told_of(&self, cx: &Context, found: Option<&Deployment>) -> Vec<Source> {
        let Some(found) = found else {
            return cx.world.rds(&self.from).iter().filter_map(Source::of).collect();
        };
        found.sources()
    }

    /// Asks for it. Where the answer is lost, the next look finds it, or it is asked for again: under one name there is
    /// one at most.
    async fn begin(&self, cx: &Context, of: &Move, aws: &Aws, name: &str) -> Result<String, StepError> {
        let reads = cx.rig.aws(&self.from).await?;
        let source = rds_server::server(cx, &reads, &self.from).await?;
        let all = rds::environment(&reads, source.kind, &source.identifier).await?;
        let mut unfit = judge::unfit(self, &all);
        unfit.extend(finding::unfit_groups(self, &reads, &all).await?);
        if !unfit.is_empty() {
            return Err(self.refused(format!("{} can't be copied: {}", source.identifier, unfit.join("; ")), UNFIT));
        }
        if let Some(busy) = all.busy() {
            return Ok(format!("{} is {}, and must be available to be copied", busy.identifier, busy.status));
        }
        cx.note(of, json!({ key(of, "asked"): name }), Durability::Synced)?;
        cx.still_mine()?;
        match driver::create_deployment(aws, name, &source.arn, self, (TAG, &cx.run)).await {
            Ok(()) => Ok(format!("{name} is being made")),
            Err(error) if error.certainty == Certainty::Unknown || error.is_code(driver::DEPLOYMENT_EXISTS) => {
                Ok(format!("{name} was asked for, and is looked for"))
            }
            // Something else began with it in between.
            Err(error) if rds_server::is_busy(&error) => {
                Ok(format!("{} can't be copied yet: {}", source.identifier, error.reason))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn stands(&self, aws: &Aws, found: &Deployment) -> Result<Stands, StepError> {
        let words = judge::progress(found);
        match &found.standing {
            Standing::Provisioning => Ok(Stands::Busy(words)),
            Standing::Available => self.is_as_planned(aws, found).await,
            Standing::Switching | Standing::Completed | Standing::Failed => {
                Err(self.refused(format!("{words}: somebody switches it over"), "find out who; it is not touched"))
            }
            Standing::Other(_) => Err(self.refused(words, BROKEN)),
        }
    }

    async fn is_as_planned(&self, aws: &Aws, found: &Deployment) -> Result<Stands, StepError> {
        let nothing = || Stands::Busy(format!("{} is {}, without a green one yet", found.name, found.words));
        let Some(green) = self::green(aws, found).await? else { return Ok(nothing()) };
        let Some(server) = green.server().filter(|_| !green.instances.is_empty()) else { return Ok(nothing()) };
        let (called, word) = (&server.identifier, server.kind.word());
        if let Some(busy) = green.busy() {
            return Ok(Stands::Busy(format!(
                "{}: of the green {word} {} is {}",
                found.name, busy.identifier, busy.status
            )));
        }
        let differs = judge::differs(self, &green);
        if !differs.is_empty() {
            let message = format!("the green {word} {called} is not as planned: {}", differs.join("; "));
            return Err(self.refused(message, DIFFERS));
        }
        Ok(Stands::Ready(json!({ "deployment": found.id, "green": called, "resource": server.resource_id,
            "summary": format!("{} is available, its green {word} {called} follows", found.name) })))
    }

    fn refused(&self, message: impl std::fmt::Display, hint: &str) -> StepError {
        StepError::told(FailureKind::Refused, format!("{}: {message}", self.of), Some(hint))
    }

    /// One of this name is there, and is somebody else's; with what is otherwise than in the plan.
    async fn taken(&self, cx: &Context, aws: &Aws, found: &Deployment) -> Result<StepError, StepError> {
        let mut differs = Vec::new();
        let source = rds_server::server(cx, &cx.rig.aws(&self.from).await?, &self.from).await?;
        if found.blue != source.arn {
            differs.push(format!("it is of {}, planned {}", found.blue_identifier(), source.identifier));
        }
        if let Ok(Some(green)) = green(aws, found).await {
            differs.extend(judge::differs(self, &green));
        }
        let differs = if differs.is_empty() { "it is as planned otherwise".to_owned() } else { differs.join("; ") };
        let message = format!(
            "there is a Blue/Green deployment {} already ({}, {}), and this run has not made it: {differs}",
            found.name, found.id, found.words
        );
        Ok(self.refused(message, TAKEN))
    }

    fn gone(&self, name: &str) -> StepError {
        let message = format!("{name} was made by this run, and is gone: somebody has deleted it");
        self.refused(message, "find out who; `pointsman rollback`, then a new run makes another")
    }
}

/// The green one of a deployment; `None` while there is none.
async fn green(aws: &Aws, found: &Deployment) -> Result<Option<Environment>, DriverError> {
    let Some((kind, identifier)) = found.kind().zip(found.green_identifier()) else { return Ok(None) };
    Ok(Some(rds::environment(aws, kind, identifier).await?))
}

fn is_ours(found: &Deployment, run: &str) -> bool {
    found.tags.get(TAG).is_some_and(|tag| tag == run)
}

const UNFIT: &str = "nothing was made: mend it, then `pointsman retry`, or correct the step in a new run";
const TAKEN: &str = "it is not touched: leave the step out, or choose another name in a new run";
const DIFFERS: &str = "somebody has changed it, or RDS made it otherwise: mend it, then `pointsman retry`";
const BROKEN: &str = "its events say more (`aws rds describe-events --source-type blue-green-deployment`); mend it, then \
                      `pointsman retry`, or `pointsman rollback` deletes its record";
